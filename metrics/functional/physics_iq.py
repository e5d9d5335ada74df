"""Does what moves in one video move where, when and as much as in another? The measures of Physics-IQ.

Motamed et al. 2025 (arXiv 2501.09038), section 3: motion masks of both videos, three overlaps of them, and the squared
difference of the pictures; all relative to what two real takes of the same event reach. Written from the definitions,
so that the numbers of that benchmark can be compared with ours. Videos are (T, H, W, 3) uint8 RGB; masks are (T, H, W)
bool.

Limits: the camera must stand still, for everything that moves in the picture counts. Two videos without motion agree
perfectly. The background follows with a weight of 0.3 a frame, so that masks depend on the frame rate and the first
frame's is always empty; compare equal rates only. The sum takes an MSE in 0..1 from overlaps in 0..1, where it weighs
little. A score needs a normaliser from real takes: see `score`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.types import Frames, check_frames

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

RATE = 0.3  # weight of the new frame in the running background
THRESHOLD = 10  # 8-bit steps off the background: what differs by more has moved
WINDOW = 5  # px: sides of the blur before, and of the opening and closing after the threshold
SHRINK = 4  # videos are compared at a quarter of their size


def motion_masks(frames: Frames) -> Mask:
    """What moves: off a running average of the blurred luminance by more than 10, opened, then closed (5x5)."""
    check_frames(frames, ndim=4, what="the video")
    out = np.zeros(frames.shape[:3], dtype=np.bool_)
    kernel = np.ones((WINDOW, WINDOW), np.uint8)
    background: Float | None = None
    for mask, frame in zip(out, frames, strict=True):
        grey = cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (WINDOW, WINDOW), 0)
        if background is None:
            background = np.asarray(grey, dtype=np.float64)
            continue
        cv2.accumulateWeighted(grey, background, RATE)  # in place
        off = (cv2.absdiff(grey, cv2.convertScaleAbs(background)) > THRESHOLD).astype(np.uint8)
        mask[:] = cv2.morphologyEx(cv2.morphologyEx(off, cv2.MORPH_OPEN, kernel), cv2.MORPH_CLOSE, kernel) > 0
    return out


def shrunk(frames: Frames) -> Frames:
    """A quarter of the size by bilinear sampling, (T, H // 4, W // 4, 3)."""
    height, width = frames.shape[1] // SHRINK, frames.shape[2] // SHRINK
    out = np.empty((len(frames), height, width, 3), np.uint8)
    for small, frame in zip(out, frames, strict=True):
        cv2.resize(frame, (width, height), dst=small)
    return out


def shrunk_masks(masks: Mask) -> Mask:
    """The masks at a quarter of the size: set where more than half of the sampled pixels are."""
    bright = np.repeat(masks[..., None].astype(np.uint8) * 255, 3, axis=-1)
    return np.asarray(shrunk(bright)[..., 0] > 127)


def _check_masks(a: Mask, b: Mask) -> None:
    if a.shape != b.shape or a.ndim != 3 or len(a) == 0:
        raise ShapeError(f"masks must be (T, H, W) bool of the same shape with T >= 1, got {a.shape} and {b.shape}")


def spatial_iou(a: Mask, b: Mask) -> float:
    """Where: overlap of the places at which anything ever moves, 0..1; 1 if nothing moves in either video."""
    _check_masks(a, b)
    ever = [np.asarray(m.any(axis=0, keepdims=True)) for m in (a, b)]
    return float(_iou(*ever)[0])


def spatiotemporal_iou(a: Mask, b: Mask) -> Float:
    """Where and when: overlap in each frame, (T,) in 0..1; 1 in a frame in which nothing moves in either video."""
    _check_masks(a, b)
    return _iou(a, b)


def weighted_spatial_iou(a: Mask, b: Mask) -> float:
    """Where and how much: summed smaller over summed larger share of moving frames at each pixel, 0..1; 1 if none."""
    _check_masks(a, b)
    x, y = a.mean(axis=0, dtype=np.float64), b.mean(axis=0, dtype=np.float64)
    union = float(np.maximum(x, y).sum())
    return float(np.minimum(x, y).sum() / union) if union > 0 else 1.0


def _iou(a: Mask, b: Mask) -> Float:
    both, either = (a & b).sum(axis=(1, 2)), (a | b).sum(axis=(1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How two videos of one event agree.

    Attributes:
        spatial, spatiotemporal, weighted: Overlaps of their motion, 0..1, higher is better.
        mse: Mean squared difference of the quarter-size pictures in 0..1, lower is better.
    """

    spatial: float
    spatiotemporal: float
    weighted: float
    mse: float


def likeness(a: Frames, b: Frames) -> Likeness:
    """Compares two videos of the same shape; motion is found at full size, all is compared at a quarter.

    Raises:
        ShapeError: On different shapes, no frame, or sides below 4 px.
    """
    check_frames(a, ndim=4, what="the first video")
    check_frames(b, ndim=4, what="the second video")
    if a.shape != b.shape or len(a) == 0 or min(a.shape[1:3]) < SHRINK:
        raise ShapeError(
            f"both videos must have one shape (T >= 1, sides of 4 px or more), got {a.shape} and {b.shape}"
        )
    x, y = (shrunk_masks(motion_masks(v)) for v in (a, b))
    difference = (shrunk(a).astype(np.float64) - shrunk(b)) / 255.0
    return Likeness(
        spatial=spatial_iou(x, y),
        spatiotemporal=float(spatiotemporal_iou(x, y).mean()),
        weighted=weighted_spatial_iou(x, y),
        mse=float(np.square(difference).mean()),
    )


def average(parts: Sequence[Likeness]) -> Likeness:
    """The mean of each measure over views or events of equal weight.

    Raises:
        ShapeError: On an empty sequence.
    """
    if not parts:
        raise ShapeError("the mean of no comparisons is undefined: pass at least one")
    names = ("spatial", "spatiotemporal", "weighted", "mse")
    return Likeness(**{n: float(np.mean([getattr(p, n) for p in parts])) for n in names})


def score(model: Likeness, takes: Likeness, *, clip: bool = True) -> float | None:
    """100 x (mean of the three overlaps, each over that of the takes, less the MSE beyond theirs); 100 = a second take.

    Args:
        model: Generated video against take 1, averaged over a set.
        takes: Take 2 against take 1, averaged over the same set.
        clip: To 0..100, as the benchmark does.

    Returns:
        The score, or None where the takes have no motion in common: there is nothing to be measured by.
    """
    anchors = (takes.spatial, takes.spatiotemporal, takes.weighted)
    if min(anchors) <= 0.0:
        return None
    ratios = np.array([model.spatial, model.spatiotemporal, model.weighted]) / np.array(anchors)
    value = 100.0 * (float(ratios.mean()) - (model.mse - takes.mse))
    return min(max(value, 0.0), 100.0) if clip else value
