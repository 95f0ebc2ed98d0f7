"""Charts as inline SVG, by a few small functions: nothing to load, nothing to run.

A page that shows them includes `CSS` once. Text is told before colour: every series is named in
the legend, colours are distinguishable by the colour-blind, and axes start where they say.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 860, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 34, 34
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
_MARK_LETTERS = 34

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's palette, the ones that hold on white first."""

_LEAST = {"seconds": 1.0, "waiting": 4.0}
"""What an upright axis of a unit reaches at least: next to nothing must not look like a peak."""

CSS = """
figure.chart { margin: 1.2rem 0 1.8rem }
figure.chart figcaption { font-weight: 600; margin-bottom: .15rem }
figure.chart .says { color: #555; font-size: .9rem; margin: 0 0 .3rem }
figure.chart svg { width: 100%; height: auto; display: block }
figure.chart text { font: 12px system-ui, sans-serif; fill: #444;
                    paint-order: stroke; stroke: #fff; stroke-width: 3px }
figure.chart .grid { stroke: #e4e4e4; stroke-width: 1 }
figure.chart .axis { stroke: #999; stroke-width: 1 }
figure.chart .line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
figure.chart .mark { stroke: #777; stroke-width: 1; stroke-dasharray: 3 3 }
figure.chart .limit { stroke: #b00020; stroke-width: 1.2; stroke-dasharray: 7 4 }
figure.chart text.limit-name { fill: #b00020 }
figure.chart .bar:hover { opacity: .7 }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A named line. `points` are x and y; a y of None is a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened at an x, told beside a dashed line."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A level that the lines are held to."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar, with what a pointer resting on it is told."""

    name: str
    value: float
    says: str = ""


def lines(
    title: str,
    series: Sequence[Series],
    *,
    unit: str,
    says: str = "",
    across: str = "seconds since the start",
    marks: Sequence[Mark] = (),
    limit: Limit | None = None,
    until: float | None = None,
) -> str:
    """Return a line chart as a figure. Empty series are left out; without any it says so.

    `until` is where the axis ends at least, so that charts below each other line up.
    """
    drawn = [one for one in series if any(y is not None for _, y in one.points)]
    if not drawn:
        return _figure(title, says, '<p class="says">Nothing was measured here.</p>')
    xs = [x for one in drawn for x, _ in one.points]
    highest = max(
        _LEAST.get(unit, 0.0), *(y for one in drawn for _, y in one.points if y is not None)
    )
    if limit is not None and limit.at <= highest * 2:
        highest = max(highest, limit.at)
    top, steps = _scale(highest)
    first = min(xs)
    last = max(*xs, first + 1, until or first)
    box = _Box(first=first, last=last, top=top)
    parts = [_grid(box, steps, unit), _across(box, across)]
    for place, one in enumerate(drawn):
        parts.append(_line(box, one, COLOURS[place % len(COLOURS)], unit))
    if limit is not None and limit.at <= top:
        parts.append(_limit(box, limit))
    parts += [_mark(box, mark, place) for place, mark in enumerate(marks)]
    parts.append(_legend([one.name for one in drawn]))
    return _figure(title, says, _svg(title, parts))


def bars(title: str, values: Sequence[Bar], *, unit: str, says: str = "", across: str = "") -> str:
    """Return upright bars as a figure, each with its name below as far as there is room."""
    if not values or not any(one.value for one in values):
        return _figure(title, says, '<p class="says">Nothing was measured here.</p>')
    top, steps = _scale(max(one.value for one in values))
    box = _Box(first=0, last=len(values), top=top)
    parts = [_grid(box, steps, unit)]
    width = _PLOT_WIDTH / len(values)
    every = max(1, math.ceil(len(values) / 16))
    for place, one in enumerate(values):
        y = box.y(one.value)
        # A bar of one among thousands is still a bar.
        height = max(_TOP + _PLOT_HEIGHT - y, 1.5 if one.value else 0)
        parts.append(
            f'<rect class="bar" x="{box.x(place) + width * 0.08:.1f}" '
            f'y="{_TOP + _PLOT_HEIGHT - height:.1f}" width="{width * 0.84:.1f}" '
            f'height="{height:.1f}" fill="{COLOURS[0]}">'
            f"<title>{escape(one.says or f'{one.name}: {number(one.value)} {unit}')}</title></rect>"
        )
        if place % every == 0:
            parts.append(_text(box.x(place) + width / 2, HEIGHT - 17, one.name, anchor="middle"))
    if across:
        parts.append(_text(WIDTH - _RIGHT, HEIGHT - 3, across, anchor="end"))
    return _figure(title, says, _svg(title, parts))


def number(value: float) -> str:
    """Return a number as people read it: 12,345, 0.25, 3."""
    if value == 0 or abs(value) >= 100:  # noqa: PLR2004 -- three figures are enough
        return f"{value:,.0f}"
    return f"{value:.3g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """Where values lie on the drawing."""

    first: float
    last: float
    top: float

    def x(self, value: float) -> float:
        return _LEFT + (value - self.first) / (self.last - self.first) * _PLOT_WIDTH

    def y(self, value: float) -> float:
        return _TOP + _PLOT_HEIGHT - min(value, self.top) / self.top * _PLOT_HEIGHT


def _scale(highest: float) -> tuple[float, list[float]]:
    """Return a round top above the highest value, and the steps up to it."""
    if highest <= 0:
        return 1.0, [0.0, 1.0]
    rough = highest / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 2.5, 5, 10) if power * one >= rough)
    count = math.ceil(highest / step - 1e-9)
    return step * count, [step * place for place in range(count + 1)]


def _grid(box: _Box, steps: Sequence[float], unit: str) -> str:
    parts = [_text(8, 14, unit)]
    for step in steps:
        y = box.y(step)
        kind = "grid" if step else "axis"
        parts.append(
            f'<line class="{kind}" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>'
        )
        parts.append(_text(_LEFT - 8, y + 4, number(step), anchor="end"))
    return "".join(parts)


def _across(box: _Box, across: str) -> str:
    _, steps = _scale(box.last - box.first)
    parts = [
        _text(box.x(box.first + step), HEIGHT - 17, number(box.first + step), anchor="middle")
        for step in steps
        if box.first + step <= box.last
    ]
    parts.append(_text(WIDTH - _RIGHT, HEIGHT - 3, across, anchor="end"))
    return "".join(parts)


def _mark(box: _Box, mark: Mark, place: int) -> str:
    x = box.x(min(max(mark.at, box.first), box.last))
    right = x > _LEFT + _PLOT_WIDTH * 0.7
    text = mark.text if len(mark.text) <= _MARK_LETTERS else f"{mark.text[: _MARK_LETTERS - 1]}…"
    return (
        f'<line class="mark" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_TOP + _PLOT_HEIGHT}">'
        f"<title>{escape(mark.text)}</title></line>"
        + _text(
            x + (-4 if right else 4), _TOP + 11 + 14 * (place % 4), text,
            anchor="end" if right else "start",
        )
    )  # fmt: skip


def _limit(box: _Box, limit: Limit) -> str:
    y = box.y(limit.at)
    return (
        f'<line class="limit" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>'
        f'<text class="limit-name" x="{WIDTH - _RIGHT - 4}" y="{y - 4:.1f}" text-anchor="end">'
        f"{escape(limit.text)}</text>"
    )


def _line(box: _Box, one: Series, colour: str, unit: str) -> str:
    paths, part, dots = [], "", []
    for x, y in one.points:
        if y is None:
            paths.append(part)
            part = ""
            continue
        part += f"{'L' if part else 'M'}{box.x(x):.1f} {box.y(y):.1f}"
        dots.append((x, y))
    paths.append(part)
    joined = "".join(paths)
    peak = max(y for _, y in dots)
    told = f"{one.name}: at most {number(peak)} {unit}"
    alone = "".join(
        f'<circle cx="{box.x(x):.1f}" cy="{box.y(y):.1f}" r="2.2" fill="{colour}"/>'
        for x, y in dots
        if len(dots) <= 3  # noqa: PLR2004 -- too few to see as a line
    )
    return (
        f'<path class="line" d="{joined}" stroke="{colour}"><title>{escape(told)}</title></path>'
        + alone
    )


def _legend(names: Sequence[str]) -> str:
    """Name the series along the top, from the right edge inwards."""
    parts, x = [], float(WIDTH - _RIGHT)
    for place, name in reversed(list(enumerate(names))):
        x -= 7.3 * len(name) + 26
        colour = COLOURS[place % len(COLOURS)]
        parts.append(
            f'<rect x="{x:.1f}" y="5" width="12" height="12" rx="2" fill="{colour}"/>'
            + _text(x + 17, 15, name)
        )
    return "".join(parts)


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">'
        + "".join(parts)
        + "</svg>"
    )


def _figure(title: str, says: str, drawing: str) -> str:
    told = f'<p class="says">{escape(says)}</p>' if says else ""
    return f'<figure class="chart"><figcaption>{escape(title)}</figcaption>{told}{drawing}</figure>'
