"""Where a clip moves: starts from which copying the last frame is a bad guess, else it would look like skill."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from worldsim.types import Frames

#: A start moves if the last context frame is a guess of less than this, in dB, `AHEAD` frames later (copy-last).
MOVING_DB = 24.0
AHEAD = 4


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """PSNR in dB of each frame, the textbook's: (..., H, W, 3) uint8 twice -> (...); equal frames count as 60 dB.

    The metric `fidelity.psnr` allows for the rounding to 8 bits; at 30 dB the two differ by 0.006 dB.
    """
    error = np.square(a.astype(np.int32) - b.astype(np.int32)).mean(axis=(-3, -2, -1)) / 255.0**2  # exact sums
    return np.asarray(-10 * np.log10(np.maximum(error, 1e-6)), np.float64)


def moving_start(frames: Frames, starts: Iterable[int], *, context: int, horizon: int) -> int | None:
    """The first start that moves.

    Args:
        frames: (T+1, H, W, 3) uint8, one episode.
        starts: First context frames to try, in order; each leaves room for context and horizon.
        context: C.
        horizon: Frames after it; where they are fewer than `AHEAD`, the last of them is looked at.

    Returns:
        One of `starts`, or None if nothing moves.
    """
    for start in starts:
        last = int(start) + context - 1
        if psnr(frames[last], frames[last + min(AHEAD, horizon)]) < MOVING_DB:
            return int(start)
    return None
