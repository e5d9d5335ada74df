"""Recordings: clips keep frames, actions and texts together, and joining loses no text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recordings import numbered, texts
from worldsim import trees
from worldsim.errors import ShapeError
from worldsim.recording import Recording, join


@st.composite
def recordings(draw: st.DrawFn, steps: int | None = None) -> Recording:
    """Numbered episodes of some length, with some captions made equal."""
    t = draw(st.integers(0, 5)) if steps is None else steps
    lengths = draw(st.lists(st.integers(min(1, t), t), min_size=1, max_size=4))
    r = numbered(lengths, t, first=draw(st.integers(0, 9)))
    table = ("", *draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)))
    index = draw(st.lists(st.integers(0, len(table) - 1), min_size=r.captions.size, max_size=r.captions.size))
    return replace(r, captions=np.array(index, np.int32).reshape(r.captions.shape), caption_table=table)


@given(st.integers(0, 4).flatmap(lambda t: st.lists(recordings(t), min_size=1, max_size=4)))
def test_joining_keeps_every_caption(parts: list[Recording]) -> None:
    whole = join(parts)
    assert texts(whole) == [row for part in parts for row in texts(part)]
    assert len(whole) == sum(map(len, parts))
    assert whole.caption_table[0] == "" and len(set(whole.caption_table)) == len(whole.caption_table)
    np.testing.assert_array_equal(whole.frames, np.concatenate([p.frames for p in parts]))
    assert trees.equal(whole.actions["key"], np.concatenate([p.actions["key"] for p in parts]))
    start = 0
    for part in parts:
        back = whole.clip(np.arange(start, start + len(part)), np.zeros(len(part), int), 0)
        assert texts(back) == [row[:1] for row in texts(part)]
        start += len(part)


@given(recordings(), st.data())
def test_a_clip_is_a_stretch_of_one_episode(r: Recording, data: st.DataObject) -> None:
    """T + 1 frames and captions, T actions and rewards, all from the same moment on."""
    steps = data.draw(st.integers(0, int(r.lengths.max())))
    long = np.flatnonzero(r.lengths >= steps).tolist()
    episodes = data.draw(st.lists(st.sampled_from(long), max_size=5))
    starts = [data.draw(st.integers(0, int(r.lengths[e]) - steps)) for e in episodes]
    c = r.clip(np.array(episodes, int), np.array(starts, int), steps)
    assert len(c) == len(episodes) and c.steps == steps and (c.lengths == steps).all()
    assert c.frames.dtype == np.uint8 and c.captions.dtype == np.int32 and c.lengths.dtype == np.int32
    assert {i for row in c.captions.tolist() for i in row} | {0} == set(range(len(c.caption_table)))
    for i, (e, s) in enumerate(zip(episodes, starts, strict=True)):
        assert c.frames[i, :, 0, 0, 1].tolist() == list(range(s, s + steps + 1))
        assert (c.frames[i, :, 0, 0, 0] == r.frames[e, 0, 0, 0, 0]).all()
        assert c.actions["camera"][i, :, 1].tolist() == list(range(s, s + steps))
        np.testing.assert_array_equal(c.actions["key"][i], r.actions["key"][e, s : s + steps])
        np.testing.assert_array_equal(c.rewards[i], r.rewards[e, s : s + steps])
        np.testing.assert_array_equal(c.terminated[i], r.terminated[e, s : s + steps])
        assert texts(c)[i] == texts(r)[e][s : s + steps + 1]
        assert c.world_seeds[i] == r.world_seeds[e]


@pytest.mark.parametrize(
    ("episodes", "starts", "steps", "says"),
    [
        ([0], [2], 2, "a clip of 2 steps from frame 2 on leaves episode 0, which has 3 steps"),
        ([1], [0], 6, "leaves episode 1"),
        ([0], [-1], 1, "leaves episode 0"),
        ([2], [0], 1, "episodes must be in 0..1, got 2..2"),
        ([-1], [0], 1, "episodes must be in 0..1"),
        ([0, 1], [0], 1, "integers"),
        ([0.0], [0.0], 1, "integers"),
        ([0], [0], -1, "steps >= 0"),
    ],
)
def test_no_clip_leaves_its_episode(episodes: Any, starts: Any, steps: int, says: str) -> None:
    r = numbered([3, 5], 5)
    with pytest.raises(ShapeError, match=says.replace("(", r"\(")):
        r.clip(episodes, starts, steps)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"frames": np.zeros((2, 6, 2, 3, 3), np.float32)}, "frames must be"),
        ({"frames": np.zeros((2, 0, 2, 3, 3), np.uint8)}, "T\\+1 >= 1"),
        ({"actions": {"camera": np.zeros((2, 6, 2)), "key": np.zeros((2, 5))}}, "actions/camera must start with"),
        ({"actions": np.zeros((2, 4))}, r"Recording.actions must start"),
        ({"rewards": np.zeros((2, 6), np.float32)}, "rewards must be"),
        ({"terminated": np.zeros((2, 5, 1), np.bool_)}, "terminated must be"),
        ({"lengths": np.zeros((2, 1), np.int32)}, "lengths must be"),
        ({"lengths": np.array([3, 6], np.int32)}, r"lengths must be in 0\.\.5, got 3\.\.6"),
        ({"world_seeds": np.zeros(3, np.int64)}, "world_seeds must be"),
        ({"captions": np.zeros((2, 5), np.int32)}, "captions must be"),
        ({"captions": np.full((2, 6), 13, np.int32)}, r"captions must be in 0\.\.12"),
        ({"captions": np.full((2, 6), -1, np.int32)}, r"captions must be in 0\.\.12"),
        ({"caption_table": tuple("abcdefghijklm")}, 'begin with ""'),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ShapeError, match=says):
        replace(numbered([3, 5], 5), **change)


def test_what_cannot_be_joined() -> None:
    with pytest.raises(ShapeError, match="at least one"):
        join([])
    with pytest.raises(ShapeError, match=r"one \(T\+1, H, W, 3\)"):
        join([numbered([2], 2), numbered([3], 3)])
    with pytest.raises(ShapeError, match="keys"):
        join([numbered([2], 2), replace(numbered([2], 2), actions=np.zeros((1, 2)))])
