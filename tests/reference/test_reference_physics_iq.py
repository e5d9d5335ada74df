"""Motion masks, their overlaps, MSE and score against Physics-IQ's own code.

Reference: github.com/google-deepmind/physics-IQ-benchmark (Apache-2.0), commit e457754. Recipe of the vectors in
data/physics_iq.json and data/physics_iq_masks.npz: `videos` below is saved under the benchmark's file names at 4 frames
a second, with `cv2.VideoCapture` and `cv2.VideoWriter` replaced by a lossless store (its mp4 files would lose bits);
`generate_mask` of binary_mask_generator.py runs on every video, `process_videos` of
calculate_and_write_metrics_to_csv.py writes the table, `calculate_iq_score` of calculate_iq_score.py the score, first
with the model and then with take 2 in its place.

Tolerances: masks equal but for 1 pixel in 10,000 (a tie in rounding); overlaps 1e-6; MSE 1e-5 of its size (theirs is
float32); score 0.05 of 100 (theirs rounds its parts to 4 decimals).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.metrics.functional import physics_iq
from worldsim.metrics.functional.physics_iq import Likeness

DATA = Path(__file__).parent / "data"
VIEWS = ("perspective-left", "perspective-center", "perspective-right")
SCENES = ("fall", "roll")
FRAMES = 20  # five seconds, all that the benchmark looks at


def clip(scene: int, view: int, speed: int, start: int, noise: int) -> NDArray[np.uint8]:
    """(20, 64, 96, 3) uint8: a falling and a rolling square over a still background, with noise of two 8-bit steps."""
    rng = np.random.default_rng([scene, view])
    back = rng.integers(60, 180, (8, 12, 3)).repeat(8, 0).repeat(8, 1)
    frames = np.repeat(back[None], FRAMES, axis=0)
    for t in range(FRAMES):
        x = (start + speed * t) % 80
        y = min(4 + (speed + 1) * t * t // 8, 48) if scene == 0 else 40 - 4 * view
        frames[t, y : y + 14, x : x + 14] = (250, 250 - 30 * view, 240)
        frames[t, 20:28, 80 - 2 * t : 92 - 2 * t] = (20, 30, 220 - 50 * scene)
    shaken = frames + np.random.default_rng(noise).integers(-2, 3, frames.shape)
    return shaken.clip(0, 255).astype(np.uint8)


def videos() -> dict[tuple[str, str], dict[str, NDArray[np.uint8]]]:
    """Both takes and the model of each scene and view."""
    out = {}
    for s, scene in enumerate(SCENES):
        for v, view in enumerate(VIEWS):
            take_1, take_2 = clip(s, v, 3, 6, 1), clip(s, v, 3, 9, 2)
            out[scene, view] = {"take-1": take_1, "take-2": take_2, "model": clip(s, v, 2 + 2 * v, 8, 3)}
    return out


@pytest.fixture(scope="module")
def theirs() -> Any:
    return json.loads((DATA / "physics_iq.json").read_text())


@pytest.fixture(scope="module")
def ours() -> dict[str, list[Likeness]]:
    clips = list(videos().values())
    return {
        "model": [physics_iq.likeness(c["take-1"], c["model"]) for c in clips],
        "takes": [physics_iq.likeness(c["take-1"], c["take-2"]) for c in clips],
    }


def test_the_masks_are_theirs() -> None:
    stored = np.load(DATA / "physics_iq_masks.npz")
    clips = videos()["roll", "perspective-center"]
    for name in ("take-1", "model"):
        mask = physics_iq.motion_masks(clips[name])
        expected = np.unpackbits(stored[name])[: mask.size].reshape(mask.shape).astype(bool)
        assert 0.01 < expected.mean() < 0.5
        assert (mask != expected).mean() <= 1e-4


@pytest.mark.parametrize("side", ["model", "takes"])
def test_the_overlaps_and_the_mse_are_theirs(side: str, theirs: Any, ours: dict[str, list[Likeness]]) -> None:
    for row, own in zip(theirs[side], ours[side], strict=True):
        for name in ("spatial", "spatiotemporal", "weighted"):
            assert getattr(own, name) == pytest.approx(row[name], abs=1e-6), name
        assert own.mse == pytest.approx(row["mse"], rel=1e-5)
        assert 0.05 < own.spatiotemporal < 0.95  # neither empty nor equal: the overlaps are put to the test


def test_the_overlap_in_each_frame_is_theirs(theirs: Any) -> None:
    clips = videos()["fall", "perspective-left"]
    a, b = (physics_iq.shrunk_masks(physics_iq.motion_masks(clips[n])) for n in ("take-1", "model"))
    assert physics_iq.spatiotemporal_iou(a, b) == pytest.approx(theirs["first_clip_by_frame"], abs=1e-6)


def test_the_score_is_theirs(theirs: Any, ours: dict[str, list[Likeness]]) -> None:
    model, takes = physics_iq.average(ours["model"]), physics_iq.average(ours["takes"])
    assert 5 < theirs["score"] < 95
    assert physics_iq.score(model, takes) == pytest.approx(theirs["score"], abs=0.05)


def test_a_second_take_scores_100(theirs: Any, ours: dict[str, list[Likeness]]) -> None:
    takes = physics_iq.average(ours["takes"])
    assert physics_iq.score(takes, takes, clip=False) == pytest.approx(100.0, abs=1e-9)
    assert theirs["score_of_take_2"] == pytest.approx(100.0, abs=0.05)


def test_the_motion_of_a_still_video_is_none_and_agrees_with_itself() -> None:
    still = np.repeat(clip(0, 0, 3, 6, 1)[:1], 5, axis=0)
    assert not physics_iq.motion_masks(still).any()
    own = physics_iq.likeness(still, still)
    assert (own.spatial, own.spatiotemporal, own.weighted, own.mse) == (1.0, 1.0, 1.0, 0.0)


def test_a_frozen_model_scores_0_where_something_moves() -> None:
    takes = videos()["roll", "perspective-left"]
    frozen = np.repeat(takes["take-1"][:1], FRAMES, axis=0)
    own = physics_iq.likeness(takes["take-1"], frozen)
    assert (own.spatial, own.weighted) == (0.0, 0.0)
    assert own.spatiotemporal <= 2 / FRAMES  # at first the masks are empty in both
    score = physics_iq.score(own, physics_iq.likeness(takes["take-1"], takes["take-2"]))
    assert score is not None and score < 6


def test_without_common_motion_of_the_takes_there_is_no_score() -> None:
    nothing = Likeness(spatial=0.0, spatiotemporal=0.5, weighted=0.0, mse=0.0)
    assert physics_iq.score(nothing, nothing) is None


def test_the_score_is_clipped_as_theirs_unless_asked_not_to() -> None:
    takes = Likeness(spatial=0.5, spatiotemporal=0.5, weighted=0.5, mse=0.01)
    better = Likeness(spatial=1.0, spatiotemporal=1.0, weighted=1.0, mse=0.0)
    assert physics_iq.score(better, takes) == 100.0
    assert physics_iq.score(better, takes, clip=False) == pytest.approx(201.0)


def test_overlaps_worked_by_hand() -> None:
    """Two frames of four pixels: 2 of 3 in space; 0, then 1/2 in time; shares (1, 1/2, 0) against (1/2, 1/2, 1/2)."""
    a = np.array([[[1, 1, 0, 0]], [[1, 0, 0, 0]]], bool)
    b = np.array([[[0, 0, 1, 0]], [[1, 1, 0, 0]]], bool)
    assert physics_iq.spatial_iou(a, b) == pytest.approx(2 / 3)
    assert physics_iq.spatiotemporal_iou(a, b).tolist() == [0.0, 0.5]
    assert physics_iq.weighted_spatial_iou(a, b) == pytest.approx((0.5 + 0.5) / (1 + 0.5 + 0.5))


def test_wrong_input_is_refused() -> None:
    video = clip(0, 0, 3, 6, 1)
    with pytest.raises(ShapeError, match="one shape"):
        physics_iq.likeness(video, video[:-1])
    with pytest.raises(ShapeError, match="one shape"):
        physics_iq.likeness(video[:0], video[:0])
    with pytest.raises(ShapeError):
        physics_iq.motion_masks(video.astype(np.float32))
    with pytest.raises(ShapeError, match="same shape"):
        physics_iq.spatial_iou(np.zeros((1, 2, 2), bool), np.zeros((2, 2, 2), bool))
    with pytest.raises(ShapeError, match="at least one"):
        physics_iq.average([])
