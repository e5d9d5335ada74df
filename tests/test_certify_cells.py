"""Verdicts of the response matrix on synthetic evidence, of metrics that are means and of metrics that are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from worldsim.certify.cells import EFFECT, MARGIN, P_EQUAL, P_TREND, Anchors, Levels, anchors_of, judge_cell
from worldsim.certify.cheats import CAUGHT_BY, judge_cheats
from worldsim.faults.table import FAULTS
from worldsim.metrics.base import FrameMetric
from worldsim.protocols import Averaging
from worldsim.registry import METRICS
from worldsim.types import MetricSpec, Observation, Score

WORLDS, SEVERITIES = 12, (1.0, 2.0, 3.0)
KEYS = {
    *("fault", "metric", "family", "expected", "tau", "trend_p", "effect", "tost_low", "tost_high", "n_worlds"),
    *("verdict", "reason", "severities", "skills"),
}


def spec_of(name: str, higher: bool = True) -> MetricSpec:
    return MetricSpec(
        name=name,
        version=1,
        unit="1",
        range=(-10.0, 10.0),
        higher_is_better=higher,
        floor="frozen",
        undefined=("never",),
        source="made up",
        summary="Synthetic.",
        power=0.01,
    )


class Mean(FrameMetric):
    """A function of means over worlds: bootstrapped on a table."""

    spec: ClassVar[MetricSpec] = spec_of("fidelity.synthetic")


class Error(FrameMetric):
    """The same, better when lower."""

    spec: ClassVar[MetricSpec] = spec_of("fidelity.error", higher=False)


class Middle:
    """A median over worlds: reduced again on each resample."""

    spec: ClassVar[MetricSpec] = spec_of("made.middle")

    def observe(self, group: Any, source: str = "model") -> list[Observation]:
        raise NotImplementedError

    def reduce(self, rows: Sequence[Observation]) -> Score:
        worlds: dict[tuple[int, str], list[float]] = {}
        for r in rows:
            if r.outcome is not None:
                worlds.setdefault((r.world, r.episode), []).append(r.outcome)
        if not worlds:
            return Score(value=None, unit="1", reason="nothing")
        return Score(value=float(np.median([np.mean(v) for v in worlds.values()])), unit="1")


KINDS: list[Any] = [Mean, Middle]


def rows(metric: Any, values: Any, *, source: str = "model", first: int = 0) -> list[Observation]:
    """Two horizons a world; NaN is an undefined row."""
    return [
        Observation(
            metric=metric.spec.name,
            episode=f"e-{first + w:03d}",
            scenario="made",
            world=1000 + first + w,
            source=source,
            delay=h,
            outcome=float(v) if np.isfinite(v) else None,
            reason=None if np.isfinite(v) else "undefined here",
        )
        for w, v in enumerate(np.atleast_1d(values))
        for h in (1, 2)
    ]


ANCHORS = Anchors(floor=0.0, ceiling=1.0, floor_name="frozen", nulls={}, reason=None, worlds=WORLDS)


def levels(metric: Any, drops: Sequence[float], spread: float = 0.0, seed: int = 0) -> list[list[Observation]]:
    """The oracle's rows and those of each severity: 1 - drop, with noise of each world and severity."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0.0, 0.1, WORLDS)  # worlds differ by themselves
    return [
        rows(metric, 1.0 + own - drop + (rng.normal(0.0, spread, WORLDS) if spread else 0.0)) for drop in (0.0, *drops)
    ]


def judge(metric: Any, expected: str, found: Sequence[Any], anchors: Anchors = ANCHORS) -> dict[str, Any]:
    return judge_cell(metric, anchors, "blur", expected, SEVERITIES[-(len(found) - 1) :], found)


def test_the_two_kinds_are_what_they_are_called() -> None:
    assert isinstance(Mean(), Averaging) and not isinstance(Middle(), Averaging)


# --------------------------------------------------------------------------------------------------- "+": it must move


@pytest.mark.parametrize("cls", KINDS)
def test_a_planted_trend_passes(cls: Any) -> None:
    cell = judge(cls(), "+", levels(cls(), (0.1, 0.25, 0.5), spread=0.1))
    assert cell["verdict"] == "pass" and cell["reason"] is None
    assert cell["tau"] == 1.0 and cell["trend_p"] < P_TREND and cell["effect"] == pytest.approx(0.5, abs=0.15)
    assert cell["tost_low"] is None and cell["tost_high"] is None
    assert cell["n_worlds"] == WORLDS and len(cell["skills"]) == 4 and cell["severities"] == [1.0, 2.0, 3.0]
    assert set(cell) == KEYS and cell["family"] == cls.spec.family


@pytest.mark.parametrize("cls", KINDS)
@pytest.mark.parametrize(
    ("drops", "spread"),
    [((0.0, 0.0, 0.0), 0.0), ((0.0, 0.0, 0.0), 0.1), ((-0.1, -0.3, -0.6), 0.05)],
    ids=["nothing", "noise", "the wrong way"],
)
def test_without_a_trend_it_fails(cls: Any, drops: tuple[float, ...], spread: float) -> None:
    cell = judge(cls(), "+", levels(cls(), drops, spread))
    assert cell["verdict"] == "fail" and cell["trend_p"] > P_TREND and cell["reason"].startswith("p ")


@pytest.mark.parametrize("cls", KINDS)
def test_a_trend_that_costs_too_little_fails(cls: Any) -> None:
    """As sure as can be, and below the effect that matters."""
    small, enough = (levels(cls(), (0.05, 0.1, top), spread=0.005) for top in (0.15, 0.25))
    cell = judge(cls(), "+", small)
    assert cell["verdict"] == "fail" and cell["trend_p"] < P_TREND and 0.1 < cell["effect"] < EFFECT
    assert "effect" in cell["reason"]
    assert judge(cls(), "+", enough)["verdict"] == "pass"


@pytest.mark.parametrize("cls", KINDS)
def test_an_effect_by_chance_fails(cls: Any) -> None:
    """A large effect in a few noisy worlds is no trend."""
    failed = 0
    for seed in range(5):
        found = levels(cls(), (0.0, 0.0, 0.0), spread=0.8, seed=seed)
        few = [[r for r in own if r.world < 1003] for own in found]
        failed += judge(cls(), "+", few)["verdict"] == "fail"
    assert failed == 5


def test_of_an_error_the_trend_goes_up() -> None:
    up = [rows(Error(), 0.1 + np.zeros(WORLDS) + rise) for rise in (0.0, 0.1, 0.2, 0.4)]
    errors = replace(ANCHORS, floor=1.0, ceiling=0.1)
    cell = judge(Error(), "+", up, errors)
    assert cell["verdict"] == "pass" and cell["effect"] == pytest.approx(0.4 / 0.9) and cell["skills"][0] == 1.0
    assert judge(Error(), "+", up[:1] + up[:0:-1], errors)["verdict"] == "fail"
    down = [rows(Error(), 0.1 + np.zeros(WORLDS) + rise) for rise in (0.4, 0.2, 0.1, 0.0)]
    assert judge(Error(), "+", down, errors)["verdict"] == "fail"


# ----------------------------------------------------------------------------------------------- "0": it must not move


@pytest.mark.parametrize("cls", KINDS)
def test_the_very_same_evidence_is_equivalent(cls: Any) -> None:
    (oracle,) = levels(cls(), ())
    cell = judge(cls(), "0", [oracle, oracle[::-1]])
    assert (cell["verdict"], cell["tost_low"], cell["tost_high"], cell["effect"]) == ("pass", 0.0, 0.0, 0.0)
    assert cell["tau"] is None and cell["trend_p"] is None and cell["reason"] is None


def test_equal_scores_of_other_evidence_are_equivalent() -> None:
    """Details differ, scores do not: the interval is a point, and the test still passes."""
    for cls in KINDS:
        (oracle,) = levels(cls(), ())
        other = [replace(r, details={"seen": 1}) for r in oracle]
        assert not Levels(cls(), [oracle, other]).same(1)
        cell = judge(cls(), "0", [oracle, other])
        assert (cell["verdict"], cell["tost_low"], cell["tost_high"]) == ("pass", 0.0, 0.0)


@pytest.mark.parametrize("cls", KINDS)
def test_a_small_difference_is_equivalent_and_a_real_one_is_not(cls: Any) -> None:
    rng = np.random.default_rng(1)
    own, noise = rng.normal(0.0, 0.02, WORLDS), rng.normal(0.0, 0.01, WORLDS)
    found = {}
    for shift in (0.0, 0.1, -0.1):
        found[shift] = judge(cls(), "0", [rows(cls(), 1.0 + own), rows(cls(), 1.0 + own - shift + noise)])
    assert found[0.0]["verdict"] == "pass" and -MARGIN < found[0.0]["tost_low"] < found[0.0]["tost_high"] < MARGIN
    for shift in (0.1, -0.1):
        cell = found[shift]
        assert cell["verdict"] == "fail" and "equivalence p" in cell["reason"]
        assert cell["tost_low"] < -shift < cell["tost_high"] and abs(cell["tost_low"]) > MARGIN
        assert cell["effect"] == pytest.approx(shift, abs=0.02)


@pytest.mark.parametrize("cls", KINDS)
def test_no_difference_on_average_but_too_few_worlds_to_say_so(cls: Any) -> None:
    rng = np.random.default_rng(2)
    own, noise = rng.normal(0.0, 0.1, WORLDS), rng.normal(0.0, 0.4, WORLDS)
    cell = judge(cls(), "0", [rows(cls(), 1.0 + own), rows(cls(), 1.0 + own + noise - noise.mean())])
    assert cell["verdict"] == "fail"
    one = [[r for r in found if r.world == 1000] for found in levels(cls(), (0.01,))]
    assert judge(cls(), "0", one)["verdict"] == "fail"  # resampling one world says nothing


def test_skill_is_counted_on_the_anchors() -> None:
    """The same difference of 0.1 is a tenth of one scale and a hundredth of another."""
    oracle, fault = (rows(Mean(), np.full(WORLDS, v)) for v in (1.0, 0.9))
    assert judge(Mean(), "0", [oracle, fault])["effect"] == pytest.approx(0.1)
    wide = replace(ANCHORS, floor=-9.0)
    cell = judge(Mean(), "0", [oracle, fault], wide)
    assert cell["effect"] == pytest.approx(0.01) and cell["verdict"] == "pass"
    assert judge(Mean(), "0", [oracle, fault], replace(ANCHORS, floor=0.9))["effect"] == pytest.approx(1.0)


# ----------------------------------------------------------------------------------------------- "~", and what fails


@pytest.mark.parametrize("cls", KINDS)
def test_what_is_only_measured_is_never_judged(cls: Any) -> None:
    cell = judge(cls(), "~", levels(cls(), (0.4,), spread=0.02))
    assert cell["verdict"] == "measured" and cell["reason"] is None and cell["trend_p"] is None
    assert -0.5 < cell["tost_low"] < cell["tost_high"] < -0.3 and cell["effect"] == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("cls", KINDS)
@pytest.mark.parametrize("expected", ["+", "0"])
def test_a_severity_without_a_score_fails_with_its_reason(cls: Any, expected: str) -> None:
    found = levels(cls(), (0.1, 0.3, 0.5))
    found[-1] = rows(cls(), np.full(WORLDS, np.nan))
    cell = judge(cls(), expected, found)
    assert (cell["verdict"], cell["reason"]) == ("fail", "no world was scored at every severity")
    assert cell["skills"] == [] and cell["effect"] is None and cell["n_worlds"] == 0


def test_worlds_that_one_severity_lacks_are_left_out_of_all() -> None:
    """World 0 is far off, and is not there at the top: else its absence would look like an effect."""
    values = np.ones(WORLDS)
    values[0] = 9.0
    whole, part = rows(Mean(), values), rows(Mean(), values[1:], first=1)
    cell = judge(Mean(), "0", [whole, part])
    assert (cell["verdict"], cell["n_worlds"], cell["effect"]) == ("pass", WORLDS - 1, 0.0)
    elsewhere = rows(Mean(), values, first=100)
    cell = judge(Mean(), "+", [whole, elsewhere])
    assert (cell["verdict"], cell["n_worlds"]) == ("fail", 0)
    assert cell["reason"] == "no world was scored at every severity"


def test_worlds_that_are_undefined_at_one_severity_are_left_out_of_all() -> None:
    values = np.ones(WORLDS)
    values[0] = 9.0
    undefined = values.copy()
    undefined[0] = np.nan
    cell = judge(Mean(), "0", [rows(Mean(), values), rows(Mean(), undefined)])
    assert cell["verdict"] == "pass" and cell["effect"] == 0.0


@pytest.mark.parametrize("expected", ["+", "0", "~"])
def test_without_anchors_there_is_a_reason(expected: str) -> None:
    found = levels(Mean(), (0.1, 0.3, 0.5))
    for anchors in (
        replace(ANCHORS, floor=None, reason="no floor: no null was scored"),
        replace(ANCHORS, reason="no power: floor and ceiling differ by less than 0.01 1"),
    ):
        cell = judge(Mean(), expected, found, anchors)
        assert cell["reason"] == anchors.reason and cell["effect"] is None and cell["skills"] == []
        assert cell["verdict"] == ("measured" if expected == "~" else "fail")


@pytest.mark.parametrize("expected", ["+", "0", "~"])
def test_what_could_not_be_tried_is_not_judged(expected: str) -> None:
    found = levels(Mean(), (0.0, 0.0, 0.0))
    cell = judge_cell(Mean(), ANCHORS, "blur", expected, SEVERITIES, found, "the truth gives no depth")
    assert (cell["verdict"], cell["reason"], cell["effect"], cell["skills"]) == (
        "n/a",
        "the truth gives no depth",
        None,
        [],
    )


# ------------------------------------------------------------------------------------------------------ the same again


@pytest.mark.parametrize("cls", KINDS)
@pytest.mark.parametrize("expected", ["+", "0", "~"])
def test_the_same_evidence_gives_the_same_cell(cls: Any, expected: str) -> None:
    """Twice, and with the rows in another order: seeds come from the names of metric and fault."""
    found = levels(cls(), (0.02,), spread=0.03)
    shuffled = [[own[i] for i in np.random.default_rng(5).permutation(len(own))] for own in found]
    first = judge(cls(), expected, found)
    assert first == judge(cls(), expected, found)
    again = judge(cls(), expected, shuffled)
    for key, value in first.items():
        assert again[key] == (pytest.approx(value) if isinstance(value, float | list) else value), key


@pytest.mark.parametrize("cls", KINDS)
def test_each_permutation_keeps_worlds_together(cls: Any) -> None:
    """The statistic of the data as they are is the score of each level, and of a swap the swapped one."""
    data = Levels(cls(), levels(cls(), (0.2, 0.4), spread=0.1))
    identity = np.repeat(np.arange(3)[:, None], WORLDS, axis=1)
    points = [data.point(k) for k in range(3)]
    np.testing.assert_allclose(data.statistic(identity), points)
    np.testing.assert_allclose(data.statistic(identity[::-1]), points[::-1])
    mixed = identity.copy()
    mixed[[0, 2], 0] = mixed[[2, 0], 0]  # only the first world changes places
    assert data.statistic(mixed)[1] == pytest.approx(points[1])
    if cls is Mean:
        first = data.rows[2][0].outcome, data.rows[0][0].outcome
        assert data.statistic(mixed)[0] - points[0] == pytest.approx((first[0] - first[1]) / WORLDS)  # type: ignore[operator]


# ------------------------------------------------------------------------------------------------- anchors and cheats


@pytest.mark.parametrize("cls", KINDS)
def test_anchors_from_the_rows_of_nulls_and_truth(cls: Any) -> None:
    found = [*rows(cls(), np.ones(WORLDS), source="ceiling"), *rows(cls(), np.full(WORLDS, 0.3), source="null:noise")]
    found += rows(cls(), np.full(WORLDS, 0.1), source="null:frozen")
    anchors = anchors_of(cls(), found)
    assert (anchors.floor, anchors.ceiling, anchors.floor_name, anchors.reason) == (0.3, 1.0, "noise", None)
    assert anchors.gap == pytest.approx(0.7) and anchors.worlds == WORLDS
    assert anchors.nulls["noise"] == {"value": 0.3, "skill": 0.0} and anchors.nulls["frozen"]["skill"] < 0  # type: ignore[operator]
    alone = anchors_of(cls(), [r for r in found if r.source == "ceiling"])
    assert np.isnan(alone.gap) and alone.reason == "no floor: no null was scored"
    assert np.isnan(anchors_of(cls(), []).gap)
    flat = [*found[: 2 * WORLDS], *rows(cls(), np.full(WORLDS, 0.995), source="null:frozen")]
    assert "no power" in (anchors_of(cls(), flat).reason or "")
    few = [r for r in found if r.world < 1005]
    assert np.isnan(anchors_of(cls(), few).gap) and "too few worlds" in (anchors_of(cls(), few).reason or "")


def test_cheats_are_caught_at_the_floor_and_not_above(monkeypatch: pytest.MonkeyPatch) -> None:
    for_ssim = {"freeze": ("fidelity.ssim",), "fade-to-mean": ("fidelity.ssim",), "pan-by-itself": ("control.motion",)}
    monkeypatch.setattr("worldsim.certify.cheats.CAUGHT_BY", for_ssim)

    class Ssim(Mean):
        spec: ClassVar[MetricSpec] = spec_of("fidelity.ssim")

    (oracle,) = levels(Ssim(), ())
    rng = np.random.default_rng(3)
    noise = rng.normal(0.0, 0.05, WORLDS)
    tops = {
        "freeze": rows(Ssim(), np.zeros(WORLDS)),
        "fade-to-mean": rows(Ssim(), np.full(WORLDS, 0.4) + noise),
        "blur": oracle,  # no cheat
        "pan-by-itself": oracle,  # caught by others
    }
    found = {c["fault"]: c for c in judge_cheats(Ssim(), ANCHORS, oracle, tops)}
    assert set(found) == {"freeze", "fade-to-mean"}
    assert found["freeze"]["caught"] and found["freeze"]["skill"] == 0.0
    assert not found["fade-to-mean"]["caught"] and 0 < found["fade-to-mean"]["skill_low"] < 0.4
    assert judge_cheats(Ssim(), ANCHORS, oracle, {}) == []
    assert judge_cheats(Ssim(), replace(ANCHORS, reason="no power"), oracle, tops) == []
    assert judge_cheats(Mean(), ANCHORS, oracle, tops) == []


def test_cheats_and_their_catchers_exist() -> None:
    for fault, catchers in CAUGHT_BY.items():
        assert FAULTS[fault].cheat and catchers and set(catchers) <= set(METRICS.names())
    assert {name for name, fault in FAULTS.items() if fault.cheat} == set(CAUGHT_BY)
    assert P_EQUAL == 0.05
