"""What the tests of the API server's rules share: namespaces of their own, and who is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rbac_matrix.casebook import Stage
from rbac_matrix.objects import SELECTOR, Objects
from rbac_matrix.workspace import PREFIX, Workspace, workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster


@pytest.fixture(scope="session")
def objects(admin: Admin) -> Iterator[Objects]:
    """What these tests create; all of it is gone at the end."""
    objects = Objects(admin, admin.discovery())
    yield objects
    objects.wait_until_gone()


@pytest.fixture
def new_space(
    cluster: Cluster, admin: Admin, objects: Objects, request: pytest.FixtureRequest
) -> Callable[..., Workspace]:
    """Make a namespace, with labels, that goes with the test."""

    def make(labels: Mapping[str, str] | None = None) -> Workspace:
        manager = workspace(cluster, admin, objects, labels)
        made = manager.__enter__()
        request.addfinalizer(lambda: manager.__exit__(None, None, None))
        return made

    return make


@pytest.fixture
def space(new_space: Callable[..., Workspace]) -> Workspace:
    """A namespace of the test's own."""
    return new_space()


@pytest.fixture(scope="module")
def shared_space(cluster: Cluster, admin: Admin, objects: Objects) -> Iterator[Workspace]:
    """A namespace for the tests of a module that leave it as they found it."""
    with workspace(cluster, admin, objects) as space:
        yield space


@pytest.fixture(scope="module")
def stage(shared_space: Workspace, admin: Admin, request: pytest.FixtureRequest) -> Stage:
    """The module's casebook (`BOOK`) on the cluster."""
    return Stage(request.module.BOOK, shared_space, admin)


@pytest.fixture
def left_behind(admin: Admin, objects: Objects) -> Callable[[], list[str]]:
    """List what these tests have created and not removed, once what is going has gone."""

    def listed() -> list[str]:
        objects.wait_until_gone()
        found = []
        for resource in admin.discovery().served.values():
            name = resource.name
            if name.subresource or "list" not in resource.verbs:
                continue
            path = f"{resource.root}/{name.plural}"
            status, body = admin.try_request("GET", path, query={"labelSelector": SELECTOR})
            for item in body.get("items") or () if status == 200 else ():
                where = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
                if any(part.startswith(PREFIX) for part in where):
                    found.append(f"{name} {'/'.join(where)}")
        return found

    return listed
