"""A grant that no declared cell mentions turns exactly its cells red, on a real cluster."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.cell import Cell, PathQuestion
from rbac_matrix.discovery import parse_definitions, recorded_discovery
from rbac_matrix.errors import Position
from rbac_matrix.gate import Gate
from rbac_matrix.scenario_file import built_in_samples, load_scenario
from rbac_matrix.universe import universe_of
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.scenario import Scenario
    from rbac_matrix.verdict import Verdict

NEW: Final = "new.yaml"


@dataclass(frozen=True)
class Change:
    """A change of a scenario's manifests, and what it grants that nobody declared.

    Attributes:
        scenario: The scenario that is changed.
        edits: Text and what replaces it, by file; text that is added to a new file where there is
            nothing to replace. What grants is at the line that ends in `# here`.
        cells: The ids of the cells that it grants, without the scenario's name.
        grant: The binding, the role, the subject and the number of the rule.
        at: The file of the rule, or of the binding where the cluster brought the role.
    """

    scenario: str
    edits: dict[str, tuple[str, str]]
    cells: frozenset[str]
    grant: str = ""
    at: str = ""


def cells(*patterns: str) -> frozenset[str]:
    """Ids from `subject:scopes:verbs:what`, scopes, verbs and resources separated by commas."""
    return frozenset(
        f"{subject}:{scope}:{verb}:{resource}"
        for subject, scopes, verbs, resources in (pattern.split(":", 3) for pattern in patterns)
        for scope in scopes.split(",")
        for verb in verbs.split(",")
        for resource in resources.split(",")
    )


RBAC: Final = "rbac.authorization.k8s.io"
JOB_ROBOT: Final = (
    "RoleBinding default/job-robot of Role job-robot to ServiceAccount default/job-robot"
)
TO_ROBOT: Final = "  - {kind: ServiceAccount, name: job-robot, namespace: default}\n"


def with_rule(rule: str) -> dict[str, tuple[str, str]]:
    """The job robot's Role with one more rule, before its own."""
    return {"role.yaml": ("rules:\n", f"rules:\n  - {rule} # here\n")}


def added(*objects: str) -> dict[str, tuple[str, str]]:
    """One more file of manifests, written as flow mappings."""
    return {NEW: ("", "---\n".join(objects))}


def of_group(kind: str, name: str, rest: str, namespace: str = "") -> str:
    """An object of RBAC."""
    own = f", namespace: {namespace}" if namespace else ""
    return f"apiVersion: {RBAC}/v1\nkind: {kind}\nmetadata: {{name: {name}{own}}}\n{rest}"


def bound(kind: str, role: str, subjects: str, namespace: str = "") -> str:
    """A binding `extra` of a ClusterRole."""
    reference = f"roleRef: {{apiGroup: {RBAC}, kind: ClusterRole, name: {role}}}\n"
    return of_group(kind, "extra", f"{reference}subjects:\n{subjects}", namespace)


def role_extra(rule: str) -> str:
    """A ClusterRole `extra` with one rule."""
    return of_group("ClusterRole", "extra", f"rules:\n  - {rule} # here\n")


DEFINITION: Final = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.rbac-matrix.example}
spec:
  group: rbac-matrix.example
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""

APPS: Final = (
    "controllerrevisions.apps,daemonsets.apps,daemonsets.apps/status,deployments.apps/status,"
    "replicasets.apps,replicasets.apps/scale,replicasets.apps/status,statefulsets.apps,"
    "statefulsets.apps/scale,statefulsets.apps/status"
)

CHANGES: Final = {
    "unchanged": Change("job-robot", {}, frozenset()),
    "another-resource": Change(
        "job-robot",
        with_rule("{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, list]}"),
        cells("job-robot:default:get,list:leases.coordination.k8s.io"),
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
    "a-subresource": Change(
        "job-robot",
        with_rule('{apiGroups: [""], resources: [pods/eviction], verbs: [create]}'),
        cells("job-robot:default:create:pods/eviction"),
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
    # deployments and their scale are declared: those are no cells of the rest.
    "every-resource-of-a-group": Change(
        "job-robot",
        with_rule('{apiGroups: [apps], resources: ["*"], verbs: [get]}'),
        cells(f"job-robot:default:get:{APPS}"),
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
    "a-subresource-of-every-resource": Change(
        "job-robot",
        with_rule('{apiGroups: ["*"], resources: ["*/scale"], verbs: [patch]}'),
        cells(
            "job-robot:default:patch:replicasets.apps/scale,statefulsets.apps/scale,"
            "replicationcontrollers/scale"
        ),
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
    "a-verb-that-no-request-has": Change(
        "job-robot",
        with_rule(f"{{apiGroups: [{RBAC}], resources: [roles], verbs: [escalate]}}"),
        cells(f"job-robot:default:escalate:roles.{RBAC}"),
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
    "a-verb-that-only-the-rule-knows": Change(
        "job-robot",
        with_rule("{apiGroups: [example.com], resources: [gadgets], verbs: [use]}"),
        cells("job-robot:default:use:gadgets.example.com"),
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
    "another-binding": Change(
        "job-robot",
        added(
            role_extra('{apiGroups: [""], resources: [limitranges], verbs: [watch]}'),
            bound("RoleBinding", "extra", TO_ROBOT, "kube-system"),
        ),
        cells("job-robot:kube-system:watch:limitranges"),
        "RoleBinding kube-system/extra of ClusterRole extra to ServiceAccount default/job-robot, "
        "rule 1",
        NEW,
    ),
    "another-binding-of-a-role-that-the-cluster-brings": Change(
        "job-robot",
        added(bound("RoleBinding", "system:kube-dns", f"{TO_ROBOT[:-1]} # here\n", "bystander")),
        cells("job-robot:bystander:list,watch:endpoints,services"),
        "RoleBinding bystander/extra of ClusterRole system:kube-dns to ServiceAccount "
        "default/job-robot, rule ",
        NEW,
    ),
    "everybody-who-is-authenticated": Change(
        "custom-service-accounts",
        {
            "clusterrole.yaml": (
                "rules:\n",
                'rules:\n  - {apiGroups: [""], resources: [services], verbs: [list]} # here\n',
            ),
            "clusterrolebinding.yaml": (
                "subjects:\n",
                f"subjects:\n  - {{kind: Group, apiGroup: {RBAC}, name: system:authenticated}}\n",
            ),
        },
        cells(
            "default:default,bystander,kube-system,-:list:services",
            "log-exporter-sa:default,bystander,kube-system,-:list:services",
        ),
        "ClusterRoleBinding log-exporter-rb of ClusterRole log-exporter-cr to Group "
        "system:authenticated, rule 1",
        "clusterrole.yaml",
    ),
    "a-path": Change(
        "job-robot",
        added(
            role_extra("{nonResourceURLs: [/metrics], verbs: [get]}"),
            bound("ClusterRoleBinding", "extra", TO_ROBOT),
        ),
        cells("job-robot:-:get:/metrics"),
        "ClusterRoleBinding extra of ClusterRole extra to ServiceAccount default/job-robot, rule 1",
        NEW,
    ),
    "a-method-of-a-path": Change(
        "job-robot",
        added(
            role_extra("{nonResourceURLs: [/healthz, /metrics], verbs: [post, head]}"),
            bound("ClusterRoleBinding", "extra", TO_ROBOT),
        ),
        cells("job-robot:-:post,head:/healthz,/metrics"),
        "ClusterRoleBinding extra of ClusterRole extra to ServiceAccount default/job-robot, rule 1",
        NEW,
    ),
    "a-path-that-no-index-lists": Change(
        "job-robot",
        added(
            role_extra("{nonResourceURLs: [/custom/*], verbs: [get]}"),
            bound("ClusterRoleBinding", "extra", TO_ROBOT),
        ),
        cells("job-robot:-:get:/custom/rbac-matrix-absent"),
        "ClusterRoleBinding extra of ClusterRole extra to ServiceAccount default/job-robot, rule 1",
        NEW,
    ),
    "an-object-by-its-name": Change(
        "job-robot",
        with_rule(
            '{apiGroups: [""], resources: [secrets], resourceNames: [db-password, "a,b"], '
            "verbs: [get, list, watch, create, deletecollection]}"
        ),
        # No request creates, or deletes a collection, by a name: that part grants nothing.
        cells("job-robot:default:get,list,watch:secrets:db-password")
        | {f"job-robot:default:{verb}:secrets:a,b" for verb in ("get", "list", "watch")},
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
    "one-object-of-every-resource-of-a-group": Change(
        "job-robot",
        with_rule(
            '{apiGroups: [networking.k8s.io], resources: ["*"], resourceNames: [one, two], '
            "verbs: [delete]}"
        ),
        # Each with the first name, and each name once.
        cells(
            "job-robot:default:delete:ingresses.networking.k8s.io:one,"
            "ingresses.networking.k8s.io:two,networkpolicies.networking.k8s.io:one"
        ),
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
    "one-role-to-bind": Change(
        "job-robot",
        with_rule(
            f"{{apiGroups: [{RBAC}], resources: [roles], resourceNames: [x], verbs: [bind]}}"
        ),
        cells(f"job-robot:default:bind:roles.{RBAC}:x"),
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
    "one-namespace": Change(
        "job-robot",
        added(
            role_extra(
                '{apiGroups: [""], resources: [namespaces/status], verbs: [patch], '
                "resourceNames: [bystander, prod]}"
            ),
            bound("ClusterRoleBinding", "extra", TO_ROBOT),
        ),
        # A namespace is named by where it is asked; `prod` is none of the scopes.
        cells(
            "job-robot:bystander:patch:namespaces/status",
            "job-robot:-:patch:namespaces/status:prod",
        ),
        "ClusterRoleBinding extra of ClusterRole extra to ServiceAccount default/job-robot, rule 1",
        NEW,
    ),
    # Their requests need create as well, which is documented: granted all the same.
    "half-of-a-stream": Change(
        "job-robot",
        with_rule('{apiGroups: [""], resources: [pods/attach], verbs: [get]}'),
        cells("job-robot:default:get:pods/attach"),
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
    "an-update-that-would-create": Change(
        "job-robot",
        with_rule("{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [update]}"),
        cells("job-robot:default:update:leases.coordination.k8s.io"),
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
    "a-definition-without-a-grant": Change("job-robot", added(DEFINITION), frozenset()),
    "a-definition-and-a-grant": Change(
        "job-robot",
        {
            **added(DEFINITION),
            **with_rule("{apiGroups: [rbac-matrix.example], resources: [widgets], verbs: [get]}"),
        },
        cells("job-robot:default:get:widgets.rbac-matrix.example"),
        f"{JOB_ROBOT}, rule 1",
        "role.yaml",
    ),
}


def of_any_object(cell: Cell) -> Cell:
    """The same question without an object's name."""
    if isinstance(cell.question, PathQuestion):
        return cell
    return dataclasses.replace(cell, question=dataclasses.replace(cell.question, name=""))


GRANTING: Final = [name for name, change in CHANGES.items() if change.cells]


@dataclass(frozen=True)
class Asked:
    """What became of the changed scenarios.

    Attributes:
        scenarios: Each as it was asked.
        rests: The verdicts of its undeclared cells by their ids, without the scenario's name.
    """

    scenarios: dict[str, Scenario]
    rests: dict[str, dict[str, Verdict]]


@pytest.fixture(scope="module", name="asked")
def _asked(cluster: Cluster, admin: Admin, changed_copy: Callable[..., Path]) -> Iterator[Asked]:
    """The closed world of every changed scenario, asked by one gate."""
    scenarios = {}
    for name, change in CHANGES.items():
        copy = changed_copy(name, change.scenario, change.edits)
        scenarios[name] = load_scenario(copy, recorded_discovery(), built_in_samples())
    wanted = {scenario: scenario.rests for scenario in scenarios.values()}
    borrowed = dataclasses.replace(cluster, disposable=False)
    with Gate(borrowed, admin, wanted, print) as gate:
        for scenario in scenarios.values():
            gate.ask(scenario)
        rests: dict[str, dict[str, Verdict]] = {name: {} for name in CHANGES}
        for rest, verdicts in gate.rests.items():
            for verdict in verdicts:
                rests[rest.scenario][verdict.cell.id.removeprefix(f"{rest.scenario}:")] = verdict
        yield Asked(scenarios, rests)


@pytest.mark.parametrize("name", CHANGES)
def test_exactly_what_a_change_grants_turns_red(name: str, asked: Asked) -> None:
    """Every undeclared cell that the change allows is unexpectedly allowed, and no other is.

    What is allowed of any object is also allowed of those that the cluster's own rules name.
    """
    wrong = {
        verdict.cell: verdict for verdict in asked.rests[name].values() if not verdict.as_expected
    }
    red = {
        cell.id.removeprefix(f"{cell.scenario}:"): verdict.outcome
        for cell, verdict in wrong.items()
        if of_any_object(cell) == cell or of_any_object(cell) not in wrong
    }

    assert red == dict.fromkeys(CHANGES[name].cells, Outcome.UNEXPECTEDLY_ALLOWED)


@pytest.mark.parametrize("name", GRANTING)
def test_the_grant_is_named(name: str, asked: Asked) -> None:
    """The binding, the role, whom it is bound to, and the line of the manifest."""
    change = CHANGES[name]
    file = asked.scenarios[name].file.parent / "manifests" / name / change.at
    lines = file.read_text().splitlines()
    (line,) = [number for number, text in enumerate(lines, 1) if text.endswith("# here")]
    for cell in change.cells:
        evidence = asked.rests[name][cell].evidence

        assert evidence is not None
        assert evidence.policy.reason.startswith(change.grant)
        assert evidence.policy.at == Position(file, line)
        assert f"granted:   {evidence.policy.because}" in asked.rests[name][cell].explanation


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_of_the_universe_is_left_out(name: str, asked: Asked, admin: Admin) -> None:
    """Declared, requested and not requested cells together are all that the cluster serves."""
    scenario = asked.scenarios[name]
    served = admin.discovery().with_resources(
        parse_definitions(found.body for found in scenario.objects)
    )
    policy = [*(found.body for found in scenario.objects), *admin.policy_objects()]
    universe = universe_of(served, scenario.closed_namespaces, policy)
    for subject in scenario.subjects:
        own = [each for each in asked.rests[name].values() if each.cell.subject == subject]
        rest = {each.cell.question for each in own}
        declared = {cell.question for cell in scenario.expectations if cell.subject == subject}
        requested = {each.cell.question for each in own if each.answer is not None}

        assert len(rest) == len(own)
        assert not rest & declared
        # A definition's own paths come and go with it.
        known = set(universe.questions)
        missing = [
            str(question)
            for question in known - rest
            if not scenario.covers(Cell(scenario.name, subject, question))
        ]
        assert missing == []
        assert (rest - requested) & known == set(universe.not_requested) & rest
        assert len(requested) > 1000


def test_what_was_not_requested_says_why(asked: Asked) -> None:
    """Such a cell was judged by the other two all the same."""
    verdict = asked.rests["a-verb-that-no-request-has"][f"job-robot:default:escalate:roles.{RBAC}"]

    assert verdict.evidence is not None
    assert "no request has this verb" in verdict.evidence.not_requested
    assert set(verdict.evidence.opinions) == {"policy", "review"}
    assert verdict.sentence == (
        f"job-robot may not escalate roles.{RBAC} in default, but it is granted"
    )


def test_requested_cells_were_judged_by_three(asked: Asked) -> None:
    """Policy, review and request each said the same of every cell that a request may put."""
    for verdict in asked.rests["unchanged"].values():
        assert verdict.evidence is not None
        if not verdict.evidence.not_requested:
            assert set(verdict.evidence.opinions) == {"policy", "review", "request"}
            assert verdict.evidence.control is not None
