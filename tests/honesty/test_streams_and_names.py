"""What a request carries beside its verb, on a real cluster: a stream's upgrade, a name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix import gate as module
from rbac_matrix.disagreements import Disagreements, load_disagreements
from rbac_matrix.discovery import recorded_discovery
from rbac_matrix.gate import Gate
from rbac_matrix.scenario_file import built_in_samples, load_scenario
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.verdict import Verdict

MANIFESTS: Final = """\
apiVersion: v1
kind: ServiceAccount
metadata: {{name: reader, namespace: default}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: default}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: reader, namespace: default}}
rules:
  - {rule}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: reader, namespace: default}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}}
subjects:
  - {{kind: ServiceAccount, name: reader, namespace: default}}
"""
EXPECTED: Final = """\
scenario: reader
title: A Role with one rule
manifests: manifests
ask:
  namespaces: [default, bystander]
  resources: [pods/exec, configmaps]
subjects:
  - serviceAccount: reader
    namespace: default
    allow:
      - {line, why: The Role grants it., namespaces: [default]}
"""
GET_EXEC: Final = "reader:reader:default:get:pods/exec"

Ask = Callable[[str, str], dict[str, "Verdict"]]


@pytest.fixture(name="ask")
def _ask(cluster: Cluster, admin: Admin, tmp_path: Path) -> Ask:
    """Asks what is declared of a Role with one rule and one line that allows."""

    def ask(rule: str, line: str) -> dict[str, Verdict]:
        (tmp_path / "manifests").mkdir()
        (tmp_path / "manifests" / "all.yaml").write_text(MANIFESTS.format(rule=rule))
        file = tmp_path / "reader.yaml"
        file.write_text(EXPECTED.replace("line", line))
        scenario = load_scenario(file, recorded_discovery(), built_in_samples())
        borrowed = dataclasses.replace(cluster, disposable=False)
        with Gate(borrowed, admin, {scenario: [*scenario.expectations]}, print) as gate:
            gate.ask(scenario)
        return {cell.id: verdict for cell, verdict in gate.verdicts.items()}

    return ask


def exec_rule(*verbs: str) -> str:
    """A rule for pods/exec."""
    return f'{{apiGroups: [""], resources: [pods/exec], verbs: [{", ".join(verbs)}]}}'


def test_half_of_a_stream_is_granted_but_refused_where_that_is_documented(
    ask: Ask, admin: Admin
) -> None:
    """A Role with get alone: what is declared is granted, and the data say what the request gets.

    On a Kubernetes that the data's line is not for, the same get is let through.
    """
    verdicts = ask(exec_rule("get"), "verbs: {get: 400}, resources: [pods/exec]")
    verdict = verdicts[GET_EXEC]
    needed = load_disagreements(admin.version()).also_needed(verdict.cell.question)

    assert {each.outcome for each in verdicts.values()} == {Outcome.AS_EXPECTED}
    assert verdict.request is not None
    assert verdict.request.line.endswith("command=true&stdout=true (Upgrade: websocket)")
    assert verdict.answer is not None
    assert verdict.answer.status == (403 if needed else 400)
    assert verdict.documented.startswith(
        "the request also needs create pods/exec in default: since Kubernetes 1.35: "
        if needed
        else ""
    )
    assert bool(verdict.documented) is (needed is not None)
    assert not any(each.documented for each in verdicts.values() if each is not verdict)


def test_without_the_data_it_is_a_disagreement(
    ask: Ask, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the code knows the exception: it goes with its line."""
    monkeypatch.setattr(module, "load_disagreements", lambda _: Disagreements(()))
    verdict = ask(exec_rule("get"), "verbs: {get: 400}, resources: [pods/exec]")[GET_EXEC]

    if load_disagreements(admin.version()).also_needed(verdict.cell.question) is None:
        pytest.skip(f"nothing is documented of Kubernetes {admin.version()}")
    assert verdict.outcome is Outcome.DISAGREEMENT
    assert verdict.sentence == (
        "reader may get pods/exec in default, but the judges disagree: policy says allowed, "
        "review says allowed, request says denied"
    )


def test_a_whole_stream_is_let_through(ask: Ask) -> None:
    """With get and create all three judges allow it, up to the sample Pod, which never runs."""
    verdicts = ask(
        exec_rule("get", "create"), "verbs: {get: 400, create: 400}, resources: [pods/exec]"
    )

    assert {each.outcome for each in verdicts.values()} == {Outcome.AS_EXPECTED}
    assert verdicts[GET_EXEC].sentence == "reader may get pods/exec in default (400)"
    assert verdicts[GET_EXEC].documented == ""


def test_a_stream_to_a_pod_that_is_not_the_sample_is_never_opened(ask: Ask) -> None:
    """Whoever runs the suite has pods that nobody may run commands in: two judges decide alone."""
    verdicts = ask(
        '{apiGroups: [""], resources: [pods/exec], resourceNames: [web-0], verbs: [get, create]}',
        "verbs: {get: 200, create: 200}, resources: [pods/exec], names: [web-0]",
    )

    assert {each.outcome for each in verdicts.values()} == {Outcome.AS_EXPECTED}
    named = {cell: each for cell, each in verdicts.items() if cell.endswith(":web-0")}
    assert len(named) == 2 * 5
    for verdict in named.values():
        assert verdict.request is None
        assert verdict.evidence is not None
        assert set(verdict.evidence.opinions) == {"policy", "review"}
        assert "not the suite's own sample" in verdict.evidence.not_requested
    assert named[f"{GET_EXEC}:web-0"].sentence == (
        'reader may get pods/exec "web-0" in default (not requested)'
    )


def test_a_list_that_selects_a_name_carries_it(ask: Ask) -> None:
    """A rule for one object's name allows the list and the watch that select it, and no others."""
    verdicts = ask(
        '{apiGroups: [""], resources: [configmaps], resourceNames: [settings], '
        "verbs: [get, list, watch, deletecollection, create]}",
        "verbs: {get: 200, list: 200, watch: 200}, resources: [configmaps], names: [settings]",
    )

    assert {each.outcome for each in verdicts.values()} == {Outcome.AS_EXPECTED}
    allowed = {cell for cell, verdict in verdicts.items() if verdict.expectation.status}
    assert allowed == {
        f"reader:reader:default:{verb}:configmaps:settings" for verb in ("get", "list", "watch")
    }
    refused = verdicts["reader:reader:bystander:list:configmaps:settings"]
    assert refused.request is not None
    assert refused.request.line.endswith(
        "configmaps?limit=1&fieldSelector=metadata.name%3Dsettings"
    )
    assert refused.answer is not None
    assert refused.answer.message.startswith('configmaps "settings" is forbidden: User ')
