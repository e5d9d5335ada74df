"""Action spaces as models see them, and the way back to what the environment takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.errors import ConfigError, ShapeError
from worldsim.spaces import NamedDiscrete, describe

Convert = Callable[[Any], Any]


def playable(
    space: gym.Space[Any], *, bound: float | None = None, names: Sequence[str] = ()
) -> tuple[gym.Space[Any], Convert]:
    """The space that models and controllers see, and the map from its actions to the environment's own.

    Args:
        space: The environment's. A Tuple is seen as a Dict with the keys "0", "1", ...
        bound: Where a Box has no finite bounds, -bound..bound takes their place.
        names: Names of a Discrete space's actions, if the family knows them.

    Raises:
        ConfigError: For a Box without bounds where no `bound` is given, and for spaces of another kind.
    """
    seen, convert = _playable(space, bound, tuple(names))
    describe(seen)  # raises where a dataset or a checkpoint could not say what the actions are
    return seen, convert


def _playable(space: gym.Space[Any], bound: float | None, names: tuple[str, ...]) -> tuple[gym.Space[Any], Convert]:
    if isinstance(space, gym.spaces.Discrete):
        named = len(names) == int(space.n) and int(space.start) == 0 and len(set(names)) == len(names)
        return (NamedDiscrete(names) if named else _copy(space)), _discrete(space)
    if isinstance(space, gym.spaces.Box):
        box = _bounded(space, bound)
        return box, lambda action: _vector(action, box)
    if isinstance(space, gym.spaces.MultiBinary | gym.spaces.MultiDiscrete):
        dtype = space.dtype
        return _copy(space), lambda action: np.asarray(action, dtype)
    if isinstance(space, gym.spaces.Dict):
        return _mapping({str(k): v for k, v in space.spaces.items()}, bound, dict)
    if isinstance(space, gym.spaces.Tuple):
        return _mapping({str(i): v for i, v in enumerate(space.spaces)}, bound, lambda parts: tuple(parts.values()))
    raise ConfigError(
        f"no actions can be recorded of {space}: expected Discrete, MultiBinary, MultiDiscrete, Box, or a Dict or "
        "Tuple of these; map the actions in a wrapper"
    )


def _mapping(
    parts: Mapping[str, gym.Space[Any]], bound: float | None, join: Callable[[dict[str, Any]], Any]
) -> tuple[gym.Space[Any], Convert]:
    made = {key: _playable(inner, bound, ()) for key, inner in parts.items()}

    def convert(action: Any) -> Any:
        if not isinstance(action, Mapping) or set(action) != set(made):
            raise ShapeError(f"an action must have the keys {sorted(made)}, got {action!r}")
        return join({key: inner(action[key]) for key, (_, inner) in made.items()})

    return gym.spaces.Dict({key: seen for key, (seen, _) in made.items()}), convert


def _discrete(space: gym.spaces.Discrete) -> Convert:
    low, high = int(space.start), int(space.start) + int(space.n)

    def convert(action: Any) -> Any:
        value = np.asarray(action)
        if value.size != 1 or value.dtype.kind not in "iu" or not low <= int(value.reshape(())) < high:
            raise ShapeError(f"an action must be an integer in {low}..{high - 1}, got {action!r}")
        return int(value.reshape(()))

    return convert


def _bounded(space: gym.spaces.Box, bound: float | None) -> gym.spaces.Box:
    low, high = np.asarray(space.low), np.asarray(space.high)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        if bound is None or not 0 < bound < np.inf:
            raise ConfigError(
                f"actions of {space} have no bounds, so that none can be drawn: give one, --env-args bound=1.0"
            )
        low, high = np.clip(low, -bound, bound), np.clip(high, -bound, bound)
    dtype: Any = low.dtype.type
    return gym.spaces.Box(low, high, dtype=dtype)


def _vector(action: Any, box: gym.spaces.Box) -> Any:
    value = np.asarray(action, box.dtype)
    if value.shape != box.shape or not np.isfinite(value).all():
        raise ShapeError(f"an action must be finite numbers of shape {box.shape}, got {action!r}")
    return np.clip(value, box.low, box.high)


def _copy(space: gym.Space[Any]) -> gym.Space[Any]:
    if isinstance(space, gym.spaces.Discrete):
        return gym.spaces.Discrete(int(space.n), start=int(space.start))
    if isinstance(space, gym.spaces.MultiDiscrete):
        return gym.spaces.MultiDiscrete(space.nvec, start=space.start)
    return gym.spaces.MultiBinary(space.n)  # type: ignore[attr-defined]
