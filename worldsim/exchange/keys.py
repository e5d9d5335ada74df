"""Recorded keys and mouse movements as actions with MineRL's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldsim.envs.actions import KEYS, minerl_space
from worldsim.spaces import describe
from worldsim.trees import ArrayTree

#: What the recorder calls a key -> MineRL's name (minerl.herobraine.hero.mc.KEYMAP; the default key bindings).
KEYBOARD: Mapping[str, str] = {
    "key.keyboard.escape": "ESC",
    "key.keyboard.w": "forward",
    "key.keyboard.s": "back",
    "key.keyboard.a": "left",
    "key.keyboard.d": "right",
    "key.keyboard.space": "jump",
    "key.keyboard.left.shift": "sneak",
    "key.keyboard.left.control": "sprint",
    "key.keyboard.q": "drop",
    "key.keyboard.e": "inventory",
    "key.keyboard.f": "swapHands",
    **{f"key.keyboard.{slot}": f"hotbar.{slot}" for slot in range(1, 10)},
}
#: Mouse buttons by number.
BUTTONS: Mapping[int, str] = {0: "attack", 1: "use", 2: "pickItem"}
#: Degrees that the camera turns for one pixel of the mouse: 2400 pixels are a full turn at the recorder's sensitivity.
DEGREES = 360.0 / 2400.0
LIMIT = 180.0  # of a camera action


def space() -> dict[str, Any]:
    """The described action space: all keys of MineRL 1.0 and the camera."""
    return describe(minerl_space())


def nothing(steps: int) -> ArrayTree:
    """`steps` actions that do nothing: each key (n,) int64, the camera (n, 2) float32."""
    keys: dict[str, Any] = {key: np.zeros(steps, np.int64) for key in sorted(KEYS)}
    keys["camera"] = np.zeros((steps, 2), np.float32)
    return {key: keys[key] for key in sorted(keys)}
