"""A world that slips away on a long walk: the view turns by itself, or what left the view is another world's."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ConfigError
from worldsim.faults.base import Fault, Notes
from worldsim.faults.views import camera, draw, yawed
from worldsim.oracle import World, other_world
from worldsim.protocols import TruthEnv
from worldsim.truth import TruthState
from worldsim.types import Frames

SECTORS = 12  # of 30 degrees


class YawDrift(Fault):
    """The view turns to the right by `severity` degrees a step, whatever the actions; the body goes its true way."""

    name = "yaw-drift"
    limit = 30.0
    needs = frozenset({"render_from", "world_from_camera"})

    def _picture(self, world: World, notes: Notes) -> Frames:
        return draw(world.env, yawed(camera(world.env), self.severity * world.t))[0]


class Reseed(Fault):
    """What left the view belongs to another world when it is seen again, by sectors of 30 degrees of bearing.

    Each sector is lost with probability `severity` when no part of it is in view any more; what is in view stays. Lost
    sectors are drawn from the same pose in another world of the same split, as it stands at its start. A sector is a
    direction, not a place: walking without turning loses nothing. Where the other world has a wall in that place and
    draws nothing from within it, it is seen from where its own body stands.
    """

    name = "reseed"
    random = True
    needs = frozenset({"render_from", "world_from_camera", "intrinsics"})

    def __init__(self, severity: float = 0.0) -> None:
        """Sets the severity: the probability that a sector is lost."""
        super().__init__(severity)
        self._others: dict[int, tuple[int, TruthEnv]] = {}  # by id of the world's own copy of the truth

    def _begin(self, world: World, context: Frames, world_seed: int) -> Notes:
        seen = np.zeros(SECTORS, np.bool_)
        seen[np.unique(sectors(world.env.truth(), world.frame.shape[0], world.frame.shape[1]))] = True
        # All that is out of view when the context ends counts as out of view from then on.
        lost = np.array([not seen[i] and self._happens(world, i) for i in range(SECTORS)])
        return {"lost": lost, "other": other_world(world_seed, world.seed)}

    def _picture(self, world: World, notes: Notes) -> Frames:
        where = sectors(world.env.truth(), world.frame.shape[0], world.frame.shape[1])
        now = np.unique(where)
        fresh = notes["lost"][where]
        out = world.frame
        if fresh.any():
            elsewhere = _seen_from(self._other(world, notes["other"]), camera(world.env))
            out = np.where(fresh[..., None], elsewhere, world.frame)
        gone = np.setdiff1d(np.arange(SECTORS), now)
        notes["lost"] = notes["lost"] | np.isin(np.arange(SECTORS), [i for i in gone if self._happens(world, int(i))])
        return out

    def _other(self, world: World, seed: int) -> TruthEnv:
        """The other world at its start, made once and kept while the seed is the same."""
        kept, env = self._others.get(id(world.env), (-1, None))
        if env is None or kept != seed:
            env = env if env is not None else cast("Callable[[], TruthEnv]", self._make)()
            env.reset(seed=seed)
            self._others[id(world.env)] = (seed, env)
        return env

    def close(self) -> None:
        """Closes both copies of the truth."""
        for _, env in self._others.values():
            env.close()
        self._others = {}
        super().close()


def _seen_from(env: TruthEnv, pose: NDArray[np.float64]) -> Frames:
    """What a world shows from a pose, or, where that is in a wall, in the same direction from its own body."""
    try:
        return draw(env, pose)[0]
    except ConfigError:
        here = pose.copy()
        here[:3, 3] = camera(env)[:3, 3]
        return draw(env, here)[0]


def sectors(truth: TruthState, height: int, width: int) -> NDArray[np.int64]:
    """(H, W) the sector of bearing, 0..SECTORS - 1, in which each pixel looks."""
    pose, k = cast("NDArray[np.float64]", truth.world_from_camera), cast("NDArray[np.float64]", truth.intrinsics)
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones_like(u)], axis=-1) @ pose[:3, :3].T
    turn = np.arctan2(-rays[..., 0], rays[..., 2]) / (2 * np.pi) % 1.0
    out: NDArray[np.int64] = (turn * SECTORS).astype(np.int64) % SECTORS
    return out
