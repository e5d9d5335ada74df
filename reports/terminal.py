"""The headline of a run for the terminal: the same rows, numbers and words as the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import get_console
from rich.table import Table
from rich.text import Text

from worldsim.reports import numbers
from worldsim.reports.data import SummaryRow, make
from worldsim.reports.headline import family_place, why_no_skill
from worldsim.reports.verdict import primary, standing, verdict

BAR = 17  # characters from floor to ceiling, both included
WIDE = 110  # columns from which on everything fits


def rows_of(summary: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[SummaryRow]:
    """The headline rows over all scenarios of summary.json (the document, or its rows), by family."""
    raw = summary.get("rows", ()) if isinstance(summary, Mapping) else summary
    rows = (make(SummaryRow, row) for row in raw)
    chosen = [row for row in primary(row for row in rows if row.scenario == "*") if row.headline]
    return sorted(chosen, key=family_place)


def bar(skill: float) -> str:
    """Where a skill lies between floor and ceiling: "├────●──────┤"; outside, an arrow at that end."""
    cells = ["├", *"─" * (BAR - 2), "┤"]
    at = round(skill * (BAR - 1))
    if at < 0:
        cells[0] = "◂"
    elif at > BAR - 1:
        cells[-1] = "▸"
    else:
        cells[at] = "●"
    return "".join(cells)


def line(row: SummaryRow, *, wide: bool) -> list[Text]:
    """The cells of one metric; names are Text, so that brackets in them are not read as markup."""
    value, interval = numbers.with_interval(row.value, row.low, row.high)
    places = numbers.decimals(row.value, row.low, row.high) if row.value is not None else None
    if row.value is None:
        shown, middle = Text("unscored", style="yellow"), Text("")
    else:
        shown = Text.assemble((value, "bold"), f" {numbers.unit(row.unit)}".rstrip(), (f" {interval}".rstrip(), "dim"))
        middle = Text(bar(row.skill), style="cyan") if row.skill is not None else Text("no skill", style="yellow")
    style = {"ceiling": "green", "floor": "red"}.get(standing(row), "")
    cells = [Text(row.metric), shown, Text(numbers.skill(row.skill), style=style)]
    if not wide:
        return [*cells, middle]
    anchors = Text(numbers.number(row.floor, places)), Text(numbers.number(row.anchor, places))
    share = Text(numbers.percent(row.coverage))
    return [*cells, anchors[0], middle, anchors[1], Text(str(row.n_worlds)), share]


def remarks(rows: Sequence[SummaryRow]) -> Text:
    """What stands under the table: why a score or its skill is missing, and where the coverage is not whole."""
    out = []
    for row in rows:
        if row.value is None:
            out.append(f"{row.metric} unscored: {row.reason or 'no reason was recorded'}")
        elif row.skill is None:
            out.append(f"{row.metric} has no skill: {why_no_skill(row)}")
        elif row.undefined:
            out.append(f"{row.metric}: coverage {numbers.percent(row.coverage)}, {row.undefined} undefined")
    return Text("\n".join(out))


def headline_table(summary: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, width: int | None = None) -> Table:
    """A table of the headline scores, with the verdict as its title and what is missing beneath.

    Args:
        summary: summary.json as read, or its rows.
        width: Columns of the terminal, None = ask it; anchors, worlds and coverage get columns where there is room.
    """
    rows = rows_of(summary)
    wide = (get_console().width if width is None else width) >= WIDE
    table = Table(title=Text(verdict(rows)), title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.caption, table.caption_justify, table.header_style = remarks(rows), "left", "dim"
    table.add_column("metric", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("skill", justify="right", no_wrap=True)
    if wide:
        table.add_column("floor", justify="right", no_wrap=True)
    table.add_column("" if wide else "floor to ceiling", min_width=BAR, no_wrap=True)
    if wide:
        table.add_column("ceiling", no_wrap=True)
        table.add_column("worlds", justify="right", no_wrap=True)
        table.add_column("coverage", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*line(row, wide=wide))
    return table
