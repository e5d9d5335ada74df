"""MiniWorld: rooms in first person, with metric depth and exact poses, drawn through EGL without a screen."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldsim.envs.gymnasium_adapter.backend import Backend
from worldsim.truth import ObjectState, State

#: All environments of a process compile their rooms into the same display list of OpenGL: whose rooms it holds.
_compiled: list[Any] = [None]


class MiniWorldBackend(Backend):
    """Depth, pose, and ids by drawing the depth with and without each thing that is not part of the rooms."""

    family: ClassVar[str] = "miniworld"
    way: ClassVar[str | None] = "set state"
    fields: ClassVar[frozenset[str]] = frozenset(
        {"world_from_camera", "intrinsics", "depth", "segmentation", "objects"}
    )
    draws: ClassVar[bool] = True
    own_picture: ClassVar[bool] = True

    def __init__(self, inner: gym.Env[Any, Any], size: tuple[int, int]) -> None:
        super().__init__(inner, size)
        self._all: list[Any] = []
        _compiled[0] = self.core  # the constructor has made rooms

    @property
    def action_names(self) -> tuple[str, ...]:
        """turn_left, turn_right, move_forward, ...: those that this environment allows."""
        return tuple(a.name for a in self.core.actions)[: int(getattr(self.inner.action_space, "n", 0))]

    def before_reset(self) -> None:
        """The rooms are compiled in this environment's own context."""
        self.core.shadow_window.switch_to()

    def begin(self) -> None:
        """Numbers the entities in the order in which the world was made."""
        self._all = [e for e in self.core.entities if e is not self.core.agent]
        _compiled[0] = self.core

    def before_step(self, action: Any) -> None:
        """MiniWorld draws in its step: the rooms must be its own."""
        self._own_rooms()

    def picture(self) -> Any:
        """(H, W, 3) uint8 from the agent's eye."""
        self._own_rooms()
        return self.core.render_obs().copy()

    def facts(self) -> dict[str, Any]:
        """Depth along the view in metres, ids, pose and entities."""
        self._own_rooms()
        core, (h, w) = self.core, self.size
        agent = core.agent
        depth = self._depth()
        ids = self._ids(depth)
        focal = h / 2 / np.tan(np.deg2rad(float(agent.cam_fov_y)) / 2)
        forward = np.asarray(agent.cam_dir, np.float64)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 1.0, 0.0))
        right = right / np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
        pose[:3, 3] = agent.cam_pos
        seen = np.bincount(ids.ravel(), minlength=len(self._all) + 1)
        return {
            "world_from_camera": pose,
            "intrinsics": np.array([[focal, 0.0, w / 2], [0.0, focal, h / 2], [0.0, 0.0, 1.0]]),
            "depth": depth,
            "segmentation": ids,
            "objects": tuple(self._entity(i + 1, e, int(seen[i + 1])) for i, e in enumerate(self._all)),
        }

    def save(self) -> State:
        """Where everything stands, and every plain number of the environment; the rooms follow from the seed."""
        core = self.core
        there = [i for i, e in enumerate(self._all) if any(e is x for x in core.entities)]
        carried = next((i for i, e in enumerate(self._all) if e is core.agent.carrying), -1)
        entities = [core.agent, *self._all]
        return {
            "there": there,
            "carried": carried,
            "places": np.array([np.asarray(e.pos, np.float64) for e in entities]),
            "directions": np.array([float(e.dir) for e in entities]),
            "pitch": float(core.agent.cam_pitch),
            "numbers": {k: v for k, v in vars(core).items() if not k.startswith("_") and _is_number(v)},
        }

    def load(self, state: State) -> None:
        """Sets everything back in a world of the same seed."""
        core = self.core
        for entity, place, direction in zip(
            [core.agent, *self._all], np.asarray(state["places"]), np.asarray(state["directions"]), strict=True
        ):
            entity.pos, entity.dir = np.array(place, np.float64), float(direction)
        core.entities = [*(self._all[int(i)] for i in state["there"]), core.agent]
        core.agent.carrying = None if int(state["carried"]) < 0 else self._all[int(state["carried"])]
        core.agent.cam_pitch = float(state["pitch"])
        for name, value in state["numbers"].items():
            setattr(core, name, value)

    def close(self) -> None:
        """Closes the hidden window.

        MiniWorld leaves it to the garbage collector, which may run in any thread, and in the middle of another
        environment's picture.
        """
        self.core.shadow_window.close()
        if _compiled[0] is self.core:
            _compiled[0] = None

    # ------------------------------------------------------------------------------------------------------- private

    def _own_rooms(self) -> None:
        if _compiled[0] is not self.core:
            self.core.shadow_window.switch_to()
            self.core._render_static()
            _compiled[0] = self.core

    def _depth(self) -> NDArray[np.float32]:
        depth = np.asarray(self.core.render_depth(), np.float32)[..., 0].copy()
        depth[depth > 99.0] = np.inf  # the far plane at 100 m: the sky
        return depth

    def _ids(self, depth: NDArray[np.float32]) -> NDArray[np.int32]:
        """What changes in depth when an entity is not drawn shows that entity."""
        core = self.core
        ids = np.zeros(self.size, np.int32)
        whole = core.entities
        try:
            for i, entity in enumerate(self._all):
                if entity.is_static or not any(entity is e for e in whole):
                    continue
                core.entities = [e for e in whole if e is not entity]
                ids[self._depth() > depth] = i + 1
        finally:
            core.entities = whole
        return ids

    def _entity(self, number: int, entity: Any, seen: int) -> ObjectState:
        size = getattr(entity, "size", None)
        extents = np.array([2 * entity.radius, entity.height, 2 * entity.radius]) if size is None else np.array(size)
        if size is not None:
            c, s = abs(np.cos(float(entity.dir))), abs(np.sin(float(entity.dir)))
            extents = np.array([c * extents[0] + s * extents[2], extents[1], s * extents[0] + c * extents[2]])
        told = {"held": entity is self.core.agent.carrying}
        return ObjectState(
            id=number,
            kind=type(entity).__name__.lower(),
            position=np.asarray(entity.pos, np.float64) + np.array([0.0, float(extents[1]) / 2, 0.0]),
            size=extents.astype(np.float64),
            exists=any(entity is e for e in self.core.entities),
            visible_px=seen,
            attributes={**told, **({"colour": entity.color} if isinstance(getattr(entity, "color", 0), str) else {})},
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float)
