"""From keys to the task's own actions, for both versions of `minerl`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from worldsim.envs.actions import KEYS, find_map, minerl_space, noop
from worldsim.envs.minerl.keys import Keys
from worldsim.errors import ConfigError
from worldsim.spaces import NamedDiscrete, describe

KEY = {"type": "discrete", "n": 2}
CAMERA = {"type": "box", "shape": [2], "low": -180.0, "high": 180.0}
SIMPLE = dict.fromkeys(("attack", "back", "forward", "jump", "left", "right", "sneak", "sprint"), KEY) | {
    "camera": CAMERA
}


def words(*values: str, default: str = "none") -> dict[str, Any]:
    return {"type": "enum", "values": sorted(values), "default": default}


#: MineRLObtainDiamond-v0 of 0.4.4, MineRLBasaltFindCave-v0 of 0.4.4, MineRLBasaltFindCave-v0 of 1.0
DIAMOND = SIMPLE | {
    "craft": words("none", "planks", "stick"),
    "equip": words("none", "air", "iron_axe"),
    "nearbySmelt": words("none", "coal"),
    "place": words("none", "dirt", "torch"),
}
BASALT_0 = SIMPLE | {"use": KEY, "equip": words("none", "other", "air", "bucket", "snowball")}
BASALT_1 = dict.fromkeys(KEYS, KEY) | {"camera": CAMERA}


def press(keys: Keys, **pressed: Any) -> dict[str, Any]:
    """The words and keys that are not at rest in the task's own action."""
    action = {**noop(keys.space), **{k.replace("_", "."): v for k, v in pressed.items()}}
    return {k: v for k, v in keys(action).items() if v not in (0, [0.0, 0.0], "none")}


def test_1_0_is_the_identity() -> None:
    keys = Keys(BASALT_1)
    assert keys.space == minerl_space() and keys.left_out == () and keys.items == ()
    assert press(keys, forward=1, hotbar_3=1, camera=np.array([3, -5], np.float32)) == {
        "forward": 1,
        "hotbar.3": 1,
        "camera": [3.0, -5.0],
    }


def test_a_simple_task_has_the_keys_it_has() -> None:
    keys = Keys(SIMPLE)
    assert set(keys.space.spaces) == set(SIMPLE)
    full = {**noop(minerl_space()), "attack": np.int64(1)}
    assert press(keys, **find_map(minerl_space(), keys.space)(full)) == {"attack": 1}


def test_hotbar_and_use_stand_for_the_words() -> None:
    keys = Keys(DIAMOND)
    assert keys.items == ("air", "iron_axe", "dirt", "torch")
    assert keys.left_out == ("craft", "nearbySmelt")
    assert set(keys.space.spaces) == {*SIMPLE, "use", *(f"hotbar.{i}" for i in range(1, 5))}
    assert press(keys, use=1) == {"place": "dirt"}  # in hand from the start: what can be placed
    assert press(keys, hotbar_4=1) == {}  # a torch cannot be equipped by name, but is in hand now
    assert press(keys, use=1) == {"place": "torch"}
    assert press(keys, hotbar_2=1) == {"equip": "iron_axe"}
    assert press(keys, use=1) == {}  # an axe is not placed
    assert press(keys, hotbar_3=1, hotbar_4=1, use=1) == {"place": "dirt"}  # of two the first
    keys.reset()
    assert press(keys, use=1) == {"place": "dirt"}


def test_basalt_of_0_4_4_uses_and_equips() -> None:
    keys = Keys(BASALT_0)
    assert keys.items == ("air", "bucket", "snowball")
    assert press(keys, hotbar_3=1, use=1) == {"equip": "snowball", "use": 1}


def test_the_hotbar_can_be_chosen() -> None:
    keys = Keys(DIAMOND, hotbar=["torch", "iron_axe"])
    assert press(keys, hotbar_1=1, use=1) == {"place": "torch"}
    for strange in (["stick"], ["torch"] * 10):
        with pytest.raises(ConfigError, match="air, iron_axe, dirt, torch"):
            Keys(DIAMOND, hotbar=strange)


def test_native_has_every_word_and_rests_at_zero() -> None:
    keys = Keys(DIAMOND | {"chat": {"type": "other", "is": "Text()"}}, "native")
    assert keys.left_out == ("chat",)
    craft = keys.space.spaces["craft"]
    assert isinstance(craft, NamedDiscrete) and craft.names == ("none", "planks", "stick")
    assert press(keys) == {}
    assert press(keys, craft=2, place=1, jump=1) == {"craft": "stick", "place": "dirt", "jump": 1}
    describe(keys.space)  # it can be recorded


@pytest.mark.parametrize("form", ["minerl", "native"])
@pytest.mark.parametrize("task", [SIMPLE, DIAMOND, BASALT_0, BASALT_1])
def test_any_action_of_the_space_is_one_of_the_tasks(task: dict[str, Any], form: str) -> None:
    keys = Keys(task, form)
    keys.space.seed(0)
    for _ in range(50):
        for name, value in keys(keys.space.sample()).items():
            said = task[name]
            if said["type"] == "enum":
                assert value in said["values"] and value != "other"
            elif said["type"] == "box":
                assert isinstance(value, list) and max(map(abs, value)) <= 180
            else:
                assert value in (0, 1)


def test_tasks_without_keys_are_refused() -> None:
    for task in ({"vector": {"type": "box", "shape": [64], "low": -1, "high": 1}}, {"attack": KEY}):
        with pytest.raises(ConfigError, match="no keys and no camera"):
            Keys(task)
    assert spaces.Dict is type(Keys(SIMPLE).space)
