"""One curve over time as SVG text, with its fitted line. Pure: points in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Point = tuple[float, float]
"""Seconds, and a value."""

_WIDTH: Final = 760
_HEIGHT: Final = 300
_LEFT: Final = 70
_RIGHT: Final = 20
_TOP: Final = 46
_BOTTOM: Final = 46
_STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 15px; }
  .back { fill: #ffffff; }
  .rule { stroke: #d1d9e0; }
  .curve { fill: none; stroke: #0969da; stroke-width: 2; }
  .fit { stroke: #bc4c00; stroke-width: 2; stroke-dasharray: 6 4; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .back { fill: #0d1117; }
    .rule { stroke: #3d444d; }
    .curve { stroke: #4493f8; }
    .fit { stroke: #f0883e; }
  }
"""


def slope(points: Sequence[Point]) -> tuple[float, float]:
    """Return value per second and value at second 0 of the straight line that fits best (least squares)."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    return rise, mean_y - rise * mean_x


def draw(title: str, unit: str, points: Sequence[Point], settled: Sequence[Point]) -> str:
    """Return the chart of `points` from value 0, with the line that fits the `settled` ones."""
    last, top = points[-1][0] or 1.0, max(y for _, y in points) * 1.15 or 1.0
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(point: Point) -> str:
        return f"{_LEFT + width * point[0] / last:.1f},{_TOP + height * (1 - point[1] / top):.1f}"

    rise, start = slope(settled)
    (x1, y1), (x2, y2) = (
        at((x, start + rise * x)).split(",") for x in (settled[0][0], settled[-1][0])
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{title}</title><style>{_STYLE}</style>",
        f'<rect class="back" width="{_WIDTH}" height="{_HEIGHT}"/>',
        f'<text class="title" x="20" y="26">{title}</text>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _TOP + height * (1 - share)
        parts += [
            f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{top * share:.0f} {unit}</text>',
            f'<text x="{_LEFT + width * share:.1f}" y="{_HEIGHT - 18}" text-anchor="middle">'
            f"{last * share / 60:.1f} min</text>",
        ]
    parts += [
        f'<polyline class="curve" points="{" ".join(map(at, points))}"/>',
        f'<line class="fit" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
