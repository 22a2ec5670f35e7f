"""Templates of Markdown, in which every text is shown as it is unless it is marked as Markdown."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from rbac_matrix.report.markdown import code, escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CODE: Final = re.compile(r"(`[^`]+`)")
_SPACE: Final = re.compile(r"\s+")
SHOWN: Final = 8
"""Names in a list of code; a line about more says how many more."""


class Markdown(str):
    """A text that is Markdown already, such as a link that was made here."""

    __slots__ = ()


def render(template: str, **values: object) -> str:
    """A page.

    Args:
        template: Its name in `templates/`.
        values: What the template shows. Every text is escaped that is no `Markdown`, so that a
            template cannot forget it.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(  # noqa: S701 - `finalize` escapes, for Markdown and HTML
        loader=PackageLoader("rbac_matrix.docs", "templates"),
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "code": _code,
        "codes": _codes,
        "columns": _columns,
        "listed": listed,
        "prose": prose,
    }
    environment.globals["link"] = link
    return environment


def link(text: str, url: str) -> Markdown:
    """A link with a text, which may be Markdown."""
    return Markdown(f"[{_shown(text)}]({url})")


def as_name(name: str) -> Markdown:
    """A file's name: as code only where it could not be read as plain text."""
    return Markdown(name if escaped(name) == name else code(name))


def prose(text: str) -> Markdown:
    """Text in which `code` between backquotes stays code; for a table's cell too."""
    parts = _CODE.split(_SPACE.sub(" ", text))
    return Markdown(
        "".join(
            part.replace("|", "\\|")
            if part.startswith("`")
            else re.sub(r"([\\|*_\[\]])", r"\\\1", html.escape(part, quote=False))
            for part in parts
        )
    )


def listed(texts: Iterable[object]) -> Markdown:
    """Several values, with commas."""
    return Markdown(", ".join(map(_shown, texts)))


def _shown(value: object) -> str:
    if isinstance(value, Markdown):
        return value
    return f"{value:,}" if isinstance(value, int) else escaped(str(value))


def _code(text: str) -> Markdown:
    return Markdown(code(text))


def _columns(texts: Iterable[str]) -> Markdown:
    return Markdown(" | ".join(map(escaped, texts)))


def _codes(texts: Sequence[str]) -> Markdown:
    more = [f"{len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return Markdown(", ".join([*map(code, texts[:SHOWN]), *more]))
