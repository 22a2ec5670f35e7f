"""How many comparisons are made, and what came of them."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_COMPARISONS = 20_000
QUESTIONS = 400  # an example; applying its objects takes as long as asking them
SAID_EVERY = 25_000  # comparisons
PROFILE = "differential"


@dataclass
class Tally:
    """What was compared so far."""

    wanted: int
    say: Callable[[str], None] = print
    comparisons: int = 0
    allowed: int = 0
    examples: int = 0
    disagreed: bool = False
    began: float = field(default_factory=time.monotonic)

    def add(self, comparisons: int, allowed: int) -> None:
        """Count an example, and say now and then how far it is."""
        before = self.comparisons // SAID_EVERY
        self.comparisons += comparisons
        self.allowed += allowed
        self.examples += 1
        if self.comparisons // SAID_EVERY > before:
            self.say(str(self))

    def __str__(self) -> str:
        """One line, for the end of the run and on the way."""
        seconds = time.monotonic() - self.began
        return (
            f"policy judge and SubjectAccessReview compared: {self.comparisons} questions, "
            f"{self.allowed / max(1, self.comparisons):.0%} of them allowed, on "
            f"{self.examples} sets of roles and bindings, in {seconds:.0f} s"
        )


_TALLY = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that makes a long run."""
    parser.getgroup("rbac-matrix").addoption(
        "--comparisons",
        type=int,
        default=DEFAULT_COMPARISONS,
        metavar="N",
        help="how many answers of the policy judge tests/differential compares with "
        f"SubjectAccessReviews, at least (default: {DEFAULT_COMPARISONS})",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose hypothesis' settings before the test is imported."""
    # The option is not there where only a folder above is named on the command line.
    wanted = config.getoption("comparisons", DEFAULT_COMPARISONS)
    settings.register_profile(
        PROFILE,
        max_examples=-(-wanted // QUESTIONS),
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),  # The test makes a counterexample small itself.
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
        report_multiple_bugs=False,
        print_blob=True,
    )
    settings.load_profile(PROFILE)
    config.stash[_TALLY] = Tally(wanted)


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """Counts what is compared, and says so on the terminal."""
    reporter: Any = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture: Any = pytestconfig.pluginmanager.get_plugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            reporter.ensure_newline()
            reporter.write_line(line)

    tally = pytestconfig.stash[_TALLY]
    tally.say = say
    return tally


@pytest.fixture(scope="session")
def questions_per_example() -> int:
    """How many questions each set of roles and bindings is asked."""
    return QUESTIONS


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # noqa: ANN401 - pytest's class is private
    """Say how many comparisons were made, and how many of them were of allowed questions."""
    if (tally := config.stash[_TALLY]).comparisons:
        terminalreporter.line(str(tally))
