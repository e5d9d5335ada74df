from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.model.small import SPACE
from worldsim.errors import ConfigError, ShapeError
from worldsim.model import actions
from worldsim.spaces import describe
from worldsim.trees import ArrayTree

NESTED = gym.spaces.Dict(
    {
        "buttons": gym.spaces.MultiBinary(3),
        "hand": gym.spaces.Dict({"slot": gym.spaces.Discrete(3, start=1), "reach": gym.spaces.Box(-1, 1, (2,))}),
        "jump": gym.spaces.Discrete(2),
    }
)
KNOWN: list[tuple[gym.Space[Any], ArrayTree, list[float]]] = [
    (gym.spaces.Discrete(4), 2, [0, 0, 1, 0]),
    (gym.spaces.Discrete(3, start=-1), -1, [1, 0, 0]),
    (gym.spaces.Discrete(2), 1, [1]),
    (gym.spaces.MultiBinary(3), [1, 0, 1], [1, 0, 1]),
    (gym.spaces.MultiBinary([2, 2]), [[1, 0], [0, 1]], [1, 0, 0, 1]),
    (gym.spaces.MultiDiscrete([2, 3]), [1, 2], [0, 1, 0, 0, 1]),
    (gym.spaces.MultiDiscrete([2, 3], start=[5, 1]), [6, 1], [0, 1, 1, 0, 0]),
    (gym.spaces.MultiDiscrete([[2], [3]]), [[0], [1]], [1, 0, 0, 1, 0]),
    (gym.spaces.Box(-2, 2, (2,)), [0.5, -1.5], [0.5, -1.5]),
    (gym.spaces.Box(-2, 2, (2, 1)), [[0.5], [-1.5]], [0.5, -1.5]),
    (
        NESTED,
        {"buttons": [0, 1, 1], "hand": {"slot": 3, "reach": [0.25, -1]}, "jump": 0},
        [0, 1, 1, 0.25, -1, 0, 0, 1, 0],
    ),
]


@pytest.mark.parametrize(("space", "action", "expected"), KNOWN, ids=lambda x: str(x)[:40])
def test_known_features(space: gym.Space[Any], action: ArrayTree, expected: list[float]) -> None:
    plain = describe(space)

    def batch(x: Any) -> Any:
        return {k: batch(v) for k, v in x.items()} if isinstance(x, dict) else np.asarray(x)[None, None].repeat(3, 1)

    got = actions.features(batch(action), plain)
    assert got.shape == (1, 3, len(expected)) and got.dtype == np.float32
    np.testing.assert_array_equal(got[0, 1], np.asarray(expected, np.float32))
    assert actions.count(plain) == len(expected) == len(actions.names(plain)) == len(set(actions.names(plain)))


@pytest.mark.parametrize("space", [k[0] for k in KNOWN], ids=str)
def test_every_action_of_a_space_has_features_of_its_own(space: gym.Space[Any]) -> None:
    space.seed(0)
    samples = [space.sample() for _ in range(30)]
    rows = [tuple(actions.features(s, describe(space)).tolist()) for s in samples]
    for a, x in zip(samples, rows, strict=True):
        for b, y in zip(samples, rows, strict=True):
            assert (x == y) == all(np.array_equal(p, q) for p, q in zip(_flat(a), _flat(b), strict=True))


def _flat(x: Any) -> list[Any]:
    return [leaf for k in sorted(x) for leaf in _flat(x[k])] if isinstance(x, dict) else [x]


def test_names_follow_the_features() -> None:
    assert actions.names(describe(NESTED)) == [
        *("buttons.0", "buttons.1", "buttons.2", "hand.reach.0", "hand.reach.1"),
        *("hand.slot.0", "hand.slot.1", "hand.slot.2", "jump"),
    ]
    assert actions.names(describe(gym.spaces.Discrete(2))) == ["action"]


def test_the_scale_is_the_size_of_what_moves() -> None:
    values = np.array([[3.0, 0.0, 1.0, 0.0], [-4.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]], np.float32)
    np.testing.assert_allclose(actions.scale(values), (np.sqrt(12.5), 1, 1, 1))


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"keys": np.zeros((1, 1), int)}, "a part 'camera', these have not"),
        ({"camera": np.zeros((1, 1, 2)), "key": np.zeros((1, 1), int)}, "'keys', these have not. Did you mean 'key'"),
        (np.zeros((1, 1)), "a single array"),
        ({"camera": np.zeros((1, 1, 3)), "keys": np.zeros((1, 1), int)}, r"camera must end in \(2,\) for box"),
        ({"camera": np.zeros((1, 1, 2)), "keys": np.full((1, 1), 3)}, r"keys must be 0\.\.2, got 3\.\.3"),
        ({"camera": np.zeros((1, 1, 2)), "keys": np.full((1, 1), -1)}, r"keys must be 0\.\.2, got -1"),
        ({"camera": np.full((1, 1, 2), np.inf), "keys": np.zeros((1, 1), int)}, "camera must be finite numbers"),
        ({"camera": np.zeros((1, 1, 2)), "keys": np.zeros((1, 2), int)}, r"leading axes \(1, 1\)"),
    ],
)
def test_actions_of_another_space_are_refused(action: ArrayTree, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        actions.features(action, SPACE)


def test_binary_and_multidiscrete_parts_have_their_range_checked() -> None:
    with pytest.raises(ShapeError, match=r"must be 0 or 1, got 0\.\.2"):
        actions.features(np.array([[0, 2]]), describe(gym.spaces.MultiBinary(2)))
    with pytest.raises(ShapeError, match=r"must be 0\.\.2, got 0\.\.3"):
        actions.features(np.array([[0, 3]]), describe(gym.spaces.MultiDiscrete([2, 3])))


def test_what_is_no_space_is_refused() -> None:
    with pytest.raises(ConfigError, match="not the description of an action space"):
        actions.count({"type": "tuple"})
