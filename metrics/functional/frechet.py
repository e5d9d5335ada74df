"""The Frechet distance between Gaussians fitted to two sets of features, without a matrix square root.

|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2) (Dowson and Landau 1982, eq. 4; Heusel et al. 2017 for FID). The trace
is the nuclear norm of F1 F2^T for any factors F^T F = C; features themselves are such factors.

Limits: biased upwards like 1/n (d = 400, one distribution: hundreds at n = 256), so only equal n are compared, and
`extrapolate` fits the 1/n away; a Gaussian sees means and covariances only. A distance below its own rounding error
is returned as 0: identical sets, and identical sets in another order, give exactly 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh, svdvals
from scipy.linalg.blas import dtrmm

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.functional.distribution import check_sets
from worldsim.seeding import generator

Float = NDArray[np.float64]

MIN_ITEMS = 64  # below it the bias outweighs any difference worth reporting
_EPS = float(np.finfo(np.float64).eps)
_ACCURACY = 1e-9  # relative rounding error at which the fast path gives way to the exact one


def frechet(x: ArrayLike, y: ArrayLike, least: int = MIN_ITEMS) -> float:
    """Frechet distance (squared, in the features' units squared) of two sets (n, d) with the same n.

    For n < d the nuclear norm of the n x n Gram factor X Y^T / (n - 1) of the centred sets does without any d x d
    matrix; otherwise covariances are formed. Covariances are unbiased (n - 1).

    Raises:
        ShapeError: On wrong shapes, NaN, or unequal n.
        UnsupportedError: With fewer than `least` items.
    """
    a, b = check_sets(x, y, least=2)
    if len(a) != len(b):
        raise ShapeError(f"both sets must have the same number of items, got {len(a)} and {len(b)}: its bias is 1/n")
    if len(a) < least:
        raise UnsupportedError(f"the Frechet distance needs at least {least} items a set, got {len(a)}")
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    scale = np.sqrt(len(a) - 1.0)
    a, b = (a - mean_a) / scale, (b - mean_b) / scale
    shift = float(np.square(mean_a - mean_b).sum())
    if len(a) >= a.shape[1]:
        return _distance(shift, a.T @ a, b.T @ b)
    spread = float(np.square(a).sum() + np.square(b).sum())
    size = np.square(mean_a).sum() + np.square(mean_b).sum() + spread
    return _settle(shift + spread - 2.0 * float(svdvals(a @ b.T).sum()), 16 * np.sqrt(len(a)) * _EPS * float(size))


def frechet_pairs(sets: ArrayLike, pairs: Sequence[tuple[int, int]]) -> Float:
    """The distances between many small sets at once, for resampling: (S, n, d) and P pairs of indices -> (P,).

    Equal to `frechet`, by factors F of each covariance and singular values of F1 F2^T. No least n: the caller decides
    what its bias, which all sets share, may be.

    Raises:
        ShapeError: On wrong shapes, NaN, or fewer than two items a set.
    """
    x = np.asarray(sets, dtype=np.float64)
    if x.ndim != 3 or x.shape[1] < 2 or x.shape[2] == 0 or not np.isfinite(x).all():
        raise ShapeError(f"expected finite sets (S, at least 2 items, d), got shape {x.shape}")
    means = x.mean(axis=1)
    factors = np.linalg.qr((x - means[:, None]) / np.sqrt(x.shape[1] - 1.0), mode="r")
    i, j = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    roots = np.linalg.svd(factors[i] @ factors[j].swapaxes(-1, -2), compute_uv=False).sum(axis=-1)
    traces = np.square(factors).sum(axis=(1, 2))
    shift = np.square(means[i] - means[j]).sum(axis=-1)
    values, spread = shift + traces[i] + traces[j] - 2.0 * roots, traces[i] + traces[j]
    return np.asarray(np.where(values <= 64 * _EPS * np.sqrt(x.shape[1]) * (spread + shift), 0.0, values))


def frechet_from_moments(mean_x: ArrayLike, cov_x: ArrayLike, mean_y: ArrayLike, cov_y: ArrayLike) -> float:
    """Frechet distance from means (d,) and covariances (d, d), for statistics that were published without features.

    Raises:
        ShapeError: On wrong shapes, NaN, or covariances that are not symmetric.
    """
    means = [np.asarray(m, dtype=np.float64) for m in (mean_x, mean_y)]
    covs = [np.asarray(c, dtype=np.float64) for c in (cov_x, cov_y)]
    d = means[0].size
    if any(m.shape != (d,) for m in means) or any(c.shape != (d, d) for c in covs):
        shapes = [v.shape for v in (*means, *covs)]
        raise ShapeError(f"expected means (d,) and covariances (d, d) of one d, got {shapes}")
    if not all(np.isfinite(v).all() for v in (*means, *covs)):
        raise ShapeError("means and covariances must be finite")
    if not all(np.allclose(c, c.T, rtol=1e-6, atol=1e-9 * float(np.abs(c).max(initial=0.0))) for c in covs):
        raise ShapeError("a covariance must be symmetric")
    return _distance(float(np.square(means[0] - means[1]).sum()), *covs)


def _distance(shift: float, cov_x: Float, cov_y: Float) -> float:
    spread = float(np.trace(cov_x) + np.trace(cov_y))
    root, error = trace_of_root(cov_x, cov_y)
    return _settle(shift + spread - 2.0 * root, 2.0 * error + 16 * np.sqrt(len(cov_x)) * _EPS * spread)


def _settle(value: float, error: float) -> float:
    """What cannot be told from 0 in double precision is 0."""
    return 0.0 if value <= error else value


def trace_of_root(cov_x: Float, cov_y: Float) -> tuple[float, float]:
    """Trace of (C1 C2)^(1/2) of two covariances (d, d), and a bound of its rounding error.

    With C1 = L L^T, the eigenvalues of C1 C2 are those of the symmetric L^T C2 L: one Cholesky, two products and one
    symmetric eigenvalue problem, no vectors. Rounding moves an eigenvalue v by about eps v_max and its root by
    eps v_max / (2 sqrt v): where that adds up (singular covariances, n barely above d), and where there is no
    Cholesky factor, both matrices are factored by `eigh` and the singular values of the product of factors are taken,
    which no root ever magnifies.
    """
    try:
        factor = cholesky(cov_x, lower=True, check_finite=False)
    except LinAlgError:
        return _exact(cov_x, cov_y)
    product = dtrmm(1.0, factor, cov_y, side=0, lower=1, trans_a=1)
    product = dtrmm(1.0, factor, product, side=1, lower=1)
    values = eigvalsh(product, check_finite=False, overwrite_a=True)
    largest = max(float(values[-1]), 0.0)
    noise = _EPS * largest
    error = float((0.5 * noise / np.sqrt(np.maximum(values, noise))).sum()) if largest > 0 else 0.0
    root = float(np.sqrt(np.maximum(values, 0.0)).sum())
    if error > _ACCURACY * float(np.trace(cov_x) + np.trace(cov_y)):
        return _exact(cov_x, cov_y)
    return root, error


def _exact(cov_x: Float, cov_y: Float) -> tuple[float, float]:
    root = float(svdvals(_factor(cov_x) @ _factor(cov_y).T).sum())
    return root, len(cov_x) * _EPS * float(np.trace(cov_x) + np.trace(cov_y))


def _factor(cov: Float) -> Float:
    """(r, d) F with F^T F = C; directions without variance are left out, an indefinite matrix is refused."""
    values, vectors = eigh(cov, check_finite=False)
    largest = float(max(abs(values[0]), abs(values[-1])))
    if values[0] < -1e-6 * largest:
        raise ShapeError(f"a covariance must not be indefinite, got an eigenvalue of {values[0]:.3g}")
    keep = values > len(values) * _EPS * largest
    return np.asarray(np.sqrt(values[keep])[:, None] * vectors[:, keep].T)


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """The Frechet distance at infinite n, by a straight line in 1/n (Chong and Forsyth 2020, section 4).

    Attributes:
        value: Intercept; may fall slightly below 0 between equal distributions.
        slope: Of the distance against 1/n: the bias times n.
        sizes: (S,) subset sizes.
        distances: (S,) mean distance of the disjoint subsets of each size.
    """

    value: float
    slope: float
    sizes: NDArray[np.int64]
    distances: Float


def extrapolate(x: ArrayLike, y: ArrayLike, *, seed: int, least: int = MIN_ITEMS) -> Extrapolation:
    """Fits a + b/n through subsets of n, n/2, n/3 and n/4 items; items are never repeated.

    Raises:
        UnsupportedError: If a quarter of the items is fewer than `least`.
    """
    a, b = check_sets(x, y)
    if len(a) != len(b):
        raise ShapeError(f"both sets must have the same number of items, got {len(a)} and {len(b)}")
    if len(a) // 4 < least:
        raise UnsupportedError(f"the fit needs at least {4 * least} items a set, got {len(a)}")
    rng = generator("frechet", seed)
    a, b = a[rng.permutation(len(a))], b[rng.permutation(len(b))]
    sizes, distances = [], []
    for parts in (1, 2, 3, 4):
        n = len(a) // parts
        blocks = [slice(i * n, (i + 1) * n) for i in range(parts)]
        sizes.append(n)
        distances.append(float(np.mean([frechet(a[s], b[s], least) for s in blocks])))
    slope, value = np.polyfit(1.0 / np.array(sizes), distances, 1)
    return Extrapolation(
        value=float(value), slope=float(slope), sizes=np.array(sizes, np.int64), distances=np.array(distances)
    )
