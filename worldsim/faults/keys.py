"""Changing an action in the words of its space: nothing, mirrored, weaker, without the camera, with `use` pressed.

Known are dicts with the names of MineRL (`left`, `camera`, ...; other continuous entries count as turns), named
discrete and named continuous spaces, and plain boxes where no name is needed. Nothing here writes into an action.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from worldsim.envs.actions import noop
from worldsim.errors import UnsupportedError
from worldsim.trees import ArrayTree, equal, map_leaves

MOVES = ("forward", "back", "left", "right")
TURNS = ("turn_left", "turn_right", "look_up", "look_down")
MIRROR = {"left": "right", "right": "left", "turn_left": "turn_right", "turn_right": "turn_left"}


def nothing(space: Any, action: ArrayTree) -> ArrayTree:
    """The no-op, in the types of `action`."""
    return map_leaves(lambda a, zero: np.asarray(zero, np.asarray(a).dtype), action, noop(space))


def is_nothing(space: Any, action: ArrayTree) -> bool:
    """Whether `action` is the no-op."""
    return equal(map_leaves(np.asarray, action), nothing(space, action))


def mirrored(space: Any, action: ArrayTree) -> ArrayTree:
    """Left for right: keys swapped, yaw negated."""
    names = getattr(space, "names", None)
    if isinstance(action, Mapping):
        out = {k: action[MIRROR[k]] if k in MIRROR and MIRROR[k] in action else v for k, v in action.items()}
        return out | {k: np.asarray(v) * _signs(v) for k, v in out.items() if _continuous(v)}
    if names is not None and not _continuous(action):
        name = names[int(action)]
        return np.asarray(names.index(MIRROR.get(name, name)), np.asarray(action).dtype)
    if names is not None:
        return _axes(names, action, {"strafe": -1.0, "yaw": -1.0})
    if _continuous(action):
        return -np.asarray(action)
    raise _unknown(space, "left and right")


def scaled(space: Any, action: ArrayTree, gain: float, press: Callable[[str], bool]) -> ArrayTree:
    """Turns and moves with `gain` (0..1) of their effect.

    Continuous turns are multiplied; a key, or a named action, is kept where `press(name)` says so, which the caller
    makes true in `gain` of all cases.
    """
    names = getattr(space, "names", None)
    if isinstance(action, Mapping):
        out = {k: np.asarray(v) * np.asarray(gain, np.asarray(v).dtype) for k, v in action.items() if _continuous(v)}
        held = {k: v for k, v in action.items() if k in MOVES and np.any(v)}
        return {**action, **out, **{k: v if press(k) else np.zeros_like(v) for k, v in held.items()}}
    if names is not None and not _continuous(action):
        name = names[int(action)]
        return action if name not in MOVES + TURNS or press(name) else nothing(space, action)
    if names is not None:
        keys = {n: float(press(n)) for n in ("forward", "strafe")}
        return _axes(names, action, {"yaw": gain, "pitch": gain, **keys})
    if _continuous(action):
        return np.asarray(action) * np.asarray(gain, np.asarray(action).dtype)
    raise _unknown(space, "turns and moves")


def without_camera(space: Any, action: ArrayTree) -> ArrayTree:
    """No turn, everything else as it was."""
    names = getattr(space, "names", None)
    if isinstance(action, Mapping):
        return {k: np.zeros_like(v) if _continuous(v) else v for k, v in action.items()}
    if names is not None and not _continuous(action):
        return nothing(space, action) if names[int(action)] in TURNS else action
    if names is not None:
        return _axes(names, action, {"yaw": 0.0, "pitch": 0.0})
    raise _unknown(space, "the camera")


def with_use(space: Any, action: ArrayTree) -> ArrayTree:
    """The same with `use` pressed."""
    names = getattr(space, "names", None)
    if isinstance(action, Mapping) and "use" in action:
        return {**action, "use": np.ones_like(action["use"])}
    if names is not None and "use" in names and not _continuous(action):
        return np.asarray(names.index("use"), np.asarray(action).dtype)
    if names is not None and "attack_use" in names:
        out = np.array(action)
        out[..., names.index("attack_use")] = -1.0
        return out
    raise _unknown(space, "`use`")


def _continuous(leaf: Any) -> bool:
    return np.asarray(leaf).dtype.kind == "f"


def _signs(leaf: Any) -> Any:
    """Yaw is the second entry of a camera (pitch, yaw), and all there is of another turn."""
    a = np.asarray(leaf)
    return np.array([1, -1], a.dtype) if a.shape[-1:] == (2,) else np.asarray(-1, a.dtype)


def _axes(names: tuple[str, ...], action: ArrayTree, factors: Mapping[str, float]) -> ArrayTree:
    out = np.array(action)
    for name, factor in factors.items():
        if name in names:
            out[..., names.index(name)] *= out.dtype.type(factor)
    return out


def _unknown(space: Any, what: str) -> UnsupportedError:
    return UnsupportedError(f"which of the actions of {space} mean {what} is not known: use a space with names")
