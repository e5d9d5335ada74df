"""From pressed keys to an action of any space that MineRL's names can be mapped to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldsim.envs.actions import find_map, minerl_space, noop
from worldsim.errors import ConfigError, nearest


class Keyboard:
    """Completes keys to actions of one space; the spaces are compared once."""

    def __init__(self, action_space: Any) -> None:
        space = minerl_space()
        self._noop: dict[str, Any] = noop(space)
        self._map = find_map(space, action_space)

    def __call__(self, keys: Mapping[str, Any]) -> Any:
        """The action that presses `keys`: MineRL names that differ from the no-op; `camera` is (pitch, yaw) degrees.

        Raises:
            ConfigError: If a key is not one of MineRL's.
        """
        action = dict(self._noop)
        for key, value in keys.items():
            if key not in action:
                raise ConfigError(f"no key is called {key!r}.{nearest(key, action)} Known: {', '.join(action)}")
            action[key] = np.asarray(value, np.float32) if key == "camera" else np.int64(value)
        return self._map(action)
