"""The request judge: the subject's own request, beside the admin's same request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rbac_matrix.answer import Answer
    from rbac_matrix.cell import Subject
    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.requests import Request


class RequestJudge:
    """Sends requests as the subjects, and each once as the admin for comparison."""

    def __init__(
        self, probes: Mapping[Subject, ProbeSession], admin: ProbeSession, deadline: float
    ) -> None:
        """Ask through agents.

        Args:
            probes: One for each subject.
            admin: One with the admin's credentials.
            deadline: Seconds for the requests of one call.
        """
        self._probes, self._admin, self._deadline = probes, admin, deadline
        self._controls: dict[Request, Answer] = {}

    def answers(self, subject: Subject, requests: Iterable[Request]) -> dict[Request, Answer]:
        """What a subject gets; no answer's class is an opinion about the cell that was meant."""
        return _ask(self._probes[subject], requests, self._deadline)

    def controls(self, requests: Iterable[Request]) -> Mapping[Request, Answer]:
        """What the admin gets, asked once in a run."""
        self._controls |= _ask(self._admin, self.uncontrolled(requests), self._deadline)
        return self._controls

    def uncontrolled(self, requests: Iterable[Request]) -> list[Request]:
        """Those that the admin has not sent yet, each once."""
        return [request for request in dict.fromkeys(requests) if request not in self._controls]


def _ask(
    probe: ProbeSession, requests: Iterable[Request], deadline: float
) -> dict[Request, Answer]:
    different = list(dict.fromkeys(requests))
    return dict(zip(different, probe.ask(different, deadline), strict=True))
