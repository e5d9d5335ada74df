"""Counterfactual control: each future is found among its alternatives, walls and deeds are left out by the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics import control_worlds as worlds
from worldsim.checks import check_metric
from worldsim.errors import ShapeError
from worldsim.metrics.control_branch import Direction, Gain, Identification, Leak
from worldsim.metrics.functional import branching
from worldsim.nulls import NULLS
from worldsim.protocols import EpisodeGroup, Metric
from worldsim.truth import Event
from worldsim.types import Episode, Score

ALL: list[type[Any]] = [Identification, Direction, Gain, Leak]
IDS = [m.spec.name for m in ALL]
PERFECT = {"control.branch": 1.0, "control.direction": 1.0, "control.gain": 0.0, "control.leak": 0.0}
FLOOR = {"control.branch": 0.0, "control.direction": 0.0, "control.gain": 4.0, "control.leak": 1.0}
SEEDS = (0, 2)


def scored(metric: Any, groups: list[EpisodeGroup]) -> Score:
    result: Score = metric.reduce([r for group in groups for r in metric.observe(group)])
    return result


def planted(fault: str, severity: float) -> list[EpisodeGroup]:
    return [worlds.group(seed, fault, severity) for seed in (SEEDS if severity == 0 else SEEDS[:1])]


def changed(group: EpisodeGroup, variant: str, change: Callable[[Episode], Episode]) -> EpisodeGroup:
    return tuple(change(e) if e.variant == variant else e for e in group)


# ---------------------------------------------------------------------------------------------------- pure functions


def random_frames(count: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures, (K, 48, 48, 3) uint8."""
    rough = np.random.default_rng(seed).normal(size=(count, 48, 48, 3))
    smooth = np.stack([branching.low_passed((128 + 60 * r).clip(0, 255).astype(np.uint8)[None], 2.0)[0] for r in rough])
    spread = (smooth - smooth.mean()) / smooth.std()
    return np.asarray((128 + 40 * spread).clip(0, 255), np.uint8)


def test_futures_without_a_difference_are_one_class() -> None:
    frames = random_frames(3)
    few, many = frames[0].copy(), frames[0].copy()
    few[:4, :4] = 255 - few[:4, :4] // 2  # 16 of 2304 px
    many[:10, :10] = 255 - many[:10, :10] // 2  # 100 px, 4 %
    stack = np.stack([frames[0], frames[1], few, frames[0], many])
    np.testing.assert_array_equal(branching.classes(stack), [0, 1, 0, 0, 2])


@given(dx=st.integers(-2, 2), dy=st.integers(-2, 2), gain=st.floats(0.7, 1.2), offset=st.integers(-20, 20))
@settings(max_examples=15, deadline=None)
def test_shift_and_tone_are_common_and_speak_for_nobody(dx: int, dy: int, gain: float, offset: int) -> None:
    truth = random_frames(5)
    shown = np.roll(np.clip(128 + gain * (truth - 128.0) + offset, 0, 255), (dy, dx), axis=(1, 2)).astype(np.uint8)
    rms, shift = branching.distances(shown, truth)
    assert shift == (dx, dy)
    np.testing.assert_array_equal(branching.nearest(rms, np.arange(5)), np.arange(5))
    assert np.diag(rms).max() < 0.25 * rms[~np.eye(5, dtype=bool)].min()


def test_each_its_own_shift_is_not_allowed() -> None:
    """Where two futures are shifted copies, a frame that shows the other one stays the other one."""
    one = random_frames(1)[0]
    truth = np.stack([one, np.roll(one, 2, axis=1), np.roll(one, -2, axis=1)])
    swapped = truth[[0, 2, 1]]
    rms, shift = branching.distances(swapped, truth)
    assert shift == (0, 0)
    np.testing.assert_array_equal(branching.nearest(rms, np.arange(3)), [0, 2, 1])


def test_direction_and_gain_of_known_differences() -> None:
    x = np.random.default_rng(0).normal(size=1000)
    assert branching.direction(x, x) == pytest.approx(1.0) and branching.direction(-0.3 * x, x) == pytest.approx(-1.0)
    assert branching.direction(0 * x, x) == 0.0
    assert branching.gain(x, x) == 0.0
    assert branching.gain(0.5 * x, x) == pytest.approx(1.0) and branching.gain(2 * x, x) == pytest.approx(1.0)
    assert Gain.spec.range == (0.0, branching.NO_GAIN)
    assert branching.gain(0 * x, x) == branching.gain(1e6 * x, x) == branching.NO_GAIN
    assert branching.leak(0.0, 0.1) == 0.0 and branching.leak(0.05, 0.1) == 0.5
    assert branching.leak(0.3, 0.1) == branching.leak(0.0, 0.0) == 1.0


def test_pairs_of_different_kinds_say_nothing() -> None:
    groups = np.array([0, 1, 2, 3, 0])
    found = branching.pairs(groups, ["none", "turn", "turn", "walk", "none"])
    assert set(found) == {
        (0, 1, "turn"), (0, 2, "turn"), (1, 2, "turn"), (0, 3, "walk"), (1, 4, "turn"), (2, 4, "turn"), (3, 4, "walk"),
    }  # fmt: skip


# -------------------------------------------------------------------------------------------------------- the metrics


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_contract_holds(cls: type[Any]) -> None:
    assert isinstance(cls(), Metric)
    report = check_metric(cls, episodes=[worlds.group(0)])
    assert report.ok, str(report)


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_oracle_at_the_ceiling_nulls_at_the_floor(cls: type[Any]) -> None:
    groups = planted("lag", 0)
    assert scored(cls(), groups).value == PERFECT[cls.spec.name]
    other = np.asarray(worlds.driven(5, 12).truth.frames)[: len(groups[0][0].truth.frames)]
    for name in NULLS:
        shown = [tuple(worlds.null(e, name, other) for e in group) for group in groups]
        assert scored(cls(), shown).value == FLOOR[cls.spec.name], name


def test_rows_say_what_each_future_was_taken_for() -> None:
    rows = Identification().observe(worlds.group(0))
    assert [r.variant for r in rows] == list(worlds.VARIANTS)
    assert {r.variant: r.details["kind"] for r in rows}["look_up"] == "turn"
    assert {r.variant: r.details["kind"] for r in rows}["forward"] == "walk"
    assert all(r.outcome == 1.0 and r.details["actions"] == 10 and r.details["classes"] == 9 for r in rows)
    weights = {r.variant: r.weight for r in rows}
    assert weights["noop"] == weights["wait"] == 0.5 and weights["back"] == 1.0, "two no-ops count as one"
    assert rows[0].details["taken_for"] == ["noop/wait", "noop/wait"]


@pytest.mark.parametrize("fault", ["freeze", "replay-context", "pan-by-itself", "ignore-camera"])
@pytest.mark.parametrize("cls", [Identification, Direction, Gain], ids=IDS[:3])
def test_cheats_are_at_the_floor(cls: type[Any], fault: str) -> None:
    assert scored(cls(), planted(fault, 1.0)).value == FLOOR[cls.spec.name]


def test_what_must_move_identification() -> None:
    value = {
        (fault, level): scored(Identification(), planted(fault, level)).value or 0.0
        for fault, level in (("lag", 2.0), ("lag", 4.0), ("drop", 0.6), ("flip", 1.0), ("gain", 0.6))
    }
    assert 1.0 > value["lag", 2.0] > value["lag", 4.0]
    assert value["lag", 4.0] < 0.3 and value["gain", 0.6] < 0.3
    assert value["drop", 0.6] < 0.8 and value["flip", 1.0] == 0.5
    mirrored = {r.variant: r.details["taken_for"] for r in Identification().observe(worlds.group(0, "flip", 1.0))}
    assert mirrored["turn_left"] == ["turn_right"] * 2 and mirrored["left"] == ["right"] * 2


def test_half_the_gain_is_less_than_half_the_difference() -> None:
    half = scored(Gain(), planted("gain", 0.5)).value
    assert half is not None and 0.2 < half < 1.5
    assert (scored(Direction(), planted("flip", 1.0)).value or 0.0) < 0.6


@pytest.mark.parametrize(
    ("fault", "severity"),
    [("blur", 1.0), ("noise", 12.0), ("tint", 0.4), ("jpeg", 50.0), ("vanish", 1.0), ("swap", 1.0)],
)
@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_what_must_not_move_them(cls: type[Any], fault: str, severity: float) -> None:
    value = scored(cls(), planted(fault, severity)).value
    name = cls.spec.name
    assert value is not None and abs(value - PERFECT[name]) < 0.04 * abs(PERFECT[name] - FLOOR[name])


def test_a_leak_is_a_share_of_what_actions_change() -> None:
    group = worlds.group(0)
    turned = np.asarray(next(e for e in group if e.variant == "turn_left").truth.frames)
    leaking = changed(group, "wait", lambda e: worlds.with_shown(e, turned))
    rows = Leak().observe(leaking)
    assert [r.event for r in rows] == ["noop|wait"]
    assert rows[0].outcome is not None and rows[0].outcome > 0.8
    walls = tuple(e for e in group if e.variant != "wait")
    assert {r.reason for r in Leak().observe(walls)} == {"no two actions with the same future"}


# ------------------------------------------------------------------------------------------------- what is left out


def test_a_wall_makes_two_actions_one() -> None:
    group = worlds.group(0)
    still = next(e for e in group if e.variant == "noop")
    blocked = changed(group, "forward", lambda e: replace(still, id=e.id, variant=e.variant))
    rows = {r.variant: r for r in Identification().observe(blocked)}
    assert rows["forward"].details["kind"] == "none" and rows["forward"].details["classes"] == 8
    assert rows["forward"].weight == pytest.approx(1 / 3)
    same = tuple(replace(still, id=v, variant=v) for v in ("noop", "forward", "left"))
    for cls in (Identification, Direction, Leak):
        assert {r.reason for r in cls().observe(same)} == {"all actions have the same effect"}


def test_deeds_are_no_motion_unless_all_do_them() -> None:
    group = worlds.group(0)

    def busy(e: Episode) -> Episode:
        states = list(e.truth.states or ())
        states[worlds.CONTEXT + 1] = replace(states[worlds.CONTEXT + 1], events=(Event(kind="place"),))
        return replace(e, truth=replace(e.truth, states=states))

    one = Identification().observe(changed(group, "wait", busy))
    assert {r.variant: r.reason for r in one if r.reason} == {"wait": "an interaction, not a motion"}
    assert all(r.reason is None for r in Identification().observe(tuple(map(busy, group))))


def test_a_simulator_that_ends_early_takes_nothing_from_the_others() -> None:
    group = worlds.group(0)

    def gives_up(e: Episode) -> Episode:
        own = e.generated[0]
        return replace(
            e, generated=(replace(own, trajectory=replace(own.trajectory, ended=5, end_reason="terminated")),)
        )

    rows = Identification().observe(changed(group, "left", gives_up))
    assert {r.variant: r.reason for r in rows if r.reason} == {"left": "the simulator ended the episode"}
    assert {r.details["actions"] for r in rows if not r.reason} == {10}, "its truth is still an alternative"


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_bad_groups_have_a_reason(cls: type[Any]) -> None:
    group = worlds.group(0)

    def reasons(change: Callable[[Episode], Episode], only: str = "") -> set[str | None]:
        found = tuple(change(e) if not only or e.variant == only else e for e in group)
        rows = cls().observe(found)
        if not only:
            assert all(r.outcome is None for r in rows) and cls().reduce(rows).value is None
        return {r.reason for r in rows if r.reason}

    assert reasons(lambda e: replace(e, marks=())) == {"no marks departure and return"}
    assert reasons(lambda e: replace(e, truth=replace(e.truth, states=None))) == {"no states"}
    assert reasons(lambda e: replace(e, truth=replace(e.truth, ended=5, end_reason="terminated"))) == {
        "the truth ended before the return"
    }
    lost = [replace(s, world_from_camera=None) for s in group[0].truth.states or ()]
    assert reasons(lambda e: replace(e, truth=replace(e.truth, states=lost))) == {"no camera pose or intrinsics"}
    elsewhere = np.asarray(worlds.group(2)[0].truth.frames)
    assert reasons(lambda e: replace(e, truth=replace(e.truth, frames=elsewhere)), "left") == {
        "the variants do not start from the same frame"
    }
    flat = np.full_like(elsewhere, 90)
    assert reasons(lambda e: replace(e, truth=replace(e.truth, frames=flat))) == {"all actions have the same effect"}
    assert {r.reason for r in cls().observe(group[:1])} == {"no variants: fewer than two actions of one world"}
    twins = tuple(replace(e, variant=v) for e, v in zip(group[:2], ("main", "sham"), strict=True))
    assert {r.reason for r in cls().observe(twins)} == {"no variants: fewer than two actions of one world"}
    black = scored(cls(), [tuple(worlds.with_shown(e, np.zeros_like(flat)) for e in group)]).value
    assert black == FLOOR[cls.spec.name]
    assert cls().reduce([]).value is None
    object.__setattr__(broken := replace(group[0]), "generated", (worlds.driven(0, 5).generated[0],))
    with pytest.raises(ShapeError, match="like the truth's"):
        cls().observe((broken, *group[1:]))
