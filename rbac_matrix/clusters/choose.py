"""Which kind of cluster a run uses, and why: the first line that a run prints."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from rbac_matrix.clusters import engine
from rbac_matrix.clusters.cluster import ClusterError
from rbac_matrix.clusters.kind import check_kind_version

ORDINARY, RESTRICTED = "kind.yaml", "kind-restricted.yaml"


@dataclass(frozen=True)
class Choice:
    """A provider and the reason for it, a few words."""

    provider: str
    reason: str


def choose_provider(asked: str, kind: str | None, kubectl: str | None, image: str) -> Choice:
    """Decide what `--cluster` means on this host.

    Args:
        asked: `auto`, or a provider by name.
        kind: `--kind-bin`; None for the one on PATH.
        kubectl: `--kind-kubectl-bin`; None for the one on PATH.
        image: The node image that kind would use; empty for kind's own default.

    Raises:
        ClusterError: kind was asked for by name and cannot run here.
    """
    if asked not in ("auto", "kind"):
        return Choice(asked, "as asked")
    problem = _kind_problem(kind, kubectl, image)
    if asked == "kind":
        if problem:
            raise ClusterError(
                f"--cluster kind cannot run here: {problem}. `--cluster embedded` needs no "
                "container engine"
            )
        return Choice("kind", "as asked")
    if problem:
        return Choice("embedded", f"kind cannot run here: {problem}")
    return Choice("kind", "a container engine answers and has a node image")


def choose_kind_config(chosen: str | None, folder: Path) -> tuple[Path, str]:
    """The kind configuration of this host.

    Args:
        chosen: `--kind-config`; None for the one that fits.
        folder: Where the two configurations are.

    Returns:
        The file, and why it is not the ordinary one; empty where it is, or was chosen by name.

    Raises:
        ClusterError: It does not exist.
    """
    reason = ""
    if chosen is None:
        reason = " and ".join(engine.restrictions())
        chosen = str(folder / (RESTRICTED if reason else ORDINARY))
    if not Path(chosen).is_file():
        raise ClusterError(f"the kind configuration {chosen} does not exist (--kind-config)")
    return Path(chosen), reason


def _kind_problem(kind: str | None, kubectl: str | None, image: str) -> str:
    if problem := engine.engine_problem():
        return problem
    for program, option in (
        (kind or "kind", "--kind-bin"),
        (kubectl or "kubectl", "--kind-kubectl-bin"),
    ):
        if shutil.which(program) is None:
            return f"{program} is not on PATH ({option})"
    try:
        check_kind_version(Path(str(shutil.which(kind or "kind"))))
    except ClusterError as error:
        return str(error)
    if image and not engine.has_image(image) and (problem := engine.pull_problem(image)):
        return f"the node image {image} is not here and cannot be pulled ({problem})"
    return ""
