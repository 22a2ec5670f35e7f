"""Something that failed, as whoever collects what was there has to know it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rbac_matrix.objects import Objects
    from rbac_matrix.verdict import Verdict

    # Is called while everything that the trouble is about is still on the cluster.
    WentWrong = Callable[["Trouble", Objects], None]

_SERVICE_ACCOUNT: Final = re.compile(r"/api/v1/namespaces/([^/]+)/serviceaccounts/([^/]+)")


@dataclass(frozen=True)
class Trouble:
    """What failed.

    Attributes:
        name: The scenario, or the test's id.
        sentences: What is wrong, a line each; text of unknown origin, like the next.
        explanation: More about the first of them.
        subjects: The user names of the ServiceAccounts that it is about.
        paths: The URL paths, with their queries, of the requests that came out wrong.
        ask_again: The kubectl commands that put the questions to the cluster again.
        probes: What the probes wrote as errors, by who they ask as.
        access: Whether access is other than declared; else something broke.
    """

    name: str
    sentences: tuple[str, ...]
    explanation: str = ""
    subjects: tuple[str, ...] = ()
    paths: frozenset[str] = frozenset()
    ask_again: tuple[str, ...] = ()
    probes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    access: bool = False


def nobody_looks(trouble: Trouble, objects: Objects) -> None:
    """A `WentWrong` that does nothing."""
    del trouble, objects


def service_accounts(created: Iterable[str]) -> tuple[str, ...]:
    """The user names of the ServiceAccounts among what was created."""
    found = (_SERVICE_ACCOUNT.fullmatch(path) for path in created)
    return tuple(f"system:serviceaccount:{each[1]}:{unquote(each[2])}" for each in found if each)


def trouble_of(
    scenario: str, verdicts: Iterable[Verdict], probes: Mapping[str, Sequence[str]]
) -> Trouble | None:
    """What is wrong with a scenario by its verdicts; None where nothing is."""
    fine = (Outcome.AS_EXPECTED, Outcome.NOT_ASKED)
    wrong = [verdict for verdict in verdicts if verdict.outcome not in fine]
    if not wrong:
        return None
    return Trouble(
        name=scenario,
        sentences=tuple(verdict.sentence for verdict in wrong),
        explanation=wrong[0].explanation,
        subjects=tuple(dict.fromkeys(verdict.cell.subject.username for verdict in wrong)),
        paths=frozenset(verdict.request.path for verdict in wrong if verdict.request),
        ask_again=tuple(dict.fromkeys(verdict.ask_again for verdict in wrong)),
        probes=probes,
        access=any(verdict.outcome is not Outcome.NOT_ANSWERED for verdict in wrong),
    )
