"""The reviewer: a ServiceAccount of the suite's own, which may ask for reviews and nothing else.

The admin could ask for them too. But admins mostly come with a client certificate, which the API
server verifies for each request anew; a token it remembers for ten seconds.
"""

from __future__ import annotations

from typing import Any, Final

from rbac_matrix.cell import Subject
from rbac_matrix.scenario import BYSTANDER

REVIEWER: Final = Subject(BYSTANDER, "rbac-matrix-reviewer")
_RBAC: Final = "rbac.authorization.k8s.io"


def reviewer_objects() -> list[dict[str, Any]]:
    """The ServiceAccount, and its binding to the cluster's own role for asking for reviews."""
    role = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "system:auth-delegator"}
    subject = {"kind": "ServiceAccount", "name": REVIEWER.name, "namespace": REVIEWER.namespace}
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": REVIEWER.name, "namespace": REVIEWER.namespace},
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": REVIEWER.name},
            "roleRef": role,
            "subjects": [subject],
        },
    ]
