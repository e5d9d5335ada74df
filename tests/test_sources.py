"""Frame sources that wrap another: the same frames, read once, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldsim.errors import ShapeError
from worldsim.sources import CachedFrames, MappedFrames
from worldsim.types import Frames, FrameSource

VIDEO = np.random.default_rng(0).integers(0, 256, (40, 4, 5, 3), dtype=np.uint8)


class Counted:
    """A source that remembers how many frames were read."""

    def __init__(self) -> None:
        self.read = 0

    shape = VIDEO.shape

    def __len__(self) -> int:
        return len(VIDEO)

    def __getitem__(self, key: Any, /) -> Frames:
        found: Frames = VIDEO[key]
        self.read += len(found) if isinstance(key, slice) else 1
        return found


@pytest.mark.parametrize("make", [CachedFrames, lambda s: MappedFrames(s, np.copy)])
def test_a_wrapped_source_shows_the_same_frames(make: Any) -> None:
    source = make(Counted())
    assert isinstance(source, FrameSource) and source.shape == VIDEO.shape and len(source) == 40
    for key in (0, 39, -1, slice(3, 9), slice(None), slice(30, 5, -7), slice(4, 4)):
        assert np.array_equal(source[key], VIDEO[key])
    with pytest.raises(IndexError):
        source[40]


def test_what_was_read_once_is_not_read_again_and_memory_is_bounded() -> None:
    inner = Counted()
    source = CachedFrames(inner, limit=8)
    for _ in range(5):
        _ = [source[t] for t in (1, 2, 4, 8, 16, 32)], source[1:3]
    assert inner.read == 6
    for t in range(40):
        _ = source[t]
    assert len(source._held) == 8
    before = inner.read
    _ = source[39], source[32]  # the last eight are still there, the first is not
    assert inner.read == before
    _ = source[0]
    assert inner.read == before + 1


def test_a_codec_sees_the_same_stretches_whatever_is_asked_for_first() -> None:
    def temporal(frames: Frames) -> Frames:  # depends on the stretch it is given
        return np.asarray(np.broadcast_to(frames[:1], frames.shape))

    forwards = np.stack([MappedFrames(VIDEO, temporal)[t] for t in range(40)])
    source = MappedFrames(VIDEO, temporal)
    backwards = np.stack([source[t] for t in reversed(range(40))])[::-1]
    assert np.array_equal(forwards, backwards) and np.array_equal(forwards, source[:])
    assert np.array_equal(forwards[17], VIDEO[16]) and np.array_equal(forwards[39], VIDEO[32])


def test_a_round_trip_that_changes_the_shape_is_named() -> None:
    with pytest.raises(ShapeError, match="round_trip must return"):
        MappedFrames(VIDEO, lambda frames: frames[:, :2])[0]
    with pytest.raises(ShapeError, match="float64"):
        MappedFrames(VIDEO, lambda frames: frames / 255.0)[0]  # type: ignore[return-value]
