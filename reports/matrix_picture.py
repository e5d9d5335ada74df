"""The response matrix as a picture: faults by metrics. The sign is the expectation, the colour the skill that is lost.

Pure functions from a certification to SVG. On the page the names of the faults are a picture of their own, which stays
in place while the cells are moved on a narrow screen; the one that stands alone has a title and a legend.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from worldsim.reports import numbers
from worldsim.reports.matrix_data import Cell, Matrix, PlantedFault

CELL, GAP = 25.0, 7.0
NAME_WIDTH, LETTER = 100.0, 6.9  # of the faults' column; about one letter of a label
DEEP = 0.55  # from this loss on, what stands on the cell is written in the paper's colour
#: The colours of the picture that stands alone, on light and on dark paper: those of page.css.
LIGHT: Mapping[str, str] = {
    "paper": "#fdfdfb",
    "card": "#f1f1ec",
    "ink": "#1d1f22",
    "soft": "#5b6067",
    "hair": "#ebebe5",
    "model": "#0b62a4",
    "floor": "#7a5c1e",
    "null": "#a9adb2",
    "bad": "#c0341d",
}
DARK: Mapping[str, str] = {
    "paper": "#15171a",
    "card": "#22262b",
    "ink": "#e6e6e1",
    "soft": "#a0a5ac",
    "hair": "#282b30",
    "model": "#6fb4ea",
    "floor": "#d0ab62",
    "null": "#6a7077",
    "bad": "#ff7a5c",
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where columns and rows begin, in user units; (0, 0) is the corner of the cells' picture.

    Attributes:
        columns: Metric -> x.
        blocks: (family, x, width).
        head: Height above the first row.
        width, height: Of the cells' picture.
    """

    columns: Mapping[str, float]
    blocks: tuple[tuple[str, float, float], ...]
    head: float
    width: float
    height: float


def layout(matrix: Matrix) -> Layout:
    """Columns by family; a family is at least as wide as its name."""
    x, columns, blocks = GAP / 2, dict[str, float](), []
    for family, metrics in matrix.families():
        wide = max(len(metrics) * CELL, LETTER * len(family) + 4)
        columns |= {m.name: x + (wide - len(metrics) * CELL) / 2 + k * CELL for k, m in enumerate(metrics)}
        blocks.append((family, x, wide))
        x += wide + GAP
    longest = max((len(short(m.name)) for m in matrix.metrics), default=0)
    head = 36 + LETTER * longest
    return Layout(
        columns=columns, blocks=tuple(blocks), head=head, width=x, height=head + CELL * len(matrix.faults) + 6
    )


def short(name: str) -> str:
    """The name of a metric without its family."""
    return name.partition(".")[2] or name


def _f(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")


def said(cell: Cell, fault: PlantedFault | None = None) -> str:
    """All that is known of a cell, in words: its tooltip and what a screen reader says."""
    level = f" at {cell.severities[-1]:g}" if cell.severities else ""
    unit = f" {fault.unit}" if fault and fault.unit and level else ""
    what = {"+": "must lose skill", "0": "must not move", "~": "measured only"}[cell.expected]
    parts = [
        f"{cell.fault}{level}{unit} on {cell.metric}",
        f"{what}: {'not applicable' if cell.verdict == 'n/a' else cell.verdict}",
    ]
    parts.append("no skill was measured" if cell.effect is None else f"skill lost {numbers.number(cell.effect, 3)}")
    if cell.trend_p is not None:
        tau = "" if cell.tau is None else f", tau {numbers.number(cell.tau, 2)}"
        parts.append(f"p of the trend {cell.trend_p:.3g}{tau}")
    if cell.tost_low is not None and cell.tost_high is not None:
        low, high = numbers.number(cell.tost_low, 3), numbers.number(cell.tost_high, 3)
        parts.append(f"90 % interval of the difference {low} to {high}")
    parts.append(f"{cell.n_worlds} worlds")
    if cell.reason:
        parts.append(cell.reason)
    return "\n".join(parts)


def draw_cell(cell: Cell, x: float, y: float, title: str) -> str:
    """A cell: loss as colour, expectation as sign; a passed test has an edge and a tick, a failed one a cross."""
    lost = min(max(cell.effect or 0.0, -1.0), 1.0)
    judged = cell.expected != "~"
    a, b, side = x + 1.5, y + 1.5, CELL - 3
    words = [
        "cell",
        cell.verdict.replace("/", ""),
        *(() if judged else ("tilde",)),
        *(("deep",) if abs(lost) > DEEP else ()),
    ]
    out = [
        f'<g class="{" ".join(words)}"><title>{escape(title)}</title>',
        f'<rect class="box" x="{_f(a)}" y="{_f(b)}" width="{_f(side)}" height="{_f(side)}"/>',
    ]
    if cell.effect is None:
        out.append(f'<path class="none" d="M{_f(a)},{_f(b + side)}l{_f(side)},-{_f(side)}"/>')
    elif abs(lost) >= 0.005:
        kind = "lost" if lost > 0 else "won"
        out.append(
            f'<rect class="{kind}" x="{_f(a)}" y="{_f(b)}" width="{_f(side)}" height="{_f(side)}" '
            f'fill-opacity="{abs(lost):.2f}"/>'
        )
    shift = -2.5 if judged else 0.0  # room for the mark in the corner
    out.append(
        f'<text class="sign" x="{_f(x + CELL / 2 + shift)}" y="{_f(y + CELL / 2 + 4.6 + shift)}">{cell.expected}</text>'
    )
    ex, ey = a + side, b + side
    if cell.verdict == "pass":
        out.append(f'<rect class="edge" x="{_f(a)}" y="{_f(b)}" width="{_f(side)}" height="{_f(side)}"/>')
        out.append(f'<path class="tick" d="M{_f(ex - 9)},{_f(ey - 5.5)}l2.4,2.6l4.2,-5"/>')
    elif cell.verdict == "fail":
        out.append(f'<rect class="failedge" x="{_f(a)}" y="{_f(b)}" width="{_f(side)}" height="{_f(side)}"/>')
        out.append(f'<rect class="failcorner" x="{_f(ex - 10)}" y="{_f(ey - 10)}" width="10" height="10"/>')
        out.append(f'<path class="failcross" d="M{_f(ex - 7.6)},{_f(ey - 7.6)}l5.4,5.4m0,-5.4l-5.4,5.4"/>')
    return "".join([*out, "</g>"])


def _cells(matrix: Matrix, at: Layout) -> str:
    out = []
    for family, x, wide in at.blocks:
        out.append(f'<text class="family" x="{_f(x + wide / 2)}" y="13" text-anchor="middle">{escape(family)}</text>')
        out.append(f'<line class="familyline" x1="{_f(x + 1)}" x2="{_f(x + wide - 1)}" y1="19" y2="19"/>')
    for name, x in at.columns.items():
        middle, foot = x + CELL / 2 + 4, at.head - 6
        out.append(
            f'<text class="col" x="{_f(middle)}" y="{_f(foot)}" transform="rotate(-90 {_f(middle)} {_f(foot)})">'
            f"<title>{escape(name)}</title>{escape(short(name))}</text>"
        )
    for k, fault in enumerate(matrix.faults):
        y = at.head + k * CELL
        out.append(f'<line class="hair" x1="0" x2="{_f(at.width)}" y1="{_f(y)}" y2="{_f(y)}"/>')
        for name, x in at.columns.items():
            if (cell := matrix.cells.get((fault.name, name))) is not None:
                out.append(draw_cell(cell, x, y, said(cell, fault)))
    return "".join(out)


def _names(matrix: Matrix, at: Layout, width: float) -> str:
    out = []
    for k, fault in enumerate(matrix.faults):
        y = at.head + k * CELL
        out.append(f'<line class="hair" x1="0" x2="{_f(width)}" y1="{_f(y)}" y2="{_f(y)}"/>')
        out.append(
            f'<text class="row" x="{_f(width - 6)}" y="{_f(y + CELL / 2 + 4)}" text-anchor="end">'
            f"<title>{escape(fault.plants)}</title>{escape(fault.name)}</text>"
        )
    return "".join(out)


def names_width(matrix: Matrix) -> float:
    """Of the faults' column: as wide as the longest name needs."""
    return max(NAME_WIDTH, LETTER * max((len(f.name) for f in matrix.faults), default=0) + 12)


def names_picture(matrix: Matrix) -> Markup:
    """The names of the faults, as high as the picture of the cells."""
    at, width = layout(matrix), names_width(matrix)
    return Markup(
        f'<svg class="mx names" viewBox="0 0 {_f(width)} {_f(at.height)}" width="{_f(width)}" height="{_f(at.height)}" '
        f'aria-hidden="true">{_names(matrix, at, width)}</svg>'
    )


def cells_picture(matrix: Matrix, label: str) -> Markup:
    """The cells with the names of the metrics; each cell tells all about itself."""
    at = layout(matrix)
    return Markup(
        f'<svg class="mx cells" viewBox="0 0 {_f(at.width)} {_f(at.height)}" width="{_f(at.width)}" '
        f'height="{_f(at.height)}" role="img" aria-label="{escape(label)}">{_cells(matrix, at)}</svg>'
    )


def _example(expected: str, verdict: str, effect: float | None) -> Cell:
    return Cell(fault="", metric="", expected=expected, verdict=verdict, effect=effect)


def legend(matrix: Matrix) -> tuple[tuple[tuple[Cell, ...], str], ...]:
    """Cells and the words that explain them; only what occurs in the picture."""
    cells = matrix.cells.values()
    out: list[tuple[tuple[Cell, ...], str]] = [
        ((_example("+", "pass", 1.0),), "must lose skill: passed"),
        ((_example("0", "pass", 0.0),), "must not move: passed"),
        ((_example("+", "fail", 0.0), _example("0", "fail", 0.5)), "failed"),
        ((_example("~", "measured", 0.25),), "measured only"),
        (tuple(_example("~", "measured", v) for v in (0.0, 0.25, 0.5, 0.75, 1.0)), "skill lost: 0, ¼, ½, ¾, 1 or more"),
    ]
    if any((c.effect or 0.0) <= -0.005 for c in cells):
        out.append(((_example("~", "measured", -0.5),), "skill gained"))
    if any(c.effect is None for c in cells):
        out.append(((_example("~", "measured", None),), "no skill could be measured"))
    return tuple(out)


def legend_svg(cells: Sequence[Cell]) -> Markup:
    """Examples side by side, for the legend on the page."""
    drawn = "".join(draw_cell(c, k * CELL, 0.0, "") for k, c in enumerate(cells)).replace("<title></title>", "")
    width = _f(CELL * len(cells))
    return Markup(
        f'<svg class="mx" viewBox="0 0 {width} {CELL:g}" width="{width}" height="{CELL:g}" aria-hidden="true">'
        f"{drawn}</svg>"
    )


def alone(matrix: Matrix, css: str, title: str, lines: Sequence[str]) -> str:
    """The picture as a file: title, facts, names, cells, legend; it follows the reader's light or dark scheme.

    Args:
        matrix: What is drawn.
        css: The rules of matrix.css.
        title: First line.
        lines: What stands under it.
    """
    at, side = layout(matrix), names_width(matrix)
    top = 34.0 + 17 * len(lines)
    width = max(side + at.width, LETTER * 1.5 * len(title), LETTER * max((len(line) for line in lines), default=0)) + 24
    parts, x, y = [], 0.0, 0.0
    for cells, words in legend(matrix):
        need = CELL * len(cells) + 8 + LETTER * len(words) + 22
        if x and x + need > width - 24:
            x, y = 0.0, y + CELL + 6
        parts += [draw_cell(c, x + k * CELL, y, "").replace("<title></title>", "") for k, c in enumerate(cells)]
        at_x = x + CELL * len(cells) + 6
        parts.append(f'<text class="small" x="{_f(at_x)}" y="{_f(y + CELL / 2 + 4)}">{escape(words)}</text>')
        x += need
    height = top + at.height + 14 + y + CELL + 12
    said_lines = "".join(
        f'<text class="small" x="12" y="{_f(46 + 17 * k)}">{escape(line)}</text>' for k, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mx" viewBox="0 0 {_f(width)} {_f(height)}" '
        f'width="{_f(width)}" height="{_f(height)}" role="img" aria-label="{escape(title)}">'
        f"<style>{_written(css, LIGHT)}@media (prefers-color-scheme: dark) {{ {_written(css, DARK)} }}</style>"
        f'<rect class="paper" width="{_f(width)}" height="{_f(height)}"/>'
        f'<text class="title" x="12" y="26">{escape(title)}</text>{said_lines}'
        f'<g transform="translate(12 {_f(top)})">{_names(matrix, at, side)}</g>'
        f'<g transform="translate({_f(12 + side)} {_f(top)})">{_cells(matrix, at)}</g>'
        f'<g transform="translate(12 {_f(top + at.height + 14)})">{"".join(parts)}</g></svg>\n'
    )


def _written(css: str, colours: Mapping[str, str]) -> str:
    """The rules with their colours written in: not every viewer of pictures knows variables."""
    plain = re.sub(r"/\*.*?\*/\s*", "", css, flags=re.S)
    return re.sub(r"var\(--([a-z]+)\)", lambda found: colours[found[1]], plain)
