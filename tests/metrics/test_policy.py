"""Agreement of policies: cases worked by hand, properties, intervals and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.functional import policy

TRUTH = np.array([0.0, 0.1, 0.2, 0.4, 0.5, 0.7, 0.8, 1.0])
tables = hnp.arrays(np.float64, (2, 8), elements=st.integers(0, 6).map(lambda v: v / 6))


def rollouts(policies: int, starts: int, seed: int, flip: float = 0.0, kind: float = 0.0) -> tuple[np.ndarray, ...]:
    """Successes (P, S) of policies of rising quality; the model turns a share of them over, or is too kind."""
    rng = np.random.default_rng(seed)
    quality = np.linspace(0.1, 0.9, policies)[:, None]
    truth = rng.random((policies, starts)) < quality
    model = np.where(rng.random(truth.shape) < flip, ~truth, truth) | (rng.random(truth.shape) < kind)
    return truth.astype(float), model.astype(float)


def test_the_truth_agrees_with_itself() -> None:
    values = {name: float(score(TRUTH, TRUTH)) for name, score in policy.SCORES.items()}
    assert values == pytest.approx({"pearson": 1, "spearman": 1, "kendall": 1, "bias": 0, "mmrv": 0, "regret": 0})


def test_a_reversed_order_worked_by_hand() -> None:
    assert policy.spearman(TRUTH, -TRUTH) == pytest.approx(-1) and policy.kendall(TRUTH, -TRUTH) == -1
    assert policy.regret(TRUTH, -TRUTH) == 1.0
    assert policy.mmrv(TRUTH, -TRUTH) == pytest.approx(np.maximum(TRUTH, 1 - TRUTH).mean())


def test_one_exchange_costs_the_gap_of_the_two() -> None:
    model = TRUTH.copy()
    model[[3, 4]] = model[[4, 3]]
    assert policy.mmrv(TRUTH, model) == pytest.approx(2 * 0.1 / 8)
    assert policy.kendall(TRUTH, model) == pytest.approx((27 - 1) / 28)
    model = TRUTH.copy()
    model[[6, 7]] = model[[7, 6]]
    assert policy.regret(TRUTH, model) == pytest.approx(0.2)


def test_a_simulator_blind_to_policies_is_undefined_in_rank_and_gets_the_regret_of_chance() -> None:
    blind = np.full(8, 0.5)
    for name in ("pearson", "spearman", "kendall"):
        assert math.isnan(policy.SCORES[name](TRUTH, blind))
    assert policy.regret(TRUTH, blind) == pytest.approx(1 - TRUTH.mean())
    assert policy.mmrv(TRUTH, blind) == pytest.approx(TRUTH.mean())  # each is charged its gap to the worst
    assert policy.bias(TRUTH, blind) == pytest.approx(0.5 - TRUTH.mean())


def test_equally_good_policies_leave_the_bias_only() -> None:
    same = np.full(8, 0.3)
    assert math.isnan(policy.spearman(same, TRUTH)) and policy.regret(same, TRUTH) == pytest.approx(0)
    assert policy.bias(same, TRUTH) == pytest.approx(TRUTH.mean() - 0.3)


@settings(max_examples=60, deadline=None)
@given(table=tables, seed=st.integers(0, 1000))
def test_relabelling_policies_changes_nothing_and_tables_do_not_mix(table: np.ndarray, seed: int) -> None:
    truth, model = table
    order = np.random.default_rng(seed).permutation(8)
    for score in policy.SCORES.values():
        value = score(truth, model)
        assert score(truth[order], model[order]) == pytest.approx(value, abs=1e-9, nan_ok=True)
        stacked = score(np.stack([model, truth]), np.stack([truth, model]))
        assert stacked.shape == (2,) and stacked[1] == pytest.approx(value, abs=1e-12, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(table=tables)
def test_ranges(table: np.ndarray) -> None:
    for name in ("pearson", "spearman", "kendall"):
        value = policy.SCORES[name](*table)
        assert math.isnan(value) or -1 <= value <= 1
    assert 0 <= policy.regret(*table) <= np.ptp(table[0]) + 1e-12 and 0 <= policy.mmrv(*table) <= np.ptp(table[0])


def test_the_bootstrap_holds_the_value_and_narrows_with_more_of_both() -> None:
    small = policy.bootstrap(*rollouts(8, 10, 0, flip=0.1), seed=0, resamples=500)
    large = policy.bootstrap(*rollouts(24, 200, 0, flip=0.1), seed=0, resamples=500)
    for result in (small, large):
        assert set(result) == set(policy.SCORES)
        assert result["bias"].low <= result["bias"].value <= result["bias"].high
        assert result["pearson"].low <= result["pearson"].value <= result["pearson"].high
    assert large["pearson"].high - large["pearson"].low < 0.5 * (small["pearson"].high - small["pearson"].low)


def test_the_bootstrap_does_not_depend_on_anything_but_its_seed() -> None:
    table = rollouts(8, 20, 1, flip=0.2)
    first = policy.bootstrap(*table, seed=3, resamples=200)
    assert policy.bootstrap(*table, seed=3, resamples=200) == first
    assert policy.bootstrap(*table, seed=4, resamples=200) != first


def test_intervals_of_the_bias_hold_the_true_bias_about_as_often_as_they_say() -> None:
    """Chance flips of 10 % on quality q bias a policy by 0.1 (1 - 2q): 0 on average over these qualities."""
    held = 0
    for seed in range(120):
        bias = policy.bootstrap(*rollouts(10, 30, seed, flip=0.1), seed=seed, resamples=300)["bias"]
        held += bias.low <= 0.0 <= bias.high
    assert held / 120 >= 0.9  # the two-way bootstrap errs to the wide side (Owen 2007)


def test_an_optimistic_reward_moves_the_bias_monotonically() -> None:
    values = [policy.bias(*(side.mean(axis=1) for side in rollouts(8, 200, 2, kind=k))) for k in (0, 0.2, 0.4, 0.8)]
    assert values[0] == 0 and values == sorted(values) and values[-1] > 0.3


def test_agreement_within_a_policy_is_phi() -> None:
    truth = np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]])
    model = np.array([[1.0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0]])
    assert policy.agreement(truth, model) == pytest.approx([1, -1, 0, np.nan], nan_ok=True)


def test_the_lift_is_what_training_gained_outside() -> None:
    assert policy.optimisation_lift([0, 1, 0, 0], [1, 1, 0, 1]) == 0.5


def test_mistakes_are_explained() -> None:
    table = rollouts(8, 5, 0)
    for score in policy.SCORES.values():
        with pytest.raises(ShapeError, match="same shape"):
            score(TRUTH, TRUTH[:7])
        with pytest.raises(ShapeError, match="NaN"):
            score(TRUTH, TRUTH * np.nan)
    with pytest.raises(UnsupportedError, match="at least 8 policies"):
        policy.bootstrap(table[0][:7], table[1][:7], seed=0)
    with pytest.raises(UnsupportedError, match="2 starts"):
        policy.bootstrap(table[0][:, :1], table[1][:, :1], seed=0)
    with pytest.raises(ShapeError, match="policies, starts"):
        policy.bootstrap(TRUTH, TRUTH, seed=0)
    with pytest.raises(ShapeError, match="level"):
        policy.bootstrap(*table, seed=0, level=95)
    with pytest.raises(ShapeError, match="same starts"):
        policy.optimisation_lift([0, 1], [1])
