"""How long it takes until a change of a binding reaches the subject's own requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from rbac_matrix.answer import AnswerClass
from rbac_matrix.deadline import poll
from rbac_matrix.manifests import load_manifest_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from rbac_matrix.cell import Subject
    from rbac_matrix.measured import Measured
    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.requests import Request
    from rbac_matrix.stories.stage import Stage

FOLLOWS_DEADLINE: Final = 10.0  # seconds until a subject's request follows a change
_PAUSE: Final = 0.01  # seconds between two requests: the resolution of what is measured


class Propagation:
    """Changes bindings and measures until the answers follow."""

    def __init__(self, measured: Measured) -> None:
        """Record there what all stories measure."""
        self._measured = measured

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

        def measure(change: Literal["grant", "revocation"]) -> None:
            make = stage.objects.create if change == "grant" else stage.objects.remove
            with self._measured.timing(f"the subject's own request follows a {change}"):
                make(written.body, str(written.at))
                poll(
                    f"{subject}: {request.line} after a {change} by {binding}",
                    _not_followed(subject, asker, request, granted=change == "grant"),
                    FOLLOWS_DEADLINE,
                    _PAUSE,
                )

        poll(
            f"{subject}: {request.line} before anything is granted",
            _not_followed(subject, asker, request, granted=False),
            FOLLOWS_DEADLINE,
        )
        for change in ("grant", "revocation", "grant"):
            measure(change)


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
