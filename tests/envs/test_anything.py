"""The controllers that play any action space."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim import trees
from worldsim.envs.actions import noop
from worldsim.envs.controllers.anything import Held, Random, numbered
from worldsim.errors import ConfigError
from worldsim.truth import TruthState

S = gym.spaces
SPACES: list[gym.Space[Any]] = [
    S.Discrete(3),
    S.Discrete(4, start=2),
    S.Box(-1.0, 1.0, (3,), np.float32),
    S.Box(np.float32([-1, 0, 0]), np.float32([1, 1, 1])),
    S.MultiBinary(4),
    S.MultiDiscrete([2, 5, 1]),
    S.Dict({"turn": S.Box(-1.0, 1.0, (2,), np.float32), "jump": S.Discrete(2), "slot": S.Discrete(9)}),
]
TRUTH, FRAME = TruthState(time=0.0), np.zeros((8, 8, 3), np.uint8)


def act(controller: Any, space: gym.Space[Any], seed: int, steps: int) -> list[Any]:
    controller.reset(seed=seed, action_space=space, truth=TRUTH)
    return [controller.act(FRAME, TRUTH, t) for t in range(steps)]


def plain(space: gym.Space[Any], action: Any) -> Any:
    """As Gymnasium wants it: a Discrete action as a number, not as an array without axes."""
    if isinstance(space, S.Dict):
        return {k: plain(inner, action[k]) for k, inner in space.spaces.items()}
    return np.int64(action) if isinstance(space, S.Discrete) else action


@given(st.sampled_from(SPACES), st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_numbered_actions_lie_in_the_space_and_number_0_does_nothing(space: gym.Space[Any], number: int) -> None:
    assert space.contains(plain(space, numbered(space, number)))
    assert trees.equal(numbered(space, 0), noop(space))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_first_numbers_are_different_actions(space: gym.Space[Any]) -> None:
    count = {"Discrete(3)": 3, "Discrete(4, start=2)": 4}.get(str(space), 4)
    made = [numbered(space, k) for k in range(count)]
    assert not any(trees.equal(a, b) for i, a in enumerate(made) for b in made[:i])


def test_a_box_is_pushed_to_the_ends_of_its_axes_in_turn() -> None:
    space = S.Box(np.float32([-1, 0]), np.float32([2, 3]))
    assert [numbered(space, k).tolist() for k in range(6)] == [[0, 0], [2, 0], [-1, 0], [0, 3], [0, 0], [2, 0]]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_random_play_follows_from_its_seed_stays_in_the_space_and_holds_actions(space: gym.Space[Any]) -> None:
    first, again, other = (act(Random(), space, seed, 80) for seed in (1, 1, 2))
    assert all(map(trees.equal, first, again)) and not all(map(trees.equal, first, other))
    assert all(space.contains(plain(space, a)) for a in first)
    assert sum(map(trees.equal, first, first[1:])) > 40, "most steps go on with what was done"


def test_one_action_is_held_after_a_shared_context() -> None:
    space = S.Discrete(5)
    runs = {}
    for played in (0, 3):
        held = Held(played=played, context=6, steps=4)
        runs[played] = act(held, space, 9, 14)
        assert [(m.name, m.frame) for m in held.marks] == [("departure", 5), ("return", 9)]
        assert held.focus == {"played": played}
    assert runs[0][:5] == runs[3][:5], "one start for all"
    assert [int(a) for a in runs[3][5:]] == [3, 3, 3, 3, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Random(longest=0),
        lambda: Random(rest=1.5),
        lambda: Held(played=-1),
        lambda: Held(played=0, context=0),
    ],
)
def test_settings_out_of_range(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="expected"):
        wrong()
