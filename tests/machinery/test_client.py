"""The client against a real HTTP server on loopback: what it sends, reads and keeps to itself."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.answer import AnswerClass
from rbac_matrix.client import APPLY_PATCH, Client, RequestError, warning_texts
from rbac_matrix.clusters.credentials import Credentials
from rbac_matrix.token import Token

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = "pytester"

SECRET: Final = "header.payload.signature"  # noqa: S105 - of no real ServiceAccount
FORBIDDEN: Final = (
    'pods is forbidden: User "clerk" cannot list resource "pods" in API group "" at the cluster '
    "scope"
)


class ApiServer(ThreadingHTTPServer):
    """Gives one answer to everything and remembers what it was asked."""

    status = 200
    answer: str = "{}"
    warnings: tuple[str, ...] = ()
    line = ""
    body = ""

    def __init__(self) -> None:
        """Listen on a free port of loopback."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.headers: dict[str, str] = {}

    @property
    def credentials(self) -> Credentials:
        """How to reach it, as nobody."""
        return Credentials(f"http://127.0.0.1:{self.server_port}", Path("unused"))


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: ApiServer

    def answer(self) -> None:
        """Note the request and answer it."""
        seen = self.server
        seen.line = f"{self.command} {self.path}"
        seen.headers = {name.lower(): value for name, value in self.headers.items()}
        seen.body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        content = seen.answer.encode()
        self.send_response(seen.status)
        self.send_header("Content-Length", str(len(content)))
        for warning in seen.warnings:
            self.send_header("Warning", warning)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture(name="server")
def _server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_token_is_the_identity(server: ApiServer) -> None:
    """A client with a token sends it as bearer."""
    Client(server.credentials, Token(SECRET)).request("GET", "/api")

    assert server.headers["authorization"] == f"Bearer {SECRET}"


def test_a_token_file_is_the_identity(server: ApiServer, tmp_path: Path) -> None:
    """A client with a token file sends its content, without the newline."""
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n", encoding="ascii")
    Client(Credentials(server.credentials.server, Path("unused"), token_file=file)).request(
        "GET", "/api"
    )

    assert server.headers["authorization"] == f"Bearer {SECRET}"


def test_no_token_is_no_identity(server: ApiServer) -> None:
    """A client without credentials sends no header that could be taken for some."""
    Client(server.credentials).request("GET", "/api")

    assert "authorization" not in server.headers


def test_headers_of_a_request_win(server: ApiServer) -> None:
    """A header of one request is sent in the place of the client's own."""
    headers = {"Authorization": "Basic b2s=", "Impersonate-User": "clerk"}
    Client(server.credentials, Token(SECRET)).send("GET", "/api", headers=headers)

    assert server.headers["authorization"] == "Basic b2s="
    assert server.headers["impersonate-user"] == "clerk"


def test_an_apply_is_sent_as_one(server: ApiServer) -> None:
    """The content type and the query are sent as asked, and the body is JSON."""
    body = {"apiVersion": "v1", "kind": "ConfigMap"}
    Client(server.credentials).send(
        "PATCH", "/api/x", body, query={"fieldManager": "a b"}, content_type=APPLY_PATCH
    )

    assert server.line == "PATCH /api/x?fieldManager=a+b"
    assert server.headers["content-type"] == APPLY_PATCH
    assert json.loads(server.body) == body


def test_a_refusal_is_read(server: ApiServer) -> None:
    """A refusal is a response like any other, with its exact class."""
    server.status, server.answer = 403, json.dumps({"message": FORBIDDEN})
    response = Client(server.credentials).send("GET", "/api/v1/pods")

    assert (response.status, response.message) == (403, FORBIDDEN)
    assert response.answer.answer_class is AnswerClass.DENIED_BY_RBAC
    with pytest.raises(RequestError, match="GET /api/v1/pods: 403: pods is forbidden"):
        Client(server.credentials).request("GET", "/api/v1/pods")


def test_text_is_a_message(server: ApiServer) -> None:
    """An answer that is no JSON is kept as its message."""
    server.status, server.answer = 404, "404 page not found"

    assert Client(server.credentials).send("GET", "/x").message == "404 page not found"


def test_a_log_is_read_as_it_is(server: ApiServer) -> None:
    """Whole, whatever it looks like; where it is refused, the error has the server's sentence."""
    server.answer = "{not JSON}\n" * 100
    log = Client(server.credentials).text("/log", query={"tailLines": "100"})

    assert log == server.answer
    assert server.line == "GET /log?tailLines=100"
    server.status, server.answer = 403, json.dumps({"message": FORBIDDEN})
    with pytest.raises(RequestError, match="GET /log: 403: pods is forbidden"):
        Client(server.credentials).text("/log")


def test_warnings_are_read(server: ApiServer) -> None:
    """Each Warning header of an answer is kept."""
    server.warnings = ('299 - "v1 Endpoints is deprecated"', '299 - "second"')
    response = Client(server.credentials).send("GET", "/api/v1/endpoints")

    assert response.warnings == ("v1 Endpoints is deprecated", "second")


def test_warnings_hold_any_text() -> None:
    """Quoted quotes and commas belong to the text of a warning."""
    assert warning_texts('299 - "say \\"a, b\\"", 299 agent "c"') == ('say "a, b"', "c")
    assert warning_texts("") == ()


def test_no_answer_is_an_error(server: ApiServer) -> None:
    """Where nobody answers, the error names the request."""
    with pytest.raises(RequestError, match="GET /api: no answer"):
        Client(Credentials("http://127.0.0.1:1", Path("unused"))).request("GET", "/api")
    assert server.line == ""


class TestSecrets:
    """No token and no body can get into a failure's output."""

    def test_of_a_response(self, server: ApiServer) -> None:
        """A response shows no body, which may be a TokenRequest's."""
        server.answer = json.dumps({"status": {"token": SECRET}})
        response = Client(server.credentials).send("POST", "/token")

        assert response.body["status"]["token"] == SECRET
        assert SECRET not in repr(response)

    def test_of_a_token(self) -> None:
        """A token shows neither itself nor the header made of it."""
        token = Token(SECRET)

        assert repr([token, {"Authorization": token.header}]) == (
            "[Token(), {'Authorization': <hidden>}]"
        )

    @pytest.mark.parametrize(
        "options", [(), ("--showlocals", "-vv", "--full-trace")], ids=["plain", "verbose"]
    )
    def test_of_a_failed_request(
        self, pytester: pytest.Pytester, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither does pytest, whose tracebacks show arguments and local variables."""
        monkeypatch.setenv("A_SECRET", SECRET)
        pytester.makepyfile(
            """
            import os
            from pathlib import Path
            from rbac_matrix.client import Client
            from rbac_matrix.clusters.credentials import Credentials
            from rbac_matrix.token import Token

            def test_request():
                token = Token(os.environ["A_SECRET"])
                Client(Credentials("http://127.0.0.1:1", Path("unused")), token).request("GET", "/")

            def test_comparison():
                token = Token(os.environ["A_SECRET"])
                assert token == Token("other")
            """
        )
        run = pytester.runpytest_subprocess(*options)
        run.assert_outcomes(failed=2)

        assert SECRET not in "\n".join((*run.outlines, *run.errlines))
