"""Known answers, properties and bad input of the set distances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.functional import distribution as dist
from worldsim.metrics.functional import frechet as fr

Kernel = dist.Kernel
KERNELS: list[Kernel] = ["polynomial", "rbf"]


def normal(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, d))


# ------------------------------------------------------------------------------------------------------------- MMD


@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd_is_zero_on_average_and_its_test_keeps_its_level(kernel: Kernel) -> None:
    results = [
        dist.mmd(normal(20, 5, 2 * s), normal(20, 5, 2 * s + 1), kernel=kernel, permutations=99, seed=s)
        for s in range(300)
    ]
    values, p = np.array([r.value for r in results]), np.array([r.p for r in results])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))
    assert (values < 0).any()  # unbiased: a number that is never negative is biased
    for level in (0.05, 0.2, 0.5):  # four standard errors of a rate
        assert (p <= level).mean() == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / len(p)))


@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd_grows_with_a_shift_and_is_significant(kernel: Kernel) -> None:
    results = [dist.mmd(normal(40, 5, 0), normal(40, 5, 1, s), kernel=kernel, permutations=199) for s in (0, 0.5, 1, 2)]
    values = [r.value for r in results]
    assert values == sorted(values) and results[-1].p == pytest.approx(1 / 200)


def test_relabelling_worlds_keeps_the_level_where_relabelling_items_does_not() -> None:
    """Eight items a world, nearly copies: worlds are the unit, items are not."""
    by_world, by_item = [], []
    for s in range(200):
        rng = np.random.default_rng(s)
        x, y = (np.repeat(rng.normal(size=(6, 4)), 8, axis=0) + rng.normal(0, 0.1, (48, 4)) for _ in range(2))
        worlds = np.repeat(np.arange(6), 8)
        by_world.append(dist.mmd(x, y, groups=(worlds, worlds + 6), permutations=99, seed=s))
        by_item.append(dist.mmd(x, y, permutations=99, seed=s))
    assert np.mean([r.p <= 0.05 for r in by_world]) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 200)
    assert np.mean([r.p <= 0.05 for r in by_item]) > 0.5
    assert abs(np.mean([r.value for r in by_world])) < 0.2 * abs(np.mean([r.value for r in by_item]))


def test_grouped_mmd_is_the_mean_over_pairs_of_different_worlds() -> None:
    x, y = normal(7, 3, 0), normal(5, 3, 1)
    a, b = np.array([1, 0, 1, 0, 2, 2, 2]), np.array([9, 8, 9, 8, 9])
    k = dist.polynomial_kernel(np.concatenate([x, y]), np.concatenate([x, y]))
    worlds = np.concatenate([a, b])
    pairs = worlds[:, None] != worlds[None, :]
    first = np.arange(12) < 7
    xx = k[pairs & np.outer(first, first)].mean()
    yy = k[pairs & np.outer(~first, ~first)].mean()
    assert dist.mmd(x, y, groups=(a, b)).value == pytest.approx(xx + yy - 2 * k[np.outer(first, ~first)].mean())


def test_few_worlds_are_relabelled_in_every_way() -> None:
    result = dist.mmd(normal(3, 2, 0), normal(3, 2, 1, 9.0), permutations=999)
    assert result.exact and result.permutations == 20
    assert result.p == pytest.approx(2 / 20)  # itself and its mirror image


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 12), m=st.integers(3, 12))
def test_mmd_does_not_depend_on_order_or_sides(seed: int, n: int, m: int) -> None:
    x, y = normal(n, 3, seed), normal(m, 3, seed + 1, 0.5)
    order = np.random.default_rng(seed).permutation(n)
    value = dist.mmd(x, y, kernel="rbf").value
    assert dist.mmd(x[order], y, kernel="rbf").value == pytest.approx(value, abs=1e-12)
    assert dist.mmd(y, x, kernel="rbf").value == pytest.approx(value, abs=1e-12)


def test_a_set_against_itself_comes_out_negative_which_is_why_worlds_must_be_disjoint() -> None:
    x = normal(20, 3, 0)
    assert dist.mmd(x, x).value < 0
    with pytest.raises(ShapeError, match="disjoint"):
        dist.mmd(x, x, groups=(np.arange(20), np.arange(20)))


# -------------------------------------------------------------------------------------------------------- Frechet


@pytest.mark.parametrize(("n", "d"), [(100, 8), (64, 64), (70, 64), (64, 200)])
def test_frechet_is_exactly_zero_on_identical_sets_in_any_order(n: int, d: int) -> None:
    x = normal(n, d, 0) * 7 + 30
    assert fr.frechet(x, x) == 0.0
    assert fr.frechet(x, x[::-1].copy()) == 0.0


def test_frechet_of_a_shift_and_of_a_stretch() -> None:
    x = normal(200, 6, 0)
    assert fr.frechet(x, x + 3.0) == pytest.approx(6 * 9.0)
    variance = np.trace(np.cov(x, rowvar=False))
    assert fr.frechet(x, x.mean(axis=0) + 3.0 * (x - x.mean(axis=0))) == pytest.approx(variance * (3 - 1) ** 2)


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e3])
def test_frechet_of_diagonal_covariances(spread: float) -> None:
    a, b = np.array([1.0, 4.0, 0.0, 9.0]), np.array([4.0, 1.0, 1.0, 9.0])
    value = fr.frechet_from_moments(np.zeros(4), np.diag(a) * spread, np.zeros(4), np.diag(b) * spread)
    assert value == pytest.approx(spread * 3.0, rel=1e-12)  # (1-2)^2 + (2-1)^2 + (0-1)^2


def test_singular_covariances_lose_no_digits() -> None:
    """Rank 30 of 60: the roots of eigenvalues that are zero up to rounding would be 1e-8 each."""
    x, y = normal(31, 60, 0), normal(31, 60, 1)
    by_factor = fr.frechet(x, y, least=2)
    covs = [np.cov(z, rowvar=False) + 0.0 for z in (x, y)]
    assert fr.frechet_from_moments(x.mean(0), covs[0], y.mean(0), covs[1]) == pytest.approx(by_factor, rel=1e-10)
    near = covs[0] + 1e-14 * np.eye(60)  # a Cholesky factor exists, and must not be trusted
    assert fr.frechet_from_moments(x.mean(0), near, y.mean(0), covs[1]) == pytest.approx(by_factor, rel=1e-7)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), d=st.sampled_from([3, 20, 100]))
def test_frechet_is_symmetric_not_negative_and_blind_to_rotation(seed: int, d: int) -> None:
    x, y = normal(64, d, seed), normal(64, d, seed + 1) * 1.2 + 0.1
    turn = np.linalg.qr(normal(d, d, seed + 2))[0]
    value = fr.frechet(x, y)
    assert value >= 0
    assert fr.frechet(y, x) == pytest.approx(value, rel=1e-9)
    assert fr.frechet(x @ turn, y @ turn) == pytest.approx(value, rel=1e-9)


def test_the_bias_falls_like_one_over_n_and_is_extrapolated_away() -> None:
    x, y = normal(1024, 16, 0), normal(1024, 16, 1)
    fit = fr.extrapolate(x, y, seed=0)
    assert fit.sizes.tolist() == [1024, 512, 341, 256]
    assert (np.diff(fit.distances) > 0).all()  # smaller sets, larger distance, though nothing differs
    assert abs(fit.value) < 0.2 * fit.distances[0]


# ----------------------------------------------------------------------------------- coverage, precision, diversity


def test_a_set_covers_itself_and_nothing_that_is_far_away() -> None:
    x = normal(50, 3, 0)
    same, far = dist.neighbours(x, x), dist.neighbours(x, x + 100)
    assert (same.precision, same.recall, same.coverage, same.duplicates) == (1, 1, 1, 0)
    assert (far.precision, far.recall, far.coverage) == (0, 0, 0)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_coverage_of_the_same_distribution_is_the_known_one(k: int) -> None:
    values = [dist.neighbours(normal(40, 4, 2 * s), normal(40, 4, 2 * s + 1), k=k).coverage for s in range(150)]
    assert np.mean(values) == pytest.approx(dist.expected_coverage(40, 40, k), abs=0.02)


def test_a_collapse_loses_recall_and_coverage_but_not_precision() -> None:
    truth, other = normal(60, 3, 0), normal(60, 3, 1)
    kept = [dist.neighbours(truth, other[np.arange(60) % k]) for k in (60, 15, 4, 1)]
    assert [s.coverage for s in kept] == sorted((s.coverage for s in kept), reverse=True)
    assert kept[-1].recall == 0 and kept[-1].coverage < 0.2 and kept[0].coverage > 0.8
    assert kept[1].duplicates == pytest.approx(0.75)


def test_diversity_is_the_mean_distance_and_relative_to_the_reruns() -> None:
    corners = np.array([[[0.0, 0.0], [3.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]])
    assert dist.diversity(corners).tolist() == [5.0, 0.0]
    assert dist.relative_diversity(corners * 0.5, corners) == 0.5
    assert dist.relative_diversity(corners * 0.0, corners) == 0.0


# ------------------------------------------------------------------------------------------------------- bad input


def test_what_cannot_be_measured_is_refused_with_its_reason() -> None:
    x, bad = normal(70, 3, 0), normal(70, 3, 0)
    bad[3, 1] = np.nan
    for measure in (dist.mmd, fr.frechet, dist.neighbours):
        with pytest.raises(ShapeError, match="NaN"):
            measure(x, bad)  # type: ignore[operator]
        with pytest.raises(ShapeError, match="dimensions"):
            measure(x, x[:, :2])  # type: ignore[operator]
        with pytest.raises(ShapeError, match="one row an item"):
            measure(x[0], x)  # type: ignore[operator]
    for measure in (fr.frechet, dist.neighbours):
        with pytest.raises(ShapeError, match="same number"):
            measure(x, x[:69])  # type: ignore[operator]
    with pytest.raises(UnsupportedError, match="at least 64"):
        fr.frechet(x[:63], x[:63])
    with pytest.raises(UnsupportedError, match="256"):
        fr.extrapolate(x, x, seed=0)
    with pytest.raises(ShapeError, match="at least 6 items"):
        dist.neighbours(x[:5], x[:5])
    with pytest.raises(ShapeError, match="two worlds"):
        dist.mmd(x, x, groups=(np.zeros(70), np.ones(70)))
    with pytest.raises(UnsupportedError, match="coincide"):
        dist.mmd(np.zeros((5, 2)), np.zeros((5, 2)), kernel="rbf")
    with pytest.raises(ShapeError, match="kernel must be"):
        dist.mmd(x, x, kernel="linear")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="one future"):
        dist.relative_diversity(np.ones((2, 3, 4)), np.ones((2, 3, 4)))
    with pytest.raises(ShapeError, match="at least 2 samples"):
        dist.diversity(np.ones((2, 1, 4)))


def test_moments_that_are_none_are_refused() -> None:
    mean, good = np.zeros(3), np.eye(3)
    with pytest.raises(ShapeError, match="symmetric"):
        fr.frechet_from_moments(mean, good + np.triu(np.ones((3, 3)), 1), mean, good)
    with pytest.raises(ShapeError, match="indefinite"):
        fr.frechet_from_moments(mean, np.diag([1.0, 1.0, -1.0]), mean, good)
    with pytest.raises(ShapeError, match="one d"):
        fr.frechet_from_moments(mean, good, np.zeros(2), good)
    with pytest.raises(ShapeError, match="finite"):
        fr.frechet_from_moments(mean, good * np.nan, mean, good)
