"""The probe's program: sends requests to the API server with one identity, many at a time.

Standard library only, because it runs alone in a small image. It reads one JSON request a line on
standard input and writes one JSON answer a line, in any order, until its input ends:

    {"id": 7, "method": "GET", "path": "/api/v1/nodes", "body": null, "content_type": "...",
     "reads_body": false}
    {"id": 7, "status": 403, "body": "{...}"}      or      {"id": 7, "error": "TimeoutError: ..."}

The first line it writes is {"agent": 1}. `wait` instead of `ask` keeps a pod alive until SIGTERM.
The token is read from its file and goes into a header, nowhere else.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import queue
import signal
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROTOCOL = 1
MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
KEPT_BODY = 1 << 20  # bytes; the refusal of a role with many rules is long
THROTTLE_RETRIES = 5
TOKEN_LIFE = 60.0  # seconds a token is used before its file is read again: the kubelet renews it


class Identity:
    """Where to send requests and with which credentials."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Read the certificate authority, and the client certificate where there is one."""
        address = urlsplit(arguments.server)
        self.host, self.port = address.hostname or "", address.port or 443
        self.timeout: float = arguments.timeout
        self.context = ssl.create_default_context(cafile=str(arguments.ca))
        if arguments.certificate:
            self.context.load_cert_chain(arguments.certificate, arguments.key)
        self._token_file: Path | None = arguments.token
        self._token, self._read_at = "", 0.0

    def headers(self) -> dict[str, str]:
        """The headers that carry the identity. An empty token would ask as nobody, so it raises."""
        if self._token_file is None:
            return {}
        if not self._token or time.monotonic() - self._read_at > TOKEN_LIFE:
            self._token = self._token_file.read_text(encoding="ascii").strip()
            self._read_at = time.monotonic()
            if not self._token:
                message = f"{self._token_file} is empty"
                raise ValueError(message)
        return {"Authorization": f"Bearer {self._token}"}

    def connect(self) -> http.client.HTTPSConnection:
        """A new connection, not yet opened."""
        return http.client.HTTPSConnection(
            self.host, self.port, timeout=self.timeout, context=self.context
        )


class Worker:
    """Sends requests over one connection that is kept open."""

    def __init__(self, identity: Identity) -> None:
        """Open nothing yet."""
        self._identity = identity
        self._connection = identity.connect()
        self._used = False

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Send one request; what went wrong is an answer too."""
        try:
            for _ in range(THROTTLE_RETRIES):
                status, retry_after, body = self._send(asked)
                if status != http.HTTPStatus.TOO_MANY_REQUESTS:
                    break
                # Refused before it was looked at: the server itself asks to send it again.
                time.sleep(min(float(retry_after or 1), 5.0))
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._close()
            return {"id": asked["id"], "error": f"{type(error).__name__}: {error}"}
        return {"id": asked["id"], "status": status, "body": body}

    def _send(self, asked: dict[str, Any]) -> tuple[int, str | None, str]:
        try:
            return self._exchange(asked)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # A server may close an idle connection at any time; only a fresh one says more.
            if not self._used:
                raise
            self._close()
            return self._exchange(asked)

    def _exchange(self, asked: dict[str, Any]) -> tuple[int, str | None, str]:
        headers = self._identity.headers()
        body = asked.get("body")
        if body is not None:
            headers["Content-Type"] = asked["content_type"]
        self._connection.request(
            asked["method"], asked["path"], None if body is None else body.encode(), headers
        )
        response = self._connection.getresponse()
        self._used = True
        success = response.status < http.HTTPStatus.MULTIPLE_CHOICES
        wanted = success and asked.get("reads_body")
        kept = b""
        if not success or wanted:
            kept = response.read(KEPT_BODY)
        if success and not wanted:
            # What the identity may read is nobody's business, and a watch has no end.
            if response.length is not None and response.length <= KEPT_BODY:
                response.read()
            else:
                self._close()
        elif not response.isclosed():
            self._close()
        return response.status, response.headers.get("Retry-After"), kept.decode(errors="replace")

    def _close(self) -> None:
        self._connection.close()
        self._connection = self._identity.connect()
        self._used = False


def ask(arguments: argparse.Namespace) -> None:
    """Answer the requests on standard input until it ends."""
    identity = Identity(arguments)
    requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    writing = threading.Lock()

    def write(answer: dict[str, Any]) -> None:
        line = json.dumps(answer) + "\n"
        with writing:
            sys.stdout.write(line)
            sys.stdout.flush()

    def work() -> None:
        worker = Worker(identity)
        while (asked := requests.get()) is not None:
            write(worker.answer(asked))

    write({"agent": PROTOCOL})
    threads = [threading.Thread(target=work, daemon=True) for _ in range(arguments.threads)]
    for thread in threads:
        thread.start()
    for line in sys.stdin:
        requests.put(json.loads(line))
    for _ in threads:
        requests.put(None)
    for thread in threads:
        thread.join()


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
