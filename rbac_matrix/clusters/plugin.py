"""The pytest side of clusters: the options that choose one, and the fixtures that start it."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.end_of_run import ends_run_on_error
from rbac_matrix.failures.run import wants_audit, watch
from rbac_matrix.progress import Stage
from rbac_matrix.report.output import live_line, printer, uncaptured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_kind import KindCluster

    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster

PROVIDERS: Final = ("auto", "kind", "kubeconfig", "embedded", "none")
PROBE_BASE_VARIABLE: Final = "RBAC_MATRIX_PROBE_BASE"
STORY_BASE_VARIABLE: Final = "RBAC_MATRIX_STORY_BASE"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that choose the cluster."""
    group = parser.getgroup("rbac-matrix", "access of Kubernetes ServiceAccounts")
    group.addoption(
        "--cluster",
        choices=PROVIDERS,
        default="auto",
        help="where to ask: kind, an existing cluster (kubeconfig), local processes (embedded), "
        "auto: kind where a container engine answers and has a node image, else embedded; or none: "
        "judge the manifests alone",
    )
    group.addoption(
        "--kube-context", default="", metavar="NAME", help="the context of --cluster kubeconfig"
    )
    group.addoption(
        "--kind-config",
        metavar="FILE",
        help="kind's configuration; by default manifests/cluster/kind.yaml, or "
        "kind-restricted.yaml on a host with cgroup v1 or missing capabilities",
    )
    group.addoption(
        "--probe-image",
        default="",
        metavar="IMAGE",
        help="the image of probe pods; by default kind builds it from images/probe, starting from "
        f"the image that the environment variable {PROBE_BASE_VARIABLE} names, if any",
    )


@pytest.fixture(scope="session")
def kind_cluster(request: pytest.FixtureRequest) -> Iterator[KindCluster]:
    """A kind cluster that takes pods; overrides pytest-kind's fixture and keeps its options."""
    from rbac_matrix.clusters.choose import choose_kind_config  # noqa: PLC0415 - see _running
    from rbac_matrix.clusters.kind import (  # noqa: PLC0415 - only where kind runs
        KindSettings,
        check_kind_version,
        find_program,
        running_kind_cluster,
    )

    config, say = request.config, printer(request.config)
    report = config.getoption("report_dir")
    with ends_run_on_error(), ExitStack() as stack:
        file, restriction = choose_kind_config(
            config.getoption("kind_config"), _cluster_folder(config)
        )
        if restriction:
            say(f"kind uses the restricted configuration {file.name}: this host has {restriction}")
        kind = find_program("kind", "--kind-bin", config.getoption("kind_bin"))
        check_kind_version(kind)
        kubeconfig = config.getoption("kubeconfig")
        settings = KindSettings(
            name=config.getoption("cluster_name"),
            keep=config.getoption("keep_cluster"),
            image=config.getoption("kind_image") or "",
            config=file,
            kind=kind,
            kubectl=find_program(
                "kubectl", "--kind-kubectl-bin", config.getoption("kind_kubectl_bin")
            ),
            kubeconfig=Path(kubeconfig) if kubeconfig else None,
            logs=Path(report) / "kind-logs" if report else None,
            failed=lambda: bool(request.session.testsfailed),
            audited=wants_audit(config),
        )
        # kind shows its own progress, and why it fails.
        with live_line(config).out_of_the_way(), uncaptured(config):
            running = stack.enter_context(running_kind_cluster(settings, say))
        yield running


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster that `--cluster` chooses, running."""
    with ends_run_on_error(), ExitStack() as stack:
        config, say = request.config, printer(request.config)
        from rbac_matrix.clusters.choose import choose_provider  # noqa: PLC0415 - see _running

        with live_line(config).during(Stage.CLUSTER):
            choice = choose_provider(
                config.getoption("cluster"),
                config.getoption("kind_bin"),
                config.getoption("kind_kubectl_bin"),
                _node_image(config),
            )
            say(f"cluster: {choice.provider} ({choice.reason})")
            running = stack.enter_context(_running(choice.provider, request, say))
            watch(config).begin(running)
        yield running


@pytest.fixture(scope="session")
def admin(cluster: Cluster) -> Admin:
    """A client with the cluster admin's credentials."""
    from rbac_matrix.admin import Admin  # noqa: PLC0415 - see there

    return Admin(cluster.admin)


@pytest.fixture(scope="session")
def story_image(kind_cluster: KindCluster, request: pytest.FixtureRequest) -> str:
    """The image of stories' pods, on kind's node under the name that their manifests give."""
    from rbac_matrix.clusters.kind import load_image  # noqa: PLC0415 - only where kind runs
    from rbac_matrix.stories.image import STORY_IMAGE, story_recipe  # noqa: PLC0415 - the same

    recipe = story_recipe(os.environ.get(STORY_BASE_VARIABLE, ""), _node_image(request.config))
    with ends_run_on_error():
        return load_image(kind_cluster, recipe, printer(request.config), alias=STORY_IMAGE)


@contextmanager
def _running(
    provider: str, request: pytest.FixtureRequest, say: Callable[[str], None]
) -> Iterator[Cluster]:
    """The providers behind their one interface; each is imported only where it is used."""
    config = request.config
    probe_image = config.getoption("probe_image")
    if provider == "kind":
        from rbac_matrix.clusters import kind  # noqa: PLC0415 - see above
        from rbac_matrix.clusters.images import probe_recipe  # noqa: PLC0415 - see above

        running: KindCluster = request.getfixturevalue("kind_cluster")
        recipe = probe_recipe(os.environ.get(PROBE_BASE_VARIABLE, ""))
        image = kind.load_image(running, probe_image or recipe, say)
        with kind.as_cluster(
            running,
            keep=config.getoption("keep_cluster"),
            probe_image=image,
            audited=wants_audit(config),
        ) as cluster:
            yield cluster
    elif provider == "kubeconfig":
        from rbac_matrix.clusters.kubeconfig import existing_cluster  # noqa: PLC0415 - see above

        with existing_cluster(config.getoption("kube_context"), probe_image) as cluster:
            yield cluster
    else:
        from rbac_matrix.clusters.embedded import embedded_cluster  # noqa: PLC0415 - see above

        report = config.getoption("report_dir")
        logs = Path(report) if report else None
        with embedded_cluster(say, logs, audited=wants_audit(config)) as cluster:
            yield cluster


def _cluster_folder(config: pytest.Config) -> Path:
    return config.rootpath / "manifests" / "cluster"


def _node_image(config: pytest.Config) -> str:
    from rbac_matrix.clusters.kind import node_image  # noqa: PLC0415 - only where kind may run

    chosen = config.getoption("kind_config")
    file = Path(chosen) if chosen else _cluster_folder(config) / "kind.yaml"
    return node_image(config.getoption("kind_image"), file) if file.is_file() else ""
