"""How long it takes until a change of a binding reaches the subject's own requests."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from rbac_matrix.answer import AnswerClass
from rbac_matrix.deadline import poll
from rbac_matrix.manifests import load_manifest_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rbac_matrix.cell import Subject
    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.requests import Request
    from rbac_matrix.stories.stage import Stage

SCHEMA: Final = "rbac-matrix/propagation/v1"
FOLLOWS_DEADLINE: Final = 10.0  # seconds until a subject's request follows a change
_PAUSE: Final = 0.01  # seconds between two requests: the resolution of what is measured


@dataclass(frozen=True)
class Change:
    """One measured change.

    Attributes:
        scenario: Whose central cell.
        asked: The request line.
        change: What was done.
        seconds: From before the change was sent until an answer followed it.
    """

    scenario: str
    asked: str
    change: Literal["grant", "revoke"]
    seconds: float


@dataclass
class Propagation:
    """The changes that a run has measured.

    Attributes:
        provider: The kind of cluster; empty while none is running.
        kubernetes_version: Its version.
        changes: In the order in which they were made.
    """

    provider: str = ""
    kubernetes_version: str = ""
    changes: list[Change] = field(default_factory=list)

    def grant_revoke_grant(
        self, stage: Stage, binding: str, subject: Subject, asker: ProbeSession, request: Request
    ) -> None:
        """Apply a binding, remove it, apply it again; each time the answer has to follow.

        The binding must not be on the stage; afterwards it is.

        Args:
            stage: The story's.
            binding: The file of the binding, relative to the scenario's folder.
            subject: Whom it grants something to.
            asker: Asks as the subject.
            request: Refused by RBAC without the binding and answered 2xx with it.

        Raises:
            DeadlineError: An answer did not follow in time.
        """
        # Read before the clock starts: that takes longer than the authorizer does.
        (written,) = load_manifest_file(stage.folder / binding)

        def measure(change: Literal["grant", "revoke"]) -> None:
            make = stage.objects.create if change == "grant" else stage.objects.remove
            began = time.monotonic()
            make(written.body, str(written.at))
            poll(
                f"{subject}: {request.line} after a {change} by {binding}",
                _not_followed(subject, asker, request, granted=change == "grant"),
                FOLLOWS_DEADLINE,
                _PAUSE,
            )
            seconds = time.monotonic() - began
            self.changes.append(Change(stage.scenario, request.line, change, seconds))

        poll(
            f"{subject}: {request.line} before anything is granted",
            _not_followed(subject, asker, request, granted=False),
            FOLLOWS_DEADLINE,
        )
        for change in ("grant", "revoke", "grant"):
            measure(change)

    @property
    def line(self) -> str:
        """What the terminal says at the end."""
        slowest = max(self.changes, key=lambda change: change.seconds)
        median = statistics.median(change.seconds for change in self.changes)
        return (
            f"propagation: {len(self.changes)} changes of bindings followed by the subjects' own "
            f"requests after {1000 * median:.0f} ms in the median, {1000 * slowest.seconds:.0f} ms "
            f"at most ({slowest.scenario}, {slowest.change})"
        )

    def write(self, folder: Path) -> Path:
        """Write `propagation.json`.

        Args:
            folder: The report folder; made when absent.

        Returns:
            The file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "propagation.json"
        seconds = [change.seconds for change in self.changes]
        document = {
            "schema": SCHEMA,
            "provider": self.provider,
            "kubernetes_version": self.kubernetes_version,
            "median_seconds": statistics.median(seconds),
            "maximum_seconds": max(seconds),
            "changes": [asdict(change) for change in self.changes],
        }
        file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        return file


def _not_followed(
    subject: Subject, asker: ProbeSession, request: Request, *, granted: bool
) -> Callable[[], str]:
    def missing() -> str:
        answer = asker.ask([request], FOLLOWS_DEADLINE)[0]
        if granted:
            followed = answer.answer_class in (AnswerClass.OK, AnswerClass.CREATED)
        else:
            # A 403 for somebody else would say nothing about this binding.
            followed = answer.denial is not None and answer.denial.user == subject.username
        return "" if followed else f"still {answer} {answer.message}".strip()

    return missing
