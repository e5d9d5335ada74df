"""`worldsim/Blocks-v0`: the voxel world as a Gymnasium environment that knows its own truth."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldsim.envs.actions import find_map, make_space, minerl_space
from worldsim.envs.blocks import dynamics, edits, interact, objects, tasks
from worldsim.envs.blocks.camera import camera_pose, intrinsics
from worldsim.envs.blocks.physics import TICK
from worldsim.envs.blocks.presets import PRESETS, generate
from worldsim.envs.blocks.render import View, render_view
from worldsim.envs.blocks.start import OPEN_PRESETS, start
from worldsim.envs.blocks.state import World
from worldsim.errors import ConfigError, ContractError, UnknownNameError, nearest
from worldsim.seeding import hash_seed
from worldsim.truth import Abilities, Edit, State, TruthState
from worldsim.types import Frames


class BlocksEnv(gym.Env[Frames, Any]):
    """A first-person voxel world in the shape of Minecraft: 20 steps a second, one cell is one metre.

    The observation is the frame, (H, W, 3) uint8. Same seed and same actions give the same bytes.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": dynamics.FPS}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        *,
        preset: str | None = None,
        size: tuple[int, int] = (64, 64),
        task: str | None = None,
        level: int = 1,
        actions: str = "minerl",
        hour: float | None = None,
        supersample: int = 1,
        view_distance: float = 48.0,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Makes the environment; `reset` makes a world.

        Args:
            preset: "arena", "village" or "open"; None = the task's, and "arena" without a task.
            size: (H, W) pixels.
            task: "navigate", "collect", "build", "survive-night" (see `tasks`), or None: no reward, no end.
            level: Of the task, 1 to 3.
            actions: Form of the action space: "minerl", "discrete" or "continuous" (see `worldsim.envs.actions`).
            hour: Time of day at the start, 0..24; None = the preset's.
            supersample: k: colours are the mean of k x k rays a pixel.
            view_distance: Metres.
            render_mode: "rgb_array" or None.

        Raises:
            UnknownNameError: For a preset or task that does not exist.
            ConfigError: For a level, size, hour or supersample out of range.
        """
        self.task, self.level = None if task is None else tasks.get(task, level), level
        if preset is None:
            preset = "arena" if self.task is None else self.task.presets[level - 1]
        if preset not in PRESETS:
            raise UnknownNameError(
                f"Blocks has no preset {preset!r}.{nearest(preset, PRESETS)} Known: {', '.join(PRESETS)}."
            )
        if len(size) != 2 or min(size) < 8 or max(size) > 4096:
            raise ConfigError(f"size must be (H, W) with 8..4096 pixels each, got {size}")
        if supersample < 1 or (hour is not None and not 0 <= hour <= 24):
            raise ConfigError(f"expected supersample >= 1 and hour in 0..24, got {supersample} and {hour}")
        self.preset, self.size, self.hour = preset, (int(size[0]), int(size[1])), hour
        self.supersample, self.view_distance, self.render_mode = int(supersample), float(view_distance), render_mode
        self.observation_space = gym.spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.action_space = make_space(actions)
        self._map = None if actions == "minerl" else find_map(self.action_space, minerl_space())
        self._open = preset in OPEN_PRESETS or (self.task is not None and self.task.open)
        self._intrinsics = intrinsics(self.size)
        self._drawing = objects.Drawing()
        self._world: World | None = None
        self._view: View | None = None
        self._truth: TruthState | None = None

    @property
    def abilities(self) -> Abilities:
        """Everything, but another future only where something is random."""
        return Abilities(
            snapshot=True,
            edit=edits.NAMES,
            render_from=True,
            deterministic=True,
            open_future=self._open,
            truth=frozenset({"world_from_camera", "intrinsics", "depth", "segmentation", "objects", "cells", "events"}),
        )

    @property
    def world(self) -> World:
        """The state itself, not a copy. Raises ContractError before the first reset."""
        if self._world is None:
            raise ContractError("there is no world yet: call reset(seed=...) or restore(state) first")
        return self._world

    # ------------------------------------------------------------------------------------------------- gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Starts a world. `options={"dynamics_seed": int}` decides what is random in it."""
        super().reset(seed=seed)
        world_seed = int(seed) if seed is not None else int(self.np_random.integers(2**31))
        given = (options or {}).get("dynamics_seed")
        dynamics_seed = hash_seed("dynamics", world_seed) if given is None else int(given)
        hour = self.task.hour if self.hour is None and self.task is not None else self.hour
        layout = generate(self.preset, world_seed)
        self._world = start(layout, dynamics_seed, hour=hour, open_future=self._open)
        if self.task is not None:
            tasks.begin(self._world, self.task, self.level)
        self._changed()
        return self._frame(), self._info()

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """One twentieth of a second."""
        world = self.world
        reward, terminated, truncated = self._play(
            world, dynamics.read_key(action if self._map is None else self._map(action))
        )
        return self._frame(), reward, terminated, truncated, self._info()

    def advance(self, actions: Any) -> tuple[Frames, TruthState]:
        """Plays T actions (a tree with leaves (T, ...)) and draws the last frame only: bit-equal to T `step`s."""
        world = self.world
        self._play(world, dynamics.read_keys(actions if self._map is None else self._map(actions)))
        return self._frame(), self.truth()

    def render(self) -> Any:
        """The current frame, (H, W, 3) uint8."""
        return self._frame()

    # ----------------------------------------------------------------------------------------------------- truth

    def truth(self) -> TruthState:
        """The state behind the last frame."""
        if self._truth is None:
            self._truth = self._state(self._pose(), self._seen())
        return self._truth

    def snapshot(self) -> State:
        """The whole state as a tree of plain values."""
        return self.world.to_tree()

    def restore(self, state: State, dynamics_seed: int | None = None) -> tuple[Frames, TruthState]:
        """Sets the state back; with a `dynamics_seed` another possible future begins, where the preset has one."""
        self._world = World.from_tree(state)
        if dynamics_seed is not None:
            self._world.reseed(dynamics_seed)
        self._changed()
        return self._frame(), self.truth()

    def edit(self, change: Edit) -> None:
        """Changes one fact of the current state: see `worldsim.truth` and `edits`."""
        edits.apply(self.world, change)
        self._changed()

    def render_from(
        self, world_from_camera: NDArray[np.float64] | None = None, *, supersample: int = 1
    ) -> tuple[Frames, TruthState]:
        """Draws the current state from any pose (None = its own), without changing it."""
        if world_from_camera is None and supersample == self.supersample:
            return self._frame(), self.truth()
        pose = self._pose() if world_from_camera is None else np.asarray(world_from_camera, np.float64)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ContractError(f"world_from_camera must be a finite (4, 4) matrix, got shape {pose.shape}")
        view = self._draw(pose, supersample)
        return view.rgb, self._state(pose, view)

    # --------------------------------------------------------------------------------------------------- private

    def _play(self, world: World, keys: dynamics.Keys) -> tuple[float, bool, bool]:
        """Plays all keys; reward, terminated and truncated are those of the last step."""
        result = (0.0, False, False)
        for i in range(len(keys)):
            dynamics.step(world, keys, i)
            if world.task:
                result = tasks.judge(world)
        self._changed()
        return result

    def _changed(self) -> None:
        self._view = self._truth = None

    def _pose(self) -> NDArray[np.float64]:
        world = self.world
        return camera_pose(interact.eye(world), float(world.body[6]), float(world.body[7]))

    def _draw(self, pose: NDArray[np.float64], supersample: int) -> View:
        world = self.world
        return render_view(
            world.cells,
            world.tops,
            self._drawing.boxes(world),
            pose,
            world.hour,
            self.size,
            supersample=supersample,
            view_distance=self.view_distance,
            horizon=world.horizon,
        )

    def _seen(self) -> View:
        if self._view is None:
            self._view = self._draw(self._pose(), self.supersample)
        return self._view

    def _frame(self) -> Frames:
        return self._seen().rgb.copy()

    def _info(self) -> dict[str, Any]:
        world = self.world
        info = {"time": int(world.flags[TICK]) / dynamics.FPS, "hour": world.hour}
        return info | {"task": world.task["say"]} if world.task else info

    def _state(self, pose: NDArray[np.float64], view: View) -> TruthState:
        world = self.world
        visible = np.bincount(view.instance.ravel(), minlength=len(world.table) + 1)
        return TruthState(
            time=int(world.flags[TICK]) / dynamics.FPS,
            world_from_camera=pose,
            intrinsics=self._intrinsics.copy(),
            depth=view.depth,
            segmentation=view.instance,
            objects=objects.object_states(world, visible),
            cells=world.cell_changes(),
            events=tuple(world.events),
        )
