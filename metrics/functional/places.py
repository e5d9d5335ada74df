"""Which of several pictures does a frame show, as a whole? The nearest after a common low-pass, gain, offset and shift.

The whole-frame companion of the hypothesis test: there is no region that stays the same, so each candidate is laid on
the frame by itself. The distance is 2 - 2 r, r the correlation of the low-passed pictures (each channel less its mean)
at the best shift by whole pixels: 0 = equal up to gain and offset, 2 = unrelated, 4 = its negative.

Limits: a nearly uniform candidate has no correlation with anything (distance 2, but 0 with another uniform one);
parallax and rotation are not aligned.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.metrics.functional.alignment import SHIFT, STEP, low_pass
from worldsim.types import Frames, check_frames


def distances(frame: Frames, candidates: Frames | Sequence[Frames], shift: int = SHIFT) -> NDArray[np.float64]:
    """(K,) float64 distances of an (H, W, 3) uint8 frame to K candidates (K, H, W, 3).

    Raises:
        ShapeError: If sizes differ, there is no candidate, or the frames are no larger than the shifts.
    """
    check_frames(frame, ndim=3, what="the frame")
    if not len(candidates):
        raise ShapeError("expected at least one candidate, got none")
    if min(frame.shape[:2]) <= 2 * shift:
        raise ShapeError(f"frames must be larger than {2 * shift} px, got {frame.shape}")
    whole = low_pass(frame)
    flat = _flat(whole)
    out = []
    for candidate in candidates:
        check_frames(candidate, ndim=3, what="a candidate")
        if candidate.shape != frame.shape:
            raise ShapeError(f"candidates must be {frame.shape} like the frame, got {candidate.shape}")
        inner = low_pass(candidate)[shift : frame.shape[0] - shift, shift : frame.shape[1] - shift]
        if flat or _flat(inner):
            out.append(0.0 if flat and _flat(inner) else 2.0)
            continue
        found = float(cv2.matchTemplate(whole, inner, cv2.TM_CCOEFF_NORMED).max())
        out.append(2.0 - 2.0 * min(found, 1.0))
    return np.array(out)


def nearest(frame: Frames, candidates: Frames | Sequence[Frames], shift: int = SHIFT) -> tuple[int, float]:
    """Index of the nearest candidate (the first of equals) and its distance."""
    found = distances(frame, candidates, shift)
    index = int(found.argmin())
    return index, float(found[index])


def _flat(picture: NDArray[np.float32]) -> bool:
    """Whether no channel varies by more than rounding does."""
    return bool(picture.std(axis=(0, 1)).max() < STEP)
