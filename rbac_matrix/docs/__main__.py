"""`python -m rbac_matrix.docs` writes the pages of `docs/`; `--check` compares them only.

`--site FOLDER` builds the site of them too. It is run from the repository's root.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rbac_matrix.docs.files import COMMAND, out_of_date, write_pages
from rbac_matrix.docs.links import RelativeLinks
from rbac_matrix.docs.pages import FOLDER, STORIES, pages_of, read_documented
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.stories.claims import collected_claims

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(line: Sequence[str]) -> int:
    """Write or check the pages, and build the site; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rbac_matrix.docs", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="compare the pages, write none")
    parser.add_argument("--site", type=Path, metavar="FOLDER", help="build the site there")
    arguments = parser.parse_args(line)
    root = Path.cwd()
    try:
        documented = read_documented(root, collected_claims(STORIES))
        pages = pages_of(documented, RelativeLinks(FOLDER))
        if not arguments.check:
            write_pages(FOLDER, pages)
        elif found := out_of_date(FOLDER, pages):
            listed = "\n".join(found)
            sys.stderr.write(f"{listed}\nrun `{COMMAND}`, read what it changed, and commit it\n")
            return 1
        if arguments.site:
            # Imported late: only the site needs its generator.
            from rbac_matrix.docs.site import build_site  # noqa: PLC0415 - see the line above

            build_site(documented, arguments.site)
    except RbacMatrixError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
