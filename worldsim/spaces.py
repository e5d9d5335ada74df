"""Gymnasium action spaces as plain values, so that a dataset or a checkpoint says which actions it was made with.

`describe` and `build` are inverse to each other. A description holds no object of Gymnasium and goes into JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from worldsim.errors import ConfigError

if TYPE_CHECKING:
    import gymnasium as gym


def describe(space: gym.Space[Any]) -> dict[str, Any]:
    """A Discrete, MultiBinary, MultiDiscrete, Box or Dict space as plain values.

    Raises:
        ConfigError: For other spaces, or a Box without bounds.
    """
    import gymnasium as gym

    if isinstance(space, gym.spaces.Discrete):
        return {"type": "discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, gym.spaces.MultiBinary):
        shape = list(np.atleast_1d(np.asarray(space.shape, np.int64)).tolist())
        return {"type": "binary", "shape": shape}
    if isinstance(space, gym.spaces.MultiDiscrete):
        return {"type": "multidiscrete", "nvec": np.asarray(space.nvec).tolist()}
    if isinstance(space, gym.spaces.Box):
        if not np.isfinite(space.low).all() or not np.isfinite(space.high).all():
            raise ConfigError(f"a Box of actions must have finite bounds, got {space}; wrap it with RescaleAction")
        return {
            "type": "box",
            "low": np.asarray(space.low, np.float64).tolist(),
            "high": np.asarray(space.high, np.float64).tolist(),
            "dtype": np.dtype(space.dtype or np.float32).name,
        }
    if isinstance(space, gym.spaces.Dict):
        return {"type": "dict", "spaces": {str(k): describe(v) for k, v in sorted(space.spaces.items())}}
    raise ConfigError(f"actions must be Discrete, MultiBinary, MultiDiscrete, Box or a Dict of these, got {space}")


def build(plain: Mapping[str, Any]) -> gym.Space[Any]:
    """The space behind a description. Raises ConfigError if it is none."""
    import gymnasium as gym

    kind = plain.get("type")
    if kind == "discrete":
        return gym.spaces.Discrete(int(plain["n"]), start=int(plain.get("start", 0)))
    if kind == "binary":
        shape = [int(n) for n in plain["shape"]]
        return gym.spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)
    if kind == "multidiscrete":
        return gym.spaces.MultiDiscrete(plain["nvec"])
    if kind == "box":
        dtype = np.dtype(plain["dtype"]).type
        return gym.spaces.Box(np.asarray(plain["low"], dtype), np.asarray(plain["high"], dtype), dtype=dtype)
    if kind == "dict":
        return gym.spaces.Dict({k: build(v) for k, v in plain["spaces"].items()})
    raise ConfigError(f"not the description of an action space: {dict(plain)!r}")
