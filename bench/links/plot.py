"""Panels of lines and dots over one time axis as hand-written SVG, readable on light and on dark ground.

Knows nothing of transfers: ``bench/control.py`` gives it series in their own units. The text is plain SVG 1.1 with one style
block, so every renderer shows the same; those that know ``prefers-color-scheme`` follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from xml.sax.saxutils import escape

WIDTH: Final = 960
LEFT: Final = 64
RIGHT: Final = 20
TOP: Final = 78
GAP: Final = 46
BOTTOM: Final = 48

Tone = Literal["blue", "orange", "green", "red", "grey"]
Shape = Literal["line", "area", "dots", "rings", "dash"]

_STYLE: Final = """
text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #57606a }
.title { font-size: 16px; font-weight: 600; fill: #24292f }
.name { font-weight: 600; fill: #24292f }
.grid { stroke: #8c959f; stroke-opacity: .25; stroke-width: 1 }
.axis { stroke: #8c959f; stroke-width: 1 }
.band { fill: #8c959f; fill-opacity: .22 }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.dash { fill: none; stroke-width: 1.2; stroke-dasharray: 5 4 }
.area { stroke: none; fill-opacity: .16 }
.rings { fill: none; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #9aa4af } .title, .name { fill: #e6edf3 }
}
"""
_TONES: Final[dict[Tone, str]] = {
    "blue": "#2f7de1",
    "orange": "#d9731a",
    "green": "#2f9e4f",
    "red": "#e0454f",
    "grey": "#7d8590",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points of one thing; a ``dash`` is one level over all of the time."""

    name: str
    tone: Tone
    shape: Shape
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Series that share an axis from 0 to ``top``, with a grid line every ``step``."""

    title: str
    top: float
    step: float
    series: Sequence[Series]
    height: int = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The whole picture. ``bands`` lie behind all panels and are explained by ``band_name``."""

    title: str
    subtitle: str
    start: float
    end: float
    step: float
    panels: Sequence[Panel]
    bands: Sequence[tuple[float, float]] = field(default=())
    band_name: str = ""

    def svg(self) -> str:
        """The file's text."""
        height = TOP + sum(panel.height + GAP for panel in self.panels) - GAP + BOTTOM
        out = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
                f'role="img" aria-label="{escape(self.title)}">'
            ),
            f"<style>{_style()}</style>",
            f'<text class="title" x="{LEFT}" y="22">{escape(self.title)}</text>',
            f'<text x="{LEFT}" y="40">{escape(self.subtitle)}</text>',
        ]
        top = TOP
        for panel in self.panels:
            out += self._panel(panel, top, first=panel is self.panels[0])
            top += panel.height + GAP
        out += self._time_axis(top - GAP)
        return "\n".join([*out, "</svg>", ""])

    def _x(self, at: float) -> float:
        return LEFT + (at - self.start) / (self.end - self.start) * (WIDTH - LEFT - RIGHT)

    def _panel(self, panel: Panel, top: int, *, first: bool) -> list[str]:
        low = top + panel.height
        out = [f'<text class="name" x="{LEFT}" y="{top - 8}">{escape(panel.title)}</text>']
        for start, end in self.bands:
            left, right = self._x(max(start, self.start)), self._x(min(end, self.end))
            out.append(
                f'<rect class="band" x="{left:.1f}" y="{top}" width="{max(right - left, 1):.1f}" height="{panel.height}"/>'
            )
        level = 0.0
        while level <= panel.top * 1.001:
            y = low - level / panel.top * panel.height
            kind = "axis" if level == 0 else "grid"
            out.append(f'<line class="{kind}" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
            out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{level:g}</text>')
            level += panel.step
        out += [self._series(series, panel, low) for series in panel.series]
        return out + self._legend(panel, top, first=first)

    def _series(self, series: Series, panel: Panel, low: int) -> str:
        def y(value: float) -> float:
            return low - min(value, panel.top) / panel.top * panel.height

        inside = [(self._x(at), y(value)) for at, value in series.points if self.start <= at <= self.end]
        if series.shape in {"dots", "rings"}:
            radius = 3 if series.shape == "dots" else 5
            marks = "".join(f'<circle cx="{x:.1f}" cy="{up:.1f}" r="{radius}"/>' for x, up in inside)
            return f'<g class="{series.shape} {series.tone}">{marks}</g>'
        path = " ".join(f"{x:.1f},{up:.1f}" for x, up in inside)
        if series.shape == "area":
            path = f"{inside[0][0]:.1f},{low} {path} {inside[-1][0]:.1f},{low}"
            return f'<polygon class="area {series.tone}" points="{path}"/>'
        return f'<polyline class="{series.shape} {series.tone}" points="{path}"/>'

    def _legend(self, panel: Panel, top: int, *, first: bool) -> list[str]:
        out: list[str] = []
        right = WIDTH - RIGHT
        entries: list[tuple[str, str, str]] = [
            (series.name, series.shape, series.tone) for series in panel.series if series.name
        ]
        if first and self.band_name:
            entries.append((self.band_name, "band", "grey"))
        for name, shape, tone in reversed(entries):
            right -= 7 * len(name) + 4
            out.append(f'<text x="{right}" y="{top - 8}">{escape(name)}</text>')
            y = top - 12
            if shape == "band":
                out.append(f'<rect class="band" x="{right - 24}" y="{y - 6}" width="18" height="12"/>')
            elif shape in {"dots", "rings"}:
                out.append(
                    f'<g class="{shape} {tone}"><circle cx="{right - 12}" cy="{y}" r="{3 if shape == "dots" else 5}"/></g>'
                )
            elif shape == "area":
                out.append(f'<rect class="area {tone}" x="{right - 24}" y="{y - 6}" width="18" height="12"/>')
            else:
                out.append(f'<line class="{shape} {tone}" x1="{right - 24}" y1="{y}" x2="{right - 6}" y2="{y}"/>')
            right -= 36
        return out

    def _time_axis(self, low: int) -> list[str]:
        out: list[str] = []
        at = self.start
        while at <= self.end + 1e-9:
            x = self._x(at)
            out.append(f'<line class="axis" x1="{x:.1f}" y1="{low}" x2="{x:.1f}" y2="{low + 5}"/>')
            out.append(f'<text x="{x:.1f}" y="{low + 19}" text-anchor="middle">{at:g}</text>')
            at += self.step
        middle = (LEFT + WIDTH - RIGHT) / 2
        return [
            *out,
            f'<text x="{middle:.0f}" y="{low + 37}" text-anchor="middle">seconds since the bulk connection opened</text>',
        ]


def _style() -> str:
    rules = [
        f".{shape}.{tone} {{ {prop}: {colour} }}"
        for tone, colour in _TONES.items()
        for shape, prop in (("line", "stroke"), ("dash", "stroke"), ("area", "fill"), ("dots", "fill"), ("rings", "stroke"))
    ]
    return _STYLE + "\n".join(rules) + "\n"
