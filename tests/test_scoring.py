"""Scoring: sources, anchors, failures that stay rows, summaries that agree with `reduce`, deterministic bytes."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.metrics.worlds import others_of, toy_episode, with_frames
from worldsim.metrics.base import FrameMetric
from worldsim.metrics.fidelity import L1, PSNR, L1Object, UsefulHorizon
from worldsim.nulls import NULLS
from worldsim.protocols import EpisodeGroup
from worldsim.scoring import observe_all, scores, summarise
from worldsim.types import Episode, Frames, MetricSpec, Observation, Score

SOURCES = {"model", "ceiling", "ceiling_codec", *(f"null:{n}" for n in NULLS)}


def quantise(frames: Frames) -> Frames:
    return np.asarray(frames // 16 * 16 + 8, dtype=np.uint8)


def half_right(frames: Frames) -> Frames:
    """Right for the first half, then dark."""
    out = np.array(frames)
    out[len(out) // 2 :] //= 3
    return out


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return [toy_episode(seed, scenario="ab"[seed % 2], fault=half_right) for seed in range(12)]


@pytest.fixture(scope="module")
def rows(episodes: list[Episode]) -> list[Observation]:
    groups = [(e,) for e in episodes]
    return list(observe_all([L1(), PSNR(), L1Object()], groups, others=others_of(episodes), codec=quantise))


def of(rows: Sequence[Observation], name: str) -> list[Observation]:
    return [r for r in rows if r.metric == name]


def the(summary: list[dict[str, Any]], scenario: str = "*", arm: str = "free") -> dict[str, Any]:
    return next(r for r in summary if r["scenario"] == scenario and r["arm"] == arm)


# ------------------------------------------------------------------------------------------------------ observe_all


def test_every_metric_sees_every_source(rows: list[Observation], episodes: list[Episode]) -> None:
    for name in ("fidelity.l1", "fidelity.psnr", "fidelity.l1_object"):
        assert {r.source for r in of(rows, name)} == SOURCES
        assert {r.episode for r in of(rows, name)} == {e.id for e in episodes}
    assert {r.outcome for r in of(rows, "fidelity.l1") if r.source == "ceiling"} == {0.0}
    codec = [r.outcome for r in of(rows, "fidelity.l1") if r.source == "ceiling_codec"]
    assert all(x is not None and 2 / 255 < x < 6 / 255 for x in codec)  # 16 levels: 4 on average


def test_a_rerun_is_the_ceiling(episodes: list[Episode]) -> None:
    other = toy_episode(99, scenario="a").truth
    episode = replace(episodes[0], rerun=other)
    found = [r for r in observe_all([L1()], [(episode,)]) if r.source == "ceiling"]
    assert all(r.outcome is not None and r.outcome > 0.01 for r in found)
    assert found == [
        replace(r, source="ceiling") for r in L1().observe((with_frames(episode, np.asarray(other.frames)),))
    ]


def test_a_recorded_round_trip_is_the_codecs_ceiling(episodes: list[Episode]) -> None:
    recorded = replace(episodes[0], codec=quantise(np.asarray(episodes[0].truth.frames)))
    one, two = (
        [r for r in observe_all([L1()], [(e,)], codec=codec) if r.source == "ceiling_codec"]
        for e, codec in ((recorded, None), (episodes[0], quantise))
    )
    assert one == two and len(one) == 7


def test_without_another_episode_that_null_is_undefined_with_a_reason(episodes: list[Episode]) -> None:
    for others in (None, lambda episode: None):
        found = [r for r in observe_all([L1()], [(episodes[0],)], others=others) if r.source == "null:other-episode"]
        assert len(found) == 1 and found[0].outcome is None
        assert found[0].reason is not None and "another world" in found[0].reason


def test_anchors_are_the_same_for_every_model(episodes: list[Episode]) -> None:
    black = with_frames(episodes[0], np.zeros_like(np.asarray(episodes[0].truth.frames)))
    one, two = (
        [r for r in observe_all([L1()], [(e,)], codec=quantise) if r.source != "model"] for e in (episodes[0], black)
    )
    assert one == two


def test_a_metric_that_raises_becomes_rows_and_loses_nothing(
    episodes: list[Episode], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(L1):
        def compare(self, truth: Frames, shown: Frames) -> np.ndarray:
            raise ZeroDivisionError("oh")

    with caplog.at_level(logging.WARNING):
        found = list(observe_all([Broken(), PSNR()], [(e,) for e in episodes]))
    broken = of(found, "fidelity.l1")
    assert {r.reason for r in broken if r.source == "model"} == {"the metric failed: ZeroDivisionError: oh"}
    assert len([r for r in broken if r.source == "model"]) == len(episodes)
    assert "ZeroDivisionError" in caplog.text
    assert all(r.outcome is not None for r in of(found, "fidelity.psnr") if r.source == "model")
    summary, _ = summarise(Broken(), broken)
    assert the(summary)["value"] is None and "ZeroDivisionError: oh (12)" in the(summary)["reason"]
    assert (the(summary)["coverage"], the(summary)["n"], the(summary)["n_worlds"]) == (0.0, 0, 0)


def test_an_episode_without_context_has_no_floor_but_is_scored() -> None:
    episode = toy_episode(1, context=0)
    found = list(observe_all([L1()], [(episode,)]))
    assert all(r.outcome is not None for r in found if r.source in ("model", "ceiling", "null:noise"))
    assert {r.reason for r in found if r.source == "null:frozen"} == {
        "the null 'frozen' needs at least one frame of context, got none"
    }


# ---------------------------------------------------------------------------------------------------------- summaries


@pytest.mark.parametrize("metric", [L1(), PSNR(), L1Object()], ids=lambda m: m.spec.name)
def test_the_summary_agrees_with_reduce_of_every_source(metric: FrameMetric, rows: list[Observation]) -> None:
    own = of(rows, metric.spec.name)
    row = the(summarise(metric, own, resamples=100, min_worlds=5)[0])

    def reduced(source: str) -> Any:
        return pytest.approx(metric.reduce([r for r in own if r.source == source]).value, rel=1e-9)

    assert row["value"] == reduced("model")
    assert row["ceiling"] == reduced("ceiling") and row["ceiling_codec"] == reduced("ceiling_codec")
    assert row["floor"] == reduced(f"null:{row['floor_name']}")
    for name in NULLS:
        assert row["nulls"][name]["value"] == reduced(f"null:{name}")
    top = row["ceiling_codec"]
    assert row["skill"] == pytest.approx((row["value"] - row["floor"]) / (top - row["floor"]))
    assert row["ceiling_name"] == "codec" and row["nulls"][row["floor_name"]]["skill"] == 0.0
    assert row["low"] <= row["value"] <= row["high"] and row["skill_low"] <= row["skill"] <= row["skill_high"]
    assert row["n_worlds"] == len({r.world for r in own if r.source == "model" and r.outcome is not None})
    assert row["interval"] == "percentile"


def test_no_null_ever_has_skill_above_zero(rows: list[Observation]) -> None:
    """The spec names the floor; on worlds where another null does better, that one is the floor."""
    for metric in (L1(), PSNR(), L1Object()):
        for row in summarise(metric, of(rows, metric.spec.name), resamples=20, min_worlds=1)[0]:
            values = {name: null["value"] for name, null in row["nulls"].items()}
            best = (max if metric.spec.higher_is_better else min)(values.values())
            assert row["floor"] == values[row["floor_name"]] == best
            assert all(null["skill"] <= 0.0 for null in row["nulls"].values())
    own = [r for r in of(rows, "fidelity.l1") if r.source != "null:context-mean"]
    tied = [replace(r, source="null:context-mean") for r in own if r.source == "null:frozen"]
    assert the(summarise(L1(), own + tied, resamples=20)[0])["floor_name"] == L1.spec.floor == "frozen"


def test_the_oracle_has_skill_one_and_the_floor_has_skill_zero(episodes: list[Episode]) -> None:
    right = [with_frames(e, np.asarray(e.truth.frames)) for e in episodes]
    found = list(observe_all([L1(), UsefulHorizon()], [(e,) for e in right], others=others_of(right)))
    for metric in (L1(), UsefulHorizon()):
        row = the(summarise(metric, of(found, metric.spec.name), resamples=100)[0])
        assert row["skill"] == 1.0 and row["skill_low"] == 1.0 and row["skill_high"] == 1.0
        assert row["ceiling_name"] == "re-run" and row["mde"] == 0.0


def test_too_few_worlds_give_a_reason_and_no_number(rows: list[Observation]) -> None:
    summary, curves = summarise(L1(), of(rows, "fidelity.l1"), resamples=100)
    row = the(summary, "a")
    assert row["n_worlds"] == 6 and row["reason"] == "too few worlds: 6 < 10"
    assert all(
        row[k] is None for k in ("value", "low", "high", "pessimistic", "skill", "skill_low", "skill_high", "mde")
    )
    assert all(c["value"] is None for c in curves if c["scenario"] == "a" and c["episode"] == "*")
    assert all(c["value"] is not None for c in curves if c["scenario"] == "a" and c["episode"] != "*")
    row = the(summarise(L1(), of(rows, "fidelity.l1"), resamples=100, min_worlds=6)[0], "a")
    assert row["value"] is not None and row["reason"] is None


def test_undefined_rows_count_as_the_floor_in_the_pessimistic_bound(rows: list[Observation]) -> None:
    own = [
        replace(r, outcome=None, reason="lost") if r.source == "model" and r.world < 3 else r
        for r in of(rows, "fidelity.l1")
    ]
    row = the(summarise(L1(), own, resamples=50, min_worlds=5)[0])
    assert row["coverage"] == pytest.approx(9 / 12) and row["undefined"] == 3 * 7 and row["n_worlds"] == 9
    by_hand = 0.75 * row["value"] + 0.25 * row["floor"]
    assert row["pessimistic"] == pytest.approx(by_hand)
    assert row["pessimistic"] > row["value"], "L1: the bound is worse, that is higher"


def test_a_failed_episode_counts_as_the_floor_at_every_horizon(rows: list[Observation]) -> None:
    own = [r for r in of(rows, "fidelity.l1") if r.source != "model" or r.world >= 3]
    failed = next(r for r in own if r.source == "model")
    own += [replace(failed, world=w, episode=f"lost-{w}", delay=None, outcome=None, reason="failed") for w in range(3)]
    row = the(summarise(L1(), own, resamples=50, min_worlds=5)[0])
    assert row["coverage"] == pytest.approx(9 / 12) and row["undefined"] == 3
    assert row["pessimistic"] == pytest.approx(0.75 * row["value"] + 0.25 * row["floor"])


def test_no_power_between_floor_and_ceiling_means_no_skill() -> None:
    still = [toy_episode(seed, horizon=4) for seed in range(10)]
    still = [
        replace(e, truth=replace(e.truth, frames=np.repeat(np.asarray(e.truth.frames)[:1], len(e.truth.frames), 0)))
        for e in still
    ]
    still = [with_frames(e, np.asarray(e.truth.frames)) for e in still]
    row = the(summarise(L1(), list(observe_all([L1()], [(e,) for e in still])), resamples=50)[0])
    assert row["value"] == 0.0 and row["skill"] is None and row["reason"] is None
    assert "no power" in row["skill_reason"]


def test_arms_have_their_own_rows_and_share_their_anchors(episodes: list[Episode]) -> None:
    both = [replace(e, generated=(e.generated[0], replace(e.generated[0], arm="reanchored"))) for e in episodes]
    summary, curves = summarise(L1(), list(observe_all([L1()], [(e,) for e in both])), resamples=50)
    one, two = the(summary, arm="free"), the(summary, arm="reanchored")
    assert one["value"] == two["value"] and one["floor"] == two["floor"] and one["floor"] is not None
    keys = [(c["scenario"], c["source"], c["arm"], c["episode"], c["h"]) for c in curves]
    assert len(keys) == len(set(keys)), "no curve is written twice"


def test_bytes_do_not_depend_on_the_order_of_rows(rows: list[Observation]) -> None:
    shuffled = of(rows, "fidelity.psnr")
    random.Random(0).shuffle(shuffled)
    one, two = (
        json.dumps([summarise(PSNR(), part, resamples=200), scores(PSNR(), part)], allow_nan=False)
        for part in (of(rows, "fidelity.psnr"), shuffled)
    )
    assert one == two


def test_scores_hold_one_row_an_episode_and_source(rows: list[Observation], episodes: list[Episode]) -> None:
    table = scores(PSNR(), of(rows, "fidelity.psnr"))
    assert len(table) == len(episodes) * len(SOURCES)
    assert list(table[0]) == [
        *("episode", "scenario", "world_seed", "metric", "version", "source", "arm", "sample"),
        *("value", "unit", "reason"),
    ]
    mine = next(t for t in table if t["episode"] == episodes[3].id and t["source"] == "model")
    assert mine["value"] == pytest.approx(PSNR().reduce(PSNR().observe((episodes[3],))).value)


def test_curves_show_where_it_goes_wrong(rows: list[Observation]) -> None:
    _, curves = summarise(L1(), of(rows, "fidelity.l1"), resamples=100)
    mine = {c["h"]: c for c in curves if (c["scenario"], c["source"], c["episode"]) == ("*", "model", "*")}
    assert [mine[h]["value"] == 0.0 for h in (1, 2, 3, 4, 6, 8, 12)] == [True] * 5 + [False] * 2
    assert mine[8]["low"] < mine[8]["value"] < mine[8]["high"] and mine[8]["n"] == 12


class Rate:
    """Not a function of means: the share of worlds whose every frame is right. Goes through `reduce` on resamples."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="toy.rate", version=1, unit="1", range=(0.0, 1.0), higher_is_better=True, floor="frozen"
    )

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        rows = L1().observe(group, source)
        return [replace(rows[0], metric="toy.rate", delay=None, outcome=float(all(r.outcome == 0 for r in rows)))]

    def reduce(self, rows: Sequence[Observation]) -> Score:
        worlds: dict[int, list[float]] = {}
        for r in rows:
            if r.outcome is not None:
                worlds.setdefault(r.world, []).append(r.outcome)
        value = float(np.mean([np.mean(v) for v in worlds.values()])) if worlds else None
        return Score(value=value, unit="1", reason=None if worlds else "nothing")


def test_any_metric_can_be_summarised_by_reduce_alone() -> None:
    found = [toy_episode(seed, fault=half_right if seed % 4 == 0 else None) for seed in range(24)]
    rows = list(observe_all([Rate()], [(e,) for e in found]))
    row = the(summarise(Rate(), rows)[0])
    assert row["value"] == 0.75 and row["floor"] == 0.0 and row["ceiling"] == 1.0 and row["skill"] == 0.75
    assert 0.5 < row["low"] < 0.65 and 0.85 < row["high"] < 1.0  # exact binomial: 0.53 to 0.90
    assert row["interval"] == "BCa"
