"""Creating and deleting on a cluster that is not ours alone, with a small one in memory."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, cast

import pytest

from rbac_matrix.client import RequestError
from rbac_matrix.objects import Objects, ObjectsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rbac_matrix.admin import Admin
    from rbac_matrix.discovery import Discovery

SELECTOR = "app.kubernetes.io/managed-by=rbac-matrix"


class MemoryAdmin:
    """Keeps objects by path, as far as `Objects` asks an API server to."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.kept: dict[str, Mapping[str, Any]] = {}
        self.requests: list[str] = []

    def try_request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Answer one request."""
        self.requests.append(f"{method} {path} {dict(query or {})}")
        if method == "POST" and body is not None:
            path += f"/{body['metadata']['name']}"
            status = 409 if path in self.kept else 201
            self.kept.setdefault(path, body)
            return status, {}
        if method == "DELETE":
            return (200 if self.kept.pop(path, None) else 404), {}
        if path in self.kept:
            return 200, {**self.kept[path]}
        if query is None:
            return 404, {}
        key, _, value = query["labelSelector"].partition("=")
        plural = path.rpartition("/")[2]
        items = [
            found
            for where, found in self.kept.items()
            if where.split("/")[-2] == plural
            and found["metadata"].get("labels", {}).get(key) == value
        ]
        return 200, {"items": items}

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Answer one request that has to succeed."""
        status, answer = self.try_request(method, path, body, query=query)
        if status >= 300:
            raise RequestError(f"{method} {path}", status, "AlreadyExists")
        return answer


@pytest.fixture
def admin() -> MemoryAdmin:
    """An empty cluster."""
    return MemoryAdmin()


@pytest.fixture
def objects(admin: MemoryAdmin, discovery: Discovery) -> Objects:
    """This run's objects on it."""
    return Objects(cast("Admin", admin), discovery)


def config_map(name: str, **metadata: object) -> dict[str, Any]:
    """An object of namespace `default`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", **metadata},
    }


MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    "labels",
    [{}, {"labels": {"app": "a"}}, {"labels": None}],
    ids=["no-labels", "labels", "empty-labels"],
)
def test_what_is_created_carries_the_label(
    objects: Objects, admin: MemoryAdmin, labels: dict[str, Any]
) -> None:
    """Beside labels of its own, and strictly: the server refuses what it does not know."""
    objects.create(config_map("a", **labels), "a.yaml:1")

    found = admin.kept[f"{MAPS}/a"]["metadata"]["labels"]
    assert found == {
        **(labels.get("labels") or {}),
        "app.kubernetes.io/managed-by": "rbac-matrix",
    }
    assert admin.requests == [f"POST {MAPS} {{'fieldValidation': 'Strict'}}"]


@pytest.mark.parametrize("taken", [False, True], ids=["created", "refused"])
def test_an_interrupt_loses_no_object(
    taken: bool,  # noqa: FBT001 - a parameter
    objects: Objects,
    admin: MemoryAdmin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C while the server answers is obeyed afterwards, and what was created is removed."""
    if taken:
        admin.kept["/api/v1/namespaces/default/configmaps/settings"] = config_map("settings")
    answer = admin.request

    def interrupted(*arguments: Any, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on
        answered = answer(*arguments, **options)
        signal.raise_signal(signal.SIGINT)
        return answered

    def interrupted_before(*arguments: Any, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on
        signal.raise_signal(signal.SIGINT)
        return answer(*arguments, **options)

    monkeypatch.setattr(admin, "request", interrupted_before if taken else interrupted)

    with pytest.raises(KeyboardInterrupt):
        objects.create(config_map("settings"), "here")

    objects.remove_since(0)
    assert len(admin.kept) == int(taken)


def test_what_is_there_already_is_left_alone(objects: Objects, admin: MemoryAdmin) -> None:
    """Somebody's object of the same name is neither overwritten nor deleted at the end."""
    admin.kept[f"{MAPS}/a"] = theirs = config_map("a")

    with pytest.raises(ObjectsError, match=r"a\.yaml:1: ConfigMap 'a' exists already"):
        objects.create(config_map("a"), "a.yaml:1")
    objects.remove_since(0)

    assert admin.kept == {f"{MAPS}/a": theirs}
    assert not any(line.startswith(("DELETE", "PUT", "PATCH")) for line in admin.requests)


def test_only_what_was_created_since_a_point_is_removed(
    objects: Objects, admin: MemoryAdmin
) -> None:
    """The last is removed first, and once."""
    admin.kept[f"{MAPS}/theirs"] = config_map("theirs")
    objects.create(config_map("before"), "a.yaml:1")
    mark = objects.mark()
    objects.create(config_map("first"), "a.yaml:2")
    objects.create(config_map("second"), "a.yaml:3")

    objects.remove_since(mark)
    objects.remove_since(mark)

    assert set(admin.kept) == {f"{MAPS}/theirs", f"{MAPS}/before"}
    deleted = [line.split()[1] for line in admin.requests if line.startswith("DELETE")]
    assert deleted == [f"{MAPS}/second", f"{MAPS}/first"]


def test_a_removal_can_be_waited_for_later(objects: Objects, admin: MemoryAdmin) -> None:
    """What is deleted without waiting is asked about once somebody waits, and only then."""
    objects.create(config_map("first"), "a.yaml:1")
    objects.create(config_map("second"), "a.yaml:2")

    objects.begin_removal(0)
    lines = [line.split()[:2] for line in admin.requests[2:]]
    assert lines == [["DELETE", f"{MAPS}/second"], ["DELETE", f"{MAPS}/first"]]

    objects.wait_until_gone()
    objects.wait_until_gone()
    lines = [line.split()[:2] for line in admin.requests[4:]]
    assert lines == [["GET", f"{MAPS}/second"], ["GET", f"{MAPS}/first"]]


def test_leftovers_are_removed_by_their_label_only(objects: Objects, admin: MemoryAdmin) -> None:
    """What a killed run left behind goes; what is somebody else's, or a controller's, stays."""
    ours = {"labels": dict([SELECTOR.split("=")])}
    admin.kept[f"{MAPS}/theirs"] = config_map("theirs")
    admin.kept[f"{MAPS}/left"] = config_map("left", **ours)
    admin.kept[f"{MAPS}/made"] = config_map("made", **ours, ownerReferences=[{"kind": "Job"}])

    assert objects.remove_leftovers() == [f"{MAPS}/left"]
    assert set(admin.kept) == {f"{MAPS}/theirs", f"{MAPS}/made"}


def test_a_kind_that_is_not_served_is_named(objects: Objects) -> None:
    """With the place of its manifest."""
    body = {**config_map("a"), "kind": "Widget", "apiVersion": "example.com/v1"}

    with pytest.raises(ObjectsError, match=r"a\.yaml:1: the cluster serves no Widget of example"):
        objects.create(body, "a.yaml:1")


def test_the_chosen_object_does_not_depend_on_the_order_of_the_list(
    objects: Objects, admin: MemoryAdmin, discovery: Discovery
) -> None:
    """The first by name, so that two runs ask about the same one."""
    for name in ("c", "a", "b"):
        admin.kept[f"{MAPS}/{name}"] = config_map(name, labels={"app": "x"})
    served = discovery.of_kind("v1", "ConfigMap")
    assert served is not None

    chosen = objects.first(served, "default", "app=x")

    assert chosen is not None
    assert chosen["metadata"]["name"] == "a"
    assert objects.first(served, "default", "app=y") is None
