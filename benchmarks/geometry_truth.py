"""What the 3D-consistency metrics say of the truth, of nulls, of harmless changes and of worlds that are not solid.

python -m benchmarks.geometry_truth --size 64 --worlds 6

A table: one row for each thing shown, with the reprojection skill (mean and lowest world), the share of pairs that
pass TSED, the self-pose score, and how many pairs were decided. Frames are rendered along given paths through standing
worlds, so that "slower" and "jitter" are exact.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from tests.metrics.solid import PATHS, episode, flattened, sliding, walk
from worldsim.metrics.geometry import PairMetric, Reprojection, SelfPose, Tsed
from worldsim.types import Frames, Observation

cv2.setNumThreads(1)
STEPS = 24
Show = Callable[..., Frames]


def noise(frames: Frames, *_: Any) -> Frames:
    return np.random.default_rng(0).integers(0, 256, frames.shape, dtype=np.uint8)


def grain(frames: Frames, sd: float) -> Frames:
    return np.clip(frames + np.random.default_rng(0).normal(0, sd, frames.shape), 0, 255).astype(np.uint8)


def blur(frames: Frames, sigma: float) -> Frames:
    return np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in frames])


def jpeg(frames: Frames, quality: int) -> Frames:
    return np.stack(
        [
            cv2.imdecode(cv2.imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
            for f in frames
        ]
    )


def tint(frames: Frames) -> Frames:
    return np.clip(frames * np.array([0.8, 1.0, 1.1]) + 10, 0, 255).astype(np.uint8)


def shows(size: int) -> dict[str, Show]:
    """By name: (frames, states, seed, path) -> frames shown."""
    table: dict[str, Show] = {
        "oracle": lambda f, s, w, p: f,
        "frozen": lambda f, s, w, p: np.repeat(f[:1], len(f), 0),
        "white noise": noise,
        "grey": lambda f, s, w, p: np.full_like(f, 128),
        "other world": lambda f, s, w, p: walk(w + 1000, p, STEPS, size=size)[0],
        "tint and brightness": lambda f, s, w, p: tint(f),
    }
    for x in (0.5, 1.0, 2.0):
        table[f"blur sigma {x}"] = lambda f, s, w, p, x=x: blur(f, x)
    table["JPEG 50"] = lambda f, s, w, p: jpeg(f, 50)
    for x in (2, 6, 12):
        table[f"pixel noise sd {x}"] = lambda f, s, w, p, x=x: grain(f, x)
    for x in (0.95, 0.9, 0.8, 0.7, 0.5):
        table[f"solid, at {x} of the speed"] = lambda f, s, w, p, x=x: walk(w, p, STEPS, size=size, speed=x)[0]
    for x in (0.5, 1.0, 2.0, 4.0):
        table[f"pose jitter {x} deg"] = lambda f, s, w, p, x=x: walk(w, p, STEPS, size=size, jitter=x)[0]
    for x in (0.1, 0.2, 0.4, 0.7, 1.0):
        table[f"flattened {x}"] = lambda f, s, w, p, x=x: flattened(f, s, x)
    for x in (0.1, 0.2, 0.4, 0.7, 1.0):
        table[f"sliding layer {x}"] = lambda f, s, w, p, x=x: sliding(f, s, x)
    return table


def score(metric: PairMetric, rows: list[Observation]) -> str:
    """Value, lowest world, and how many pairs are decided."""
    total = metric.reduce(rows).value
    worlds = [metric.reduce([r for r in rows if r.world == w]).value for w in sorted({r.world for r in rows})]
    known = [w for w in worlds if w is not None]
    if total is None or not known:
        return "undefined"
    return f"{total:.3f} ({min(known):.2f}..{max(known):.2f}; {sum(r.outcome is not None for r in rows)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--worlds", type=int, default=6)
    parser.add_argument("--paths", nargs="+", default=list(PATHS), choices=list(PATHS))
    parser.add_argument("--only", default="", help="part of the names of the rows to print")
    parser.add_argument("--metric", default="", help="part of the name of the metrics to show")
    arguments = parser.parse_args()
    metrics = [m for m in (Reprojection(), Tsed(), SelfPose()) if arguments.metric in m.spec.name]
    scenes = [
        (100 * i + w, PATHS[p], *walk(100 * i + w, PATHS[p], STEPS, size=arguments.size))
        for i, p in enumerate(arguments.paths)
        for w in range(arguments.worlds)
    ]
    print(f"{len(scenes)} scenes of {STEPS} steps, {arguments.size} px; mean (lowest..highest scene; decided pairs)")
    print("| shown | " + " | ".join(m.spec.name for m in metrics) + " |\n|---" + "|---" * len(metrics) + "|")
    spent = [0.0] * len(metrics)
    pairs = 0
    for name, show in shows(arguments.size).items():
        if arguments.only not in name:
            continue
        cells = []
        made = [episode(f, s, show(f, s, w, p), seed=w) for w, p, f, s in scenes]
        for k, metric in enumerate(metrics):
            begin = time.perf_counter()
            rows = metric.observe(tuple(made))
            spent[k] += time.perf_counter() - begin
            pairs += len(rows) if k == 0 else 0
            cells.append(score(metric, rows))
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print(
        "ms a pair: " + ", ".join(f"{m.spec.name} {1e3 * s / pairs:.1f}" for m, s in zip(metrics, spent, strict=True))
    )


if __name__ == "__main__":
    main()
