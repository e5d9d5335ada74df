"""What will be scored, what will not and why, and about how long it takes: printed before anything runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from worldsim.plan import Verdict, reasons_of

if TYPE_CHECKING:
    from worldsim.evaluate import Prepared


def summed_up(family: str, verdicts: Sequence[Verdict]) -> tuple[str, str]:
    """Of one metric: where it is scored, and why not elsewhere."""
    scored = [v.scenario for v in verdicts if v.scored]
    every = "all scenarios" if len(scored) == len(verdicts) else ", ".join(scored) or "none"
    why = "; ".join(f"{', '.join(s)}: {r}" for r, s in reasons_of(verdicts).items())
    if not scored and not why:
        why = f"no scenario of this set is made for {family}"
    return every, why


def print_plan(prepared: Prepared) -> None:
    """Prints the table to stderr, so that stdout holds results only."""
    console = Console(stderr=True, highlight=False)
    spec, config = prepared.model.spec, prepared.config
    names = ", ".join(f"{s.name} ({s.horizon})" for s in prepared.scenarios)
    console.print(
        f"[bold]{spec.name}[/bold]{' (privileged)' if spec.privileged else ''} on {config.env}, "
        f"set {prepared.suite['name']}: {names}"
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("metric")
    table.add_column("scored on")
    table.add_column("not scored, because")
    lines: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    by_metric: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in prepared.verdicts:
        by_metric[verdict.metric].append(verdict)
    for metric, verdicts in by_metric.items():
        family = metric.split(".")[0]
        lines[family, *summed_up(family, verdicts)].append(metric)
    for (_, every, why), metrics in lines.items():
        table.add_row(", ".join(metrics), every, why)
    console.print(table)
    for note in prepared.notes:
        console.print(f"[yellow]note[/yellow] {note}")
    rows = len(prepared.plan) * config.samples * (2 if config.reanchor_every else 1)
    console.print(
        f"{len(prepared.plan)} episodes, {rows} rollouts; the truth alone takes about "
        f"{max(prepared.truth_estimate, 1):.0f} s, the model's own time comes on top"
    )
