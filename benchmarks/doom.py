"""`worldsim/Doom-v0`: are random runs the same to the bit in other processes, how fast are they; its page's picture.

python benchmarks/doom.py                                # frames a second
python benchmarks/doom.py --exact 1000 --processes 3     # the same bytes everywhere, and after a snapshot
python benchmarks/doom.py --picture docs/images/doom.png
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from worldsim.envs.actions import minerl_space, noop
from worldsim.envs.controllers import Explore
from worldsim.envs.doom.env import DoomEnv

SEEDS = (3, 4, 8)


def measure(size: tuple[int, int], steps: int) -> str:
    """Frames a second with and without the truth of each, and the time of a replay."""
    env = DoomEnv(size=size)
    began = time.perf_counter()
    env.reset(seed=0)
    started = time.perf_counter() - began
    walk = Explore()
    walk.reset(seed=0, action_space=env.action_space, truth=env.truth())
    frame, rates = env.render(), []
    actions = []
    for t in range(50):
        actions.append(walk.act(frame, env.truth(), t))
        frame = env.step(actions[-1])[0]
    for with_truth in (False, True):
        began = time.perf_counter()
        for t in range(steps):
            env.step(actions[t % len(actions)])
            if with_truth:
                env.truth()
        rates.append(steps / (time.perf_counter() - began))
    state = env.snapshot()
    began_replay = time.perf_counter()
    env.restore(state)
    replayed = time.perf_counter() - began_replay
    env.close()
    return (
        f"{size[0]}x{size[1]}: {rates[0]:.0f} frames/s, {rates[1]:.0f} with the truth; start {started:.2f} s; "
        f"replay of {len(state['rows'])} steps {1e3 * replayed:.0f} ms"
    )


def digest(steps: int, seed: int = 0) -> tuple[str, str]:
    """Of all frames and truths of random steps; and of the second half, played again from a snapshot."""
    env = DoomEnv()
    env.reset(seed=seed)
    env.action_space.seed(seed)
    actions = [env.action_space.sample() for _ in range(steps)]
    first = hashlib.sha256()
    for action in actions[: steps // 2]:
        _feed(first, env, action)
    whole, state = first.copy(), env.snapshot()
    for action in actions[steps // 2 :]:
        _feed(whole, env, action)
    env.reset(seed=seed + 1)  # it has been elsewhere
    env.restore(state)
    for action in actions[steps // 2 :]:
        _feed(first, env, action)
    env.close()
    return whole.hexdigest(), first.hexdigest()


def _feed(total: Any, env: DoomEnv, action: Any) -> None:
    frame = env.step(action)[0]
    truth = env.truth()
    for array in (frame, truth.depth, truth.segmentation, truth.world_from_camera):
        total.update(np.asarray(array).tobytes())
    for item in truth.objects:
        total.update(repr((item.id, item.kind, item.position.tolist(), item.exists, item.attributes)).encode())
    total.update(repr(truth.events).encode())


def exact(steps: int, processes: int) -> str:
    """Runs `digest` in processes of their own, one after another."""
    command = [sys.executable, __file__, "--digest", str(steps)]
    found = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(processes)
    ]
    same = len({tuple(one) for one in found}) == 1
    again = all(one[0] == one[1] for one in found)
    return (
        f"{steps} random steps in {processes} processes: {'the same bytes' if same else 'THEY DIFFER'}; "
        f"from a snapshot in the middle: {'the same bytes' if again else 'OTHER BYTES'}; {found[0][0][:16]}"
    )


def picture(path: Path) -> None:
    """Writes frames, depth and ids of some moments."""
    env, columns = DoomEnv(size=(128, 128)), []
    rng = np.random.default_rng(0)
    colours = rng.integers(60, 256, (256, 3)).astype(np.uint8)
    colours[0] = 40
    for seed in SEEDS:
        env.reset(seed=seed)
        for _ in range(3):
            for turn in (15.0, 15.0, 15.0, 15.0):
                env.step(_turn(turn))
            best = env.truth()
            near = np.clip(255 * (1 - best.depth / 10), 0, 255).astype(np.uint8)
            depth = cv2.cvtColor(cv2.applyColorMap(near, cv2.COLORMAP_MAGMA), cv2.COLOR_BGR2RGB)
            columns.append(np.vstack([env.render(), depth, colours[best.segmentation % 256]]))
    env.close()
    cv2.imwrite(str(path), cv2.cvtColor(np.hstack(columns), cv2.COLOR_RGB2BGR))


def _turn(yaw: float) -> dict[str, Any]:
    action: dict[str, Any] = noop(minerl_space())
    return {**action, "camera": np.array([0.0, yaw], np.float32)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--exact", type=int, metavar="STEPS")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--digest", type=int, metavar="STEPS", help="what one process prints")
    options = parser.parse_args()
    if options.digest is not None:
        print(*digest(options.digest))
        return
    if options.exact is not None:
        print(exact(options.exact, options.processes))
        return
    if options.picture is not None:
        picture(options.picture)
        return
    for size in ((64, 64), (128, 128), (256, 256)):
        print(measure(size, options.steps), flush=True)


if __name__ == "__main__":
    main()
