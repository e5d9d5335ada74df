"""Interquartile mean, probability of improvement and stratified bootstrap against rliable.

Reference: rliable 1.2.0 from PyPI (Apache-2.0), with arch 5.6.0 and numpy 1.26. Recipe of data/rliable.json: two tables
of 12 x 5 and 9 x 5 normal scores rounded to 0.001, with ties and one outlier; `metrics.aggregate_iqm`,
`metrics.probability_of_improvement`, and `library.get_interval_estimates` (percentile, 50,000 and 10,000 resamples,
`numpy.random.seed(0)`).

Tolerances: 1e-12 for the estimates; for the ends of intervals 6 % of their width, which is the noise of resampling.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import mannwhitneyu, trim_mean

from worldsim import aggregates
from worldsim.errors import ShapeError

RECORDED = json.loads((Path(__file__).parent / "data" / "rliable.json").read_text())
X, Y = np.array(RECORDED["x"]), np.array(RECORDED["y"])
scores = hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(3)), elements=st.integers(0, 6).map(float))


def test_the_numbers_in_its_own_tests() -> None:
    """In its metrics_test.py: 1.5, 2 and 1/3."""
    x, y = np.array([[1, 2], [2, 2], [1, 1], [2, 1]]), np.array([[1, 1], [2, 2], [3, 3]])
    assert (aggregates.iqm(x), aggregates.iqm(y)) == (1.5, 2.0)
    assert aggregates.probability_of_improvement(x, y) == pytest.approx(1 / 3, abs=1e-12)


def test_the_interquartile_mean_is_theirs() -> None:
    assert [aggregates.iqm(t) for t in (X, Y)] == pytest.approx(RECORDED["iqm"], abs=1e-12)
    short = [aggregates.iqm(X[:k, :1]) for k in range(1, 8)]  # 1 to 7 numbers: how many are cut
    assert short == pytest.approx(RECORDED["iqm_first_rows"], abs=1e-12)


def test_the_probability_of_improvement_is_theirs() -> None:
    assert aggregates.probability_of_improvement(X, Y) == pytest.approx(RECORDED["improvement"], abs=1e-12)
    assert aggregates.probability_of_improvement(Y, X) == pytest.approx(RECORDED["reverse"], abs=1e-12)


def test_the_stratified_intervals_are_theirs() -> None:
    for name, statistic, tables in (
        ("iqm_interval", aggregates.iqm, (X,)),
        ("mean_interval", lambda t: float(t.mean()), (X,)),
        ("improvement_interval", aggregates.probability_of_improvement, (X, Y)),
    ):
        expected = RECORDED[name]
        own = aggregates.stratified_bootstrap(statistic, *tables, seed=0, resamples=4000)
        assert own == pytest.approx(expected, abs=0.06 * (expected[1] - expected[0])), name


def test_an_outlier_moves_the_mean_and_not_the_interquartile_mean() -> None:
    calm = np.where(X > 4, 0.6, X)
    assert X.mean() - calm.mean() > 0.05
    assert abs(aggregates.iqm(X) - aggregates.iqm(calm)) < 0.01


@settings(max_examples=50, deadline=None)
@given(x=scores, y=scores)
def test_they_are_scipys_on_any_table(x: np.ndarray, y: np.ndarray) -> None:
    assert aggregates.iqm(x) == pytest.approx(trim_mean(x, 0.25, axis=None), abs=1e-12)
    wins = [mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(x.T, y.T, strict=True)]
    own = aggregates.probability_of_improvement(x, y)
    assert own == pytest.approx(np.mean(wins), abs=1e-12)
    assert own + aggregates.probability_of_improvement(y, x) == pytest.approx(1.0, abs=1e-12)


def test_the_same_seed_gives_the_same_interval_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    once = aggregates.stratified_bootstrap(aggregates.iqm, X, seed=3, resamples=100)
    assert once == aggregates.stratified_bootstrap(aggregates.iqm, X, seed=3, resamples=100)
    assert once != aggregates.stratified_bootstrap(aggregates.iqm, X, seed=4, resamples=100)
    monkeypatch.setattr(aggregates, "CHUNK", 1)
    assert once == aggregates.stratified_bootstrap(aggregates.iqm, X, seed=3, resamples=100)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least one number"):
        aggregates.iqm([])
    with pytest.raises(ShapeError, match="finite"):
        aggregates.iqm([1.0, np.nan])
    with pytest.raises(ShapeError, match="same tasks"):
        aggregates.probability_of_improvement(X, Y[:, :2])
    with pytest.raises(ShapeError, match="runs, tasks"):
        aggregates.probability_of_improvement(X[0], Y)
    with pytest.raises(ShapeError, match="resamples"):
        aggregates.stratified_bootstrap(aggregates.iqm, X, seed=0, resamples=0)
    with pytest.raises(ShapeError, match="expected a table"):
        aggregates.stratified_bootstrap(aggregates.iqm, seed=0)
