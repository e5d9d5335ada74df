"""Which weight-free features see which fault? Unbiased MMD^2 and its test on Blocks, truth against faulted truth.

python benchmarks/set_features.py [--worlds 300] [--frames 24]

A third of the worlds gives the scale of the features, a third is the truth, a third is shown faulted: disjoint, so that
no clip meets its own original. p is by relabelling worlds; the row "none" is one draw of chance. Also prints what a
clip costs, one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np

from worldsim.envs.actions import minerl_space, noop
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.metrics.functional import features
from worldsim.metrics.functional.distribution import mmd, neighbours
from worldsim.types import Frames

FAMILIES: dict[str, Callable[[Frames], np.ndarray]] = {
    "appearance": features.appearance,
    "motion": features.motion,
    "joint": features.joint,
}


def clips(worlds: int, frames: int) -> list[Frames]:
    env, out = BlocksEnv(size=(64, 64)), []
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        video, turn = [env.reset(seed=seed)[0]], 0.0
        for _ in range(frames - 1):
            action = noop(minerl_space())
            turn = 0.8 * turn + rng.normal(0, 2)
            action["forward"] = np.int64(rng.random() < 0.6)
            action["camera"] = np.array([0.0, turn], np.float32)
            video.append(env.step(action)[0])
        out.append(np.stack(video))
    env.close()
    return out


def per_frame(change: Callable[[Frames], Frames]) -> Callable[[Frames, int], Frames]:
    return lambda clip, seed: np.stack([change(frame) for frame in clip])


def noise(clip: Frames, seed: int) -> Frames:
    return np.clip(clip + np.random.default_rng(seed).normal(0, 12, clip.shape), 0, 255).astype(np.uint8)


FAULTS: dict[str, Callable[[Frames, int], Frames]] = {
    "none": lambda clip, seed: clip,
    "blur 1 px": per_frame(lambda f: cv2.GaussianBlur(f, (0, 0), 1.0)),
    "noise 12": noise,
    "tint": lambda clip, seed: np.clip(clip * np.array([1.15, 1.0, 0.85]), 0, 255).astype(np.uint8),
    "frozen": lambda clip, seed: np.repeat(clip[:1], len(clip), axis=0),
    "shuffled": lambda clip, seed: clip[np.random.default_rng(seed).permutation(len(clip))],
    "half speed": lambda clip, seed: clip[np.arange(len(clip)) // 2],
    "reversed": lambda clip, seed: clip[::-1].copy(),
    "nowhere": lambda clip, seed: np.random.default_rng(seed).integers(0, 256, clip.shape, dtype=np.uint8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=300)
    parser.add_argument("--frames", type=int, default=24)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    videos = clips(args.worlds, args.frames)
    n = args.worlds // 3
    described, scales = {}, {}
    for name, describe in FAMILIES.items():
        start = time.perf_counter()
        table = np.stack([describe(clip) for clip in videos])
        spent = (time.perf_counter() - start) / len(videos) * 1e3
        scales[name] = features.fit_scale(table[:n])
        described[name] = scales[name](table[n:])
        print(f"{name}: {spent:.1f} ms a clip of {args.frames} frames")
    print("\n| fault | " + " | ".join(FAMILIES) + " |\n|---|" + "---|" * len(FAMILIES))
    for fault, plant in FAULTS.items():
        faulted = [plant(clip, seed) for seed, clip in enumerate(videos[2 * n :])]
        cells = []
        for name, describe in FAMILIES.items():
            shown = scales[name]([describe(clip) for clip in faulted])
            result = mmd(described[name][:n], shown, kernel="rbf", permutations=999)
            cells.append(f"{result.value:+.4f} (p {result.p:.3f})")
        print(f"| {fault} | " + " | ".join(cells) + " |")
    print("\n| copies of k worlds | precision | recall | coverage |\n|---|---|---|---|")
    x, y = described["appearance"][:n], described["appearance"][n : 2 * n]
    for kept in (n, n // 2, n // 4, n // 8, 1):
        scores = neighbours(x, y[np.arange(n) % kept])
        print(f"| {kept} | {scores.precision:.2f} | {scores.recall:.2f} | {scores.coverage:.2f} |")


if __name__ == "__main__":
    main()
