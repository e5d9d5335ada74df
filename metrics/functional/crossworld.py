"""Two sets from the same worlds, compared across worlds only: no item ever meets one of its own world.

Truth and prediction of one world resemble each other by construction, so a comparison that pairs them is no comparison
of distributions: MMD^2 comes out below 0. Splitting the worlds into halves, truth from one and prediction from the
other, avoids it at the price of half the data. Averaged over all splits, both ways, a U-statistic becomes the mean over
all pairs of *different* worlds: everything here is that limit, in closed form, with nothing drawn by chance.

A table is (n, n) over items; `worlds` (n,) numbers their worlds 0..W-1; `counts` (W,) says how often a bootstrap drew
each world, so that a world that was drawn twice still never meets itself.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.seeding import generator, hash_seed

Float = NDArray[np.float64]
Index = NDArray[np.intp]


def differences(k_xx: Float, k_xy: Float, k_yy: Float) -> Float:
    """Inner products of phi(x_i) - phi(y_i) and phi(x_j) - phi(y_j): (n, n), h of Gretton et al. 2012, lemma 6.

    Exactly 0 where y is x.
    """
    return np.asarray(k_xx - k_xy - k_xy.T + k_yy)


def world_means(table: Float, worlds: Index) -> Float:
    """Mean of a table (n, n) over the pairs of items of each two worlds: (W, W)."""
    size = int(worlds.max()) + 1
    member = np.zeros((size, len(worlds)))
    member[worlds, np.arange(len(worlds))] = 1.0
    member /= member.sum(axis=1, keepdims=True)
    return np.asarray(member @ table @ member.T)


def pair_mean(means: Float, counts: Float) -> float:
    """Mean of (W, W) over pairs of different worlds drawn so often.

    Raises:
        ShapeError: If fewer than two worlds are counted.
    """
    pairs = counts.sum() ** 2 - np.square(counts).sum()
    if not pairs > 0:
        raise ShapeError("a mean over pairs of worlds needs at least two worlds")
    return float((counts @ means @ counts - np.square(counts) @ np.diag(means)) / pairs)


def swap_test(gram: Float, *, seed: int, permutations: int = 999) -> float:
    """One-sided p of "no difference" by exchanging truth and prediction within whole worlds.

    Where a simulator draws what the truth could have drawn from the same context, the two can be exchanged, which flips
    the sign of the world's row and column of `differences`. All exchanges are taken up to 2^12, more are drawn.

    Args:
        gram: (W, W) `world_means` of `differences`.
        seed: Of the exchanges.
        permutations: How many are drawn; then p counts the observed one (Phipson and Smyth 2010).
    """
    n = len(gram)
    off = gram - np.diag(np.diag(gram))
    exact = n <= 12
    if exact:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = 1.0 - 2.0 * generator("swap", seed, n).integers(0, 2, (permutations, n))
    null = ((signs @ off) * signs).sum(axis=1)
    hits = int((null >= off.sum() - 1e-12 * max(float(np.abs(off).sum()), 1e-300)).sum())
    return hits / len(signs) if exact else (1 + hits) / (1 + len(signs))


def coverage(d_xx: Float, d_xy: Float, worlds: Index, counts: Float, k: int) -> tuple[float, float]:
    """Coverage (Naeem et al. 2020, eq. 4) and precision (Kynkaanniemi et al. 2019, eq. 2) across worlds.

    The ball of a true item reaches to its k-th nearest true item of another world. It is covered if a shown item of
    another world lies in it; a shown item is plausible if it lies in the ball of a true item of another world. Both
    sides have the same n, whatever the simulator. How often a world was drawn is a weight and adds no neighbours.
    Coverage of the truth by itself is 1: the k-th neighbour is no nearer than the first.

    Args:
        d_xx: (n, n) distances between true items.
        d_xy: (n, n) distances from true to shown items.
        worlds: (n,), see above.
        counts: (W,), see above.
        k: Neighbours.

    Raises:
        ShapeError: If some item has fewer than k items in other worlds.
    """
    apart = np.where(worlds[:, None] != worlds[None, :], 0.0, np.inf)
    own = d_xx + apart
    if k < 1 or k >= len(own) or np.isinf(np.sort(own, axis=1)[:, k - 1]).any():
        raise ShapeError(f"every item needs at least k = {max(k, 1)} items in other worlds")
    radius = np.partition(own, k - 1, axis=1)[:, k - 1]
    inside = d_xy + apart <= radius[:, None]
    weights = (counts / np.bincount(worlds))[worlds]
    whole = float(np.ones(len(weights)) @ weights)  # summed as the shares are: all of them is exactly 1
    return float(inside.any(axis=1) @ weights) / whole, float(inside.any(axis=0) @ weights) / whole


def between_variance(squares: Float, worlds: Index, counts: Float) -> float:
    """How much worlds differ: the variance between them, without what varies within one; below 0 by chance.

    Half the mean squared distance between items of different worlds, less half of that between items of one world:
    the component of variance of a random-effects model, unbiased.

    Args:
        squares: (n, n) squared distances.
        worlds: (n,), see above.
        counts: (W,), see above.

    Returns:
        NaN if no world has two items.
    """
    number = np.bincount(worlds).astype(np.float64)
    means = world_means(squares, worlds)
    pairs = np.where(number > 1, number / np.maximum(number - 1, 1), np.nan)  # leaves out each item with itself
    within = np.diag(means) * pairs
    known = np.isfinite(within)
    if not (counts[known] > 0).any():
        return math.nan
    inner = float(within[known] @ counts[known] / counts[known].sum())
    return 0.5 * (pair_mean(means, counts) - inner)


def halves(seeds: Index, counts: Float, split: int) -> tuple[Index, Index]:
    """Two disjoint halves of the worlds by a hash of their seeds: indices, a world drawn twice twice in its half.

    Worlds are taken in the order of their hashes, each to the half that has fewer draws so far; the longer half is cut,
    so that both have the same number of draws.

    Args:
        seeds: (W,) what identifies the worlds.
        counts: (W,), see above.
        split: Another number is another split.
    """
    sides: tuple[list[int], list[int]] = ([], [])
    for i in np.argsort([_order(split, int(seed)) for seed in seeds], kind="stable"):
        min(sides, key=len).extend([int(i)] * int(counts[i]))
    n = min(len(sides[0]), len(sides[1]))
    return np.array(sides[0][:n], np.intp), np.array(sides[1][:n], np.intp)


@lru_cache(maxsize=65536)  # resamples ask for the same ones again and again
def _order(split: int, seed: int) -> int:
    return hash_seed("halves", split, seed)
