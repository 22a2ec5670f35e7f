"""Reading a scenario: an expectations file, its manifests, and each mistake with its line."""

from __future__ import annotations

import fnmatch
from dataclasses import replace
from http import HTTPStatus
from importlib import resources
from itertools import product
from typing import TYPE_CHECKING, Any

from rbac_matrix.cell import (
    PATH_VERBS,
    VERBS,
    Cell,
    PathQuestion,
    ResourceName,
    ResourceQuestion,
    Subject,
)
from rbac_matrix.discovery import Discovery, ResourceNotServedError, parse_definitions
from rbac_matrix.errors import InputError, Position
from rbac_matrix.manifests import ManifestObject, load_manifests
from rbac_matrix.requests import can_be_asked, can_name_one
from rbac_matrix.scenario import (
    BYSTANDER,
    STOCK_NAMESPACES,
    STOCK_SERVICE_ACCOUNT,
    Expectation,
    Scenario,
)
from rbac_matrix.schema import check_against
from rbac_matrix.yaml_file import load_documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rbac_matrix.cell import Question
    from rbac_matrix.yaml_file import PositionedDocument


def load_scenario(
    file: Path, discovery: Discovery, built_in_samples: Mapping[ResourceName, Mapping[str, Any]]
) -> Scenario:
    """Read an expectations file and the manifests that it names.

    Args:
        file: The expectations file.
        discovery: What resources exist, to know which are namespaced and to refuse misspellings.
        built_in_samples: See `Scenario.samples`; the file's own folder of samples is added.

    Raises:
        InputError: With file and line, for everything that would make a test ask something
            else than its author meant.
    """
    documents = load_documents(file)
    if len(documents) > 1:
        raise InputError(documents[1].position(), "an expectations file is one YAML document")
    return _ScenarioReader(documents[0], discovery, built_in_samples).read()


def expectation_files(path: Path) -> list[Path]:
    """The expectations files of a folder, in name order; a file is its own."""
    return sorted(path.glob("*.yaml")) if path.is_dir() else [path]


def load_samples(folder: Path) -> dict[ResourceName, Mapping[str, Any]]:
    """The sample objects of a folder, by the resource that their file is named after."""
    return {
        ResourceName.parse(file.stem): load_documents(file)[0].plain
        for file in sorted(folder.glob("*.yaml"))
    }


def built_in_samples() -> dict[ResourceName, Mapping[str, Any]]:
    """The sample objects that come with this package."""
    with resources.as_file(resources.files("rbac_matrix") / "samples") as folder:
        return load_samples(folder)


class _ScenarioReader:
    """Reads one document; every step may refuse it with the line to mend."""

    def __init__(
        self,
        document: PositionedDocument,
        discovery: Discovery,
        built_in_samples: Mapping[ResourceName, Mapping[str, Any]],
    ) -> None:
        check_against("expectations", document)
        self.document = document
        self.data = document.plain
        self.file = document.file
        self.discovery = discovery
        self.samples = dict(built_in_samples)

    def read(self) -> Scenario:
        if self.data["scenario"] != self.file.stem:
            raise self._bad(("scenario",), f"must be {self.file.stem!r}, as the file is named")
        objects = load_manifests(
            self.file.parent / self.data["manifests"],
            self.data.get("without", ()),
            self.document.position(("manifests",)),
        )
        self.discovery = self.discovery.with_resources(
            parse_definitions(found.body for found in objects)
        )
        if "samples" in self.data:
            folder = self.file.parent / self.data["samples"]
            if not folder.is_dir():
                raise self._bad(("samples",), f"the samples folder {folder} does not exist")
            self.samples |= load_samples(folder)
        _check_role_references(objects)
        created = STOCK_NAMESPACES | {BYSTANDER} | _names(objects, "Namespace")
        for found in objects:
            if found.namespace is not None and found.namespace not in created:
                raise InputError(found.at, f"{found}: {_nothing_creates(found.namespace, created)}")
        for index, namespace in enumerate(self.data["ask"]["namespaces"]):
            if namespace not in created:
                raise self._bad(("ask", "namespaces", index), _nothing_creates(namespace, created))
        subjects = self._subjects(objects, created)
        asked = self._resources()
        return Scenario(
            name=self.data["scenario"],
            title=self.data["title"],
            file=self.file,
            objects=tuple(objects),
            namespaces=tuple(self.data["ask"]["namespaces"]),
            subjects=subjects,
            resources=asked,
            expectations=self._expectations(subjects, asked),
            defaults={
                subject: self._default(index, subject) for index, subject in enumerate(subjects)
            },
            samples=self.samples,
        )

    def _bad(self, path: Sequence[str | int], message: str) -> InputError:
        return InputError(self.document.position(path), message)

    def _subjects(
        self, objects: Sequence[ManifestObject], created: frozenset[str]
    ) -> tuple[Subject, ...]:
        defined = {
            Subject(found.namespace or "", found.name)
            for found in objects
            if found.kind == "ServiceAccount"
        }
        subjects: dict[str, Subject] = {}
        for index, entry in enumerate(self.data["subjects"]):
            subject = Subject(entry["namespace"], entry["serviceAccount"])
            at = ("subjects", index, "serviceAccount")
            if subject.namespace not in created:
                raise self._bad(
                    ("subjects", index, "namespace"), _nothing_creates(subject.namespace, created)
                )
            if subject not in defined and subject.name != STOCK_SERVICE_ACCOUNT:
                known = ", ".join(sorted(map(str, defined))) or "none"
                raise self._bad(
                    at, f"no manifest defines the ServiceAccount {subject}; defined: {known}"
                )
            if subject.name in subjects:
                raise self._bad(
                    at, f"a second subject named {subject.name!r}; ids need one name each"
                )
            subjects[subject.name] = subject
        return tuple(subjects.values())

    def _resources(self) -> dict[ResourceName, Position]:
        found = {}
        for index, text in enumerate(self.data["ask"]["resources"]):
            path = ("ask", "resources", index)
            name = ResourceName.parse(text)
            try:
                served = self.discovery.find(name)
            except ResourceNotServedError as error:
                raise self._bad(path, str(error)) from None
            if not any(
                can_be_asked(served, verb, scope) for verb in VERBS for scope in self._scopes()
            ):
                raise self._bad(
                    path, f"{name} has no cell in these scopes: it needs `cluster: true` in `ask`"
                )
            found[name] = self.document.position(path)
        return found

    def _expectations(
        self, subjects: Sequence[Subject], asked: Mapping[ResourceName, Position]
    ) -> dict[Cell, Expectation]:
        cells: dict[Cell, Expectation] = {}
        for index, subject in enumerate(subjects):
            declared = self._declared(index, subject)
            default = self._default(index, subject)
            for question in self._asked_questions(asked, dict(declared)):
                cells[self._cell(subject, question)] = declared.pop(question, default)
            for question, expectation in declared.items():
                if isinstance(question, PathQuestion) or question.verb not in VERBS:
                    cells[self._cell(subject, question)] = expectation
                else:
                    raise InputError(
                        expectation.at,
                        f"{question} is not among the cells of `ask`: add the resource or the "
                        "namespace there",
                    )
        return cells

    def _declared(self, index: int, subject: Subject) -> dict[Question, Expectation]:
        """What a subject's lines declare."""
        declared = dict(self._lines(("subjects", index, "allow")))
        for question, denial in self._lines(("subjects", index, "deny")):
            if question in declared:
                raise InputError(
                    denial.at,
                    f"{subject.name} {question}: denied here, allowed in {declared[question].at}",
                )
            declared[question] = denial
        return declared

    def _default(self, index: int, subject: Subject) -> Expectation:
        at = self.document.position(("subjects", index))
        return Expectation(None, f"no line allows it to {subject.name} (default deny)", at)

    def _cell(self, subject: Subject, question: Question) -> Cell:
        return Cell(self.data["scenario"], subject, question)

    def _asked_questions(
        self, asked: Iterable[ResourceName], declared: Mapping[Question, Expectation]
    ) -> Iterator[Question]:
        """The questions of `ask`, and beside them those about objects that lines name.

        What is allowed of any object is not asked again of one, unless a line says so.
        """
        allowed = {question for question, line in declared.items() if line.status is not None}
        about = [
            question
            for question in declared
            if isinstance(question, ResourceQuestion) and question.verb in VERBS
        ]
        for resource in asked:
            served = self.discovery.find(resource)
            named = {question.name for question in about if question.resource == resource}
            for name in sorted({"", *named}):
                for namespace in self._scopes():
                    for verb in VERBS:
                        question = ResourceQuestion(verb, resource, namespace, name)
                        if not can_be_asked(served, verb, namespace):
                            continue
                        if not name or (
                            can_name_one(question)
                            and (question in declared or replace(question, name="") not in allowed)
                        ):
                            yield question

    def _scopes(self) -> tuple[str | None, ...]:
        cluster = (None,) if self.data["ask"].get("cluster") else ()
        return (*self.data["ask"]["namespaces"], *cluster)

    def _lines(self, at: tuple[str | int, ...]) -> Iterator[tuple[Question, Expectation]]:
        """The questions that a subject's `allow` or `deny` lines declare."""
        seen: dict[Question, Position] = {}
        _, subject, kind = at
        for index, line in enumerate(self.data["subjects"][subject].get(kind, ())):
            path = (*at, index)
            position = self.document.position(path)
            for question in self._questions_of_line(path, line):
                if question in seen:
                    raise InputError(position, f"{question}: declared here and in {seen[question]}")
                seen[question] = position
                status = _status(line, question.verb) if kind == "allow" else None
                select, needs = line.get("select"), line.get("needs")
                yield question, Expectation(status, line["why"], position, select, needs)

    def _questions_of_line(
        self, at: tuple[str | int, ...], line: Mapping[str, Any]
    ) -> Iterator[Question]:
        if "paths" in line:
            yield from self._path_questions(at, line)
            return
        if "specializedVerbs" in line:
            yield from self._specialized_questions(at, line)
            return
        scopes = self._scopes_of_line(at, line)
        for index, text in enumerate(line["resources"]):
            resource = ResourceName.parse(text)
            written = (*at, "resources", index)
            try:
                served = self.discovery.find(resource)
            except ResourceNotServedError as error:
                raise self._bad(written, str(error)) from None
            for verb in line["verbs"]:
                if verb not in VERBS:
                    raise self._bad((*at, "verbs"), f"{verb} is a verb of paths, not of resources")
                asked = [scope for scope in scopes if can_be_asked(served, verb, scope)]
                if not asked:
                    raise self._bad(written, _cannot_be_asked(served.namespaced, resource, verb))
                for scope in asked:
                    question = ResourceQuestion(verb, resource, scope)
                    yield from self._questions_by_name((*at, "names"), line, question)

    def _specialized_questions(
        self, at: tuple[str | int, ...], line: Mapping[str, Any]
    ) -> Iterator[Question]:
        """What no request asks: each verb of each resource, served or not, in each scope."""
        resources, scopes = (
            map(ResourceName.parse, line["resources"]),
            self._scopes_of_line(at, line),
        )
        for verb, resource, scope in product(line["specializedVerbs"], resources, scopes):
            question = ResourceQuestion(verb, resource, scope)
            yield from self._questions_by_name((*at, "names"), line, question)

    def _questions_by_name(
        self, at: tuple[str | int, ...], line: Mapping[str, Any], unnamed: ResourceQuestion
    ) -> Iterator[Question]:
        """A line's question about each object that the line names, or about any."""
        if "names" not in line:
            yield unnamed
            return
        if not can_name_one(unnamed):
            raise self._bad(at, f"a {unnamed.verb} of {unnamed.resource} names no object")
        for name in line["names"]:
            question = replace(unnamed, name=name)
            if question.object_name != name:
                raise self._bad(
                    at,
                    f"a {question.verb} of {question.resource} in {question.namespace} names "
                    "that namespace: leave `names` out",
                )
            yield question

    def _path_questions(
        self, at: tuple[str | int, ...], line: Mapping[str, Any]
    ) -> Iterator[Question]:
        for path in line["paths"]:
            for verb in line["verbs"]:
                if verb not in PATH_VERBS:
                    raise self._bad(
                        (*at, "verbs"),
                        f"{verb} is no verb of a path; those are {', '.join(PATH_VERBS)}",
                    )
                yield PathQuestion(verb, path)

    def _scopes_of_line(
        self, path: tuple[str | int, ...], line: Mapping[str, Any]
    ) -> list[str | None]:
        asked = self.data["ask"]["namespaces"]
        scopes: list[str | None] = []
        for index, pattern in enumerate(line.get("namespaces", ())):
            matched = fnmatch.filter(asked, pattern)
            if not matched:
                raise self._bad(
                    (*path, "namespaces", index),
                    f"{pattern!r} matches no namespace of `ask` ({', '.join(asked)})",
                )
            scopes += [namespace for namespace in matched if namespace not in scopes]
        if line.get("cluster"):
            if not self.data["ask"].get("cluster"):
                raise self._bad((*path, "cluster"), "`ask` does not ask at cluster scope")
            scopes.append(None)
        if not scopes:
            raise self._bad(path, "covers no scope: name namespaces, or say `cluster: true`")
        return scopes


def _status(line: Mapping[str, Any], verb: str) -> int:
    """The status that a line allows a verb with; what is never requested has that of a success."""
    return int(line["verbs"][verb]) if "verbs" in line else HTTPStatus.OK


def _cannot_be_asked(namespaced: bool, resource: ResourceName, verb: str) -> str:  # noqa: FBT001 - private
    if resource.subresource and verb in ("list", "watch", "deletecollection"):
        return (
            f"no request is a {verb} of {resource}: a request for a subresource always names its "
            "parent object"
        )
    if str(resource) == "namespaces":
        return (
            f"{verb} of namespaces: a request that names a namespace is asked in that namespace, "
            "the others at cluster scope"
        )
    return f"{resource} is {'' if namespaced else 'not '}namespaced: no {verb} in the scopes given"


def _names(objects: Sequence[ManifestObject], kind: str) -> set[str]:
    return {found.name for found in objects if found.kind == kind}


def _nothing_creates(namespace: str, created: frozenset[str]) -> str:
    return (
        f"nothing creates the namespace {namespace!r}; there are {', '.join(sorted(created))}: "
        "add a Namespace to the manifests"
    )


def _check_role_references(objects: Sequence[ManifestObject]) -> None:
    """Refuse a binding to a Role that is not in its namespace.

    A ClusterRole may be one that the cluster brings, so that is checked against the cluster.
    """
    roles = {(found.namespace, found.name) for found in objects if found.kind == "Role"}
    for binding in objects:
        if binding.kind not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        reference = binding.body["roleRef"]
        if reference["kind"] != "Role":
            continue
        if binding.kind == "ClusterRoleBinding":
            raise InputError(binding.at, f"{binding}: a ClusterRoleBinding cannot refer to a Role")
        if (binding.namespace, reference["name"]) not in roles:
            here = sorted(name for namespace, name in roles if namespace == binding.namespace)
            raise InputError(
                binding.at,
                f"{binding} refers to Role {reference['name']!r}, which no manifest defines in "
                f"{binding.namespace}; defined there: {', '.join(here) or 'none'}",
            )
