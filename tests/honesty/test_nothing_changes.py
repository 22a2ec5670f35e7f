"""Asking changes nothing: the cluster's objects are the same before and after a whole gate."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.cell import ResourceName, ResourceQuestion, Verb
from rbac_matrix.discovery import recorded_discovery
from rbac_matrix.gate import Gate
from rbac_matrix.objects import Objects
from rbac_matrix.probe.start import admin_probe
from rbac_matrix.requests import request_for
from rbac_matrix.scenario_file import built_in_samples, load_scenario

if TYPE_CHECKING:
    from rbac_matrix.admin import Admin
    from rbac_matrix.cell import Cell, Rest
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.scenario import Scenario

SCENARIOS = sorted((Path(__file__).parents[1] / "access").glob("*.yaml"))

RESTLESS = frozenset({"leases", "events"})
"""Resources that the control plane itself writes all the time: heartbeats and their log."""


WRITES: Final[dict[Verb, int]] = {
    "create": 201,
    "update": 200,
    "patch": 200,
    "delete": 200,
    "deletecollection": 200,
}
IN_DEFAULT: Final = {"metadata": {"name": "sample", "namespace": "default"}}


def snapshot(admin: Admin) -> dict[str, Any]:
    """Every stored object by its URL path, without what heartbeats change."""
    found: dict[str, Any] = {}
    for resource in admin.discovery().served.values():
        name = resource.name
        if name.subresource or not {"list", "get"} <= resource.verbs or name.plural in RESTLESS:
            continue
        status, body = admin.try_request("GET", f"{resource.root}/{name.plural}")
        if status != 200:
            continue
        for item in body.get("items") or ():
            metadata = item["metadata"]
            key = f"{name} {metadata.get('namespace', '')}/{metadata['name']}"
            found[key] = {
                part: value for part, value in item.items() if part not in ("status", "metadata")
            } | {"uid": metadata.get("uid"), "labels": metadata.get("labels")}
    return found


def test_a_gate_leaves_every_object_as_it_was(cluster: Cluster, admin: Admin) -> None:
    """No object is added, removed or altered by asking every declared cell and a closed world.

    The admin sends each of those requests too, so one closed world shows it for all of them.
    """
    discovery, samples = recorded_discovery(), built_in_samples()
    scenarios = [load_scenario(file, discovery, samples) for file in SCENARIOS]
    wanted: dict[Scenario, list[Cell | Rest]] = {
        scenario: list(scenario.expectations) for scenario in scenarios
    }
    declared = sum(map(len, wanted.values()))
    wanted[scenarios[0]] += scenarios[0].rests
    before = snapshot(admin)

    with Gate(dataclasses.replace(cluster, disposable=False), admin, wanted, print) as gate:
        for scenario in scenarios:
            gate.ask(scenario)

    assert before == snapshot(admin)
    assert len(gate.verdicts) == declared + sum(map(len, gate.rests.values()))
    assert all(gate.rests.values())
    assert set(gate.rests) == set(scenarios[0].rests)


def test_allowed_writes_succeed_and_change_nothing(cluster: Cluster, admin: Admin) -> None:
    """Each write verb on an object that exists is answered as a success and leaves no trace."""
    discovery, samples = recorded_discovery(), built_in_samples()
    configmaps = ResourceName("", "configmaps")
    served = discovery.find(configmaps)
    objects = Objects(admin, admin.discovery())
    objects.create(samples[configmaps] | IN_DEFAULT, "this test")
    try:
        existing = objects.get(served, "default", "sample")
        requests = [
            request_for(
                ResourceQuestion(verb, configmaps, "default"),
                served,
                existing=existing,
                sample=samples[configmaps],
            )
            for verb in WRITES
        ]
        with admin_probe(cluster.admin) as probe:
            answers = probe.ask(requests, deadline=30)

        assert [answer.status for answer in answers] == list(WRITES.values())
        assert objects.get(served, "default", "sample") == existing
        assert objects.get(served, "default", "sample-created") is None
    finally:
        objects.remove_since(0)
