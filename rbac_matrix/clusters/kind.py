"""kind clusters through pytest-kind's `KindCluster`, with what it leaves to its caller.

It is given a kind and a kubectl (its own downloads are of 2022), a configuration, and a kubeconfig
where the cluster was kept but the file was not; and it is waited for, because `kind create` returns
before the node is ready.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from rbac_matrix.admin import Admin
from rbac_matrix.client import RequestError
from rbac_matrix.clusters import engine
from rbac_matrix.clusters.audit import on_node, with_audit
from rbac_matrix.clusters.cluster import Cluster, ClusterError
from rbac_matrix.clusters.images import ImageRecipe, build_if_missing
from rbac_matrix.clusters.kubeconfig import credentials_of
from rbac_matrix.deadline import poll
from rbac_matrix.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_kind import KindCluster

OLDEST_KIND: Final = (0, 33, 0)
READY_DEADLINE: Final = 180.0  # seconds from `kind create` to a node that takes pods
_SIGNING_KEY: Final = "/etc/kubernetes/pki/sa.key"  # where kubeadm puts it
_COMMAND_DEADLINE: Final = 120.0  # seconds for kind's other commands


@dataclass(frozen=True)
class KindSettings:
    """What to make.

    Attributes:
        name: The cluster's name.
        keep: Leave it running at the end.
        image: The node image; empty for the configuration's.
        config: The kind configuration.
        kind: The kind program.
        kubectl: The kubectl program.
        kubeconfig: Where kind writes the kubeconfig; None for pytest-kind's own place.
        logs: Where `kind export logs` goes when something fails; None to keep none.
        failed: Whether a test has failed by the time the cluster ends.
        audited: Have the API server keep an audit log.
    """

    name: str
    keep: bool
    image: str
    config: Path
    kind: Path
    kubectl: Path
    kubeconfig: Path | None
    logs: Path | None
    failed: Callable[[], bool]
    audited: bool = False


def find_program(name: str, option: str, chosen: str | None) -> Path:
    """A program by its option, else on PATH; never downloaded.

    Raises:
        ClusterError: It is not there.
    """
    found = shutil.which(chosen or name)
    if found is None:
        raise ClusterError(
            f"{chosen or name} is not {'there' if chosen else 'on PATH'}: install it, or name it "
            f"with {option}"
        )
    return Path(found).absolute()


def check_kind_version(kind: Path) -> None:
    """Refuse a kind that cannot run current node images.

    Raises:
        ClusterError: It is older than `OLDEST_KIND`.
    """
    said = subprocess.run([kind, "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", said)
    if found is None or tuple(map(int, found.groups())) < OLDEST_KIND:
        oldest = ".".join(map(str, OLDEST_KIND))
        raise ClusterError(f"{kind} is {said.strip() or 'no kind'}; {oldest} or newer is needed")


def node_image(settings_image: str | None, config: Path) -> str:
    """The node image that a run will use: the option's, else the configuration's first node's."""
    if settings_image:
        return settings_image
    document: Any = yaml.safe_load(config.read_text(encoding="utf-8"))
    nodes = document.get("nodes") or [{}]
    return str(nodes[0].get("image", ""))


@contextmanager
def running_kind_cluster(
    settings: KindSettings, say: Callable[[str], None]
) -> Iterator[KindCluster]:
    """A kind cluster that takes pods, deleted at the end unless it is to be kept.

    A cluster of this name that answers is used as it is, as pytest-kind does; one that does not,
    which a killed run may have left, is made anew.

    Raises:
        ClusterError: It cannot be made.
        DeadlineError: It was not ready in time.
    """
    # Imported late: it imports pykube and requests, which collecting tests does not need.
    from pytest_kind import KindCluster  # noqa: PLC0415 - see the line above

    cluster = KindCluster(
        settings.name,
        kubeconfig=settings.kubeconfig,
        image=settings.image or None,
        kind_path=settings.kind,
        kubectl_path=settings.kubectl,
    )
    if settings.name in _names(settings.kind):
        if _answers(settings, cluster):
            say(f"kind cluster {settings.name!r} exists and answers: it is used")
        elif settings.keep:
            raise ClusterError(
                f"kind cluster {settings.name!r} exists but does not answer: delete it with "
                f"`kind delete cluster --name {settings.name}`, or run without --keep-cluster"
            )
        else:
            say(f"kind cluster {settings.name!r} is left over and does not answer: made anew")
            cluster.delete()
    try:
        try:
            with _config_file(settings, say) as config:
                cluster.create(config_file=config)
        except subprocess.CalledProcessError as error:
            raise ClusterError(
                f"kind could not create the cluster (exit code {error.returncode}); what it said "
                "is above"
            ) from error
        with credentials_of(cluster.kubeconfig_path, None) as credentials:
            _wait_until_ready(Admin(credentials))
        yield cluster
        if settings.failed():
            export_logs(settings)
    except BaseException:
        export_logs(settings)
        raise
    finally:
        if not settings.keep:
            _delete(settings, cluster)


@contextmanager
def as_cluster(
    cluster: KindCluster, *, keep: bool, probe_image: str, audited: bool = False
) -> Iterator[Cluster]:
    """What the suite needs of a kind cluster; its kubeconfig stays in pytest-kind's place."""
    node = f"{cluster.name}-control-plane"
    kubectl = (str(cluster.kubectl_path), "--kubeconfig", str(cluster.kubeconfig_path.absolute()))
    with credentials_of(cluster.kubeconfig_path, None) as credentials:
        yield Cluster(
            provider="kind",
            admin=credentials,
            kubectl=kubectl,
            probe_image=probe_image,
            disposable=not keep,
            check=lambda: None,
            signing_key=lambda: engine.read_file(node, _SIGNING_KEY),
            audit=on_node(node) if audited else None,
        )


def export_logs(settings: KindSettings) -> None:
    """Keep the node's logs for whoever looks into a failure."""
    if settings.logs is None:
        return
    settings.logs.mkdir(parents=True, exist_ok=True)
    command = [str(settings.kind), "export", "logs", str(settings.logs), "--name", settings.name]
    with suppress(subprocess.TimeoutExpired):  # The failure itself matters more than its logs.
        subprocess.run(command, capture_output=True, check=False, timeout=_COMMAND_DEADLINE)


def load_image(
    cluster: KindCluster, image: str | ImageRecipe, say: Callable[[str], None], alias: str = ""
) -> str:
    """Have an image on the node; built where the engine does not have it.

    Args:
        cluster: The cluster.
        image: An image that the engine has, or how to build one.
        say: Takes one line of progress.
        alias: Another name to have it under, for manifests; empty for its own.

    Returns:
        The name that pods give.

    Raises:
        ClusterError: It cannot be built or loaded.
    """
    if isinstance(image, ImageRecipe):
        name = build_if_missing(image, say)
    elif engine.has_image(image):
        name = image
    else:
        raise ClusterError(f"the container engine has no image {image}")
    if alias and (problem := engine.tag_image(name, alias)):
        raise ClusterError(f"{name} cannot be tagged as {alias}: {problem}")
    try:
        cluster.load_docker_image(alias or name)
    except subprocess.CalledProcessError as error:
        raise ClusterError(f"kind could not load the image {alias or name}") from error
    return alias or name


@contextmanager
def _config_file(settings: KindSettings, say: Callable[[str], None]) -> Iterator[Path]:
    """The configuration that kind gets: the chosen one, with an audit log where one is wanted."""
    if not settings.audited:
        yield settings.config
        return
    audited = with_audit(yaml.safe_load(settings.config.read_text(encoding="utf-8")))
    if audited is None:
        say(f"no audit log: {settings.config} has settings of its own for the API server")
        yield settings.config
        return
    with temporary_folder("kind") as folder:
        file = folder / settings.config.name
        file.write_text(yaml.safe_dump(audited), encoding="utf-8")
        yield file


def _delete(settings: KindSettings, cluster: KindCluster) -> None:
    """As `KindCluster.delete`, but a second Ctrl-C at the terminal does not stop it halfway."""
    command = [str(settings.kind), "delete", "cluster", f"--name={settings.name}"]
    command.append(f"--kubeconfig={cluster.kubeconfig_path}")
    # A session of its own is out of the terminal's reach.
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_DEADLINE,
        start_new_session=True,
    )
    if done.returncode:
        raise ClusterError(
            f"kind cluster {settings.name!r} could not be deleted; do it with `kind delete "
            f"cluster --name {settings.name}`: {done.stderr.strip()}"
        )


def _names(kind: Path) -> list[str]:
    done = subprocess.run(
        [kind, "get", "clusters"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_DEADLINE,
    )
    return done.stdout.split()


def _answers(settings: KindSettings, cluster: KindCluster) -> bool:
    """Whether an existing cluster's API server answers; writes its kubeconfig on the way."""
    cluster.path.mkdir(parents=True, exist_ok=True)
    command = [str(settings.kind), "export", "kubeconfig", "--name", settings.name]
    command += ["--kubeconfig", str(cluster.kubeconfig_path)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=_COMMAND_DEADLINE)
    if done.returncode:
        return False
    try:
        with credentials_of(cluster.kubeconfig_path, None) as credentials:
            return Admin(credentials).try_request("GET", "/readyz")[0] == 200
    except (RequestError, ClusterError):
        return False


def _wait_until_ready(admin: Admin) -> None:
    def missing() -> str:
        try:
            return _not_ready(admin)
        except RequestError as error:
            return str(error)

    poll("waiting for the kind cluster to take pods", missing, READY_DEADLINE)


def _not_ready(admin: Admin) -> str:
    nodes = admin.request("GET", "/api/v1/nodes")["items"]
    for node in nodes:
        conditions = {entry["type"]: entry for entry in node["status"].get("conditions", ())}
        ready = conditions.get("Ready", {})
        if ready.get("status") != "True":
            return f"node {node['metadata']['name']} is not Ready: {ready.get('message', 'new')}"
        if taints := node["spec"].get("taints"):
            return f"node {node['metadata']['name']} is tainted: {taints[0]['key']}"
    if not nodes:
        return "there is no node"
    for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
        if admin.try_request("GET", f"/api/v1/namespaces/default/{path}")[0] != 200:
            return f"default has no {path}"
    return ""
