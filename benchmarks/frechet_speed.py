"""Cost of the Frechet distance against scipy's matrix root, one thread, in one process, with equal results.

python benchmarks/frechet_speed.py [--dims 2048] [--items 4096] [--repeats 3]
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from worldsim.metrics.functional.frechet import frechet, frechet_from_moments

Float = NDArray[np.float64]
GOAL, TOLERANCE = 7.0, 1e-6


def moments(n: int, d: int, seed: int) -> tuple[Float, Float]:
    """Of features whose spectrum falls like 1/i, as those of networks do, with every direction alive."""
    rng = np.random.default_rng(seed)
    spread = np.arange(1, d + 1) ** -0.5
    x = (rng.normal(size=(n, d)) * spread) @ np.linalg.qr(rng.normal(size=(d, d)))[0] + rng.normal(0, 0.05, d)
    return x.mean(axis=0), np.cov(x, rowvar=False)


def by_matrix_root(mean_x: Float, cov_x: Float, mean_y: Float, cov_y: Float) -> float:
    """The textbook's way, as in the reference code of FID."""
    root = sqrtm(cov_x @ cov_y)
    return float(np.square(mean_x - mean_y).sum() + np.trace(cov_x) + np.trace(cov_y) - 2 * np.trace(root).real)


def timed(function: Callable[[], float]) -> tuple[float, float]:
    start = time.perf_counter()
    value = function()
    return time.perf_counter() - start, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dims", type=int, default=2048)
    parser.add_argument("--items", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    x, y = moments(args.items, args.dims, 0), moments(args.items, args.dims, 1)
    mine, theirs = [], []
    for _ in range(args.repeats):  # in turn, so that both meet the same load
        seconds, ours = timed(lambda: frechet_from_moments(*x, *y))
        mine.append(seconds)
        seconds, reference = timed(lambda: by_matrix_root(*x, *y))
        theirs.append(seconds)
    error = abs(ours / reference - 1)
    ratio, least = statistics.median(theirs) / statistics.median(mine), min(theirs) / min(mine)
    print(f"{args.dims} dimensions: {statistics.median(mine):.2f} s, matrix root {statistics.median(theirs):.2f} s")
    print(f"the matrix root takes {ratio:.2f}x (medians), {least:.2f}x (minima); goal {GOAL:g}x")
    print(f"{ours:.9g} against {reference:.9g}: relative difference {error:.1e}; tolerance {TOLERANCE:g}")

    few = np.random.default_rng(2).normal(size=(2, 512, args.dims))
    seconds, value = timed(lambda: frechet(few[0], few[1]))
    same = frechet(few[0], few[0][::-1])
    print(f"512 items (Gram factor, no matrix of {args.dims} x {args.dims}): {seconds:.2f} s; against itself {same}")
    if error > TOLERANCE or same != 0.0 or not np.isfinite(value):
        sys.exit("the results differ")


if __name__ == "__main__":
    main()
