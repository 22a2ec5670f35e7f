"""A folder of plain Kubernetes YAML, read as `kubectl apply -f FOLDER` reads it, but strictly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rbac_matrix.errors import InputError, Position
from rbac_matrix.schema import check_against
from rbac_matrix.yaml_file import load_documents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rbac_matrix.yaml_file import PositionedDocument


@dataclass(frozen=True)
class ManifestObject:
    """One Kubernetes object and where it is written.

    Attributes:
        body: The object as JSON types.
        at: Its first line.
        document: Where each of its values is written.
    """

    body: Mapping[str, Any]
    at: Position
    document: PositionedDocument = field(repr=False, compare=False)

    def position(self, path: Sequence[str | int]) -> Position:
        """Where one of its values is written."""
        return self.document.position(path)

    @property
    def api_version(self) -> str:
        """`v1`, `rbac.authorization.k8s.io/v1`."""
        return str(self.body["apiVersion"])

    @property
    def kind(self) -> str:
        """`Role`."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str | None:
        """metadata.namespace; None where it is not written."""
        namespace = self.body["metadata"].get("namespace")
        return None if namespace is None else str(namespace)

    @property
    def identity(self) -> tuple[str, str, str | None, str]:
        """What makes two objects the same one: API group, kind, namespace, name."""
        return (self.api_version.rpartition("/")[0], self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        """`Role default/pod-reader`."""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


def load_manifests(folder: Path, without: Sequence[str], at: Position) -> list[ManifestObject]:
    """The objects of a folder's `*.yaml` and `*.yml` files, files in name order.

    Args:
        folder: Subfolders are not read, as kubectl does not without `--recursive`.
        without: Names of files that are left out.
        at: Where the folder is named, for what is wrong with the folder itself.

    Raises:
        InputError: With file and line, for anything that is not a Kubernetes object, an RBAC object
            with an unknown field, or two objects with one identity.
    """
    if not folder.is_dir():
        raise InputError(at, f"the manifests folder {folder} does not exist")
    files = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    for name in without:
        if name not in {file.name for file in files}:
            raise InputError(at, f"leaves out {name}, which is not a file of {folder}")
    objects: dict[tuple[str, str, str | None, str], ManifestObject] = {}
    for file in files:
        if file.name in without:
            continue
        for found in load_manifest_file(file):
            if found.identity in objects:
                first = objects[found.identity].at
                raise InputError(found.at, f"{found} is defined a second time; first in {first}")
            objects[found.identity] = found
    if not objects:
        raise InputError(at, f"the manifests folder {folder} holds no object")
    return list(objects.values())


def load_manifest_file(file: Path) -> list[ManifestObject]:
    """The objects of one file, in its order.

    Raises:
        InputError: With file and line, as `load_manifests`.
    """
    found = []
    for document in load_documents(file):
        _check_single(document)
        check_against("manifest", document)
        found.append(ManifestObject(document.plain, document.position(), document))
    return found


def _check_single(document: PositionedDocument) -> None:
    """Refuse a List before the schema asks for its name, which no List has."""
    kind = document.plain.get("kind") if isinstance(document.plain, dict) else None
    if isinstance(kind, str) and kind.endswith("List"):
        raise InputError(
            document.position(("kind",)),
            f"{kind}: write each item of a List as a document of its own",
        )
