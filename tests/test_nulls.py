"""The null battery: known answers, laziness, determinism."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldsim.errors import ShapeError, UnknownNameError
from worldsim.nulls import NULLS, NullFrames, context_mean, null_frame, palindrome
from worldsim.types import FrameSource

CONTEXT = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
OTHER = np.random.default_rng(1).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)


def test_frozen_is_the_last_context_frame_for_ever() -> None:
    for h in (1, 7, 1000):
        assert np.array_equal(null_frame("frozen", CONTEXT, h, seed=0), CONTEXT[-1])


def test_copy_context_walks_back_and_forth() -> None:
    shown = [null_frame("copy-context", CONTEXT, h, seed=0) for h in range(1, 7)]
    for frame, expected in zip(shown, (1, 0, 1, 2, 1, 0), strict=True):
        assert np.array_equal(frame, CONTEXT[expected])


def test_context_mean_rounds_half_up() -> None:
    frames = np.zeros((2, 1, 1, 3), np.uint8)
    frames[1] = 255  # the mean 127.5 would wrap in uint8 and round to even in numpy.round
    assert context_mean(frames).tolist() == [[[128, 128, 128]]]


def test_noise_is_uniform_and_differs_by_seed_and_horizon() -> None:
    big = np.zeros((1, 64, 64, 3), np.uint8)
    frame = null_frame("noise", big, 1, seed=5)
    assert abs(float(frame.mean()) - 127.5) < 2 and frame.min() == 0 and frame.max() == 255
    assert np.array_equal(frame, null_frame("noise", big, 1, seed=5))
    assert not np.array_equal(frame, null_frame("noise", big, 2, seed=5))
    assert not np.array_equal(frame, null_frame("noise", big, 1, seed=6))


def test_other_episode_shows_the_same_moment_of_another_world() -> None:
    assert np.array_equal(null_frame("other-episode", CONTEXT, 1, seed=0, other=OTHER), OTHER[3])
    assert np.array_equal(null_frame("other-episode", CONTEXT, 4, seed=0, other=OTHER), OTHER[4])  # folded: 6 -> 4


@pytest.mark.parametrize("name", NULLS)
def test_null_frames_is_a_frame_source(name: str) -> None:
    source = NullFrames(name, CONTEXT, 12, 3, OTHER)
    assert isinstance(source, FrameSource)
    assert source.shape == (12, 4, 5, 3) and len(source) == 12
    whole = source[:]
    assert whole.dtype == np.uint8 and np.array_equal(whole[:3], CONTEXT)
    assert np.array_equal(source[5:9], whole[5:9]) and np.array_equal(source[-1], whole[-1])
    for h in (1, 9):
        assert np.array_equal(whole[2 + h], null_frame(name, CONTEXT, h, seed=3, other=OTHER))
    assert source[4:4].shape == (0, 4, 5, 3)
    with pytest.raises(IndexError):
        source[12]


def test_mistakes_are_explained() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'frozen'"):
        null_frame("frozn", CONTEXT, 1, seed=0)
    with pytest.raises(ShapeError, match="at least 1"):
        null_frame("frozen", CONTEXT, 0, seed=0)
    with pytest.raises(ShapeError, match="other=") as _:
        NullFrames("other-episode", CONTEXT, 5, 0)
    with pytest.raises(ShapeError, match="at least one frame of context"):
        null_frame("frozen", CONTEXT[:0], 1, seed=0)


@given(st.integers(1, 9), st.integers(0, 200))
def test_palindrome_moves_by_at_most_one(length: int, index: int) -> None:
    here, there = palindrome(index, length), palindrome(index + 1, length)
    assert 0 <= here < length
    assert abs(here - there) == (0 if length == 1 else 1)
