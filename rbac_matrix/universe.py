"""The universe: every question that a cluster can be asked about one subject.

It comes from the cluster's own discovery, so what a Kubernetes version or a definition adds is
asked without anybody thinking of it. RBAC also tells single objects, paths and verbs apart that no
discovery lists, but only those that some rule names: these are asked too, while one absent object
stands for all others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.cell import (
    PATH_VERBS,
    VERBS,
    PathQuestion,
    Question,
    ResourceName,
    ResourceQuestion,
)
from rbac_matrix.judges.rule import ALL, Rule
from rbac_matrix.recorded import recording
from rbac_matrix.requests import ABSENT_NAME, can_be_asked, can_name_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rbac_matrix.discovery import Discovery

_RBAC: Final = "rbac.authorization.k8s.io/"


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


def universe_of(
    discovery: Discovery, namespaces: Sequence[str], policy: Iterable[Mapping[str, Any]] = ()
) -> Universe:
    """The universe of a cluster.

    Args:
        discovery: What it serves.
        namespaces: Where to ask, besides the cluster scope.
        policy: Roles whose rules may name objects, paths and verbs, bound or not; other objects are
            passed over.
    """
    scopes = (*namespaces, None)
    rules = list(_rules(policy))
    reasons: dict[Question, str] = dict.fromkeys(_resource_questions(discovery, scopes), "")
    known = list(_known_verbs(discovery, scopes))
    for verb_question in (*known, *_written_verbs(discovery, scopes, rules, known)):
        reasons[verb_question] = why_verb_is_unsent(verb_question)
    reasons |= dict(_named(reasons, rules))
    paths = sorted({*discovery.paths, *recording("beyond-discovery")["unlisted_paths"]})
    for path_question in (*_path_questions(paths), *_mentioned_paths(paths, rules)):
        reasons[path_question] = why_path_is_unsent(path_question)
    return Universe(
        tuple(reasons), {question: reason for question, reason in reasons.items() if reason}
    )


def why_verb_is_unsent(question: ResourceQuestion) -> str:
    """Why a question about a resource is not requested; empty where its verb is a request's."""
    if question.verb in VERBS:
        return ""
    for entry in recording("beyond-discovery")["specialized_verbs"]:
        if question.verb in entry["verbs"]:
            return str(entry["why"])
    return "no request has this verb; whoever knows it asks about it"


def why_path_is_unsent(question: PathQuestion) -> str:
    """Why a question about a path is not requested; empty where it is."""
    beyond = recording("beyond-discovery")
    if _OF_A_RESOURCE.match(question.path):
        return "a request for this path is one for a resource"
    for entry in beyond["unsent_paths"]:
        if question.verb in entry["verbs"] and _covers(entry["paths"], question.path):
            return str(entry["why"])
    if question.verb == "get" or _covers(beyond["paths_without_effect"], question.path):
        return ""
    return f"whether {question.verb.upper()} has an effect there is not known"


def connects(resource: ResourceName) -> bool:
    """Whether a request for it reaches what the object stands for; see `connecting` in the data."""
    return str(resource) in recording("beyond-discovery")["connecting"]


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


def _known_verbs(discovery: Discovery, scopes: Sequence[str | None]) -> Iterator[ResourceQuestion]:
    """The verbs that the API server asks about on its own, beside a request's."""
    for entry in recording("beyond-discovery")["specialized_verbs"]:
        for name in map(ResourceName.parse, entry["resources"]):
            served = discovery.served.get(name.parent)
            # Of a resource that nobody stores, such as users, the server asks at cluster scope.
            everywhere = served is not None and served.namespaced
            for scope in scopes if everywhere else [None]:
                for verb in entry["verbs"]:
                    yield ResourceQuestion(verb, name, scope)


def _written_verbs(
    discovery: Discovery,
    scopes: Sequence[str | None],
    rules: Iterable[tuple[str | None, Rule]],
    known: Iterable[ResourceQuestion],
) -> Iterator[ResourceQuestion]:
    """The verbs that are no request's and that only rules know, of what they are written for."""
    asked = {(question.verb, question.resource) for question in known}
    for namespace, rule in rules:
        verbs = [verb for verb in rule.verbs if verb not in (*VERBS, ALL)]
        for resource in _resources_of(rule, discovery) if verbs else ():
            served = discovery.served.get(resource.parent)
            namespaced = served is None or served.namespaced
            for scope in scopes:
                if namespace not in (None, scope) or (scope is not None and not namespaced):
                    continue
                for verb in verbs:
                    if (verb, resource) not in asked:
                        yield ResourceQuestion(verb, resource, scope)


def _resources_of(rule: Rule, discovery: Discovery) -> Iterator[ResourceName]:
    """The resources that a rule lists, served or not; one stands for all of a wildcard's."""
    for group in rule.groups:
        for written in rule.resources:
            if group == ALL or written.startswith(ALL):
                wildcard = Rule(groups=(group,), resources=(written,))
                yield from islice(filter(wildcard.matches_resource, sorted(discovery.served)), 1)
            else:
                plural, _, subresource = written.partition("/")
                yield ResourceName(group, plural, subresource)


def _rules(policy: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str | None, Rule]]:
    """The rules of the roles that name what discovery does not; a Role's with its namespace."""
    requested = {*VERBS, ALL}
    for body in policy:
        kind = body.get("kind")
        if kind not in ("Role", "ClusterRole") or not str(body["apiVersion"]).startswith(_RBAC):
            continue
        namespace = body["metadata"]["namespace"] if kind == "Role" else None
        for index, written in enumerate(body.get("rules") or ()):
            named = written.get("resourceNames") or written.get("nonResourceURLs")
            if named or not requested.issuperset(written.get("verbs") or ()):
                yield namespace, Rule.of(written, str(kind), index, None)


def _named(
    unnamed: Mapping[Question, str], rules: Iterable[tuple[str | None, Rule]]
) -> Iterator[tuple[ResourceQuestion, str]]:
    """The questions about the objects that rules name: of the rule's resources, with its verbs.

    A Role's are asked in its namespace, where alone it can be bound.
    """
    about: dict[ResourceName, list[ResourceQuestion]] = {}
    for question in unnamed:
        if isinstance(question, ResourceQuestion) and can_name_one(question):
            about.setdefault(question.resource, []).append(question)
    for namespace, rule in rules:
        for resource, name in _pairs(rule, about):
            scopes = {question.namespace for question in about[resource]}
            for question in about[resource]:
                in_scope = namespace in (None, question.namespace)
                if not in_scope or not rule.matches_verb(question.verb):
                    continue
                if not question.object_name:
                    named = replace(question, name=name)
                    yield named, unnamed[question] or _why_object_is_unsent(named)
                elif namespace is None and name not in scopes:
                    # A namespace is asked about within itself: this one is none of the scopes.
                    outside = replace(question, namespace=None, name=name)
                    yield outside, "a request for a namespace is one within it: add it to `ask`"


def _pairs(rule: Rule, resources: Iterable[ResourceName]) -> Iterator[tuple[ResourceName, str]]:
    """Which resources of a rule to ask about which of its names: all about all.

    A rule grants every one of its names on every one of its resources. Where it is for resources
    that it does not list, each is asked with the first name, and each name with the first resource:
    enough to show the rule, without a universe for each name.
    """
    names = [name for name in rule.names if name]
    matched = [resource for resource in resources if rule.matches_resource(resource)]
    listed = not any(written.startswith(ALL) for written in rule.resources)
    for resource in matched:
        for name in names:
            if listed or resource == matched[0] or name == names[0]:
                yield resource, name


def _why_object_is_unsent(question: ResourceQuestion) -> str:
    """Why a question about an object that may exist is not requested; empty where it is."""
    if question.name in (".", "..") or set(question.name) & set("/%"):
        return "no request can carry this name"
    beyond, subresource = recording("beyond-discovery"), question.resource.subresource
    if connects(question.resource):
        return "it would connect to the object that a rule names"
    if subresource and subresource not in beyond["subresources_without_effect"]:
        return "whether it has an effect on the object that a rule names is not known"
    return ""


def _path_questions(paths: Iterable[str]) -> Iterator[PathQuestion]:
    return (PathQuestion(verb, path) for path in paths for verb in PATH_VERBS)


def _mentioned_paths(
    known: Sequence[str], rules: Iterable[tuple[str | None, Rule]]
) -> Iterator[PathQuestion]:
    """The paths that rules name and the cluster does not list; one for all of a pattern."""
    for namespace, rule in rules:
        if namespace is not None:
            continue  # A Role cannot grant paths.
        for written in rule.paths:
            start = written.rstrip(ALL)
            pattern = start != written
            if not start.startswith("/") or (
                pattern and any(path.startswith(start) for path in known)
            ):
                continue
            path = f"{start}{ABSENT_NAME}" if pattern else written
            yield from (PathQuestion(verb, path) for verb in PATH_VERBS if rule.matches_verb(verb))


_OF_A_RESOURCE: Final = re.compile("/api/[^/]+/[^/]|/apis/[^/]+/[^/]+/[^/]")


def _covers(patterns: Iterable[str], path: str) -> bool:
    return any(
        path.startswith(pattern[:-1]) if pattern.endswith(ALL) else path == pattern
        for pattern in patterns
    )
