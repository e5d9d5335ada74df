"""Reprojection error: does a surface look the same where the true depth and motion say it must be seen again?

Per pair of frames (i, j), on the pixels that `geometry.pair_view` keeps:

    e(a, b) = mean over kept pixels of (1 - ZNCC_7x7(a, b warped into frame i)) / 2, in 0..1,
              near and far pixels (split at the median depth) with equal weight, windows weighted by the variance that
              they have in the truth
    e_gen   = e(gen_i, gen_j)           what was shown
    e_gt    = e(truth_i, truth_j)       what resampling costs, the truth at the sharpness and grain of what was shown
    e_null  = min of e(gen_i, gen_i)    the same picture again: nothing moved
              and e(gen_i, bland(gen_i)) the picture moved as over level ground, with all else infinitely far away
    S       = 1 - (e_gen - e_gt) / (e_null - e_gt)

S = 1: as consistent as the renderer; S = 0: no better than a picture that turns with the camera and slides over level
ground, which needs no knowledge of this world's depths; below 0: worse than that, as frozen frames and other worlds.
A pair is scored only where the truth has power: e_null - e_gt of the true frames at least 0.02. So pure turns and views
of mere floor, where any solid world is right, do not count. All errors are minima over the same small lattice of
motions (0.7 to 1.3 of the true translation, rotation or both), so that a solid world through which the camera moves a
little too slowly is not taken for a soft one. The lattice is one number a part, not a free pose, so that it cannot
absorb jitter.

Measured in Blocks at 64 px, 48 worlds (explore, strafe, dolly), in skill: tint and blur of 1 px cost 0.000, noise of 8
and 12 levels 0.008 and 0.017, JPEG of quality 70 and 50 0.015 and 0.038, vanishing and swapped things 0.000, teleported
ones 0.008. A solid world at 0.95, 0.9, 0.8, 0.7 of the true speed keeps S = 0.97, 0.95, 0.85, 0.73; at 0.5 it has
-0.28: beyond the lattice, wrong speed reads as softness. Another world in which the
camera moves in the same way has -0.66 (0.31, on a mere strafe 0.86, before bland
world, weights and grain). One pair in six is
decided.

ZNCC as in Lewis 1995; the grain as in Immerkaer 1996, "Fast noise variance estimation".
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.metrics.functional.geometry import MAX_ROTATION, MIN_OVERLAP, Mask, PairView, sample
from worldsim.seeding import generator
from worldsim.types import Frames, check_frames

Grey = NDArray[np.float32]
Weight = NDArray[np.float64]
Maps = dict[tuple[float, float], NDArray[np.float64]]

POWER = 0.02  # least e_null - e_gt of the truth
WINDOW = 7  # px
MIN_PARALLAX = 2.0  # px, median over what both frames see: below it the picture is the same for every depth
MIN_WINDOW = 25  # kept pixels of a window's 49
MIN_PIXELS = 24  # scored pixels in each of the two depth strata
MIN_STD = 2.0  # of the truth in a window, 8-bit steps: below it there is nothing to find again
FLAT_STD = 0.3  # of what is shown: below it rounding is all there is, and the correlation counts as 0
MAX_GRAIN = 16.0  # of the truth's luminance, 8-bit steps: more noise than this is a fault
LOW_PASS = 1.5  # px: grain and compression lie above it, surfaces below
SIGMAS = tuple(0.2 * k for k in range(16))  # px, of the blur that matches the sharpness


@dataclass(frozen=True, kw_only=True)
class Reprojection:
    """The three errors of one pair, each in 0..1, and what they rest on.

    Attributes:
        e_gen, e_gt, e_null: See the module.
        sigma: Blur of the truth that gives it the sharpness of what was shown, px.
        noise: Standard deviation of the grain that was added to the truth for the same reason, 8-bit steps.
        pixels: Windows that were compared.
        speed: Factors of translation and rotation at which e_gen was least.
    """

    e_gen: float
    e_gt: float
    e_null: float
    sigma: float = 0.0
    noise: float = 0.0
    pixels: int = 0
    speed: tuple[float, float] = (1.0, 1.0)

    @property
    def skill(self) -> float:
        """S, at most 1 and at least -1; 0 where what was shown is so smooth that its motion cannot be seen."""
        return float(skill(np.array([self.e_gen, self.e_gt, self.e_null])))


def skill(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """S of (..., 3) errors (e_gen, e_gt, e_null), clipped to -1..1; 0 where e_null - e_gt is below `POWER`."""
    gap = errors[..., 2] - errors[..., 1]
    seen = gap >= POWER
    value = 1.0 - (errors[..., 0] - errors[..., 1]) / np.where(seen, gap, 1.0)
    return np.asarray(np.where(seen, np.clip(value, -1.0, 1.0), 0.0))


def _luminances(frames: Frames) -> tuple[Grey, ...]:
    """(n, H, W, 3) uint8 -> n times (H, W) float32, Rec. 601, 8-bit steps."""
    return tuple(np.asarray(cv2.cvtColor(f.astype(np.float32), cv2.COLOR_RGB2GRAY), np.float32) for f in frames)


def low_passed(image: Grey) -> Grey:
    """Without what lies above `LOW_PASS` px, on every side alike."""
    return blurred(image, LOW_PASS)


def _box(image: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = cv2.boxFilter(
        image, cv2.CV_64F, (WINDOW, WINDOW), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return out


def local_std(image: Grey, kept: Mask) -> NDArray[np.float64]:
    """Standard deviation of the kept pixels of each 7x7 window, 8-bit steps; 0 where the window holds too few."""
    m = kept.astype(np.float64)
    n = _box(m)
    x = (image.astype(np.float64) - 128.0) * m
    safe = np.maximum(n, 1)
    variance = _box(x * x) / safe - np.square(_box(x) / safe)
    return np.where(n >= MIN_WINDOW, np.sqrt(np.maximum(variance, 0.0)), 0.0)


def zncc_error(a: Grey, b: Grey, kept: Mask) -> NDArray[np.float64]:
    """(1 - ZNCC) / 2 of each 7x7 window over its kept pixels: (H, W) twice -> (H, W) in 0..1; 0.5 where one is flat."""
    m = kept.astype(np.float64)
    n = np.maximum(_box(m), 1)
    x, y = (a.astype(np.float64) - 128.0) * m, (b.astype(np.float64) - 128.0) * m
    mean_x, mean_y = _box(x) / n, _box(y) / n
    var_x = np.maximum(_box(x * x) / n - mean_x * mean_x, 0.0)
    var_y = np.maximum(_box(y * y) / n - mean_y * mean_y, 0.0)
    flat = np.minimum(var_x, var_y) < FLAT_STD**2
    zncc = (_box(x * y) / n - mean_x * mean_y) / np.where(flat, 1.0, np.sqrt(var_x * var_y))
    return np.where(flat, 0.5, (1.0 - np.clip(zncc, -1.0, 1.0)) / 2.0)


def _error(first: Grey, second: Grey, maps: Maps, view: PairView, weight: Weight) -> tuple[float, tuple[float, float]]:
    """Least error over the lattice, and where; ties go to the true motion, which comes first."""
    near, far = weight * view.near, weight * ~view.near
    near, far = near / near.sum(), far / far.sum()
    best, at = np.inf, (1.0, 1.0)
    for factors, pixels in maps.items():
        errors = zncc_error(first, sample(second, pixels), view.kept)
        value = 0.5 * float((errors * (near + far)).sum())
        if value < best:
            best, at = value, factors
    return best, at


def _null_error(first: Grey, view: PairView, weight: Weight) -> float:
    """The better of the frozen frame and the bland world, both made of the first frame."""
    frozen = _error(first, first, view.maps, view, weight)[0]
    return min(frozen, _error(first, first, view.bland, view, weight)[0])


def grain(image: Grey) -> float:
    """Energy of the second differences across each other (Immerkaer 1996): 36 times the variance of white noise."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    out: Grey = cv2.filter2D(image, cv2.CV_32F, kernel)
    return float(np.square(out[1:-1, 1:-1]).mean())


def matching_grain(truth: tuple[Grey, ...], shown: tuple[Grey, ...]) -> float:
    """Standard deviation of the white noise, 0..`MAX_GRAIN`, that the truth lacks to be as grainy as what is shown.

    The truth's own grain is first scaled by the contrast of what is shown.
    """
    contrast = sum(float(z.var()) for z in shown) / max(sum(float(z.var()) for z in truth), FLAT_STD**2)
    excess = sum(grain(z) for z in shown) - contrast * sum(grain(z) for z in truth)
    return float(np.sqrt(np.clip(excess / (36.0 * len(shown)), 0.0, MAX_GRAIN**2)))


def blurred(image: Grey, sigma: float) -> Grey:
    """Gaussian blur, sigma in px; the image itself for 0."""
    return image if sigma == 0 else np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.float32)


def sharpness(images: tuple[Grey, ...]) -> float:
    """Squared differences between neighbours against the variance: free of brightness and contrast; 0 for flat ones."""
    energy = sum(float(np.square(np.diff(z, axis=k)).mean()) for z in images for k in (0, 1))
    spread = sum(float(z.var()) for z in images)
    return energy / spread if spread > FLAT_STD**2 else 0.0


def matching_sigma(truth: tuple[Grey, ...], shown: tuple[Grey, ...]) -> float:
    """The blur, 0..3 px, that makes the truth no sharper than what was shown; 0 where that is as sharp or sharper."""
    goal = sharpness(shown)
    levels = [sharpness(truth)]
    if goal >= levels[0] or goal == 0.0:
        return 0.0
    for sigma in SIGMAS[1:]:
        levels.append(sharpness(tuple(blurred(z, sigma) for z in truth)))
        if levels[-1] <= goal:
            share = (levels[-2] - goal) / max(levels[-2] - levels[-1], 1e-12)
            return float(sigma - 0.2 * (1.0 - share))
    return float(SIGMAS[-1])


def undecidable(truth: Frames, view: PairView) -> str | None:
    """Why the truth cannot decide a pair, or None: true frames (2, H, W, 3) uint8 and their view."""
    return _weights(truth, view)[1]


def _weights(truth: Frames, view: PairView) -> tuple[Weight, str | None]:
    """How much each window counts, and why there is nothing to decide; the truth's frames alone are asked.

    A window counts by its variance in the truth: grain and compression drown the faint ones first.
    """
    first, second = (low_passed(z) for z in _luminances(truth))
    spread = local_std(first, view.kept)
    scored = view.kept & (spread >= MIN_STD)
    weight = np.where(scored, np.square(spread), 0.0)
    if view.rotation > MAX_ROTATION:
        return weight, f"more than {MAX_ROTATION:g} degrees between the frames"
    if view.parallax < MIN_PARALLAX:
        return weight, f"less than {MIN_PARALLAX:g} px of parallax"
    if view.overlap < MIN_OVERLAP:
        return weight, f"less than {MIN_OVERLAP:.0%} overlap"
    if min(int((scored & view.near).sum()), int((scored & ~view.near).sum())) < MIN_PIXELS:
        return weight, f"fewer than {MIN_PIXELS} textured static px, near or far, seen in both frames"
    gap = _null_error(first, view, weight) - _error(first, second, view.maps, view, weight)[0]
    return weight, None if gap >= POWER else "no power: a frozen frame or a bland world would fit as well"


def reprojection(truth: Frames, shown: Frames, view: PairView) -> Reprojection | str:
    """Scores one pair.

    Args:
        truth: (2, H, W, 3) uint8, true frames i and j.
        shown: (2, H, W, 3) uint8, the model's.
        view: Of the two true states.

    Returns:
        The errors, or a sentence that says why the truth cannot decide this pair.

    Raises:
        ShapeError: If sizes differ.
    """
    for frames, what in ((truth, "truth"), (shown, "shown")):
        check_frames(frames, ndim=4, what=what)
        if len(frames) != 2 or frames.shape[1:3] != view.kept.shape:
            raise ShapeError(f"{what} must be (2, {view.kept.shape[0]}, {view.kept.shape[1]}, 3), got {frames.shape}")
    weight, reason = _weights(truth, view)
    if reason is not None:
        return reason
    true, own = _luminances(truth), _luminances(shown)
    noise = matching_grain(true, own)
    soft, seen = (tuple(low_passed(z) for z in pair) for pair in (true, own))
    sigma = matching_sigma(soft, seen)
    rng = generator("geometry.reprojection", "grain")
    alike = [low_passed(_grainy(blurred(z, sigma), noise, rng)) for z in true]
    e_gen, speed = _error(seen[0], seen[1], view.maps, view, weight)
    e_gt, _ = _error(alike[0], alike[1], view.maps, view, weight)
    return Reprojection(
        e_gen=e_gen,
        e_gt=e_gt,
        e_null=_null_error(seen[0], view, weight),
        sigma=sigma,
        noise=noise,
        pixels=int((weight > 0).sum()),
        speed=speed,
    )


def _grainy(image: Grey, sd: float, rng: np.random.Generator) -> Grey:
    return image if sd == 0 else np.asarray(image + rng.normal(0.0, sd, image.shape), dtype=np.float32)
