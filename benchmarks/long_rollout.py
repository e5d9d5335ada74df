"""One world for 20,000 steps: does memory stay flat, and is a late frame as quick as an early one?

    python benchmarks/long_rollout.py [--checkpoint FOLDER] [--frames 20000] [--size 64] [--fused]

Without a checkpoint a small one with random weights is made. Prints the resident set at frame 1,000 and at the end, and
the time of frames 900 to 1000 over that of frames 50 to 150: medians of the time that the CPU worked, so that what else
runs on the machine counts little.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldsim.model import actions
from worldsim.model.checkpoint import CheckpointConfig, save_checkpoint
from worldsim.model.codec import CodecConfig, VideoCodec
from worldsim.model.dit import DiT, DiTConfig
from worldsim.model.simulator import LatentSimulator
from worldsim.types import Context


def resident() -> float:
    """MB of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def random_checkpoint(folder: Path) -> Path:
    torch.manual_seed(0)
    config = DiTConfig(
        width=64, depth=3, heads=4, kv_heads=2, window=16, action_space={"type": "discrete", "n": 5, "start": 0},
        action_scale=(1.0,) * 5,
    )  # fmt: skip
    dit = DiT(config, actions.count(config.action_space))
    codec = VideoCodec(CodecConfig(encoder=(16, 24, 32), decoder=(24, 16, 16)))
    save_checkpoint(folder, CheckpointConfig(name="random"), codec, dit)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--fused", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = LatentSimulator(args.checkpoint or random_checkpoint(Path(folder)), fused=args.fused)
    space: Any = model.spec.action_space
    space.seed(0)
    n = model.spec.frames_per_step
    model.reset(
        Context(frames=np.zeros((1, 1, args.size, args.size, 3), np.uint8), actions=_batch(space, 0), prompts=("",)),
        seeds=[0],
    )
    seconds = np.full(args.frames, np.nan)  # every page is touched before memory is measured
    np.median(seconds[:1000])
    at = {}
    for t in range(args.frames):
        action = _batch(space, n)
        began = time.process_time()
        model.step(action)
        seconds[t] = time.process_time() - began
        if t + 1 in (1000, args.frames) or (t + 1) % 5000 == 0:
            at[t + 1] = resident()
            print(
                f"frame {t + 1}: {at[t + 1]:.1f} MB, {1e3 * np.median(seconds[max(0, t - 999) : t + 1]):.2f} ms",
                flush=True,
            )
    early, late, last = (np.median(seconds[a:b]) for a, b in ((50, 150), (900, 1000), (-100, args.frames)))
    print(f"memory growth from frame 1000 to {args.frames}: {at[args.frames] - at[1000]:+.2f} MB")
    print(f"time of frames 900-1000 over 50-150: {late / early:.3f}; of the last 100 over 50-150: {last / early:.3f}")


def _batch(space: Any, n: int) -> Any:
    """Actions of one world with leading axes (1, n); n = 0: none."""
    from worldsim import trees

    rows = trees.stack([space.sample() for _ in range(max(n, 1))])
    return trees.map_leaves(lambda x: np.asarray(x)[None, :n], rows)


if __name__ == "__main__":
    main()
