"""The trend test, the isotonic fit under it and the equivalence tests: known answers and independent references."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats as reference

from worldsim import equivalence, stats, trend
from worldsim.errors import ShapeError
from worldsim.metrics.functional.isotonic import isotonic

curves = hnp.arrays(np.float64, st.integers(1, 8), elements=st.floats(-100, 100, allow_nan=False))


def pooled(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pool adjacent violators, as the textbook does it."""
    blocks = [[v, w, 1] for v, w in zip(values, weights, strict=True)]
    i = 0
    while i + 1 < len(blocks):
        if blocks[i][0] > blocks[i + 1][0]:
            (a, u, n), (b, w, m) = blocks[i], blocks.pop(i + 1)
            blocks[i] = [(a * u + b * w) / (u + w), u + w, n + m]
            i = max(i - 1, 0)
        else:
            i += 1
    return np.repeat([b[0] for b in blocks], [b[2] for b in blocks])


@given(curves, st.integers(0, 1000))
def test_the_isotonic_fit_is_that_of_pooling(values: np.ndarray, seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(0.1, 5.0, len(values))
    fit = isotonic(values, weights)
    assert fit == pytest.approx(pooled(values, weights), abs=1e-9)
    assert (np.diff(fit) >= -1e-9).all()
    assert (weights * fit).sum() == pytest.approx((weights * values).sum(), abs=1e-6)


def test_many_curves_are_fitted_at_once() -> None:
    table = np.random.default_rng(0).normal(size=(3, 5, 6))
    fits = isotonic(table)
    assert fits[1, 2] == pytest.approx(isotonic(table[1, 2]))
    with pytest.raises(ShapeError, match="finite"):
        isotonic([1.0, np.nan])
    with pytest.raises(ShapeError, match="above 0"):
        isotonic([1.0, 2.0], [0.0, 1.0])


def test_the_exact_trend_test_counts_every_arrangement() -> None:
    """Two worlds, three levels: 36 arrangements, counted here one by one with the textbook's fit."""
    x = np.array([[0.1, 0.9], [0.5, 0.2], [0.7, 1.1]])

    def rise(table: np.ndarray) -> float:
        fit = pooled(table.mean(axis=1), np.ones(3))
        return float(np.square(fit - fit.mean()).sum())

    orders = list(itertools.permutations(range(3)))
    found = [rise(np.stack([x[list(a), 0], x[list(b), 1]], axis=1)) for a in orders for b in orders]
    result = trend.trend_test(x)
    assert (result.exact, result.permutations) == (True, 36)
    assert result.p == pytest.approx(np.mean([f >= rise(x) - 1e-12 for f in found]))


def test_drawn_and_exact_p_agree() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, 5)) + 0.4 * np.arange(3)[:, None]
    exact = trend.trend_test(x)
    drawn = trend.trend_test(x, exact=0, permutations=20_000)
    assert exact.exact and not drawn.exact
    assert exact.p is not None and drawn.p == pytest.approx(exact.p, abs=0.01)


def test_a_step_a_slope_and_the_wrong_way() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, (6, 12))
    for shape in ([0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]):
        x = noise + np.array(shape)[:, None]
        up, down = trend.trend_test(x), trend.trend_test(x, rising=False)
        assert up.p is not None and up.p < 0.001 and down.p is not None and down.p > 0.5
        mirrored = trend.trend_test(-x, rising=False)
        assert mirrored.p == up.p and mirrored.effect == pytest.approx(-up.effect)
        assert up.effect == pytest.approx(1.0, abs=0.1)


def test_nothing_moves_and_nothing_is_claimed() -> None:
    for worlds in (2, 30):
        result = trend.trend_test(np.full((4, worlds), 0.3))
        assert (result.p, result.tau) == (1.0, None)
        assert result.effect == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_p_is_invariant_to_worlds_order_shift_and_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 4))
    p = trend.trend_test(x).p
    assert trend.trend_test(x[:, ::-1]).p == pytest.approx(p)
    assert trend.trend_test(7.0 * x + rng.normal(size=4)[None] * 10).p == pytest.approx(p)  # worlds differ in level


def test_tau_is_scipys() -> None:
    values = [0.1, 0.4, 0.4, 0.2, 0.9]
    assert trend.kendall_tau(values) == pytest.approx(reference.kendalltau(range(5), values).statistic)
    assert trend.kendall_tau([1.0, 2.0, 3.0]) == 1.0 and trend.kendall_tau([3.0, 2.0, 1.0]) == -1.0


def test_a_trend_of_a_score_that_is_no_mean() -> None:
    """The median over worlds, which a permutation of means would not see."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4, 15)) + 0.8 * np.arange(4)[:, None]

    def median(assignment: np.ndarray) -> np.ndarray:
        return np.median(np.take_along_axis(x, assignment, axis=0), axis=1)

    result = trend.permuted_trend(median, 4, 15, seed=1, permutations=299)
    assert result.p == pytest.approx(1 / 300) and result.values == pytest.approx(np.median(x, axis=1))
    falling = trend.permuted_trend(median, 4, 15, seed=1, permutations=99, rising=False)
    assert falling.p is not None and falling.p > 0.5
    flat = trend.permuted_trend(lambda a: np.zeros(4), 4, 15, permutations=19)
    assert (flat.p, flat.tau) == (1.0, None)


def test_a_mean_gives_the_p_of_the_trend_test() -> None:
    x = np.random.default_rng(5).normal(size=(3, 8)) + 0.35 * np.arange(3)[:, None]
    slow = trend.permuted_trend(lambda a: np.take_along_axis(x, a, axis=0).mean(axis=1), 3, 8, permutations=2000)
    fast = trend.trend_test(x)
    assert fast.p is not None and slow.p == pytest.approx(fast.p, abs=0.03)


def test_holes_never_make_a_trend() -> None:
    first = trend.permuted_trend(lambda a: np.array([0.0, np.nan, 2.0]), 3, 5)
    assert first.p is None and first.tau is None
    x = np.random.default_rng(1).normal(size=(3, 9)) + np.arange(3)[:, None]

    def brittle(assignment: np.ndarray) -> np.ndarray:
        moved = (assignment != np.arange(3)[:, None]).any()
        return np.full(3, np.nan) if moved else x.mean(axis=1)

    assert trend.permuted_trend(brittle, 3, 9, permutations=50).p == 1.0


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ShapeError, match="severities"):
        trend.trend_test(np.zeros(4))
    with pytest.raises(ShapeError, match="finite"):
        trend.trend_test(np.array([[0.0], [np.nan]]))
    with pytest.raises(ShapeError, match="one value a level"):
        trend.permuted_trend(lambda a: np.zeros(2), 3, 5)
    with pytest.raises(ShapeError, match="at least 2 levels"):
        trend.permuted_trend(lambda a: np.zeros(1), 1, 5)


# ------------------------------------------------------------------------------------------------------ equivalence


def test_tost_with_no_difference_at_all_and_with_few_worlds() -> None:
    assert stats.tost(np.zeros(2), 0.05) == 0.0
    assert stats.tost(np.zeros(1), 0.05) == 1.0  # one world has no spread to judge by
    assert stats.tost(np.full(20, 0.05), 0.05) == 1.0  # on the edge is not inside
    assert stats.tost(np.full(20, 0.1 + 0.2), 0.05) == 1.0


def test_tost_from_the_resamples_of_a_mean_is_near_tost() -> None:
    differences = np.random.default_rng(0).normal(0.01, 0.06, 25)
    draws = np.random.default_rng(1).choice(differences, (50_000, 25)).mean(axis=1)
    expected = stats.tost(differences, 0.04)
    assert 0.001 < expected < 0.2
    assert equivalence.tost_from_bootstrap(draws, 0.04, worlds=25) == pytest.approx(expected, rel=0.25)
    assert equivalence.tost_from_bootstrap(draws, 0.04) < expected  # without the widening it is too sure


def test_tost_from_resamples_at_its_limits() -> None:
    tost = equivalence.tost_from_bootstrap
    assert tost(np.zeros(200), 0.05, worlds=10) == 0.0
    assert tost(np.full(200, 0.2), 0.05, worlds=10) == 1.0
    assert tost(np.zeros(200), 0.05, worlds=1) == 1.0
    spread = np.linspace(-0.01, 0.01, 999)
    assert tost(spread, 0.05) == pytest.approx(1 / 1000)
    assert tost(np.r_[spread, np.full(100, np.nan)], 0.05) == pytest.approx(101 / 1100)  # a hole is no proof
    assert tost(np.full(10, np.nan), 0.05) == 1.0
    assert tost(spread + 0.05, 0.05, worlds=5) >= 0.5
    with pytest.raises(ShapeError, match="margin"):
        tost(spread, 0.0)
    with pytest.raises(ShapeError, match="resamples"):
        tost([], 0.05)


@pytest.mark.parametrize(("spread", "worlds"), [(0.03, 12), (0.05, 20), (0.02, 6)])
def test_the_power_of_equivalence_is_what_simulation_finds(spread: float, worlds: int) -> None:
    x = np.random.default_rng(worlds).normal(0.0, spread, (20_000, worlds))
    error = x.std(axis=1, ddof=1) / np.sqrt(worlds)
    away = (0.05 - np.abs(x.mean(axis=1))) / error
    found = (away > reference.t.ppf(0.95, worlds - 1)).mean()
    assert equivalence.equivalence_power(spread, worlds, 0.05) == pytest.approx(found, abs=0.01)


def test_how_many_worlds_an_equivalence_takes() -> None:
    worlds = equivalence.worlds_for_equivalence(0.05, 0.05)
    assert worlds is not None and worlds > 10
    assert equivalence.equivalence_power(0.05, worlds, 0.05) >= 0.999
    assert equivalence.equivalence_power(0.05, worlds - 1, 0.05) < 0.999
    assert equivalence.worlds_for_equivalence(0.0, 0.05) == 2
    assert equivalence.worlds_for_equivalence(50.0, 0.05, most=1000) is None
    assert equivalence.equivalence_power(0.1, 1, 0.05) == 0.0
