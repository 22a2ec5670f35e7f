"""The pytest side of failures: keeping what was there, pausing, and how to look around."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.failures.run import OPTION, begin, is_interactive, started, watch
from rbac_matrix.failures.trouble import Trouble, service_accounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.failures.watch import Watch
    from rbac_matrix.objects import Objects

EXPLAINED: Final = 20
"""Lines of a failure at most; the run shows them all."""
LOG_FOLDERS: Final = ("kind-logs", "control-plane-logs")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that waits."""
    group = parser.getgroup("rbac-matrix", "access of Kubernetes ServiceAccounts")
    group.addoption(
        OPTION,
        action="store_true",
        help="when something fails, wait for Enter while its objects are still on the cluster, and "
        "print how to look around; needs a terminal",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to wait where nobody would ever press a key."""
    begin(config)
    if not config.getoption("pause_on_failure"):
        return
    if config.getoption("cluster") == "none":
        raise pytest.UsageError(f"{OPTION}: --cluster none has no cluster to look around on")
    if os.environ.get("CI", "").lower() not in ("", "false", "0"):
        raise pytest.UsageError(f"{OPTION} waits for a key, and the environment says CI")
    if not is_interactive(config):
        raise pytest.UsageError(
            f"{OPTION} waits for a key, and standard input is no terminal: leave it out and look "
            "at what --report-dir keeps of each failure"
        )


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(
    node: pytest.Item | pytest.Collector,
    call: pytest.CallInfo[Any],
    report: pytest.TestReport | pytest.CollectReport,
) -> None:
    """Look at a test that failed, before its fixtures are taken down.

    What fails for a scenario's verdicts is seen by the gate, while the scenario's objects are
    there.
    """
    del report
    found: Mapping[str, Any] = getattr(node, "funcargs", {})
    about = found.get("cell", found.get("rest"))
    if not started(node.config) or "cluster" not in getattr(node, "fixturenames", ()):
        return
    seen = watch(node.config)
    if about is not None and about.scenario in seen.noted:
        return
    sentence, *more = (call.excinfo.exconly() if call.excinfo else "").split("\n")
    objects = _objects_of(found)
    trouble = Trouble(
        node.nodeid,
        (sentence,),
        "\n".join(more[:EXPLAINED]),
        service_accounts(objects.created) if objects else (),
    )
    seen.went_wrong(trouble, objects)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # noqa: ANN401 - pytest's class is private
    """Say where the failures can be looked into, and how a kept cluster is reached."""
    if not started(config):
        return
    seen = watch(config)
    if seen.folder is not None and seen.folder.failures:
        terminalreporter.line(f"what was there when it went wrong: {seen.folder.index}")
    if config.getoption("keep_cluster") and seen.cluster is not None:
        for line in _kept_cluster(seen, seen.cluster, config.getoption("cluster_name")):
            terminalreporter.line(line)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Take secrets out of the logs that the cluster has left in the report folder."""
    report = config.getoption("report_dir")
    if not report or config.getoption("cluster") == "none":
        return
    from rbac_matrix.failures.folder import redact_files  # noqa: PLC0415 - with a cluster only
    from rbac_matrix.failures.redact import Redactor  # noqa: PLC0415 - the same

    folder = watch(config).folder if started(config) else None
    redactor = folder.redactor if folder is not None else Redactor()
    for name in LOG_FOLDERS:
        redact_files(Path(report) / name, redactor)


def _objects_of(found: Mapping[str, Any]) -> Objects | None:
    """What a test's fixtures have created."""
    from rbac_matrix.objects import Objects  # noqa: PLC0415 - with a cluster only

    for value in found.values():
        if isinstance(value, Objects):
            return value
    for value in found.values():
        if isinstance(own := getattr(value, "objects", None), Objects):
            return own
    return None


def _kept_cluster(seen: Watch, cluster: Cluster, name: str) -> list[str]:
    from rbac_matrix.failures.look_around import (  # noqa: PLC0415 - with a cluster only
        audit_commands,
        entering,
        kept_kubeconfig,
        questions,
    )
    from rbac_matrix.report.harmless import harmless  # noqa: PLC0415 - the same

    kubeconfig = kept_kubeconfig(cluster)
    if not kubeconfig:
        return [f"--keep-cluster keeps kind clusters only; to look around on others, use {OPTION}"]
    commands = [entering(kubeconfig)]
    if seen.last is not None:
        if seen.folder is not None and seen.folder.failures:
            index = seen.folder.index
            commands.append(f"# the run took its objects away; {index} says how to put them back")
        commands += [*questions(seen.last), *audit_commands(cluster, seen.last)]
    else:
        commands.append("kubectl get pods,rolebindings,clusterrolebindings --all-namespaces")
    commands.append(shlex.join(["kind", "delete", "cluster", "--name", name]))
    return ["the cluster is kept:", *(f"  {harmless(command)}" for command in commands)]
