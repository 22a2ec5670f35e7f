"""`report.html`: the verdicts as one page that needs no network, made of what verdicts.json says.

`python -m rbac_matrix.report.html verdicts.json report.html` makes it again from the file.
"""

from __future__ import annotations

import base64
import collections
import hashlib
import json
import sys
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.report.packed import entries, pack
from rbac_matrix.report.problems import problems
from rbac_matrix.report.verdicts_file import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rbac_matrix.report.packed import Entry

FILE: Final = "report.html"
SHOWN_PROBLEMS: Final = 20
"""More are in the matrix; a page that opens at once says how many."""
SHOWN_ROWS: Final = 6
SHOWN_RULES: Final = 2
_SCRIPTS: Final = ("data.js", "filter.js", "verdict.js", "matrix.js", "page.js")


def report_html(document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        document: What `verdicts.json` says.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - only here
    from markupsafe import Markup  # noqa: PLC0415 - only here

    found = entries(document["cells"])
    style = _page_file("report.css")
    script = '"use strict";\n(() => {\n' + "\n".join(map(_page_file, _SCRIPTS)) + "})();\n"
    environment = Environment(
        loader=PackageLoader("rbac_matrix.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    causes = problems(found)
    wrong = [number for problem in causes for number, _ in problem.cells]
    counts = collections.Counter(entry.state for entry in found)
    return environment.get_template("report.html.j2").render(
        policy=f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - files of this package
        data=Markup(_embedded({**pack(found), "wrong": wrong})),  # noqa: S704 - see there
        provider=document["provider"],
        kubernetes_version=document["kubernetes_version"],
        ended=datetime.fromisoformat(document["ended"]),
        counts={state: counts[state] for state in ("wrong", "allowed", "denied", "not asked")},
        cells=len(found),
        scenarios=len({entry.row.scenario for entry in found}),
        subjects=len({entry.row.subject for entry in found}),
        problems=causes,
        outcomes=collections.Counter(found[number].texts["outcome"] for number in wrong),
        shown=(SHOWN_PROBLEMS, SHOWN_ROWS, SHOWN_RULES),
        gaps=_gaps(found),
    )


def write_html(file: Path, document: Mapping[str, Any]) -> Path:
    """Write the page of a document.

    Returns:
        The file.
    """
    file.write_text(report_html(document), encoding="utf-8")
    return file


def main(arguments: Sequence[str]) -> None:
    """Make a page from a verdicts.json.

    Args:
        arguments: The file to read and the file to write.
    """
    if len(arguments) != 2:
        raise SystemExit("usage: python -m rbac_matrix.report.html verdicts.json report.html")
    source, target = map(Path, arguments)
    try:
        write_html(target, _read(source))
    except (OSError, RbacMatrixError) as error:
        raise SystemExit(f"{error}") from None


def _read(file: Path) -> dict[str, Any]:
    """The document of a verdicts.json."""
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RbacMatrixError(f"{file} is not a whole verdicts.json: {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise RbacMatrixError(
            f"{file} has the schema {schema!r}, not {SCHEMA!r}: make the page with the version of "
            "rbac-matrix that wrote it"
        )
    return document  # type: ignore[no-any-return] # checked just now


def _gaps(found: Iterable[Entry]) -> list[tuple[int, str]]:
    """How many cells were not asked, or by two judges only, for each reason."""
    reasons = collections.Counter(
        f"not asked: {entry.texts['message']}"
        if entry.state == "not asked"
        else f"decided without a request: {entry.texts['not_requested']}"
        for entry in found
        if entry.state == "not asked" or entry.texts["not_requested"]
    )
    return [(number, reason) for reason, number in reasons.most_common()]


def _embedded(data: object) -> str:
    """JSON that ends no script element, whatever is in it."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _page_file(name: str) -> str:
    return (resources.files("rbac_matrix.report") / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a content security policy names an inline script or style."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


if __name__ == "__main__":
    main(sys.argv[1:])
