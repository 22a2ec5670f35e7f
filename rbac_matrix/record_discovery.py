"""Records what a Kubernetes version serves: `python -m rbac_matrix.record_discovery CONTEXT`.

CONTEXT is a context of the kubeconfig, of a cluster with default settings and nothing installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rbac_matrix.admin import Admin
from rbac_matrix.clusters.kubeconfig import credentials_of
from rbac_matrix.discovery import record


def main(context: str) -> None:
    """Write `recorded/discovery-<minor>.yaml` for the cluster of a kubeconfig context."""
    with credentials_of(None, context) as credentials:
        admin = Admin(credentials)
        version = admin.version()
        minor = ".".join(version.split(".")[:2])
        file = Path(__file__).parent / "recorded" / f"discovery-{minor}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(record(admin.discovery(), version), encoding="utf-8")
    print(f"recorded {version} in {file}")  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main(sys.argv[1])
