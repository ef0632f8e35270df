"""Charts as SVG text: horizontal bars, and lines over a logarithmic axis. No library, and the same bytes every time.

Colours come from the reader's scheme, light or dark; a name stands beside every bar and line, so none is needed to
read a chart. Pure: panels in, text out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 760
_MARGIN: Final = 20
_LABELS: Final = 190
"""Room for the names of bars."""

_TITLE: Final = 44
_BAR: Final = 26
_PLOT: Final = 220
_STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 15px; }
  .quiet { fill: #59636e; font-size: 12px; }
  .back { fill: #ffffff; }
  .rule { stroke: #d1d9e0; stroke-width: 1; }
  .band { fill: #d1d9e0; opacity: 0.45; }
  .bar { fill: #8c959f; }
  .ours { fill: #0969da; }
  .line { fill: none; stroke-width: 2; }
  .s0 { stroke: #0969da; } .s1 { stroke: #bc4c00; } .s2 { stroke: #1a7f37; }
  .d0 { fill: #0969da; } .d1 { fill: #bc4c00; } .d2 { fill: #1a7f37; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .quiet { fill: #9198a1; }
    .back { fill: #0d1117; }
    .rule { stroke: #3d444d; }
    .band { fill: #3d444d; }
    .bar { fill: #656c76; }
    .ours { fill: #4493f8; }
    .s0 { stroke: #4493f8; } .s1 { stroke: #f0883e; } .s2 { stroke: #3fb950; }
    .d0 { fill: #4493f8; } .d1 { fill: #f0883e; } .d2 { fill: #3fb950; }
  }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what it stands for, how long it is, what is written at its end."""

    label: str
    value: float
    text: str
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars from 0 on one scale."""

    title: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        """Return the pixels it takes."""
        return _TITLE + _BAR * len(self.bars) + _MARGIN

    def draw(self, top: int) -> Iterator[str]:
        """Yield the elements, the first at `top`."""
        yield _text(_MARGIN, top + 26, self.title, "title")
        room = WIDTH - _LABELS - 2 * _MARGIN - 130
        longest = max((bar.value for bar in self.bars), default=0.0) or 1.0
        for n, bar in enumerate(self.bars):
            y = top + _TITLE + n * _BAR
            length = room * bar.value / longest
            kind = "ours" if bar.is_ours else "bar"
            yield _text(_LABELS, y + 15, bar.label, anchor="end")
            yield (
                f'<rect class="{kind}" x="{_LABELS + 10}" y="{y + 2}" width="{length:.1f}" '
                f'height="{_BAR - 8}" rx="2"/>'
            )
            yield _text(_LABELS + 18 + length, y + 15, bar.text, "quiet")


@dataclass(frozen=True, slots=True)
class Line:
    """Points from left to right; `x` is above 0."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over a logarithmic axis; `band` is the range of `y` in which nothing needs an explanation."""

    title: str
    x_label: str
    lines: Sequence[Line]
    band: tuple[float, float] | None = None

    @property
    def height(self) -> int:
        """Return the pixels it takes."""
        return _TITLE + _PLOT + 50 + _MARGIN

    def draw(self, top: int) -> Iterator[str]:
        """Yield the elements, the first at `top`."""
        yield _text(_MARGIN, top + 26, self.title, "title")
        scale = _Scale.around(self, top + _TITLE)
        if self.band:
            low, high = (scale.y(value) for value in self.band)
            yield (
                f'<rect class="band" x="{scale.left}" y="{high:.1f}" '
                f'width="{scale.right - scale.left}" height="{low - high:.1f}"/>'
            )
        for value in scale.y_ticks():
            y = scale.y(value)
            yield f'<path class="rule" d="M{scale.left} {y:.1f}H{scale.right}"/>'
            yield _text(scale.left - 8, y + 4, f"{value:g}", "quiet", anchor="end")
        for value in sorted({x for line in self.lines for x, _ in line.points}):
            yield _text(scale.x(value), scale.bottom + 18, f"{value:,.0f}", "quiet", "middle")
        middle = (scale.left + scale.right) / 2
        yield _text(middle, scale.bottom + 38, self.x_label, "quiet", "middle")
        for n, line in enumerate(self.lines):
            yield from _line(line, scale, n % 3, n)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a value stands in a panel."""

    left: int
    right: int
    top: int
    bottom: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    @classmethod
    def around(cls, panel: Lines, top: int) -> _Scale:
        xs = [math.log10(x) for line in panel.lines for x, _ in line.points] or [0.0]
        ys = [y for line in panel.lines for _, y in line.points]
        highest = max([*ys, *(panel.band or ())], default=1.0)
        x_range = (min(xs), max(*xs, min(xs) + 1e-9))
        right = WIDTH - _MARGIN - 130  # names stand at the end of their lines
        return cls(60, right, top, top + _PLOT, x_range, (0.0, highest * 1.1 or 1.0))

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (self.right - self.left) * (math.log10(value) - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.bottom - (self.bottom - self.top) * (value - low) / (high - low)

    def y_ticks(self) -> list[float]:
        step = nice_step(self.y_range[1] / 4)
        count = int(self.y_range[1] / step + 1e-9)
        return [round(step * n, 10) for n in range(count + 1)]


def nice_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def page(panels: Sequence[Bars | Lines], caption: str) -> str:
    """Return one SVG document with the panels below each other; `caption` is also its description."""
    height = sum(panel.height for panel in panels) + 30
    parts: list[str] = []
    top = 0
    for panel in panels:
        parts += panel.draw(top)
        top += panel.height
    parts.append(_text(_MARGIN, top + 10, caption, "quiet"))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'width="{WIDTH}" height="{height}">\n<title>{escape(panels[0].title)}</title>\n'
        f"<desc>{escape(caption)}</desc>\n<style>{_STYLE}</style>\n"
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="6"/>\n{body}\n</svg>\n'
    )


def _line(line: Line, scale: _Scale, colour: int, n: int) -> Iterator[str]:
    points = [(scale.x(x), scale.y(y)) for x, y in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    yield f'<path class="line s{colour}" d="M{path}"/>'
    for x, y in points:
        yield f'<circle class="d{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
    # Below each other in the order of the lines, so that names of lines that meet do not.
    y = scale.top + 20 + 20 * n
    yield f'<circle class="d{colour}" cx="{scale.right + 18}" cy="{y - 4}" r="4"/>'
    yield _text(scale.right + 28, y, line.label)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
