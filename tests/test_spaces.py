"""Action spaces as plain values: there and back, through JSON; and what does not lie in one is found."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim import trees
from worldsim.envs.actions import continuous_space, discrete_space, find_map, minerl_space
from worldsim.errors import ConfigError
from worldsim.spaces import build, describe, misfits

NAMES = st.text("abc.-_1", min_size=1, max_size=4).filter(lambda k: k != ".")
SHAPES = st.lists(st.integers(1, 3), max_size=2).map(tuple)
FLOATS = st.floats(-1e3, 1e3, width=32)


@st.composite
def boxes(draw: st.DrawFn) -> gym.spaces.Box:
    shape = draw(SHAPES)
    a, b = (np.array(draw(st.lists(FLOATS, min_size=n, max_size=n))).reshape(shape) for n in [int(np.prod(shape))] * 2)
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int64]))
    return gym.spaces.Box(np.minimum(a, b).astype(dtype), np.maximum(a, b).astype(dtype), dtype=dtype)


@st.composite
def multi(draw: st.DrawFn) -> gym.spaces.MultiDiscrete:
    n = draw(st.integers(1, 3))
    nvec = draw(st.lists(st.integers(1, 5), min_size=n, max_size=n))
    start = draw(st.none() | st.lists(st.integers(-4, 4), min_size=n, max_size=n))
    return gym.spaces.MultiDiscrete(nvec, start=start)


LEAVES: st.SearchStrategy[gym.Space[Any]] = st.one_of(
    st.builds(lambda n, start: gym.spaces.Discrete(n, start=start), st.integers(1, 9), st.integers(-3, 3)),
    st.integers(1, 4).map(gym.spaces.MultiBinary),
    st.lists(st.integers(1, 3), min_size=2, max_size=3).map(gym.spaces.MultiBinary),
    multi(),
    boxes(),
    st.sampled_from([discrete_space(), continuous_space()]),
)
SPACES = st.recursive(
    LEAVES, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(gym.spaces.Dict), max_leaves=5
)


@given(SPACES)
def test_there_and_back_through_json(space: gym.Space[Any]) -> None:
    plain = json.loads(json.dumps(describe(space)))
    assert plain == describe(space)
    again = build(plain)
    assert again == space and type(again) is type(space)
    assert describe(again) == plain


@given(SPACES, st.integers(0, 2**31))
@settings(max_examples=60)
def test_what_is_sampled_fits(space: gym.Space[Any], seed: int) -> None:
    space.seed(seed)
    actions = trees.stack_grid([[space.sample() for _ in range(3)] for _ in range(2)])
    assert list(misfits(describe(space), actions)) == []


@given(LEAVES, st.integers(0, 2**31), st.booleans())
@settings(max_examples=60)
def test_one_value_outside_is_found(space: gym.Space[Any], seed: int, above: bool) -> None:
    """The checker agrees with Gymnasium on the border and one beyond."""
    space.seed(seed)
    actions = trees.stack_grid([[space.sample() for _ in range(3)] for _ in range(2)])
    values = np.asarray(actions).astype(np.float64 if np.asarray(actions).dtype.kind == "f" else np.int64)
    flat = values[1, 2].reshape(-1)
    if isinstance(space, gym.spaces.Box):
        edge = float((space.high if above else space.low).reshape(-1)[0])
    elif isinstance(space, gym.spaces.Discrete):
        edge = float(space.start + (space.n - 1 if above else 0))
    elif isinstance(space, gym.spaces.MultiDiscrete):
        edge = float(space.start.reshape(-1)[0] + (space.nvec.reshape(-1)[0] - 1 if above else 0))
    else:
        edge = float(above)
    values[1, 2] = np.concatenate([[edge], flat[1:]]).reshape(values[1, 2].shape)
    assert list(misfits(describe(space), {"a": values}["a"])) == []
    values[1, 2] = np.concatenate([[edge + (1 if above else -1)], flat[1:]]).reshape(values[1, 2].shape)
    (told,) = misfits(describe(space), values, name="actions/x")
    assert told.startswith("actions/x: 1 values outside") and "(1, 2" in told


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.pop("key"), "expected the keys ['camera', 'key'], got ['camera']"),
        (lambda a: a.update(key=np.zeros((1, 2, 1), np.int64)), "actions/key: one action must have the shape ()"),
        (lambda a: a.update(key=np.zeros((1, 2), np.float32)), "actions/key: expected values like int64, got float32"),
        (lambda a: a.update(key={"x": np.zeros((1, 2))}), "actions/key: expected an array, got the keys ['x']"),
        (lambda a: a["camera"].__setitem__((0, 1, 1), np.nan), "actions/camera: 1 values outside the space; nan"),
        (lambda a: a["key"].__setitem__((0, 0), 2), "2 at (0, 0), not 0..1"),
    ],
)
def test_what_is_wrong_is_named(change: Any, says: str) -> None:
    space = gym.spaces.Dict({"camera": gym.spaces.Box(-180, 180, (2,)), "key": gym.spaces.Discrete(2)})
    actions: dict[str, Any] = {"camera": np.zeros((1, 2, 2), np.float32), "key": np.zeros((1, 2), np.int64)}
    assert list(misfits(describe(space), actions)) == []
    change(actions)
    (told,) = misfits(describe(space), actions)
    assert says in told
    assert list(misfits(describe(space), np.zeros((1, 2)))) == [
        "actions: expected the keys ['camera', 'key'], got an array"
    ]


def test_other_leading_axes() -> None:
    plain = describe(gym.spaces.Box(0, 1, (2,)))
    assert list(misfits(plain, np.zeros((5, 2), np.float32), lead=1)) == []
    assert list(misfits(plain, np.zeros(2, np.float32), lead=0)) == []
    assert list(misfits(plain, np.zeros((5, 2), np.float32), lead=0))


def test_the_built_in_spaces_still_map_onto_each_other() -> None:
    """A checkpoint that was trained on named actions is offered the same names."""
    again = build(json.loads(json.dumps(describe(discrete_space()))))
    assert find_map(again, minerl_space()).name == "discrete->minerl"
    assert find_map(build(describe(continuous_space())), minerl_space()).name == "continuous->minerl"
    assert build(describe(gym.spaces.Discrete(16))) != again, "16 actions without names are other actions"


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (gym.spaces.Tuple([gym.spaces.Discrete(2)]), "Dict of these"),
        (gym.spaces.Box(-np.inf, 1, (1,)), "finite bounds"),
        (gym.spaces.Box(0, 1, (0,)), "elements"),
        (gym.spaces.Dict({"a/b": gym.spaces.Discrete(2)}), "plain names"),
        (gym.spaces.Dict({1: gym.spaces.Discrete(2)}), "plain names"),  # type: ignore[dict-item]
        (gym.spaces.Dict({"a": gym.spaces.Text(3)}), "Dict of these"),
    ],
)
def test_other_spaces_are_refused(space: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        describe(space)


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"type": "tuple"},
        {"type": "discrete"},
        {"type": "discrete", "n": 0},
        {"type": "box", "low": [0.0], "high": [1.0, 2.0], "dtype": "float32"},
        {"type": "box", "low": [0.0], "high": [1.0], "dtype": "float31"},
        {"type": "dict", "spaces": {"a": {}}},
        [1],
    ],
)
def test_other_values_are_refused(plain: Any) -> None:
    with pytest.raises(ConfigError, match="not the description"):
        build(plain)
