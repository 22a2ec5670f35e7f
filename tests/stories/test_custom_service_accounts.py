"""Custom service accounts: with one of its own, a log exporter reads what it was refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.admin import Admin
from rbac_matrix.answer import Answer, AnswerClass, Denial
from rbac_matrix.cell import Subject
from rbac_matrix.clusters.credentials import Credentials
from rbac_matrix.deadline import poll
from rbac_matrix.manifests import load_manifest_file
from rbac_matrix.pods import is_ready
from rbac_matrix.requests import Request
from rbac_matrix.stories.awaited import wait_for_answer
from rbac_matrix.stories.pod_exec import Container
from rbac_matrix.stories.stage import STATUS_FORMAT, StageError, curl_answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.stories.pod_exec import Ran
    from rbac_matrix.stories.propagation import Propagation
    from rbac_matrix.stories.stage import Stage

pytestmark = pytest.mark.steps

DEFAULT: Final = Subject("default", "default")
EXPORTER: Final = Subject("default", "log-exporter-sa")
EXPLORER: Final = Container("api-explorer")
EXPLORER2: Final = Container("api-explorer2")
ARCHIVE: Final = Container("archive")
PODS: Final = "/api/v1/namespaces/default/pods"
SYSTEM_PODS: Final = "/api/v1/namespaces/kube-system/pods"
LIST_PODS: Final = Request("GET", f"{PODS}?limit=1")
LIST_SYSTEM_PODS: Final = Request("GET", f"{SYSTEM_PODS}?limit=1")
LIST_NAMESPACES: Final = Request("GET", "/api/v1/namespaces?limit=1")
JOB: Final = "/apis/batch/v1/namespaces/default/jobs/log-exporter-by-hand"
EXPORTS: Final = "rbac-matrix-log-exports"
MOUNTED: Final = "/run/secrets/kubernetes.io/serviceaccount"
SECONDS: Final = 10.0  # for answers, and until a change of a binding is in force
WORK_DEADLINE: Final = 90.0  # seconds until logs are written, exported, and their Job is gone

# All that the document prints of it.
DOCUMENTS_403: Final = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": 'pods is forbidden: User "system:serviceaccount:default:default" cannot list '
    'resource "pods" in API group "" in the namespace "default"',
    "reason": "Forbidden",
    "details": {"kind": "pods"},
    "code": 403,
}


@pytest.fixture(name="asker", scope="module")
def _asker(stage: Stage) -> Iterator[ProbeSession]:
    """Asks as log-exporter-sa: from its pod, or with its token where no pod runs."""
    with stage.asker(EXPORTER, EXPLORER2) as asker:
        yield asker


def as_written(stage: Stage, explorer: Container, path: str, *options: str) -> Ran:
    """The document's command, in a pod."""
    return stage.run(explorer, "sh", "/story/ask-as-written.sh", path, "--silent", *options)


def verified(stage: Stage, explorer: Container, path: str) -> Answer:
    """The same request to a server that has to show who it is."""
    options = ("--silent", "--show-error", "--write-out", STATUS_FORMAT)
    return curl_answer(stage.run(explorer, "sh", "/story/ask.sh", path, *options))


@pytest.mark.claim(
    "A pod is given the default ServiceAccount and a token of it.",
    today="true",
    how="the API server writes both into a pod that names neither. Since 1.21 the token is not a "
    "Secret's: it is made for this one pod, ends with it, and is renewed before it expires",
)
def test_pod_gets_the_default_service_account(stage: Stage) -> None:
    """Admission adds the ServiceAccount and a volume with its token to the document's pod."""
    (pod,) = load_manifest_file(stage.folder / "story" / "api-explorer.yaml")
    made = stage.admin.request("POST", PODS, pod.body, query={"dryRun": "All"})["spec"]
    (token,) = (
        source["serviceAccountToken"]
        for volume in made["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        if "serviceAccountToken" in source
    )
    mounts = {mount["mountPath"] for mount in made["containers"][0]["volumeMounts"]}

    assert made["serviceAccountName"] == "default"
    assert f"/var{MOUNTED}" in mounts
    assert token == {"expirationSeconds": 3607, "path": "token"}


@pytest.mark.claim(
    "`kubectl api-explorer -it sh` opens a shell in the pod.",
    today="was never true",
    how="kubectl knows no such command; `kubectl exec -it api-explorer -- sh` does it",
)
@pytest.mark.usefixtures("kubelet")
def test_shell_is_opened_by_exec(stage: Stage) -> None:
    """The command lacks its verb; with it, a command runs in the pod."""
    stage.bring_programs()
    stage.start("story/api-explorer.yaml")
    # Not by the admin's kubectl: behind its own options, a command that is none is another error.
    printed = stage.run(EXPLORER, "kubectl", "api-explorer", "-it", "sh")
    opened = stage.kubectl("exec", "--namespace=default", "api-explorer", "--", "sh", "-c", "pwd")

    assert 'unknown command "api-explorer"' in printed.err, printed
    assert opened.out == "/\n", opened


@pytest.mark.claim(
    "The token is stored in the pod at `/run/secrets/kubernetes.io/serviceaccount/token`.",
    today="true",
    how="the kubelet mounts it below `/var/run`, which is a link to `/run` in most images",
)
@pytest.mark.usefixtures("kubelet")
def test_token_is_in_its_folder(stage: Stage) -> None:
    """Both paths lead to one file, and it is not empty."""
    test = ("test", "-s", f"{MOUNTED}/token", "-a", f"{MOUNTED}/token", "-ef")
    ran = stage.run(EXPLORER, *test, f"/var{MOUNTED}/token")

    assert ran.code == 0, f"{ran}"


@pytest.mark.claim(
    "Under the default ServiceAccount the request for the pods of `default` is a 403.",
    today="true",
    how="the document's command gets the document's answer: each field of its JSON is the same",
)
@pytest.mark.usefixtures("kubelet")
def test_default_gets_the_documents_403(stage: Stage) -> None:
    """The command as written prints the refusal as printed."""
    ran = as_written(stage, EXPLORER, "/api/v1/namespaces/default/pods/")

    assert ran.code == 0, f"{ran}"
    assert json.loads(ran.out) == DOCUMENTS_403


def test_default_is_refused_anywhere(stage: Stage) -> None:
    """A token of the default ServiceAccount gets the document's message, wherever it comes from."""
    with stage.asker(DEFAULT, EXPLORER) as asker:
        answer = asker.ask([Request("GET", f"{PODS}/")], SECONDS)[0]

    assert (answer.status, answer.message) == (403, DOCUMENTS_403["message"])


@pytest.mark.claim(
    "Every request to the API has to carry a valid token.",
    today="was never true",
    how="`/version` is answered to everybody. The pods are not: without a token the request is "
    "`system:anonymous`'s and a 403, and with an invalid one a 401",
)
def test_some_requests_need_no_token(stage: Stage, tmp_path: Path) -> None:
    """No token is somebody whom little is granted; a wrong one is nobody at all."""
    admin = stage.cluster.admin
    invalid = tmp_path / "token"
    invalid.write_text("not-a-token", encoding="ascii")
    anonymous = Admin(Credentials(admin.server, admin.ca_file))
    nobody = Admin(Credentials(admin.server, admin.ca_file, token_file=invalid))
    refused = anonymous.try_request("GET", PODS)

    assert anonymous.try_request("GET", "/version")[0] == 200
    assert refused[0] == 403
    assert 'User "system:anonymous" cannot list resource "pods"' in refused[1]["message"]
    assert nobody.try_request("GET", PODS)[0] == 401


@pytest.mark.claim(
    "With `--insecure` curl can ask `https://kubernetes`.",
    today="true",
    how="and any other server: led to the kubelet's port, the document's command hands the token "
    "over, and the kubelet answers by the ServiceAccount's name. With the CA that lies beside the "
    "token, curl leaves before it has sent anything",
)
@pytest.mark.usefixtures("kubelet")
def test_insecure_hands_the_token_to_any_server(stage: Stage) -> None:
    """A server that is not the API server learns the token, unless its certificate is checked."""
    (pod,) = stage.pods("metadata.name=api-explorer")
    kubelet = f"{pod['status']['hostIP']}:10250"
    told = as_written(stage, EXPLORER, "/pods", "--connect-to", f"kubernetes:443:{kubelet}")
    detour = ("--silent", "--connect-to", f"kubernetes.default.svc:443:{kubelet}")
    checked = stage.run(EXPLORER, "sh", "/story/ask.sh", "/pods", *detour)

    assert told.out.startswith(f"Forbidden (user={DEFAULT.username}, verb=get, resource=nodes")
    assert checked.code == 60, checked  # curl: the peer's certificate cannot be authenticated
    assert not checked.out


@pytest.mark.usefixtures("kubelet")
def test_verified_request_gets_the_same_403(stage: Stage) -> None:
    """Nothing needs --insecure: with the mounted CA the same answer comes, by either name."""
    answer = verified(stage, EXPLORER, f"{PODS}/")
    named = ("--cacert", f"{MOUNTED}/ca.crt", "https://kubernetes/version")

    assert (answer.status, answer.message) == (403, DOCUMENTS_403["message"])
    assert stage.curl(EXPLORER, *named).status == 200


@pytest.mark.claim(
    "A ServiceAccount is only metadata.",
    today="true",
    how="the document's YAML makes one, and the API server adds nothing but metadata",
)
def test_service_account_is_metadata(stage: Stage) -> None:
    """Of the new ServiceAccount the cluster keeps its name and label, and no Secret."""
    stage.apply("serviceaccount.yaml")
    path = "/api/v1/namespaces/default/serviceaccounts/log-exporter-sa"
    account = stage.admin.request("GET", path)

    assert set(account) == {"apiVersion", "kind", "metadata"}
    assert account["metadata"]["labels"]["app"] == "log-exporter"


@pytest.mark.claim(
    "The rules of a ClusterRole are inside its `spec`.",
    today="was never true",
    how="roles have no `spec`, and `rules` is at the top: the document's own YAML is right",
)
def test_cluster_role_has_no_spec(stage: Stage) -> None:
    """The ClusterRole of the document is accepted; with a spec around its rules it is not."""
    stage.apply("clusterrole.yaml")
    (role,) = load_manifest_file(stage.folder / "clusterrole.yaml")
    body = {"apiVersion": role.api_version, "kind": role.kind, "metadata": {"name": "with-spec"}}
    path = f"/apis/{role.api_version}/clusterroles"
    query = {"dryRun": "All", "fieldValidation": "Strict"}
    inside = {**body, "spec": {"rules": role.body["rules"]}}
    status, answer = stage.admin.try_request("POST", path, inside, query=query)

    assert status == 400, answer
    assert 'unknown field "spec"' in answer["message"]


@pytest.mark.claim(
    "`kubectl create` says that a `rolebinding` was created.",
    today="was never true",
    how="for the document's YAML it says `clusterrolebinding`",
)
@pytest.mark.usefixtures("kubelet")
def test_kubectl_creates_a_cluster_role_binding(stage: Stage) -> None:
    """Kubectl names the kind that the YAML names."""
    file = str(stage.folder / "clusterrolebinding.yaml")
    ran = stage.kubectl("create", "--dry-run=server", "--filename", file)

    assert ran.out.startswith("clusterrolebinding.rbac.authorization.k8s.io/log-exporter-rb "), (
        f"{ran}"
    )


@pytest.mark.claim(
    "The pod gets the new ServiceAccount by `spec.serviceAccountName` in its file.",
    today="true",
    how="for a new pod, such as the `api-explorer2` of the document's output. That of a running "
    "pod cannot be changed: 422",
)
@pytest.mark.usefixtures("kubelet")
def test_running_pod_keeps_its_service_account(stage: Stage) -> None:
    """The first explorer stays what it is; a second one runs as log-exporter-sa."""
    path = f"{PODS}/api-explorer"
    pod = stage.admin.request("GET", path)
    pod["spec"] |= {"serviceAccountName": EXPORTER.name, "serviceAccount": EXPORTER.name}
    status, answer = stage.admin.try_request("PUT", path, pod, query={"dryRun": "All"})
    stage.start("story/api-explorer2.yaml")

    assert status == 422, answer
    assert "pod updates may not change fields other than" in answer["message"]


@pytest.mark.claim(
    "The ClusterRoleBinding has to name the namespace of the ServiceAccount, or it does not work.",
    today="true",
    how="with another namespace it is accepted, and grants to a ServiceAccount there, whether "
    "there is one or not; `log-exporter-sa` in `default` gets its 403",
)
def test_binding_names_the_namespace(stage: Stage, asker: ProbeSession) -> None:
    """While the namesake in kube-system may list pods, log-exporter-sa may not."""
    namesake = Subject("kube-system", EXPORTER.name)
    question = {"verb": "list", "resource": "pods", "namespace": "default"}
    stage.apply("story/clusterrolebinding-wrong-namespace.yaml")

    def missing() -> str:
        allowed = stage.admin.may(namesake.username, namesake.groups, question)
        return "" if allowed else f"{namesake} may not"

    poll(f"waiting for {namesake} to be allowed to list pods", missing, SECONDS)
    answer = asker.ask([LIST_PODS], SECONDS)[0]
    stage.remove("story/clusterrolebinding-wrong-namespace.yaml")

    assert answer.denial == Denial(EXPORTER.username, "list", "pods", "", "default"), answer


@pytest.mark.claim(
    "A Role is limited to one namespace, so the exporter needs a ClusterRole.",
    today="true",
    how="and a ClusterRoleBinding: bound by a RoleBinding in `default`, the same ClusterRole ends "
    "there, and namespaces cannot be listed at all",
)
def test_role_binding_limits_the_cluster_role(stage: Stage, asker: ProbeSession) -> None:
    """Which binding it is decides where a ClusterRole holds."""
    stage.apply("story/rolebinding.yaml")
    wait_for_answer(asker, LIST_PODS, AnswerClass.OK, SECONDS)
    system, namespaces = asker.ask([LIST_SYSTEM_PODS, LIST_NAMESPACES], SECONDS)
    stage.remove("story/rolebinding.yaml")

    assert system.denial == Denial(EXPORTER.username, "list", "pods", "", "kube-system"), system
    assert namespaces.denial == Denial(EXPORTER.username, "list", "namespaces"), namespaces


def test_grant_revoke_grant(stage: Stage, asker: ProbeSession, propagation: Propagation) -> None:
    """The answer follows the binding each time it is made, taken away, and made again."""
    propagation.grant_revoke_grant(stage, "clusterrolebinding.yaml", EXPORTER, asker, LIST_PODS)


@pytest.mark.claim(
    "Under `log-exporter-sa` the same request works.",
    today="true",
    how="the document's command and the verified one get the list, with `api-explorer2` in it",
)
@pytest.mark.claim(
    "The list and each pod in it have a `selfLink`.",
    today="changed since 1.20",
    how="neither has one any more",
)
@pytest.mark.usefixtures("kubelet")
def test_exporter_lists_pods(stage: Stage) -> None:
    """From the second explorer the document's command gets a PodList that it is in itself."""
    ran = as_written(stage, EXPLORER2, "/api/v1/namespaces/default/pods/")
    answer = verified(stage, EXPLORER2, f"{PODS}/")

    assert ran.code == 0, f"{ran}"
    found = json.loads(ran.out)
    assert (found["kind"], answer.status) == ("PodList", 200)
    assert "api-explorer2" in {pod["metadata"]["name"] for pod in found["items"]}
    assert not [each for each in (found, *found["items"]) if "selfLink" in each["metadata"]]


@pytest.mark.claim(
    "The exporter needs to read namespaces and pods, and the ClusterRole lets it everywhere.",
    today="true",
    how="it gets and lists them in `kube-system` and everywhere. To export logs alone, pods and "
    "`pods/log` would do",
)
def test_exporter_reads_everywhere(asker: ProbeSession) -> None:
    """Each request that the ClusterRole is for passes RBAC, in every namespace."""
    expected = {
        LIST_NAMESPACES: 200,
        Request("GET", "/api/v1/namespaces/kube-system"): 200,
        Request("GET", "/api/v1/pods?limit=1"): 200,
        LIST_SYSTEM_PODS: 200,
        Request("GET", f"{SYSTEM_PODS}/absent"): 404,
        Request("GET", f"{SYSTEM_PODS}/absent/log"): 404,
    }
    answers = asker.ask(list(expected), SECONDS)

    told = {request.line: answer.status for request, answer in zip(expected, answers, strict=True)}
    assert told == {request.line: status for request, status in expected.items()}


@pytest.mark.claim(
    "The log of a pod in another namespace can be read: that of CoreDNS in `kube-system`.",
    today="true",
    how="the document's command prints it, `CoreDNS-` and its version included; it is what "
    "`kubectl logs` shows the admin",
)
@pytest.mark.claim(
    "A log is at `/api/v1/namespaces/{namespace}/pods/{name}/log`, and needs both exactly.",
    today="true",
    how="the same pod's name in another namespace is a 404",
)
@pytest.mark.usefixtures("kubelet")
def test_exporter_reads_the_log_of_coredns(stage: Stage) -> None:
    """The exporter finds a CoreDNS pod by its label and reads what the admin reads."""
    name = ""

    def missing() -> str:
        nonlocal name
        answer = verified(stage, EXPLORER2, f"{SYSTEM_PODS}?labelSelector=k8s-app%3Dkube-dns")
        pods: list[dict[str, Any]] = json.loads(answer.body or "{}").get("items", [])
        ready = sorted(pod["metadata"]["name"] for pod in pods if is_ready(pod["status"]))
        name = ready[0] if ready else ""
        return "" if ready else f"{answer}; none of {len(pods)} is ready"

    poll("waiting for a CoreDNS pod", missing, WORK_DEADLINE)
    read = as_written(stage, EXPLORER2, f"{SYSTEM_PODS}/{name}/log")
    shown = stage.kubectl("logs", "--namespace=kube-system", name)
    elsewhere = verified(stage, EXPLORER2, f"{PODS}/{name}/log")

    assert "\nCoreDNS-" in read.out, read
    assert shown.out.startswith(read.out), shown  # It may have grown since.
    assert elsewhere.status == 404, elsewhere


@pytest.mark.claim(
    "The verbs `get` and `list` are for reading and listing.",
    today="true",
    how="delete, watch and create are refused, on pods and on `pods/exec`",
)
def test_exporter_only_reads(asker: ProbeSession) -> None:
    """It cannot delete a pod, watch pods, or run anything in one, by GET or by POST."""
    user, shell = EXPORTER.username, f"{SYSTEM_PODS}/absent/exec?command=sh&stdout=true"
    system = ("", "kube-system")
    expected = {
        Request("DELETE", f"{SYSTEM_PODS}/absent?dryRun=All"): Denial(
            user, "delete", "pods", *system, "absent"
        ),
        Request("GET", f"{SYSTEM_PODS}?watch=true&timeoutSeconds=1"): Denial(
            user, "watch", "pods", *system
        ),
        Request("GET", shell): Denial(user, "get", "pods/exec", *system, "absent"),
        Request("POST", shell): Denial(user, "create", "pods/exec", *system, "absent"),
        Request("POST", f"{SYSTEM_PODS}?dryRun=All", "{}"): Denial(user, "create", "pods", *system),
    }
    answers = asker.ask(list(expected), SECONDS)

    wrong = [
        f"{request.line}: {answer} {answer.message}"
        for (request, denial), answer in zip(expected.items(), answers, strict=True)
        if answer.denial != denial
    ]
    assert not wrong


@pytest.mark.usefixtures("kubelet")
def test_exporter_opens_no_shell(stage: Stage) -> None:
    """The kubectl within its pod may not run a command in the other explorer, which is there."""
    ran = stage.run(EXPLORER2, "kubectl", "exec", "api-explorer", "--", "true")

    assert ran.code != 0
    assert f'User "{EXPORTER.username}" cannot create resource "pods/exec"' in ran.err, f"{ran}"


@pytest.mark.usefixtures("kubelet")
def test_short_name_is_of_one_namespace(stage: Stage) -> None:
    """The document's host `kubernetes` is a Service of default; in other namespaces it is none."""
    stage.start("story/log-writers.yaml")
    writer = Container("log-writer", "log-writers", "writer")
    # As the resolver does with a short name, but without asking the world outside in the end.
    own_domain = "$(sed -n 's/^search \\([^ ]*\\).*/\\1/p' /etc/resolv.conf)"
    look_up = ("sh", "-c", f"getent hosts kubernetes.{own_domain}.")

    assert stage.run(EXPLORER, *look_up).code == 0
    assert stage.run(writer, *look_up).code == 2  # getent: not found
    assert stage.run(writer, "getent", "hosts", "kubernetes.default.svc").code == 0


def written(stage: Stage) -> dict[str, str]:
    """What the pods that are to be exported have written, as the admin sees it, by file."""
    logs = {}
    for namespace in ("default", "log-writers"):
        for pod in stage.pods("export-logs=yes", namespace):
            name = pod["metadata"]["name"]
            for container in (each["name"] for each in pod["spec"]["containers"]):
                ran = stage.kubectl("logs", "--namespace", namespace, name, "-c", container)
                logs[f"{namespace}/{name}/{container}.log"] = ran.out
    return logs


@pytest.mark.claim(
    "With suitable access rights the exporter can run in the cluster, as a cron job.",
    today="true",
    how="a CronJob under `log-exporter-sa` exports the logs of labelled pods of two namespaces to "
    "a volume. It is suspended, so that no clock starts it, and triggered by a Job that kubectl "
    "makes of it",
)
@pytest.mark.usefixtures("kubelet")
def test_cron_job_runs_the_exporter(stage: Stage) -> None:
    """A Job made of the CronJob completes, under the CronJob's ServiceAccount."""
    stage.start("story/volume.yaml")
    stage.apply("story/cronjob.yaml")

    def unwritten() -> str:
        return ", ".join(file for file, log in written(stage).items() if not log)

    poll("waiting for logs to be written", unwritten, WORK_DEADLINE)
    stage.removes(JOB)
    trigger = ("job", "log-exporter-by-hand", "--from=cronjob/log-exporter")
    ran = stage.kubectl("create", "--namespace=default", *trigger)
    assert ran.code == 0, f"{ran}"

    def missing() -> str:
        status = stage.admin.request("GET", JOB)["status"]
        conditions = {each["type"] for each in status.get("conditions", ())}
        if "Failed" in conditions:
            said = stage.kubectl("logs", "--namespace=default", "job/log-exporter-by-hand")
            raise StageError(f"the export has failed; its log is\n{(said.out or said.err).strip()}")
        return "" if "Complete" in conditions else f"conditions: {sorted(conditions)}"

    poll("waiting for the export", missing, WORK_DEADLINE)
    accounts = [pod["spec"]["serviceAccountName"] for pod in stage.pods("app=log-exporter")]

    assert accounts == ["log-exporter-sa"]


@pytest.mark.usefixtures("kubelet")
def test_exported_logs_outlive_the_job(stage: Stage) -> None:
    """When Job and pod are gone, the volume has a file a container, as it was written."""
    stage.admin.request("DELETE", JOB, query={"propagationPolicy": "Foreground"})

    def left() -> str:
        names = [pod["metadata"]["name"] for pod in stage.pods("app=log-exporter")]
        return ", ".join(names)

    poll("waiting for the export's pod to be gone", left, WORK_DEADLINE)
    files = stage.run(ARCHIVE, "find", EXPORTS, "-type", "f", "-printf", "%P\n").out.split()
    exported = {file: stage.run(ARCHIVE, "cat", f"{EXPORTS}/{file}").out for file in files}

    assert exported == written(stage)
    assert len(exported) == 4
