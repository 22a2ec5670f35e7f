"""Job robot: a program in a pod creates a Job, waits for its digits of pi, and deletes it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.answer import AnswerClass, Denial
from rbac_matrix.cell import Subject
from rbac_matrix.deadline import poll
from rbac_matrix.manifests import load_manifest_file
from rbac_matrix.pods import is_ready, waiting_for
from rbac_matrix.requests import Request
from rbac_matrix.stories.awaited import wait_for_answer
from rbac_matrix.stories.pod_exec import Container
from rbac_matrix.stories.stage import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.stories.propagation import Propagation
    from rbac_matrix.stories.stage import Stage

pytestmark = pytest.mark.steps

ROBOT: Final = Subject("default", "job-robot")
IMAGE: Final = "rbac-matrix/story"
DIGITS: Final = 2000
JOBS: Final = "/apis/batch/v1/namespaces/default/jobs"
BINDINGS: Final = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
PODS: Final = "/api/v1/namespaces/default/pods"
SECONDS: Final = 10.0  # for answers, and until a change of a binding is in force
ROBOT_DEADLINE: Final = 90.0  # seconds until the robot has done its work, or failed

# As the document prints it, byte for byte.
DOCUMENTS_MESSAGE: Final = (
    'jobs.batch is forbidden: User "system:serviceaccount:default:job-robot" cannot create '
    'resource "jobs" in API group "batch" in the namespace "default"'
)
DOCUMENTS_BODY: Final = (
    '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":'
    f"{json.dumps(DOCUMENTS_MESSAGE)}"
    ',"reason":"Forbidden","details":{"group":"batch","kind":"jobs"},"code":403}'
)


def job(image: str, **spec: object) -> dict[str, Any]:
    """Job `pi` as the document has it, for requests that are not the robot's."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "pi", "image": image}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "pi", "labels": {"app.kubernetes.io/managed-by": "rbac-matrix"}},
        "spec": {**spec, "template": {"spec": pod}},
    }


TRY_CREATE: Final = Request("POST", f"{JOBS}?dryRun=All", json.dumps(job(IMAGE)))


@pytest.fixture(name="asker", scope="module")
def _asker(stage: Stage) -> Iterator[ProbeSession]:
    """Asks as job-robot: from the robot's own pod, or with its token where no pod runs."""
    names = [pod["metadata"]["name"] for pod in stage.pods("app=ubu")]
    with stage.asker(ROBOT, Container(names[0] if names else "ubu")) as asker:
        yield asker


@pytest.fixture(name="log", scope="module")
def _log(stage: Stage) -> dict[str, str]:
    """What the robot has said, by step."""
    ran = stage.kubectl("logs", "--namespace=default", "deployment/ubu")
    assert ran.code == 0, f"{ran}"
    return dict(line.partition(": ")[::2] for line in ran.out.splitlines())


def failure(stage: Stage) -> str:
    """The end of the log of a robot that has failed; empty while none has."""
    for pod in stage.pods("app=ubu"):
        for container in pod["status"].get("containerStatuses", ()):
            for state in (container["state"], container["lastState"]):
                if "terminated" in state:
                    return str(state["terminated"].get("message", "it left no message"))
    return ""


def waiting(pods: list[dict[str, Any]]) -> str:
    """What the robot's pods wait for."""
    return "; ".join(waiting_for(pod["status"]) or "at work" for pod in pods) or "no pod"


def may_create_jobs(stage: Stage, namespace: str) -> bool:
    """What the authorizer says of job-robot."""
    question = {"verb": "create", "group": "batch", "resource": "jobs", "namespace": namespace}
    return stage.admin.may(ROBOT.username, ROBOT.groups, question)


def digits_of_pi(count: int) -> str:
    """Pi to so many digits, by another formula than that of the Job's program: Chudnovsky's."""
    unit = 10 ** (count + 20)
    term = total = unit
    weighted, index = 0, 0
    while term:
        index += 1
        term *= -(6 * index - 5) * (2 * index - 1) * (6 * index - 1)
        term //= index**3 * (640320**3 // 24)
        total += term
        weighted += index * term
    numerator = 426880 * math.isqrt(10005 * unit * unit) * unit
    digits = str(numerator // (13591409 * total + 545140134 * weighted))[:count]
    return f"{digits[0]}.{digits[1:]}"


@pytest.mark.claim(
    "A ServiceAccount is technically like a group, whose members get its rules.",
    today="was never true",
    how="its token is one user's, `system:serviceaccount:default:job-robot`, as which all pods "
    "that run under it ask. Its groups are those of every ServiceAccount of the namespace",
)
def test_service_account_is_one_user(stage: Stage) -> None:
    """A token of the ServiceAccount is of a user with its name, in groups that do not have it."""
    stage.apply("serviceaccount.yaml")
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": stage.admin.token(ROBOT, 600)},
    }
    review = stage.admin.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
    user = review["status"]["user"]

    assert user["username"] == "system:serviceaccount:default:job-robot"
    assert set(user["groups"]) == {
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
    }


@pytest.mark.claim(
    "Without the permissions the program ends with an `ApiException`: 403, and a body that says "
    "what `job-robot` cannot do.",
    today="true",
    how="the pod of Deployment `ubu` fails, and its log ends with the document's body, byte for "
    "byte, and its 313 bytes of `Content-Length`. Today's client names the exception "
    "`ForbiddenException`, which is an `ApiException`",
)
@pytest.mark.usefixtures("kubelet")
def test_program_without_the_role_prints_the_documents_403(stage: Stage) -> None:
    """The robot's first request is refused, and that is the end of it."""
    stage.bring_programs()
    stage.apply("story/deployment.yaml")
    said = ""

    def missing() -> str:
        nonlocal said
        said = failure(stage)
        return "" if said else "it goes on"

    poll("waiting for the robot to fail", missing, ROBOT_DEADLINE)
    stage.remove("story/deployment.yaml")

    assert "kubernetes.client.exceptions.ForbiddenException: (403)\nReason: Forbidden\n" in said
    assert "'Content-Length': '313'" in said
    assert f"HTTP response body: {DOCUMENTS_BODY}\n" in said


@pytest.mark.claim(
    "A Role says what may be done, and not by whom.",
    today="true",
    how="with the Role and no RoleBinding, a SubjectAccessReview still says no",
)
def test_role_names_nobody(stage: Stage) -> None:
    """The Role alone does not help the ServiceAccount that has its name."""
    stage.apply("role.yaml")

    assert not may_create_jobs(stage, "default")


@pytest.mark.claim(
    "The `roleRef` of a RoleBinding must be of kind Role or ClusterRole.",
    today="true",
    how="with a ServiceAccount there it is refused: as invalid (422) to a member of "
    "`system:masters`, and to everyone else, kubeadm's admin included, by the escalation check, "
    "which comes before and answers 500",
)
def test_binding_refers_to_a_role(stage: Stage) -> None:
    """A RoleBinding to anything else is invalid."""
    (binding,) = load_manifest_file(stage.folder / "rolebinding.yaml")
    body = {**binding.body, "roleRef": {**binding.body["roleRef"], "kind": "ServiceAccount"}}
    status, answer = stage.admin.try_request("POST", BINDINGS, body, query={"dryRun": "All"})

    refusals = {
        422: 'Unsupported value: "ServiceAccount": supported values: "Role", "ClusterRole"',
        500: 'unsupported role reference kind: "ServiceAccount"',
    }
    assert answer["message"].endswith(refusals.get(status, "422 or 500")), answer


@pytest.mark.claim(
    "By a RoleBinding the ServiceAccount has the rules of the Role.",
    today="true",
    how="the same SubjectAccessReview turns to yes",
)
@pytest.mark.claim(
    "ClusterRoles and ClusterRoleBindings differ in that they apply in all namespaces.",
    today="true",
    how="this Role and RoleBinding do not: in `kube-system` the same review says no. It is the "
    "ClusterRoleBinding that makes the difference: a RoleBinding to a ClusterRole ends at its own "
    "namespace too",
)
def test_binding_makes_the_role_the_robots(stage: Stage) -> None:
    """Bound, the authorizer lets job-robot create Jobs in default, and nowhere else."""
    stage.apply("rolebinding.yaml")

    def missing() -> str:
        return "" if may_create_jobs(stage, "default") else "it may not"

    poll("waiting for job-robot to be allowed to create Jobs", missing, SECONDS)

    assert not may_create_jobs(stage, "kube-system")


@pytest.mark.claim(
    "A pod with `serviceAccountName: job-robot`, which lies in the pod template of a Deployment, "
    "can create a Job in its cluster.",
    today="true",
    how="`story/job_robot.py`, with the official client and `load_incluster_config`, creates Job "
    "`pi` and finds it in the list",
)
@pytest.mark.usefixtures("kubelet")
def test_robot_creates_and_lists_the_job(stage: Stage, request: pytest.FixtureRequest) -> None:
    """The same program now does its work, in one life of its container."""
    stage.removes(f"{JOBS}/pi")
    stage.apply("story/deployment.yaml")
    pods: list[dict[str, Any]] = []

    def missing() -> str:
        if said := failure(stage):
            raise StageError(f"the robot has failed; the end of its log is\n{said.strip()}")
        pods[:] = stage.pods("app=ubu")
        return "" if any(is_ready(pod["status"]) for pod in pods) else waiting(pods)

    poll("waiting for the robot to be done", missing, ROBOT_DEADLINE)
    log = request.getfixturevalue("log")

    assert [pod["spec"]["serviceAccountName"] for pod in pods] == ["job-robot"]
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods] == [0]
    assert log["created"] == "pi"
    assert "pi" in log["listed"].split()


@pytest.mark.usefixtures("kubelet")
def test_robot_cannot_change_the_image(log: dict[str, str]) -> None:
    """The document's patch changes nothing, and one that would change the image is refused."""
    assert log["patched with the same image"] == "generation 1"
    assert log["patched with another image"] == "422 spec.template field is immutable"


@pytest.mark.claim(
    "The Job computes 2000 digits of pi.",
    today="true",
    how="by a program of ours in place of Perl's, compared with another formula's. The robot "
    "reads them from the pod's status, where the container left them as it ended: `pods/log` is "
    "not in its Role",
)
@pytest.mark.usefixtures("kubelet")
def test_robot_gets_the_digits_of_pi(log: dict[str, str]) -> None:
    """The robot watches the Job until it is complete, and finds the right digits."""
    assert log["completed"] == "1 succeeded"
    assert log["computed"] == digits_of_pi(DIGITS)


@pytest.mark.claim(
    "The Job is deleted with propagation policy `Foreground` and 5 seconds of grace.",
    today="true",
    how="the robot watches until the Job is gone, and at once there is no pod of it any more",
)
@pytest.mark.usefixtures("kubelet")
def test_robot_deletes_the_job_and_its_pods(stage: Stage, log: dict[str, str]) -> None:
    """After the Job the robot sees none of its pods, and neither does the admin."""
    assert log["deleted"] == "0 pods are left"
    assert stage.admin.try_request("GET", f"{JOBS}/pi")[0] == 404
    assert stage.pods("batch.kubernetes.io/job-name=pi") == []


@pytest.mark.claim(
    "With this access the pod can do its various tasks.",
    today="true",
    how="the program's log has each of its steps once, in order, and no 403",
)
@pytest.mark.usefixtures("kubelet")
def test_robot_stays_within_its_role(log: dict[str, str]) -> None:
    """From its first line to its last the robot was refused nothing by RBAC."""
    steps = [
        *("created", "listed", "patched with the same image", "patched with another image"),
        *("completed", "computed", "deleted"),
    ]
    others = {step: said for step, said in log.items() if step != "computed"}  # pi has 403 in it

    assert list(log) == steps
    assert not [said for said in others.values() if "403" in said or "forbidden" in said.lower()]


@pytest.mark.claim(
    "The Role lets `job-robot` get, list and watch pods, and get, list, watch, create, update, "
    "patch and delete Jobs.",
    today="true",
    how="each of these ten requests passes RBAC: it is a 200, a 201, or a 404 where it names an "
    "object that does not exist",
)
def test_role_grants_its_verbs(asker: ProbeSession) -> None:
    """Every verb of the Role is answered by the API behind RBAC."""
    jobs, pods, watched = f"{JOBS}/absent", f"{PODS}/absent", "?watch=true&timeoutSeconds=1"
    absent = json.dumps({**job(IMAGE), "metadata": {"name": "absent"}})
    merge = "application/merge-patch+json"
    expected = {
        Request("GET", pods): 404,
        Request("GET", PODS): 200,
        Request("GET", f"{PODS}{watched}"): 200,
        Request("GET", jobs): 404,
        Request("GET", JOBS): 200,
        Request("GET", f"{JOBS}{watched}"): 200,
        TRY_CREATE: 201,
        Request("PUT", f"{jobs}?dryRun=All", absent): 404,
        Request("PATCH", f"{jobs}?dryRun=All", "{}", merge): 404,
        Request("DELETE", f"{jobs}?dryRun=All"): 404,
    }
    answers = asker.ask(list(expected), SECONDS)

    told = {request.line: answer.status for request, answer in zip(expected, answers, strict=True)}
    assert told == {request.line: status for request, status in expected.items()}


def test_role_grants_no_other_verb(asker: ProbeSession) -> None:
    """What the Role does not name is refused: other verbs, subresources, resources, namespaces."""
    elsewhere = "/apis/batch/v1/namespaces/kube-system/jobs"
    merge = "application/merge-patch+json"
    user, batch, name = ROBOT.username, "batch", "absent"
    expected = {
        Request("DELETE", f"{JOBS}?dryRun=All&labelSelector=rbac-matrix/selects=nothing"): Denial(
            user, "deletecollection", "jobs", batch, "default"
        ),
        Request("PATCH", f"{JOBS}/absent/status?dryRun=All", "{}", merge): Denial(
            user, "patch", "jobs/status", batch, "default", name
        ),
        Request("POST", "/apis/batch/v1/namespaces/default/cronjobs?dryRun=All", "{}"): Denial(
            user, "create", "cronjobs", batch, "default"
        ),
        Request("POST", f"{elsewhere}?dryRun=All", "{}"): Denial(
            user, "create", "jobs", batch, "kube-system"
        ),
        Request("GET", "/apis/batch/v1/jobs"): Denial(user, "list", "jobs", batch),
        Request("POST", f"{PODS}?dryRun=All", "{}"): Denial(user, "create", "pods", "", "default"),
        Request("DELETE", f"{PODS}/absent?dryRun=All"): Denial(
            user, "delete", "pods", "", "default", name
        ),
        Request("GET", f"{PODS}/absent/log"): Denial(user, "get", "pods/log", "", "default", name),
        Request("GET", "/api/v1/namespaces/default/secrets"): Denial(
            user, "list", "secrets", "", "default"
        ),
    }
    answers = asker.ask(list(expected), SECONDS)

    wrong = [
        f"{request.line}: {answer} {answer.message}"
        for (request, denial), answer in zip(expected.items(), answers, strict=True)
        if answer.denial != denial
    ]
    assert not wrong


@pytest.mark.claim(
    "Jobs are in the API groups `batch` and `extensions`.",
    today="changed since 1.6",
    how="RBAC lets a rule name what is not served: a request for Jobs in `extensions` passes it "
    "and gets a 404. Without the rule it would be a 403, as it is for Deployments there",
)
def test_extensions_serves_no_jobs(asker: ProbeSession) -> None:
    """In the old group, what the Role grants does not exist, and all else is refused."""
    old = "/apis/extensions/v1beta1/namespaces/default"
    jobs, deployments = asker.ask(
        [Request("GET", f"{old}/jobs"), Request("GET", f"{old}/deployments")], SECONDS
    )

    assert jobs.status == 404, jobs
    assert deployments.denial == Denial(
        ROBOT.username, "list", "deployments", "extensions", "default"
    )


@pytest.mark.claim(
    "Patching the Job updates the image of its container.",
    today="was never true",
    how="the document sends the image that the Job has, which is a 200 and changes nothing; "
    "another image is a 422, because the pod template of a Job is immutable",
)
def test_image_of_a_job_is_immutable(stage: Stage, asker: ProbeSession) -> None:
    """The same image is accepted without a new generation; another one is invalid, not denied."""
    path = f"{JOBS}/pi"
    stage.removes(path)
    merge = "application/strategic-merge-patch+json"
    # No pod is wanted here; the template is as immutable as that of a Job which has some.
    made, same, other, deleted = (
        asker.ask([request], SECONDS)[0]
        for request in (
            Request("POST", JOBS, json.dumps(job(IMAGE, parallelism=0))),
            Request("PATCH", path, json.dumps(job(IMAGE)), merge, reads_body=True),
            Request("PATCH", path, json.dumps(job("rbac-matrix/another")), merge),
            Request("DELETE", f"{path}?propagationPolicy=Background"),
        )
    )

    assert made.answer_class is AnswerClass.CREATED, made
    assert same.status == 200, same
    assert json.loads(same.body or "{}")["metadata"]["generation"] == 1
    assert other.status == 422, other
    assert other.message.endswith("field is immutable"), other.message
    assert deleted.status == 200, deleted


def test_without_the_binding_the_403_is_the_documents(stage: Stage, asker: ProbeSession) -> None:
    """With the RoleBinding goes the grant: the next answer is the document's message."""
    stage.remove("rolebinding.yaml")
    answer = wait_for_answer(asker, TRY_CREATE, AnswerClass.DENIED_BY_RBAC, SECONDS)

    assert answer.message == DOCUMENTS_MESSAGE


@pytest.mark.claim(
    "The name of the Role in the binding must match that of the Role.",
    today="true",
    how="a binding to a Role that does not exist is accepted, and grants nothing; the 403 then "
    "says which Role was not found",
)
def test_binding_to_a_missing_role_grants_nothing(stage: Stage, asker: ProbeSession) -> None:
    """The refusal that follows a dangling binding names what it dangles from."""
    (binding,) = load_manifest_file(stage.folder / "rolebinding.yaml")
    body = {**binding.body, "roleRef": {**binding.body["roleRef"], "name": "job-robots"}}
    stage.objects.create(body, "a RoleBinding to a Role that does not exist")
    wanted = f'{DOCUMENTS_MESSAGE}: RBAC: role.rbac.authorization.k8s.io "job-robots" not found'

    def missing() -> str:
        said = wait_for_answer(asker, TRY_CREATE, AnswerClass.DENIED_BY_RBAC, SECONDS).message
        return "" if said == wanted else said

    poll("waiting for the refusal to name the missing Role", missing, SECONDS)
    stage.objects.remove(body, "the same")


@pytest.mark.claim(
    "Role and RoleBinding need not have the name of the ServiceAccount.",
    today="true",
    how="the same rules under the names `starts-jobs` and `robots` grant the same",
)
def test_names_are_free(stage: Stage, asker: ProbeSession) -> None:
    """A Role and a RoleBinding of other names turn the 403 into a 201."""
    (role,) = load_manifest_file(stage.folder / "role.yaml")
    (binding,) = load_manifest_file(stage.folder / "rolebinding.yaml")
    renamed = [
        {**role.body, "metadata": {"namespace": "default", "name": "starts-jobs"}},
        {
            **binding.body,
            "metadata": {"namespace": "default", "name": "robots"},
            "roleRef": {**binding.body["roleRef"], "name": "starts-jobs"},
        },
    ]
    for body in renamed:
        stage.objects.create(body, "the same under another name")
    wait_for_answer(asker, TRY_CREATE, AnswerClass.CREATED, SECONDS)
    for body in reversed(renamed):
        stage.objects.remove(body, "the same under another name")


def test_grant_revoke_grant(stage: Stage, asker: ProbeSession, propagation: Propagation) -> None:
    """The answer follows the binding each time it is made, taken away, and made again."""
    propagation.grant_revoke_grant(stage, "rolebinding.yaml", ROBOT, asker, TRY_CREATE)
