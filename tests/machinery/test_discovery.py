"""What a cluster serves: reading it, recording it, and suggesting what a misspelt name meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.cell import ResourceName
from rbac_matrix.discovery import (
    Discovery,
    ResourceNotServedError,
    ServedResource,
    parse_definitions,
    parse_discovery,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def entry(plural: str, kind: str, *, scope: str = "Namespaced", sub: str = "") -> dict[str, Any]:
    """One resource of a discovery document."""
    subresources = [{"subresource": sub, "responseKind": {"kind": kind}, "verbs": ["get"]}]
    return {
        "resource": plural,
        "responseKind": {"group": "", "version": "", "kind": kind},
        "scope": scope,
        "verbs": ["get", "list"],
        **({"subresources": subresources} if sub else {}),
    }


def group(name: str, *versions: tuple[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """One group of a discovery document, in the server's order of preference."""
    listed = [{"version": version, "resources": [*resources]} for version, resources in versions]
    return {"metadata": {"name": name} if name else {}, "versions": listed}


CORE: Final = {"items": [group("", ("v1", [entry("pods", "Pod", sub="log")]))]}
GROUPS: Final = {
    "items": [
        group(
            "autoscaling",
            ("v2", [entry("scalers", "Scaler")]),
            ("v1", [entry("scalers", "Scaler"), entry("olds", "Old", scope="Cluster")]),
        )
    ]
}


def test_a_resource_is_served_in_the_version_that_its_group_prefers() -> None:
    """The first version that has it wins; one that only an older version has is there too."""
    found = parse_discovery([CORE, GROUPS])

    assert {str(name): resource.api_version for name, resource in found.served.items()} == {
        "pods": "v1",
        "pods/log": "v1",
        "scalers.autoscaling": "autoscaling/v2",
        "olds.autoscaling": "autoscaling/v1",
    }
    assert found.find(ResourceName("", "pods", "log")).namespaced
    assert not found.find(ResourceName("autoscaling", "olds")).namespaced


def test_a_kind_is_found_by_its_group_whatever_the_version() -> None:
    """Two groups may have one kind; a subresource's kind is no resource of its own."""
    found = parse_discovery([CORE, GROUPS])

    scaler, pod = found.of_kind("autoscaling/v1", "Scaler"), found.of_kind("v1", "Pod")
    assert scaler is not None
    assert scaler.version == "v2"
    assert pod is not None
    assert pod.name == ResourceName("", "pods")
    assert found.of_kind("other.example.com/v1", "Pod") is None


@pytest.mark.parametrize(
    "text", ["pods", "pods/log", "jobs.batch", "jobs.batch/status", "a.b.example.com/scale"]
)
def test_a_resource_name_is_written_as_it_is_read(text: str) -> None:
    """`plural[.group][/subresource]`, there and back."""
    assert text == str(ResourceName.parse(text))


def test_a_subresource_is_no_object_name() -> None:
    """`pods/log` is the subresource log of pods, not a Pod named log."""
    assert ResourceName.parse("pods/log") == ResourceName("", "pods", "log")


SUGGESTIONS: Final = {
    "pod": "did you mean pods?",
    "Pod": "did you mean pods?",
    "job": "did you mean jobs.batch?",
    "jobs": "did you mean jobs.batch?",
    "jobs.extensions": "did you mean jobs.batch?",
    "deployment.apps": "did you mean deployments.apps?",
    "rolebindings": "did you mean rolebindings.rbac.authorization.k8s.io?",
    "scale.apps": "no resource 'scale.apps' is served",
    "widgets.example.com": "no resource 'widgets.example.com' is served",
    "pods/logs": "pods has no subresource 'logs'; it has attach, binding,",
    "configmaps/status": "configmaps has no subresource 'status'; it has none",
    "job/status": "did you mean jobs.batch/status?",
}


@pytest.mark.parametrize(("wrong", "says"), SUGGESTIONS.items(), ids=SUGGESTIONS)
def test_a_wrong_name_gets_a_suggestion(discovery: Discovery, wrong: str, says: str) -> None:
    """Singular, kind, other group or none, and a misspelt subresource."""
    with pytest.raises(ResourceNotServedError, match=re.escape(says)):
        discovery.find(ResourceName.parse(wrong))


def test_every_served_name_is_found_as_it_is_written(discovery: Discovery) -> None:
    """What discovery lists can be put into an expectations file as it is shown."""
    for name, resource in discovery.served.items():
        assert resource == discovery.find(ResourceName.parse(str(name)))


DEFINITION: Final[dict[str, Any]] = {
    "kind": "CustomResourceDefinition",
    "spec": {
        "group": "example.com",
        "names": {"plural": "widgets", "kind": "Widget"},
        "scope": "Cluster",
        "versions": [
            {"name": "v1alpha1", "served": False},
            {"name": "v1", "served": True, "subresources": {"status": {}, "scale": {}}},
        ],
    },
}


def test_definitions_add_resources() -> None:
    """A CustomResourceDefinition's served version and subresources; other kinds add nothing."""
    added = parse_definitions([DEFINITION, {"kind": "ConfigMap"}])

    assert [str(resource.name) for resource in added] == [
        "widgets.example.com",
        "widgets.example.com/status",
        "widgets.example.com/scale",
    ]
    assert {(each.version, each.kind, each.namespaced) for each in added} == {
        ("v1", "Widget", False)
    }


def test_added_resources_leave_the_discovery_as_it_was(discovery: Discovery) -> None:
    """One scenario's own definitions are no other scenario's."""
    more = discovery.with_resources(parse_definitions([DEFINITION]))

    assert ResourceName("example.com", "widgets") in more.served
    assert ResourceName("example.com", "widgets") not in discovery.served


def test_roots_are_the_paths_of_groups() -> None:
    """The core group is below /api, all others below /apis."""
    core = ServedResource(ResourceName("", "pods"), "v1", "Pod", namespaced=True, verbs=frozenset())
    batch = ServedResource(
        ResourceName("batch", "jobs"), "v1", "Job", namespaced=True, verbs=frozenset()
    )

    assert (core.root, batch.root) == ("/api/v1", "/apis/batch/v1")
