"""Records what Kubernetes versions serve and grant: `python -m rbac_matrix.record v1.34.4 ...`.

Each version's control plane is built, if it was not before, and started as `--cluster embedded`
starts its own. Without a version it is the one that this package pins.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.admin import Admin
from rbac_matrix.aggregation import wait_for_aggregation
from rbac_matrix.clusters.embedded import embedded_cluster
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.programs.find import asset_variable
from rbac_matrix.programs.other_version import build_version
from rbac_matrix.versions import minor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rbac_matrix.discovery import Discovery

FOLDER: Final = Path(__file__).with_name("recorded")
WIDTH: Final = 250  # characters; what fits into a line is one, so that changes are short diffs
_KEPT: Final = ("apiVersion", "kind", "metadata", "aggregationRule", "roleRef", "subjects", "rules")
_KEPT_METADATA: Final = ("name", "namespace", "labels")


def main(versions: Sequence[str]) -> int:
    """Record versions, the pinned one for none; the exit code is 1 with one sentence on failure."""
    try:
        for version in versions or ("",):
            record_version(version)
    except RbacMatrixError as error:
        _say(f"error: {error}")
        return 1
    return 0


def record_version(version: str) -> None:
    """Write `recorded/{discovery,policy}-<minor>.json` of a version; empty for the pinned one.

    Raises:
        RbacMatrixError: It cannot be had, or does not start.
    """
    environment = dict(os.environ)
    if version:
        built = build_version(version, environment, _say)
        environment |= {asset_variable(name): str(path) for name, path in built.items()}
    with embedded_cluster(_say, None, environment) as cluster:
        admin = Admin(cluster.admin)
        wait_for_aggregation(admin)
        recorded = admin.version()
        texts = {
            "discovery": record_discovery(admin.discovery(), recorded),
            "policy": record_policy(admin.policy_objects(), recorded),
        }
    major_minor = "v{}.{}".format(*minor(recorded))
    for name, text in texts.items():
        (FOLDER / f"{name}-{major_minor}.json").write_text(text, encoding="utf-8")
    _say(f"recorded {recorded} in {FOLDER}")


def record_discovery(discovery: Discovery, kubernetes_version: str) -> str:
    """The text of a recording of what a cluster serves."""
    resources = {
        str(name): {
            "version": resource.version,
            "kind": resource.kind,
            "namespaced": resource.namespaced,
            "verbs": sorted(resource.verbs),
        }
        for name, resource in sorted(discovery.served.items())
    }
    about = (
        "What an API server with default settings serves, in each group's preferred version. "
        "Written by `python -m rbac_matrix.record`."
    )
    return _text(about, kubernetes_version, resources=resources, paths=discovery.paths)


def record_policy(objects: Iterable[Mapping[str, Any]], kubernetes_version: str) -> str:
    """The text of a recording of roles and bindings, without what differs from run to run."""
    kept = []
    for found in objects:
        metadata = _only(_KEPT_METADATA, found["metadata"])
        kept.append(_only(_KEPT, {**found, "metadata": metadata}))
    kept.sort(key=_order)
    about = "The roles and bindings of a stock cluster. Written by `python -m rbac_matrix.record`."
    return _text(about, kubernetes_version, objects=kept)


def _only(keys: Iterable[str], found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in keys if found.get(key)}


def _order(found: Mapping[str, Any]) -> tuple[str, ...]:
    metadata = found["metadata"]
    return (found["kind"], metadata.get("namespace", ""), metadata["name"])


def _text(about: str, kubernetes_version: str, **parts: object) -> str:
    document = {"about": about, "kubernetes": kubernetes_version, **parts}
    return "\n".join(_lines(document, "", WIDTH)) + "\n"


def _lines(value: object, indent: str, width: int) -> list[str]:
    """A value as JSON: in one line where it fits, with a line or more for each part otherwise."""
    whole = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list, tuple)) or (width < WIDTH and len(whole) <= width):
        return [f"{indent}{whole}"]
    deeper, lines = f"{indent} ", []
    parts = [("", item) for item in value]
    if isinstance(value, dict):
        parts = [(f"{json.dumps(key)}: ", value[key]) for key in value]
    for key, item in parts:
        inner = _lines(item, deeper, width - 1 - len(key))
        inner[0] = f"{deeper}{key}{inner[0].removeprefix(deeper)}"
        inner[-1] += ","
        lines += inner
    lines[-1] = lines[-1].removesuffix(",")
    return [f"{indent}{whole[0]}", *lines, f"{indent}{whole[-1]}"]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command's progress


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
