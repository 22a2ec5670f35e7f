"""The universe: every question that a cluster can be asked about one subject.

It comes from the cluster's own discovery, so what a Kubernetes version or a definition adds is
asked without anybody thinking of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rbac_matrix.cell import VERBS, PathQuestion, Question, ResourceName, ResourceQuestion
from rbac_matrix.recorded import recording
from rbac_matrix.requests import can_be_asked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rbac_matrix.discovery import Discovery


@dataclass(frozen=True)
class Universe:
    """What can be asked.

    Attributes:
        questions: All of it.
        not_requested: Those that no request may or can put, with the reason; the other judges
            still answer them.
    """

    questions: tuple[Question, ...]
    not_requested: Mapping[Question, str]


def universe_of(discovery: Discovery, namespaces: Sequence[str]) -> Universe:
    """The universe of a cluster.

    Args:
        discovery: What it serves.
        namespaces: Where to ask, besides the cluster scope.
    """
    scopes = (*namespaces, None)
    questions: list[Question] = list(_resource_questions(discovery, scopes))
    not_requested: dict[Question, str] = {}
    for path in sorted({*discovery.paths, *recording("beyond-discovery")["unlisted_paths"]}):
        question = PathQuestion("get", path)
        questions.append(question)
        if path in _UNSAFE_PATHS:
            not_requested[question] = _UNSAFE_PATHS[path]
    for special, reason in _special(discovery, scopes):
        questions.append(special)
        not_requested[special] = reason
    return Universe(tuple(questions), not_requested)


def _resource_questions(
    discovery: Discovery, scopes: Iterable[str | None]
) -> Iterator[ResourceQuestion]:
    """Each served verb of each resource, in each scope that some request has."""
    served = sorted(discovery.served.values())
    for scope in scopes:
        for resource in served:
            for verb in VERBS:
                if verb in resource.verbs and can_be_asked(resource, verb, scope):
                    yield ResourceQuestion(verb, resource.name, scope)


def _special(
    discovery: Discovery, scopes: Sequence[str | None]
) -> Iterator[tuple[ResourceQuestion, str]]:
    """The verbs that the API server asks about on its own, beside a request's."""
    for entry in recording("beyond-discovery")["special_verbs"]:
        for text in entry["resources"]:
            name = ResourceName.parse(text)
            served = discovery.served.get(name.parent)
            for scope in scopes:
                if served is not None and not served.namespaced and scope is not None:
                    continue
                if served is None and scope is not None:
                    continue  # No such resource is stored: the server asks at cluster scope.
                for verb in entry["verbs"]:
                    yield ResourceQuestion(verb, name, scope), entry["why"]


_UNSAFE_PATHS: Final[Mapping[str, str]] = {
    "/debug/pprof/profile": "it profiles the API server for half a minute",
    "/debug/pprof/trace": "it traces the API server",
}
