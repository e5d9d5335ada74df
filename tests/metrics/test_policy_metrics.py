"""The policy metrics on panels of known returns: the oracle, the blind, the too kind, ties, what is undefined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from worldsim.faults.table import FAULTS
from worldsim.metrics.functional import policy as functional
from worldsim.metrics.policy import Bias, Mmrv, Pearson, PolicyMetric, Regret, Spearman, told_return
from worldsim.protocols import Metric
from worldsim.scoring import observe_all, summarise
from worldsim.types import Episode, Observation, Rollout, Trajectory

ALL: list[type[PolicyMetric]] = [Spearman, Pearson, Mmrv, Bias, Regret]
IDS = [m.spec.name for m in ALL]
CONTEXT, STEPS = 4, 10
GOOD = np.linspace(-0.4, 1.0, 8)  # what the policies are worth
BEST = {"policy.spearman": 1.0, "policy.pearson": 1.0, "policy.mmrv": 0.0, "policy.bias": 0.0, "policy.regret": 0.0}

#: True rewards (T,), index of the policy -> told rewards (T,), or None for a model that tells none.
Account = Callable[[np.ndarray, int], np.ndarray | None]


def oracle(rewards: np.ndarray, policy: int) -> np.ndarray:
    return rewards


def silent(rewards: np.ndarray, policy: int) -> None:
    return None


def episode(
    world: int, policy: int, account: Account = oracle, *, worth: np.ndarray = GOOD, scenario: str = "policy_panel"
) -> Episode:
    """One policy in one world: its worth, a little different in each world, is spread over the predicted steps."""
    steps = CONTEXT - 1 + STEPS
    rng = np.random.default_rng(world)
    frames = np.zeros((steps + 1, 8, 8, 3), np.uint8)
    frames[:, 0, 0, 0] = rng.integers(0, 256, steps + 1)
    rewards = np.zeros(steps, np.float32)
    rewards[CONTEXT - 1 :] = worth[policy] / STEPS
    if worth[policy] != 0:
        rewards[CONTEXT - 1 + int(rng.integers(STEPS))] += 0.1 * rng.random()
    told = account(rewards.copy(), policy)
    common: dict[str, Any] = {"frames": frames, "actions": np.zeros(steps)}
    return Episode(
        id=f"{scenario}-{world:04d}-p{policy}",
        scenario=scenario,
        world_seed=world,
        context_length=CONTEXT,
        truth=Trajectory(rewards=rewards, **common),
        generated=(Rollout(trajectory=Trajectory(rewards=told, **common)),),
        pair_id=f"{scenario}-{world:04d}",
        variant=f"p{policy}",
    )


def groups(account: Account = oracle, worlds: int = 4, policies: int = 8, **kwargs: Any) -> list[tuple[Episode, ...]]:
    return [tuple(episode(w, p, account, **kwargs) for p in range(policies)) for w in range(worlds)]


def rows_of(metric: PolicyMetric, panel: list[tuple[Episode, ...]], source: str = "model") -> list[Observation]:
    return [row for group in panel for row in metric.observe(group, source)]


def value(cls: type[PolicyMetric], panel: list[tuple[Episode, ...]]) -> float | None:
    metric = cls()
    return metric.reduce(rows_of(metric, panel)).value


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_oracle_is_best_and_the_order_of_rows_is_free(cls: type[PolicyMetric]) -> None:
    metric = cls()
    assert isinstance(metric, Metric)
    rows = rows_of(metric, groups())
    assert len(rows) == 32 and all(isinstance(r.outcome, float) for r in rows)
    assert metric.reduce(rows).value == pytest.approx(BEST[cls.spec.name], abs=1e-9)
    assert metric.reduce(rows[::-1]) == metric.reduce(rows)


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_faults_it_names_exist(cls: type[PolicyMetric]) -> None:
    assert cls.spec.sensitive | cls.spec.invariant <= set(FAULTS)


@pytest.mark.parametrize(
    "blind",
    [silent, lambda r, p: np.zeros_like(r), lambda r, p: np.full_like(r, 0.3)],
    ids=["tells none", "zero", "the same"],
)
def test_who_pays_all_policies_the_same_knows_nothing_of_them(blind: Account) -> None:
    panel = groups(blind)
    assert value(Spearman, panel) == 0.0 and value(Pearson, panel) == 0.0
    truth = np.mean([[told_return(e.truth, CONTEXT, 13) or 0.0 for e in g] for g in panel], axis=0)
    assert value(Regret, panel) == pytest.approx(truth.max() - truth.mean())
    assert value(Mmrv, panel) == pytest.approx((truth - truth.min()).mean())  # a tie is charged to the better


def test_known_answers() -> None:
    backwards: Account = lambda r, p: -r  # noqa: E731
    assert value(Spearman, groups(backwards)) == pytest.approx(-1.0)
    kind: Account = lambda r, p: r + np.float32(0.1)  # noqa: E731 - ten predicted steps: one more for every policy
    assert value(Spearman, groups(kind)) == pytest.approx(1.0)
    assert value(Bias, groups(kind)) == pytest.approx(1.0, abs=1e-5)
    score = Bias().reduce(rows_of(Bias(), groups(lambda r, p: r - np.float32(0.1))))
    assert score.value == pytest.approx(1.0, abs=1e-5)
    assert score.details["signed"]["policy_panel"] == pytest.approx(-1.0, abs=1e-5)
    best_last: Account = lambda r, p: r + np.float32(p == 6)  # noqa: E731 - the second best is paid far too much
    truth = np.mean([[told_return(e.truth, CONTEXT, 13) or 0.0 for e in g] for g in groups()], axis=0)
    assert value(Regret, groups(best_last)) == pytest.approx(truth[7] - truth[6])


def test_the_class_agrees_with_the_function() -> None:
    noise = np.random.default_rng(0).normal(0, 0.5, 8)
    panel = groups(lambda r, p: r + np.float32(noise[p] / STEPS))
    truth, model = (
        np.mean([[told_return(side(e), CONTEXT, 13) or 0.0 for e in g] for g in panel], axis=0)
        for side in (lambda e: e.truth, lambda e: e.generated[0].trajectory)
    )
    for cls, name in zip(ALL, ("spearman", "pearson", "mmrv", "bias", "regret"), strict=True):
        expected = float(functional.SCORES[name](truth, model))
        assert value(cls, panel) == pytest.approx(abs(expected) if name == "bias" else expected, abs=1e-6)


def test_optimism_costs_more_the_more_of_it_there_is() -> None:
    """Each told reward is (1 - s) of the true one and s of a success's, and a policy that arrives ends its episode."""

    def panel(severity: float) -> list[tuple[Episode, ...]]:
        out = []
        for group in groups(lambda r, p: np.float32(1 - severity) * r + np.float32(severity)):
            ended = [
                replace(e, truth=replace(e.truth, ended=12 - k, end_reason="terminated")) for k, e in enumerate(group)
            ]
            out.append(tuple(ended))
        return out

    found = [value(Pearson, panel(s)) for s in (0.0, 0.05, 0.1, 0.2, 1.0)]
    assert all(a is not None and b is not None and a > b for a, b in pairwise(found))
    assert found[-1] is not None and found[-1] < -0.9


def test_what_counts_as_told() -> None:
    base = episode(0, 7).truth
    r = np.arange(len(base), dtype=np.float32)
    t = replace(base, rewards=r)
    assert told_return(t, CONTEXT, 13) == r[3:].sum()  # the step that led to frame 4 has index 3
    assert told_return(t, CONTEXT, 6) == 3 + 4 + 5
    assert told_return(replace(t, ended=4, end_reason="terminated"), CONTEXT, 13) == 3 + 4
    assert told_return(replace(t, ended=1, end_reason="terminated"), CONTEXT, 13) == 0
    assert told_return(replace(t, rewards=None), CONTEXT, 13) is None
    holes = r.copy()
    holes[5], holes[6] = np.nan, np.inf
    assert told_return(replace(t, rewards=holes), CONTEXT, 13) == r[3:].sum() - 11


def test_rewards_of_the_context_and_after_the_truths_end_do_not_count() -> None:
    def loud(r: np.ndarray, p: int) -> np.ndarray:
        r[: CONTEXT - 1] = 100.0 * (8 - p)
        r[11:] = 100.0 * (8 - p)
        return r

    ended = [
        tuple(replace(e, truth=replace(e.truth, ended=10, end_reason="terminated")) for e in group)
        for group in groups(loud)
    ]
    assert value(Spearman, ended) == pytest.approx(1.0) and value(Bias, ended) == pytest.approx(0.0, abs=1e-6)


def test_only_the_truth_decides_what_is_undefined() -> None:
    def reason(panel: list[tuple[Episode, ...]], source: str = "model") -> str:
        score = Spearman().reduce(rows_of(Spearman(), panel, source))
        assert score.value is None
        return score.reason or ""

    assert reason(groups(policies=7)) == "fewer than 8 policies"
    assert reason(groups(worlds=1)) == "fewer than 2 starts"
    assert reason(groups(policies=1)) == "one policy only: no panel"
    assert reason(groups(worth=np.zeros(8))) == "all policies are equally good in the truth"
    mute = [tuple(replace(e, truth=replace(e.truth, rewards=None)) for e in g) for g in groups()]
    assert reason(mute) == "the truth tells no rewards"
    assert reason([tuple(replace(e, context_length=14) for e in g) for g in groups()]) == "no predicted frame"
    assert reason(groups(silent), "ceiling") == "the anchor carries no rewards"
    assert Spearman().reduce([]).reason == "no observations"
    assert value(Spearman, groups(lambda r, p: np.full_like(r, np.nan))) == 0.0  # the model's holes are its failure


def test_panels_are_not_mixed_and_others_do_not_matter() -> None:
    """Two tasks with other scales, and a scenario whose variants are no policies."""
    two = groups() + groups(lambda r, p: -r, worth=10 * GOOD, scenario="second")
    score = Spearman().reduce(rows_of(Spearman(), two))
    assert score.value == pytest.approx(0.0, abs=1e-9)  # the mean of 1 and -1
    assert score.details["panels"] == pytest.approx({"policy_panel": 1.0, "second": -1.0})
    pair = groups(policies=4, worth=np.zeros(8), scenario="counterfactual")
    assert value(Spearman, groups() + pair) == pytest.approx(1.0)


def test_a_policy_that_a_world_lacks_is_compared_where_it_played() -> None:
    panel = groups(worlds=6)
    panel[0] = panel[0][1:]
    for cls in ALL:
        assert value(cls, panel) == pytest.approx(BEST[cls.spec.name], abs=1e-9)


def test_samples_are_averaged_within_a_start() -> None:
    panel = groups()
    first = panel[0][0].generated[0]
    worse = replace(first, trajectory=replace(first.trajectory, rewards=np.zeros(len(first.trajectory), np.float32)))
    panel[0] = (replace(panel[0][0], generated=(first, replace(worse, sample=1))), *panel[0][1:])
    got = Bias().reduce(rows_of(Bias(), panel)).details["policies"]["policy_panel"]["p0"]
    whole = np.mean([told_return(g[0].truth, CONTEXT, 13) or 0.0 for g in panel])
    half = 0.5 * (told_return(panel[0][0].truth, CONTEXT, 13) or 0.0) / 4
    assert got["model"] == pytest.approx(whole - half, abs=1e-6)


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_summary_has_floor_ceiling_and_skill(cls: type[PolicyMetric]) -> None:
    metric = cls()
    for account, skill in ((oracle, 1.0), (silent, 0.0)):
        rows = list(observe_all([metric], groups(account, worlds=12)))
        summary, _ = summarise(metric, rows, resamples=50)
        row = next(r for r in summary if r["scenario"] == "policy_panel")
        assert row["skill_reason"] is None and row["skill"] == pytest.approx(skill, abs=1e-6)
        assert row["ceiling"] == pytest.approx(BEST[cls.spec.name], abs=1e-6)
        nulls = row["nulls"]
        assert isinstance(nulls, dict)
        # without another world at hand "other-episode" cannot be drawn; the four others tell no rewards
        assert {n["skill"] for name, n in nulls.items() if name != "other-episode"} == {0.0}
        assert row["coverage"] == 1.0
