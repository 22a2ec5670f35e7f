"""From wanted cells to cases: which request asks each cell, and which object it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.cell import Cell, PathQuestion, ResourceName
from rbac_matrix.deadline import poll
from rbac_matrix.errors import InputError
from rbac_matrix.requests import (
    ABSENT_NAME,
    SAMPLE_NAME,
    names_one,
    request_for,
    request_for_path,
)
from rbac_matrix.universe import (
    connects,
    universe_of,
    why_path_is_unsent,
    why_verb_is_unsent,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rbac_matrix.baseline import Baseline
    from rbac_matrix.cell import Question, ResourceQuestion, Rest
    from rbac_matrix.discovery import ServedResource
    from rbac_matrix.objects import Objects
    from rbac_matrix.requests import Request
    from rbac_matrix.scenario import Expectation, Scenario

EXISTS_DEADLINE: Final = 30.0  # seconds until an object that a cell names exists


@dataclass(frozen=True)
class Case:
    """A cell on its way to a verdict.

    Attributes:
        cell: The question.
        expectation: What is expected.
        request: The request that asks it; None where none may.
        not_requested: Why none may; the other judges still decide.
        not_asked: What the cluster lacks for asking it at all; empty where nothing.
    """

    cell: Cell
    expectation: Expectation
    request: Request | None
    not_requested: str = ""
    not_asked: str = ""


class Cases:
    """Builds the cases of scenarios on one cluster."""

    def __init__(self, objects: Objects, baseline: Baseline, *, runs_pods: bool) -> None:
        """Build none yet.

        Args:
            objects: Makes and finds the objects that requests name.
            baseline: What every ServiceAccount may do on this cluster.
            runs_pods: Whether the cluster has a kubelet.
        """
        self._objects = objects
        self._baseline = baseline
        self._runs_pods = runs_pods

    def declared(self, scenario: Scenario, cells: Sequence[Cell]) -> list[Case]:
        """The cases of declared cells; what allowed requests name is made or found."""
        existing = self._existing(scenario, cells)
        cases = []
        for cell in cells:
            expectation = scenario.expectations[cell]
            if expectation.needs == "kubelet" and not self._runs_pods:
                lacks = "it needs a kubelet, which this cluster has not"
                cases.append(Case(cell, expectation, None, not_asked=lacks))
                continue
            question = cell.question
            if reason := _why_unsent(question, expectation):
                cases.append(Case(cell, expectation, None, reason))
                continue
            if isinstance(question, PathQuestion):
                cases.append(Case(cell, expectation, request_for_path(question)))
                continue
            parent = question.resource.parent
            found = existing.get((parent, question.namespace, expectation.select))
            request = self._request(scenario, question, SAMPLE_NAME, found)
            cases.append(Case(cell, expectation, request))
        return cases

    def rest(
        self, scenario: Scenario, rests: Sequence[Rest], stock: Iterable[Mapping[str, Any]]
    ) -> list[Case]:
        """The cases of all other cells of the universe, for some subjects and scopes.

        Args:
            scenario: With its objects on the cluster.
            rests: The subjects and scopes.
            stock: The roles that the cluster has without the scenario.
        """
        policy = [*(found.body for found in scenario.objects), *stock]
        universe = universe_of(self._objects.discovery, scenario.closed_namespaces, policy)
        by_scope: dict[str, list[Question]] = {}
        for question in universe.questions:
            by_scope.setdefault(question.scope, []).append(question)
        requests: dict[Question, Request | None] = {}
        cases = []
        for rest in rests:
            for question in by_scope.get(rest.scope, ()):
                cell = Cell(rest.scenario, rest.subject, question)
                if scenario.covers(cell):
                    continue
                reason = universe.not_requested.get(question, "")
                if question not in requests:
                    request = None if reason else self._request(scenario, question, ABSENT_NAME)
                    requests[question] = request
                expected = self._baseline.expectation(question) or scenario.defaults[rest.subject]
                cases.append(Case(cell, expected, requests[question], reason))
        return cases

    def _request(
        self,
        scenario: Scenario,
        question: Question,
        absent: str,
        existing: Mapping[str, Any] | None = None,
    ) -> Request:
        if isinstance(question, PathQuestion):
            return request_for_path(question)
        served = self._objects.discovery.find(question.resource)
        sample = scenario.sample_of(served)
        return request_for(question, served, existing=existing, sample=sample, absent=absent)

    def _existing(
        self, scenario: Scenario, cells: Sequence[Cell]
    ) -> dict[tuple[ResourceName, str | None, str | None], Mapping[str, Any]]:
        """Make or find the objects that allowed named requests name.

        Returns:
            The objects by resource, namespace, and the selector that chose them.
        """
        discovery = self._objects.discovery
        found: dict[tuple[ResourceName, str | None, str | None], Mapping[str, Any]] = {}
        for cell in cells:
            expectation, question = scenario.expectations[cell], cell.question
            if isinstance(question, PathQuestion) or _why_unsent(question, expectation):
                continue
            if not self._names_existing(question, expectation):
                continue
            parent = question.resource.parent
            served = discovery.find(parent)
            key = (parent, question.namespace, expectation.select)
            if key in found:
                continue
            if question.name:
                self._wait_for_object(question, expectation)
            elif expectation.select is not None:
                chosen = self._objects.first(served, question.namespace, expectation.select)
                if chosen is None:
                    raise InputError(
                        expectation.at,
                        f"{question}: the cluster has no such object with the labels "
                        f"{expectation.select!r}",
                    )
                found[key] = chosen
            elif parent in scenario.samples:
                sample = scenario.samples[parent]
                found[key] = self._create_sample(sample, served, question.namespace)
        return found

    def _names_existing(self, question: ResourceQuestion, expectation: Expectation) -> bool:
        """Whether an allowed request names an object that has to be there."""
        served = self._objects.discovery.find(question.resource.parent)
        return (
            expectation.status is not None
            and names_one(question)
            and (not expectation.needs or self._runs_pods)
            and served.namespaced == (question.namespace is not None)
            and str(served.name) != "namespaces"
        )

    def _create_sample(
        self, sample: Mapping[str, Any], served: ServedResource, namespace: str | None
    ) -> Mapping[str, Any]:
        metadata = {**sample["metadata"], "name": SAMPLE_NAME}
        if namespace is not None:
            metadata["namespace"] = namespace
        self._objects.create({**sample, "metadata": metadata}, f"the sample of {served.name}")
        return self._objects.get(served, namespace, SAMPLE_NAME) or {}

    def _wait_for_object(self, question: ResourceQuestion, expectation: Expectation) -> None:
        """A controller may make the object that a cell names, such as a Service's Endpoints."""
        parent = question.resource.parent
        served = self._objects.discovery.find(parent)

        def missing() -> str:
            found = self._objects.get(served, question.namespace, question.name)
            return "" if found else f"there is no {parent} {question.name!r}"

        poll(f"{expectation.at}: waiting for the object it names", missing, EXISTS_DEADLINE)


def _why_unsent(question: Question, expectation: Expectation) -> str:
    """Why a declared cell is not requested; empty where it is."""
    if isinstance(question, PathQuestion):
        return why_path_is_unsent(question)
    if reason := why_verb_is_unsent(question):
        return reason
    if connects(question.resource) and (question.name or expectation.select is not None):
        return "it would connect to an object that is not the suite's own sample"
    return ""
