"""The policy judge alone on recorded stock clusters, and the baseline of each of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.cell import PathQuestion, ResourceName, ResourceQuestion, Subject
from rbac_matrix.judges.written_policy import PolicyJudge
from rbac_matrix.offline import chosen_versions, judge_offline, stock_cluster
from rbac_matrix.recorded import NEWEST, VERSIONS
from rbac_matrix.scenario_file import built_in_samples, load_scenario
from rbac_matrix.universe import universe_of
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from rbac_matrix.scenario import Scenario

ANYBODY: Final = Subject("somewhere", "anybody")

GRANT: Final = (Path(__file__).parent / "small/manifests/role.yaml").read_text(encoding="utf-8")
DEFINITION: Final = """\
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
MANIFEST: Final = f"{GRANT}{DEFINITION}"


@pytest.fixture
def shop(tmp_path: Path, write_scenario: Callable[..., Path]) -> Callable[..., Scenario]:
    """Read a scenario of one subject that may get pods in default, and nothing else."""

    def read(manifest: str = MANIFEST, more: str = "") -> Scenario:
        file = write_scenario(tmp_path, manifest=manifest)
        with file.open("a", encoding="utf-8") as expectations:
            expectations.write(more)
        return load_scenario(file, stock_cluster(NEWEST).discovery, built_in_samples())

    return read


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
def test_a_scenario_holds_on_each_version(shop: Callable[..., Scenario], version: str) -> None:
    """Declared cells, the baseline, and everything else that the version serves."""
    stock = stock_cluster(version)

    judged = judge_offline(shop(), stock)

    declared = {str(cell.question) for cell in judged.allowed}
    assert {"get pods in default", "get /version"} <= declared
    assert judged.wrong == ()
    assert judged.asked > 5 * len(stock.discovery.served)


WRONG: Final = {
    "granted-but-not-declared": (
        ("[get]", "[get, watch]"),
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
        ("[get]", "[watch]"),
        Outcome.UNEXPECTEDLY_DENIED,
        "default may get pods in default, but nothing grants it",
        "Role reader grants watch on pods, not get",
    ),
}


@pytest.mark.parametrize(("change", "outcome", "sentence", "why"), WRONG.values(), ids=WRONG)
def test_wrong_manifests_are_told_with_their_line(
    shop: Callable[..., Scenario],
    change: tuple[str, str],
    outcome: Outcome,
    sentence: str,
    why: str,
) -> None:
    """What is granted beyond the declaration, or not granted, is a verdict with its reason."""
    manifest = MANIFEST.replace('apiGroups: [""]', "apiGroups: ['', example.com]")
    changed = manifest.replace(*change)

    judged = judge_offline(shop(changed), stock_cluster(NEWEST))

    first = judged.wrong[0]
    assert (first.outcome, first.sentence) == (outcome, sentence)
    assert why in first.explanation


def test_a_declared_line_counts_before_the_baseline(shop: Callable[..., Scenario]) -> None:
    """Who denies what every ServiceAccount may do is told that it is granted."""
    denial = "    deny: [{verbs: [get], paths: [/version], why: No need to know.}]\n"

    judged = judge_offline(shop(more=denial), stock_cluster(NEWEST))

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
