"""Frames per second of the renderer of Blocks on one thread: colours, depth and ids, 24 poses in each preset.

Usage: python benchmarks/blocks_render.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from worldsim.envs.blocks.camera import EYE_HEIGHT, camera_pose
from worldsim.envs.blocks.kinds import column_tops
from worldsim.envs.blocks.presets import PRESETS, generate
from worldsim.envs.blocks.render import render_view
from worldsim.envs.blocks.shapes import layout_boxes

BARS = {(64, 64): 1000, (128, 128): 300, (256, 256): 80, (360, 640): 25}


def scenes(preset: str) -> list[tuple]:
    out = []
    for seed in range(6):
        layout = generate(preset, seed)
        tops, boxes = column_tops(layout.cells), layout_boxes(layout)
        eye = np.add(layout.spawn, (0, EYE_HEIGHT, 0))
        for turn in range(4):
            pose = camera_pose(eye, layout.yaw + 90 * turn, (-5, 0, 5, 15)[turn])
            out.append((layout.cells, tops, boxes, pose, layout.hour, layout.horizon))
    return out


def seconds(views: list[tuple], size: tuple[int, int], supersample: int) -> float:
    """Mean seconds a frame over all views."""
    start = time.perf_counter()
    for cells, tops, boxes, pose, hour, horizon in views:
        render_view(cells, tops, boxes, pose, hour, size, horizon=horizon, supersample=supersample)
    return (time.perf_counter() - start) / len(views)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    start = time.perf_counter()
    views = {preset: scenes(preset) for preset in PRESETS}
    first = next(iter(views.values()))[:1]
    seconds(first, (64, 64), 1)
    print(f"18 worlds and the first frame: {time.perf_counter() - start:.2f} s (compiles when the cache is empty)")
    print(f"{'preset':8} {'size':>9} {'rays':>5} {'median fps':>11} {'slowest':>8} {'fastest':>8} {'bar':>5}")
    for preset, poses in views.items():
        for size, bar in BARS.items():
            for supersample in (1, 2):
                rates = [1 / seconds(poses, size, supersample) for _ in range(rounds)]
                shown = f"{bar:5d}" if supersample == 1 else "    -"
                print(
                    f"{preset:8} {size[1]:>4}x{size[0]:<4} {supersample**2:>5} "
                    f"{np.median(rates):11.0f} {min(rates):8.0f} {max(rates):8.0f} {shown}"
                )


if __name__ == "__main__":
    main()
