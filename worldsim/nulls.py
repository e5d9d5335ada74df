"""The null battery: what simulators that know nothing would show. Floors of every score come from these five.

Each null is a pure function of the context, the horizon and a seed, so that a baseline model and the scorer draw the
same frames. Horizon h is 1 for the first predicted frame; frame index t = C - 1 + h.

- frozen: the last context frame, for ever.
- copy-context: the context, played back and forth (palindrome): right motion statistics, no knowledge.
- context-mean: the per-pixel mean of the context, rounded: the best constant guess for squared error.
- noise: uniform random bytes.
- other-episode: what happened in another world: a perfect look, the wrong world.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.errors import ShapeError, UnknownNameError, nearest
from worldsim.seeding import generator
from worldsim.types import Frames, FrameSource, check_frames

NULLS = ("frozen", "copy-context", "context-mean", "noise", "other-episode")


def palindrome(index: int, length: int) -> int:
    """Folds an index >= 0 into 0..length-1 by walking back and forth: 0 1 2 1 0 1 2 ... for length 3."""
    if length == 1:
        return 0
    phase = index % (2 * (length - 1))
    return phase if phase < length else 2 * (length - 1) - phase


def context_mean(context: Frames) -> Frames:
    """The per-pixel mean over time, rounded half up: (C, H, W, 3) uint8 -> (H, W, 3) uint8."""
    total = context.sum(axis=0, dtype=np.uint32)
    count = np.uint32(len(context))
    mean: Frames = ((2 * total + count) // (2 * count)).astype(np.uint8)
    return mean


def null_frame(name: str, context: Frames, h: int, *, seed: int, other: FrameSource | None = None) -> Frames:
    """The frame that a null shows at horizon h.

    Args:
        name: One of `NULLS`.
        context: (C, H, W, 3) uint8; C may be 0 for "noise" only.
        h: 1 for the first predicted frame.
        seed: Used by "noise" only; the same (seed, h) give the same bytes.
        other: Frames of another world, for "other-episode": shown from index C - 1 + h on, folded back and forth where
            it is shorter.

    Returns:
        (H, W, 3) uint8.

    Raises:
        UnknownNameError: For a name that is not in `NULLS`.
        ShapeError: For an empty context, h < 1, or another episode that is missing or of another size.
    """
    if name not in NULLS:
        raise UnknownNameError(f"no null is called {name!r}.{nearest(name, NULLS)} Known: {', '.join(NULLS)}.")
    check_frames(context, ndim=4, what="context")
    if h < 1:
        raise ShapeError(f"h must be at least 1 (the first predicted frame), got {h}")
    if name == "noise":
        frame: Frames = generator("null/noise", seed, h).integers(0, 256, context.shape[1:], dtype=np.uint8)
        return frame
    if name == "other-episode":
        if other is None:
            raise ShapeError("the null 'other-episode' needs the frames of another world: pass other=...")
        if tuple(other.shape[1:]) != tuple(context.shape[1:]):
            raise ShapeError(
                f"the other episode's frames must be {tuple(context.shape[1:])}, got {tuple(other.shape[1:])}"
            )
        return np.asarray(other[palindrome(max(len(context), 1) - 1 + h, len(other))])
    if len(context) == 0:
        raise ShapeError(f"the null {name!r} needs at least one frame of context, got none")
    if name == "context-mean":
        return context_mean(context)
    shown: Frames = context[-1 if name == "frozen" else palindrome(len(context) - 1 + h, len(context))]
    return shown


class NullFrames:
    """A null as a FrameSource of `length` frames, drawn when asked for; its first C frames are the context."""

    def __init__(self, name: str, context: Frames, length: int, seed: int, other: FrameSource | None = None) -> None:
        """Prepares it; arguments as in `null_frame`, `length` = T + 1. Raises what `null_frame` raises."""
        self._name, self._seed, self._other = name, seed, other
        self._context = np.asarray(context)
        self._length = length
        # A mean does not change with h: computed once, then shown as the frozen frame of a one-frame context.
        self._mean = context_mean(self._context) if name == "context-mean" and len(self._context) else None
        null_frame(name, self._context, 1, seed=seed, other=other)  # refuse here what could not be drawn later

    @property
    def shape(self) -> tuple[int, ...]:
        """(T + 1, H, W, 3)."""
        return (self._length, *self._context.shape[1:])

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: Any, /) -> Frames:
        if isinstance(key, slice):
            indices = range(*key.indices(self._length))
            return np.stack([self._at(t) for t in indices]) if indices else np.empty((0, *self.shape[1:]), np.uint8)
        t = int(key) + (self._length if int(key) < 0 else 0)
        if not 0 <= t < self._length:
            raise IndexError(f"frame {int(key)} of {self._length}")
        return self._at(t)

    def _at(self, t: int) -> Frames:
        c = len(self._context)
        if t < c:
            frame: Frames = self._context[t]
            return frame
        if self._mean is not None:
            return self._mean
        h = max(t - c + 1, 1)  # without a context, frame 0 is drawn as if it were the first predicted one
        return null_frame(self._name, self._context, h, seed=self._seed, other=self._other)
