"""The weight-free features: known answers, what moves them, what must not, and bad input."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.functional import features
from worldsim.types import Frames

FAMILIES: dict[str, tuple[Callable[[Frames], np.ndarray], int]] = {
    "appearance": (features.appearance, features.APPEARANCE),
    "motion": (features.motion, features.MOTION),
    "joint": (features.joint, features.JOINT),
}


def pan(step: tuple[int, int], frames: int = 10, size: int = 64, seed: int = 0) -> Frames:
    """A textured plane that moves by `step` (x, y) pixels a frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    plane = cv2.resize(coarse, (240, 240), interpolation=cv2.INTER_CUBIC)
    x, y = 80, 80
    return np.stack([plane[y - t * step[1] :, x - t * step[0] :][:size, :size] for t in range(frames)])


@pytest.mark.parametrize("name", FAMILIES)
def test_shape_type_and_no_randomness(name: str) -> None:
    describe, size = FAMILIES[name]
    clip = pan((2, 0))
    first = describe(clip)
    assert first.shape == (size,) and first.dtype == np.float64 and np.isfinite(first).all()
    threads = cv2.getNumThreads()
    try:
        for n in (1, 2):
            cv2.setNumThreads(n)
            assert (describe(clip.copy()) == first).all()
    finally:
        cv2.setNumThreads(threads)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_constant_clip_has_finite_features(name: str, value: int) -> None:
    assert np.isfinite(FAMILIES[name][0](np.full((10, 64, 64, 3), value, np.uint8))).all()


@pytest.mark.parametrize("step", [(2, 0), (0, 2), (-2, 0), (0, -2)])
def test_a_pan_is_seen_in_its_direction_and_speed(step: tuple[int, int]) -> None:
    shares = features.motion(pan(step))[:33] ** 2
    direction = {(2, 0): 0, (0, 2): 2, (-2, 0): 4, (0, -2): 6}[step]
    assert shares.sum() == pytest.approx(1.0, abs=0.1)  # a mean of roots, squared: less than 1 where bins change
    assert shares[1 + 4 * direction + 1] > 0.85  # the second speed: 0.9 to 2.7


def test_what_stands_still_is_still() -> None:
    shares = features.motion(pan((0, 0)))
    assert shares[0] == 1.0 and shares[1:].max() == 0.0


def test_appearance_does_not_see_the_order_of_frames_and_the_others_do() -> None:
    clip = pan((2, 1))
    mixed = clip[np.random.default_rng(0).permutation(len(clip))]
    assert features.appearance(mixed) == pytest.approx(features.appearance(clip), abs=1e-12)
    assert np.abs(features.motion(mixed) - features.motion(clip)).max() > 0.3
    assert np.abs(features.joint(mixed) - features.joint(clip)).max() > 0.3


def test_motion_hardly_sees_blur_and_tint_and_appearance_does() -> None:
    clip = pan((2, 1))
    blurred = np.stack([cv2.GaussianBlur(f, (0, 0), 1.0) for f in clip])
    tinted = np.clip(clip * np.array([1.15, 1.0, 0.85]), 0, 255).astype(np.uint8)
    frozen = np.repeat(clip[:1], len(clip), axis=0)
    far = np.abs(features.motion(frozen) - features.motion(clip)).sum()
    for changed in (blurred, tinted):
        assert np.abs(features.motion(changed) - features.motion(clip)).sum() < 0.1 * far
        assert np.abs(features.appearance(changed) - features.appearance(clip)).max() > 0.05


def test_the_layout_is_the_dct_of_the_luminance() -> None:
    """A ramp from left to right has horizontal frequencies only, and turns with the picture."""
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 64, 3))
    across = features.appearance(ramp[None])[:35]
    down = features.appearance(ramp.transpose(1, 0, 2)[None].copy())[:35]
    table, turned = (np.concatenate([[0.0], v]).reshape(6, 6) for v in (across, down))
    assert np.abs(table[1:]).max() < 1e-9 and table[0, 1] < -10
    assert turned == pytest.approx(table.T, abs=1e-9)


def test_orientation_of_edges() -> None:
    stripes = np.broadcast_to((np.arange(64) // 4 % 2 * 200).astype(np.uint8)[None, :, None], (64, 64, 3))
    for picture, sector in ((stripes, 0), (stripes.transpose(1, 0, 2), 2)):
        shares = features.appearance(picture[None].copy())[49:65].reshape(4, 4)
        assert (shares[:, sector] > 0.9).all()


def test_pictures_of_another_size_are_described_nearly_alike() -> None:
    small = pan((1, 0))
    large = np.stack([cv2.resize(f, (128, 128), interpolation=cv2.INTER_CUBIC) for f in small])
    assert np.abs(features.appearance(large) - features.appearance(small))[:35].max() < 0.5
    assert np.abs(features.joint(large) - features.joint(small)).max() < 0.5


def test_the_scale_comes_from_the_truth_alone_and_spares_dead_features() -> None:
    truth = np.random.default_rng(0).normal([5.0, -2.0, 3.0], [2.0, 0.5, 0.0], (500, 3))
    scale = features.fit_scale(truth)
    scaled = scale(truth)
    assert scaled.mean(axis=0) == pytest.approx(0.0, abs=1e-9) and scaled[:, :2].std(axis=0) == pytest.approx(1.0)
    assert (
        scale(truth + np.array([0, 0, 0.01]))[:, 2].max() < 10
    )  # a feature that is constant in the truth does not explode
    with pytest.raises(UnsupportedError, match="do not differ"):
        features.fit_scale(np.ones((5, 3)))
    with pytest.raises(ShapeError, match="3 features"):
        scale(truth[:, :2])


def test_clips_that_are_too_short_or_none_are_refused() -> None:
    clip = pan((1, 0))
    with pytest.raises(UnsupportedError, match="at least 3 frames"):
        features.motion(clip[:2])
    with pytest.raises(UnsupportedError, match="at least 8 frames"):
        features.joint(clip[:7])
    for describe, _ in FAMILIES.values():
        with pytest.raises(UnsupportedError, match="without frames"):
            describe(clip[:0])
        with pytest.raises(ShapeError, match="uint8"):
            describe(clip.astype(np.float32))  # type: ignore[arg-type]
