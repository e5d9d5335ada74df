"""A picture to look at: truth above, simulator below, for some held-out worlds that move.

    python benchmarks/rollout_picture.py --checkpoint tiny --out docs/images/dit-tiny.png

The first column is the last frame that the simulator was shown; then each `--every`-th frame that it drew. Worlds are
the first of the test split whose start moves, not chosen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from worldsim import gates
from worldsim.model.simulator import LatentSimulator


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="tiny")
    parser.add_argument("--out", type=Path, default=Path("rollout.png"))
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--horizon", type=int, default=16)
    parser.add_argument("--every", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=int, default=2)
    args = parser.parse_args()
    model = LatentSimulator(args.checkpoint)
    config = model.checkpoint.config
    starts = gates.moving_starts(
        env=config.env,
        env_args=dict(config.env_args),
        controller=config.controller,
        size=config.sizes[0],
        worlds=args.worlds,
        horizon=args.horizon,
        seed=args.seed,
        quiet=True,
    )
    drawn = gates.roll(model, starts, starts.actions, seed=args.seed)
    lines = []
    for truth, own in zip(starts.frames, drawn, strict=True):
        shown = truth[gates.CONTEXT - 1]
        columns = range(args.every - 1, args.horizon, args.every)
        lines.append(np.concatenate([shown, *(truth[gates.CONTEXT + t] for t in columns)], axis=1))
        lines.append(np.concatenate([shown, *(own[t] for t in columns)], axis=1))
        lines.append(np.full((2, *lines[-1].shape[1:]), 255, np.uint8))
    picture = np.concatenate(lines[:-1]).repeat(args.scale, axis=0).repeat(args.scale, axis=1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
