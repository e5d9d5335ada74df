"""Do points stay where they should be, and is it known when they are hidden? The measures of TAP-Vid.

Doersch et al. 2022, section 3.1, with the published code's conventions: pixels of a 256 x 256 picture, thresholds 1, 2,
4, 8 and 16 px (strictly closer), each query scored on the frames after its own ("first") or on all others ("strided").

Limits: the thresholds are absolute, so tracks of another size must be scaled first (`scale_to`). A query with no scored
frame, and thresholds where nothing is or is said to be visible, are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldsim.errors import ShapeError, UnsupportedError

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
Mode: TypeAlias = Literal["first", "strided"]

THRESHOLDS = (1.0, 2.0, 4.0, 8.0, 16.0)  # pixels of a 256 x 256 picture
SIDE = 256


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """The measures of one clip, each in 0..1, higher better; NaN = undefined.

    Attributes:
        average_jaccard: AJ, mean of `jaccard` over the thresholds.
        position: delta_avg, mean of `within` over the thresholds.
        occlusion: OA, share of scored points whose visibility is told rightly.
        jaccard: (5,) true positives over (truly visible + false positives).
        within: (5,) share of truly visible points that are closer than the threshold.
        scored: How many point-frames were scored.
        visible: How many of them are truly visible.
    """

    average_jaccard: float
    position: float
    occlusion: float
    jaccard: Float
    within: Float
    scored: int
    visible: int


def scale_to(tracks: ArrayLike, height: int, width: int) -> Float:
    """Tracks (..., 2) as x, y pixels of a height x width picture -> pixels of 256 x 256."""
    if height < 1 or width < 1:
        raise ShapeError(f"a picture must have at least 1 x 1 pixels, got {height} x {width}")
    return np.asarray(np.asarray(tracks, dtype=np.float64) * np.array([SIDE / width, SIDE / height]))


def scored_frames(query_frame: ArrayLike, frames: int, mode: Mode = "first") -> Mask:
    """(N, T) bool: the frames after each query's own ("first"), or all but its own ("strided")."""
    query = np.asarray(query_frame)
    if query.ndim != 1 or not np.issubdtype(query.dtype, np.integer):
        raise ShapeError(f"query frames must be (N,) whole numbers, got {query.shape} {query.dtype.name}")
    if ((query < 0) | (query >= frames)).any():
        raise ShapeError(f"query frames must lie in 0..{frames - 1}, got {query.min()}..{query.max()}")
    if mode not in ("first", "strided"):
        raise ShapeError(f"mode must be 'first' or 'strided', got {mode!r}")
    t = np.arange(frames)
    return np.asarray(t > query[:, None] if mode == "first" else t != query[:, None])


def tapvid(
    true_tracks: ArrayLike,
    true_occluded: ArrayLike,
    tracks: ArrayLike,
    occluded: ArrayLike,
    query_frame: ArrayLike,
    mode: Mode = "first",
) -> Tracking:
    """AJ, delta_avg and OA of one clip.

    A true positive is a point that is visible, said to be visible, and closer than the threshold. A false positive is
    said to be visible, and is hidden or not that close: a misplaced visible point counts twice, once as missed.

    Args:
        true_tracks: (N, T, 2) x, y pixels of a 256 x 256 picture; of hidden points any finite number.
        true_occluded: (N, T) bool.
        tracks: (N, T, 2), predicted.
        occluded: (N, T) bool, predicted.
        query_frame: (N,) in which frame each point is given.
        mode: Which frames are scored.

    Raises:
        ShapeError: On wrong shapes, or NaN where a point is truly visible or said to be.
        UnsupportedError: If no frame is scored.
    """
    truth, predicted = np.asarray(true_tracks, dtype=np.float64), np.asarray(tracks, dtype=np.float64)
    hidden, said_hidden = _mask(true_occluded), _mask(occluded)
    if truth.ndim != 3 or truth.shape[-1] != 2 or predicted.shape != truth.shape:
        raise ShapeError(f"both tracks must be (N, T, 2), got {truth.shape} and {predicted.shape}")
    if hidden.shape != truth.shape[:2] or said_hidden.shape != truth.shape[:2]:
        raise ShapeError(f"both occlusions must be {truth.shape[:2]}, got {hidden.shape} and {said_hidden.shape}")
    scored = scored_frames(query_frame, truth.shape[1], mode)
    if scored.shape != hidden.shape:
        raise ShapeError(f"expected {len(hidden)} query frames, got {len(scored)}")
    if not scored.any():
        raise UnsupportedError("no frame is scored: each point is given in its last frame")
    visible, said_visible = ~hidden & scored, ~said_hidden & scored
    if not (np.isfinite(truth[visible]).all() and np.isfinite(predicted[visible | said_visible]).all()):
        raise ShapeError("tracks must be finite wherever a point is visible or said to be")

    square = np.square(predicted - truth).sum(axis=-1)
    positives = int(visible.sum())
    jaccard, within = np.full(len(THRESHOLDS), np.nan), np.full(len(THRESHOLDS), np.nan)
    for k, threshold in enumerate(THRESHOLDS):
        close = square < threshold**2
        true_positive = int((close & visible & said_visible).sum())
        false_positive = int((said_visible & ~(close & visible)).sum())
        if positives + false_positive:
            jaccard[k] = true_positive / (positives + false_positive)
        if positives:
            within[k] = (close & visible).sum() / positives
    return Tracking(
        average_jaccard=float(jaccard.mean()),
        position=float(within.mean()),
        occlusion=float((hidden == said_hidden)[scored].mean()),
        jaccard=jaccard,
        within=within,
        scored=int(scored.sum()),
        visible=positives,
    )


def _mask(values: ArrayLike) -> Mask:
    out = np.asarray(values)
    if out.dtype != np.bool_:
        raise ShapeError(f"occlusion must be bool (True = hidden), got {out.dtype.name}")
    return out
