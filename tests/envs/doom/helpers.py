"""What the tests of Doom share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from worldsim.envs.actions import minerl_space, noop
from worldsim.truth import ObjectState, TruthState

pytest.importorskip("vizdoom", reason="needs the package vizdoom: pip install 'worldsim[vizdoom]'")

from worldsim.envs.doom.env import DoomEnv

__all__ = ["DoomEnv", "find", "press", "stand_before", "walks"]


def press(**keys: Any) -> dict[str, Any]:
    """An action with some keys down; `camera` is (pitch, yaw)."""
    action: dict[str, Any] = noop(minerl_space())
    for key, value in keys.items():
        action[key] = np.asarray(value, np.float32) if key == "camera" else np.int64(value)
    return action


def walks(seed: int, steps: int) -> list[dict[str, Any]]:
    """Random actions: any keys, turns up to 20 degrees, a shot now and then."""
    space, rng = minerl_space(), np.random.default_rng(seed)
    space.seed(seed)
    actions = []
    for i in range(steps):
        action = dict(space.sample())
        action["camera"] = rng.uniform(-20, 20, 2).astype(np.float32)
        action["attack"] = np.int64(i % 7 == 0)
        actions.append(action)
    return actions


def find(truth: TruthState, kind: str) -> ObjectState:
    """The first instance whose kind ends so."""
    return next(o for o in truth.objects if o.kind.endswith(kind))


def stand_before(env: DoomEnv, target: ObjectState, metres: float) -> None:
    """Puts the player before an instance, looking at it, inside the first room."""
    from worldsim.truth import SetPose

    x, _, z = target.position
    # From the side on which the middle of the first room lies.
    dx, dz = 5.0 - x, 5.0 - z
    along = (math.copysign(metres, dx), 0.0) if abs(dx) > abs(dz) else (0.0, math.copysign(metres, dz))
    place = (float(x + along[0]), 0.0, float(z + along[1]))
    yaw = math.degrees(math.atan2(along[0], -along[1]))
    env.edit(SetPose(position=place, yaw=yaw))
