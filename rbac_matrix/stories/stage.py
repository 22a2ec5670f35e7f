"""The stage of one story: its objects on the cluster, its pods, and who asks from them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from rbac_matrix.answer import Answer, answer_from_http
from rbac_matrix.deadline import poll
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.manifests import load_manifest_file
from rbac_matrix.pods import is_hopeless, is_ready, waiting_for
from rbac_matrix.probe.pod import AGENT
from rbac_matrix.probe.session import ProbeSession
from rbac_matrix.probe.start import local_command, mounted_folder
from rbac_matrix.stories.pod_exec import EXEC_DEADLINE, Container, Ran, run_here, run_in
from rbac_matrix.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from rbac_matrix.admin import Admin
    from rbac_matrix.cell import Subject
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.manifests import ManifestObject
    from rbac_matrix.objects import Objects

READY_DEADLINE: Final = 90.0  # seconds until the pods of a file are ready
STATUS_FORMAT: Final = "\n%{http_code}"
"""What curl's `--write-out` adds after the body."""


class StageError(RbacMatrixError):
    """Something of a story cannot be on the cluster as its manifests say."""


class Stage:
    """What one story has on the cluster. It leaves nothing behind.

    Attributes:
        folder: The scenario's manifests; files are named relative to it.
        cluster: Where the story is told.
        admin: The cluster's admin, for a story's own questions.
        objects: What creates and removes.
    """

    def __init__(self, folder: Path, cluster: Cluster, admin: Admin, objects: Objects) -> None:
        """Begin with an empty stage."""
        self.folder = folder
        self.cluster = cluster
        self.admin = admin
        self.objects = objects
        self._mark = objects.mark()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """The stage itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove everything, last first, and wait until it is gone."""
        self._stack.close()
        self.objects.remove_since(self._mark)

    @property
    def scenario(self) -> str:
        """The scenario's name."""
        return self.folder.name

    def apply(self, *files: str) -> list[ManifestObject]:
        """Create the objects of some files, each of which must be new.

        Args:
            files: Relative to the scenario's folder: `role.yaml`, `story/pod.yaml`.

        Returns:
            The objects, as they are written.

        Raises:
            RbacMatrixError: A file is no manifest, or an object cannot be created.
        """
        applied = []
        for name in files:
            for found in load_manifest_file(self.folder / name):
                self.objects.create(found.body, str(found.at))
                applied.append(found)
        return applied

    def remove(self, *files: str) -> None:
        """Delete the objects of some files that were applied, last first; wait until gone."""
        found = [each for name in files for each in load_manifest_file(self.folder / name)]
        for each in reversed(found):
            self.objects.remove(each.body, str(each.at))

    def start(self, *files: str) -> None:
        """Apply files and wait until each Pod, and each pod of a Deployment, in them is ready.

        Raises:
            StageError: A pod cannot run; the message says what it waits for.
            DeadlineError: One was not ready in time.
        """
        for found in self.apply(*files):
            namespace = found.namespace or "default"
            if found.kind == "Pod":
                self.wait_until_ready(f"metadata.name={found.name}", namespace)
            elif found.kind == "Deployment":
                labels = found.body["spec"]["selector"]["matchLabels"]
                selector = ",".join(f"{key}={value}" for key, value in labels.items())
                count = found.body["spec"].get("replicas", 1)
                self.wait_until_ready(selector, namespace, count)

    def bring_programs(self, namespace: str = "default") -> None:
        """Create the ConfigMap `<scenario>-story` with the story's programs, for pods to mount."""
        files = sorted(
            file for file in (self.folder / "story").iterdir() if file.suffix in (".py", ".sh")
        )
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{self.scenario}-story", "namespace": namespace},
            "data": {file.name: file.read_text(encoding="utf-8") for file in files},
        }
        self.objects.create(body, f"the programs in {self.folder / 'story'}")

    def wait_until_ready(
        self, selector: str, namespace: str = "default", count: int = 1
    ) -> list[str]:
        """Wait until as many pods are ready as there should be, and no other is left.

        Args:
            selector: A label selector, or `metadata.name=NAME`.
            namespace: Where they are.
            count: How many there should be.

        Returns:
            Their names, in order.

        Raises:
            StageError: One cannot run; the message says what it waits for.
            DeadlineError: They were not ready in time.
        """
        names: list[str] = []

        def missing() -> str:
            found = self.pods(selector, namespace)
            names[:] = sorted(pod["metadata"]["name"] for pod in found)
            late = [f"{len(found)} pods instead of {count}"] if len(found) != count else []
            for pod in found:
                status, name = pod["status"], pod["metadata"]["name"]
                state = waiting_for(status) or status.get("phase", "new")
                if "deletionTimestamp" in pod["metadata"]:
                    # It may well fail on its way out, and hinders nobody.
                    late.append(f"{name}: ending")
                    continue
                if is_hopeless(status):
                    raise StageError(f"pod {namespace}/{name} cannot run: {state}")
                if not is_ready(status):
                    late.append(f"{name}: {state}")
            return "; ".join(late)

        poll(f"waiting for {selector} in {namespace} to be ready", missing, READY_DEADLINE)
        return names

    def pods(self, selector: str, namespace: str = "default") -> list[dict[str, Any]]:
        """The pods that a label selector, or `metadata.name=NAME`, selects."""
        kind = "fieldSelector" if selector.startswith("metadata.name=") else "labelSelector"
        path = f"/api/v1/namespaces/{namespace}/pods"
        items: list[dict[str, Any]] = self.admin.request("GET", path, query={kind: selector})[
            "items"
        ]
        return items

    def run(self, container: Container, *command: str, stdin: str = "") -> Ran:
        """Run a command in a container; see `run_in`."""
        return run_in(self.cluster, container, *command, stdin=stdin)

    def curl(self, container: Container, *arguments: str) -> Answer:
        """Run curl in a container, and read what it got.

        Args:
            container: Where.
            arguments: curl's own; a header with a secret comes from a file or standard input.

        Returns:
            The answer with its body; without a status where curl got none.
        """
        options = ("--silent", "--show-error", "--write-out", STATUS_FORMAT)
        return curl_answer(self.run(container, "curl", *options, *arguments))

    def kubectl(self, *arguments: str, stdin: str = "") -> Ran:
        """Run the admin's kubectl, on this host."""
        command = ("kubectl", *arguments)
        done = subprocess.run(
            [*self.cluster.kubectl, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=EXEC_DEADLINE,
        )
        return Ran(command, done.returncode, done.stdout, done.stderr.strip())

    @contextmanager
    def asker(self, subject: Subject, container: Container) -> Iterator[ProbeSession]:
        """Who asks as a subject: from a container where pods run, else with a token of its own.

        Args:
            subject: The ServiceAccount.
            container: One of a pod of this subject; the story image has the agent.
        """
        if self.cluster.runs_pods:
            command = container.command(self.cluster, *AGENT, "ask")
            with ProbeSession(command, str(subject)) as session:
                yield session
        else:
            with temporary_folder("story") as folder:
                command = local_command(self.cluster, self.admin, folder, subject)
                with ProbeSession(command, str(subject)) as session:
                    yield session

    def run_program(
        self, subject: Subject, container: Container, program: str, *arguments: str, **settings: str
    ) -> Ran:
        """Run one of the story's Python programs as a subject.

        In a container where pods run. Elsewhere it runs here, and finds in SERVICE_ACCOUNT_FOLDER
        what a pod has mounted.

        Args:
            subject: The ServiceAccount.
            container: One of a pod of this subject, with the story's programs in /story.
            program: The file's name in the folder `story`.
            arguments: Its arguments; never a secret.
            settings: Environment variables that it gets besides those of every pod.
        """
        if self.cluster.runs_pods:
            assigned = [f"{name}={value}" for name, value in settings.items()]
            command = ("env", *assigned, "python3", f"/story/{program}", *arguments)
            return self.run(container, *command)
        server = urlsplit(self.cluster.admin.server)
        with temporary_folder("story") as folder:
            mounted = mounted_folder(self.cluster, self.admin, folder, subject)
            environment = {
                "KUBERNETES_SERVICE_HOST": server.hostname or "",
                "KUBERNETES_SERVICE_PORT": str(server.port or 443),
                "SERVICE_ACCOUNT_FOLDER": str(mounted),
                **settings,
            }
            command = (sys.executable, "-I", str(self.folder / "story" / program), *arguments)
            return run_here(command, environment)

    def removes(self, path: str) -> None:
        """Have an object removed at the end that the story's own programs create.

        Args:
            path: Its URL path. The object should carry `objects.LABEL` too, so that a run that was
                killed leaves nothing for good.
        """
        self._stack.callback(self._remove_path, path)

    def _remove_path(self, path: str) -> None:
        self.admin.try_request("DELETE", path, query={"propagationPolicy": "Background"})

        def missing() -> str:
            return "" if self.admin.try_request("GET", path)[0] == 404 else f"{path} is there"

        poll("waiting for what the story's programs created to be gone", missing, READY_DEADLINE)


def curl_answer(ran: Ran) -> Answer:
    """What curl got, whose output ends with `STATUS_FORMAT`."""
    body, _, status = ran.out.rpartition("\n")
    if ran.code or not status.isdecimal():
        return Answer(None, f"{ran}")
    return answer_from_http(int(status), body, reads_body=True)
