"""What every story needs: a stage, a kubelet where it runs pods, and the stopwatch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rbac_matrix.objects import Objects
from rbac_matrix.stories.propagation import Propagation
from rbac_matrix.stories.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.measured import Measured


@pytest.fixture(name="objects", scope="session")
def _objects(admin: Admin) -> Objects:
    """What stories create, after removing what a run that was killed left behind."""
    objects = Objects(admin, admin.discovery())
    objects.remove_leftovers()
    return objects


@pytest.fixture(scope="module")
def stage(
    request: pytest.FixtureRequest, cluster: Cluster, admin: Admin, objects: Objects
) -> Iterator[Stage]:
    """The stage of the module's story: test_job_robot.py tells manifests/job-robot."""
    scenario = request.path.stem.removeprefix("test_").replace("_", "-")
    folder = request.config.rootpath / "manifests" / scenario
    with Stage(folder, cluster, admin, objects) as stage:
        yield stage


@pytest.fixture(scope="session")
def kubelet(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    """Skips where the story's pods cannot run; where they can, their image is on the node."""
    if not cluster.runs_pods:
        pytest.skip(f"{cluster.provider} has no kubelet that runs pods")
    if cluster.provider != "kind":
        pytest.skip("the image of the story's pods is loaded into kind clusters only")
    request.getfixturevalue("story_image")


@pytest.fixture
def propagation(measured: Measured) -> Propagation:
    """Measures how long bindings take; the report has the times of all stories."""
    return Propagation(measured)
