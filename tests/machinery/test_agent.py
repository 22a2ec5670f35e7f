"""The agent against a real HTTPS server on loopback: what it sends, what it keeps, how it copes."""

from __future__ import annotations

import json
import os
import signal
import ssl
import threading
import time
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.answer import Answer, AnswerClass
from rbac_matrix.clusters.certificates import Certificates, write_certificates
from rbac_matrix.clusters.credentials import Credentials
from rbac_matrix.probe.agent import arguments_of
from rbac_matrix.probe.session import ProbeSession
from rbac_matrix.probe.start import agent_command
from rbac_matrix.requests import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN: Final = "header.payload-of-the-token.signature"  # noqa: S105 - of no real ServiceAccount
CONTENT: Final = '{"data": {"password": "hunter2"}}'
SOON: Final = 20.0  # seconds; far more than anything here takes, far less than a test may hang


@dataclass(frozen=True)
class Seen:
    """A request as the server saw it.

    Attributes:
        line: Method and path.
        connection: The client's port: one for each connection.
        authorization: The header; None where there was none.
        certificate: The common name of the client's certificate; None where there was none.
        content_type: The header.
        body: What was sent.
        upgrade: The header; None where there was none.
    """

    line: str
    connection: int
    authorization: str | None
    certificate: str | None
    content_type: str | None
    body: str
    upgrade: str | None


ENDLESS: Final = {
    "watch": (200, ("Transfer-Encoding", "chunked"), b"2\r\n{}\r\n"),
    # What follows is another protocol's, and no HTTP.
    "upgrades": (101, ("Upgrade", "websocket"), b"\x82\x02{}"),
}
"""Answers that do not end by themselves: status, header and data."""


class ApiServer(ThreadingHTTPServer):
    """Answers by path and remembers what it was asked."""

    def __init__(self, certificates: Certificates) -> None:
        """Listen on a free port of loopback."""
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server.certificate, certificates.server.key)
        context.load_verify_locations(certificates.authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self.seen: list[Seen] = []
        self.hanging = threading.Event()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.server_port}"

    def times(self, path: str) -> int:
        """How often a path was asked."""
        return sum(seen.line.endswith(path) for seen in self.seen)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as inherited
        """Clients that go away are what is tested here."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ApiServer

    def answer(self) -> None:
        """Answer as the first part of the path says."""
        path = self.path.partition("?")[0]
        kind = path.split("/")[1]
        self._remember()
        if kind == "ok":
            self._send(200, CONTENT)
        elif kind == "denied":
            self._send(403, json.dumps({"kind": "Status", "message": f"refused {path}"}))
        elif kind == "long":
            self._send(403, json.dumps({"kind": "Status", "message": "refused " + "x" * 10_000}))
        elif kind == "huge":
            self._send(200, "x" * (3 << 20))
        elif kind == "closes":  # Like a server that drops what it takes for an idle connection.
            self._send(200, CONTENT)
            self.close_connection = True
        elif kind == "drops":
            self.close_connection = True
        elif kind == "throttled" and (self.server.times(path) == 1 or path.endswith("always")):
            self._send(429, "Too many requests", {"Retry-After": "0"})
        elif kind in ENDLESS:
            status, header, data = ENDLESS[kind]
            self.send_response(status)
            self.send_header(*header)
            self.end_headers()
            self.wfile.write(data)
            self._hang()
        elif kind == "hangs":
            self._hang()
        else:
            self._answer_in_another_form(kind, path)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - as inherited

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _send(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def _answer_in_another_form(self, kind: str, path: str) -> None:
        if kind == "chunks":
            self.send_response(403 if path.endswith("refused") else 201)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in ('{"message": ', '"refused', ' in parts"}', ""):
                self.wfile.write(f"{len(part):x};note\r\n{part}\r\n".encode())
        elif kind == "unsized":
            self.send_response(403)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"refused until the end")
        elif kind == "garbage":
            self.wfile.write(b"+OK this is not HTTP\r\n\r\n")
            self.close_connection = True
        else:
            self._send(200, "{}")

    def _hang(self) -> None:
        self.server.hanging.set()
        self.server.released.wait(SOON)
        self.close_connection = True

    def _remember(self) -> None:
        peer: Any = self.connection.getpeercert()
        names = dict(part[0] for part in peer.get("subject", ())) if peer else {}
        length = int(self.headers.get("Content-Length") or 0)
        self.server.seen.append(
            Seen(
                line=f"{self.command} {self.path}",
                connection=self.client_address[1],
                authorization=self.headers.get("Authorization"),
                certificate=names.get("commonName"),
                content_type=self.headers.get("Content-Type"),
                body=self.rfile.read(length).decode(),
                upgrade=self.headers.get("Upgrade"),
            )
        )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority with a server's and a client's certificate."""
    return write_certificates(tmp_path_factory.mktemp("pki") / "new")


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ApiServer]:
    """A running server that releases what hangs in it at the end."""
    with ApiServer(certificates) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def credentials(server: ApiServer, certificates: Certificates, tmp_path: Path) -> Credentials:
    """A ServiceAccount's."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n", encoding="ascii")
    return Credentials(server.url, certificates.authority, token_file=token)


@pytest.fixture
def probe(credentials: Credentials) -> Iterator[Callable[..., ProbeSession]]:
    """Starts agents; ended at the end of the test."""
    sessions: list[ProbeSession] = []

    def start(*options: str, identity: Credentials = credentials) -> ProbeSession:
        sessions.append(ProbeSession([*agent_command(identity), *options], "the clerk"))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()


def get(*paths: str) -> list[Request]:
    """Requests for paths."""
    return [Request("GET", path) for path in paths]


def test_every_request_gets_its_own_answer(probe: Callable[..., ProbeSession]) -> None:
    """Answers come in any order from several threads and are matched by number."""
    paths = [f"/denied/{number}" for number in range(300)]

    answers = probe().ask(get(*paths), SOON)

    assert [answer.message for answer in answers] == [f"refused {path}" for path in paths]


def test_connections_are_kept(server: ApiServer, probe: Callable[..., ProbeSession]) -> None:
    """After refusals and after successes whose content nobody wants, the next request reuses it."""
    probe("--threads", "1").ask(get(*["/denied/1", "/ok"] * 10), SOON)

    assert len(server.seen) == 20
    assert len({seen.connection for seen in server.seen}) == 1


def test_no_more_connections_than_threads(
    server: ApiServer, probe: Callable[..., ProbeSession]
) -> None:
    """A hundred questions cost a few handshakes."""
    probe("--threads", "4").ask(get(*["/denied/1"] * 100), SOON)

    assert len({seen.connection for seen in server.seen}) <= 4


def test_a_dropped_idle_connection_is_opened_again(
    server: ApiServer, probe: Callable[..., ProbeSession]
) -> None:
    """A server may close a kept connection at any time; the request after it is not lost."""
    answers = probe("--threads", "1").ask(get("/closes", "/ok", "/closes", "/denied/1"), SOON)

    assert [answer.status for answer in answers] == [200, 200, 200, 403]
    assert server.times("/ok") == server.times("/denied/1") == 1


def test_a_server_that_drops_every_connection_is_no_answer(
    server: ApiServer, probe: Callable[..., ProbeSession]
) -> None:
    """A fresh connection that ends without an answer says so; it is not asked for ever."""
    (answer,) = probe().ask(get("/drops"), SOON)

    assert answer.answer_class is AnswerClass.NO_ANSWER
    assert "DisconnectedError" in answer.message
    assert server.times("/drops") == 1


def test_a_throttled_request_is_sent_again(
    server: ApiServer, probe: Callable[..., ProbeSession]
) -> None:
    """429 comes before authorization: only what comes after the wait decides."""
    (answer,) = probe().ask(get("/throttled/once"), SOON)

    assert answer.status == 200
    assert server.times("/throttled/once") == 2


def test_a_server_that_throttles_for_ever_has_not_decided(
    server: ApiServer, probe: Callable[..., ProbeSession]
) -> None:
    """After a few tries the 429 is the answer, which is no verdict."""
    (answer,) = probe().ask(get("/throttled/always"), SOON)

    assert answer.answer_class is AnswerClass.THROTTLED
    assert 1 < server.times("/throttled/always") < 10


def test_a_request_that_hangs_is_no_answer(probe: Callable[..., ProbeSession]) -> None:
    """The request ends at its own timeout, and the next one is asked on a new connection."""
    hung, after = probe("--threads", "1", "--timeout", "0.3").ask(
        get("/hangs", "/denied/after"), SOON
    )

    assert hung.answer_class is AnswerClass.NO_ANSWER
    assert "TimeoutError" in hung.message
    assert after.message == "refused /denied/after"


def test_a_killed_agent_leaves_no_answer(
    server: ApiServer, probe: Callable[..., ProbeSession]
) -> None:
    """What it had answered stays, the rest says how it ended, at once and not at the deadline."""
    session = probe("--threads", "1")

    answered = threading.Event()
    session.answered = answered.set

    def kill() -> None:
        server.hanging.wait(SOON)
        answered.wait(SOON)
        os.kill(session.process_id, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    began = time.monotonic()
    answers = session.ask(get("/denied/1", "/hangs", "/denied/2"), 10 * SOON)
    killer.join()

    assert time.monotonic() - began < SOON
    assert answers[0].message == "refused /denied/1"
    assert answers[1:] == [Answer(None, "the probe ended with code -9")] * 2
    assert session.ask(get("/ok"), SOON) == [Answer(None, "the probe ended with code -9")]


def test_the_deadline_ends_a_question(probe: Callable[..., ProbeSession]) -> None:
    """Requests that are still open then have no answer, which says so, and the agent is ended."""
    session = probe()
    began = time.monotonic()

    answers = session.ask(get("/hangs", "/hangs"), 0.5)

    assert session._process.wait(SOON) == -signal.SIGKILL
    assert time.monotonic() - began < SOON
    assert {answer.answer_class for answer in answers} == {AnswerClass.NO_ANSWER}
    assert "no answer within" in answers[0].message


@pytest.mark.parametrize("content", ["", "\n"], ids=["empty", "blank"])
def test_without_a_token_nothing_is_asked(
    server: ApiServer, probe: Callable[..., ProbeSession], credentials: Credentials, content: str
) -> None:
    """An empty token would ask as system:anonymous, whom everything is refused."""
    assert credentials.token_file is not None
    credentials.token_file.write_text(content, encoding="ascii")

    (answer,) = probe().ask(get("/denied/1"), SOON)

    assert answer.answer_class is AnswerClass.NO_ANSWER
    assert f"{credentials.token_file} holds no token" in answer.message
    assert server.seen == []


def test_a_missing_token_file_is_no_answer(
    server: ApiServer, probe: Callable[..., ProbeSession], credentials: Credentials
) -> None:
    """The same for a file that is not there."""
    assert credentials.token_file is not None
    credentials.token_file.unlink()

    (answer,) = probe().ask(get("/denied/1"), SOON)

    assert "FileNotFoundError" in answer.message
    assert server.seen == []


def test_the_token_goes_into_the_header_and_nowhere_else(
    server: ApiServer, probe: Callable[..., ProbeSession]
) -> None:
    """Not on the command line or in the environment, which others can read, nor in an answer."""
    session = probe()

    answers = session.ask(get("/ok", "/denied/1", "/drops"), SOON)

    assert {seen.authorization for seen in server.seen} == {f"Bearer {TOKEN}"}
    process = Path("/proc") / str(session.process_id)
    public = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert b"token" in public  # The file's path is there.
    assert TOKEN.encode() not in public
    assert TOKEN not in repr(answers)


def test_an_admin_may_ask_by_certificate(
    server: ApiServer,
    probe: Callable[..., ProbeSession],
    certificates: Certificates,
    credentials: Credentials,
) -> None:
    """Then no token is sent."""
    identity = replace(
        credentials,
        token_file=None,
        client_certificate=certificates.admin.certificate,
        client_key=certificates.admin.key,
    )

    probe(identity=identity).ask(get("/ok"), SOON)

    (seen,) = server.seen
    assert (seen.certificate, seen.authorization) == ("rbac-matrix-admin", None)


def test_a_server_that_is_somebody_else_is_told_nothing(
    server: ApiServer,
    probe: Callable[..., ProbeSession],
    credentials: Credentials,
    tmp_path: Path,
) -> None:
    """A certificate of another authority ends the connection before the token is sent."""
    other = write_certificates(tmp_path / "other").authority

    (answer,) = probe(identity=replace(credentials, ca_file=other)).ask(get("/ok"), SOON)

    assert answer.answer_class is AnswerClass.NO_ANSWER
    assert "certificate verify failed" in answer.message
    assert server.seen == []


def test_what_a_subject_can_read_is_not_returned(probe: Callable[..., ProbeSession]) -> None:
    """A success's body is left on the server's side, unless the suite itself asked for it."""
    unwanted, wanted = probe().ask(
        [Request("GET", "/ok"), Request("POST", "/ok", "{}", reads_body=True)], SOON
    )

    assert unwanted == Answer(200)
    assert wanted == Answer(200, body=CONTENT)


@pytest.mark.parametrize("path", ["/watch?watch=true", "/huge"])
def test_a_success_without_end_is_an_answer_at_once(
    probe: Callable[..., ProbeSession], path: str
) -> None:
    """The status decides; neither a watch nor three megabytes are waited for."""
    answers = probe("--threads", "1").ask(get(path, "/denied/1"), SOON)

    assert [answer.status for answer in answers] == [200, 403]


def test_headers_are_sent_and_a_connection_that_changes_its_protocol_is_given_up(
    server: ApiServer, probe: Callable[..., ProbeSession]
) -> None:
    """A stream that is granted is an answer at once; the next request has a connection anew."""
    upgrade = Request("GET", "/upgrades", headers=(("Upgrade", "websocket"),))
    answers = probe("--threads", "1").ask([upgrade, Request("GET", "/denied/after")], SOON)

    assert [answer.status for answer in answers] == [101, 403]
    first, second = server.seen
    assert (first.upgrade, second.upgrade) == ("websocket", None)
    assert first.authorization == second.authorization
    assert first.connection != second.connection


def test_a_refusal_keeps_its_whole_message(probe: Callable[..., ProbeSession]) -> None:
    """RBAC adds each role reference that leads nowhere; cut off, it would be no RBAC denial."""
    (answer,) = probe().ask(get("/long"), SOON)

    assert answer.message == "refused " + "x" * 10_000


def test_a_body_in_chunks_is_put_together(
    server: ApiServer, probe: Callable[..., ProbeSession]
) -> None:
    """A long refusal or review comes in chunks; the connection is kept after it."""
    refused, reviewed, after = probe("--threads", "1").ask(
        [*get("/chunks/refused"), replace(get("/chunks")[0], reads_body=True), *get("/denied")],
        SOON,
    )

    assert (refused.status, refused.message) == (403, "refused in parts")
    assert reviewed.body == '{"message": "refused in parts"}'
    assert after.status == 403
    assert len({seen.connection for seen in server.seen}) == 1


def test_a_body_without_a_length_ends_with_the_connection(
    server: ApiServer, probe: Callable[..., ProbeSession]
) -> None:
    """A proxy in between may answer so; the next request opens another connection."""
    unsized, after = probe("--threads", "1").ask(get("/unsized", "/denied"), SOON)

    assert (unsized.status, unsized.message) == (403, "refused until the end")
    assert after.status == 403
    assert len({seen.connection for seen in server.seen}) == 2


def test_what_is_not_http_is_no_answer(probe: Callable[..., ProbeSession]) -> None:
    """A server that speaks something else has decided nothing."""
    (answer,) = probe().ask(get("/garbage"), SOON)

    assert answer.answer_class is AnswerClass.NO_ANSWER
    assert "not an HTTP/1.1 answer: b'+OK this is not HTTP'" in answer.message


def test_bodies_arrive_with_their_type(
    server: ApiServer, probe: Callable[..., ProbeSession]
) -> None:
    """A patch is a merge patch, in UTF-8; what has no body has no type."""
    patch = Request("PATCH", "/ok?dryRun=All", '{"a": "é"}', "application/merge-patch+json")

    probe("--threads", "1").ask([patch, Request("DELETE", "/ok?dryRun=All")], SOON)

    assert [(seen.line, seen.content_type, seen.body) for seen in server.seen] == [
        ("PATCH /ok?dryRun=All", "application/merge-patch+json", '{"a": "é"}'),
        ("DELETE /ok?dryRun=All", None, ""),
    ]


def test_a_request_that_cannot_be_sent_is_no_answer(probe: Callable[..., ProbeSession]) -> None:
    """A path that would smuggle a second request never leaves the agent."""
    broken, after = probe("--threads", "1").ask(
        get("/ok HTTP/1.1\r\nX: y\r\n\r\nGET /ok", "/denied/1"), SOON
    )

    assert "cannot be part of a request line" in broken.message
    assert after.status == 403


def test_the_agent_ends_with_its_input(probe: Callable[..., ProbeSession]) -> None:
    """An agent does not outlive the run that started it."""
    session = probe()
    session.ask(get("/ok"), SOON)

    session.close()

    assert session._process.returncode == 0


def test_in_a_pod_the_mounted_service_account_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without options it asks as the pod's own ServiceAccount, on IPv6 clusters too."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00:10:96::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")

    arguments = arguments_of(["ask"])

    assert arguments.server == "https://[fd00:10:96::1]:443"
    assert str(arguments.token) == "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert str(arguments.ca) == "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
