"""Rank correlations between the columns that WRBench publishes for 23 models.

Reference: github.com/JinPLu/WRBench (Apache-2.0), commit 629595d. data/wrbench_23.csv holds columns of its
src/wrbench/data/results/wrbench_23model_results.csv: camera alignment (common yaw), D2 to D6, the number of videos
behind D5, and the published average. The intervals below are 95 % percentile bootstraps over the 23 models, as reported
in our survey of the field; 10,000 resamples of numpy's default generator with seed 0 reproduce them.

Tolerances: published averages 1e-9; correlations against scipy 1e-12 and against the survey half of its last digit;
percentile intervals 0.01; ours (BCa, widened for 23 clusters) must contain them to 0.02 and be wider.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from worldsim import stats
from worldsim.metrics.functional import policy

with (Path(__file__).parent / "data" / "wrbench_23.csv").open() as _file:
    _ROWS = list(csv.DictReader(_file))
TABLE = {name: np.array([float(r[name]) for r in _ROWS]) for name in _ROWS[0] if name != "model"}

PUBLISHED = {  # rho, low, high
    ("d5", "d6"): (0.885, 0.69, 0.97),
    ("d3", "d5"): (0.80, 0.55, 0.92),
    ("cam_align", "d5"): (-0.52, -0.78, -0.17),
}
Pair = tuple[str, str]


def test_the_table_gives_the_published_averages() -> None:
    """The mean of camera alignment and D2 to D6: the columns are the right ones, and copied well."""
    assert len(TABLE["d5"]) == 23
    parts = np.mean([TABLE[n] for n in ("cam_align", "d2", "d3", "d4", "d5", "d6")], axis=0)
    np.testing.assert_allclose(parts, TABLE["average"], atol=1e-9)


@pytest.mark.parametrize("pair", PUBLISHED)
def test_the_rank_correlation(pair: Pair) -> None:
    x, y = (TABLE[name] for name in pair)
    own = float(policy.spearman(x, y))
    assert own == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert own == pytest.approx(PUBLISHED[pair][0], abs=5e-3)


@pytest.mark.parametrize("pair", PUBLISHED)
def test_the_percentile_interval(pair: Pair) -> None:
    x, y = (TABLE[name] for name in pair)
    drawn = np.random.default_rng(0).integers(0, 23, (10_000, 23))
    interval = np.quantile(policy.spearman(x[drawn], y[drawn]), [0.025, 0.975])
    assert interval == pytest.approx(PUBLISHED[pair][1:], abs=0.01)


@pytest.mark.parametrize("pair", PUBLISHED)
def test_our_interval_holds_theirs_and_excludes_zero(pair: Pair) -> None:
    x, y = (TABLE[name] for name in pair)

    def rho(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn = [np.repeat(np.arange(23), row.astype(int)) for row in counts]
        return np.array([float(policy.spearman(x[d], y[d])) for d in drawn])

    own = stats.cluster_bootstrap(rho, 23, seed=0, resamples=2000)
    value, low, high = PUBLISHED[pair]
    assert own.method == "BCa"
    assert own.low <= low + 0.02 and own.high >= high - 0.02
    assert own.high - own.low > high - low
    assert own.low > 0 if value > 0 else own.high < 0


def test_the_best_reobservation_score_rests_on_three_videos() -> None:
    """Why we print no point estimate below ten units: the model that leads D5 was seen to return three times."""
    assert TABLE["d5_n"][TABLE["d5"].argmax()] == 3
