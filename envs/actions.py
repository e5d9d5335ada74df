"""Action spaces and the maps between them.

Three spaces for first-person block worlds: `minerl_space` (the names of MineRL 1.0, so that its recordings and policies
fit as they are), `discrete_space` (16 named actions) and `continuous_space` (one vector). `find_map` connects two
spaces; a map works on single actions and on batches alike, for actions are trees whose leaves share their leading axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ConfigError, ShapeError
from worldsim.spaces import NamedBox, NamedDiscrete
from worldsim.trees import ArrayTree

#: Binary keys of MineRL 1.0 (minerl.herobraine.hero.mc.KEYMAP and the action space of its BASALT tasks).
KEYS: tuple[str, ...] = (
    *("forward", "back", "left", "right", "jump", "sneak", "sprint"),
    *("attack", "use", "drop", "inventory", "pickItem", "swapHands", "ESC"),
    *(f"hotbar.{slot}" for slot in range(1, 10)),
)
TURN = 15.0  # degrees of one discrete turn, and of a full deflection of the continuous space

#: The discrete actions: name -> what differs from the no-op. `camera` is (pitch, yaw), positive down and right.
DISCRETE: Mapping[str, Mapping[str, Any]] = {
    "noop": {},
    "forward": {"forward": 1},
    "back": {"back": 1},
    "left": {"left": 1},
    "right": {"right": 1},
    "jump_forward": {"jump": 1, "forward": 1},
    "sneak_forward": {"sneak": 1, "forward": 1},
    "turn_left": {"camera": (0.0, -TURN)},
    "turn_right": {"camera": (0.0, TURN)},
    "look_up": {"camera": (-TURN, 0.0)},
    "look_down": {"camera": (TURN, 0.0)},
    "attack": {"attack": 1},
    "use": {"use": 1},
    "drop": {"drop": 1},
    "hotbar.1": {"hotbar.1": 1},
    "hotbar.2": {"hotbar.2": 1},
}

#: The axes of the continuous space: name -> (key when positive, key when negative); the two camera axes have no keys.
AXES: Mapping[str, tuple[str, str]] = {
    "forward": ("forward", "back"),
    "strafe": ("right", "left"),
    "yaw": ("", ""),
    "pitch": ("", ""),
    "jump_sneak": ("jump", "sneak"),
    "attack_use": ("attack", "use"),
    "sprint": ("sprint", ""),
    "drop": ("drop", ""),
}
DEAD_ZONE = 1 / 3  # a key is pressed beyond it: a uniform random vector presses either key, or none, equally often


def minerl_space() -> gym.spaces.Dict:
    """The action space of MineRL 1.0: `KEYS` as Discrete(2), `camera` (2,) float32 (pitch, yaw) degrees."""
    spaces: dict[str, gym.Space[Any]] = {key: gym.spaces.Discrete(2) for key in KEYS}
    return gym.spaces.Dict(spaces | {"camera": gym.spaces.Box(-180.0, 180.0, (2,), np.float32)})


def discrete_space() -> NamedDiscrete:
    """The 16 actions of `DISCRETE`."""
    return NamedDiscrete(tuple(DISCRETE))


def continuous_space() -> NamedBox:
    """The 8 axes of `AXES` in -1..1; keys are pressed beyond the dead zone, the camera turns by `TURN` x deflection."""
    return NamedBox(tuple(AXES))


def make_space(form: str) -> gym.Space[Any]:
    """One of the three spaces by its name: "minerl", "discrete" or "continuous"."""
    makers: dict[str, Callable[[], gym.Space[Any]]] = {
        "minerl": minerl_space,
        "discrete": discrete_space,
        "continuous": continuous_space,
    }
    if form not in makers:
        raise ConfigError(f"actions must be one of {', '.join(makers)}, got {form!r}")
    return makers[form]()


def noop(space: gym.Space[Any]) -> Any:
    """The action that does nothing: zeros, in the structure of `space` (for a Discrete space its first value)."""
    if isinstance(space, gym.spaces.Dict):
        return {key: noop(inner) for key, inner in space.spaces.items()}
    if isinstance(space, gym.spaces.Discrete):
        return np.int64(space.start)
    if isinstance(space, gym.spaces.Box):
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    if isinstance(space, gym.spaces.MultiBinary | gym.spaces.MultiDiscrete):
        return np.zeros(space.shape, space.dtype)
    raise ConfigError(f"no no-op is known for {space}: expected Dict, Discrete, Box, MultiBinary or MultiDiscrete")


# ---------------------------------------------------------------------------------------------------------- the maps


@dataclass(frozen=True, kw_only=True)
class ActionMap:
    """A function from the actions of one space to those of another.

    Attributes:
        name: "discrete->minerl", ...
        function: Maps an action or a batch; raises ShapeError naming what it cannot map.
        exact: Every action that it accepts comes back from the map in the other direction.
    """

    name: str
    function: Callable[[ArrayTree], ArrayTree]
    exact: bool = True

    def __call__(self, actions: ArrayTree) -> ArrayTree:
        """Maps one action or a batch."""
        return self.function(actions)


def find_map(source: gym.Space[Any], target: gym.Space[Any], *, lossy: bool = False) -> ActionMap:
    """The map from `source` to `target`.

    Args:
        source: Space of the actions at hand.
        target: Space that is wanted.
        lossy: Take the nearest action of the target instead of refusing what it cannot express.

    Raises:
        ConfigError: If no map connects the two.
    """
    if source == target:
        return ActionMap(name="identity", function=lambda actions: actions)
    to_dict, from_dict = _to_minerl(source), _from_minerl(target, lossy)
    if to_dict is None or from_dict is None:
        stranger = source if to_dict is None else target
        raise ConfigError(
            f"no action map from {source} to {target}: {stranger} is none of minerl_space(), discrete_space(), "
            "continuous_space() or a Dict with some of MineRL's names. Give the two the same space, or map the actions "
            "yourself in a small wrapper."
        )
    name = f"{_form(source)}->{_form(target)}"
    return ActionMap(name=name, function=lambda actions: from_dict(to_dict(actions)), exact=not lossy)


def _form(space: gym.Space[Any]) -> str:
    if isinstance(space, gym.spaces.Dict):
        return "minerl" if set(space.spaces) == {*KEYS, "camera"} else "minerl-subset"
    return "discrete" if isinstance(space, NamedDiscrete) else "continuous"


def _is_subset(space: gym.Space[Any]) -> bool:
    return isinstance(space, gym.spaces.Dict) and bool(space.spaces) and set(space.spaces) <= {*KEYS, "camera"}


def _to_minerl(space: gym.Space[Any]) -> Callable[[ArrayTree], dict[str, Any]] | None:
    if space == discrete_space():
        return _discrete_to_minerl
    if space == continuous_space():
        return _continuous_to_minerl
    return _subset_to_minerl if _is_subset(space) else None


def _from_minerl(space: gym.Space[Any], lossy: bool) -> Callable[[Mapping[str, Any]], ArrayTree] | None:
    if space == discrete_space():
        return lambda actions: _minerl_to_discrete(actions, lossy)
    if space == continuous_space():
        return lambda actions: _minerl_to_continuous(actions, lossy)
    if isinstance(space, gym.spaces.Dict) and _is_subset(space):
        names = tuple(space.spaces)
        return lambda actions: _minerl_to_subset(actions, names, lossy)
    return None


@cache
def _table() -> NDArray[np.float32]:
    """(16, len(KEYS) + 2) float32: the discrete actions as rows of keys, then pitch and yaw."""
    table = np.zeros((len(DISCRETE), len(KEYS) + 2), np.float32)
    for row, change in enumerate(DISCRETE.values()):
        for key, value in change.items():
            table[row, slice(len(KEYS), None) if key == "camera" else KEYS.index(key)] = value
    return table


def _rows(actions: Mapping[str, Any]) -> NDArray[np.float32]:
    """(..., len(KEYS) + 2): keys, pitch, yaw."""
    camera = np.asarray(actions["camera"], np.float32)
    keys = np.stack([np.asarray(actions[key], np.float32) for key in KEYS], axis=-1)
    return np.concatenate([keys, camera], axis=-1)


def _from_rows(rows: NDArray[np.float32]) -> dict[str, Any]:
    keys = rows[..., : len(KEYS)].astype(np.int64)
    return {key: keys[..., i] for i, key in enumerate(KEYS)} | {"camera": rows[..., len(KEYS) :]}


def _discrete_to_minerl(actions: Any) -> dict[str, Any]:
    index = np.asarray(actions)
    if index.dtype.kind not in "iu" or (index.size and not (index.min() >= 0 and index.max() < len(DISCRETE))):
        raise ShapeError(f"discrete actions must be integers in 0..{len(DISCRETE) - 1}, got {index!r}")
    return _from_rows(_table()[index])


def _minerl_to_discrete(actions: Mapping[str, Any], lossy: bool) -> Any:
    rows, table = _rows(actions), _table()
    # A key counts as one, a full turn as one: the nearest action loses as little as it can; ties go to the first.
    scale = np.ones(rows.shape[-1], np.float32)
    scale[len(KEYS) :] = 1 / TURN
    distance = np.abs((rows[..., None, :] - table) * scale).sum(-1)
    if not lossy and distance.size and distance.min(-1).max() > 1e-6:
        worst = np.unravel_index(int(distance.min(-1).argmax()), distance.shape[:-1])
        raise ShapeError(
            f"the discrete space has no action for {_words(rows[worst])}; it has {', '.join(DISCRETE)}. "
            "Use the MineRL space, or find_map(..., lossy=True) for the nearest action."
        )
    return distance.argmin(-1).astype(np.int64)


def _continuous_to_minerl(actions: Any) -> dict[str, Any]:
    vector = np.asarray(actions, np.float32)
    if vector.shape[-1:] != (len(AXES),):
        raise ShapeError(f"continuous actions must be (..., {len(AXES)}) = {', '.join(AXES)}, got {vector.shape}")
    rows = np.zeros((*vector.shape[:-1], len(KEYS) + 2), np.float32)
    for axis, (positive, negative) in enumerate(AXES.values()):
        if positive:
            rows[..., KEYS.index(positive)] = vector[..., axis] > DEAD_ZONE
        if negative:
            rows[..., KEYS.index(negative)] = vector[..., axis] < -DEAD_ZONE
    names = tuple(AXES)
    rows[..., -1] = vector[..., names.index("yaw")] * np.float32(TURN)
    rows[..., -2] = vector[..., names.index("pitch")] * np.float32(TURN)
    return _from_rows(rows)


def _minerl_to_continuous(actions: Mapping[str, Any], lossy: bool) -> Any:
    rows = _rows(actions)
    vector = np.zeros((*rows.shape[:-1], len(AXES)), np.float32)
    for axis, (positive, negative) in enumerate(AXES.values()):
        for key, sign in ((positive, 1), (negative, -1)):
            if key:
                vector[..., axis] += sign * rows[..., KEYS.index(key)]
    names = tuple(AXES)
    vector[..., names.index("yaw")] = rows[..., -1] / np.float32(TURN)
    vector[..., names.index("pitch")] = rows[..., -2] / np.float32(TURN)
    vector = np.clip(vector, -1, 1)
    back = _rows(_continuous_to_minerl(vector))
    lost = np.abs(back - rows)
    if not lossy and lost.size and lost.max() > 1e-4:  # 1e-4 degrees: float32 rounding of a turn
        worst = np.unravel_index(int(lost.max(-1).argmax()), lost.shape[:-1])
        raise ShapeError(
            f"the continuous space cannot express {_words(rows[worst])}: it turns at most {TURN:g} degrees a step, "
            f"opposite keys exclude each other, and it lacks {', '.join(sorted(set(KEYS) - _axis_keys()))}. "
            "Use the MineRL space, or find_map(..., lossy=True)."
        )
    return vector


def _axis_keys() -> set[str]:
    return {key for pair in AXES.values() for key in pair if key}


def _subset_to_minerl(actions: Any) -> dict[str, Any]:
    shape = next(np.shape(actions[k])[: np.ndim(actions[k]) - (k == "camera")] for k in actions)
    full: dict[str, Any] = {key: np.zeros(shape, np.int64) for key in KEYS}
    return full | {"camera": np.zeros((*shape, 2), np.float32)} | {k: np.asarray(v) for k, v in actions.items()}


def _minerl_to_subset(actions: Mapping[str, Any], names: tuple[str, ...], lossy: bool) -> dict[str, Any]:
    dropped = [key for key in actions if key not in names and np.any(np.asarray(actions[key]) != 0)]
    if dropped and not lossy:
        raise ShapeError(
            f"the target space has no {', '.join(dropped)}; it has {', '.join(names)}. "
            "Leave these keys alone, or use find_map(..., lossy=True) to drop them."
        )
    return {key: actions[key] for key in names}


def _words(row: NDArray[np.float32]) -> str:
    """One action in words: "forward + camera (0, 7.5)"."""
    parts = [key for key, value in zip(KEYS, row, strict=False) if value]
    if np.any(row[len(KEYS) :]):
        parts.append(f"camera ({row[-2]:g}, {row[-1]:g})")
    return " + ".join(parts) or "noop"
