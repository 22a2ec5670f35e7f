"""A control plane of local processes as a cluster: everything but what needs a kubelet."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rbac_matrix.clusters.cluster import Cluster
from rbac_matrix.clusters.control_plane import running_control_plane
from rbac_matrix.programs.find import find_control_plane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


@contextmanager
def embedded_cluster(
    say: Callable[[str], None],
    report: Path | None,
    environment: Mapping[str, str] = os.environ,
    *,
    audited: bool = False,
) -> Iterator[Cluster]:
    """A control plane for as long as the `with` block lasts.

    Args:
        say: Takes one line of progress; finding, downloading and building its programs use it too.
        report: The report folder, which gets the programs' logs; None for none.
        environment: The environment variables, which may name programs.
        audited: Have the API server keep an audit log.

    Raises:
        RbacMatrixError: A program cannot be had, or the control plane does not start.
    """
    programs = find_control_plane(environment, say=say)
    logs = report / "control-plane-logs" if report else None
    with running_control_plane(programs, say=say, logs=logs, audited=audited) as running:
        yield Cluster(
            provider="embedded",
            admin=running.credentials,
            kubectl=(),
            probe_image="",
            disposable=True,
            check=running.check,
            signing_key=running.signing_key.read_bytes,
            command_lines=running.command_lines,
            server_log=running.server_log,
            audit=running.audit,
        )
