"""Actions changed in the words of their space."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from worldsim.envs.actions import AXES, continuous_space, discrete_space, minerl_space, noop
from worldsim.errors import UnsupportedError
from worldsim.faults import keys

NAMED, VECTOR, MINERL = discrete_space(), continuous_space(), minerl_space()


def named(name: str) -> Any:
    return np.int64(NAMED.names.index(name))


def vector(**axes: float) -> Any:
    return np.array([axes.get(name, 0.0) for name in AXES], np.float32)


def test_mirrored() -> None:
    assert NAMED.names[int(keys.mirrored(NAMED, named("turn_left")))] == "turn_right"
    assert NAMED.names[int(keys.mirrored(NAMED, named("use")))] == "use"
    np.testing.assert_array_equal(
        keys.mirrored(VECTOR, vector(forward=1, strafe=0.5, yaw=0.25, pitch=1)),
        vector(forward=1, strafe=-0.5, yaw=-0.25, pitch=1),
    )
    action = noop(MINERL) | {"left": np.int64(1), "camera": np.array([3.0, 7.0], np.float32)}
    out = keys.mirrored(MINERL, action)
    assert (int(out["left"]), int(out["right"])) == (0, 1)
    np.testing.assert_array_equal(out["camera"], [3.0, -7.0])
    assert int(action["left"]) == 1 and out["camera"].dtype == np.float32


def test_scaled_and_still() -> None:
    def never(name: str) -> bool:
        return False

    assert keys.is_nothing(NAMED, keys.scaled(NAMED, named("turn_left"), 0.5, never))
    assert int(keys.scaled(NAMED, named("use"), 0.5, never)) == int(named("use"))
    np.testing.assert_array_equal(
        keys.scaled(VECTOR, vector(forward=1, yaw=0.5, drop=1), 0.5, never), vector(yaw=0.25, drop=1)
    )
    np.testing.assert_array_equal(keys.without_camera(VECTOR, vector(forward=1, yaw=1)), vector(forward=1))
    assert keys.is_nothing(NAMED, keys.without_camera(NAMED, named("look_up")))
    action = noop(MINERL) | {"camera": np.array([3.0, 7.0], np.float32)}
    assert keys.is_nothing(MINERL, keys.without_camera(MINERL, action)) and not keys.is_nothing(MINERL, action)


def test_use() -> None:
    assert int(keys.with_use(NAMED, named("noop"))) == int(named("use"))
    assert int(keys.with_use(MINERL, noop(MINERL))["use"]) == 1
    np.testing.assert_array_equal(keys.with_use(VECTOR, vector()), vector(attack_use=-1))


def test_nameless_spaces_are_refused_where_a_name_is_needed() -> None:
    space, action = gym.spaces.Discrete(4), np.int64(1)
    for change in (keys.mirrored, keys.without_camera, keys.with_use):
        with pytest.raises(UnsupportedError, match="use a space with names"):
            change(space, action)
    assert int(keys.nothing(space, action)) == 0
