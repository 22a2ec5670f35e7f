"""Which resources a cluster serves: read from its own discovery, or from a recording of one.

The recording (`recorded/*.json`) lets expectation files be checked and cells be counted without a
cluster; the live discovery is compared with it before anything is asked.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rbac_matrix.cell import ResourceName
from rbac_matrix.recorded import NEWEST, recording

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

AGGREGATED_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""The media type of `/api` and `/apis` that lists every resource in two answers (since 1.30)."""


@dataclass(frozen=True, order=True)
class ServedResource:
    """One resource or subresource in the version that its group prefers.

    Attributes:
        name: How RBAC names it.
        version: The group's preferred version that serves it, such as `v1`.
        kind: The kind of its objects, such as `Pod`.
        namespaced: Whether its objects live in namespaces.
        verbs: The verbs that discovery lists for it.
    """

    name: ResourceName
    version: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def api_version(self) -> str:
        """`v1`, or `batch/v1`."""
        return f"{self.name.group}/{self.version}" if self.name.group else self.version

    @property
    def root(self) -> str:
        """The URL path that its group and version are served at."""
        return f"/apis/{self.api_version}" if self.name.group else f"/api/{self.version}"


class ResourceNotServedError(LookupError):
    """No such resource; the message suggests the nearest one that is served."""


@dataclass(frozen=True)
class Discovery:
    """Everything that a cluster serves.

    Attributes:
        served: Each resource and subresource by the name that RBAC gives it.
        paths: The paths that the API server's own index lists.
    """

    served: Mapping[ResourceName, ServedResource]
    paths: tuple[str, ...] = ()

    def find(self, name: ResourceName) -> ServedResource:
        """The served resource of this name.

        Raises:
            ResourceNotServedError: Nothing of this name is served.
        """
        try:
            return self.served[name]
        except KeyError:
            raise ResourceNotServedError(self._not_served(name)) from None

    def of_kind(self, api_version: str, kind: str) -> ServedResource | None:
        """The resource whose objects have this apiVersion and kind; None if none is served."""
        for resource in self.served.values():
            if not resource.name.subresource and resource.kind == kind:
                group = api_version.rpartition("/")[0]
                if group == resource.name.group:
                    return resource
        return None

    def with_resources(self, added: Iterable[ServedResource]) -> Discovery:
        """This discovery and the resources that a scenario's own definitions add."""
        more = {resource.name: resource for resource in added}
        return Discovery({**self.served, **more}, self.paths)

    def _not_served(self, name: ResourceName) -> str:
        if name.subresource and name.parent in self.served:
            subresources = sorted(
                other.subresource
                for other in self.served
                if other.parent == name.parent and other.subresource
            )
            has = f"it has {', '.join(subresources)}" if subresources else "it has none"
            return f"{name.parent} has no subresource {name.subresource!r}; {has}"
        nearest = [
            str(other)
            for other, resource in self.served.items()
            if other.subresource == name.subresource
            and name.plural.lower() in (other.plural, resource.kind.lower())
        ] or difflib.get_close_matches(str(name), [str(other) for other in self.served], n=2)
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        return (
            f"no resource {str(name)!r} is served (write its plural, with its group: "
            f"jobs.batch){hint}"
        )


def parse_discovery(documents: Iterable[Mapping[str, Any]], paths: Iterable[str] = ()) -> Discovery:
    """Read aggregated discovery documents (`apidiscovery.k8s.io/v2`).

    Args:
        documents: The JSON answers of `/api` and `/apis` to `AGGREGATED_DISCOVERY`.
        paths: What the answer of `/` lists.

    Returns:
        Each resource in the first version of its group that serves it: versions are listed in the
        server's order of preference.
    """
    served: dict[ResourceName, ServedResource] = {}
    for document in documents:
        for group in document.get("items", ()):
            group_name = group.get("metadata", {}).get("name", "")
            for version in group.get("versions", ()):
                for resource in version.get("resources", ()):
                    for found in _resources(group_name, version["version"], resource):
                        served.setdefault(found.name, found)
    return Discovery(served, tuple(sorted(paths)))


def _resources(group: str, version: str, entry: Mapping[str, Any]) -> Iterable[ServedResource]:
    plural, namespaced = entry["resource"], entry["scope"] == "Namespaced"
    kind = entry.get("responseKind", {}).get("kind", "")
    name = ResourceName(group, plural)
    yield ServedResource(name, version, kind, namespaced, frozenset(entry.get("verbs", ())))
    for sub in entry.get("subresources", ()):
        yield ServedResource(
            ResourceName(group, plural, sub["subresource"]),
            version,
            sub.get("responseKind", {}).get("kind", ""),
            namespaced,
            frozenset(sub.get("verbs", ())),
        )


def parse_definitions(objects: Iterable[Mapping[str, Any]]) -> list[ServedResource]:
    """The resources that CustomResourceDefinitions among `objects` will add to a cluster."""
    added = []
    for definition in objects:
        if definition.get("kind") != "CustomResourceDefinition":
            continue
        spec = definition.get("spec", {})
        names = spec.get("names", {})
        versions = [version for version in spec.get("versions", ()) if version.get("served")]
        for version in versions[:1]:
            for subresource in ("", *version.get("subresources", {})):
                verbs = {"get", "update", "patch"} if subresource else _CUSTOM_RESOURCE_VERBS
                added.append(
                    ServedResource(
                        ResourceName(spec.get("group", ""), names.get("plural", ""), subresource),
                        version.get("name", ""),
                        names.get("kind", ""),
                        spec.get("scope") == "Namespaced",
                        frozenset(verbs),
                    )
                )
    return added


_CUSTOM_RESOURCE_VERBS = frozenset(
    {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
)


def recorded_discovery(kubernetes_version: str = NEWEST) -> Discovery:
    """What a recorded Kubernetes version, `v1.36`, serves with its default settings."""
    recorded = recording(f"discovery-{kubernetes_version}")
    served = {}
    for written, entry in recorded["resources"].items():
        name = ResourceName.parse(written)
        served[name] = ServedResource(
            name, entry["version"], entry["kind"], entry["namespaced"], frozenset(entry["verbs"])
        )
    return Discovery(served, tuple(recorded["paths"]))
