"""The probe's program: sends requests to the API server with one identity, many at a time.

Standard library only, because it runs alone in a small image. It reads one JSON request a line on
standard input and writes one JSON answer a line, in any order, until its input ends:

    {"id": 7, "method": "GET", "path": "/api/v1/nodes", "body": null, "content_type": "...",
     "reads_body": false, "headers": [["Upgrade", "websocket"]]}
    {"id": 7, "status": 403, "body": "{...}"}      or      {"id": 7, "error": "TimeoutError: ..."}

The first line it writes is {"agent": 2}. `wait` instead of `ask` keeps a pod alive until SIGTERM.
The token is read from its file and goes into a header, nowhere else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import re
import signal
import socket
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROTOCOL = 2
MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
KEPT_BODY = 1 << 20  # bytes; the refusal of a role with many rules is long
THROTTLE_RETRIES = 5
BETWEEN_WRITES = 0.02  # seconds
TOKEN_LIFE = 60.0  # seconds a token is used before its file is read again: the kubelet renews it
USER_AGENT = "rbac-matrix-probe"
HEAD_END = b"\r\n\r\n"
LONGEST_HEAD = 1 << 16  # bytes
SWITCHING_PROTOCOLS = 101
TOO_MANY_REQUESTS = 429
VISIBLE = re.compile(r"[!-~]+")


class DisconnectedError(OSError):
    """The server closed the connection instead of answering."""


class UnreadableError(OSError):
    """What the server sent is not HTTP/1.1."""


class Identity:
    """Where to send requests and with which credentials."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Read the certificate authority, and the client certificate where there is one."""
        address = urlsplit(arguments.server)
        self.host, self.port = address.hostname or "", address.port or 443
        self.authority = address.netloc
        self.timeout: float = arguments.timeout
        self.context = ssl.create_default_context(cafile=str(arguments.ca))
        if arguments.certificate:
            self.context.load_cert_chain(arguments.certificate, arguments.key)
        self._token_file: Path | None = arguments.token
        self._token, self._read_at = "", 0.0

    def header(self) -> str:
        """The header line that carries the token, if any.

        Raises:
            ValueError: The token is empty, which would ask as nobody, or is no token.
        """
        if self._token_file is None:
            return ""
        if not self._token or time.monotonic() - self._read_at > TOKEN_LIFE:
            self._token = self._token_file.read_text(encoding="ascii").strip()
            self._read_at = time.monotonic()
            if not VISIBLE.fullmatch(self._token):
                message = f"{self._token_file} holds no token"
                raise ValueError(message)
        return f"Authorization: Bearer {self._token}\r\n"

    def connect(self) -> ssl.SSLSocket:
        """A new connection to the server, which has shown that it is the one."""
        plain = socket.create_connection((self.host, self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(plain, server_hostname=self.host)


class Head:
    """The status line and the headers of an answer.

    Attributes:
        status: The HTTP status.
        chunked: Whether the body comes in chunks, as that of a long answer or a watch does.
        length: The length of the body in bytes; None where chunks, or the connection's end, tell.
        closes: Whether no other request may follow on this connection.
    """

    def __init__(self, text: bytes, method: str) -> None:
        """Read the head of the answer to a request with this method."""
        version, _, rest = text.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            message = f"not an HTTP/1.1 answer: {text[:80]!r}"
            raise UnreadableError(message)
        self.status = int(rest[:3])
        self._text = text.lower()
        self.closes = self.status == SWITCHING_PROTOCOLS or self.get(b"connection") == b"close"
        self.chunked = False
        self.length: int | None = None
        if method == "HEAD" or self.status < 200 or self.status in (204, 304):
            self.length = 0
        elif (self.get(b"transfer-encoding") or b"").endswith(b"chunked"):
            self.chunked = True
        elif length := self.get(b"content-length"):
            self.length = int(length)

    def get(self, name: bytes) -> bytes | None:
        """The value of a header, lower-cased; None where there is none."""
        _, found, rest = self._text.partition(b"\r\n" + name + b":")
        return rest.partition(b"\r\n")[0].strip() if found else None


class Connection:
    """HTTP/1.1 over one connection that is kept open.

    `http.client` takes 0.18 ms of processor time for a request, mostly for reading headers, which
    is as much as the API server needs to refuse it; this takes 0.03 ms.
    """

    def __init__(self, identity: Identity) -> None:
        """Open nothing yet."""
        self._identity = identity
        self._socket: ssl.SSLSocket | None = None
        self._unread = bytearray()
        self.used = False

    def send(self, method: str, request: bytes) -> Head:
        """Send a request; the head of its answer, with the body still to be read or dropped."""
        if self._socket is None:
            self._socket = self._identity.connect()
        self._socket.sendall(request)
        while (end := self._unread.find(HEAD_END)) < 0:
            if len(self._unread) > LONGEST_HEAD:
                message = f"the head of the answer is longer than {LONGEST_HEAD} bytes"
                raise UnreadableError(message)
            self._receive()
        self.used = True
        return Head(self._take(end, len(HEAD_END)), method)

    def body(self, head: Head) -> bytes:
        """The body of an answer, as far as it is kept; the connection is closed if more comes."""
        if head.chunked:
            return self._chunks()
        if head.length is None:
            return self._until_closed()
        while len(self._unread) < min(head.length, KEPT_BODY):
            self._receive()
        if head.length > KEPT_BODY:
            return self._cut()
        return self._take(head.length)

    def close(self) -> None:
        """Close it; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._unread.clear()
        self.used = False

    def _chunks(self) -> bytes:
        body = bytearray()
        while len(body) <= KEPT_BODY:
            while (end := self._unread.find(b"\r\n")) < 0:
                self._receive()
            size = int(self._take(end, 2).partition(b";")[0], 16)
            while len(self._unread) < size + 2:
                self._receive()
            body += self._take(size, 2)
            if not size:
                return bytes(body)
        self._unread[:0] = body
        return self._cut()

    def _until_closed(self) -> bytes:
        with contextlib.suppress(DisconnectedError):
            while len(self._unread) <= KEPT_BODY:
                self._receive()
        return self._cut()

    def _receive(self) -> None:
        more = self._socket.recv(1 << 16) if self._socket else b""
        if not more:
            message = "the server closed the connection without an answer"
            raise DisconnectedError(message)
        self._unread += more

    def _take(self, length: int, dropped: int = 0) -> bytes:
        taken = bytes(self._unread[:length])
        del self._unread[: length + dropped]
        return taken

    def _cut(self) -> bytes:
        taken = bytes(self._unread[:KEPT_BODY])
        self.close()
        return taken


class Worker:
    """Sends requests over one connection, one at a time."""

    def __init__(self, identity: Identity) -> None:
        """Open nothing yet."""
        self._identity = identity
        self._connection = Connection(identity)

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Send one request; what went wrong is an answer too."""
        try:
            for _ in range(THROTTLE_RETRIES):
                status, retry_after, body = self._send(asked)
                if status != TOO_MANY_REQUESTS:
                    break
                # Refused before it was looked at: the server itself asks to send it again.
                time.sleep(min(float(retry_after or 1), 5.0))
        except (OSError, ValueError) as error:
            self._connection.close()
            return {"id": asked["id"], "error": f"{type(error).__name__}: {error}"}
        return {"id": asked["id"], "status": status, "body": body}

    def _send(self, asked: dict[str, Any]) -> tuple[int, bytes | None, str]:
        request = self._request(asked)
        try:
            head = self._connection.send(asked["method"], request)
        except (DisconnectedError, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            # A server may close an idle connection at any time; only a fresh one says more.
            if not self._connection.used:
                raise
            self._connection.close()
            head = self._connection.send(asked["method"], request)
        success = head.status < 300
        body = b""
        if not success or asked.get("reads_body"):
            body = self._connection.body(head)
        elif head.length is not None and head.length <= KEPT_BODY:
            self._connection.body(head)
        else:
            # What the identity may read is nobody's business, and a watch has no end.
            self._connection.close()
        if head.closes:
            self._connection.close()
        return head.status, head.get(b"retry-after"), body.decode(errors="replace")

    def _request(self, asked: dict[str, Any]) -> bytes:
        """The request as it goes over the connection."""
        for part in (asked["method"], asked["path"]):
            if not VISIBLE.fullmatch(part):
                message = f"{part!r} cannot be part of a request line"
                raise ValueError(message)
        head = f"{asked['method']} {asked['path']} HTTP/1.1\r\nHost: {self._identity.authority}\r\n"
        head += f"User-Agent: {USER_AGENT}\r\n{self._identity.header()}"
        head += "".join(f"{name}: {value}\r\n" for name, value in asked.get("headers") or ())
        if asked.get("body") is None:
            return f"{head}\r\n".encode()
        content: bytes = asked["body"].encode()
        head += f"Content-Type: {asked['content_type']}\r\nContent-Length: {len(content)}\r\n"
        return f"{head}\r\n".encode() + content


def ask(arguments: argparse.Namespace) -> None:
    """Answer the requests on standard input until it ends."""
    identity = Identity(arguments)
    requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def work() -> None:
        worker = Worker(identity)
        while (asked := requests.get()) is not None:
            answers.put(worker.answer(asked))

    def write() -> None:
        ended = False
        while not ended:
            batch = [answers.get()]
            while not answers.empty():
                batch.append(answers.get())
            ended = batch[-1] is None
            sys.stdout.write("".join(json.dumps(answer) + "\n" for answer in batch if answer))
            sys.stdout.flush()
            # What comes meanwhile goes along: in a pod each write passes through four programs,
            # which took 0.1 ms of processor time for an answer that went alone.
            time.sleep(0 if ended else BETWEEN_WRITES)

    answers.put({"agent": PROTOCOL})
    writer = threading.Thread(target=write)
    writer.start()
    workers = [threading.Thread(target=work, daemon=True) for _ in range(arguments.threads)]
    for worker in workers:
        worker.start()
    for line in sys.stdin:
        requests.put(json.loads(line))
    for _ in workers:
        requests.put(None)
    for worker in workers:
        worker.join()
    answers.put(None)
    writer.join()


def wait(_: argparse.Namespace) -> None:
    """Keep a pod alive until it is told to end."""
    ends = {signal.SIGTERM, signal.SIGINT}
    # Blocked first: the kernel drops what the first process of a container does not handle.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    signal.sigwait(ends)


def arguments_of(line: list[str]) -> argparse.Namespace:
    """Read the command line; in a pod the defaults are the mounted ServiceAccount."""
    host, port = (
        os.environ.get("KUBERNETES_SERVICE_HOST"),
        os.environ.get("KUBERNETES_SERVICE_PORT"),
    )
    in_pod = f"https://[{host}]:{port}" if host and ":" in host else f"https://{host}:{port}"
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    asking = commands.add_parser("ask", help=ask.__doc__)
    asking.set_defaults(run=ask)
    asking.add_argument("--server", default=in_pod)
    asking.add_argument("--ca", type=Path, default=MOUNTED / "ca.crt")
    identity = asking.add_mutually_exclusive_group()
    identity.add_argument("--token", type=Path, help="file; by default the mounted token")
    identity.add_argument("--certificate", type=Path, help="file of a client certificate")
    asking.add_argument("--key", type=Path, help="file of the certificate's key")
    asking.add_argument("--threads", type=int, default=8)
    asking.add_argument("--timeout", type=float, default=30.0, help="seconds for each request")
    commands.add_parser("wait", help=wait.__doc__).set_defaults(run=wait)
    arguments = parser.parse_args(line)
    if arguments.run is ask and not arguments.token and not arguments.certificate:
        arguments.token = MOUNTED / "token"
    return arguments


if __name__ == "__main__":
    parsed = arguments_of(sys.argv[1:])
    parsed.run(parsed)
