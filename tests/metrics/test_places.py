"""Which of many pictures does a frame show, and the metric that asks it at the far end and at home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.event_worlds import branch, seen, wall, with_frames
from worldsim.errors import ShapeError
from worldsim.faults.table import FAULTS
from worldsim.metrics.functional.alignment import SHIFT
from worldsim.metrics.functional.places import distances, nearest
from worldsim.metrics.place import CLOSE, KNOWN, Place
from worldsim.protocols import Metric
from worldsim.types import Episode, Frames, Observation, Rollout, Trajectory

VIEWS, CONTEXT, FAR, HOME, LENGTH = 16, 4, 8, 12, 13


def views(seed: int, dx: int = 0) -> Frames:
    """(16, 64, 64, 3): views of one place that have nothing in common."""
    return np.stack([seen(wall(1000 * seed + k), dx) for k in range(VIEWS)])


# -------------------------------------------------------------------------------------------------- the distance


def test_equal_unrelated_negative_and_flat() -> None:
    a, b = seen(wall(0)), seen(wall(1))
    flat, other_flat = np.full_like(a, 90), np.full_like(a, 160)
    found = distances(a, np.stack([a, b, 250 - a, flat]))
    assert found[0] == pytest.approx(0.0, abs=1e-6)
    assert 1.0 < found[1] < 2.0  # chance correlations, the best of all shifts
    assert found[2] > found[1] and found[3] == 2.0
    assert distances(flat, np.stack([other_flat, a])).tolist() == [0.0, 2.0]
    assert (found >= 0).all() and (found <= 4).all()


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 50),
    gain=st.floats(0.5, 1.2),
    offset=st.floats(0, 20),
    dx=st.integers(-SHIFT, SHIFT),
)
def test_gain_offset_and_small_shifts_change_nothing(seed: int, gain: float, offset: float, dx: int) -> None:
    """Up to rounding and, at the border, the low-pass."""
    candidates = views(seed)[:6]
    frame = np.clip(np.round(seen(wall(1000 * seed + 2), dx) * gain + offset), 0, 255).astype(np.uint8)
    index, distance = nearest(frame, candidates)
    assert index == 2 and distance < 0.02


def test_larger_shifts_are_another_view() -> None:
    candidates = views(0)[:4]
    near, far = (float(distances(seen(wall(2), dx), candidates)[2]) for dx in (SHIFT, SHIFT + 4))
    assert near < 0.02 < 0.3 < far


def test_blur_and_noise_keep_the_order() -> None:
    frame = views(3)[5]
    noise = np.random.default_rng(0).normal(0, 12, frame.shape)
    for worse in (cv2.GaussianBlur(frame, (0, 0), 1.5), np.clip(frame + noise, 0, 255).astype(np.uint8)):
        found = distances(worse, views(3))
        assert found.argmin() == 5 and found[5] < KNOWN < np.delete(found, 5).min()


def test_the_first_of_equals_and_the_order_of_candidates() -> None:
    candidates = views(1)
    twice = np.stack([candidates[3], candidates[7], candidates[3]])
    assert nearest(candidates[3], twice)[0] == 0
    order = np.random.default_rng(2).permutation(VIEWS)
    np.testing.assert_array_equal(
        distances(candidates[3], candidates)[order], distances(candidates[3], candidates[order])
    )
    assert distances(candidates[3], list(candidates)).tolist() == distances(candidates[3], candidates).tolist()


@pytest.mark.parametrize(
    ("frame", "candidates", "message"),
    [
        (views(0)[0], views(0)[:0], "at least one candidate"),
        (views(0)[0][:6, :6], views(0)[:1, :6, :6], "larger than 6 px"),
        (views(0)[0], views(0)[:1, :32], r"candidates must be \(64, 64, 3\)"),
        (views(0)[0].astype(np.float32), views(0), "the frame"),
    ],
)
def test_mistakes_are_answered(frame: Any, candidates: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        distances(frame, candidates)


# ---------------------------------------------------------------------------------------------------- the metric


def walked(world: int, far: int = 3, home: int = 0) -> Episode:
    """At frame 8 the camera is at view `far`, at frame 12 at view `home` again; the model shows the truth."""
    places = views(world)
    frames = np.repeat(places[home][None], LENGTH, 0)
    frames[CONTEXT:HOME] = seen(wall(50_000 + world))
    frames[FAR] = places[far]
    actions = np.zeros(LENGTH - 1, np.int64)
    truth = Trajectory(frames=frames, actions=actions)
    return Episode(
        id=f"walked-{world:03d}",
        scenario="walked",
        world_seed=world,
        context_length=CONTEXT,
        truth=truth,
        generated=(Rollout(trajectory=truth),),
        branches=tuple(branch(f"view-{k:02d}", "place", picture, (FAR, HOME)) for k, picture in enumerate(places)),
        pair_id=f"walked-{world:03d}",
    )


def showing(e: Episode, far: Frames | None = None, home: Frames | None = None) -> Episode:
    """A model that shows other pictures at the two moments."""
    frames = np.asarray(e.truth.frames).copy()
    for at, picture in ((FAR, far), (HOME, home)):
        if picture is not None:
            frames[at] = picture
    return with_frames(e, frames)


def only(e: Episode) -> Observation:
    (row,) = Place().observe((e,))
    return row


def reason_of(e: Episode) -> str | None:
    row = only(e)
    assert row.outcome is None
    assert Place().reduce([row]).value is None and Place().reduce([row]).reason == row.reason
    return row.reason


def test_both_moments_must_be_right() -> None:
    assert isinstance(Place(), Metric) and Place.spec.sensitive | Place.spec.invariant <= set(FAULTS)
    e = walked(0)
    wrong = views(0)[9]
    found = [
        only(showing(e, *pictures)).outcome for pictures in ((None, None), (wrong, None), (None, wrong), (wrong, wrong))
    ]
    assert found == [1.0, 0.0, 0.0, 0.0]
    score = Place().reduce([only(showing(walked(w), None, views(w)[9] if w % 2 else None)) for w in range(4)])
    assert (score.value, score.details) == (0.5, {"far": 1.0, "home": 0.5})


def test_who_stays_at_home_is_right_only_there() -> None:
    """Frozen, and a film of the far end that never ends: half of the moments each, no walk."""
    for w in range(3):
        e = walked(w)
        frozen = with_frames(e, np.repeat(np.asarray(e.truth.frames)[:1], LENGTH, 0))
        gone = with_frames(e, np.repeat(np.asarray(e.truth.frames)[FAR : FAR + 1], LENGTH, 0))
        assert (only(frozen).outcome, only(frozen).details["right_0"], only(frozen).details["right_1"]) == (
            0.0,
            False,
            True,
        )
        assert (only(gone).outcome, only(gone).details["right_0"], only(gone).details["right_1"]) == (0.0, True, False)


@pytest.mark.parametrize(
    "picture",
    [
        np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8),
        np.full((64, 64, 3), 120, np.uint8),
        seen(wall(31_415)),
        np.asarray(views(0).mean(axis=0), np.uint8),
    ],
    ids=["noise", "grey", "another world", "mean of all views"],
)
def test_what_shows_none_of_the_places_is_wrong(picture: Frames) -> None:
    row = only(showing(walked(0), picture, None))
    assert (row.outcome, row.reason, row.details["answer_0"]) == (0.0, None, "none of them")
    assert row.details["right_1"] and row.details["answer_1"] == "view-00"


def test_a_worse_picture_of_the_right_place_is_right() -> None:
    e = walked(0)
    frames = np.asarray(e.truth.frames)
    noise = np.random.default_rng(1).normal(0, 10, frames.shape)
    tint = (1.15, 1.0, 0.8)
    for worse in (
        np.stack([cv2.GaussianBlur(f, (0, 0), 1.0) for f in frames]),
        np.clip(frames + noise, 0, 255).astype(np.uint8),
        np.clip(frames * tint, 0, 255).astype(np.uint8),
        np.roll(frames, 2, axis=2),
    ):
        assert only(with_frames(e, worse)).outcome == 1.0


def redrawn(e: Episode, pictures: dict[int, Frames]) -> Episode:
    made = tuple(
        branch(b.name, "place", pictures[k], (FAR, HOME)) if k in pictures else b for k, b in enumerate(e.branches)
    )
    return replace(e, branches=made)


def test_what_the_truth_cannot_decide_has_a_reason() -> None:
    e = walked(0)
    missing = "the far end or the return is not among the views"
    assert reason_of(redrawn(e, {3: views(7)[3]})) == missing
    assert reason_of(redrawn(e, {0: views(7)[0]})) == missing
    once = replace(e, branches=tuple(replace(b, steps=b.steps[:1], frames=b.frames[:1]) for b in e.branches))
    assert reason_of(once) == missing
    close = np.clip(views(0)[3].astype(np.int16) + 2, 0, 255).astype(np.uint8)
    assert distances(close, views(0)[3:4])[0] < CLOSE
    assert reason_of(redrawn(e, {11: close})) == "another view resembles the true one"
    trajectory = replace(e.generated[0].trajectory, ended=HOME - 2, end_reason="terminated")
    early = replace(e, generated=(replace(e.generated[0], trajectory=trajectory),))
    assert reason_of(early) == "the simulator ended the episode"
    for reason in (missing, "another view resembles the true one", "the simulator ended the episode"):
        assert reason in Place.spec.undefined
    assert Place().observe((replace(e, branches=()),)) == []
    assert Place().reduce([]).reason == "no observations"


def test_the_model_cannot_make_it_undefined() -> None:
    e = redrawn(walked(0), {11: views(0)[3]})  # an equal of the true view is no rival: both of them are true
    assert only(e).outcome == 1.0
    for picture in (np.zeros((64, 64, 3), np.uint8), views(0)[5]):
        assert only(showing(e, picture, picture)).outcome == 0.0
        close = redrawn(walked(0), {11: np.clip(views(0)[3].astype(np.int16) + 2, 0, 255).astype(np.uint8)})
        assert only(showing(close, picture, picture)).reason == "another view resembles the true one"


def test_a_guess_is_right_once_in_256() -> None:
    """Random views at both moments: no more right answers than chance allows."""
    rng = np.random.default_rng(0)
    rows: list[Observation] = []
    for w in range(4):
        e, places = walked(w), views(w)
        rows += [only(showing(e, places[a], places[b])) for a, b in rng.integers(0, VIEWS, (40, 2))]
    assert _mean([r.details["right_0"] for r in rows]) == pytest.approx(1 / VIEWS, abs=0.06)
    assert _mean([r.outcome for r in rows]) <= 3 / 160


def _mean(values: Sequence[Any]) -> float:
    return float(np.mean(values))


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [only(showing(walked(w), None, views(w)[9] if w % 3 else None)) for w in range(6)]
    assert Place().reduce(rows) == Place().reduce(rows[::-1])
