"""What a branch costs: restore, edit, replay 64 steps without drawing, draw 5 frames. One thread.

    python benchmarks/blocks_branch.py [--repeats 15]

Bars: under 10 ms at 64x64 and 30 ms at 128x128. Prints the minimum and the median over repeats, in milliseconds: the
minimum is what the code needs, the median what this machine gave. `step + truth`: steps a second, each with its frame
and whole truth.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.envs.actions import minerl_space, noop
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.truth import RemoveObject

STEPS, FRAMES = 64, 5
BARS = {64: 10.0, 128: 30.0}


def walk(seed: int, steps: int) -> Any:
    """A tree of actions that wander about."""
    rng = np.random.default_rng(seed)
    actions = []
    for _ in range(steps):
        action = noop(minerl_space())
        action["forward"] = np.int64(rng.random() < 0.6)
        action["camera"] = np.array([0.0, rng.normal(0, 6)], np.float32)
        actions.append(action)
    return trees.stack(actions)


def branch(env: BlocksEnv, state: Any, actions: Any) -> dict[str, float]:
    """Milliseconds of the parts of one branch."""
    marks = [time.perf_counter()]

    def mark() -> None:
        marks.append(time.perf_counter())

    env.restore(state)
    mark()
    env.edit(RemoveObject(object_id=1))
    mark()
    env.advance(trees.index(actions, slice(0, STEPS)))  # draws the first of the five frames
    mark()
    for t in range(STEPS, STEPS + FRAMES - 1):
        env.advance(trees.index(actions, slice(t, t + 1)))
    mark()
    names = ("restore", "edit", f"replay {STEPS}, draw 1", f"draw {FRAMES - 1} more")
    parts = {name: 1e3 * (b - a) for name, a, b in zip(names, marks, marks[1:], strict=False)}
    return parts | {"total": 1e3 * (marks[-1] - marks[0])}


def rate(env: BlocksEnv, actions: Any) -> float:
    """Steps with their truth a second."""
    single = [trees.index(actions, t) for t in range(STEPS)]
    start = time.perf_counter()
    for action in single:
        env.step(action)
        env.truth()
    return STEPS / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    start = time.perf_counter()
    BlocksEnv().reset(seed=0)
    print(f"first frame after {time.perf_counter() - start:.2f} s (compiles on the first run, then from numba's cache)")
    actions = walk(1, STEPS + FRAMES)
    for preset in ("arena", "village"):
        for size in (64, 128):
            env = BlocksEnv(preset=preset, size=(size, size))
            env.reset(seed=1)
            env.advance(walk(2, 20))
            state = env.snapshot()
            runs = [branch(env, state, actions) for _ in range(repeats)]
            rates = [rate(env, actions) for _ in range(max(repeats // 3, 1))]
            parts = "  ".join(f"{n} {min(r[n] for r in runs):.2f}/{median(r[n] for r in runs):.2f}" for n in runs[0])
            print(
                f"{preset:8} {size:3}x{size:<3} ms min/median: {parts} (bar {BARS[size]:g})   "
                f"step + truth {max(rates):.0f}/{median(rates):.0f} a second"
            )


if __name__ == "__main__":
    main()
