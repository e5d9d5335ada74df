"""How much of a model's own speed is left in lockstep: engine alone, and end to end with truth and recording.

One world at 64x64 and a model that computes for 9 ms a step on one thread. Three loops run in turn, several rounds in
one process, so that the ratios hold on a noisy machine:

    model   the model alone, stepped in a plain loop
    engine  the lockstep engine around it, on a truth that costs nothing and with nothing recorded
    whole   `worldsim/Blocks-v0` as the truth, frames, depth, ids and states recorded, committed to disk

    python benchmarks/lockstep.py [--steps 300] [--rounds 5]
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from worldsim.background import TimedCaller
from worldsim.envs.actions import minerl_space, noop
from worldsim.lane import PlannedEpisode, TruthLane
from worldsim.registry import CONTROLLERS, ENVS
from worldsim.rollout import roll_group
from worldsim.truth import Abilities, TruthState
from worldsim.truth_side import Settings
from worldsim.types import Context, ModelSpec, Prediction, Scenario

SIZE = (64, 64)


class NineMilliseconds:
    """A model whose step is matrix products of about 9 ms on one thread; the interpreter lock is free meanwhile."""

    def __init__(self, target: float = 0.009) -> None:
        self.spec = ModelSpec(name="nine-ms")
        self._a = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
        self._times = 1
        best = min(self._measure() for _ in range(50))
        self._times = max(1, round(target / best))

    def _measure(self) -> float:
        started = time.perf_counter()
        self._work()
        return time.perf_counter() - started

    def _work(self) -> None:
        for _ in range(self._times):
            self._a @ self._a

    def reset(self, context: Context, *, seeds: Any, indices: Any = None) -> None:
        self._frames = np.zeros((context.batch, 1, *SIZE, 3), np.uint8)

    def step(self, actions: Any) -> Prediction:
        self._work()
        return Prediction(frames=self._frames)


class FreeTruth:
    """A truth that costs nothing."""

    metadata = {"render_fps": 20}  # noqa: RUF012
    abilities = Abilities(deterministic=True)
    action_space = minerl_space()

    def __init__(self) -> None:
        self._frame = np.zeros((*SIZE, 3), np.uint8)
        self._state = TruthState(time=0.0)

    def reset(self, **kwargs: Any) -> Any:
        return self._frame, {}

    def step(self, action: Any) -> Any:
        return self._frame, 0.0, False, False, {}

    def truth(self) -> TruthState:
        return self._state


class NoStore:
    """Keeps nothing."""

    path = Path()

    def begin(self, *args: Any, **kwargs: Any) -> Any:
        nothing = lambda *args, **kwargs: None  # noqa: E731
        return SimpleNamespace(truth=nothing, generated=nothing, side=nothing, finish=nothing, close=nothing)

    def commit(self, *args: Any) -> None:
        pass

    discard = commit


def engine(model: Any, env: Any, store: Any, scenario: Scenario, number: int) -> float:
    """Seconds a step of one episode."""
    controller = CONTROLLERS.get(scenario.controller)(**scenario.controller_kwargs)
    planned = PlannedEpisode(
        episode=f"e{number}", scenario="bench", index=0, variant="main", pair_id="p", group=0, world_seed=number,
        dynamics_seed=0, controller_seed=number, model_seed=0,
    )  # fmt: skip
    lane = TruthLane(env=env, rerun_env=None, controller=controller, planned=planned, scenario=scenario)
    settings = Settings(size=SIZE, fps=20, noop=noop(env.action_space))
    call = TimedCaller("model", 60)
    started = time.perf_counter()
    roll_group([lane], model, scenario, store, settings, make_env=lambda: env, prompts=lambda lane: (), call=call)
    seconds = time.perf_counter() - started
    call.close()
    return seconds / scenario.horizon


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    from worldsim.config import EvalConfig
    from worldsim.store import RunStore

    model = NineMilliseconds()
    still = Scenario(name="still", env="", controller="noop", context=8, horizon=args.steps)
    walk = Scenario(name="walk", env="blocks", controller="explore", context=8, horizon=args.steps)
    blocks = ENVS.get("blocks")(preset="arena", size=SIZE)

    start = Context(frames=np.zeros((1, 1, *SIZE, 3), np.uint8), actions=np.zeros((1, 0)), prompts=("",))

    def alone() -> float:
        started = time.perf_counter()
        model.reset(start, seeds=[0])
        for _ in range(args.steps):
            model.step(None)
        return (time.perf_counter() - started) / args.steps

    with tempfile.TemporaryDirectory() as folder:
        store = RunStore.create(Path(folder) / "run", EvalConfig(model="bench"), [], {})
        loops: dict[str, Callable[[int], float]] = {
            "model": lambda i: alone(),
            "engine": lambda i: engine(model, FreeTruth(), NoStore(), still, i),
            "whole": lambda i: engine(model, blocks, store, walk, i),
        }
        loops["whole"](10_000)  # compile and touch everything once
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for i in range(args.rounds):
            for name, loop in loops.items():
                seconds[name].append(loop(i))
    print(
        f"{args.rounds} rounds of {args.steps} steps, 64x64, one world; ms a step, and frames/s relative to the model"
    )
    print(f"{'':8} {'min':>8} {'median':>8}   of the model's own frames/s (median of the rounds' ratios)")
    for name, values in seconds.items():
        ratio = statistics.median(m / v for m, v in zip(seconds["model"], values, strict=True))
        print(f"{name:8} {1e3 * min(values):8.3f} {1e3 * statistics.median(values):8.3f}   {100 * ratio:5.1f} %")


if __name__ == "__main__":
    main()
