"""The folder with what was there when something failed, a folder for each, and its index."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from rbac_matrix.failures.look_around import questions
from rbac_matrix.failures.parts import PARTS
from rbac_matrix.failures.redact import REDACTED, Redactor
from rbac_matrix.report.harmless import harmless, harmless_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rbac_matrix.failures.parts import Part
    from rbac_matrix.failures.scene import Scene
    from rbac_matrix.failures.trouble import Trouble

NAME: Final = "failures"
INDEX: Final = "index.txt"
MOST: Final = 20
"""Failures that get a folder; where more fail, they mostly fail of the same."""
SENTENCES: Final = 10
_LONGEST_NAME: Final = 100
_NOT_PLAIN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
"""What a terminal would act on, and what changes the direction of a text."""
_LOOK_FIRST: Final = {
    True: ("objects.yaml", "audit.jsonl", "api-server.log"),
    False: ("events.txt", "probes.log", "audit.jsonl", "api-server.log", "objects.yaml"),
}
"""By whether access is other than declared, or something broke."""


@dataclass(frozen=True)
class _Kept:
    """What came of one failure.

    Attributes:
        trouble: The failure.
        folder: The name of its folder.
        files: Each file's name with what it is, and why there is nothing in it where there is not.
        empty: The files with nothing in them.
    """

    trouble: Trouble
    folder: str
    files: tuple[tuple[str, str], ...]
    empty: frozenset[str]


class FailureFolder:
    """Keeps what was there when something failed.

    Attributes:
        folder: Where; made with the first failure.
        redactor: What everything goes through.
        failures: How many there were.
    """

    def __init__(self, report: Path) -> None:
        """Begin with nothing.

        Args:
            report: The report folder.
        """
        self.folder = report / NAME
        self.redactor = Redactor()
        self.failures = 0
        self._kept: list[_Kept] = []
        self._left_out: list[str] = []
        self._where = ""

    @property
    def index(self) -> Path:
        """Where to begin reading."""
        return self.folder / INDEX

    def remove_earlier(self) -> None:
        """Remove what an earlier run left in the same report folder."""
        if self.index.is_file():
            shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, trouble: Trouble, scene: Scene) -> Path | None:
        """Write what is there now.

        Args:
            trouble: What failed.
            scene: The cluster; a part of it that cannot be read is named with the reason.

        Returns:
            The folder of this failure; None where there are enough already.
        """
        self.failures += 1
        self._where = scene.cluster.provider
        if len(self._kept) >= MOST:
            self._left_out.append(self.redactor.text(trouble.name))
            self._write(self.index, self._index_text())
            return None
        notes = self._learn(scene)
        # Before anything is made of its texts: what is escaped or cut is not told any more.
        trouble = self._without_secrets(trouble)
        folder = self.folder / self._new_name(trouble.name)
        files, empty = [], set()
        for part in PARTS:
            if why := self._part(part, folder, trouble, scene):
                empty.add(part.file)
            files.append((part.file, f"{part.about} (empty: {why})" if why else part.about))
        self._kept.append(_Kept(trouble, folder.name, (*files, *notes), frozenset(empty)))
        self._write(self.index, self._index_text())
        return folder

    def _learn(self, scene: Scene) -> list[tuple[str, str]]:
        """Have the redactor know every secret value; what that missed."""
        try:
            if scene.cluster.admin.token_file:
                self.redactor.learn([scene.cluster.admin.token_file.read_text(encoding="ascii")])
            for secret in scene.secrets:
                self.redactor.learn_secret(secret)
        except Exception as error:  # noqa: BLE001 - the failure matters more than what is kept of it
            return [("(Secrets)", f"not every value is known, so look before sharing: {error}")]
        return []

    def _without_secrets(self, trouble: Trouble) -> Trouble:
        clean = self.redactor.text
        return replace(
            trouble,
            name=clean(trouble.name),
            sentences=tuple(map(clean, trouble.sentences)),
            explanation=clean(trouble.explanation),
            probes={clean(who): [*map(clean, lines)] for who, lines in trouble.probes.items()},
        )

    def _part(self, part: Part, folder: Path, trouble: Trouble, scene: Scene) -> str:
        """Write one file; why there is nothing in it, or an empty text."""
        try:
            scene.check_time()
            text = part.read(scene, trouble, self.redactor)
        except Exception as error:  # noqa: BLE001 - the failure matters more than what is kept of it
            said = self.redactor.text(str(error) or type(error).__name__)
            self._write(folder / part.file, f"# nothing here: {harmless(said)}\n")
            return said
        self._write(folder / part.file, text)
        return ""

    def _write(self, file: Path, text: str) -> None:
        """Everything that gets into the folder goes through here."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        file.parent.mkdir(mode=0o700, exist_ok=True)
        clean = plain(self.redactor.text(text))
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(file, flags, 0o600), "w", encoding="utf-8") as stream:
            stream.write(clean)

    def _new_name(self, text: str) -> str:
        """A folder's name for any text."""
        plain_text = re.sub(r"[^A-Za-z0-9._-]+", "-", text.rpartition("/")[2])
        name = plain_text.strip("-.")[:_LONGEST_NAME] or "failure"
        taken = {kept.folder for kept in self._kept} | {INDEX}
        numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, MOST + 3))
        return next(each for each in numbered if each not in taken)

    def _index_text(self) -> str:
        head = (
            f"What was on the cluster ({self._where}) when something failed.\n"
            f"Tokens, keys and the values of Secrets are replaced by {REDACTED}.\n"
        )
        texts = [head, *map(self._kept_text, self._kept)]
        if self._left_out:
            names = "".join(f"  {harmless(name)}\n" for name in self._left_out)
            texts.append(f"\nThese failed too, and nothing is kept of them:\n{names}")
        return "".join(texts)

    def _kept_text(self, kept: _Kept) -> str:
        trouble = kept.trouble
        lines = ["", "", trouble.name, "=" * len(trouble.name)]
        lines += trouble.sentences[:SENTENCES]
        if more := len(trouble.sentences) - SENTENCES:
            lines += [f"... and {more} more: see report.html"] if more > 0 else []
        if trouble.explanation:
            lines += _indented(trouble.explanation.split("\n"))
        useful = [file for file in _LOOK_FIRST[trouble.access] if file not in kept.empty]
        lines += ["", f"In {kept.folder}/; look first at {', then '.join(useful[:2])}:", ""]
        width = max(len(file) for file, _ in kept.files)
        lines += _indented(f"{file.ljust(width)}  {about}" for file, about in kept.files)
        if asked := questions(trouble):
            lines += ["", "On a cluster that is up (--pause-on-failure, --keep-cluster), ask:"]
            lines += ["", *_indented(asked)]
        if "objects.yaml" not in kept.empty:
            file = (self.folder / kept.folder / "objects.yaml").absolute()
            lines += ["", "The run takes its objects away. On a kept cluster, put them back with:"]
            lines += ["", f"  kubectl apply -f {shlex.quote(os.fspath(file))}"]
        return harmless_lines("\n".join(lines)) + "\n"


def redact_files(folder: Path, redactor: Redactor) -> None:
    """Take secrets out of logs that something else has written.

    What is no text cannot be gone through, and is removed: `kind export logs` writes the node's
    journal as text too.
    """
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not file.is_file():
            continue
        content = file.read_bytes()
        if b"\0" in content:
            file.unlink()
            continue
        text = content.decode(errors="replace")
        if (clean := redactor.text(text)) != text:
            file.write_text(clean, encoding="utf-8")


def plain(text: str) -> str:
    """Text with nothing that a terminal would act on; lines and tabs stay."""
    return _NOT_PLAIN.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _indented(lines: Iterable[str]) -> Sequence[str]:
    return [f"  {line}" for line in lines]
