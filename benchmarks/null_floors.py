"""Which null is the floor of each metric? Measured: the truth's own episodes are recorded, and every null is scored.

python benchmarks/null_floors.py --scenarios quick --episodes 128 --seed 2

The floor must be the best null over all scenarios ("*"): the others then lie at or below skill 0. The last column says
how often, in resamples of the worlds, another null came out above the chosen one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.estimators import estimator, horizons_of
from worldsim.nulls import NULLS
from worldsim.registry import METRICS
from worldsim.seeding import generator
from worldsim.types import Observation


def record(arguments: argparse.Namespace, folder: Path) -> Path:
    out = folder / "run"
    command = [sys.executable, "-m", "worldsim", "eval", "--model", "worldsim/Oracle", "--scenarios"]
    command += [arguments.scenarios, "--episodes", str(arguments.episodes), "--seed", str(arguments.seed)]
    done = subprocess.run([*command, "--out", str(out)], check=False, stdout=sys.stderr)
    if done.returncode not in (0, 1):  # 1: finished, but some probes could not be carried out in their worlds
        raise SystemExit(done.returncode)
    return out


def read(run: Path) -> dict[str, list[Observation]]:
    rows: dict[str, list[Observation]] = defaultdict(list)
    with (run / "observations.jsonl").open() as lines:
        for line in lines:
            row: dict[str, Any] = json.loads(line)
            if row["source"].startswith("null:"):
                rows[row["metric"]].append(Observation(**row))
    return rows


def table(metric: Any, rows: list[Observation], resamples: int = 2000) -> tuple[dict[str, float], dict[str, float]]:
    """Value of each null, and the share of resamples in which it is the best."""
    worlds = sorted({r.world for r in rows})
    horizons = horizons_of(rows)
    counts = generator("null-floors", 0).multinomial(len(worlds), np.full(len(worlds), 1 / len(worlds)), resamples)
    counts = np.concatenate([np.ones((1, len(worlds))), counts.astype(np.float64)])
    values = {}
    for name in NULLS:
        own = [r for r in rows if r.source == f"null:{name}"]
        values[name] = estimator(metric, own, worlds, horizons).value(counts)
    draws = np.stack([values[name] for name in NULLS], axis=1) * (1 if metric.spec.higher_is_better else -1)
    best = np.nanargmax(draws[1:], axis=1)
    return (
        {name: float(values[name][0]) for name in NULLS},
        {name: float((best == i).mean()) for i, name in enumerate(NULLS)},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", default="quick")
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--run", type=Path, help="a finished run to read instead of recording one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = read(arguments.run or record(arguments, Path(folder)))
    print(f"| metric | scenario | worlds | {' | '.join(NULLS)} | floor | another null best |")
    print("|---|---|---|" + "---|" * (len(NULLS) + 2))
    for name in sorted(rows):
        metric = METRICS.get(name)()
        for scenario in ("*", *sorted({r.scenario for r in rows[name]})):
            own = [r for r in rows[name] if scenario in ("*", r.scenario)]
            values, best = table(metric, own)
            top = (max if metric.spec.higher_is_better else min)(values.values())
            cells = [f"**{v:.4g}**" if v == top else f"{v:.4g}" for v in values.values()]
            worlds = len({r.world for r in own if r.outcome is not None})
            floor = metric.spec.floor
            print(f"| {name} | {scenario} | {worlds} | {' | '.join(cells)} | {floor} | {1 - best[floor]:.1%} |")


if __name__ == "__main__":
    main()
