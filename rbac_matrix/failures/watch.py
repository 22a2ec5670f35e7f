"""What a run does when something goes wrong: keeps what is there, and waits if it was told to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rbac_matrix.failures.look_around import (
    audit_commands,
    entering,
    kubeconfig_of,
    questions,
    surroundings,
)
from rbac_matrix.failures.scene import Scene
from rbac_matrix.report.harmless import harmless, harmless_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.failures.folder import FailureFolder
    from rbac_matrix.failures.trouble import Trouble
    from rbac_matrix.objects import Objects

SECONDS: Final = 20.0  # for looking at one failure; the run waits for it
REQUEST_TIMEOUT: Final = (2.0, 5.0)  # seconds to connect, to read
SENTENCES: Final = 5


class Watch:
    """Sees to it that failures can be looked into.

    Attributes:
        folder: Keeps what was there; None where there is no report folder.
        noted: The names of the troubles so far.
        last: The latest of them.
        cluster: Where the run is; None before there is one.
    """

    def __init__(
        self,
        folder: FailureFolder | None,
        wait: Callable[[str], None] | None,
        say: Callable[[str], None],
        began: float,
    ) -> None:
        """Begin with none.

        Args:
            folder: Keeps what was there; None where there is no report folder.
            wait: Shows a text and returns when somebody has looked around; None to go on at once.
            say: Takes one line of progress.
            began: When the run did, in seconds of `time.time`.
        """
        self.folder = folder
        self.noted: set[str] = set()
        self.last: Trouble | None = None
        self.cluster: Cluster | None = None
        self._wait, self._say = wait, say
        self._began = began

    def begin(self, cluster: Cluster) -> None:
        """From now on there is a cluster on which something can go wrong."""
        self.cluster = cluster
        if self.folder is not None:
            self.folder.remove_earlier()

    def went_wrong(self, trouble: Trouble, objects: Objects | None) -> None:
        """Keep what is there, and wait if the run was told to; a `WentWrong`.

        Nothing but an interrupt comes out of it: the failure itself is what the run has to tell.
        """
        if self.cluster is None:
            return
        self.noted.add(trouble.name)
        self.last = trouble
        created = objects.created if objects is not None else ()
        folder = self._keep(trouble, created)
        if self._wait is not None:
            with kubeconfig_of(self.cluster) as kubeconfig:
                self._wait(paused_text(self.cluster, trouble, kubeconfig, created, folder))

    def _keep(self, trouble: Trouble, created: tuple[str, ...]) -> Path | None:
        if self.folder is None or self.cluster is None:
            return None
        try:
            kept = self.folder.keep(trouble, self._scene(self.cluster, created))
        except Exception as error:  # noqa: BLE001 - the failure matters more than what is kept of it
            said = self.folder.redactor.text(str(error))
            self._say(f"{harmless(trouble.name)}: what was there is not kept: {harmless(said)}")
            return None
        if kept is not None:
            self._say(f"{harmless(trouble.name)} went wrong: what was there is in {kept}")
        return kept

    def _scene(self, cluster: Cluster, created: tuple[str, ...]) -> Scene:
        from rbac_matrix.admin import Admin  # noqa: PLC0415 - see there

        admin = Admin(cluster.admin, timeout=REQUEST_TIMEOUT)
        return Scene(cluster, admin, created, self._began, time.monotonic() + SECONDS)


def paused_text(
    cluster: Cluster,
    trouble: Trouble,
    kubeconfig: Path,
    created: tuple[str, ...],
    folder: Path | None,
) -> str:
    """What is shown while the cluster waits for somebody to look around."""
    scene_namespaces = dict.fromkeys(
        rest.partition("/")[0]
        for rest in (path.partition("/namespaces/")[2] for path in created)
        if "/" in rest
    )
    sentences = list(trouble.sentences[:SENTENCES])
    if len(trouble.sentences) > SENTENCES:
        sentences.append(f"... and {len(trouble.sentences) - SENTENCES} more")
    lines = [f"paused: {trouble.name} went wrong, and everything is still there", *sentences, ""]
    lines += ["In another terminal:", "", f"  {entering(str(kubeconfig))}"]
    commands = [
        *questions(trouble),
        *surroundings(cluster, [*scene_namespaces]),
        *audit_commands(cluster, trouble),
    ]
    lines += [f"  {command}" for command in commands]
    if folder is not None:
        lines += ["", f"Kept of it: {folder}"]
    return harmless_lines("\n".join(lines))
