"""What may be written where: text of unknown origin made harmless, and whether beyond ASCII."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rbac_matrix.verdict import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST: Final = 1000
"""Letters of a sentence or a rule; longer ones are cut where they are not the only record."""
_SPACES: Final = re.compile("( +)")
_COERCED: Final = ("C.UTF-8", "C.utf8", "UTF-8")
"""What Python sets LC_CTYPE to by itself where the locale is C. Source: PEP 538."""


def harmless(text: str) -> str:
    """One line that neither a terminal nor GitHub's runner takes for a command.

    A runner obeys a line that begins with `::`, and an older form of command, `##[`, wherever it
    is in a line. Source: src/Runner.Common/ActionCommand.cs of actions/runner.
    """
    return no_command(printable(text))


def short(text: str) -> str:
    """The same, cut where it is very long: a server's message may be a page."""
    shown = harmless(text)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]} ..."


def harmless_lines(text: str) -> str:
    """The same of several lines, which keep their spaces."""
    return "\n".join(
        no_command(
            "".join(part if part.isspace() else printable(part) for part in _SPACES.split(line))
        )
        for line in text.split("\n")
    )


def no_command(line: str) -> str:
    """A line that GitHub's runner does not obey."""
    shown = line.replace("##[", "##\\x5b")
    return shown.replace("::", "\\x3a:", 1) if shown.lstrip().startswith("::") else shown


def speaks_unicode(environment: Mapping[str, str]) -> bool:
    """Whether the locale that a user has chosen is one of UTF-8.

    The encoding of standard output does not tell: Python takes UTF-8 where the locale is C.
    """
    category = environment.get("LC_CTYPE", "")
    chosen = (
        environment.get("LC_ALL")
        or ("" if category in _COERCED else category)
        or environment.get("LANG", "")
    )
    return "utf8" in chosen.lower().replace("-", "")
