"""The checkers name every broken clause with its remedy, and go on to the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.broken import BROKEN_MODELS, BROKEN_TRUTHS
from tests.toy_models import Shifter
from tests.toys import ToyEnv
from worldsim import MetricSpec, Observation, Score
from worldsim.baselines import Frozen
from worldsim.checks import Report, check_metric, check_truth_env, check_world_model
from worldsim.checks.models import CLAUSES as MODEL_CLAUSES
from worldsim.checks.truths import CLAUSES as TRUTH_CLAUSES
from worldsim.errors import ConfigError, ContractError
from worldsim.oracle import Oracle
from worldsim.registry import ENVS, MODELS


def assert_named(report: Report, clause: str) -> None:
    broken = {c.name for c in report.failures}
    assert clause in broken, str(report)
    assert not report.ok
    for c in report.failures:
        assert c.expected and c.got and c.remedy
        assert f"✗ {c.name}" in str(report) and c.remedy in str(report)
    with pytest.raises(ContractError, match="remedy"):
        report.raise_for_status()


@pytest.mark.parametrize(("model", "clause"), BROKEN_MODELS.items(), ids=lambda x: getattr(x, "__name__", None))
def test_each_broken_clause_of_a_model_is_named(model: Any, clause: str) -> None:
    assert_named(check_world_model(model), clause)


@pytest.mark.parametrize(("env", "clause"), BROKEN_TRUTHS.items(), ids=lambda x: getattr(x, "__name__", None))
def test_each_broken_clause_of_a_truth_is_named(env: Any, clause: str) -> None:
    assert_named(check_truth_env(env), clause)


def test_several_faults_are_all_named() -> None:
    """What the example of a first attempt breaks: no more and no less."""
    path = Path(__file__).parent.parent / "examples" / "broken.py"
    report = check_world_model(MODELS.get(f"{path}:BrokenModel"), env=ToyEnv)
    named = {
        *("other seed", "batch equals single", "reset of some worlds"),
        *("inputs not mutated", "outputs not reused"),
    }
    assert {c.name for c in report.failures} == named, str(report)
    report = check_truth_env(ENVS.get(f"{path}:BrokenEnv"))
    named = {"time", "pose", "restore", "render_from", "edit RemoveObject"}  # a mirrored pose draws another picture
    assert {c.name for c in report.failures} == named, str(report)


def test_every_clause_has_a_model_or_truth_that_breaks_it() -> None:
    """A clause that nothing can break proves nothing."""
    free = {"speed"}
    assert set(MODEL_CLAUSES.names) - free == set(BROKEN_MODELS.values())
    edits = {n for n in TRUTH_CLAUSES.names if n.startswith("edit ")}
    assert set(TRUTH_CLAUSES.names) - edits == {n for n in BROKEN_TRUTHS.values() if not n.startswith("edit ")}


def test_a_sound_model_and_truth_pass() -> None:
    for report in (check_world_model(Frozen), check_world_model(Oracle(), env=ToyEnv), check_truth_env(ToyEnv)):
        assert report.ok, str(report)
        report.raise_for_status()
        assert "0 broken" in str(report)


def test_independent_clauses_run_after_a_failure() -> None:
    report = check_world_model(next(m for m, c in BROKEN_MODELS.items() if c == "sizes"))
    assert report["longer context"].status == "pass"
    assert report["speed"].status == "pass"
    with pytest.raises(KeyError):
        report["no such clause"]


def test_an_oracle_needs_a_truth() -> None:
    with pytest.raises(ConfigError, match="env="):
        check_world_model(Oracle)


def test_a_model_that_cannot_be_made_is_explained() -> None:
    class Needs(Shifter):
        def __init__(self, path: str) -> None:
            super().__init__()

    with pytest.raises(ContractError, match="default"):
        check_world_model(Needs)


def test_the_check_leaves_global_random_state_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    check_world_model(Shifter)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


# ------------------------------------------------------------------------------------------------ metrics


class Sound:
    """The mean absolute error of the last frame."""

    spec: ClassVar[Any] = MetricSpec(
        name="test.sound",
        version=1,
        unit="1",
        range=(0.0, 255.0),
        higher_is_better=False,
        floor="frozen",
        undefined=("no predicted frame",),
        source="here",
        summary="How far is the last frame?",
    )

    def outcome(self, truth: Any, shown: Any) -> Any:
        return float(np.abs(truth.astype(float) - shown).mean())

    def observe(self, group: Any, source: str = "model") -> list[Observation]:
        rows = []
        for e in group:
            for r in e.generated:
                t = e.truth.last_valid_frame
                some = t >= e.context_length
                rows.append(
                    Observation(
                        metric=self.spec.name,
                        episode=e.id,
                        scenario=e.scenario,
                        world=e.world_seed,
                        source=source,
                        arm=r.arm,
                        sample=r.sample,
                        outcome=self.outcome(e.truth.frames[t], r.trajectory.frames[t]) if some else None,
                        reason=None if some else "no predicted frame",
                    )
                )
        return rows

    def reduce(self, rows: Sequence[Observation]) -> Score:
        values = [r.outcome for r in rows if r.outcome is not None]
        if not values:
            return Score(value=None, unit=self.spec.unit, reason="no predicted frame")
        return Score(value=float(np.mean(values)), unit=self.spec.unit)


class Unspecified(Sound):
    spec: ClassVar[Any] = replace(Sound.spec, floor="nothing", summary="")


class Anonymous(Sound):
    def observe(self, group: Any, source: str = "model") -> list[Observation]:
        return [replace(r, world=-1) for r in super().observe(group, source)]


class Nan(Sound):
    def outcome(self, truth: Any, shown: Any) -> Any:
        return float("nan")


class OffByOne(Sound):
    def outcome(self, truth: Any, shown: Any) -> Any:
        return super().outcome(truth, np.roll(shown, 1, axis=0))


class Blind(Sound):
    def outcome(self, truth: Any, shown: Any) -> Any:
        return 0.0


class OutOfRange(Sound):
    spec: ClassVar[Any] = replace(Sound.spec, range=(0.0, 1.0))


class ZeroForNothing(Sound):
    def reduce(self, rows: Sequence[Observation]) -> Score:
        score = super().reduce(rows)
        return replace(score, value=score.value or 0.0)


class NeedsStates(Sound):
    def observe(self, group: Any, source: str = "model") -> list[Observation]:
        assert group[0].truth.states[0].time == 0.0
        return super().observe(group, source)


class NeedsSize(Sound):
    def outcome(self, truth: Any, shown: Any) -> Any:
        truth[10, 10, 0]
        return super().outcome(truth, shown)


class FirstRow(Sound):
    def reduce(self, rows: Sequence[Observation]) -> Score:
        return super().reduce(rows[:1])


class Counts(Sound):
    calls = 0

    def outcome(self, truth: Any, shown: Any) -> Any:
        self.calls += 1
        return super().outcome(truth, shown) * (1 + self.calls % 7)


@pytest.mark.parametrize(
    ("metric", "clause"),
    [
        (Unspecified, "spec"),
        (Anonymous, "observe"),
        (Nan, "plain rows"),
        (OffByOne, "the truth is best"),
        (Blind, "the floor is worse"),
        (OutOfRange, "range"),
        (ZeroForNothing, "nothing to score"),
        (NeedsStates, "missing truth"),
        (NeedsSize, "tiny frames"),
        (FirstRow, "reduce is free of order"),
        (Counts, "repeatable"),
    ],
)
def test_each_broken_clause_of_a_metric_is_named(metric: Any, clause: str) -> None:
    assert_named(check_metric(metric, env=ToyEnv), clause)


def test_a_sound_metric_passes() -> None:
    report = check_metric(Sound, env=ToyEnv)
    assert report.ok, str(report)


def test_metrics_that_need_more_are_skipped_unless_episodes_are_given() -> None:
    class Special(Sound):
        spec: ClassVar[Any] = replace(Sound.spec, requires=frozenset({"branches"}))

    report = check_metric(Special, env=ToyEnv)
    assert report.ok and "episodes=" in report["observe"].got
    from worldsim.checks.metrics import record_episodes

    report = check_metric(Special, episodes=[(e,) for e in record_episodes(ToyEnv())])
    assert report.ok and report["the truth is best"].status == "pass"
