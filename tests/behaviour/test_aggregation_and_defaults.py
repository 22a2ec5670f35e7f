"""The roles that every cluster has, roles made of others, and the groups of ServiceAccounts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.answer import AnswerClass
from rbac_matrix.casebook import load_casebook
from rbac_matrix.deadline import poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from rbac_matrix.admin import Admin
    from rbac_matrix.casebook import Case, Stage
    from rbac_matrix.measured import Measured
    from rbac_matrix.workspace import Workspace

BOOK: Final = load_casebook(Path(__file__).with_name("aggregation_and_defaults.yaml"))
CONFIGMAPS: Final = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
AGGREGATION_DEADLINE: Final = 30.0  # seconds
PAUSE: Final = 0.01  # seconds between two requests: the resolution of what is measured


@pytest.mark.parametrize("case", BOOK.cases, ids=[case.id for case in BOOK.cases])
def test_user_facing_roles(case: Case, stage: Stage) -> None:
    """What view, edit and admin grant in a namespace is what their contract says."""
    if problem := stage.problem(case):
        pytest.fail(problem, pytrace=False)


@pytest.mark.parametrize(("part", "whole"), [("view", "edit"), ("edit", "admin")])
def test_user_facing_roles_contain_each_other(part: str, whole: str, admin: Admin) -> None:
    """Edit selects the parts of view, and admin those of edit, so that each contains the other."""
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    smaller, larger = (_cells(admin.request("GET", f"{path}/{name}")) for name in (part, whole))

    assert smaller
    assert smaller - larger == set()


def test_a_new_part_takes_effect(space: Workspace, admin: Admin, measured: Measured) -> None:
    """A ClusterRole that an aggregated one selects adds its rules, and takes them away again."""
    label = f"rbac-matrix.example/aggregate-to-{space.namespace}"
    whole, part = f"{space.namespace}-whole", f"{space.namespace}-part"
    selectors = {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}
    space.create({**_cluster_role(whole), "aggregationRule": selectors})
    clerk = space.subject("clerk")
    space.bind(clerk, whole)
    client = space.client(clerk)

    def configmaps() -> AnswerClass:
        return client.send("GET", f"{space.core}/configmaps").answer_class

    def waits_for(wanted: AnswerClass) -> Callable[[], str]:
        return lambda: "" if (found := configmaps()) is wanted else f"the answer is {found}"

    assert configmaps() is AnswerClass.DENIED_BY_RBAC

    labelled = {**_cluster_role(part), "rules": [CONFIGMAPS]}
    labelled["metadata"]["labels"] = {label: "true"}
    with measured.timing("a ClusterRole joins an aggregated one, until it grants"):
        space.create(labelled)
        poll("the new part's grant", waits_for(AnswerClass.OK), AGGREGATION_DEADLINE, PAUSE)
    with measured.timing("a ClusterRole leaves an aggregated one, until it grants no more"):
        admin.request("DELETE", f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{part}")
        poll("its end", waits_for(AnswerClass.DENIED_BY_RBAC), AGGREGATION_DEADLINE, PAUSE)


def test_rules_of_an_aggregated_role_are_the_controllers(space: Workspace, admin: Admin) -> None:
    """Rules written into an aggregated ClusterRole are replaced by those of its parts."""
    name, label = f"{space.namespace}-whole", f"rbac-matrix.example/{space.namespace}"
    part = {**_cluster_role(f"{space.namespace}-part"), "rules": [CONFIGMAPS]}
    part["metadata"]["labels"] = {label: "true"}
    space.create(part)
    written = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    selectors = {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}
    space.create({**_cluster_role(name), "aggregationRule": selectors, "rules": [written]})

    def missing() -> str:
        path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}"
        rules = admin.request("GET", path)["rules"]
        return "" if rules == [CONFIGMAPS] else f"the rules are {rules}"

    poll("the rules of the part alone", missing, AGGREGATION_DEADLINE)


def test_the_group_of_a_namespace(new_space: Callable[..., Workspace]) -> None:
    """A binding to system:serviceaccounts:<namespace> is for every ServiceAccount of that alone."""
    home, other = new_space(), new_space()
    home.grant(f"system:serviceaccounts:{home.namespace}", [CONFIGMAPS])
    insiders = [home.client(home.subject(name)) for name in ("one", "two")]
    outsider = other.client(other.subject("one"))

    for client in insiders:
        assert client.send("GET", f"{home.core}/configmaps").answer_class is AnswerClass.OK
    response = outsider.send("GET", f"{home.core}/configmaps")
    assert response.answer_class is AnswerClass.DENIED_BY_RBAC


def test_the_group_of_all_service_accounts(new_space: Callable[..., Workspace]) -> None:
    """A binding to system:serviceaccounts is for those of every namespace, not for anonymous."""
    home, other = new_space(), new_space()
    home.grant("system:serviceaccounts", [CONFIGMAPS])
    clients = [each.client(each.subject("one")) for each in (home, other)]

    for client in clients:
        assert client.send("GET", f"{home.core}/configmaps").answer_class is AnswerClass.OK
    response = home.connect().send("GET", f"{home.core}/configmaps")
    assert response.answer_class is AnswerClass.DENIED_BY_RBAC


def _cluster_role(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
    }


def _cells(role: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Each group, resource and verb of a role's rules."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for verb in rule["verbs"]
    }
