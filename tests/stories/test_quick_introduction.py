"""Quick introduction: a RoleBinding turns a 403 into a 200, through a proxy and without one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from rbac_matrix.admin import Admin
from rbac_matrix.answer import Answer, AnswerClass, Denial
from rbac_matrix.cell import ResourceName, Subject
from rbac_matrix.clusters.credentials import Credentials
from rbac_matrix.manifests import load_manifest_file
from rbac_matrix.requests import Request
from rbac_matrix.stories.awaited import wait_for_answer
from rbac_matrix.stories.pod_exec import Container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.stories.propagation import Propagation
    from rbac_matrix.stories.stage import Stage

pytestmark = pytest.mark.steps

MYAPP1: Final = Subject("default", "myapp1")
MAIN: Final = Container("myapp1", name="main")
ALONE: Final = Container("myapp1-alone", name="main")
DOWNWARD: Final = Container("downward-api", name="main")
PODS: Final = "/api/v1/namespaces/default/pods"
LIST_PODS: Final = Request("GET", f"{PODS}?limit=1")
PROXY: Final = "http://localhost:8001"
DIRECT: Final = "https://kubernetes.default.svc"
MOUNTED: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
REFUSED: Final = Denial(MYAPP1.username, "list", "pods", "", "default")
SECONDS: Final = 10.0  # until a change of a binding is in force


@pytest.fixture(name="asker", scope="module")
def _asker(stage: Stage) -> Iterator[ProbeSession]:
    """Asks as myapp1: from its pod, or with its token where no pod runs."""
    with stage.asker(MYAPP1, MAIN) as asker:
        yield asker


def pod_names(answer: Answer) -> set[str]:
    """The pods in an answered list."""
    document: dict[str, Any] = json.loads(answer.body or "{}")
    return {item["metadata"]["name"] for item in document["items"]}


@pytest.mark.claim(
    "RBAC is on by default; a command shows whether it is.",
    today="true",
    how="the API group `rbac.authorization.k8s.io` is served. That alone proves little, because it "
    "is served under any authorization mode; that nobody is refused does",
)
def test_rbac_is_enabled(stage: Stage) -> None:
    """The API serves roles, and a user whom nothing was granted is refused."""
    stage.objects.discovery.find(ResourceName("rbac.authorization.k8s.io", "roles"))
    question = {"verb": "list", "resource": "pods", "namespace": "default"}

    assert not stage.admin.may("rbac-matrix:nobody", (), question)


@pytest.mark.claim(
    "A ServiceAccount is to an application what a user account is to a person.",
    today="true",
    how="a token of `myapp1` asks as user `system:serviceaccount:default:myapp1`",
)
def test_service_account_is_a_user(stage: Stage) -> None:
    """A token of the new ServiceAccount is of a user with the ServiceAccount's name."""
    stage.apply("serviceaccount.yaml")
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": stage.admin.token(MYAPP1, 600)},
    }
    review = stage.admin.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)

    assert review["status"]["user"]["username"] == "system:serviceaccount:default:myapp1"


@pytest.mark.claim(
    "The command that creates the Role and the YAML file are equivalent.",
    today="true",
    how="`kubectl create role pod-reader --verb=get,list --resource=pods` prints the rules of "
    "`role.yaml`",
)
@pytest.mark.usefixtures("kubelet")
def test_role_by_command_is_the_role_in_yaml(stage: Stage) -> None:
    """What kubectl would create is what the manifest says."""
    ran = stage.kubectl(
        *("create", "role", "pod-reader", "--namespace=default", "--verb=get,list"),
        *("--resource=pods", "--dry-run=client", "--output=yaml"),
    )
    (role,) = load_manifest_file(stage.folder / "role.yaml")

    assert ran.code == 0, f"{ran}"
    made = yaml.safe_load(ran.out)
    assert made["metadata"]["name"] == role.name
    assert made["rules"] == role.body["rules"]


def test_role_exists(stage: Stage) -> None:
    """The Role is created, and bound to nobody."""
    stage.apply("role.yaml")


@pytest.mark.claim(
    "A pod can run as the new ServiceAccount and still list no pods: 403, because no Role is bound "
    "to it.",
    today="true",
    how="curl in `main` asks the `kubectl proxy` beside it on localhost; the 403 names `myapp1`",
)
@pytest.mark.usefixtures("kubelet")
def test_proxy_gets_403_before_the_binding(stage: Stage) -> None:
    """Through the proxy container the pod is known as myapp1, and refused."""
    stage.bring_programs()
    stage.start("story/pod.yaml")
    answer = stage.curl(MAIN, f"{PROXY}{PODS}")

    assert answer.denial == REFUSED, answer


@pytest.mark.claim(
    "Binding with `kubectl create rolebinding --serviceaccount=myapp1` fails: the namespace has to "
    "be added.",
    today="true",
    how="kubectl refuses it without asking the server. In YAML a RoleBinding may leave it out and "
    "then means its own namespace, as the next step shows; a ClusterRoleBinding may not",
)
@pytest.mark.usefixtures("kubelet")
def test_command_without_the_namespace_is_refused(stage: Stage) -> None:
    """Kubectl splits `--serviceaccount` at a colon, and without one there is nothing to bind."""
    ran = stage.kubectl(
        *("create", "rolebinding", "myapp1-pod-reader", "--namespace=default"),
        *("--role=pod-reader", "--serviceaccount=myapp1", "--dry-run=server"),
    )

    assert ran.code != 0
    assert "serviceaccount must be <namespace>:<name>" in ran.err


def test_yaml_without_the_namespace_grants_in_its_own(stage: Stage, asker: ProbeSession) -> None:
    """A RoleBinding whose subject lacks the namespace works as if it named its own."""
    wait_for_answer(asker, LIST_PODS, AnswerClass.DENIED_BY_RBAC, SECONDS)
    stage.apply("story/rolebinding-without-namespace.yaml")
    wait_for_answer(asker, LIST_PODS, AnswerClass.OK, SECONDS)
    stage.remove("story/rolebinding-without-namespace.yaml")
    wait_for_answer(asker, LIST_PODS, AnswerClass.DENIED_BY_RBAC, SECONDS)


def test_cluster_wide_yaml_without_the_namespace_is_refused(stage: Stage) -> None:
    """A ClusterRoleBinding has no namespace of its own to fall back on: the server refuses it."""
    (binding,) = load_manifest_file(stage.folder / "story" / "rolebinding-without-namespace.yaml")
    body = {
        **binding.body,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": binding.name},
        "roleRef": {**binding.body["roleRef"], "kind": "ClusterRole"},
    }
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    status, answer = stage.admin.try_request("POST", path, body, query={"dryRun": "All"})

    assert status == 422, answer
    assert "subjects[0].namespace: Required value" in answer["message"]


def test_grant_revoke_grant(stage: Stage, asker: ProbeSession, propagation: Propagation) -> None:
    """The answer follows the binding each time it is made, taken away, and made again."""
    propagation.grant_revoke_grant(stage, "rolebinding.yaml", MYAPP1, asker, LIST_PODS)


@pytest.mark.claim(
    "With the Role bound to `myapp1`, the pod lists the pods of `default`.",
    today="true",
    how="the same request through the proxy is a 200, and the pod finds itself in the list",
)
@pytest.mark.claim(
    "The containers of a pod share one network, so one of them can be the proxy of the others.",
    today="true",
    how="`main` has no credentials of its own in its request, and is answered on localhost",
)
@pytest.mark.usefixtures("kubelet")
def test_proxy_gets_200_with_the_binding(stage: Stage) -> None:
    """Through the proxy container the pod gets the list that it is in itself."""
    answer = stage.curl(MAIN, f"{PROXY}{PODS}")

    assert answer.status == 200, answer
    assert "myapp1" in pod_names(answer)


@pytest.mark.claim(
    "A Role is confined to its namespace.",
    today="true",
    how="the same request in `kube-system`, and for all namespaces at once, stays a 403",
)
def test_role_ends_at_its_namespace(asker: ProbeSession) -> None:
    """The pods of another namespace, and of all of them, are refused by RBAC."""
    other, everywhere = asker.ask(
        [Request("GET", "/api/v1/namespaces/kube-system/pods"), Request("GET", "/api/v1/pods")],
        SECONDS,
    )

    assert other.denial == Denial(MYAPP1.username, "list", "pods", "", "kube-system")
    assert everywhere.denial == Denial(MYAPP1.username, "list", "pods", "", None)


@pytest.mark.claim(
    "`myapp1` may now execute kubectl's `get` and `list`.",
    today="true",
    how="they are the API's verbs, not kubectl's commands: get and list are answered, and "
    "`delete` of the same pod is refused",
)
def test_role_grants_get_and_list_only(asker: ProbeSession) -> None:
    """Get passes RBAC (the pod asked for does not exist), delete does not."""
    got, deleted = asker.ask(
        [Request("GET", f"{PODS}/absent"), Request("DELETE", f"{PODS}/absent?dryRun=All")], SECONDS
    )

    assert got.answer_class is AnswerClass.NOT_FOUND, got
    assert deleted.denial == Denial(MYAPP1.username, "delete", "pods", "", "default", "absent")


@pytest.mark.claim(
    "Each container finds the CA certificate, a JWT and its namespace in one folder.",
    today="true",
    how="`ca.crt`, `token` and `namespace` lie in `/var/run/secrets/kubernetes.io/serviceaccount`",
)
@pytest.mark.usefixtures("kubelet")
def test_mounted_folder(stage: Stage) -> None:
    """A pod of one container has the three files, and the namespace is its own."""
    stage.start("story/pod-without-proxy.yaml")
    files = stage.run(ALONE, "ls", MOUNTED)
    namespace = stage.run(ALONE, "cat", f"{MOUNTED}/namespace")

    assert files.out.split() == ["ca.crt", "namespace", "token"], files
    assert namespace.out == "default", namespace


@pytest.mark.claim(
    "The API's address is known by its DNS name and by `KUBERNETES_SERVICE_HOST` and "
    "`KUBERNETES_SERVICE_PORT`.",
    today="true",
    how="both are the address of Service `kubernetes`, and both answer with a certificate of the "
    "mounted CA",
)
@pytest.mark.usefixtures("kubelet")
def test_environment_names_the_api(stage: Stage) -> None:
    """The variables and the DNS name lead to the Service kubernetes, which answers."""
    service = stage.admin.request("GET", "/api/v1/namespaces/default/services/kubernetes")["spec"]
    address, port = service["clusterIP"], str(service["ports"][0]["port"])
    told = stage.run(ALONE, "sh", "-c", "echo $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT")
    resolved = stage.run(ALONE, "getent", "hosts", "kubernetes.default.svc")

    assert told.out.split() == [address, port], told
    assert resolved.out.split()[0] == address, resolved
    for server in (f"https://{address}:{port}", DIRECT):
        answer = stage.curl(ALONE, "--cacert", f"{MOUNTED}/ca.crt", f"{server}/version")
        assert answer.status == 200, answer


@pytest.mark.claim(
    "Asking the API directly fails: running in the cluster is not being authenticated.",
    today="true",
    how="without the CA, curl does not trust the server; with it, the server takes the pod for "
    "`system:anonymous` and answers 403",
)
@pytest.mark.usefixtures("kubelet")
def test_pod_without_credentials_is_anonymous(stage: Stage) -> None:
    """The binding helps nobody who does not say who they are."""
    untrusted = stage.run(ALONE, "curl", "--silent", "--show-error", f"{DIRECT}{PODS}")
    anonymous = stage.curl(ALONE, "--cacert", f"{MOUNTED}/ca.crt", f"{DIRECT}{PODS}")

    assert untrusted.code == 60, untrusted  # curl: the peer's certificate cannot be authenticated
    assert anonymous.denial == Denial("system:anonymous", "list", "pods", "", "default")


def test_no_credentials_are_anonymous_anywhere(stage: Stage) -> None:
    """A request without credentials is one by system:anonymous, from wherever it comes."""
    admin = stage.cluster.admin
    nobody = Admin(Credentials(admin.server, admin.ca_file))
    status, answer = nobody.try_request("GET", PODS)

    assert status == 403
    assert answer["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" '
        'in the namespace "default"'
    )


@pytest.mark.claim(
    "One container could do it all; the second one only takes over authentication.",
    today="true",
    how="a pod of one container gets the list that `main` gets through the proxy",
)
@pytest.mark.claim(
    "With the CA and the token of the folder the request works.",
    today="true",
    how="`story/list-pods.sh` lists the pods of its own namespace",
)
@pytest.mark.usefixtures("kubelet")
def test_ca_and_token_get_200(stage: Stage) -> None:
    """Curl with the mounted CA and token gets the list, with no proxy."""
    ran = stage.run(ALONE, "sh", "/story/list-pods.sh", "--silent", "--show-error", "--fail")

    assert ran.code == 0, f"{ran}"
    assert {"myapp1", "myapp1-alone"} <= pod_names(Answer(200, body=ran.out))


@pytest.mark.claim(
    "The token is that of the ServiceAccount `myapp1` that was assigned to the pod.",
    today="true",
    how="its subject is `system:serviceaccount:default:myapp1`; since 1.22 it also names the pod "
    "that it was made for, and ends with it",
)
@pytest.mark.usefixtures("kubelet")
def test_token_is_of_the_service_account_and_the_pod(stage: Stage) -> None:
    """The token's subject is the ServiceAccount, and it is bound to this one pod."""
    ran = stage.run(ALONE, "python3", "/story/token_claims.py")
    pod = stage.admin.request("GET", f"{PODS}/myapp1-alone")

    assert ran.code == 0, f"{ran}"
    claims = json.loads(ran.out)
    assert claims["sub"] == MYAPP1.username
    assert claims["kubernetes.io"]["serviceaccount"]["name"] == "myapp1"
    assert claims["kubernetes.io"]["pod"] == {
        "name": "myapp1-alone",
        "uid": pod["metadata"]["uid"],
    }


@pytest.mark.claim(
    "The same token can be read from the API server, step by step from the ServiceAccount.",
    today="changed since 1.24",
    how="the ServiceAccount names no Secret and none holds a token of it: the pod's token is "
    "stored nowhere in the cluster",
)
def test_token_is_in_no_secret(stage: Stage) -> None:
    """Nobody made a Secret for the ServiceAccount, and it names none."""
    account = stage.admin.request("GET", "/api/v1/namespaces/default/serviceaccounts/myapp1")
    secrets = stage.admin.request("GET", "/api/v1/namespaces/default/secrets")["items"]
    owners = [
        (secret["metadata"].get("annotations") or {}).get("kubernetes.io/service-account.name")
        for secret in secrets
    ]

    assert "secrets" not in account
    assert "myapp1" not in owners


@pytest.mark.claim(
    "A pod that only needs metadata gets it by the Downward API, as environment variables or as a "
    "volume.",
    today="true",
    how="a pod with `automountServiceAccountToken: false` reads its name, namespace and labels, "
    "and has no token at all",
)
@pytest.mark.usefixtures("kubelet")
def test_downward_api_needs_no_access(stage: Stage) -> None:
    """Without a token the pod knows its name, namespace, ServiceAccount and labels."""
    stage.start("story/pod-downward-api.yaml")
    told = stage.run(DOWNWARD, "sh", "-c", "echo $MY_NAME $MY_NAMESPACE $MY_SERVICE_ACCOUNT")
    labels = stage.run(DOWNWARD, "cat", "/about-me/labels")
    name = stage.run(DOWNWARD, "cat", "/about-me/name")
    token = stage.run(DOWNWARD, "ls", MOUNTED)

    assert told.out.split() == ["downward-api", "default", "default"], told
    assert {'app="downward-api"', 'tier="demo"'} <= set(labels.out.splitlines()), labels
    assert name.out == "downward-api", name
    assert token.code != 0, token
