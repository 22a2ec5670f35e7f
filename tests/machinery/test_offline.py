"""The policy judge alone on recorded stock clusters, and the baseline of each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.cell import PathQuestion, ResourceName, ResourceQuestion, Subject
from rbac_matrix.judges.written_policy import PolicyJudge
from rbac_matrix.offline import chosen_versions, judge_offline, stock_cluster
from rbac_matrix.recorded import NEWEST, VERSIONS
from rbac_matrix.scenario import Scenario, built_in_samples, load_scenario
from rbac_matrix.universe import universe_of
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from pathlib import Path

ANYBODY: Final = Subject("somewhere", "anybody")

MANIFEST: Final = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: default, namespace: default}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {plural: widgets, kind: Widget}
  scope: Namespaced
  versions: [{name: v1, served: true}]
"""
EXPECTATIONS: Final = """\
scenario: shop
title: A shop
manifests: manifests
ask:
  namespaces: [default]
  resources: [pods]
subjects:
  - serviceAccount: default
    namespace: default
    allow:
      - verbs: {get: 200, list: 200}
        resources: [pods]
        namespaces: [default]
        why: The Role grants it.
"""


def shop(folder: Path, manifest: str = MANIFEST, expectations: str = EXPECTATIONS) -> Scenario:
    """A scenario of one subject that may get and list pods in default, and nothing else."""
    (folder / "manifests").mkdir()
    (folder / "manifests" / "all.yaml").write_text(manifest, encoding="utf-8")
    file = folder / "shop.yaml"
    file.write_text(expectations, encoding="utf-8")
    return load_scenario(file, stock_cluster(NEWEST).discovery, built_in_samples())


@pytest.mark.parametrize("version", VERSIONS)
def test_the_baseline_is_what_a_stock_cluster_grants(version: str) -> None:
    """To a ServiceAccount that nothing is bound to, in every version: no cell more, none less."""
    stock = stock_cluster(version)
    questions = universe_of(stock.discovery, (ANYBODY.namespace, "kube-system")).questions

    said = PolicyJudge((), stock.policy).opinions(ANYBODY, questions)

    granted = {str(each) for each, by in zip(questions, said, strict=True) if by.allowed}
    covered = {str(each) for each in questions if stock.baseline.expectation(each)}
    assert granted == covered
    assert granted


@pytest.mark.parametrize("version", VERSIONS)
def test_a_scenario_holds_on_each_version(tmp_path: Path, version: str) -> None:
    """Declared cells, the baseline, and everything else that the version serves."""
    stock = stock_cluster(version)

    judged = judge_offline(shop(tmp_path), stock)

    declared = {str(cell.question) for cell in judged.allowed}
    assert {"get pods in default", "list pods in default", "get /version"} <= declared
    assert judged.wrong == ()
    assert judged.asked > 5 * len(stock.discovery.served)


WRONG: Final = {
    "granted-but-not-declared": (
        ("[get, list]", "[get, list, watch]"),
        Outcome.UNEXPECTEDLY_ALLOWED,
        "default may not watch pods in default, but it is granted",
        ":5]",
    ),
    "granted-where-nobody-asked": (
        ("[pods]", "[pods, widgets]"),
        Outcome.UNEXPECTEDLY_ALLOWED,
        "default may not get widgets.example.com in default, but it is granted",
        ":5]",
    ),
    "declared-but-not-granted": (
        ("[get, list]", "[get]"),
        Outcome.UNEXPECTEDLY_DENIED,
        "default may list pods in default, but nothing grants it",
        "Role reader grants get on pods, not list",
    ),
}


@pytest.mark.parametrize(("change", "outcome", "sentence", "why"), WRONG.values(), ids=WRONG)
def test_wrong_manifests_are_told_with_their_line(
    tmp_path: Path, change: tuple[str, str], outcome: Outcome, sentence: str, why: str
) -> None:
    """What is granted beyond the declaration, or not granted, is a verdict with its reason."""
    manifest = MANIFEST.replace('apiGroups: [""]', "apiGroups: ['', example.com]")
    changed = manifest.replace(*change)

    judged = judge_offline(shop(tmp_path, changed), stock_cluster(NEWEST))

    first = judged.wrong[0]
    assert (first.outcome, first.sentence) == (outcome, sentence)
    assert why in first.explanation


def test_a_declared_line_counts_before_the_baseline(tmp_path: Path) -> None:
    """Who denies what every ServiceAccount may do is told that it is granted."""
    denial = "    deny: [{verbs: [get], paths: [/version], why: No need to know.}]\n"

    judged = judge_offline(
        shop(tmp_path, expectations=EXPECTATIONS + denial), stock_cluster(NEWEST)
    )

    assert [str(each.cell.question) for each in judged.wrong] == ["get /version"]
    assert judged.wrong[0].expectation.why == "No need to know."


CHOICES: Final = {
    "": (NEWEST,),
    NEWEST: (NEWEST,),
    "1.34": ("v1.34",),
    "v1.34": ("v1.34",),
    "all": VERSIONS,
}


@pytest.mark.parametrize(("choice", "versions"), CHOICES.items(), ids=str)
def test_a_choice_means_versions(choice: str, versions: tuple[str, ...]) -> None:
    """With or without the v; nothing is the newest."""
    assert versions == chosen_versions(choice)


@pytest.mark.parametrize("choice", ["1.2", "1.34.1", "latest", "v"])
def test_a_version_that_is_not_recorded_is_refused(choice: str) -> None:
    """The error lists what there is."""
    with pytest.raises(ValueError, match=rf"{choice} is not recorded; recorded are 1\.\d+, .*all"):
        chosen_versions(choice)


def test_versions_differ() -> None:
    """Each version is asked what it serves: 1.36 brought two resources that 1.35 has not."""
    policies = ResourceName("admissionregistration.k8s.io", "mutatingadmissionpolicies")
    question = ResourceQuestion("list", policies, None)

    asked = [
        question in universe_of(stock_cluster(version).discovery, ()).questions
        for version in ("v1.35", "v1.36")
    ]

    assert asked == [False, True]
    assert (
        PathQuestion("get", "/version")
        in universe_of(stock_cluster("v1.35").discovery, ()).questions
    )
