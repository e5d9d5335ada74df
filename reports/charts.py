"""The pictures of the page: pure functions from numbers to SVG. Colours come from the page's CSS, by class.

All text that is drawn is escaped. Coordinates are user units of the viewBox; a picture scales to the width it is given.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from worldsim.reports.numbers import number

BAR_WIDTH, BAR_HEIGHT = 300, 44
# The skill axis of every bar, so that bars compare down the column: a little room below the floor and past the ceiling.
SKILL_LOW, SKILL_HIGH = -0.25, 1.15

CURVE_WIDTH, CURVE_HEIGHT = 460, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 66, 24, 38
LABEL_GAP = 13.0  # least distance of two line labels, one line of text


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart. `kind` is its CSS class (model, floor, ceiling, null); where `values` is None is a gap."""

    name: str
    kind: str
    h: tuple[int, ...]
    values: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    label: str = ""


def _f(x: float) -> str:
    """A coordinate: one decimal is a tenth of a pixel."""
    return f"{x:.1f}"


def skill_x(skill: float) -> float:
    """Where a skill lies on the bar; clipped to the axis."""
    inside = min(max(skill, SKILL_LOW), SKILL_HIGH)
    return 6 + (BAR_WIDTH - 12) * (inside - SKILL_LOW) / (SKILL_HIGH - SKILL_LOW)


def skill_bar(
    *,
    skill: float,
    low: float | None,
    high: float | None,
    floor: str,
    ceiling: str,
    nulls: Sequence[tuple[str, float]] = (),
) -> Markup:
    """A bar from floor to ceiling with the model's skill and its interval; other nulls are faint ticks.

    Args:
        skill: (score - floor) / (ceiling - floor); outside the axis it is drawn as an arrow at its end.
        low: Where its interval begins, or None.
        high: Where it ends, or None.
        floor: What is written under the tick at 0.
        ceiling: What is written under the tick at 1.
        nulls: (name, skill) of the other nulls.
    """
    y, floor_x, ceiling_x, x = 15.0, skill_x(0.0), skill_x(1.0), skill_x(skill)
    said = f"skill {number(skill, 2)}"
    if low is not None and high is not None:
        said += f", interval {number(low, 2)} to {number(high, 2)}"
    parts = [
        f'<svg class="bar" viewBox="0 0 {BAR_WIDTH} {BAR_HEIGHT}" role="img" '
        f'aria-label="{escape(said)}; floor {escape(floor)}; ceiling {escape(ceiling)}">',
        f'<line class="scale" x1="{_f(floor_x)}" x2="{_f(ceiling_x)}" y1="{y}" y2="{y}"/>',
        f'<line class="reach" x1="{_f(floor_x)}" x2="{_f(x)}" y1="{y}" y2="{y}"/>',
    ]
    for name, at in nulls:
        if SKILL_LOW <= at <= SKILL_HIGH:
            parts.append(
                f'<line class="nulltick" x1="{_f(skill_x(at))}" x2="{_f(skill_x(at))}" y1="{y - 4}" y2="{y + 4}">'
                f"<title>{escape(name)}: skill {number(at, 2)}</title></line>"
            )
    for at, text, kind in ((floor_x, floor, "floor"), (ceiling_x, ceiling, "ceiling")):
        parts.append(f'<line class="tick {kind}" x1="{_f(at)}" x2="{_f(at)}" y1="{y - 7}" y2="{y + 7}"/>')
        parts.append(f'<text class="ticktext" x="{_f(at)}" y="{y + 23}" text-anchor="middle">{escape(text)}</text>')
    if low is not None and high is not None and high > low:
        parts.append(f'<line class="whisker" x1="{_f(skill_x(low))}" x2="{_f(skill_x(high))}" y1="{y}" y2="{y}"/>')
    if SKILL_LOW <= skill <= SKILL_HIGH:
        parts.append(f'<circle class="point" cx="{_f(x)}" cy="{y}" r="3.6"/>')
    else:
        tip = -7 if skill < SKILL_LOW else 7
        parts.append(f'<path class="point" d="M{_f(x + tip / 2)},{y} l{-tip},-5 v10 z"/>')
    return Markup("".join([*parts, "</svg>"]))


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers (1, 2, 2.5 or 5 times a power of ten apart) that lie within low..high."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def spread(at: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Moves label positions apart until neighbours are `gap` away, keeping their order and staying in low..high."""
    order = sorted(range(len(at)), key=lambda i: at[i])
    out = list(at)
    for before, after in itertools.pairwise(order):
        out[after] = max(out[after], out[before] + gap)
    ceiling = high
    for i in reversed(order):
        out[i] = max(min(out[i], ceiling), low)
        ceiling = out[i] - gap
    return out


def thin(line: Line, most: int = 240) -> Line:
    """At most `most` points, evenly spaced, first and last kept: more than a screen has pixels for only costs bytes."""
    count = len(line.h)
    if count <= most:
        return line
    keep = sorted({round(k * (count - 1) / (most - 1)) for k in range(most)})

    def pick(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return tuple(values[i] for i in keep) if values else ()

    return Line(
        name=line.name,
        kind=line.kind,
        label=line.label,
        h=tuple(line.h[i] for i in keep),
        values=pick(line.values),
        low=pick(line.low),
        high=pick(line.high),
    )


def runs(points: Sequence[tuple[float, ...] | None]) -> list[list[tuple[float, ...]]]:
    """Splits at None: unscored horizons are gaps, never a line drawn across."""
    out: list[list[tuple[float, ...]]] = [[]]
    for point in points:
        if point is not None:
            out[-1].append(point)
        elif out[-1]:
            out.append([])
    return [run for run in out if run]


def value_range(lines: Sequence[Line]) -> tuple[float, float] | None:
    """The y axis: all of the model, its floor and its ceiling; the other nulls only as far as half that span beyond.

    A null may lie arbitrarily far below the floor (noise does), and would flatten what is to be read.
    """

    def ends(chosen: Sequence[Line]) -> tuple[float, float] | None:
        every = [
            v for line in chosen for v in (*line.values, *line.low, *line.high) if v is not None and math.isfinite(v)
        ]
        return (min(every), max(every)) if every else None

    read = ends([line for line in lines if line.kind != "null"]) or ends(lines)
    if read is None:
        return None
    bottom, top = read
    room = 0.5 * (top - bottom)
    rest = ends(lines) or read
    bottom, top = max(rest[0], bottom - room), min(rest[1], top + room)
    pad = 0.06 * (top - bottom) or 0.5
    return bottom - pad, top + pad


def curve_chart(lines: Sequence[Line], *, title: str, unit: str) -> Markup:
    """Lines over the horizon with the model's interval as a band, and a cursor that the page's script moves.

    The plot's area and horizons are given as data attributes (x0, x1 in user units; h0, h1) for the script.
    """
    drawn = [thin(line) for line in lines]
    horizons = [h for line in drawn for h in line.h]
    span = value_range(drawn)
    if span is None or not horizons:
        return Markup("")
    h0, h1 = min(horizons), max(horizons)
    bottom, top = span
    x0, x1, y0, y1 = LEFT, CURVE_WIDTH - RIGHT, CURVE_HEIGHT - BOTTOM, TOP

    def x(h: float) -> float:
        return x0 + (x1 - x0) * ((h - h0) / (h1 - h0) if h1 > h0 else 0.5)

    def y(v: float) -> float:
        return y0 + (y1 - y0) * (v - bottom) / (top - bottom)

    parts = [
        f'<svg class="plot" viewBox="0 0 {CURVE_WIDTH} {CURVE_HEIGHT}" role="img" aria-label="{escape(title)}" '
        f'data-x0="{x0}" data-x1="{x1}" data-h0="{h0}" data-h1="{h1}">'
    ]
    marks = ticks(bottom, top)
    places = max((len(f"{m:.6g}".partition(".")[2]) for m in marks), default=0)
    for mark in marks:
        parts.append(f'<line class="grid" x1="{x0}" x2="{x1}" y1="{_f(y(mark))}" y2="{_f(y(mark))}"/>')
        text = number(mark, min(places, 4))
        parts.append(f'<text class="axis" x="{x0 - 7}" y="{_f(y(mark) + 4)}" text-anchor="end">{text}</text>')
    whole = sorted({h0, *(int(t) for t in ticks(h0, h1) if t == int(t) and t - h0 > (h1 - h0) / 8)})
    for mark in whole:
        parts.append(f'<text class="axis" x="{_f(x(mark))}" y="{y0 + 17}" text-anchor="middle">{mark}</text>')
    parts.append(f'<text class="axis name" x="{x1}" y="{y0 + 33}" text-anchor="end">horizon, steps</text>')
    parts.append(f'<text class="axis name" x="{x0 - 30}" y="{TOP - 11}">{escape(unit)}</text>')
    ends: list[tuple[float, str, str]] = []
    # An inner picture cuts off what leaves the plot.
    box = f"{x0 - 3} {y1} {x1 - x0 + 6} {y0 - y1}"
    left, up, wide, high = box.split()
    parts.append(f'<svg class="inside" x="{left}" y="{up}" width="{wide}" height="{high}" viewBox="{box}">')
    for line in sorted(drawn, key=lambda one: ("null", "floor", "ceiling", "model").index(one.kind)):
        band = [
            (x(h), y(a), y(b)) if a is not None and b is not None else None
            for h, a, b in zip(line.h, line.low, line.high, strict=False)
        ]
        for run in runs(band):
            upper = " ".join(f"{_f(p[0])},{_f(p[2])}" for p in run)
            lower = " ".join(f"{_f(p[0])},{_f(p[1])}" for p in reversed(run))
            parts.append(f'<polygon class="band" points="{upper} {lower}"/>')
        path = [(x(h), y(v)) if v is not None else None for h, v in zip(line.h, line.values, strict=True)]
        for run in runs(path):
            if len(run) == 1:
                parts.append(f'<circle class="dot {line.kind}" cx="{_f(run[0][0])}" cy="{_f(run[0][1])}" r="2"/>')
                continue
            points = " ".join(f"{_f(a)},{_f(b)}" for a, b in run)
            parts.append(
                f'<polyline class="line {line.kind}" points="{points}"><title>{escape(line.name)}</title></polyline>'
            )
        last = next((v for v in reversed(line.values) if v is not None), None)
        if line.label and last is not None:
            ends.append((y(last), line.label, line.kind))
    parts.append("</svg>")
    for (_, label, kind), at in zip(ends, spread([e[0] for e in ends], LABEL_GAP, y1 + 4, y0), strict=True):
        parts.append(f'<text class="label {kind}" x="{x1 + 6}" y="{_f(at + 4)}">{escape(label)}</text>')
    parts.append(f'<line class="cursor" x1="{x0}" x2="{x0}" y1="{y1}" y2="{y0}" visibility="hidden"/></svg>')
    return Markup("".join(parts))


def readout(lines: Sequence[Line]) -> list[dict[str, object]]:
    """What the script shows under the cursor: for each line its horizons and the numbers as this page writes them."""
    out: list[dict[str, object]] = []
    for line in (thin(one) for one in lines):
        if not any(v is not None for v in line.values):
            continue
        text = []
        for i, value in enumerate(line.values):
            low, high = (line.low[i], line.high[i]) if line.low else (None, None)
            shown = number(value)
            if low is not None and high is not None:
                shown += f" [{number(low)}, {number(high)}]"
            text.append(shown)
        out.append({"name": line.name, "kind": line.kind, "h": list(line.h), "text": text})
    return out
