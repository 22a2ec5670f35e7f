"""Accepted access: the lines that stand for cells, and what is told when access changes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from rbac_matrix.accepted import accept, access_of, changes, expand, lines_of, read_lines
from rbac_matrix.errors import InputError, Position
from rbac_matrix.offline import Judged, judge_offline, stock_cluster
from rbac_matrix.recorded import NEWEST
from rbac_matrix.report.drift import drift_of
from rbac_matrix.scenario_file import built_in_samples, load_scenario

EXPECTATIONS: Final = """\
scenario: shop
title: A shop
manifests: manifests
ask:
  namespaces: [default]
  resources: [pods]
subjects:
  - serviceAccount: clerk
    namespace: default
    allow:
      - verbs: {get: 200}
        resources: [configmaps]
        namespaces: [default]
        names: [prices]
        why: Named, so that it is asked.
"""
HEAD: Final = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: clerk, namespace: default}
"""
GRANT: Final = (Path(__file__).parent / "small/manifests/role.yaml").read_text(encoding="utf-8")
SUBJECTS: Final = """\
subjects:
  - {kind: ServiceAccount, name: other, namespace: default}
  - {kind: ServiceAccount, name: clerk, namespace: default}
"""
TILL: Final = GRANT.replace("reader", "till").replace("[get]", "[get, list]")
ROLE: Final = f"---\n{TILL.partition('subjects:')[0]}{SUBJECTS}"
CLUSTER: Final = """\
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: all}
rules: [RULE]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: all}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: all}
subjects: [{kind: ServiceAccount, name: clerk, namespace: default}]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A scenario whose manifests a test writes."""
    return Shop(tmp_path)


class Shop:
    """One subject, `default/clerk`, in the namespace default."""

    def __init__(self, folder: Path) -> None:
        """Write its expectations into a folder."""
        self.manifest = folder / "manifests" / "all.yaml"
        self.manifest.parent.mkdir()
        self.expectations = folder / "shop.yaml"
        text = EXPECTATIONS.replace("[pods]", "[pods, configmaps]")
        self.expectations.write_text(text, encoding="utf-8")
        self.accepted = folder / "accepted" / "shop.txt"

    def judged(self, *manifests: str) -> Judged:
        """What these manifests grant."""
        self.manifest.write_text(HEAD + "".join(manifests), encoding="utf-8")
        stock = stock_cluster(NEWEST)
        return judge_offline(
            load_scenario(self.expectations, stock.discovery, built_in_samples()), stock
        )

    def lines(self, *manifests: str) -> list[str]:
        """The accepted lines of what these manifests grant."""
        return lines_of(access_of(self.judged(*manifests)))

    def drift(self, *manifests: str) -> tuple[str, ...]:
        """What is told of these manifests, compared with the accepted lines."""
        return drift_of(self.judged(*manifests), self.accepted).lines


def rule(text: str) -> str:
    """A ClusterRole with this one rule, bound to the clerk everywhere."""
    return CLUSTER.replace("RULE", f"{{{text}}}")


ALL_BY: Final = "ClusterRoleBinding all of ClusterRole all"
BY_TILL: Final = "RoleBinding default/till of Role till"
HOSTILE_BY: Final = r'RoleBinding "default/a may: \"b\"\n" of Role "a may: \"b\"\n"'
LINES: Final = {
    "nothing": ("", []),
    "a-role": (
        ROLE,
        ["default/clerk may get, list pods in default: RoleBinding default/till of Role till"],
    ),
    "a-cluster-role": (
        rule('apiGroups: [""], resources: [nodes, pods], verbs: [list, get]'),
        [
            f"default/clerk may get, list nodes everywhere: {ALL_BY}",
            f"default/clerk may get, list pods everywhere: {ALL_BY}",
        ],
    ),
    "what-no-request-can-ask-is-no-access": (
        rule('apiGroups: [""], resources: [pods/log, pod], verbs: [get, list]'),
        [f"default/clerk may get pods/log everywhere: {ALL_BY}"],
    ),
    "everything": (
        rule("apiGroups: ['*'], resources: ['*'], verbs: ['*']"),
        [f"default/clerk may * * everywhere: {ALL_BY}"],
    ),
    "every-verb-of-one-resource": (
        rule("apiGroups: [batch], resources: [jobs], verbs: ['*']"),
        [f"default/clerk may * jobs.batch everywhere: {ALL_BY}"],
    ),
    "some-verbs-of-every-resource-of-two-groups": (
        rule("apiGroups: ['', apps], resources: ['*'], verbs: [watch, get]"),
        [
            f"default/clerk may get, watch *.apps everywhere: {ALL_BY}",
            f"default/clerk may get, watch *.core everywhere: {ALL_BY}",
        ],
    ),
    "every-scale": (
        rule("apiGroups: [apps], resources: ['*/scale'], verbs: [patch]"),
        [f"default/clerk may patch *.apps/scale everywhere: {ALL_BY}"],
    ),
    "a-name": (
        rule("apiGroups: [''], resources: [configmaps], verbs: [get], resourceNames: [prices]"),
        [f"default/clerk may get configmaps named prices everywhere: {ALL_BY}"],
    ),
    "paths": (
        rule("nonResourceURLs: [/metrics, /logs*], verbs: [get]"),
        [
            f"default/clerk may get /logs* everywhere: {ALL_BY}",
            f"default/clerk may get /metrics everywhere: {ALL_BY}",
        ],
    ),
    "every-path": (
        rule("nonResourceURLs: ['*'], verbs: ['*']"),
        [f"default/clerk may * /* everywhere: {ALL_BY}"],
    ),
    "a-special-verb": (
        rule("apiGroups: [''], resources: [serviceaccounts], verbs: [impersonate, get]"),
        [f"default/clerk may get, impersonate serviceaccounts everywhere: {ALL_BY}"],
    ),
    "through-a-group": (
        ROLE.replace(
            "kind: ServiceAccount, name: clerk, namespace: default",
            "kind: Group, name: system:authenticated",
        ),
        [f"default/clerk may get, list pods in default: {BY_TILL} to Group system:authenticated"],
    ),
    "by-an-aggregated-role": (
        CLUSTER.replace(
            "rules: [RULE]", "aggregationRule: {clusterRoleSelectors: [SELECTOR]}"
        ).replace("SELECTOR", "{matchLabels: {part: till}}")
        + CLUSTER.partition("\n---\n")[0]
        .replace("name: all", "name: part, labels: {part: till}")
        .replace("RULE", "{apiGroups: [''], resources: [pods], verbs: [get]}")
        + "\n",
        [f"default/clerk may get pods everywhere: {ALL_BY} (by ClusterRole part)"],
    ),
    "names-that-could-be-mistaken": (
        ROLE.replace("till, namespace", '"a may: \\"b\\"\\n", namespace').replace(
            "name: till}", 'name: "a may: \\"b\\"\\n"}'
        ),
        [f"default/clerk may get, list pods in default: {HOSTILE_BY}"],
    ),
}


@pytest.mark.parametrize(("manifest", "lines"), LINES.values(), ids=LINES)
def test_lines_say_who_may_do_what_where_and_why(
    shop: Shop, manifest: str, lines: list[str]
) -> None:
    """One line a resource and grant; wildcards stay wildcards, and the baseline is left out."""
    assert shop.lines(manifest) == lines


@pytest.mark.parametrize(("manifest", "lines"), LINES.values(), ids=LINES)
def test_lines_are_read_as_the_cells_that_they_stand_for(
    shop: Shop, manifest: str, lines: list[str]
) -> None:
    """Writing and reading loses no cell and adds none, whatever the names are."""
    judged = shop.judged(manifest)
    said = accept(judged, shop.accepted)

    read = expand(read_lines(shop.accepted), judged)

    assert changes({cell: line.access for cell, line in read.items()}, access_of(judged)) == []
    assert {cell: line.access for cell, line in read.items()} == access_of(judged)
    assert f"shop.txt: {len(lines)} lines added, 0 removed" in said
    assert accept(judged, shop.accepted) == ""
    assert shop.drift(manifest) == ()


def test_the_file_reads_well(shop: Shop) -> None:
    """What a pull request shows."""
    accept(shop.judged(ROLE), shop.accepted)

    assert shop.accepted.read_text(encoding="utf-8") == (
        "# What the manifests of shop allow, beyond what every ServiceAccount may.\n"
        "# Written by `nox -s accept`; read its diff as what a change of manifests changes.\n"
        "default/clerk may get, list pods in default: RoleBinding default/till of Role till\n"
    )


NEWLY_ALLOWED: Final = "newly allowed: default/clerk may"
NEWLY_DENIED: Final = "newly denied: default/clerk may no longer"
GRANTED: Final = f"  granted:  {{manifest}}:9: {BY_TILL}, bound in {{manifest}}:17"
NEAREST: Final = "  nearest:  {manifest}:9: Role till grants"
ACCEPTED: Final = f"  accepted: {{accepted}}:3: {BY_TILL}"
DRIFTS: Final = {
    "a-verb-more": (
        ("[get, list]", "[get, list, watch]"),
        [f"{NEWLY_ALLOWED} watch pods in default", GRANTED],
    ),
    "a-verb-less": (
        ("[get, list]", "[list]"),
        [f"{NEWLY_DENIED} get pods in default", f"{NEAREST} list on pods, not get", ACCEPTED],
    ),
    "another-verb": (
        ("[get, list]", "[get, watch]"),
        [
            f"{NEWLY_ALLOWED} watch pods in default",
            GRANTED,
            f"{NEWLY_DENIED} list pods in default",
            f"{NEAREST} get, watch on pods, not list",
            ACCEPTED,
        ],
    ),
    "every-resource": (
        ("[pods], verbs", "['*'], verbs"),
        [f"{NEWLY_ALLOWED} get, list *.core in default", GRANTED],
    ),
    "another-binding": (
        ("name: till, namespace: default}\nroleRef", "name: pos, namespace: default}\nroleRef"),
        [
            "granted by another: default/clerk may get, list pods in default",
            (
                "  granted:  {manifest}:17: RoleBinding default/pos of Role till, "
                "by the rule in {manifest}:9"
            ),
            ACCEPTED,
        ],
    ),
    "another-subject": (
        ("name: clerk, namespace: default}\n", "name: clark, namespace: default}\n"),
        [
            f"{NEWLY_DENIED} get, list pods in default",
            (
                f"{NEAREST} it, but its binding till names ServiceAccount default/other, "
                "ServiceAccount default/clark"
            ),
            ACCEPTED,
        ],
    ),
    "a-comment": (("rules:", "# as it was\nrules:"), []),
    "another-order": (("[get, list]", "[list, get]"), []),
}


@pytest.mark.parametrize(("change", "lines"), DRIFTS.values(), ids=DRIFTS)
def test_a_change_is_told_with_the_line_that_did_it(
    shop: Shop, change: tuple[str, str], lines: list[str]
) -> None:
    """Newly allowed, newly denied, or granted by something else; a rewritten manifest is none."""
    accept(shop.judged(ROLE), shop.accepted)
    # The last occurrence: the ServiceAccount's own manifest is not the one to change.
    changed = change[1].join(ROLE.rsplit(change[0], 1))
    assert changed != ROLE

    places = {"manifest": shop.manifest, "accepted": shop.accepted}
    assert [*shop.drift(changed)] == [line.format(**places) for line in lines]


def test_what_is_not_accepted_yet_fails(shop: Shop) -> None:
    """A new scenario has no file: that is no silent pass."""
    drift = drift_of(shop.judged(ROLE), shop.accepted)

    assert drift.lines == ("no access of shop is accepted yet",)
    assert drift.explanation == f"to accept: nox -s accept, and commit {shop.accepted}"


BAD_LINES: Final = {
    "no-sentence": "anything",
    "no-reason": "default/clerk may get pods in default",
    "no-verb": "default/clerk may pods in default: RoleBinding b of Role r",
    "a-broken-quote": 'default/clerk may get "pods in default: RoleBinding b of Role r',
    "a-bad-escape": r'default/clerk may get "po\ds" in default: RoleBinding b of Role r',
    "a-left-over-conflict": "<<<<<<< HEAD",
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_line_that_cannot_be_read_is_an_error_at_its_place(shop: Shop, line: str) -> None:
    """Accepted access is never guessed at, and the drift says so."""
    accept(shop.judged(ROLE), shop.accepted)
    with shop.accepted.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")

    with pytest.raises(InputError, match="no line of accepted access") as caught:
        read_lines(shop.accepted)

    assert Position(shop.accepted, 4) == caught.value.at
    (told,) = shop.drift(ROLE)
    assert told.startswith(f"{shop.accepted}:4: is no line")


def test_a_line_that_stands_for_nothing_is_told(shop: Shop) -> None:
    """A hand-written line of what is not served makes no difference to access, but is wrong."""
    accept(shop.judged(ROLE), shop.accepted)
    stray = "default/clerk may get ponies in default: RoleBinding default/till of Role till"
    with shop.accepted.open("a", encoding="utf-8") as file:
        file.write(f"{stray}\n")

    assert shop.drift(ROLE) == ("the same access is accepted in other lines", f"-{stray}")


def test_several_changes_are_counted_in_the_headline(shop: Shop) -> None:
    """The first is told whole; below it all of them."""
    accept(shop.judged(ROLE), shop.accepted)

    drift = drift_of(shop.judged(ROLE.replace("[get, list]", "[get, watch]")), shop.accepted)

    assert drift.headline == f"{drift.lines[0]} ({shop.manifest}:9), and 1 more"
    assert drift.explanation.splitlines()[:-1] == [*drift.lines]
