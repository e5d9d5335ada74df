"""One action of the MineRL space as the bridge wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from worldsim.errors import ShapeError

MOVES: Final = ("forward", "back", "left", "right", "jump", "sneak", "sprint")
SLOTS: Final = tuple(f"hotbar.{slot}" for slot in range(1, 10))


def read_key(action: Any) -> dict[str, Any]:
    """The fields of the request "step".

    `drop`, `inventory`, `pickItem`, `swapHands` and `ESC` are accepted and do nothing.

    Args:
        action: Dict with MineRL's keys, 0 or 1, and `camera` (2,) degrees: pitch, yaw, positive down and right.

    Raises:
        ShapeError: If a key is missing or the camera is not finite.
    """
    try:
        pitch, yaw = (float(v) for v in action["camera"])
        move = [int(action[key]) for key in MOVES]
        attack, use = int(action["attack"]), int(action["use"])
        slots = [int(action[key]) for key in SLOTS]
    except (KeyError, TypeError, IndexError, ValueError) as error:
        words = f"keys {sorted(action)}" if isinstance(action, Mapping) else f"{type(action).__name__} {action!r}"[:120]
        raise ShapeError(
            f"actions of Minecraft are dicts with MineRL's keys and camera (2,): {error!r} in {words}. "
            "Start from env.action_space.sample() or worldsim.envs.actions.noop(env.action_space)."
        ) from error
    if not (-1e9 < pitch < 1e9 and -1e9 < yaw < 1e9):
        raise ShapeError(f"camera must be finite degrees (pitch, yaw), got {(pitch, yaw)}")
    return {
        "move": move,
        "pitch": pitch,
        "yaw": yaw,
        "attack": attack,
        "use": use,
        "hotbar": slots.index(1) + 1 if 1 in slots else 0,
    }
