"""The references: a load generator in C, and what people use by hand, both as the reviewer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

import yaml

from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.probe.reviewer import REVIEWER
from rbac_matrix.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster

CONNECTIONS: Final = 16
ROUND: Final = 3  # seconds that wrk measures
TOKEN_LIFE: Final = 3600  # seconds


class MeasurementError(RbacMatrixError):
    """A reference is not there, or measured something else than it should."""


@dataclass(frozen=True)
class References:
    """What asks the same API server without this suite.

    Attributes:
        server: The API server's URL.
        token_file: The reviewer's token: it may create reviews and nothing else.
        kubeconfig: The reviewer's.
        kubectl: The program.
    """

    server: str
    token_file: Path
    kubeconfig: Path
    kubectl: str

    def requests_per_second(self, path: str, body: str = "") -> float:
        """The rate of wrk: refused GETs of a path, or POSTs of a body that are answered.

        Raises:
            MeasurementError: It got other answers, or none.
        """
        variables = {"BENCH_TOKEN_FILE": str(self.token_file), "BENCH_BODY": body}
        with resources.as_file(resources.files(__package__) / "bearer.lua") as script:
            command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS)]
            command += ["--duration", f"{ROUND}s", "--script", str(script), self.server + path]
            said = _output(command, {**os.environ, **variables})
        total = re.search(r"(\d+) requests in", said)
        rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        if total is None or rate is None or "Socket errors" in said:
            raise MeasurementError(f"wrk could not measure {path}: {said}")
        if int(refused[1] if refused else 0) != (0 if body else int(total[1])):
            raise MeasurementError(f"wrk got other answers from {path} than it should: {said}")
        return float(rate[1])

    def can_i(self, question: Sequence[str]) -> str:
        """What `kubectl auth can-i` says about the reviewer itself: `yes` or `no`."""
        command = [self.kubectl, "--kubeconfig", str(self.kubeconfig), "auth", "can-i", *question]
        return _output(command, os.environ).strip()


@contextmanager
def references(cluster: Cluster, admin: Admin) -> Iterator[References]:
    """The references for as long as the `with` block lasts; the reviewer has to be there.

    Raises:
        MeasurementError: A program is missing.
    """
    kubectl = cluster.kubectl[0] if cluster.kubectl else shutil.which("kubectl")
    if kubectl is None or shutil.which("wrk") is None:
        raise MeasurementError("wrk and kubectl have to be on PATH: they are what is compared with")
    with temporary_folder("bench") as folder:
        token_file, kubeconfig = folder / "token", folder / "kubeconfig"
        token_file.touch(mode=0o600)
        token_file.write_text(admin.token(REVIEWER, TOKEN_LIFE) + "\n", encoding="ascii")
        server, authority = cluster.admin.server, str(cluster.admin.ca_file)
        # The token stays in its file.
        entries = {
            "clusters": {"cluster": {"server": server, "certificate-authority": authority}},
            "users": {"user": {"tokenFile": str(token_file)}},
            "contexts": {"context": {"cluster": "bench", "user": "bench"}},
        }
        config: dict[str, object] = {
            key: [{"name": "bench", **entry}] for key, entry in entries.items()
        }
        config |= {"apiVersion": "v1", "kind": "Config", "current-context": "bench"}
        kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
        yield References(server, token_file, kubeconfig, kubectl)


def _output(command: Sequence[str], environment: os._Environ[str] | dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout or done.stderr
