"""Default service account: service discovery through the API, refused by default, then granted."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.answer import Answer, AnswerClass, Denial
from rbac_matrix.cell import Subject
from rbac_matrix.deadline import poll
from rbac_matrix.requests import Request
from rbac_matrix.stories.flags import control_plane
from rbac_matrix.stories.pod_exec import Container, run_here
from rbac_matrix.token import Token

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.stories.flags import Program
    from rbac_matrix.stories.pod_exec import Ran
    from rbac_matrix.stories.propagation import Propagation
    from rbac_matrix.stories.stage import Stage

pytestmark = pytest.mark.steps

DEFAULT: Final = Subject("default", "default")
DISCOVERY: Final = Subject("default", "blog-discovery")
UNNAMED: Final = Container("discovery-default", name="main")
NAMED: Final = Container("blog-discovery", name="main")
ENDPOINTS: Final = "/api/v1/namespaces/default/endpoints"
GET_BLOG: Final = Request("GET", f"{ENDPOINTS}/blog")
SLICES: Final = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
SERVICES_SLICES: Final = f"{SLICES}?labelSelector=kubernetes.io/service-name%3Dblog"
PODS: Final = "/api/v1/namespaces/default/pods"
ACCOUNTS: Final = "/api/v1/namespaces/default/serviceaccounts"
MOUNTED: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
DEPRECATION: Final = (
    '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
)
HOUR: Final = 3607  # seconds; the API server knows by the odd 7 that nobody chose them
YEAR: Final = 365 * 24 * 3600  # seconds
SECONDS: Final = 10.0  # until what the cluster has to do is done


@pytest.fixture(name="programs", scope="module")
def _programs(stage: Stage) -> dict[str, Program]:
    """The running control plane."""
    programs = control_plane(stage.cluster, stage.admin)
    if not {"kube-apiserver", "kube-controller-manager"} <= set(programs):
        pytest.skip(f"this {stage.cluster.provider} cluster does not show its control plane")
    return programs


@pytest.fixture(name="asker", scope="module")
def _asker(stage: Stage) -> Iterator[ProbeSession]:
    """Asks as blog-discovery: from its pod, or with its token where no pod runs."""
    with stage.asker(DISCOVERY, NAMED) as asker:
        yield asker


def review(stage: Stage, token: Token, *audiences: str) -> dict[str, Any]:
    """What the API server makes of a token, for itself or for other audiences."""
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token.text, "audiences": list(audiences)},
    }
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    status: dict[str, Any] = stage.admin.request("POST", path, body)["status"]
    return status


def try_pod(stage: Stage, **spec: object) -> tuple[int, dict[str, Any]]:
    """What becomes of a pod on its way into the cluster, without making it."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tried", "namespace": "default"},
        "spec": {"containers": [{"name": "main", "image": "none"}], **spec},
    }
    return stage.admin.try_request("POST", PODS, body, query={"dryRun": "All"})


def try_program(stage: Stage, program: Program, command: Sequence[str]) -> Ran:
    """Start another one of a program of the control plane, where the first one is."""
    if program.pod:
        return stage.run(Container(program.pod, "kube-system"), *command)
    return run_here(command, {})


def told(ran: Ran) -> dict[str, Any]:
    """What the program printed."""
    assert ran.code == 0, f"{ran}"
    printed: dict[str, Any] = json.loads(ran.out)
    return printed


def ready_addresses(stage: Stage) -> list[str]:
    """The pods of the blog, as the admin sees them."""
    return sorted(pod["status"]["podIP"] for pod in stage.pods("app=blog"))


@pytest.mark.claim(
    "The controller manager has to be started with `--service-account-private-key-file` and "
    "`--root-ca-file`.",
    today="true",
    how="the running one has both, under these names. What it does with the second: ConfigMap "
    "`kube-root-ca.crt` of the namespace holds the authority that signed the API server's "
    "certificate",
)
def test_controller_manager_has_a_key_and_an_authority(
    stage: Stage, programs: dict[str, Program]
) -> None:
    """The controller manager was told both files, and publishes the authority."""
    flags = programs["kube-controller-manager"].flags
    path = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt"
    published = stage.admin.request("GET", path)["data"]["ca.crt"]

    assert flags["service-account-private-key-file"]
    assert flags["root-ca-file"]
    assert published.strip() == stage.cluster.admin.ca_file.read_text(encoding="ascii").strip()


@pytest.mark.claim(
    "The key of the API server's TLS connections and the key that signs tokens may be different "
    "ones.",
    today="true",
    how="on the running API server `--tls-private-key-file`, `--service-account-key-file` and "
    "`--service-account-signing-key-file` are three files",
)
def test_api_server_has_a_key_for_tokens_of_its_own(programs: dict[str, Program]) -> None:
    """The API server was told a key that signs tokens, one that verifies them, and an issuer."""
    flags = programs["kube-apiserver"].flags
    keys = ("tls-private-key-file", "service-account-key-file", "service-account-signing-key-file")

    assert len({flags[key] for key in keys}) == len(keys)
    assert flags["service-account-issuer"].startswith("https://")


@pytest.mark.claim(
    "The API server has to be started with `--admission-control=...,ServiceAccount,...`.",
    today="changed since 1.10",
    how="the flag is still known, and says that it is deprecated. Nothing has to take its place: "
    "the plugin is on by default",
)
@pytest.mark.claim(
    "Instead of `--service-account-key-file`, `--tls-private-key-file` can be pointed at the "
    "controller manager's key.",
    today="changed since 1.31",
    how="an API server with the article's flags ends at once and asks for "
    "`--service-account-key-file`",
)
def test_flags_of_the_article_start_no_api_server(
    stage: Stage, programs: dict[str, Program]
) -> None:
    """Another API server with the flags of the article stops before it does anything."""
    running, manager = programs["kube-apiserver"], programs["kube-controller-manager"]
    changed = ("service-account-key-file", "enable-admission-plugins", "tls-private-key-file")
    command = [
        *running.without(changed),
        f"--tls-private-key-file={manager.flags['service-account-private-key-file']}",
        "--admission-control=NodeRestriction,ServiceAccount",
    ]
    ran = try_program(stage, running, command)
    said = f"{ran.out}\n{ran.err}"

    assert ran.code == 1, f"{ran}"
    assert "--admission-control has been deprecated, Use --enable-admission-plugins" in said
    assert "either `--service-account-key-file` or" in said


@pytest.mark.claim(
    "What lets pods access the API server is not enabled by default.",
    today="changed since 1.10",
    how="no flag of the running API server names the admission plugin ServiceAccount, and it works",
)
@pytest.mark.claim(
    "A pod for which no ServiceAccount is provided gets a default credential injected.",
    today="true",
    how="a pod that says nothing comes out of admission with `serviceAccountName: default` and a "
    "volume with a token, mounted into its container",
)
def test_admission_injects_the_default_account(stage: Stage, programs: dict[str, Program]) -> None:
    """Unasked, a pod gets the ServiceAccount default and the folder with its token."""
    flags = programs["kube-apiserver"].flags
    named = [flags.get(f"{which}-admission-plugins", "") for which in ("enable", "disable")]
    status, pod = try_pod(stage)

    assert "ServiceAccount" not in ",".join(named).split(",")
    assert status == 201, pod
    assert pod["spec"]["serviceAccountName"] == "default"
    (mount,) = pod["spec"]["containers"][0]["volumeMounts"]
    assert (mount["mountPath"], mount["readOnly"]) == (MOUNTED, True)
    (volume,) = pod["spec"]["volumes"]
    token, authority, namespace = volume["projected"]["sources"]
    assert token["serviceAccountToken"] == {"path": "token", "expirationSeconds": HOUR}
    assert authority["configMap"]["name"] == "kube-root-ca.crt"
    assert namespace["downwardAPI"]["items"][0]["path"] == "namespace"


def test_admission_knows_accounts(stage: Stage) -> None:
    """A pod may decline the token; one that names no existing ServiceAccount is not let in."""
    status, declined = try_pod(stage, automountServiceAccountToken=False)
    refused, why = try_pod(stage, serviceAccountName="absent")

    assert status == 201, declined
    assert "volumes" not in declined["spec"]
    assert Answer(refused, why["message"]).answer_class is AnswerClass.DENIED_BY_ADMISSION
    assert 'serviceaccount "absent" not found' in why["message"]


@pytest.mark.claim(
    "People authenticate by TLS certificates and pods by bearer tokens, to the same API.",
    today="true",
    how="asked who they are, the admin is known by a certificate (where the cluster gave it one) "
    "and `blog-discovery` by a token",
)
def test_same_api_for_certificates_and_tokens(stage: Stage) -> None:
    """The API server tells each of them by what it authenticated them."""
    stage.apply("serviceaccount.yaml")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    admin = stage.admin.request("POST", path, body)["status"]["userInfo"]
    pod = review(stage, stage.admin.issue(DISCOVERY))["user"]
    credential = "authentication.kubernetes.io/credential-id"

    if stage.cluster.admin.client_certificate:
        assert admin["extra"][credential][0].startswith("X509SHA256=")
    assert pod["username"] == DISCOVERY.username
    assert pod["extra"][credential][0].startswith("JTI=")


@pytest.mark.claim(
    "A Service's addresses are in the Endpoints object of its name, at `subsets[0].addresses`.",
    today="true",
    how="as soon as a pod of it is ready. Before that there are no `subsets`, and the article's "
    "last line would end with an error",
)
def test_service_without_pods_has_no_subsets(stage: Stage) -> None:
    """The cluster makes the Endpoints object of a Service; without pods it has no subsets."""
    stage.apply("service.yaml")
    found: dict[str, Any] = {}

    def missing() -> str:
        status, document = stage.admin.try_request("GET", GET_BLOG.path)
        found.update(document)
        return "" if status == 200 else str(status)

    poll("waiting for the Endpoints of the Service", missing, SECONDS)

    assert "subsets" not in found


@pytest.mark.claim(
    "The default credential has read-only access to the API server.",
    today="was never true",
    how="what it may do is the authorizer's matter, and RBAC grants it nothing: the article's own "
    "request is a 403",
)
@pytest.mark.usefixtures("kubelet")
def test_program_is_refused_under_the_default_account(stage: Stage) -> None:
    """In a pod that names no ServiceAccount the program gets RBAC's 403."""
    stage.bring_programs()
    stage.start("story/pod-default.yaml")
    answer = told(stage.run_program(DEFAULT, UNNAMED, "discover.py", "endpoints", "blog"))

    denial = Answer(answer["status"], answer["message"]).denial
    assert denial == Denial(DEFAULT.username, "get", "endpoints", "", "default", "blog")


def test_default_account_reads_nothing(stage: Stage) -> None:
    """Neither the Endpoints nor anything else of its namespace can be read by default."""
    with stage.asker(DEFAULT, UNNAMED) as default:
        blog, *others = default.ask(
            [GET_BLOG, *(Request("GET", path) for path in (PODS, ENDPOINTS, ACCOUNTS))], SECONDS
        )

    assert blog.denial == Denial(DEFAULT.username, "get", "endpoints", "", "default", "blog")
    assert [answer.answer_class for answer in others] == [AnswerClass.DENIED_BY_RBAC] * 3


def test_role_exists(stage: Stage) -> None:
    """The Role is created, and bound to nobody."""
    stage.apply("role.yaml")


@pytest.mark.usefixtures("kubelet")
def test_pods_run(stage: Stage) -> None:
    """The blog answers in two pods, and the program's pod runs under its own ServiceAccount."""
    stage.start("story/blog.yaml", "story/pod.yaml")


def test_grant_revoke_grant(stage: Stage, asker: ProbeSession, propagation: Propagation) -> None:
    """The answer follows the binding each time it is made, taken away, and made again."""
    propagation.grant_revoke_grant(stage, "rolebinding.yaml", DISCOVERY, asker, GET_BLOG)


def test_grant_is_the_smallest(asker: ProbeSession) -> None:
    """One object can be read: no list, no watch, no other object, no Service, no change."""
    by_name = "fieldSelector=metadata.name%3Dblog"
    asked = [
        Request("GET", ENDPOINTS),
        # Of the one name: these a rule with resourceNames could allow.
        Request("GET", f"{ENDPOINTS}?{by_name}"),
        Request("GET", f"{ENDPOINTS}?{by_name}&watch=true"),
        Request("GET", f"{ENDPOINTS}/kubernetes"),
        Request("GET", "/api/v1/namespaces/default/services/blog"),
        Request("DELETE", f"{GET_BLOG.path}?dryRun=All"),
    ]
    answers = zip(asked, asker.ask(asked, SECONDS), strict=True)

    assert {request.line: str(answer) for request, answer in answers} == {
        request.line: "403 denied by RBAC" for request in asked
    }


@pytest.mark.claim(
    "A program in a pod can send HTTP requests to the API, with what it finds in its environment "
    "and in its folder.",
    today="true",
    how="`story/discover.py` does: `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`, "
    "`token`, `namespace` and `ca.crt`. The folder is also found below `/run`, because in most "
    "images `/var/run` leads there",
)
def test_program_reads_the_endpoints(stage: Stage) -> None:
    """Under the grant the program gets a 200, and with it the warning that Endpoints are old."""
    answer = told(stage.run_program(DISCOVERY, NAMED, "discover.py", "endpoints", "blog"))

    assert answer["status"] == 200, answer
    assert answer["warning"] == DEPRECATION


@pytest.mark.claim(
    "The server's certificate can be verified under another name than the address that the pod "
    "connects to.",
    today="true",
    how="the connection goes to `KUBERNETES_SERVICE_HOST`, the certificate has to be of "
    "`kubernetes.default.svc`. With requests this takes an adapter of five lines that sets "
    "urllib3's `server_hostname` and `assert_hostname`; under the article's own cluster name the "
    "program stops before it sends the token",
)
def test_server_of_another_name_is_refused(stage: Stage) -> None:
    """A name that is not in the certificate ends the connection, though its address is."""
    ran = stage.run_program(
        DISCOVERY, NAMED, "discover.py", "endpoints", "blog", SERVER_NAME="cluster.condi.me"
    )

    assert ran.code == 1, f"{ran}"
    assert "'cluster.condi.me' doesn't match" in ran.err


@pytest.mark.claim(
    "Pods and Services can be discovered without DNS records and without another service.",
    today="true",
    how="the program prints the addresses of the two ready pods, and each of them answers. The "
    "warning names what took the place of Endpoints in 1.33: EndpointSlices",
)
@pytest.mark.usefixtures("kubelet")
def test_program_gets_the_addresses_of_the_service(stage: Stage) -> None:
    """The program prints where the pods of the blog are, and they are there."""
    wanted = ready_addresses(stage)
    found: list[str] = []

    def missing() -> str:
        ran = stage.run_program(DISCOVERY, NAMED, "discover.py", "endpoints", "blog")
        found[:] = sorted(told(ran)["addresses"])
        return "" if len(found) == len(wanted) else f"{found} instead of {wanted}"

    poll("waiting for the addresses of the blog", missing, SECONDS)
    pages = [stage.curl(NAMED, f"http://{address}:8080/") for address in found]

    assert found == wanted
    assert [page.status for page in pages] == [200, 200], pages


def test_slices_need_a_grant_of_their_own(stage: Stage, asker: ProbeSession) -> None:
    """A grant on Endpoints is none on EndpointSlices; with theirs the list is answered."""
    wanted = Denial(DISCOVERY.username, "list", "endpointslices", "discovery.k8s.io", "default")
    listing = Request("GET", SERVICES_SLICES)
    (before,) = asker.ask([listing], SECONDS)
    assert before.denial == wanted

    stage.apply("story/endpointslices.yaml")

    def missing() -> str:
        (answer,) = asker.ask([listing], SECONDS)
        return "" if answer.answer_class is AnswerClass.OK else f"{answer} {answer.message}"

    poll("waiting for the grant on EndpointSlices", missing, SECONDS)
    got, watched = asker.ask(
        [Request("GET", f"{SLICES}/absent"), Request("GET", f"{SERVICES_SLICES}&watch=true")],
        SECONDS,
    )

    assert (got.answer_class, watched.answer_class) == (AnswerClass.DENIED_BY_RBAC,) * 2


def test_program_reads_the_slices_without_a_warning(stage: Stage) -> None:
    """By EndpointSlices the same program is answered, and nothing is deprecated."""
    answer = told(stage.run_program(DISCOVERY, NAMED, "discover.py", "endpointslices", "blog"))

    assert (answer["status"], answer["warning"]) == (200, ""), answer


@pytest.mark.usefixtures("kubelet")
def test_slices_have_the_addresses_of_the_service(stage: Stage) -> None:
    """By EndpointSlices the program gets the same addresses."""
    answer = told(stage.run_program(DISCOVERY, NAMED, "discover.py", "endpointslices", "blog"))

    assert sorted(answer["addresses"]) == ready_addresses(stage)


@pytest.mark.claim(
    "The controller manager signs the token that a pod has mounted.",
    today="changed since 1.21",
    how="the API server does, at the kubelet's request: issuer and audience of the mounted token "
    "are its `--service-account-issuer`. Those of the controller manager, in Secrets, have another",
)
@pytest.mark.usefixtures("kubelet")
def test_mounted_token_is_of_the_api_server(stage: Stage, programs: dict[str, Program]) -> None:
    """The mounted token names the API server as its issuer and its audience."""
    issuer = programs["kube-apiserver"].flags["service-account-issuer"]
    said = told(stage.run(NAMED, "python3", "/story/token_claims.py", f"{MOUNTED}/token"))

    assert said["iss"] == issuer
    assert said["aud"] == [issuer]
    assert said["sub"] == DISCOVERY.username


@pytest.mark.usefixtures("kubelet")
def test_mounted_token_is_for_an_hour_and_a_pod(stage: Stage) -> None:
    """It is renewed before an hour is over, and good only while the pod is there.

    It would be accepted for a year (`--service-account-extend-token-expiration`), for programs
    that read the file once; from `warnafter` on the API server counts it as stale.
    """
    said = told(stage.run(NAMED, "python3", "/story/token_claims.py", f"{MOUNTED}/token"))
    pod = stage.admin.request("GET", f"{PODS}/blog-discovery")
    bound = said["kubernetes.io"]

    assert bound["warnafter"] - said["iat"] == HOUR
    assert said["exp"] - said["iat"] == YEAR
    assert bound["pod"] == {"name": "blog-discovery", "uid": pod["metadata"]["uid"]}
    assert bound["node"]["name"] == pod["spec"]["nodeName"]


@pytest.mark.usefixtures("kubelet")
def test_token_for_somebody_else_is_no_credential(stage: Stage) -> None:
    """A mounted token of another audience lasts as long as it says, and is a 401 at the API."""
    file = "/for-somebody-else/token"
    said = told(stage.run(NAMED, "python3", "/story/token_claims.py", file))
    asking = (
        f"printf 'Authorization: Bearer %s' \"$(cat {file})\" | curl --silent --cacert "
        f"{MOUNTED}/ca.crt --header @- --output /dev/null --write-out '%{{http_code}}' "
        f"https://kubernetes.default.svc{GET_BLOG.path}"
    )
    asked = stage.run(NAMED, "sh", "-c", asking)

    assert said["aud"] == ["somebody-else"]
    assert said["exp"] - said["iat"] == 600
    assert "warnafter" not in said["kubernetes.io"]
    assert asked.out == "401", asked


def test_requested_token_is_bound_to_its_audience(
    stage: Stage, programs: dict[str, Program]
) -> None:
    """A requested token is good for the time and the audience that were asked for, only."""
    token = stage.admin.issue(DISCOVERY, seconds=600, audiences=["somebody-else"])
    usual = stage.admin.issue(DISCOVERY)
    issuer = programs["kube-apiserver"].flags["service-account-issuer"]

    assert token.claims["iss"] == usual.claims["iss"] == issuer
    assert token.claims["exp"] - token.claims["iat"] == 600
    assert review(stage, token, "somebody-else")["authenticated"]
    assert "authenticated" not in review(stage, token)
    assert usual.claims["aud"] == [issuer]
    assert review(stage, usual)["authenticated"]


def test_no_token_is_stored_unasked(stage: Stage) -> None:
    """Neither default nor blog-discovery has a Secret with a token, and no Secret names them."""
    query = {"fieldSelector": "type=kubernetes.io/service-account-token"}
    secrets = stage.admin.request("GET", "/api/v1/namespaces/default/secrets", query=query)
    accounts = [
        stage.admin.request("GET", f"{ACCOUNTS}/{name}") for name in ("default", "blog-discovery")
    ]

    assert secrets["items"] == []
    assert [account.get("secrets") for account in accounts] == [None, None]


@pytest.mark.claim(
    "The pod's token and the authority are passed on by the controller manager.",
    today="changed since 1.24",
    how="the authority still is, as a ConfigMap. A token only where a Secret of type "
    "`kubernetes.io/service-account-token` asks for it: that one has no end, no audience and no "
    "pod",
)
def test_token_in_a_secret_works_when_asked_for(stage: Stage) -> None:
    """The controller manager puts an endless token and the authority into a Secret that asks."""
    stage.apply("story/token-secret.yaml")
    path = "/api/v1/namespaces/default/secrets/blog-discovery-token"
    data: dict[str, str] = {}

    def missing() -> str:
        data.update(stage.admin.request("GET", path).get("data") or {})
        return "" if "token" in data else "the Secret holds no token"

    poll("waiting for the controller manager", missing, SECONDS)
    token = Token(base64.b64decode(data.pop("token")).decode())
    authority = base64.b64decode(data["ca.crt"])
    reviewed = review(stage, token)

    assert authority.strip() == stage.cluster.admin.ca_file.read_bytes().strip()
    assert token.claims["iss"] == "kubernetes/serviceaccount"
    assert not {"exp", "aud", "kubernetes.io"} & set(token.claims)
    assert reviewed["authenticated"]
    assert reviewed["user"]["username"] == DISCOVERY.username
