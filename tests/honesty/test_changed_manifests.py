"""A changed Role or binding turns exactly the cells red that it changes, on a real cluster."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from rbac_matrix.discovery import recorded_discovery
from rbac_matrix.gate import Gate
from rbac_matrix.scenario_file import built_in_samples, load_scenario
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.verdict import Verdict

ALLOWED, DENIED = Outcome.UNEXPECTEDLY_ALLOWED, Outcome.UNEXPECTEDLY_DENIED


@dataclass(frozen=True)
class Change:
    """An edit of one manifest of a scenario, and the cells that have to turn red.

    Attributes:
        scenario: The scenario that is changed.
        file: Its manifest.
        before: The text that is replaced.
        after: What replaces it.
        outcome: How each of the cells comes out.
        cells: Their ids without the scenario's name.
    """

    scenario: str
    file: str
    before: str
    after: str
    outcome: Outcome
    cells: frozenset[str]


def cells(*patterns: str) -> frozenset[str]:
    """Ids from `subject:scopes:verbs:resource`, scopes and verbs separated by commas."""
    found = set()
    for pattern in patterns:
        subject, scopes, verbs, resource = pattern.split(":", 3)
        found |= {
            f"{subject}:{scope}:{verb}:{resource}"
            for scope in scopes.split(",")
            for verb in verbs.split(",")
        }
    return frozenset(found)


JOB_VERBS = "get,list,watch,create,update,patch,delete"
JOB_ROBOT = cells(
    "job-robot:default:get,list,watch:pods", f"job-robot:default:{JOB_VERBS}:jobs.batch"
)
ALL_VERBS = "get,list,watch,create,update,patch,delete,deletecollection"

CHANGES = {
    "verb-taken-from-a-role": Change(
        "job-robot",
        "role.yaml",
        "create, update, patch, delete]",
        "create, update, patch]",
        DENIED,
        cells("job-robot:default:delete:jobs.batch"),
    ),
    "verb-added-to-a-role": Change(
        "job-robot",
        "role.yaml",
        "resources: [pods]\n    verbs: [get, list, watch]",
        "resources: [pods]\n    verbs: [get, list, watch, delete]",
        ALLOWED,
        cells("job-robot:default:delete:pods"),
    ),
    "resource-added-to-a-role": Change(
        "job-robot",
        "role.yaml",
        "resources: [pods]",
        "resources: [pods, secrets]",
        ALLOWED,
        cells("job-robot:default:get,list,watch:secrets"),
    ),
    "subresource-added-to-a-role": Change(
        "job-robot",
        "role.yaml",
        "resources: [pods]",
        "resources: [pods, pods/log]",
        ALLOWED,
        cells("job-robot:default:get:pods/log"),
    ),
    "wildcard-verb-in-a-role": Change(
        "quick-introduction",
        "role.yaml",
        "verbs: [get, list]",
        'verbs: ["*"]',
        ALLOWED,
        cells("myapp1:default:watch,create,update,patch,delete,deletecollection:pods"),
    ),
    "binding-for-another-service-account": Change(
        "job-robot",
        "rolebinding.yaml",
        "  - kind: ServiceAccount\n    name: job-robot",
        "  - kind: ServiceAccount\n    name: job-robt",
        DENIED,
        JOB_ROBOT,
    ),
    "binding-for-another-namespace": Change(
        "job-robot",
        "rolebinding.yaml",
        "    name: job-robot\n    namespace: default",
        "    name: job-robot\n    namespace: bystander",
        DENIED,
        JOB_ROBOT,
    ),
    "binding-for-everybody": Change(
        "custom-service-accounts",
        "clusterrolebinding.yaml",
        "subjects:",
        "subjects:\n  - kind: Group\n    name: system:authenticated\n"
        "    apiGroup: rbac.authorization.k8s.io",
        ALLOWED,
        cells(
            "default:default,bystander,kube-system,-:get,list:pods",
            "default:default,bystander,kube-system,-:get:pods/log",
            "default:default,bystander,kube-system:get:namespaces",
            "default:-:list:namespaces",
        ),
    ),
    "name-taken-from-a-rule": Change(
        "default-service-account",
        "role.yaml",
        "    resourceNames: [blog]",
        "   ",
        ALLOWED,
        cells("blog-discovery:default:get:endpoints"),
    ),
}


@pytest.fixture(scope="module", name="verdicts")
def _verdicts(
    cluster: Cluster, admin: Admin, changed_copy: Callable[..., Path]
) -> Iterator[dict[str, dict[str, Verdict]]]:
    """The verdicts of every changed scenario, by the change and the cell's id."""
    scenarios = {}
    for name, change in CHANGES.items():
        copy = changed_copy(name, change.scenario, {change.file: (change.before, change.after)})
        scenarios[name] = load_scenario(copy, recorded_discovery(), built_in_samples())
    wanted = {scenario: list(scenario.expectations) for scenario in scenarios.values()}
    borrowed = dataclasses.replace(cluster, disposable=False)
    with Gate(borrowed, admin, wanted, print) as gate:
        for scenario in scenarios.values():
            gate.ask(scenario)
        found: dict[str, dict[str, Verdict]] = {name: {} for name in CHANGES}
        for cell, verdict in gate.verdicts.items():
            found[cell.scenario][cell.id.removeprefix(f"{cell.scenario}:")] = verdict
        yield found


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_turns_exactly_its_cells_red(
    name: str, verdicts: dict[str, dict[str, Verdict]]
) -> None:
    """Every cell that the change affects is wrong in the expected way, and no other is wrong."""
    change = CHANGES[name]
    red = {
        cell: verdict.outcome
        for cell, verdict in verdicts[name].items()
        if verdict.outcome not in (Outcome.AS_EXPECTED, Outcome.NOT_ASKED)
    }
    wanted = {cell for cell in change.cells if verdicts[name][cell].outcome != Outcome.NOT_ASKED}

    assert red == dict.fromkeys(wanted, change.outcome)


def test_the_sentence_names_what_changed(verdicts: dict[str, dict[str, Verdict]]) -> None:
    """A stranger reads who could do what, and with which answer."""
    verdict = verdicts["verb-added-to-a-role"]["job-robot:default:delete:pods"]

    assert verdict.sentence.startswith("job-robot may not delete pods in default, but could (")


def test_a_binding_that_is_left_out_grants_nothing(
    verdicts: dict[str, dict[str, Verdict]],
) -> None:
    """A binding of another ServiceAccount leaves the subject with RBAC's own refusal."""
    verdict = verdicts["binding-for-another-service-account"]["job-robot:default:list:pods"]

    assert verdict.answer is not None
    assert 'User "system:serviceaccount:default:job-robot" cannot list' in verdict.answer.message
