"""Small curves of skill against severity, one for each fault that a metric must feel."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from worldsim.reports.charts import runs
from worldsim.reports.matrix_data import Cell
from worldsim.reports.numbers import number

WIDTH, HEIGHT = 150, 84
LEFT, RIGHT, TOP, BOTTOM = 22, 8, 8, 18


def lowest(cells: Sequence[Cell]) -> float:
    """Where the skill axis of all curves begins: low enough for most, and never below -1.1."""
    known = [s for c in cells for s in c.skills if s is not None and math.isfinite(s)]
    return max(min([-0.12, *(s - 0.06 for s in known)]), -1.1)


def severity_chart(cell: Cell, low: float, title: str) -> Markup:
    """Skill at severity 0 and at each that was tried; what lies under the axis is drawn at its foot.

    Args:
        cell: With skills at (0, *severities); undefined ones are gaps.
        low: Where the skill axis begins; it ends a little above 1.
        title: Tooltip and spoken name.
    """
    levels = (0.0, *cell.severities)
    top, most = 1.1, max(levels) or 1.0
    x0, x1, y0, y1 = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP

    def x(severity: float) -> float:
        return x0 + (x1 - x0) * severity / most

    def y(skill: float) -> float:
        return y0 + (y1 - y0) * (min(max(skill, low), top) - low) / (top - low)

    out = [
        f'<svg class="sev {escape(cell.verdict)}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
    ]
    for at in (0, 1):
        out.append(f'<line class="grid" x1="{x0}" x2="{x1}" y1="{y(at):.1f}" y2="{y(at):.1f}"/>')
        out.append(f'<text x="{x0 - 5}" y="{y(at) + 4:.1f}" text-anchor="end">{at}</text>')
    for severity, anchor in ((0.0, "start"), (most, "end")):
        out.append(f'<text x="{x(severity):.1f}" y="{HEIGHT - 4}" text-anchor="{anchor}">{severity:g}</text>')
    points = [None if s is None else (x(v), y(s)) for v, s in zip(levels, cell.skills, strict=False)]
    for run in runs(points):
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in run)
        out.append(f'<polyline points="{path}"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.3"/>' for a, b in run]
    if not any(points):
        out.append(f'<text x="{(x0 + x1) / 2}" y="{(y(0) + y(1)) / 2 + 4:.1f}" text-anchor="middle">no skill</text>')
    return Markup("".join([*out, "</svg>"]))


def spoken(cell: Cell) -> str:
    """The numbers of a curve in words."""
    levels = (0.0, *cell.severities)
    pairs = [f"{number(s, 2)} at {v:g}" for v, s in zip(levels, cell.skills, strict=False)]
    return f"{cell.metric} under {cell.fault}: skill {', '.join(pairs) or 'not measured'}"
