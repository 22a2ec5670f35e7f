"""The pages as a static site, which a browser opens from a folder and without a network.

Sphinx makes it, with MyST for the Markdown, which is CommonMark as on GitHub. The files of the
repository that a page links to are in the site too: a Markdown file as a page, any other one with
its lines numbered.
"""

from __future__ import annotations

import html
import io
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from rbac_matrix.docs.links import INDEX, SUFFIX, relative, relinked
from rbac_matrix.docs.pages import CLAIMS, EVERYONE, FOLDER, GLOSSARY, SCENARIOS, pages_of
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.recorded import NEWEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rbac_matrix.docs.pages import Documented

PROJECT: Final = "rbac-matrix"
_ROOT: Final = "index"
_FILES: Final = "files"
_FILE, _LINE = "file-of-site", "line-of-site"
"""Mark links that MyST is not to look for among the pages."""
_OWN: Final = Path(__file__).parent / "templates" / "site"
_ABSOLUTE: Final = re.compile(r"\s*([a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_IN_STYLE: Final = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s]+)""")
_LOADED: Final = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}


def build_site(documented: Documented, folder: Path) -> None:
    """Build the site.

    Args:
        documented: What its pages say.
        folder: Where; a site that it held before is replaced.

    Raises:
        RbacMatrixError: A link leads nowhere or anything else that Sphinx warns of, the site would
            load something from elsewhere, or the folder holds something else than a site.
    """
    if folder.exists() and not (folder / f"{_ROOT}.html").is_file() and any(folder.iterdir()):
        raise RbacMatrixError(
            f"{folder} holds something else than a site: remove it, or name another"
        )
    links = _SiteLinks()
    pages = {_name(page): text for page, text in pages_of(documented, links).items()}
    pages |= dict(_linked_pages(documented.root, links))
    pages[_ROOT] += _contents(pages)
    with TemporaryDirectory(prefix="rbac-matrix-docs-") as temporary:
        source, site = Path(temporary) / "source", Path(temporary) / "site"
        for page, text in pages.items():
            file = source / f"{page}{SUFFIX}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        _run_sphinx(source, site, links.files, documented.root)
        if loaded := sorted(loaded_from_elsewhere(site)):
            raise RbacMatrixError("the site would load from elsewhere:\n" + "\n".join(loaded))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(site, folder)


class _SiteLinks:
    """Links within the site; remembers which files of the repository have to be in it."""

    def __init__(self) -> None:
        self.markdown: dict[Path, None] = {}
        self.files: dict[Path, str] = {}

    def to_page(self, here: str, page: str) -> str:
        return relative(here, f"{_name(page)}{SUFFIX}")

    def to_file(self, here: str, file: Path, fragment: str = "") -> str:
        anchor = f"#{fragment}" if fragment else ""
        if file.suffix != SUFFIX:
            page = self.files[file] = f"{_FILES}/{file.as_posix()}"
            scheme = _LINE if fragment else _FILE
            return f"{scheme}:{relative(here, f'{page}.html')}{anchor}"
        if file.is_relative_to(FOLDER):
            return self.to_page(here, file.relative_to(FOLDER).with_suffix("").as_posix()) + anchor
        self.markdown[file] = None
        return relative(here, f"{_FILES}/{file.as_posix()}") + anchor


def _name(page: str) -> str:
    """A page's name in the site, where the first one has another than on GitHub."""
    return _ROOT if page == INDEX else page


def _linked_pages(root: Path, links: _SiteLinks) -> Iterator[tuple[str, str]]:
    """The Markdown files that pages link to, and those that these link to."""
    done: set[Path] = set()
    while waiting := [file for file in links.markdown if file not in done]:
        for file in waiting:
            done.add(file)
            here = f"{_FILES}/{file.with_suffix('').as_posix()}"
            text = (root / file).read_text(encoding="utf-8")

            def write(target: Path, fragment: str, here: str = here) -> str:
                return links.to_file(here, target, fragment)

            yield here, relinked(text, root / file, root, write)


def _contents(pages: Iterable[str]) -> str:
    """What the first page has beside its text: the tree of all pages, for the sidebar."""
    parts = {
        "Scenarios": [page for page in pages if page.startswith(f"{SCENARIOS}/")],
        "All scenarios": [EVERYONE, CLAIMS, GLOSSARY],
        "Walk-throughs": [page for page in pages if page.startswith(f"{_FILES}/")],
    }
    trees = []
    for caption, own in parts.items():
        listed = "\n".join(f"{_title(page)} <{page}>" for page in own)
        trees.append(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n")
    return "".join(trees)


def _title(page: str) -> str:
    """A page's name in the sidebar: a README's is that of its folder."""
    parts = page.split("/")
    return parts[-2 if parts[-1] == INDEX else -1]


def _run_sphinx(source: Path, folder: Path, sources: Mapping[Path, str], root: Path) -> None:
    from sphinx.application import Sphinx  # noqa: PLC0415 - of the docs environment alone
    from sphinx.errors import SphinxError  # noqa: PLC0415 - the same
    from sphinx.util.docutils import docutils_namespace  # noqa: PLC0415 - the same

    warnings = io.StringIO()
    settings = {
        "project": PROJECT,
        "extensions": ["myst_parser"],
        "html_theme": "pydata_sphinx_theme",
        "html_theme_options": {
            "logo": {"text": PROJECT},
            "navbar_center": [],
            "secondary_sidebar_items": [],  # the width is for the matrices
            "article_header_start": [],
            "footer_start": [],
            "footer_end": [],
        },
        "html_sidebars": {"**": ["all-pages"]},
        "html_title": f"{PROJECT}, Kubernetes {NEWEST}",
        "html_static_path": [str(_OWN / "static")],
        "html_css_files": ["site.css"],
        "templates_path": [str(_OWN)],
        "html_copy_source": False,
        "html_show_sphinx": False,
        "html_show_copyright": False,
        "smartquotes": False,  # names are shown as they are
        "myst_heading_anchors": 3,
        "myst_heading_slug_func": "github",
        "myst_disable_syntax": ["html_inline", "html_block"],  # nothing of a page becomes HTML
        "myst_url_schemes": {
            _FILE: {"url": "{{path}}"},
            _LINE: {"url": "{{path}}#{{fragment}}"},
            **dict.fromkeys(("http", "https", "mailto")),
        },
    }
    try:
        with docutils_namespace():
            site = Sphinx(
                source, None, folder, source / ".doctrees", "html",
                confoverrides=settings, status=None, warning=warnings, freshenv=True,
            )  # fmt: skip
            site.connect("html-collect-pages", lambda _: _source_pages(sources, root))
            site.build()
    except SphinxError as error:
        raise RbacMatrixError(f"the site cannot be built: {error}") from error
    if said := _COLOUR.sub("", warnings.getvalue()).rstrip():
        for folder_of_pages in (source / _FILES, source):
            said = said.replace(f"{folder_of_pages}{os.sep}", "")
        raise RbacMatrixError(f"the site has mistakes:\n{said}")


def _source_pages(
    sources: Mapping[Path, str], root: Path
) -> Iterator[tuple[str, dict[str, str], str]]:
    """The files that pages link to, with an anchor `L7` at line 7, as GitHub has it."""
    from pygments import highlight  # noqa: PLC0415 - of the docs environment alone
    from pygments.formatters import HtmlFormatter  # noqa: PLC0415 - the same
    from pygments.lexers import TextLexer, get_lexer_for_filename  # noqa: PLC0415 - the same
    from pygments.util import ClassNotFound  # noqa: PLC0415 - the same

    for file, page in sources.items():
        text = _text_of(root / file)
        try:
            lexer = get_lexer_for_filename(file.name, stripnl=False)
        except ClassNotFound:
            lexer = TextLexer(stripnl=False)
        shown = highlight(text, lexer, HtmlFormatter(linenos="inline", linespans="L"))
        body = re.sub(r'<span id="L-(\d+)">', r'<span id="L\1">', shown)
        heading = f"<h1>{html.escape(file.as_posix())}</h1>"
        yield page, {"title": html.escape(file.name), "body": heading + body}, "page.html"


def _text_of(file: Path) -> str:
    """What a file holds; of a folder the names."""
    if file.is_dir():
        return "".join(f"{each.name}\n" for each in sorted(file.iterdir()))
    return file.read_text(encoding="utf-8", errors="replace")


class _Loads(HTMLParser):
    """Collects what a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if name := _LOADED.get(tag):
            self.urls += [value for key, value in attrs if key == name and value]


def loaded_from_elsewhere(folder: Path) -> Iterator[str]:
    """What the pages and style sheets of a folder load by themselves from outside of it."""
    for file in folder.rglob("*.html"):
        page = _Loads()
        page.feed(file.read_text(encoding="utf-8"))
        yield from (f"{file}: {url}" for url in page.urls if _ABSOLUTE.match(url))
    for file in folder.rglob("*.css"):
        urls = _IN_STYLE.findall(file.read_text(encoding="utf-8"))
        yield from (f"{file}: {url}" for url in urls if _ABSOLUTE.match(url))
