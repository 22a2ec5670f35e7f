"""Which cluster a run takes on a host, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.clusters import choose, engine
from rbac_matrix.clusters.choose import Choice, choose_kind_config, choose_provider
from rbac_matrix.clusters.cluster import ClusterError
from rbac_matrix.clusters.kubeconfig import existing_cluster

if TYPE_CHECKING:
    from pathlib import Path

IMAGE: Final = "kindest/node:v1.36.3"


class Host:
    """What the engine and the PATH of a host have, to be changed by a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host that can run kind."""
        self._monkeypatch = monkeypatch
        self.engine(problem="", image=True, pull="")
        self.programs("kind", "kubectl")
        self.kind_version("")
        self.restrictions()

    def engine(self, *, problem: str = "", image: bool = True, pull: str = "") -> None:
        """What the container engine says."""
        self._monkeypatch.setattr(engine, "engine_problem", lambda: problem)
        self._monkeypatch.setattr(engine, "has_image", lambda _: image)
        self._monkeypatch.setattr(engine, "pull_problem", lambda _: pull)

    def programs(self, *names: str) -> None:
        """What is on PATH."""
        found = {name: f"/usr/bin/{name}" for name in names}
        self._monkeypatch.setattr(choose.shutil, "which", found.get)

    def kind_version(self, problem: str) -> None:
        """What checking kind's version says."""

        def check(_: object) -> None:
            if problem:
                raise ClusterError(problem)

        self._monkeypatch.setattr(choose, "check_kind_version", check)

    def restrictions(self, *found: str) -> None:
        """What a kind node will miss."""
        self._monkeypatch.setattr(engine, "restrictions", lambda: [*found])


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host that can run kind."""
    return Host(monkeypatch)


@pytest.mark.parametrize("asked", ["kubeconfig", "embedded"])
def test_what_is_asked_for_by_name_is_taken(host: Host, asked: str) -> None:
    """Whatever else the host could do."""
    host.engine(problem="docker is not on PATH")

    assert choose_provider(asked, None, None, IMAGE) == Choice(asked, "as asked")


@pytest.mark.parametrize("asked", ["auto", "kind"])
def test_kind_is_taken_where_it_can_run(host: Host, asked: str) -> None:
    """An engine that answers, both programs, and a node image that is there or can be pulled."""
    assert choose_provider(asked, None, None, IMAGE).provider == "kind"

    host.engine(image=False)
    assert choose_provider(asked, None, None, IMAGE).provider == "kind"


PROBLEMS: Final = {
    "no-engine": "docker is not on PATH",
    "silent-engine": "docker did not answer within 15 s",
    "no-kind": "kind is not on PATH (--kind-bin)",
    "no-kubectl": "kubectl is not on PATH (--kind-kubectl-bin)",
    "old-kind": "kind is v0.20.0; 0.33.0 or newer is needed",
    "no-image": f"the node image {IMAGE} is not here and cannot be pulled (no such host)",
}


@pytest.fixture(params=PROBLEMS)
def problem(request: pytest.FixtureRequest, host: Host) -> str:
    """One thing that is wrong with the host, in words."""
    says = PROBLEMS[request.param]
    match request.param:
        case "no-engine" | "silent-engine":
            host.engine(problem=says)
        case "no-kind":
            host.programs("kubectl")
        case "no-kubectl":
            host.programs("kind")
        case "old-kind":
            host.kind_version(says)
        case _:
            host.engine(image=False, pull="no such host")
    return says


def test_auto_says_why_it_takes_local_processes(problem: str) -> None:
    """The first line of a run names what kept kind from running."""
    choice = choose_provider("auto", None, None, IMAGE)

    assert choice == Choice("embedded", f"kind cannot run here: {problem}")


def test_kind_by_name_fails_where_it_cannot_run(problem: str) -> None:
    """It never becomes another cluster silently; the message names the way without an engine."""
    with pytest.raises(ClusterError) as caught:
        choose_provider("kind", None, None, IMAGE)

    assert problem in str(caught.value)
    assert "`--cluster embedded` needs no container engine" in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Both kind configurations."""
    for name in ("kind.yaml", "kind-restricted.yaml", "mine.yaml"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("restrictions", "file", "reason"),
    [
        ((), "kind.yaml", ""),
        (("cgroup v1",), "kind-restricted.yaml", "cgroup v1"),
        (
            ("cgroup v1", "no CAP_SYS_RESOURCE"),
            "kind-restricted.yaml",
            "cgroup v1 and no CAP_SYS_RESOURCE",
        ),
    ],
    ids=["ordinary-host", "one-restriction", "two-restrictions"],
)
def test_the_kind_configuration_fits_the_host(
    host: Host, folder: Path, restrictions: tuple[str, ...], file: str, reason: str
) -> None:
    """The restricted one is chosen only with a reason that can be said."""
    host.restrictions(*restrictions)

    assert choose_kind_config(None, folder) == (folder / file, reason)


def test_a_configuration_by_name_wins(host: Host, folder: Path) -> None:
    """`--kind-config` is taken as it is; a file that is not there is an error."""
    host.restrictions("cgroup v1")

    assert choose_kind_config(str(folder / "mine.yaml"), folder) == (folder / "mine.yaml", "")
    with pytest.raises(ClusterError, match=r"no\.yaml does not exist \(--kind-config\)"):
        choose_kind_config(str(folder / "no.yaml"), folder)


@pytest.mark.parametrize(
    ("context", "image", "says"),
    [("", "", "needs --kube-context NAME"), ("mine", "", "needs --probe-image IMAGE")],
    ids=["no-context", "no-image"],
)
def test_an_existing_cluster_has_to_be_named(context: str, image: str, says: str) -> None:
    """The kubeconfig's current context is never taken by default."""
    with pytest.raises(ClusterError, match=says), existing_cluster(context, image):
        pass
