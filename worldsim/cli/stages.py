"""`worldsim score` and `worldsim report`: the later stages of a run that lies on disk."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from worldsim.cli.arguments import parse

if TYPE_CHECKING:
    from worldsim.store import RunStore


@dataclass(frozen=True, kw_only=True)
class ScoreArgs:
    """Scores a recorded run: again, or with other metrics. Needs neither the truth nor the model."""

    run: Positional[Path]
    """The run's folder."""
    metrics: tuple[str, ...] = ()
    """Names or families; none = those of the run."""
    resamples: int | None = None
    """Bootstrap resamples; none = those of the run."""
    min_worlds: int | None = None
    """Fewer worlds than this give no point estimate; none = as in the run."""
    report: bool = True
    """Build the page, too."""
    quiet: bool = False
    """No progress."""


@dataclass(frozen=True, kw_only=True)
class ReportArgs:
    """Builds the page of a run: one folder of static HTML that opens from disk."""

    run: Positional[Path]
    """The run's folder."""
    out: Path | None = None
    """Where the page goes; none = report/ in the run."""
    single_file: bool = False
    """One HTML file with the videos inside."""


def score(args: Sequence[str]) -> int:
    """Scores a run."""
    given = parse(
        ScoreArgs, args, "score", "worldsim score runs/mine\nworldsim score runs/mine --metrics fidelity.ssim"
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    from dataclasses import replace

    from worldsim import evaluate
    from worldsim.plan import resolve_metrics
    from worldsim.store import RunStore

    store = RunStore.open(given.run)
    config = store.config
    changes = {name: value for name in ("resamples", "min_worlds") if (value := getattr(given, name)) is not None}
    config = replace(config, quiet=given.quiet, metrics=given.metrics or config.metrics, **changes)
    evaluate.score(store, resolve_metrics(config.metrics), config)
    finish(store, build=given.report)
    return 0


def report(args: Sequence[str]) -> int:
    """Builds the page of a run."""
    given = parse(ReportArgs, args, "report", "worldsim report runs/mine\nworldsim report runs/mine --single-file")
    from worldsim.reports import build_report
    from worldsim.store import RunStore

    RunStore.open(given.run)
    page = build_report(given.run, given.out, single_file=given.single_file)
    print(page)
    return 0


def finish(store: RunStore, *, build: bool) -> None:
    """Prints the headline table, builds the page, and says what to do next."""
    from rich.console import Console

    from worldsim.reports.terminal import headline_table

    console = Console(highlight=False)
    console.print(headline_table(store.summary))
    counts = store.run["counts"]
    for what in ("failed", "aborted"):
        if counts[what]:
            console.print(f"{counts[what]} of {counts['planned']} episodes {what}: the reasons are on the page")
    if build:
        from worldsim.reports import build_report

        console.print(f"page: {build_report(store.path)}", soft_wrap=True)
    console.print(f"next: worldsim show {store.path}", soft_wrap=True)
