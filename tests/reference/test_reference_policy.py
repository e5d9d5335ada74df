"""Agreement of policies against scipy.stats and the table that SIMPLER publishes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from worldsim.metrics.functional import policy

# Success rates of RT-2-X, RT-1 converged, RT-1 at 15 %, RT-1-X, RT-1 begin and Octo-Base, on the robot and in SIMPLER
# (github.com/simpler-env/SimplerEnv, MIT); then MMRV and r as published (Li et al. 2024, arXiv 2405.05941, table I).
SIMPLER = {
    "pick coke can": (
        [0.907, 0.853, 0.920, 0.760, 0.133, 0.293], [0.787, 0.857, 0.710, 0.567, 0.027, 0.170], 0.031, 0.976,
    ),
    "move near": (
        [0.733, 0.633, 0.583, 0.450, 0.017, 0.350], [0.779, 0.442, 0.354, 0.317, 0.050, 0.042], 0.111, 0.855,
    ),
}  # fmt: skip

tables = hnp.arrays(np.float64, (2, 8), elements=st.integers(0, 5).map(lambda v: v / 5))  # with many ties


@pytest.mark.parametrize("task", SIMPLER)
def test_the_published_numbers_of_simpler(task: str) -> None:
    truth, model, mmrv, r = SIMPLER[task]
    assert policy.mmrv(truth, model) == pytest.approx(mmrv, abs=6e-4)
    assert policy.pearson(truth, model) == pytest.approx(r, abs=2e-3)  # the rates are rounded


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=100, deadline=None)
@given(table=tables)
def test_correlations_are_those_of_scipy(table: np.ndarray) -> None:
    truth, model = table
    for ours, theirs in (
        (policy.pearson, stats.pearsonr),
        (policy.spearman, stats.spearmanr),
        (policy.kendall, stats.kendalltau),
    ):
        assert ours(truth, model) == pytest.approx(theirs(truth, model).statistic, abs=1e-12, nan_ok=True)
