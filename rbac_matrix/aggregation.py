"""Aggregated ClusterRoles, whose rules a controller writes a moment after their parts change.

Source: clusterroleaggregation_controller.go of k8s.io/kubernetes: the rules of every ClusterRole
that a selector selects, except its own, without repeats.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.deadline import poll

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rbac_matrix.admin import Admin
    from rbac_matrix.manifests import ManifestObject

AGGREGATION_DEADLINE: Final = 30.0  # seconds
_CLUSTER_ROLES: Final = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


def concerns_aggregation(objects: Sequence[ManifestObject]) -> bool:
    """Whether some of the objects may be aggregated, or be a part of what is."""
    return any(
        found.kind == "ClusterRole"
        and ("aggregationRule" in found.body or found.body["metadata"].get("labels"))
        for found in objects
    )


def wait_for_aggregation(admin: Admin) -> None:
    """Return once every aggregated ClusterRole of the cluster has the rules of its parts.

    Raises:
        DeadlineError: The controller did not follow in time.
    """

    def missing() -> str:
        roles = admin.request("GET", _CLUSTER_ROLES)["items"]
        return ", ".join(role["metadata"]["name"] for role in roles if is_late(role, roles))

    poll("waiting for aggregated ClusterRoles", missing, AGGREGATION_DEADLINE)


def is_late(role: Mapping[str, Any], roles: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an aggregated ClusterRole lacks a rule of its parts, or has one that none has."""
    selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    if not selectors:
        return False
    parts = [
        part
        for part in roles
        if part["metadata"]["name"] != role["metadata"]["name"]
        and any(selects(selector, part["metadata"].get("labels") or {}) for selector in selectors)
    ]
    wanted = {rule for part in parts for rule in _rules(part)}
    if not wanted and not _written_by_controller(role):
        # The controller applies an empty union as no field at all, so a role's own rules stay.
        return False
    return wanted != _rules(role)


def _rules(role: Mapping[str, Any]) -> set[str]:
    return {json.dumps(rule, sort_keys=True) for rule in role.get("rules") or ()}


def _written_by_controller(role: Mapping[str, Any]) -> bool:
    """Whether the rules are the controller's, by server-side apply's own account."""
    return any(
        entry.get("manager") == "clusterrole-aggregation-controller"
        and "f:rules" in entry.get("fieldsV1", {})
        for entry in role["metadata"].get("managedFields") or ()
    )


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects an object with these labels; an empty one selects all.

    Source: labels/selector.go of k8s.io/apimachinery.
    """
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], expression.get("values") or ()
        held = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not held[expression["operator"]]:
            return False
    return True
