"""Tables for people on a terminal, tab-separated lines for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, widest: int | None = None) -> None:
    """Prints rows of text: aligned on a terminal, `cell TAB cell` without a header elsewhere.

    Args:
        headers: Shown on a terminal only, so that `worldsim ls metrics | cut -f1` needs no further step.
        rows: As many cells as headers.
        widest: The column that may be cut to fit the terminal; None = none.
    """
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for i, header in enumerate(headers):
        table.add_column(header, no_wrap=i != widest, overflow="fold" if i == widest else "ellipsis")
    for row in rows:
        table.add_row(*map(Text, row))  # Text: a name like [x] is no markup
    Console(highlight=False).print(table)
