"""Reads the project's Markdown: code blocks with what is said of them, links, and the anchors that links may name."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_SKIPPED: Final = {"build", "dist", "node_modules"}
_FENCE: Final = re.compile(r"^```(.*)$")
_HEADING: Final = re.compile(r"^#{1,6} (.+?)\s*$")
_LINK: Final = re.compile(r"\]\(([^()\s]+)\)")
_SPAN: Final = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `marks` are the words behind its language; `line` is that of the opening fence, from 1."""

    path: Path
    line: int
    language: str
    marks: tuple[str, ...]
    text: str

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"


class Page:
    """One file of Markdown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = path.read_text(encoding="utf-8").splitlines()

    @cached_property
    def blocks(self) -> list[Block]:
        """Its fenced blocks, in order."""
        return [part for part in self._parts if isinstance(part, Block)]

    @cached_property
    def prose(self) -> list[tuple[int, str]]:
        """What is in no block, line by line with its number."""
        return [part for part in self._parts if not isinstance(part, Block)]

    @cached_property
    def _parts(self) -> list[Block | tuple[int, str]]:
        parts: list[Block | tuple[int, str]] = []
        begun: tuple[int, list[str]] | None = None
        for number, line in enumerate(self._lines, 1):
            fence = _FENCE.match(line)
            if fence is None and begun is None:
                parts.append((number, line))
            elif begun is None:
                begun = number, str(fence and fence[1]).split()
            elif fence is not None:
                start, words = begun
                text = "\n".join(self._lines[start : number - 1])
                parts.append(Block(self.path, start, words[0] if words else "", tuple(words[1:]), text))
                begun = None
        if begun is not None:
            raise ValueError(f"{self.path}:{begun[0]}: the block has no end")
        return parts

    def links(self) -> Iterator[tuple[int, str]]:
        """Line and target of each link and picture."""
        for number, line in self.prose:
            yield from ((number, target) for target in _LINK.findall(re.sub(r"`[^`]*`", "", line)))

    def spans(self) -> Iterator[tuple[int, str]]:
        """Line and text of each piece of code within the prose; one may run on into the next line."""
        number_of = {index: number for index, (number, _) in enumerate(self.prose)}
        text = "\n".join(line for _, line in self.prose)
        for found in _SPAN.finditer(text):
            yield number_of[text.count("\n", 0, found.start())], " ".join(found[1].split())

    @cached_property
    def anchors(self) -> set[str]:
        """What a link may name behind `#`, after GitHub's rule."""
        seen: dict[str, int] = {}
        anchors = set()
        for _, line in self.prose:
            if (heading := _HEADING.match(line)) is None:
                continue
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            count = seen.get(name, 0)
            seen[name] = count + 1
            anchors.add(f"{name}-{count}" if count else name)
        return anchors


def all_pages() -> list[Page]:
    """Every page of the repository."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and (name[0] != "." or name == ".github"))
        found += [Page(Path(folder, name)) for name in sorted(names) if name.endswith(".md")]
    return found
