"""`worldsim calibrate`: what the hypothesis test believes, and how often it is wrong."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worldsim.cli.arguments import parse


@dataclass(frozen=True, kw_only=True)
class CalibrateArgs:
    """Measures the hypothesis test on the truth: its error, what garbage is called, and the thresholds."""

    scenarios: str = "certify"
    """Scenario set whose branch points are asked."""
    env: str = "blocks"
    """The truth."""
    episodes: int = 48
    """Worlds of each scenario, of the validation split."""
    seed: int = 0
    """Everything random follows from it."""
    size: str = "64x64"
    """Height x width of the frames."""
    save: Path | None = None
    """JSON file to write the thresholds into; none = they are printed only."""
    quiet: bool = False
    """No progress."""


def calibrate_command(args: Sequence[str]) -> int:
    """Runs the calibration."""
    given = parse(
        CalibrateArgs,
        args,
        "calibrate",
        "worldsim calibrate --episodes 48\nworldsim calibrate --size 128x128 --save metrics/data/thresholds.json",
    )
    from worldsim import evaluate
    from worldsim.certify import calibrate
    from worldsim.cli.run import parse_size
    from worldsim.config import EvalConfig
    from worldsim.progress import Progress

    with tempfile.TemporaryDirectory(prefix="worldsim-calibrate-") as folder:
        config = EvalConfig(
            model="worldsim/Oracle",
            env=given.env,
            scenarios=given.scenarios,
            episodes=given.episodes,
            seed=given.seed,
            size=parse_size(given.size),
            split="validation",
            quiet=given.quiet,
            out=Path(folder) / "truth",
        )
        prepared = evaluate.prepare(config, only=lambda scenario: bool(scenario.branches))
        store = evaluate.open_run(prepared, args)
        evaluate.rollout(prepared, store)
        evaluate.render(prepared, store)
        events = sorted({point.name for s in prepared.scenarios for point in s.branches})
        asked = calibrate.gather([store.episode(row) for row in store.done()], events)
        with Progress("calibrate", len(asked), quiet=given.quiet, unit="questions") as progress:
            found = calibrate.measure_error(asked, progress.advance)
    print("\n".join(calibrate.lines(found)))
    if given.save is not None:
        calibrate.save(found, given.save, "worldsim calibrate " + shlex.join(a for a in args if a != "--quiet"))
        print(f"\nthresholds: {given.save}")
    return 0
