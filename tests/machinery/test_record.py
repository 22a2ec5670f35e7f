"""Recordings of Kubernetes versions: what they hold, and that they are written as they are read."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from rbac_matrix.cell import VERBS, ResourceName
from rbac_matrix.discovery import recorded_discovery
from rbac_matrix.record import FOLDER, WIDTH, record_discovery, record_policy
from rbac_matrix.recorded import NEWEST, VERSIONS, recording


def test_the_newest_version_comes_first() -> None:
    """Versions are ordered as numbers; the newest is the one that scenarios are read with."""
    minors = [int(version.removeprefix("v1.")) for version in VERSIONS]

    assert minors == sorted(minors, reverse=True)
    assert VERSIONS[0] == NEWEST


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_is_recorded_as_a_whole(version: str) -> None:
    """Both files of a version are of one release."""
    parts = [recording(f"{part}-{version}") for part in ("discovery", "policy")]

    assert len({part["kubernetes"] for part in parts}) == 1
    assert parts[0]["kubernetes"].startswith(f"{version}.")


@pytest.mark.parametrize("version", VERSIONS)
def test_recording_what_is_recorded_changes_nothing(version: str) -> None:
    """A recording that somebody edited, or that the program would write otherwise, is noticed."""
    exact = recording(f"policy-{version}")["kubernetes"]
    objects = recording(f"policy-{version}")["objects"]
    texts = {
        "discovery": record_discovery(recorded_discovery(version), exact),
        "policy": record_policy(reversed(objects), exact),
    }

    for name, text in texts.items():
        assert text == (FOLDER / f"{name}-{version}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", VERSIONS)
def test_what_every_version_serves(version: str) -> None:
    """Kinds, scopes and verbs are the server's."""
    discovery = recorded_discovery(version)
    pods, nodes = (discovery.find(ResourceName("", name)) for name in ("pods", "nodes"))

    assert (pods.kind, pods.namespaced, pods.verbs) == ("Pod", True, frozenset(VERBS))
    assert (nodes.kind, nodes.namespaced) == ("Node", False)
    assert {"/healthz", "/metrics", "/version"} <= {*discovery.paths}


RULE: Final = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}


def role(name: str, **parts: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of a Role
    """A Role as the API server lists it."""
    metadata = {"name": name, "namespace": "default", "uid": "f4", "resourceVersion": "7"}
    return {"apiVersion": "v1", "kind": "Role", "metadata": metadata, "rules": [RULE], **parts}


def test_what_differs_from_run_to_run_is_not_recorded() -> None:
    """No identifiers, times or owners of fields, and always the same order."""
    document = json.loads(record_policy([role("b"), role("a", rules=None)], "v1.2.3"))

    assert document["kubernetes"] == "v1.2.3"
    assert document["objects"] == [
        {"apiVersion": "v1", "kind": "Role", "metadata": {"name": "a", "namespace": "default"}},
        {
            "apiVersion": "v1",
            "kind": "Role",
            "metadata": {"name": "b", "namespace": "default"},
            "rules": [RULE],
        },
    ]


def test_a_changed_rule_is_a_changed_line() -> None:
    """Recordings are reviewed as diffs: what is short is one line, what is long many."""
    long = RULE | {"resourceNames": [f"name-{number}" for number in range(40)]}

    before = record_policy([role("a"), role("b", rules=[RULE, long])], "v1.2.3").splitlines()
    after = record_policy(
        [role("a"), role("b", rules=[RULE | {"verbs": ["list"]}, long])], "v1.2.3"
    ).splitlines()

    assert [new for old, new in zip(before, after, strict=True) if old != new] == [
        '    {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]},'
    ]
    assert '      "name-7",' in after
    assert max(map(len, after)) <= WIDTH
