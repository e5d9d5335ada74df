"""Frame sources that wrap another one: kept in memory, or sent through a function, piece by piece."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from worldsim.errors import ShapeError
from worldsim.types import Frames, FrameSource


class CachedFrames:
    """Keeps the frames that were asked for last, so that many metrics decode a video once. Bounded memory."""

    def __init__(self, source: FrameSource, limit: int = 128) -> None:
        """Wraps `source` (T, H, W, 3); at most `limit` frames are held."""
        self._source, self._limit = source, limit
        self._held: OrderedDict[int, Frames] = OrderedDict()

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W, 3)."""
        return tuple(self._source.shape)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, key: Any, /) -> Frames:
        if isinstance(key, slice):
            indices = range(*key.indices(len(self)))
            if len(indices) > self._limit:
                return self._source[key]
            frames = [self[t] for t in indices]
            return np.stack(frames) if frames else np.empty((0, *self.shape[1:]), np.uint8)
        t = int(key) + (len(self) if int(key) < 0 else 0)
        if t in self._held:
            self._held.move_to_end(t)
            return self._held[t]
        frame = np.asarray(self._source[t])
        self._held[t] = frame
        if len(self._held) > self._limit:
            self._held.popitem(last=False)
        return frame


class MappedFrames:
    """`function` applied to fixed stretches of a source when they are asked for: a codec's round trip of the truth.

    Stretches start at multiples of `chunk`, so that a codec that compresses over time gives the same bytes whatever is
    asked for first.
    """

    def __init__(self, source: FrameSource, function: Callable[[Frames], Frames], chunk: int = 16) -> None:
        """Wraps `source` (T, H, W, 3); `function` maps (t, H, W, 3) uint8 to the same shape."""
        self._source, self._function, self._chunk = source, function, chunk
        self._start, self._frames = -1, np.empty(0, np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W, 3)."""
        return tuple(self._source.shape)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, key: Any, /) -> Frames:
        if isinstance(key, slice):
            frames = [self[t] for t in range(*key.indices(len(self)))]
            return np.stack(frames) if frames else np.empty((0, *self.shape[1:]), np.uint8)
        t = int(key) + (len(self) if int(key) < 0 else 0)
        if not 0 <= t < len(self):
            raise IndexError(f"frame {int(key)} of {len(self)}")
        start = t - t % self._chunk
        if start != self._start:
            before = np.asarray(self._source[start : min(start + self._chunk, len(self))])
            after = np.asarray(self._function(before))
            if after.shape != before.shape or after.dtype != np.uint8:
                raise ShapeError(
                    f"round_trip must return {before.shape} uint8 like its input, got {after.shape} {after.dtype.name}"
                )
            self._start, self._frames = start, after
        frame: Frames = self._frames[t - start]
        return frame
