"""How far is one set of features from another: unbiased MMD with a test, and coverage, precision, recall, diversity.

A set is (n, d) float, one row an item; `groups` (n,) say which items belong to one world. Items of one world are not
independent, so pairs within a world are left out of every average. The Frechet distance is in `frechet`.

Limits: paired sets (the same worlds on both sides) are refused by the test, for there the cross term holds items that
resemble each other by construction and MMD^2 comes out negative. k-NN scores depend on n, so both sides need the same
n, and on d: above some dozens of dimensions balls of neighbours say little. Features must be scaled (see `features`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist, pdist

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.seeding import generator

Float = NDArray[np.float64]
Kernel: TypeAlias = Literal["polynomial", "rbf"]


def check_set(x: ArrayLike, what: str, least: int = 1) -> Float:
    """(n, d) as float64. Raises ShapeError unless it is finite, two-dimensional and holds at least `least` rows."""
    out = np.asarray(x, dtype=np.float64)
    if out.ndim != 2 or out.shape[1] == 0:
        raise ShapeError(f"{what} must be (n, d) features, one row an item, got shape {out.shape}")
    if len(out) < least:
        raise ShapeError(f"{what} needs at least {least} items, got {len(out)}")
    if not np.isfinite(out).all():
        raise ShapeError(f"{what} holds NaN or infinite features: leave out what cannot be described, with its reason")
    return out


def check_sets(x: ArrayLike, y: ArrayLike, least: int = 1) -> tuple[Float, Float]:
    """Both sets as float64, of the same dimension."""
    a, b = check_set(x, "the first set", least), check_set(y, "the second set", least)
    if a.shape[1] != b.shape[1]:
        raise ShapeError(f"both sets must have the same features, got {a.shape[1]} and {b.shape[1]} dimensions")
    return a, b


def polynomial_kernel(x: Float, y: Float, degree: int = 3, gamma: float | None = None, offset: float = 1.0) -> Float:
    """(gamma <x, y> + offset)^degree -> (n, m); gamma = 1/d, degree 3 as in KID (Binkowski et al. 2018, section 4)."""
    base = (1.0 / x.shape[1] if gamma is None else gamma) * (x @ y.T) + offset
    out = base.copy()
    for _ in range(degree - 1):  # a third of the time of pow
        out *= base
    return np.asarray(out)


def median_width(x: Float, y: Float) -> float:
    """Median distance between any two items of both sets pooled: unchanged by exchanging labels.

    Raises:
        UnsupportedError: If more than half of the pairs coincide.
    """
    width = float(np.median(pdist(np.concatenate([x, y]))))
    if not width > 0:
        raise UnsupportedError("more than half of the pairs of features coincide: the width of the kernel is zero")
    return width


def rbf_kernel(x: Float, y: Float, width: float) -> Float:
    """exp(-|x - y|^2 / (2 width^2)) -> (n, m)."""
    return np.asarray(np.exp(cdist(x, y, "sqeuclidean") / (-2.0 * width**2)))


def mmd2_biased(k_xx: Float, k_xy: Float, k_yy: Float) -> float:
    """The V-statistic mean k_xx + mean k_yy - 2 mean k_xy, at least 0. Only to compare with others: its bias is O(1/n).

    Between two samples of one distribution it decreases with n like 1/n instead of being 0 on average.
    """
    return float(k_xx.mean() + k_yy.mean() - 2.0 * k_xy.mean())


def mmd2_unbiased(k_xx: Float, k_xy: Float, k_yy: Float) -> float:
    """The U-statistic: the V-statistic without the diagonals. 0 on average between samples of one distribution."""
    n, m = len(k_xx), len(k_yy)
    within = (k_xx.sum() - np.trace(k_xx)) / (n * (n - 1)) + (k_yy.sum() - np.trace(k_yy)) / (m * (m - 1))
    return float(within - 2.0 * k_xy.mean())


@dataclass(frozen=True, kw_only=True)
class MMD:
    """An MMD^2 with its test.

    Attributes:
        value: Unbiased MMD^2, in the kernel's units; below 0 by chance when the distributions agree.
        p: Share of relabellings of whole worlds with a value at least as large; NaN when not tested.
        permutations: How many relabellings, the observed one included.
        exact: Whether they are all there are.
    """

    value: float
    p: float
    permutations: int
    exact: bool


def mmd(
    x: ArrayLike,
    y: ArrayLike,
    *,
    kernel: Kernel = "polynomial",
    groups: tuple[ArrayLike, ArrayLike] | None = None,
    permutations: int = 0,
    seed: int = 0,
) -> MMD:
    """Unbiased squared maximum mean discrepancy, Gretton et al. 2012, eq. 3, and its permutation test by world.

    MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y), each mean over pairs from different worlds. With one item a
    world it is the U-statistic. The test relabels whole worlds, keeping how many are on either side.

    Args:
        x: (n, d).
        y: (m, d).
        kernel: "polynomial" of degree 3, or "rbf" at the median distance of the pooled items.
        groups: Worlds of the items of x (n,) and of y (m,), disjoint; None = each item is a world of its own.
        permutations: How many relabellings to draw; all are taken when there are fewer. 0 = no test.
        seed: Of the relabellings.

    Raises:
        ShapeError: On wrong shapes, NaN, fewer than two worlds a side, or worlds that are on both sides.
        UnsupportedError: When the rbf width is zero.
    """
    x, y = check_sets(x, y)
    worlds, first = _worlds(len(x), len(y), groups)
    order = np.argsort(worlds, kind="stable")
    pooled = np.concatenate([x, y])[order]
    if kernel == "polynomial":
        full = polynomial_kernel(pooled, pooled)
    elif kernel == "rbf":
        full = rbf_kernel(pooled, pooled, median_width(x, y))
    else:
        raise ShapeError(f"kernel must be 'polynomial' or 'rbf', got {kernel!r}")
    # Sums over pairs of worlds: every relabelling is then a few products of small matrices.
    begins = np.searchsorted(worlds[order], np.arange(worlds.max() + 1))
    sums = np.add.reduceat(np.add.reduceat(full, begins, axis=0), begins, axis=1)
    sizes = np.bincount(worlds).astype(np.float64)
    counts = np.outer(sizes, sizes)
    np.fill_diagonal(sums, 0.0)
    np.fill_diagonal(counts, 0.0)
    observed = np.zeros((1, len(sizes)))
    observed[0, :first] = 1.0
    value = float(_statistic(observed, sums, counts)[0])
    if permutations < 1:
        return MMD(value=value, p=math.nan, permutations=0, exact=False)
    labels, exact = _relabellings(len(sizes), first, permutations, seed)
    null = _statistic(labels, sums, counts)
    tie = 1e-12 * float(np.abs(full).mean())  # the same labels in another order of summation are a tie
    hits = int((null >= value - tie).sum())
    if not exact:  # the observed labels are one of the relabellings: p can never be 0 (Phipson and Smyth 2010)
        hits, total = hits + 1, len(labels) + 1
    else:
        total = len(labels)
    return MMD(value=value, p=hits / total, permutations=total, exact=exact)


def _worlds(n: int, m: int, groups: tuple[ArrayLike, ArrayLike] | None) -> tuple[NDArray[np.intp], int]:
    """World index of each pooled item, those of the first set numbered first; and how many worlds the first has."""
    if groups is None:
        worlds, first, second = np.arange(n + m), n, m
    else:
        a, b = np.asarray(groups[0]), np.asarray(groups[1])
        if a.shape != (n,) or b.shape != (m,):
            raise ShapeError(f"groups must be ({n},) and ({m},), one world an item, got {a.shape} and {b.shape}")
        shared = np.intersect1d(a, b)
        if len(shared):
            raise ShapeError(f"the sets must come from disjoint worlds, got {len(shared)} on both sides")
        names_a, index_a = np.unique(a, return_inverse=True)
        names_b, index_b = np.unique(b, return_inverse=True)
        first, second = len(names_a), len(names_b)
        worlds = np.concatenate([index_a, first + index_b])
    if min(first, second) < 2:
        raise ShapeError(f"an unbiased estimate needs at least two worlds a side, got {first} and {second}")
    return worlds, first


def _statistic(labels: Float, sums: Float, counts: Float) -> Float:
    """MMD^2 of each labelling: (R, G) ones where a world is on the first side -> (R,)."""
    others = 1.0 - labels

    def mean(a: Float, b: Float) -> Float:
        return np.asarray(((a @ sums) * b).sum(axis=1) / ((a @ counts) * b).sum(axis=1))

    return mean(labels, labels) + mean(others, others) - 2.0 * mean(labels, others)


def _relabellings(worlds: int, first: int, permutations: int, seed: int) -> tuple[Float, bool]:
    """(R, worlds) of ones and zeros with `first` ones a row: all of them if no more than asked, else drawn."""
    total = math.comb(worlds, first)
    if total <= permutations:
        labels = np.zeros((total, worlds))
        for row, chosen in zip(labels, combinations(range(worlds), first), strict=True):
            row[list(chosen)] = 1.0
        return labels, True
    order = np.argsort(generator("mmd", seed).random((permutations, worlds)), axis=1)
    return (order < first).astype(np.float64), False


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """k-nearest-neighbour scores of a generated set against a real one, each in 0..1.

    Attributes:
        precision: Share of generated items within the k-NN ball of some real item: are they plausible?
        recall: Share of real items within the k-NN ball of some generated item (Kynkaanniemi et al. 2019, eq. 2).
        coverage: Share of real items whose k-NN ball holds a generated item (Naeem et al. 2020, eq. 4): are all there?
        duplicates: Share of generated items that equal another one; above 0 it inflates precision.
    """

    precision: float
    recall: float
    coverage: float
    duplicates: float


def neighbours(real: ArrayLike, generated: ArrayLike, k: int = 5) -> Neighbours:
    """Precision, recall and coverage by balls that reach to the k-th nearest neighbour within the own set.

    Args:
        real: (n, d), one row a world.
        generated: (n, d), as many.
        k: Neighbours; 3 to 5 is usual.

    Raises:
        ShapeError: On wrong shapes, NaN, unequal n, or n <= k.
    """
    if k < 1:
        raise ShapeError(f"k must be at least 1, got {k}")
    x, y = check_sets(real, generated, least=k + 1)
    if len(x) != len(y):
        raise ShapeError(f"both sets must have the same number of items, got {len(x)} and {len(y)}")
    radius_x, radius_y = (np.partition(cdist(z, z), k, axis=1)[:, k] for z in (x, y))  # [0] is the item itself
    between = cdist(x, y)
    return Neighbours(
        precision=float((between <= radius_x[:, None]).any(axis=0).mean()),
        recall=float((between <= radius_y[None, :]).any(axis=1).mean()),
        coverage=float((between.min(axis=1) <= radius_x).mean()),
        duplicates=1.0 - len(np.unique(y, axis=0)) / len(y),
    )


def expected_coverage(n: int, m: int, k: int) -> float:
    """Coverage of n real by m generated items of the same distribution, Naeem et al. 2020, lemma 2: the ceiling.

    1 - (n-1)...(n-k) / ((m+n-1)...(m+n-k)), whatever the distribution, as long as it has a density.
    """
    steps = np.arange(1, k + 1)
    return float(1.0 - np.prod((n - steps) / (m + n - steps)))


def diversity(samples: ArrayLike) -> Float:
    """Mean distance between two samples from one start: (starts, samples, d) -> (starts,) float64."""
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 3 or values.shape[1] < 2 or values.shape[2] == 0:
        raise ShapeError(f"samples must be (starts, at least 2 samples, d), got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ShapeError("the samples hold NaN or infinite features: leave out what cannot be described")
    return np.array([pdist(start).mean() for start in values])


def relative_diversity(generated: ArrayLike, reruns: ArrayLike) -> float:
    """Spread of samples from one start against the spread of the truth's re-runs from the same starts: 1 = the same.

    Mean over starts of `diversity(generated)` over that of `diversity(reruns)`, a ratio of means. 0 = one future only.

    Raises:
        ShapeError: If the starts differ in number.
        UnsupportedError: If the truth has only one future from every start.
    """
    model, truth = diversity(generated), diversity(reruns)
    if len(model) != len(truth):
        raise ShapeError(f"both need the same starts, got {len(model)} and {len(truth)}")
    if len(truth) == 0 or not truth.mean() > 0:
        raise UnsupportedError("the truth has one future from each start: there is no diversity to compare with")
    return float(model.mean() / truth.mean())
