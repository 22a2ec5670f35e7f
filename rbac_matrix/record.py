"""Records what a Kubernetes version serves and grants: `python -m rbac_matrix.record CONTEXT`.

CONTEXT is a context of the kubeconfig, of a cluster with default settings and nothing installed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from rbac_matrix.admin import Admin
from rbac_matrix.clusters.kubeconfig import credentials_of
from rbac_matrix.discovery import record

KEPT = ("apiVersion", "kind", "rules", "aggregationRule", "roleRef", "subjects")


def main(context: str) -> None:
    """Write `recorded/{discovery,policy}-<minor>.yaml` for a kubeconfig context's cluster."""
    with credentials_of(None, context) as credentials:
        admin = Admin(credentials)
        version = admin.version()
        discovery, policy = record(admin.discovery(), version), admin.policy_objects()
    minor = ".".join(version.split(".")[:2])
    folder = Path(__file__).parent / "recorded"
    (folder / f"discovery-{minor}.yaml").write_text(discovery, encoding="utf-8")
    (folder / f"policy-{minor}.yaml").write_text(record_policy(policy, version), encoding="utf-8")
    print(f"recorded {version} in {folder}")  # noqa: T201 - a command's answer


def record_policy(objects: list[dict[str, Any]], kubernetes_version: str) -> str:
    """The text of a recording of roles and bindings, without what differs from run to run."""
    kept = []
    for found in objects:
        metadata = {key: found["metadata"].get(key) for key in ("name", "namespace", "labels")}
        written = {key: value for key, value in metadata.items() if value}
        kept.append({"metadata": written} | {key: found[key] for key in KEPT if found.get(key)})
    kept.sort(
        key=lambda each: (
            each["kind"],
            each["metadata"].get("namespace", ""),
            each["metadata"]["name"],
        )
    )
    head = (
        "# The roles and bindings that a Kubernetes API server brings. Written by\n"
        f"# `python -m rbac_matrix.record`.\nkubernetes: {kubernetes_version}\n"
    )
    return head + yaml.safe_dump({"objects": kept}, sort_keys=True, width=120)


if __name__ == "__main__":
    main(sys.argv[1])
