"""Control step by step: known motions are read, planted lags, gains and mirrors are found, bad input has reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics import control_worlds as worlds
from tests.metrics.solid import PATHS, walk
from worldsim.checks import check_metric
from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.control_idm import InverseDynamics
from worldsim.metrics.control_motion import Motion, measure
from worldsim.metrics.functional import egomotion, inverse_dynamics, motion
from worldsim.nulls import NULLS
from worldsim.protocols import Metric
from worldsim.types import Episode, Score

BOTH = [Motion, InverseDynamics]
SEEDS = (2, 6)  # between them, every key both ways


def scored(metric: Any, episodes: list[Episode]) -> Score:
    result: Score = metric.reduce([r for e in episodes for r in metric.observe((e,))])
    return result


def planted(fault: str, severity: float) -> list[Episode]:
    return [worlds.driven(seed, 48, fault, severity) for seed in SEEDS]


# ------------------------------------------------------------------------------------------------------ the estimator


@pytest.mark.parametrize(
    ("path", "component", "size"),
    [("turn", "yaw", 2.0), ("dolly", "forward", 0.12), ("strafe", "right", 0.1)],
)
def test_known_motions_are_read_off_true_frames(path: str, component: str, size: float) -> None:
    frames, states = walk(0, PATHS[path], 6)
    views = [egomotion.motion_view(s) for s in states]
    ready = [egomotion.picked(f) for f in frames]
    read = np.array([egomotion.estimate(ready[t], ready[t + 1], views[t]) for t in range(6)])
    true = np.array([egomotion.true_motion(states[t], states[t + 1]) for t in range(6)])
    c = egomotion.COMPONENTS.index(component)
    np.testing.assert_allclose(np.abs(true[:, c]), size, rtol=1e-6)
    assert np.median(np.abs(read - true), axis=0)[c] < 0.2 * size
    assert np.abs(read).mean(axis=0)[:2].max() < 0.5 or component == "yaw"


def test_a_turn_is_read_whatever_the_depth() -> None:
    frames, states = walk(0, (0.0, 0.0, 6.0), 3)
    assert states[0].depth is not None
    wrong = replace(states[0], depth=np.asarray(states[0].depth * 3, np.float32))
    for state in (states[0], wrong):
        read = egomotion.estimate(*map(egomotion.picked, frames[:2]), egomotion.motion_view(state))
        assert abs(read[0]) == pytest.approx(6.0, abs=0.4)


@given(yaw=st.floats(-40, 40), pitch=st.floats(-30, 30), ahead=st.floats(-1, 1), aside=st.floats(-1, 1))
@settings(max_examples=50, deadline=None)
def test_components_of_a_known_motion(yaw: float, pitch: float, ahead: float, aside: float) -> None:
    from worldsim.envs.blocks.camera import camera_pose

    a, b = 25.0, -10.0  # the first camera looks there
    h = np.radians(a + yaw)
    way = ahead * np.array([-np.sin(h), 0.0, np.cos(h)]) + aside * np.array([-np.cos(h), 0.0, -np.sin(h)])
    first, second = camera_pose([1.0, 2.0, 3.0], a, b), camera_pose(np.array([1.0, 2.3, 3.0]) + way, a + yaw, b + pitch)
    found = egomotion.components(np.linalg.inv(second) @ first, first[:3, :3])
    np.testing.assert_allclose(found, [yaw, pitch, ahead, aside], atol=1e-6)


def test_equal_and_flat_frames_do_not_move() -> None:
    frames, states = walk(1, PATHS["turn"], 1)
    view = egomotion.motion_view(states[0])
    one = egomotion.picked(frames[0])
    assert not egomotion.estimate(one, one, view).any()
    flat = egomotion.picked(np.full_like(frames[0], 90))
    assert np.abs(egomotion.estimate(flat, flat, view)).max() < 1e-6
    for a, b in ((flat, one), (one, flat)):
        assert np.isfinite(egomotion.estimate(a, b, view)).all()


def test_what_an_estimate_needs() -> None:
    _, states = walk(1, PATHS["turn"], 0)
    with pytest.raises(UnsupportedError, match="no depth"):
        egomotion.motion_view(replace(states[0], depth=None))
    with pytest.raises(UnsupportedError, match="no camera pose"):
        egomotion.motion_view(replace(states[0], world_from_camera=None))
    with pytest.raises(UnsupportedError, match="below 16x16"):
        egomotion.motion_view(replace(states[0], depth=np.ones((8, 8), np.float32), segmentation=None))


# --------------------------------------------------------------------------------------------------------- the sums


@given(lag=st.integers(0, 9), gain=st.sampled_from([-1.0, 0.5, 1.0, 1.7]), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_lag_and_gain_of_a_known_response(lag: int, gain: float, seed: int) -> None:
    true = np.random.default_rng(seed).normal(size=60)
    shown = np.concatenate([np.zeros(lag), gain * true])[:60]
    found = motion.response(shown, true)
    assert found.lag == lag
    assert found.gain == pytest.approx(gain) and found.r2 == pytest.approx(1.0)


def test_nothing_moves_nothing_follows() -> None:
    still, moves = np.zeros(5), np.arange(5.0)
    assert motion.response(still, moves) == motion.response(moves, still) == motion.Response(lag=0, gain=0.0, r2=0.0)


def test_stretches_are_bounded() -> None:
    assert motion.stretches(3, 3) == []
    assert motion.stretches(3, 4) == [(3, 4)]
    assert motion.stretches(0, 96) == [(0, 96)]
    parts = motion.stretches(3, 5003)
    assert [b - a for a, b in parts] == [motion.WINDOW] * 3 and parts[0][0] == 3 and parts[-1][1] == 5003


def test_errors_and_standing_still() -> None:
    seen = np.array([[10.0, 0, 0.2, 0], [0, 0, 0.2, 0]])
    kept = np.array([[True, True, True, False], [True, True, False, False]])
    wrong, still = motion.errors(seen, seen, kept)
    np.testing.assert_array_equal(wrong[:3], 0)
    assert np.isnan(wrong[3])
    np.testing.assert_allclose(still[:3], [9.5 / 2, 0, 0.17])
    np.testing.assert_array_equal(motion.errors(np.zeros_like(seen), seen, kept)[0], still)


def test_labels_are_read_by_rules() -> None:
    moves = np.array([[5.0, -5.0, 0.2, -0.2], [0.1, 0.0, 0.0, np.nan], [1.5, 0, 0.06, 0]])
    np.testing.assert_array_equal(inverse_dynamics.read(moves)[:2], [[1, -1, 1, -1], [0, 0, 0, 0]])
    unknown = inverse_dynamics.UNKNOWN
    np.testing.assert_array_equal(inverse_dynamics.effect(moves[2]), [unknown, 0, unknown, 0])
    slow = inverse_dynamics.read(moves / 4, fps=80.0)
    np.testing.assert_array_equal(slow, inverse_dynamics.read(moves))
    assert inverse_dynamics.balanced_accuracy([1.0]) is None
    assert inverse_dynamics.balanced_accuracy([1.0, 0.0]) == 0.5


# ------------------------------------------------------------------------------------------------------ the metrics


@pytest.mark.parametrize("cls", BOTH)
def test_the_contract_holds_in_blocks(cls: type[Any]) -> None:
    assert isinstance(cls(), Metric)
    report = check_metric(cls, episodes=[(worlds.driven(seed, 48),) for seed in SEEDS])
    assert report.ok, str(report)


@pytest.mark.parametrize("cls", BOTH)
def test_oracle_at_the_ceiling_nulls_at_the_floor(cls: type[Any]) -> None:
    episodes = planted("lag", 0)
    assert scored(cls(), episodes).value == 1.0
    floor = 0.0 if cls is Motion else 1 / 3
    for name in NULLS:
        other = np.asarray(worlds.driven(SEEDS[0] + 1, 48).truth.frames)
        value = scored(cls(), [worlds.null(e, name, other) for e in episodes]).value
        assert value is not None
        assert value == pytest.approx(floor) if name == "frozen" else value <= floor + 0.1, name


@pytest.mark.parametrize("lag", [1, 4])
def test_a_planted_lag_is_found_and_hurts(lag: int) -> None:
    score = scored(Motion(), planted("lag", lag))
    assert score.value is not None and score.value < 0.6
    parts = score.details["components"]
    assert {c: p["lag"] for c, p in parts.items()} == dict.fromkeys(parts, lag)
    assert all(p["gain"] == pytest.approx(1.0, abs=0.2) for p in parts.values())


def test_half_the_gain_is_a_slope_of_a_half() -> None:
    score = scored(Motion(), planted("gain", 0.5))
    assert score.value is not None and 0.2 < score.value < 0.7
    for component, part in score.details["components"].items():
        assert part["gain"] == pytest.approx(0.5, abs=0.12), component
        assert part["estimator_error"] < (0.3 if component in ("yaw", "pitch") else 0.03)


def test_mirrored_actions_have_a_negative_slope() -> None:
    score = scored(Motion(), planted("flip", 1.0))
    parts = score.details["components"]
    assert parts["yaw"]["gain"] == pytest.approx(-1.0, abs=0.05) and parts["yaw"]["skill"] == 0.0
    assert parts["right"]["gain"] < -0.4 and parts["right"]["skill"] == 0.0
    assert parts["forward"]["gain"] > 0.5
    recall = scored(InverseDynamics(), planted("flip", 1.0)).details["recall"]
    assert recall["yaw=left"] == recall["yaw=right"] == 0.0 and recall["yaw=none"] > 0.9


@pytest.mark.parametrize(("fault", "severity"), [("drop", 0.6), ("gain", 1.0), ("freeze", 1.0), ("ignore-camera", 1.0)])
@pytest.mark.parametrize("cls", BOTH)
def test_what_must_move_them(cls: type[Any], fault: str, severity: float) -> None:
    floor = scored(cls(), [worlds.null(e, "frozen") for e in planted("lag", 0)]).value
    value = scored(cls(), planted(fault, severity)).value
    assert (
        value is not None and floor is not None and (value - floor) / (1 - floor) < (0.6 if fault == "drop" else 0.03)
    )


@pytest.mark.parametrize(
    ("fault", "severity"),
    [("blur", 1.0), ("noise", 8.0), ("tint", 0.8), ("jpeg", 50.0), ("vanish", 1.0), ("swap", 1.0)],
)
@pytest.mark.parametrize("cls", BOTH)
def test_what_must_not_move_them(cls: type[Any], fault: str, severity: float) -> None:
    value = scored(cls(), planted(fault, severity)).value
    assert value is not None and value > 0.97


def test_a_simulator_that_ends_early() -> None:
    e = worlds.driven(0, 48)
    gave_up = replace(e.generated[0], trajectory=replace(e.generated[0].trajectory, ended=30, end_reason="terminated"))
    early = replace(e, generated=(gave_up,))
    for cls in BOTH:
        rows = cls().observe((early,))
        assert [r.reason for r in rows if r.event == "after the end"] == ["the simulator ended the episode"]
        assert cls().reduce(rows).value == 1.0
    _, shown = measure(early, gave_up)
    assert np.isnan(shown[31 - worlds.CONTEXT + 1 :]).all() and np.isfinite(shown[: 31 - worlds.CONTEXT + 1]).all()


@pytest.mark.parametrize("cls", BOTH)
def test_bad_input_has_a_reason(cls: type[Any]) -> None:
    e = worlds.driven(0, 48)
    states = e.truth.states
    assert states is not None

    def reasons(**changes: Any) -> set[str | None]:
        rows = cls().observe((replace(e, truth=replace(e.truth, **changes)),))
        assert cls().reduce(rows).value is None and cls().reduce(rows).reason
        return {r.reason for r in rows}

    assert reasons(states=None) == {"no states"}
    assert reasons(states=[replace(s, depth=None) for s in states]) == {"no depth"}
    assert reasons(states=[replace(s, world_from_camera=None) for s in states]) == {"no camera pose or intrinsics"}
    wide = [replace(s, depth=np.ones((64, 80), np.float32), segmentation=None) for s in states]
    assert reasons(states=wide) == {"depth is not of the frame's size"}
    flat = np.full_like(np.asarray(e.truth.frames), 77)
    blind = reasons(frames=flat)  # what was pressed cannot be read, that nothing was pressed can
    assert blind & {"the motion cannot be read off the true frames", "the key cannot be read off the true frames"}
    still = replace(e, truth=replace(e.truth, frames=flat, states=[states[0]] * len(states)))
    assert cls().reduce(cls().observe((still,))).reason in ("the truth hardly moves", "no key with two labels")
    short = replace(e, context_length=len(e.truth.frames))
    assert {r.reason for r in cls().observe((short,))} == {"no predicted step"}
    assert cls().reduce([]).value is None
    constant = scored(cls(), [worlds.with_shown(e, flat)]).value
    frozen = scored(cls(), [worlds.null(e, "frozen")]).value
    assert constant is not None and constant == pytest.approx(frozen, abs=0.01)
    object.__setattr__(broken := replace(e), "generated", (worlds.driven(0, 12).generated[0],))
    with pytest.raises(ShapeError, match="like the truth's"):
        cls().observe((broken,))
