"""One step of a world: the body moves and acts, then everything else goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.envs.blocks import interact
from worldsim.envs.blocks.kinds import LIQUID, SOLID
from worldsim.envs.blocks.objects import box_of
from worldsim.envs.blocks.physics import (
    CARRIED,
    DAYLIGHT,
    EXISTS,
    HOSTILE,
    HURT,
    STOPPED,
    TICK,
    body_box,
    move_body,
    move_objects,
    overlaps,
)
from worldsim.envs.blocks.processes import NATURE, run_processes
from worldsim.envs.blocks.state import World
from worldsim.errors import ShapeError
from worldsim.truth import Event

FPS: Final = 20
HURT_AGAIN: Final = 10  # steps between two hurts, Minecraft's
CONTACT: Final = 0.1  # metres


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What is pressed in T steps.

    Attributes:
        move: (T, 7) float64: ahead, right (-1..1), jump, sneak, sprint, pitch and yaw in degrees.
        hotbar: T numbers, 0 or the slot 1..9.
        attack, use, drop: T truth values.
    """

    move: NDArray[np.float64]
    hotbar: list[int]
    attack: list[int]
    use: list[int]
    drop: list[int]

    def __len__(self) -> int:
        return len(self.hotbar)


def read_keys(actions: Any) -> Keys:
    """Reads T actions of the MineRL space: a tree with leaves (T, ...).

    `inventory`, `pickItem`, `swapHands` and `ESC` are accepted and do nothing.

    Raises:
        ShapeError: If a key is missing or the camera is not finite.
    """
    try:
        camera = np.asarray(actions["camera"], np.float64).reshape(-1, 2)
        a = {key: np.asarray(actions[key]).reshape(-1) for key in _USED}
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ShapeError(
            f"actions of Blocks are dicts with MineRL's keys and camera (2,): {error!r} in {_words(actions)}. "
            "Start from env.action_space.sample() or worldsim.envs.actions.noop(env.action_space)."
        ) from error
    if not np.isfinite(camera).all():
        raise ShapeError(f"camera must be finite degrees (pitch, yaw), got {camera}")
    move = np.empty((len(camera), 7))
    for column, value in enumerate(
        (a["forward"] - a["back"], a["right"] - a["left"], a["jump"], a["sneak"], a["sprint"])
    ):
        move[:, column] = value
    move[:, 5:] = camera
    slots = np.stack([a[key] for key in _SLOTS])
    return Keys(
        move=move,
        hotbar=np.where(slots.any(0), slots.argmax(0) + 1, 0).tolist(),
        attack=a["attack"].tolist(),
        use=a["use"].tolist(),
        drop=a["drop"].tolist(),
    )


def read_key(action: Any) -> Keys:
    """Reads one action: as `read_keys` for a tree without the leading axis, but faster."""
    try:
        pitch, yaw = (float(v) for v in action["camera"])
        (forward, back, left, right, jump, sneak, sprint, attack, use, drop, *slots) = (int(action[k]) for k in _USED)
    except (KeyError, TypeError, IndexError, ValueError):
        return read_keys(trees.map_leaves(lambda x: np.asarray(x)[None], action))
    if not (-1e9 < pitch < 1e9 and -1e9 < yaw < 1e9):
        raise ShapeError(f"camera must be finite degrees (pitch, yaw), got {(pitch, yaw)}")
    return Keys(
        move=np.array([[forward - back, right - left, jump, sneak, sprint, pitch, yaw]], np.float64),
        hotbar=[slots.index(1) + 1 if 1 in slots else 0],
        attack=[attack],
        use=[use],
        drop=[drop],
    )


_SLOTS: Final = tuple(f"hotbar.{slot}" for slot in range(1, 10))
_USED: Final = (
    *("forward", "back", "left", "right", "jump", "sneak", "sprint", "attack", "use", "drop"),
    *_SLOTS,
)


def step(world: World, keys: Keys, i: int) -> bool:
    """One step with the i-th keys, in place; returns whether any cuboid may have changed."""
    flags = world.flags
    flags[TICK] += 1
    world.counts[1] = 0
    world.events = []
    move_body(world.cells, SOLID, LIQUID, world.place, world.rel, world.table, world.body, flags, keys.move[i])
    interact.act(world, {"hotbar": keys.hotbar[i], "attack": keys.attack[i], "use": keys.use[i], "drop": keys.drop[i]})
    carried = int(flags[CARRIED])
    if carried:
        world.place[carried - 1] = world.body[:3]  # where it is, though not drawn
    moved = 0
    if len(world.table):
        moved = move_objects(world.cells, SOLID, world.place, world.rel, world.table, world.motion, world.body, flags)
        _meet(world)
    if world.counts[0]:
        run_processes(world.cells, world.tops, NATURE, world.queue, world.counts, world.log, flags)
    if world.day and not flags[STOPPED] & DAYLIGHT:
        world.hour = (world.hour + world.day) % 24.0
    return bool(moved or world.events)


def _meet(world: World) -> None:
    """Hostile creatures hurt on contact."""
    hostile = np.flatnonzero((world.table[:, HOSTILE] == 1) & (world.table[:, EXISTS] == 1))
    if not len(hostile) or (world.flags[HURT] and world.flags[TICK] - world.flags[HURT] < HURT_AGAIN):
        return
    reach = body_box(world.body) + np.array([-CONTACT] * 3 + [CONTACT] * 3)
    for row in hostile:
        if overlaps(reach, box_of(world, int(row))):
            world.flags[HURT] = world.flags[TICK]
            at = tuple(float(v) for v in world.place[row])
            world.events.append(Event(kind="hurt", object_id=int(row) + 1, position=at))  # type: ignore[arg-type]
            return


def _words(actions: Any) -> str:
    return f"keys {sorted(actions)}" if isinstance(actions, dict) else f"{type(actions).__name__} {actions!r}"[:120]
