"""Waiting until the authorizer has seen what was applied and what was removed.

RBAC decides from caches that follow the API server's own storage, one watch for each of Role,
RoleBinding, ClusterRole and ClusterRoleBinding. A watch delivers in order, so once it shows a
sentinel that was written last, it has shown everything before. Two sentinels, a role with its
binding of either scope, therefore cover all four caches, without knowing what was applied; taking
them away again covers removals. The expectations under test are not used: a gate that waited for
its own expectation would report a wrong Role as a slow one.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.deadline import poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from rbac_matrix.admin import Admin
    from rbac_matrix.objects import Objects

SETTLE_DEADLINE: Final = 30.0  # seconds
_RBAC: Final = "rbac.authorization.k8s.io"
_NAMESPACE: Final = "default"
_QUESTION: Final = {"verb": "get", "group": "rbac-matrix.example", "resource": "sentinels"}


def settle(admin: Admin, objects: Objects) -> None:
    """Return once every earlier change of roles and bindings is in force.

    Raises:
        DeadlineError: The authorizer did not follow in time.
    """
    user = f"rbac-matrix:sentinel:{secrets.token_hex(4)}"
    mark = objects.mark()
    try:
        for body in _sentinels(user):
            objects.create(body, "the sentinel of settling")
        poll(
            "waiting for grants to be in force", _missing(admin, user, wanted=True), SETTLE_DEADLINE
        )
    finally:
        objects.remove_since(mark)
    poll(
        "waiting for removals to be in force", _missing(admin, user, wanted=False), SETTLE_DEADLINE
    )


def _missing(admin: Admin, user: str, *, wanted: bool) -> Callable[[], str]:
    """What still answers otherwise than `wanted`, by the scope of the grant."""

    def missing() -> str:
        # The namespaced role grants one resource, the cluster role another, so that
        # neither hides the other.
        answers = {
            "RoleBinding": admin.may(user, (), {**_QUESTION, "namespace": _NAMESPACE}),
            "ClusterRoleBinding": admin.may(
                user, (), {**_QUESTION, "resource": "clustersentinels"}
            ),
        }
        late = [kind for kind, allowed in answers.items() if allowed is not wanted]
        state = "granted" if wanted else "revoked"
        return f"the sentinel {' and '.join(late)} {state} nothing yet" if late else ""

    return missing


def _sentinels(user: str) -> list[dict[str, Any]]:
    name = user.replace(":", "-")

    def body(kind: str, namespace: str | None, rest: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
        return {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": metadata, **rest}

    def rules(resource: str) -> dict[str, Any]:
        rule = {"apiGroups": [_QUESTION["group"]], "resources": [resource], "verbs": ["get"]}
        return {"rules": [rule]}

    def binding(kind: str) -> dict[str, Any]:
        return {
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
            "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": user}],
        }

    return [
        body("Role", _NAMESPACE, rules("sentinels")),
        body("RoleBinding", _NAMESPACE, binding("Role")),
        body("ClusterRole", None, rules("clustersentinels")),
        body("ClusterRoleBinding", None, binding("ClusterRole")),
    ]
