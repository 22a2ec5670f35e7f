"""Who is asking: which tokens are taken for somebody, which for nobody, and when they end."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.answer import AnswerClass
from rbac_matrix.cell import Subject
from rbac_matrix.deadline import DeadlineError, poll
from rbac_matrix.signing import Signer, tampered, unsigned
from rbac_matrix.token import Hidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from rbac_matrix.admin import Admin
    from rbac_matrix.client import Client, Response
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.measured import Measured
    from rbac_matrix.token import Token
    from rbac_matrix.workspace import Workspace

CONFIGMAPS: Final = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
ANONYMOUS: Final = "system:anonymous"
ENDED_DEADLINE: Final = 30.0  # seconds; three times what the API server remembers a good token
PAUSE: Final = 0.1  # seconds between two requests: the resolution of what is measured
LEEWAY: Final = (
    60  # seconds that a token is taken after its end. Source: jwt.DefaultLeeway of go-jose
)
REVIEW: Final = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
REVIEWS: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@pytest.fixture(scope="module", name="clerk")
def _clerk(shared_space: Workspace) -> Subject:
    """A ServiceAccount that may list configmaps."""
    clerk = shared_space.subject("clerk")
    shared_space.grant(clerk, CONFIGMAPS)
    shared_space.settle()
    return clerk


@pytest.fixture(scope="module", name="token")
def _token(clerk: Subject, admin: Admin) -> Token:
    """A good token of the clerk's."""
    return admin.issue(clerk)


@pytest.fixture(scope="module", name="signer")
def _signer(cluster: Cluster) -> Signer:
    """The cluster's own signing key."""
    if cluster.signing_key is None:
        pytest.skip(f"the signing key of a {cluster.provider} cluster is not this suite's to read")
    return Signer.from_pem(cluster.signing_key())


def configmaps(client: Client, space: Workspace, **headers: str) -> Response:
    """Ask for what the clerk may list."""
    return client.send("GET", f"{space.core}/configmaps", headers=headers)


def asked_with(token: Token | None, space: Workspace) -> Response:
    """Ask with a token for what the clerk may list."""
    return configmaps(space.connect(token), space)


class TestIdentity:
    """Good tokens."""

    def test_a_token_is_its_service_account(
        self, shared_space: Workspace, token: Token, clerk: Subject
    ) -> None:
        """A token has the name of its ServiceAccount and three groups."""
        user = shared_space.connect(token).request("POST", REVIEWS, REVIEW)["status"]["userInfo"]

        assert user["username"] == clerk.username
        assert user["groups"] == [
            "system:serviceaccounts",
            f"system:serviceaccounts:{clerk.namespace}",
            "system:authenticated",
        ]

    def test_a_bound_token_names_its_pod(
        self, shared_space: Workspace, clerk: Subject, admin: Admin
    ) -> None:
        """A token that is bound to a pod says which."""
        shared_space.create(_pod("named", clerk))
        token = admin.issue(clerk, bound_to=_reference("Pod", "named"))
        user = shared_space.connect(token).request("POST", REVIEWS, REVIEW)["status"]["userInfo"]

        assert user["username"] == clerk.username
        assert user["extra"]["authentication.kubernetes.io/pod-name"] == ["named"]

    def test_a_token_of_the_clusters_key(
        self, shared_space: Workspace, token: Token, signer: Signer
    ) -> None:
        """A copy signed with the cluster's key is as good: what is refused is so for its claims."""
        assert asked_with(signer.sign(token), shared_space).answer_class is AnswerClass.OK

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_the_scheme_has_no_case(
        self, shared_space: Workspace, token: Token, scheme: str
    ) -> None:
        """The word before the token may be written in any case."""
        headers = {"Authorization": Hidden(f"{scheme} {token.text}")}
        response = configmaps(shared_space.connect(), shared_space, **headers)

        assert response.answer_class is AnswerClass.OK


def _nothing(_: Token) -> str | None:
    return None


AS_NOBODY: Final[dict[str, Callable[[Token], str | None]]] = {
    "no-header": _nothing,
    "empty-bearer": lambda _: "Bearer ",
    "bearer-without-a-space": lambda _: "Bearer",
    "another-scheme": lambda _: "Basic Y2xlcms6cGFzc3dvcmQ=",
    "a-good-token-without-its-scheme": lambda token: token.text,
    "a-good-token-after-two-spaces": lambda token: f"Bearer  {token.text}",
}


@pytest.mark.parametrize("header", AS_NOBODY.values(), ids=AS_NOBODY)
def test_no_credential_is_anonymous(
    header: Callable[[Token], str | None], shared_space: Workspace, token: Token
) -> None:
    """What is no bearer token is no credential: the request is anonymous, so RBAC refuses it."""
    value = header(token)
    headers = {} if value is None else {"Authorization": Hidden(value)}
    response = configmaps(shared_space.connect(), shared_space, **headers)

    assert response.answer_class is AnswerClass.DENIED_BY_RBAC
    denial = response.answer.denial
    assert denial is not None
    assert denial.user == ANONYMOUS


def test_a_token_after_two_spaces_is_warned_of(shared_space: Workspace, token: Token) -> None:
    """Of the one mistake that is easily made the API server warns."""
    headers = {"Authorization": Hidden(f"Bearer  {token.text}")}
    response = configmaps(shared_space.connect(), shared_space, **headers)

    (warning,) = response.warnings
    assert "extra space before the bearer token" in warning


def test_anonymous_reads_the_public_paths(shared_space: Workspace) -> None:
    """Nobody may read the version and the health, but not the API's list of groups."""
    client = shared_space.connect()

    assert client.send("GET", "/version").answer_class is AnswerClass.OK
    assert client.send("GET", "/livez").answer_class is AnswerClass.OK
    assert client.send("GET", "/apis").answer_class is AnswerClass.DENIED_BY_RBAC


def _with_payload(token: Token, payload: str) -> str:
    header, _, signature = token.text.split(".")
    return f"{header}.{payload}.{signature}"


def _with_signature_changed(token: Token) -> str:
    """Another first letter: the last one may hold bits that mean nothing."""
    signed, _, signature = token.text.rpartition(".")
    return f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


NO_TOKEN: Final[dict[str, Callable[[Token], str]]] = {
    "one-word": lambda _: "nonsense",
    "two-parts": lambda token: token.text.rpartition(".")[0],
    "a-token-cut-short": lambda token: token.text[:-1],
    "another-signature": _with_signature_changed,
    "a-payload-that-is-no-json": lambda token: _with_payload(token, "bm9uc2Vuc2U"),
    "a-tampered-subject": lambda token: (
        tampered(token, sub="system:serviceaccount:kube-system:default").text
    ),
    "a-tampered-end": lambda token: tampered(token, exp=int(time.time()) + 10**8).text,
    "an-unsigned-copy": lambda token: unsigned(token).text,
    "another-key": lambda token: Signer.unknown().sign(token).text,
    "another-key-and-issuer": lambda token: (
        Signer.unknown().sign(token, iss="https://issuer.example").text
    ),
}


@pytest.mark.parametrize("text", NO_TOKEN.values(), ids=NO_TOKEN)
def test_a_bad_token_is_nobody(
    text: Callable[[Token], str], shared_space: Workspace, token: Token
) -> None:
    """A token that the API server did not sign is refused with 401, not taken for anonymous."""
    headers = {"Authorization": Hidden(f"Bearer {text(token)}")}
    response = configmaps(shared_space.connect(), shared_space, **headers)

    assert response.answer_class is AnswerClass.UNAUTHENTICATED
    assert response.message == "Unauthorized"


def test_a_bad_token_is_worse_than_none(shared_space: Workspace) -> None:
    """With a bad token not even the paths are read that are anybody's."""
    headers = {"Authorization": "Bearer nonsense"}
    response = shared_space.connect().send("GET", "/version", headers=headers)

    assert response.answer_class is AnswerClass.UNAUTHENTICATED


class TestClaims:
    """Tokens with the right signature whose claims are wrong."""

    def test_another_issuer(self, shared_space: Workspace, token: Token, signer: Signer) -> None:
        """The right key under another issuer's name is refused."""
        forged = signer.sign(token, iss="https://issuer.example")

        assert asked_with(forged, shared_space).answer_class is AnswerClass.UNAUTHENTICATED

    def test_expired(self, shared_space: Workspace, token: Token, signer: Signer) -> None:
        """A token is refused once its end is longer ago than clocks may differ."""
        forged = signer.sign(token, exp=int(time.time()) - LEEWAY - 10)

        assert asked_with(forged, shared_space).answer_class is AnswerClass.UNAUTHENTICATED

    def test_just_expired(self, shared_space: Workspace, token: Token, signer: Signer) -> None:
        """For a minute after its end a token is still taken, because clocks may differ."""
        forged = signer.sign(token, exp=int(time.time()) - LEEWAY // 2)

        assert asked_with(forged, shared_space).answer_class is AnswerClass.OK

    def test_not_valid_yet(self, shared_space: Workspace, token: Token, signer: Signer) -> None:
        """A token is refused before its beginning."""
        forged = signer.sign(token, nbf=int(time.time()) + LEEWAY + 60)

        assert asked_with(forged, shared_space).answer_class is AnswerClass.UNAUTHENTICATED

    def test_another_uid(self, shared_space: Workspace, token: Token, signer: Signer) -> None:
        """A token is for the ServiceAccount with its uid, not for any one of its name."""
        kubernetes = token.claims["kubernetes.io"]
        account = {**kubernetes["serviceaccount"], "uid": "00000000-0000-0000-0000-000000000000"}
        forged = signer.sign(token, **{"kubernetes.io": {**kubernetes, "serviceaccount": account}})

        assert asked_with(forged, shared_space).answer_class is AnswerClass.UNAUTHENTICATED

    def test_another_audience(self, shared_space: Workspace, clerk: Subject, admin: Admin) -> None:
        """A token for another audience is refused by the API server."""
        vault = admin.issue(clerk, audiences=["https://vault.example"])

        assert asked_with(vault, shared_space).answer_class is AnswerClass.UNAUTHENTICATED

    def test_several_audiences(
        self, shared_space: Workspace, clerk: Subject, admin: Admin, token: Token
    ) -> None:
        """A token for several audiences is taken where the API server is one of them."""
        both = admin.issue(clerk, audiences=["https://vault.example", *token.claims["aud"]])

        assert asked_with(both, shared_space).answer_class is AnswerClass.OK

    def test_ten_minutes_at_least(self, clerk: Subject, admin: Admin) -> None:
        """No token is issued for less than ten minutes."""
        spec = {"expirationSeconds": 599}
        response = admin.send(
            "POST",
            f"/api/v1/namespaces/{clerk.namespace}/serviceaccounts/{clerk.name}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )

        assert response.answer_class is AnswerClass.INVALID
        assert "may not specify a duration less than 10 minutes" in response.message


@dataclass(frozen=True)
class End:
    """What ends a token.

    Attributes:
        of: What is deleted, to be read in the measurements.
        path: The same, in the namespace.
        bound_to: The kind of object that the token is bound to, which is deleted; empty for the
            ServiceAccount itself.
    """

    of: str
    path: str
    bound_to: str = ""


ENDS: Final = {
    "pod": End("the Pod that it is bound to", "pods/bound", "Pod"),
    "secret": End("the Secret that it is bound to", "secrets/bound", "Secret"),
    "service-account": End("its ServiceAccount", "serviceaccounts/of-service-account"),
    "recreated": End("its ServiceAccount, made anew at once", "serviceaccounts/of-recreated"),
}


@dataclass(frozen=True)
class Ended:
    """What became of two tokens of a kind, of which one was used before the end.

    Attributes:
        before: What the used one got before.
        first: What the unused one got when the used one was refused.
        seconds: From the deletion until the used one was refused.
    """

    before: AnswerClass
    first: AnswerClass
    seconds: float


@pytest.fixture(scope="module", name="ended")
def _ended(shared_space: Workspace, admin: Admin, measured: Measured) -> dict[str, Ended]:
    """Tokens of each kind, ended together: the API server remembers good ones for 10 s."""
    space = shared_space
    subjects = {name: space.subject(f"of-{name}") for name in ENDS}
    for subject in subjects.values():
        space.grant(subject, CONFIGMAPS)
    space.create(_pod("bound", subjects["pod"]))
    space.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bound"}})
    space.settle()

    def issued(name: str, end: End) -> Client:
        bound_to = _reference(end.bound_to, "bound") if end.bound_to else None
        return space.connect(admin.issue(subjects[name], bound_to=bound_to))

    used = {name: issued(name, end) for name, end in ENDS.items()}
    unused = {name: issued(name, end) for name, end in ENDS.items()}
    before = {name: configmaps(client, space).answer_class for name, client in used.items()}
    started = time.monotonic()
    for end in ENDS.values():
        admin.request("DELETE", f"{space.core}/{end.path}", query={"gracePeriodSeconds": "0"})
    space.create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "of-recreated"}}
    )
    found: dict[str, Ended] = {}

    def still_good() -> str:
        for name in used.keys() - found.keys():
            if configmaps(used[name], space).answer_class is AnswerClass.UNAUTHENTICATED:
                seconds = time.monotonic() - started
                first = configmaps(unused[name], space).answer_class
                found[name] = Ended(before[name], first, seconds)
        return ", ".join(sorted(used.keys() - found.keys()))

    with contextlib.suppress(DeadlineError):  # Each test says for itself what did not end.
        poll("the end of tokens", still_good, ENDED_DEADLINE, PAUSE)
    for name, ended in found.items():
        measured.record(f"401 for a used token, after deleting {ENDS[name].of}", ended.seconds)
    return found


@pytest.mark.parametrize("name", ENDS)
def test_a_token_ends(name: str, ended: dict[str, Ended]) -> None:
    """A good token is refused after what it is for is deleted, used before or not."""
    assert name in ended, (
        f"a token is still good {ENDED_DEADLINE:.0f} s after deleting {ENDS[name].of}"
    )
    assert ended[name].before is AnswerClass.OK
    assert ended[name].first is AnswerClass.UNAUTHENTICATED


@pytest.mark.usefixtures("ended")
def test_a_recreated_account_has_its_bindings(shared_space: Workspace, admin: Admin) -> None:
    """Bindings go by name, so a new token of a re-created ServiceAccount has the old rights."""
    again = Subject(shared_space.namespace, "of-recreated")

    assert asked_with(admin.issue(again), shared_space).answer_class is AnswerClass.OK


def _reference(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "name": name}


def _pod(name: str, subject: Subject) -> dict[str, Any]:
    """A pod that waits for a scheduler that does not exist: it is only there to be named."""
    container = {"name": "none", "image": "none"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "serviceAccountName": subject.name,
            "schedulerName": "none",
            "containers": [container],
        },
    }
