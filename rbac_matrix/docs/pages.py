"""The pages, as texts: one of each scenario, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rbac_matrix.docs.access import access_in
from rbac_matrix.docs.glossary import load_glossary
from rbac_matrix.docs.links import INDEX, relinked
from rbac_matrix.docs.markdown import Markdown, as_name, link, render
from rbac_matrix.docs.story import story_of
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.offline import stock_cluster
from rbac_matrix.recorded import NEWEST
from rbac_matrix.scenario_file import expectation_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rbac_matrix.baseline import Baseline
    from rbac_matrix.docs.access import Row, ScenarioAccess
    from rbac_matrix.docs.glossary import Term
    from rbac_matrix.docs.links import Links
    from rbac_matrix.docs.story import Story
    from rbac_matrix.errors import Position
    from rbac_matrix.stories.claims import Claim

FOLDER: Final = Path("docs")
EXPECTATIONS: Final = Path("tests/access")
STORIES: Final = Path("tests/stories")

CLAIMS: Final = "claims"
EVERYONE: Final = "every-service-account"
GLOSSARY: Final = "glossary"
SCENARIOS: Final = "scenarios"


@dataclass(frozen=True)
class Documented:
    """Everything that the pages say, whatever their links look like.

    Attributes:
        root: The repository; its files are linked, others only named.
        scenarios: In the order of their files.
        stories: What the README of each scenario's manifests tells, by the scenario's name.
        claims: What documents claim, by the walk-through that is named after its manifests.
        terms: The glossary.
    """

    root: Path
    scenarios: tuple[ScenarioAccess, ...]
    stories: Mapping[str, Story]
    claims: Mapping[str, Sequence[Claim]]
    terms: Sequence[Term]


def read_documented(root: Path, claims: Iterable[Claim]) -> Documented:
    """Read and judge what there is to document.

    Args:
        root: The repository.
        claims: Of its stories.

    Raises:
        RbacMatrixError: Something cannot be read, or manifests do not grant what is expected.
    """
    files = expectation_files(root / EXPECTATIONS)
    if not files:
        raise RbacMatrixError(f"there is no scenario in {root / EXPECTATIONS}")
    scenarios = tuple(map(access_in, files))
    told = ((each.scenario.name, story_of(_manifests(each))) for each in scenarios)
    by_walkthrough: dict[str, list[Claim]] = {}
    for claim in claims:
        by_walkthrough.setdefault(claim.scenario, []).append(claim)
    return Documented(
        root.resolve(),
        scenarios,
        {name: story for name, story in told if story is not None},
        by_walkthrough,
        load_glossary(),
    )


def pages_of(documented: Documented, links: Links) -> dict[str, str]:
    """The pages by their names.

    Args:
        documented: What they say.
        links: Where their links lead.
    """
    writer = _Writer(documented, links)
    pages = {INDEX: writer.index(), CLAIMS: writer.claims()}
    pages |= {EVERYONE: writer.everyone(), GLOSSARY: writer.glossary()}
    for one in documented.scenarios:
        pages[f"{SCENARIOS}/{one.scenario.name}"] = writer.scenario(one)
    return pages


@dataclass(frozen=True)
class _BaselineLine:
    """A line of the baseline, as its page shows it."""

    verbs: Mapping[str, int]
    on: tuple[str, ...]
    why: str
    at: Position


class _Writer:
    """Writes pages with one kind of links."""

    def __init__(self, documented: Documented, links: Links) -> None:
        self._documented, self._links = documented, links

    def index(self) -> str:
        scenarios = self._documented.scenarios
        return self._render(
            INDEX,
            [EXPECTATIONS / one.scenario.file.name for one in scenarios],
            scenarios=scenarios,
            walkthroughs={one.scenario.name: _manifests(one).name for one in scenarios},
            claims=self._documented.claims,
        )

    def scenario(self, one: ScenarioAccess) -> str:
        scenario = one.scenario
        here = f"{SCENARIOS}/{scenario.name}"
        folder = _manifests(one)
        steps = STORIES / f"test_{folder.name.replace('-', '_')}.py"
        story = self._documented.stories.get(scenario.name)
        text = None
        if story is not None:
            told = relinked(story.text, story.readme, self._documented.root, self._to(here))
            text = Markdown(told)
        used = {found.at.file.resolve() for found in scenario.objects}
        of_folder = (each.resolve() for each in folder.iterdir() if each.suffix in _YAML)
        return self._render(
            here,
            [scenario.file, *([story.readme] if story else []), *sorted(used)],
            template="scenario",
            scenario=scenario,
            subjects=one.subjects,
            story=text,
            readme=story.readme if story else None,
            steps=steps if folder.name in self._documented.claims else None,
            walkthrough=folder.name,
            left_out=sorted(set(of_folder) - used),
            same_in=one.same_in,
            differences=one.differences,
            marks=_marks,
        )

    def everyone(self) -> str:
        lines = _baseline_lines(stock_cluster(NEWEST).baseline)
        stock = max(each.stock for one in self._documented.scenarios for each in one.subjects)
        source = [lines[0].at.file]
        return self._render(EVERYONE, source, baseline=lines, stock=stock)

    def glossary(self) -> str:
        source = Path(__file__).with_name("glossary.yaml")
        return self._render(GLOSSARY, [source], terms=self._documented.terms)

    def claims(self) -> str:
        claims = self._documented.claims
        files = {
            walkthrough: dict.fromkeys(Path(claim.file) for claim in own)
            for walkthrough, own in claims.items()
        }
        readmes = {
            story.readme.parent.name: story.readme for story in self._documented.stories.values()
        }
        told = {name: [self._file(CLAIMS, each) for each in own] for name, own in files.items()}
        for name, readme in readmes.items():
            if name in told:
                told[name].append(self._file(CLAIMS, readme))
        sources = [each for own in files.values() for each in own]
        return self._render(CLAIMS, sources, claims=claims, story_links=told)

    def _render(
        self, here: str, sources: Sequence[Path], *, template: str = "", **values: object
    ) -> str:
        """A page, with the links of its template as they are from there."""
        return render(
            f"{template or here}{_TEMPLATE}",
            version=NEWEST,
            sources=[self._file(here, each) for each in sources],
            page=lambda page, anchor="": (
                self._links.to_page(here, page) + (f"#{anchor}" if anchor else "")
            ),
            file=lambda file, text="": self._file(here, file, text),
            at=lambda at: self._file(here, at.file, line=at.line),
            **values,
        )

    def _file(self, here: str, file: Path, text: str = "", *, line: int = 0) -> Markdown | str:
        """A link to a file that says its name, or the name alone where it is not of this tree."""
        name = f"{file.name}:{line}" if line else file.name
        found = (self._documented.root / file).resolve()
        if not found.is_relative_to(self._documented.root):
            return name
        path = found.relative_to(self._documented.root)
        url = self._links.to_file(here, path, f"L{line}" if line else "")
        return link(text or as_name(name), url)

    def _to(self, here: str) -> Callable[[Path, str], str]:
        return lambda file, fragment: self._links.to_file(here, file, fragment)


_TEMPLATE: Final = ".md.j2"
_YAML: Final = (".yaml", ".yml")


def _manifests(one: ScenarioAccess) -> Path:
    """The folder of a scenario's manifests; its walk-through is named after it."""
    return one.scenario.objects[0].at.file.parent.resolve()


def _marks(row: Row, verbs: Iterable[str]) -> Markdown:
    """The cells of a row."""
    return Markdown(" | ".join(_mark(row, verb) for verb in verbs))


def _mark(row: Row, verb: str) -> str:
    mark = row.marks.get(verb)
    if mark is None:
        return ""
    if mark.allowed:
        return f"✅ {mark.unusual}" if mark.unusual else "✅"
    return "⛔" if mark.told else "·"


def _baseline_lines(baseline: Baseline) -> list[_BaselineLine]:
    return [
        _BaselineLine(
            line.verbs,
            (*line.paths, *sorted(map(str, line.resources))),
            line.expectation.why,
            line.expectation.at,
        )
        for line in baseline.lines
    ]
