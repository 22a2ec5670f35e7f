"""What an authorizer is asked: its attributes without the user.

Source: pkg/authorization/authorizer of k8s.io/apiserver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbac_matrix.cell import ResourceName


@dataclass(frozen=True, order=True)
class ResourceQuestion:
    """May this verb be done to this resource?

    Attributes:
        verb: An RBAC verb; not only those of HTTP (`escalate`, `impersonate`, ...).
        resource: Group, plural and subresource.
        namespace: None at cluster scope.
        name: The object's name; empty where the request names none.
    """

    verb: str
    resource: ResourceName
    namespace: str | None
    name: str = ""


@dataclass(frozen=True, order=True)
class PathQuestion:
    """May this method be used on this non-resource path?

    Attributes:
        verb: The lower-cased HTTP method.
        path: Such as `/metrics`.
    """

    verb: str
    path: str


Question = ResourceQuestion | PathQuestion
