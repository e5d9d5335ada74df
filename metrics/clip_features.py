"""Clips of an episode as short vectors of plain numbers: what set distances look at, and what a row of evidence keeps.

Features are those of `functional.features`, in fixed units, projected to 16 numbers each by a fixed random matrix
(Johnson and Lindenstrauss 1984: distances survive it within a quarter or so), and divided by a fixed width, the median
distance of two clips of Blocks. Nothing depends on the clips that are compared: the kernel is the same for every model,
scenario and laboratory, and no model moves its own yardstick.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from worldsim.metrics.functional import features
from worldsim.seeding import generator
from worldsim.types import Frames

Float = NDArray[np.float64]

CLIP = 8  # frames
MOST = 4  # clips of an episode
MIN_SIDE = 16  # px: smaller frames have no statistics worth a name
EVERY = 2  # of the frames of a clip, how many steps from one whose look is described to the next
SIZE = 16  # numbers that a projection leaves
LOOK, MOVE = 2 * SIZE, SIZE + features.HEADING  # lengths of the two vectors
DIGITS = 3  # after the decimal point, in units of the width

# Median spread of each group of features over clips of Blocks: only their ratios matter.
_APPEARANCE_UNITS = np.repeat([4.0, 1.1, 0.07, 0.07], [35, 14, 16, 12])
# Median distance between two clips of Blocks after projection (walks in the arena at 64 x 64).
_WIDTHS = {"appearance": 10.0, "palette": 0.75, "motion": 1.2, "heading": 3.4}


def _projection(name: str, size: int) -> Float:
    return np.asarray(generator("clips", name).normal(size=(size, SIZE)) / np.sqrt(SIZE) / _WIDTHS[name])


_PROJECT_APPEARANCE = _projection("appearance", features.APPEARANCE) / _APPEARANCE_UNITS[:, None]
_PROJECT_PALETTE = _projection("palette", features.PALETTE)
_PROJECT_MOTION = _projection("motion", features.MOTION)


def spans(first: int, last: int) -> list[tuple[int, int]]:
    """Clips [a, b) of `CLIP` frames among the frames first..last, each at the end of an equal part; [] if too short.

    Two clips from 16 frames on, three from 48, four from 64.
    """
    frames = last - first + 1
    parts = max(min(2, frames // CLIP), min(MOST, frames // (2 * CLIP)))
    ends = [first + frames * (i + 1) // parts for i in range(parts)]
    return [(end - CLIP, end) for end in ends]


def look(clip: Frames) -> Float:
    """(T, H, W, 3) -> (32,): appearance and palette of every second frame, each 16 numbers; rounded to `DIGITS`."""
    return _REMEMBERED("look", clip, _look)


def palette(clip: Frames) -> Float:
    """(T, H, W, 3) -> (16,): the second half of `look`."""
    return look(clip)[SIZE:]


def move(clip: Frames) -> Float:
    """(T, H, W, 3) -> (28,): motion in 16 numbers and its heading in 12; rounded to `DIGITS`."""
    return _REMEMBERED("move", clip, _move)


def _look(clip: Frames) -> Float:
    frames = clip[::EVERY]
    if (frames == frames[0]).all():
        frames = frames[:1]  # the mean of equal frames
    return np.concatenate(
        [features.appearance(frames) @ _PROJECT_APPEARANCE, features.palette(frames) @ _PROJECT_PALETTE]
    )


def _move(clip: Frames) -> Float:
    motion, heading = features.movement(clip)
    return np.concatenate([motion @ _PROJECT_MOTION, heading / _WIDTHS["heading"]])


class _Memo:
    """Remembers the vectors of the last clips by their bytes: all metrics and sources ask for the same ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[tuple[str, tuple[int, ...], int], Float] = {}

    def __call__(self, what: str, clip: Frames, describe: Callable[[Frames], Float]) -> Float:
        data = np.ascontiguousarray(clip)
        # 64 bits of SipHash: two of the clips held agree by chance once in 10^14 runs, and it takes 15 microseconds.
        key = what, data.shape, hash(data.tobytes())
        value = self._held.get(key)
        if value is None:
            value = np.round(describe(data), DIGITS) + 0.0  # + 0.0 turns -0.0 into 0.0
            value.flags.writeable = False
            while len(self._held) >= self._most:
                self._held.pop(next(iter(self._held)), None)
            self._held[key] = value
        return value


_REMEMBERED = _Memo(512)
