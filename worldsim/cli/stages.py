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
from worldsim.errors import ConfigError

if TYPE_CHECKING:
    from worldsim.store import RunStore


SCORE_EXAMPLES = """
worldsim score runs/mine
worldsim score runs/mine --metrics fidelity.ssim --workers 4
worldsim score --generated out/model --truth data/test --context 8      # folders of videos with the same stems
worldsim score --generated out/model --truth data/test --static --out runs/model   # depth and poses beside the truth
"""
_FOLDERS_ONLY = ("truth", "out", "context", "fps", "generated_has_context", "allow_shorter", "static", "skip_bad")


@dataclass(frozen=True, kw_only=True)
class ScoreArgs:
    """Scores a recorded run, again or with other metrics; or two folders of clips, generated and true."""

    run: Positional[Path | None] = None
    """The run's folder; none where folders of clips are given."""
    metrics: tuple[str, ...] = ()
    """Names or families; none = those of the run, or all that can be scored."""
    workers: int = 1
    """Processes; the result is the same for any number."""
    resamples: int | None = None
    """Bootstrap resamples; none = those of the run, or 2000."""
    min_worlds: int | None = None
    """Fewer worlds than this give no point estimate; none = as in the run, or 10."""
    report: bool = True
    """Build the page, too."""
    quiet: bool = False
    """No progress."""
    generated: Path | None = None
    """Folder of generated clips: videos, .npz files with a key `frames`, or folders of .png files."""
    truth: Path | None = None
    """Folder of true clips of the same stems; poses, depth, ... beside them: docs/score-anything.md."""
    out: Path | None = None
    """For folders: where the result goes; none = a new folder under runs/."""
    context: int = 1
    """For folders: frames at the beginning that the simulator was shown; never scored."""
    fps: float | None = None
    """For folders: the frame rate of all clips; none = what the files say, which must agree."""
    generated_has_context: bool = True
    """For folders: the generated clips begin with the context; otherwise the truth's is put in front."""
    allow_shorter: bool = False
    """For folders: score the common beginning of clips of different lengths."""
    static: bool = False
    """For folders: nothing moves by itself in any clip, so segmentation is not needed."""
    skip_bad: bool = False
    """For folders: score the pairs that are whole and record the others as failed."""


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
    """Scores a run, or two folders."""
    given = parse(ScoreArgs, args, "score", SCORE_EXAMPLES)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    if given.generated is not None:
        return _score_folders(given, args)
    plain = ScoreArgs()
    stray = [name for name in _FOLDERS_ONLY if getattr(given, name) != getattr(plain, name)]
    if stray:
        raise ConfigError(f"--{stray[0].replace('_', '-')} belongs to folders of clips: give --generated and --truth")
    if given.run is None:
        raise ConfigError("what is to be scored? Give the folder of a run, or --generated DIR --truth DIR")
    from dataclasses import replace

    from worldsim import evaluate
    from worldsim.plan import resolve_metrics
    from worldsim.store import RunStore

    store = RunStore.open(given.run)
    if store.run.get("kind") == "folders":
        raise ConfigError(
            f"{given.run} holds scores of folders, not episodes: score the folders again, see its run.json"
        )
    config = store.config
    changes = {name: value for name in ("resamples", "min_worlds") if (value := getattr(given, name)) is not None}
    config = replace(config, quiet=given.quiet, metrics=given.metrics or config.metrics, **changes)
    evaluate.score(store, resolve_metrics(config.metrics), config, workers=given.workers)
    finish(store, build=given.report)
    return 0


def _score_folders(given: ScoreArgs, args: Sequence[str]) -> int:
    """Exit code 1 where clips were left out."""
    if given.run is not None or given.truth is None:
        raise ConfigError("folders of clips are scored by --generated DIR and --truth DIR, without a run")
    from worldsim.clips import Options
    from worldsim.plan import Verdict
    from worldsim.score_folders import FolderConfig, score_folders, sentences

    config = FolderConfig(
        generated=given.generated or Path(),
        truth=given.truth,
        options=Options(
            context=given.context,
            generated_has_context=given.generated_has_context,
            fps=given.fps,
            allow_shorter=given.allow_shorter,
            static=given.static,
        ),
        metrics=given.metrics,
        skip_bad=given.skip_bad,
        out=given.out,
        workers=given.workers,
        quiet=given.quiet,
        **{name: value for name in ("resamples", "min_worlds") if (value := getattr(given, name)) is not None},
    )
    store = score_folders(config, command=["worldsim", "score", *args])
    lines = [f"note: {note}" for note in store.run["notes"]]
    lines += [f"failed: {r['episode']}: {r['reason']}" for r in store.committed().values() if r["reason"]]
    lines += sentences([Verdict(**row) for row in store.run["scored"]])
    nowhere = [row for row in store.summary["rows"] if row["scenario"] == "*" and row["n"] == 0]
    lines += [f"undefined on every clip: {row['metric']}: {row['reason']}" for row in nowhere]
    if lines:
        print("\n".join(lines))
    finish(store, build=given.report)
    return 1 if store.run["counts"]["failed"] else 0


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
