"""What a terminal shows over the time of a cast: still frames, each with how long it stands."""

from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import pyte
from pyte import graphics
from recording import Cast

IDLE: Final = 1.5
"""Seconds that nothing happens for are cut to so many."""
TICK: Final = 0.2
"""Seconds between two frames, at least."""
# pyte knows no dim text, and nothing of ours blinks: dim comes in the place of blinking.
graphics.TEXT[2] = "+blink"


@dataclass(frozen=True, slots=True)
class Run:
    """Characters of one look, from a column on."""

    column: int
    text: str
    colour: str
    bold: bool
    dim: bool
    reverse: bool


Line = tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """The lines of a screen, where the cursor is (None if it is hidden), and for how many seconds it stands."""

    lines: tuple[Line, ...]
    cursor: tuple[int, int] | None
    seconds: float


def frames_of(cast: Cast, *, hold: float) -> list[Frame]:
    """The frames of a cast; the last one stands for `hold` seconds."""
    screen = pyte.Screen(cast.columns, cast.rows)
    stream = pyte.Stream(screen)
    found: list[Frame] = []
    waited = 0.0
    ends = [*(when for when, _ in cast.events[1:]), cast.events[-1][0] + hold]
    for (when, text), end in zip(cast.events, ends, strict=True):
        stream.feed(text)
        waited += min(end - when, IDLE)
        if waited >= TICK or end == ends[-1]:
            _add(found, screen, hold if end == ends[-1] else waited)
            waited = 0.0
    return found


def last_frame(cast: Cast, before: float | None = None) -> Frame:
    """What stood on the screen at the end, or `before` so many seconds."""
    screen = pyte.Screen(cast.columns, cast.rows)
    stream = pyte.Stream(screen)
    for when, text in cast.events:
        if before is None or when <= before:
            stream.feed(text)
    return Frame(_lines(screen), None, 0.0)


def _add(found: list[Frame], screen: pyte.Screen, seconds: float) -> None:
    cursor = None if screen.cursor.hidden else (screen.cursor.x, screen.cursor.y)
    lines = _lines(screen)
    if found and (found[-1].lines, found[-1].cursor) == (lines, cursor):
        seconds += found.pop().seconds
    found.append(Frame(lines, cursor, seconds))


def _lines(screen: pyte.Screen) -> tuple[Line, ...]:
    return tuple(_line(screen, row) for row in range(screen.lines))


def _line(screen: pyte.Screen, row: int) -> Line:
    runs: list[Run] = []
    cells = [(column, screen.buffer[row][column]) for column in range(screen.columns)]
    for look, alike in groupby(cells, lambda cell: (cell[1].fg, cell[1].bold, cell[1].blink, cell[1].reverse)):
        columns, characters = zip(*alike, strict=True)
        runs.append(Run(columns[0], "".join(character.data for character in characters), *look))
    # A gap at the end of a line shows nothing.
    return tuple(run if run.reverse else _stripped(run) for run in runs if run.reverse or run.text.strip())


def _stripped(run: Run) -> Run:
    text = run.text.lstrip()
    return replace(run, column=run.column + len(run.text) - len(text), text=text.rstrip())
