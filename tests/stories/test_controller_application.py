"""Controller application: a component lists, watches and follows what runs in its namespace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.answer import AnswerClass, Denial
from rbac_matrix.cell import ResourceName, Subject
from rbac_matrix.client import MERGE_PATCH
from rbac_matrix.deadline import poll
from rbac_matrix.requests import Request
from rbac_matrix.stories.pod_exec import Container

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.stories.pod_exec import Ran
    from rbac_matrix.stories.propagation import Propagation
    from rbac_matrix.stories.stage import Stage

pytestmark = pytest.mark.steps

NAMESPACE: Final = "mynamespace"
COMPONENT: Final = Subject(NAMESPACE, "mycomponent-serviceaccount")
NODE_READER: Final = Subject(NAMESPACE, "mycomponent-node-reader")
MAIN: Final = Container("mycomponent", NAMESPACE, "main")
PODS_WATCHER: Final = Container("mycomponent-watching", NAMESPACE, "pods")
ENDPOINTS_WATCHER: Final = Container("mycomponent-watching", NAMESPACE, "endpoints")
NODES_MAIN: Final = Container("mycomponent-node-reader", NAMESPACE, "main")
ROOT: Final = f"/api/v1/namespaces/{NAMESPACE}"
PODS: Final = f"{ROOT}/pods"
ENDPOINTS: Final = f"{ROOT}/endpoints"
LIST_PODS: Final = Request("GET", f"{PODS}?limit=1")
LIST_NODES: Final = Request("GET", "/api/v1/nodes?limit=1")
MOUNTED: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
SECONDS: Final = 10.0  # until what the cluster has to do is done
FOLLOWS: Final = 20.0  # seconds until a change has reached whoever watches
LASTING: Final = 30.0  # seconds that a record of the cluster's DNS may be kept


@pytest.fixture(name="asker", scope="module")
def _asker(stage: Stage) -> Iterator[ProbeSession]:
    """Asks as the component: from its pod, or with its token where no pod runs."""
    with stage.asker(COMPONENT, MAIN) as asker:
        yield asker


def printed(ran: Ran) -> Any:  # noqa: ANN401 - JSON
    """What a program printed as JSON."""
    assert ran.code == 0, f"{ran}"
    return json.loads(ran.out)


def log(stage: Stage, container: Container) -> list[dict[str, Any]]:
    """What a program has printed since its container started, an object a line."""
    chosen = ("--namespace", container.namespace, container.pod, "--container", container.name)
    ran = stage.kubectl("logs", *chosen)
    assert ran.code == 0, f"{ran}"
    return [json.loads(line) for line in ran.out.splitlines() if line.startswith("{")]


def follow(
    stage: Stage, container: Container, what: str, reached: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Wait until the last thing that a program has printed is what it should be; all it printed."""
    lines: list[dict[str, Any]] = []

    def missing() -> str:
        lines[:] = log(stage, container)
        return "" if lines and reached(lines[-1]) else f"last it printed {lines[-1:]}"

    poll(f"waiting for {container.name} to see {what}", missing, FOLLOWS)
    return lines


def ready_pods(stage: Stage) -> dict[str, str]:
    """The pods of the application by address and port, as the admin sees them."""
    pods = stage.pods("app=web", NAMESPACE)
    return {f"{pod['status']['podIP']}:8080": pod["metadata"]["name"] for pod in pods}


@pytest.mark.claim(
    "`kubectl get serviceaccounts` is likely to show a single one, `default`.",
    today="true",
    how="a new namespace has exactly this one, made by the controller manager",
)
def test_new_namespace_has_one_account(stage: Stage) -> None:
    """Nobody asked for it: a new namespace has the ServiceAccount default, and no other."""
    stage.apply("00-namespace.yaml")
    names: list[str] = []

    def missing() -> str:
        accounts = stage.admin.request("GET", f"{ROOT}/serviceaccounts")["items"]
        names[:] = [account["metadata"]["name"] for account in accounts]
        return "" if names else "there is none"

    poll("waiting for the first ServiceAccount", missing, SECONDS)

    assert names == ["default"]


@pytest.mark.claim(
    "A pod without a specific configuration gets a ServiceAccount of a generic namespace, with "
    "generic authorisation.",
    today="was never true",
    how="it gets `default` of its own namespace, to which RBAC grants nothing",
)
@pytest.mark.claim(
    "Every pod has a ServiceAccount associated to it.",
    today="true",
    how="a pod that names none comes out of admission with `serviceAccountName: default`",
)
@pytest.mark.claim(
    "The token lies under `/var/run/secrets/`, in a directory specific to the namespace.",
    today="was never true",
    how="the folder is `/var/run/secrets/kubernetes.io/serviceaccount` in every namespace; its "
    "file `namespace` says which one it is",
)
def test_account_and_folder_of_a_pod_that_asks_for_nothing(stage: Stage) -> None:
    """In any namespace a pod gets that namespace's default account, in the same folder."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tried"},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    }
    specs = [
        stage.admin.request(
            "POST", f"/api/v1/namespaces/{namespace}/pods", body, query={"dryRun": "All"}
        )["spec"]
        for namespace in ("default", NAMESPACE)
    ]
    question = {"verb": "list", "resource": "pods", "namespace": NAMESPACE}
    user = f"system:serviceaccount:{NAMESPACE}:default"
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}")

    assert [spec["serviceAccountName"] for spec in specs] == ["default", "default"]
    folders = [spec["containers"][0]["volumeMounts"][0]["mountPath"] for spec in specs]
    assert folders == [MOUNTED, MOUNTED]
    assert not stage.admin.may(user, groups, question)


@pytest.mark.claim(
    "A ServiceAccount may have a namespace scope.",
    today="true",
    how="it always has one: the API serves ServiceAccounts in namespaces only",
)
@pytest.mark.claim(
    "A ServiceAccount gets a label by `labels: mycomponent`.",
    today="was never true",
    how="a label is a key and a value; the API server refuses the text with a 400",
)
def test_own_service_account(stage: Stage) -> None:
    """A ServiceAccount of one's own has a namespace and labels with keys."""
    stage.apply("serviceaccount.yaml")
    body = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "tried", "labels": "mycomponent"},
    }
    status, answer = stage.admin.try_request(
        "POST", f"{ROOT}/serviceaccounts", body, query={"dryRun": "All"}
    )

    assert stage.objects.discovery.find(ResourceName("", "serviceaccounts")).namespaced
    assert status == 400, answer
    assert "cannot unmarshal string" in answer["message"]


def test_role_exists(stage: Stage) -> None:
    """The Role is created, and bound to nobody."""
    stage.apply("role.yaml")


@pytest.mark.usefixtures("kubelet")
def test_component_runs(stage: Stage) -> None:
    """A pod runs under the ServiceAccount, beside those of another application."""
    stage.bring_programs(NAMESPACE)
    stage.start("story/web.yaml", "story/pod.yaml")


@pytest.mark.claim(
    "`kubectl -n NAMESPACE get pods/PODNAME -o yaml | grep serviceAccountName` shows which "
    "ServiceAccount a pod has.",
    today="true",
    how="for the component's pod it is `mycomponent-serviceaccount`",
)
@pytest.mark.claim(
    "The token is also to be seen among the mounts of the containers.",
    today="true",
    how="`kubectl describe pod` lists the folder below `Mounts`; the token itself is not shown",
)
@pytest.mark.usefixtures("kubelet")
def test_pod_shows_its_account_and_its_mounts(stage: Stage) -> None:
    """Whoever may read the pod reads its ServiceAccount and where the token is."""
    shown = stage.kubectl("-n", NAMESPACE, "get", "pods/mycomponent", "-o", "yaml")
    described = stage.kubectl("-n", NAMESPACE, "describe", "pods/mycomponent")
    accounts = [line.strip() for line in shown.out.splitlines() if "serviceAccountName" in line]

    assert accounts == ["serviceAccountName: mycomponent-serviceaccount"]
    mounts = described.out.partition("Mounts:")[2].partition("Conditions:")[0]
    assert f"{MOUNTED} from kube-api-access-" in mounts


@pytest.mark.claim(
    "Authentication uses the token that is reachable within the pod, the pod's namespace and the "
    "internal certificate authority.",
    today="true",
    how="the folder has `token`, `namespace` and `ca.crt`, and the namespace is the pod's own",
)
@pytest.mark.usefixtures("kubelet")
def test_mounted_folder(stage: Stage) -> None:
    """The pod has its three files."""
    files = stage.run(MAIN, "ls", MOUNTED)
    namespace = stage.run(MAIN, "cat", f"{MOUNTED}/namespace")

    assert files.out.split() == ["ca.crt", "namespace", "token"]
    assert namespace.out == NAMESPACE


@pytest.mark.usefixtures("kubelet")
def test_program_is_refused_before_the_binding(stage: Stage) -> None:
    """Without a binding the Python client raises the 403 of RBAC."""
    ran = stage.run(MAIN, "python3", "/story/list_pods.py", "app=mycomponent")

    assert ran.code == 1, f"{ran}"
    assert f'403: pods is forbidden: User "{COMPONENT.username}" cannot list' in ran.err


@pytest.mark.claim(
    "A ServiceAccount gets fine-grained permissions by a Role and a RoleBinding: get, list and "
    "watch on the pods and endpoints of one namespace.",
    today="true",
    how="the list of pods is a 403 before the binding and a 200 with it; get, list and watch of "
    "both are answered, and nothing else is",
)
def test_grant_revoke_grant(stage: Stage, asker: ProbeSession, propagation: Propagation) -> None:
    """The answer follows the binding each time it is made, taken away, and made again."""
    propagation.grant_revoke_grant(stage, "rolebinding.yaml", COMPONENT, asker, LIST_PODS)


def test_role_grants_what_it_says(stage: Stage, asker: ProbeSession) -> None:
    """Get, list and watch on pods and endpoints are answered; all else is refused by RBAC."""
    stage.apply("story/services.yaml")
    watch = "watch=true&timeoutSeconds=1"
    granted = [Request("GET", PODS), Request("GET", f"{PODS}?{watch}")]
    granted += [Request("GET", ENDPOINTS), Request("GET", f"{ENDPOINTS}?{watch}")]
    refused = [
        Request("DELETE", f"{PODS}/absent?dryRun=All"),
        Request("GET", f"{PODS}/absent/log"),
        Request("GET", f"{ROOT}/services/web"),
        Request("GET", f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"),
        Request("GET", "/api/v1/namespaces/default/pods"),
        Request("GET", "/api/v1/endpoints"),
    ]
    absent = Request("GET", f"{PODS}/absent")
    asked = [absent, *granted, *refused]
    answers = zip(asked, asker.ask(asked, SECONDS), strict=True)

    assert {request.line: str(answer) for request, answer in answers} == {
        absent.line: "404 not found",
        **{request.line: "200 ok" for request in granted},
        **{request.line: "403 denied by RBAC" for request in refused},
    }


def test_binding_means_the_account_of_its_namespace(stage: Stage) -> None:
    """An account of the same name elsewhere, where the article's YAML may put it, gets nothing."""
    question = {"verb": "list", "resource": "pods", "namespace": NAMESPACE}
    groups = ("system:serviceaccounts", "system:serviceaccounts:default")
    elsewhere = Subject("default", COMPONENT.name)

    assert stage.admin.may(COMPONENT.username, groups, question)
    assert not stage.admin.may(elsewhere.username, groups, question)


@pytest.mark.usefixtures("kubelet")
def test_component_goes_to_work(stage: Stage) -> None:
    """With the binding, the component's own programs run."""
    stage.start("story/pod-watching.yaml")
    listed = follow(stage, PODS_WATCHER, "a list", lambda event: event["type"] == "LISTED")

    assert listed == [{"type": "LISTED", "pods": []}]


@pytest.mark.claim(
    "For requests from within, the API is at `https://kubernetes.default.svc`.",
    today="true",
    how="curl in the pod asks this name",
)
@pytest.mark.claim(
    "curl with the CA and the bearer token lists the pods of the own namespace.",
    today="true",
    how="`story/list-pods.sh` gets a 200, and the pod finds itself in the list. The token goes "
    "through a pipe: a command line can be read by others",
)
@pytest.mark.usefixtures("kubelet")
def test_curl_lists_the_own_namespace(stage: Stage) -> None:
    """With the folder's token and authority, curl gets the pods of the folder's namespace."""
    pods = printed(stage.run(MAIN, "sh", "/story/list-pods.sh", "--silent", "--show-error"))

    assert {pod["metadata"]["namespace"] for pod in pods["items"]} == {NAMESPACE}
    assert "mycomponent" in {pod["metadata"]["name"] for pod in pods["items"]}


@pytest.mark.claim(
    "Most examples run as a user, by the local kubeconfig; in a container a program can inherit "
    "the ServiceAccount of its pod.",
    today="true",
    how="there is no kubeconfig in the pod, so `load_kube_config` ends with an error; the story's "
    "programs call `load_incluster_config`",
)
@pytest.mark.usefixtures("kubelet")
def test_pod_has_no_kubeconfig(stage: Stage) -> None:
    """What most examples call finds nothing in a pod."""
    program = "from kubernetes import config; config.load_kube_config()"
    ran = stage.run(MAIN, "python3", "-c", program)

    assert ran.code == 1, f"{ran}"
    assert "ConfigException: Invalid kube-config file" in ran.err


@pytest.mark.claim(
    "With the Python client it is easy to list the pods of a namespace that match an application's "
    "label: `list_namespaced_pod` with `label_selector`.",
    today="true",
    how="`story/list_pods.py` prints the component's pods for `app=mycomponent`, and those of the "
    "other application for `app=web`",
)
@pytest.mark.usefixtures("kubelet")
def test_client_lists_by_label(stage: Stage) -> None:
    """The Python client gets the pods with the label, and only them."""
    ran = stage.run(MAIN, "python3", "/story/list_pods.py", "app=mycomponent", "app=web")

    assert printed(ran) == {
        "app=mycomponent": ["mycomponent", "mycomponent-watching"],
        "app=web": sorted(ready_pods(stage).values()),
    }


@pytest.mark.claim(
    "A single request, `list_pod_for_all_namespaces`, lists the pods of any namespace.",
    today="was never true",
    how="not under the Role that the article goes on to make: this is a request at cluster scope, "
    "which no Role reaches, and the program prints the 403",
)
@pytest.mark.usefixtures("kubelet")
def test_client_may_not_list_all_namespaces(stage: Stage) -> None:
    """The article's first call is refused under the article's own Role."""
    ran = stage.run(MAIN, "python3", "/story/list_pods.py")

    assert ran.code == 1, f"{ran}"
    assert ran.err.startswith(
        f'403: pods is forbidden: User "{COMPONENT.username}" cannot list resource "pods" in API '
        'group "" at the cluster scope'
    )


def test_list_of_all_namespaces_is_refused(asker: ProbeSession) -> None:
    """The same request without the client gets the same refusal."""
    (answer,) = asker.ask([Request("GET", "/api/v1/pods?limit=1")], SECONDS)

    assert answer.denial == Denial(COMPONENT.username, "list", "pods", "", None)


@pytest.mark.claim(
    "A watch is a subscription: it notifies of each change, as ADDED, MODIFIED or DELETED.",
    today="true",
    how="a watch from before a pod came gives its whole life in this order. There are two more "
    "types: BOOKMARK, if asked for, and ERROR",
)
def test_watch_gives_the_life_of_a_pod(stage: Stage, asker: ProbeSession) -> None:
    """From where a list was made, a watch gives all that has happened since."""
    listed = stage.admin.request("GET", PODS, query={"limit": "1"})
    if stage.cluster.runs_pods:
        stage.start("story/canary.yaml")
    else:
        stage.apply("story/canary.yaml")
    change = {"metadata": {"labels": {"mood": "loud"}}}
    changed = stage.admin.send("PATCH", f"{PODS}/canary", change, content_type=MERGE_PATCH)
    assert changed.status == 200, f"{changed}"
    stage.remove("story/canary.yaml")
    query = (
        "watch=true&timeoutSeconds=1&labelSelector=app%3Dcanary"
        f"&resourceVersion={listed['metadata']['resourceVersion']}"
    )
    (answer,) = asker.ask([Request("GET", f"{PODS}?{query}", reads_body=True)], SECONDS)
    events = [json.loads(line) for line in (answer.body or "").splitlines()]
    types = [event["type"] for event in events]
    moods = [event["object"]["metadata"]["labels"]["mood"] for event in events]

    assert (types[0], types[-1]) == ("ADDED", "DELETED"), types
    assert set(types[1:-1]) == {"MODIFIED"}
    assert (moods[0], moods[-1]) == ("quiet", "loud")


@pytest.mark.claim(
    "Each event carries rich information on the resource as it is at that moment.",
    today="true",
    how="`story/watch_pods.py`, the component's own program, prints labels, phase and address of "
    "the same pod, all along",
)
@pytest.mark.usefixtures("kubelet")
def test_component_watches_pods(stage: Stage) -> None:
    """The component has seen that pod come, start, get another label, and go."""
    listed, *events = follow(
        stage, PODS_WATCHER, "the canary go", lambda event: event["type"] == "DELETED"
    )
    types = [event["type"] for event in events]
    loud = [event for event in events if event["labels"]["mood"] == "loud"]

    assert listed["type"] == "LISTED"
    assert (types[0], set(types[1:-1]), types[-1]) == ("ADDED", {"MODIFIED"}, "DELETED")
    assert {event["pod"] for event in events} == {"canary"}
    assert events[0]["labels"]["mood"] == "quiet"
    assert (loud[0]["phase"], bool(loud[0]["address"])) == ("Running", True)


@pytest.mark.claim(
    "An application in a pod can learn in real time which endpoints of other applications are "
    "available.",
    today="true",
    how="`story/watch_endpoints.py` prints the addresses of Service `web`, and follows as one of "
    "its pods goes and another one comes",
)
@pytest.mark.usefixtures("kubelet")
def test_component_follows_endpoints(stage: Stage) -> None:
    """The addresses of the Service are those of its ready pods: two, one, and two again."""
    for count in (2, 1, 2):
        ran = stage.kubectl("-n", NAMESPACE, "scale", "deployment/web", f"--replicas={count}")
        assert ran.code == 0, f"{ran}"
        stage.wait_until_ready("app=web", NAMESPACE, count)
        wanted = ready_pods(stage)
        follow(
            stage,
            ENDPOINTS_WATCHER,
            f"{wanted}",
            lambda event, wanted=wanted: event["ready"] == wanted,
        )


@pytest.mark.claim(
    "DNS gives the active endpoints of a Service in most cases, with a time to live.",
    today="true",
    how="of a headless Service; of any other one it gives the Service's own address. The records "
    "last 30 s at most, and have addresses only: Endpoints also name the pod and the port",
)
@pytest.mark.usefixtures("kubelet")
def test_dns_gives_the_addresses_of_a_headless_service(stage: Stage) -> None:
    """The records of the headless Service are the ready pods, for seconds only."""
    domain = f"{NAMESPACE}.svc.cluster.local"
    wanted = {address.partition(":")[0] for address in ready_pods(stage)}
    service = stage.admin.request("GET", f"{ROOT}/services/web")["spec"]["clusterIP"]
    pods: dict[str, int] = {}

    def missing() -> str:
        pods.clear()
        ran = stage.run(MAIN, "python3", "/story/dns_records.py", f"web-addresses.{domain}")
        pods.update(printed(ran))
        return "" if set(pods) == wanted else f"{sorted(pods)} instead of {sorted(wanted)}"

    poll("waiting for the records of web-addresses", missing, FOLLOWS + LASTING)
    usual = printed(stage.run(MAIN, "python3", "/story/dns_records.py", f"web.{domain}"))

    assert set(usual) == {service}
    assert all(0 < seconds <= LASTING for seconds in (*pods.values(), *usual.values()))


@pytest.mark.claim(
    "What cannot be restricted to a namespace, such as Nodes, takes a ClusterRole.",
    today="true",
    how="and a ClusterRoleBinding: the same ClusterRole by a RoleBinding leaves the list of nodes "
    "a 403, though the binding is in force in its namespace",
)
def test_nodes_need_a_cluster_role_binding(stage: Stage) -> None:
    """Nodes are refused under a RoleBinding to the ClusterRole, and answered under the other."""
    stage.apply("clusterrole.yaml", "story/rolebinding-to-clusterrole.yaml")
    if stage.cluster.runs_pods:
        stage.start("story/pod-node-reader.yaml")
    question = {"verb": "list", "resource": "nodes", "namespace": NAMESPACE}
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}")

    def not_in_force() -> str:
        may = stage.admin.may(NODE_READER.username, groups, question)
        return "" if may else "it grants nothing in its namespace either"

    poll("waiting for the RoleBinding", not_in_force, SECONDS)
    with stage.asker(NODE_READER, NODES_MAIN) as node_reader:
        (refused,) = node_reader.ask([LIST_NODES], SECONDS)
        assert refused.denial == Denial(NODE_READER.username, "list", "nodes", "", None)

        stage.apply("clusterrolebinding.yaml")

        def not_granted() -> str:
            (answer,) = node_reader.ask([LIST_NODES], SECONDS)
            return "" if answer.answer_class is AnswerClass.OK else f"{answer} {answer.message}"

        poll("waiting for the ClusterRoleBinding", not_granted, SECONDS)
        (pods,) = node_reader.ask([LIST_PODS], SECONDS)

    assert pods.denial == Denial(NODE_READER.username, "list", "pods", "", NAMESPACE)


def test_component_may_not_read_nodes(asker: ProbeSession) -> None:
    """The grant on nodes is the other account's: the component is still refused."""
    (answer,) = asker.ask([LIST_NODES], SECONDS)

    assert answer.denial == Denial(COMPONENT.username, "list", "nodes", "", None)


@pytest.mark.usefixtures("kubelet")
def test_client_lists_nodes(stage: Stage) -> None:
    """With the Python client the second account gets the nodes."""
    nodes = printed(stage.run(NODES_MAIN, "python3", "/story/list_nodes.py"))
    there = stage.admin.request("GET", "/api/v1/nodes")["items"]

    assert nodes == [node["metadata"]["name"] for node in there]
