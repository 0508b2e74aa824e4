"""Draws frames of a terminal as an SVG: still, or moving by CSS alone; readable on a light page and on a dark one."""

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from frames import Frame, Line, Run

CHARACTER: Final = 8.4
LINE: Final = 19
MARGIN: Final = 14
BAR: Final = 30

# GitHub's own palettes of a terminal: on white and on its dark background.
_LIGHT: Final = {
    "back": "#ffffff",
    "edge": "#d0d7de",
    "text": "#24292f",
    "black": "#24292f",
    "red": "#cf222e",
    "green": "#116329",
    "brown": "#7d4e00",
    "blue": "#0969da",
    "magenta": "#8250df",
    "cyan": "#1b7c83",
    "white": "#57606a",
}
_DARK: Final = {
    "back": "#0d1117",
    "edge": "#30363d",
    "text": "#e6edf3",
    "black": "#484f58",
    "red": "#ff7b72",
    "green": "#3fb950",
    "brown": "#d29922",
    "blue": "#58a6ff",
    "magenta": "#bc8cff",
    "cyan": "#39c5cf",
    "white": "#b1bac4",
}


def draw(frames: Sequence[Frame], columns: int, title: str, *, rows: int | None = None) -> str:
    """The frames as an SVG that is a picture if there is one frame, and else moves without end.

    Who asked the system for less motion sees the last frame.
    """
    height = rows or len(frames[0].lines)
    width, page = round(columns * CHARACTER + 2 * MARGIN), height * LINE
    lines: dict[Line, str] = {}
    shown = [_frame(frame, lines, index * page, height) for index, frame in enumerate(frames)]
    drawn = "".join(f'<g id="{name}">{"".join(map(_run, line))}</g>' for line, name in lines.items())
    total = page + BAR + 2 * MARGIN - 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" width="{width}" height="{total}" '
        f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f"<style>{_style(frames, page)}</style><defs>{drawn}</defs>"
        f'<rect class="window" x=".5" y=".5" width="{width - 1}" height="{total - 1}" rx="8"/>'
        f'<circle class="b" cx="20" cy="17" r="5"/><circle class="b" cx="37" cy="17" r="5"/>'
        f'<circle class="b" cx="54" cy="17" r="5"/>'
        f'<svg x="{MARGIN}" y="{BAR + 4}" width="{width - 2 * MARGIN}" height="{page}">'
        f'<g class="strip">{"".join(shown)}</g></svg></svg>\n'
    )


def _frame(frame: Frame, lines: dict[Line, str], top: int, height: int) -> str:
    found = []
    for row, line in enumerate(frame.lines[:height]):
        if line:
            name = lines.setdefault(line, f"l{len(lines)}")
            found.append(f'<use href="#{name}" y="{top + row * LINE}"/>')
    if frame.cursor is not None:
        x, y = frame.cursor
        found.append(f'<rect class="cursor" x="{x * CHARACTER:.1f}" y="{top + y * LINE + 2}" width="8" height="16"/>')
    return "".join(found)


def _run(run: Run) -> str:
    x, length = run.column * CHARACTER, len(run.text) * CHARACTER
    names = [run.colour.removeprefix("bright")] if run.colour != "default" else []
    if run.colour == "brightblack" or (len(run.colour) == 6 and run.colour[:2] == run.colour[2:4] == run.colour[4:]):
        names = ["edge"]  # a grey, such as the rest of a bar: each page has its own
    named = [name for name in names if name in _LIGHT]
    classes = [*named, *(["bold"] if run.bold else []), *(["dim"] if run.dim else [])]
    colour = f' style="fill:#{run.colour}"' if names and not named else ""
    text = escape(run.text).replace(" ", "\N{NO-BREAK SPACE}")
    back = f'<rect class="block" x="{x:.1f}" y="1" width="{length:.1f}" height="{LINE - 2}"/>' if run.reverse else ""
    if run.reverse:
        classes = ["over"]
    attribute = f' class="{" ".join(classes)}"' if classes else ""
    return f'{back}<text{attribute}{colour} x="{x:.1f}" y="14" textLength="{length:.1f}">{text}</text>'


def _style(frames: Sequence[Frame], page: int) -> str:
    base = (
        "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:var(--text);"
        "white-space:pre}.bold{font-weight:600}.dim{opacity:.7}.window{fill:var(--back);stroke:var(--edge)}"
        ".b{fill:var(--edge)}.cursor,.block{fill:var(--text);opacity:.75}.over{fill:var(--back)}"
    )
    colours = "".join(f".{name}{{fill:var(--{name})}}" for name in _LIGHT if name not in {"back", "text"})
    return (
        f":root{{{_variables(_LIGHT)}}}@media(prefers-color-scheme:dark){{:root{{{_variables(_DARK)}}}}}"
        f"{base}{colours}{_motion(frames, page)}"
    )


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


def _motion(frames: Sequence[Frame], page: int) -> str:
    if len(frames) == 1:
        return ""
    whole = sum(frame.seconds for frame in frames)
    steps, passed = [], 0.0
    for index, frame in enumerate(frames):
        steps.append(f"{100 * passed / whole:.3f}%{{transform:translateY(-{index * page}px)}}")
        passed += frame.seconds
    last = (len(frames) - 1) * page
    return (
        f"@keyframes run{{{''.join(steps)}to{{transform:translateY(-{last}px)}}}}"
        f".strip{{animation:run {whole:.2f}s step-end infinite}}"
        f"@media(prefers-reduced-motion:reduce){{.strip{{animation:none;transform:translateY(-{last}px)}}}}"
    )
