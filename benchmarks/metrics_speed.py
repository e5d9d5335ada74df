"""Cost of the picture metrics against torchmetrics, one thread each, in turn, in one process.

python benchmarks/metrics_speed.py [--repeats 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import cv2
import numpy as np
import torch

from worldsim.metrics.functional import fidelity
from worldsim.types import Frames

FRAMES = 16


def pair(size: int) -> tuple[Frames, Frames]:
    rng = np.random.default_rng(size)
    small = rng.integers(0, 256, (FRAMES, size // 8, size // 8, 3), dtype=np.uint8)
    a = small.repeat(8, axis=1).repeat(8, axis=2)
    return a, np.clip(a + rng.normal(0, 20, a.shape), 0, 255).astype(np.uint8)


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(size: int, repeats: int) -> None:
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    a, b = pair(size)
    # Theirs gets its tensors ready made: conversion is not what is compared.
    x, y = (torch.from_numpy(z).permute(0, 3, 1, 2).float().contiguous() for z in (a, b))
    contests: dict[str, tuple[Callable[[], object], Callable[[], object] | None]] = {
        "ssim": (
            lambda: fidelity.ssim(a, b),
            lambda: structural_similarity_index_measure(x, y, data_range=255.0),
        ),
        "psnr": (
            lambda: fidelity.psnr(a, b),
            lambda: peak_signal_noise_ratio(x, y, data_range=255.0, dim=(1, 2, 3), reduction="none"),
        ),
        "l1": (lambda: fidelity.l1(a, b), None),
        "gradient_zncc": (lambda: fidelity.gradient_zncc(a, b), None),
    }
    for name, (ours, theirs) in contests.items():
        mine, other = [], []
        for function in (ours, theirs):
            if function is not None:
                function()  # the first call allocates
        for _ in range(repeats):  # in turn, so that both meet the same load
            mine.append(seconds(ours))
            if theirs is not None:
                other.append(seconds(theirs))
        line = f"{name:14s} {size:3d}x{size:<3d} {statistics.median(mine) / FRAMES * 1e3:8.3f} ms a frame pair"
        if other:
            median, least = statistics.median(other) / statistics.median(mine), min(other) / min(mine)
            line += f"   torchmetrics takes {median:5.2f}x (medians), {least:5.2f}x (minima)"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for size in (64, 128, 256):
        compare(size, repeats)


if __name__ == "__main__":
    main()
