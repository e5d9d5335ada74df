"""Is scoring faster than rolling out? Every family, on the set `core`, one thread each, in one run.

    python benchmarks/scoring_speed.py [--episodes 4] [--set core]

Prints seconds of rollout (truth and oracle in lockstep, recorded), of drawing alternatives, and of scoring; then the
cost of each family beside the rollout of the scenarios that it is scored on. Scoring runs every metric on seven sources
(model, five nulls, truth); "model alone" is one of them, which is what one more model costs.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2

from worldsim import evaluate
from worldsim.config import EvalConfig
from worldsim.evaluate import groups_of_run
from worldsim.plan import probed
from worldsim.scoring import observe_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--set", default="core")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        measure(
            EvalConfig(
                model="worldsim/Oracle",
                scenarios=args.set,
                episodes=args.episodes,
                seed=1,
                quiet=True,
                out=Path(folder) / "run",
            )
        )


def measure(config: EvalConfig) -> None:
    prepared = evaluate.prepare(config)
    store = evaluate.open_run(prepared, [])
    started = time.perf_counter()
    evaluate.rollout(prepared, store)
    rolled = time.perf_counter() - started
    started = time.perf_counter()
    evaluate.render(prepared, store)
    drawn = time.perf_counter() - started
    started = time.perf_counter()
    evaluate.score(store, prepared.metrics, config)
    scored = time.perf_counter() - started
    print(
        f"{config.scenarios}, {config.episodes} worlds a scenario, {len(store.done())} episodes, "
        f"{len(prepared.metrics)} metrics"
    )
    print(f"rollout {rolled:.1f} s, alternatives {drawn:.1f} s, scoring with all anchors and intervals {scored:.1f} s")
    per_family(prepared, store)


def per_family(prepared: Any, store: Any) -> None:
    seconds: dict[str, float] = defaultdict(float)
    base: dict[str, float] = defaultdict(float)
    of_scenario: dict[str, float] = defaultdict(float)
    for row in store.done():
        of_scenario[row["scenario"]] += row["seconds"]
    metrics = [m() for m in prepared.metrics]
    for scenario in prepared.scenarios:
        own = [m for m in metrics if probed(scenario, m.spec)]
        for family in {m.spec.family for m in own}:
            base[family] += of_scenario[scenario.name]
        for group in groups_of_run(store, scenario.name):
            for metric in own:
                started = time.perf_counter()
                observe_model([metric], group)
                seconds[metric.spec.family] += time.perf_counter() - started
    print("| family | rollout of its scenarios, s | model alone, s | share |")
    print("|---|---|---|---|")
    for family in sorted(seconds):
        share = seconds[family] / max(base[family], 1e-9)
        print(f"| {family} | {base[family]:.1f} | {seconds[family]:.2f} | {share:.0%} |")
    total = sum(of_scenario.values())
    print(f"| all | {total:.1f} | {sum(seconds.values()):.2f} | {sum(seconds.values()) / total:.0%} |")


if __name__ == "__main__":
    main()
