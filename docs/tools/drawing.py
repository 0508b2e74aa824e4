"""Draws boxes, arrows and words as SVG that reads well on light and dark pages; colours follow the reader's own."""

from dataclasses import dataclass, field
from html import escape
from typing import Final

Point = tuple[float, float]
Place = tuple[float, float, float, float]
"""Left, top, width and height."""

STYLE: Final = """
:root { --page: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #59636e; --room: #f6f8fa; --edge: #d1d9e0;
  --clear: #fff1d6; --clear-edge: #bf8700; --key: #ddf4ff; --key-edge: #0969da; --step: #0969da; --on-step: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0d1117; --ink: #e6edf3; --soft: #9198a1; --line: #9198a1; --room: #161b22; --edge: #3d444d;
    --clear: #3a2a0a; --clear-edge: #d29922; --key: #0c2d4d; --key-edge: #4493f8; --step: #4493f8; --on-step: #0d1117;
  } }
text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 13px; fill: var(--ink); }
.name { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 15px; font-weight: 600; }
.soft { fill: var(--soft); font-size: 12px; }
.number { fill: var(--on-step); font-size: 12px; font-weight: 600; text-anchor: middle; }
.page { fill: var(--page); } .room { fill: var(--room); stroke: var(--edge); }
.clear { fill: var(--clear); stroke: var(--clear-edge); } .key { fill: var(--key); stroke: var(--key-edge); }
.area { fill: none; stroke: var(--edge); stroke-dasharray: 5 4; }
.arrow { fill: none; stroke: var(--line); stroke-width: 1.6; marker-end: url(#tip); }
.carried { stroke-dasharray: 5 4; }
.tip { fill: var(--line); } .step { fill: var(--step); }
"""
TIP: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
    '<path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>'
)


@dataclass
class Drawing:
    """A picture of `width` by `height` pixels; `title` and `description` are for whoever cannot see it."""

    width: int
    height: int
    title: str
    description: str
    _parts: list[str] = field(default_factory=list)

    def box(self, kind: str, place: Place, name: str = "", words: str = "") -> None:
        """A box of a kind of the style, with a name in it and lines of words below that."""
        x, y, width, height = place
        self._parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>')
        self.text((x + 12, y + 24), name, "name")
        for index, line in enumerate(words.splitlines()):
            self.text((x + 12, y + 44 + 17 * index), line)

    def text(self, place: Point, text: str, kind: str = "", anchor: str = "start") -> None:
        """One line of words; none if it is empty."""
        if not text:
            return
        x, y = place
        words = escape(text, quote=False)
        self._parts.append(f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>')

    def arrow(self, *points: Point, step: str = "", at: Point | None = None, carried: bool = False) -> None:
        """A line through the points with a tip at its end; the number of its step stands `at` a place."""
        path = " ".join(f"{x},{y}" for x, y in points)
        self._parts.append(f'<polyline class="arrow{" carried" * carried}" points="{path}"/>')
        if at is not None:
            self.step(at, step)

    def step(self, at: Point, step: str) -> None:
        """A number in a disc."""
        self._parts.append(f'<circle class="step" cx="{at[0]}" cy="{at[1]}" r="10"/>')
        self.text((at[0], at[1] + 4.5), step, "number", "middle")

    def svg(self) -> str:
        """The picture."""
        size = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc">',
                f'<title id="title">{escape(self.title)}</title>',
                f'<desc id="desc">{escape(self.description)}</desc>',
                f"<style>{STYLE}</style>",
                TIP,
                f'<rect class="page" width="{self.width}" height="{self.height}"/>',
                *self._parts,
                "</svg>\n",
            ]
        )
