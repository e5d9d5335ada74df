"""`worldsim/Minecraft-v0`: Minecraft's protocol and physics, re-implemented, as an environment that knows its truth."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.envs.actions import find_map, make_space, minerl_space
from worldsim.envs.minecraft import installation, pictures, states
from worldsim.envs.minecraft import textures as game_textures
from worldsim.envs.minecraft.child import Answer, Bridge, start_node
from worldsim.envs.minecraft.keys import read_key
from worldsim.errors import ConfigError, ContractError, UnknownNameError, UnsupportedError, WorldFailure, nearest
from worldsim.seeding import hash_seed
from worldsim.truth import Abilities, Edit, State, TruthState
from worldsim.types import Frames

PRESETS = ("court", "flat", "hills")
MODES = ("creative", "survival")
TEXTURES = ("own", "game")
EDITS = frozenset(
    {
        *("RemoveObject", "AddObject", "MoveObject", "RecolourObject", "ReplaceObject"),
        *("SetCell", "StopProcess", "SetPose"),
    }
)
PROCESSES = ("creatures", "all")
START_TIMEOUT = 300.0  # seconds: a second of work, but some hundreds of files to read on a machine that may be busy


class MinecraftEnv(gym.Env[Frames, Any]):
    """A first-person Minecraft 1.16.5 world: 20 steps a second, one block is one metre.

    Not Mojang's game: server, physics and client are PrismarineJS's, the pictures are this project's own. Time stands
    still between steps; same seed and same actions give the same bytes, in any process. The observation is the frame,
    (H, W, 3) uint8.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": pictures.FPS}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        *,
        preset: str = "court",
        size: tuple[int, int] = (64, 64),
        mode: str = "creative",
        creatures: int = 6,
        wander: bool | None = None,
        actions: str = "minerl",
        view_distance: int = 3,
        textures: str = "own",
        timeout: float = 60.0,
        render_mode: str | None = "rgb_array",
        start_bridge: Callable[[], Bridge] | None = None,
    ) -> None:
        """Checks the settings; the first `reset` or `restore` starts the bridge (about a second).

        Args:
            preset: "court" (walled, flat), "flat" (a plain) or "hills" (with water and trees).
            size: (H, W) pixels.
            mode: "creative" (blocks break at once, nothing runs out) or "survival" (the game's digging times).
            creatures: How many, where there is room.
            wander: Whether they walk about; None = only on the hills.
            actions: Form of the action space: "minerl", "discrete" or "continuous" (see `worldsim.envs.actions`).
            view_distance: Columns of 16 m that are seen in every direction, 1 to 8.
            textures: "own" (patterns drawn here) or "game" (Minecraft's own blocks, which the user has fetched).
                Frames differ; depth and ids only where grass, doors and the like have other holes.
            timeout: Seconds until the bridge must have answered.
            render_mode: "rgb_array" or None.
            start_bridge: Starts another bridge than the installed one, for tests.

        Raises:
            UnknownNameError: For a preset, mode or textures that do not exist.
            ConfigError: For a number out of range.
            PrerequisiteError: If the bridge is not installed, or the game's textures are asked for and not there.
        """
        chosen = (("preset", preset, PRESETS), ("mode", mode, MODES), ("textures", textures, TEXTURES))
        for what, value, known in chosen:
            if value not in known:
                raise UnknownNameError(
                    f"Minecraft has no {what} {value!r}.{nearest(value, known)} Known: {', '.join(known)}."
                )
        if len(size) != 2 or min(size) < 8 or max(size) > 2048:
            raise ConfigError(f"size must be (H, W) with 8..2048 pixels each, got {size}")
        if not (0 <= creatures <= 64 and 1 <= view_distance <= 8 and timeout > 0):
            raise ConfigError(
                "expected 0..64 creatures, a view_distance of 1..8 columns and a timeout > 0, "
                f"got {creatures}, {view_distance} and {timeout}"
            )
        self._atlas = str(game_textures.find()) if textures == "game" else None
        if start_bridge is None:
            found = installation.find()
            start_bridge = functools.partial(start_node, found, timeout=timeout)
        self.preset, self.size, self.mode = preset, (int(size[0]), int(size[1])), mode
        self.creatures, self.wander = int(creatures), preset == "hills" if wander is None else bool(wander)
        self.view_distance, self.render_mode = int(view_distance), render_mode
        self.textures = textures
        self.observation_space = gym.spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.action_space = make_space(actions)
        self._map = None if actions == "minerl" else find_map(self.action_space, minerl_space())
        self._intrinsics = pictures.intrinsics(self.size)
        self._start_bridge: Callable[[], Bridge] = start_bridge
        self._bridge: Bridge | None = None
        self._answer: Answer | None = None
        self._truth: TruthState | None = None
        self._frame_now = np.zeros((*self.size, 3), np.uint8)
        self._sensing = False  # the last truth was asked for: depth and ids come with the next frame

    @property
    def abilities(self) -> Abilities:
        """Everything but the time of day; another future only where creatures wander."""
        return Abilities(
            snapshot=True,
            edit=EDITS,
            render_from=True,
            deterministic=True,
            open_future=self.wander and self.creatures > 0,
            truth=frozenset({"world_from_camera", "intrinsics", "depth", "segmentation", "objects", "cells", "events"}),
        )

    # ------------------------------------------------------------------------------------------------- gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Starts a world. `options={"dynamics_seed": int}` decides where creatures wander."""
        super().reset(seed=seed)
        world_seed = int(seed) if seed is not None else int(self.np_random.integers(2**31))
        given = (options or {}).get("dynamics_seed")
        dynamics_seed = hash_seed("dynamics", world_seed) if given is None else int(given)
        self._saw(
            self._running().call(
                "reset",
                preset=self.preset,
                seed=hash_seed("minecraft", world_seed) % 2**32,
                dynamics=hash_seed("minecraft", dynamics_seed) % 2**32,
                creatures=self.creatures,
                wander=self.wander,
            )
        )
        return self._frame(), self._info()

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """One tick: a twentieth of a second."""
        self._saw(self._play(action, draw=True))
        return self._frame(), 0.0, False, False, self._info()

    def advance(self, actions: Any) -> tuple[Frames, TruthState]:
        """Plays T actions (a tree with leaves (T, ...)) and draws the last frame only: bit-equal to T `step`s."""
        count = trees.length(actions)
        for t in range(count):
            answer = self._play(trees.index(actions, t), draw=t == count - 1)
        if count:
            self._saw(answer)
        return self._frame(), self.truth()

    def render(self) -> Any:
        """The current frame, (H, W, 3) uint8."""
        return self._frame()

    def close(self) -> None:
        """Ends the child process and its display. May be called twice; a reset starts new ones."""
        if self._bridge is not None:
            self._bridge.close()
        self._bridge = self._answer = self._truth = None

    # ----------------------------------------------------------------------------------------------------- truth

    def truth(self) -> TruthState:
        """The state behind the last frame."""
        if self._truth is None:
            facts, buffers = self._seen()
            if len(buffers) < 2:
                self._sensing = True
                facts, buffers = self._answer = self._running().call("look", sense=True)
            self._truth = pictures.read_truth(facts, self._intrinsics, *pictures.read_senses(buffers[1], self.size))
        return self._truth

    def snapshot(self) -> State:
        """The whole state as a tree of plain values: blocks, body, inventory, creatures, random generators."""
        self._seen()
        return states.from_bridge(self._running().call("snapshot")[0]["state"])

    def restore(self, state: State, dynamics_seed: int | None = None) -> tuple[Frames, TruthState]:
        """Sets the state back, also in a fresh copy; with a `dynamics_seed` creatures that wander go other ways.

        Raises:
            ContractError: If it is not a snapshot of this environment.
        """
        plain = states.to_bridge(state)
        dynamics = None if dynamics_seed is None else hash_seed("minecraft", int(dynamics_seed)) % 2**32
        self._saw(self._running().call("restore", state=plain, dynamics=dynamics))
        return self._frame(), self.truth()

    def edit(self, change: Edit) -> None:
        """Changes one fact of the current state.

        Raises:
            UnsupportedError: For an edit that is not in `abilities.edit`.
            ConfigError: If it does not fit this world.
        """
        name = type(change).__name__
        if name not in EDITS:
            raise UnsupportedError(f"Minecraft knows the edits {', '.join(sorted(EDITS))}, got {name}")
        fields = asdict(change)
        place = fields.get("position")
        if place is not None and not (np.shape(place) == (3,) and np.isfinite(place).all()):
            raise ConfigError(f"{name}.position must be three finite numbers, got {place}")
        if name == "StopProcess" and fields["process"] not in PROCESSES:
            raise ConfigError(f"processes are {', '.join(PROCESSES)}, got {fields['process']!r}")
        self._seen()
        self._running().call("edit", name=name, **states.plain(fields))
        self._saw(self._running().call("look", sense=self._sensing))

    def render_from(
        self, world_from_camera: NDArray[np.float64] | None = None, *, supersample: int = 1
    ) -> tuple[Frames, TruthState]:
        """Draws the current state from any pose (None = its own), without changing it."""
        self._seen()
        if world_from_camera is None and supersample == 1:
            return self._frame(), self.truth()
        pose = None if world_from_camera is None else np.asarray(world_from_camera, np.float64)
        if pose is not None and (pose.shape != (4, 4) or not np.isfinite(pose).all()):
            raise ContractError(f"world_from_camera must be a finite (4, 4) matrix, got shape {pose.shape}")
        if not 1 <= supersample <= 8:
            raise ConfigError(f"supersample must be 1..8, got {supersample}")
        view = None if pose is None else pose.ravel().tolist()
        facts, buffers = self._running().call("look", pose=view, scale=int(supersample), sense=True)
        frame = pictures.read_rgb(buffers[0], self.size, int(supersample))
        senses = pictures.read_senses(buffers[1], self.size)
        return frame, pictures.read_truth(facts, self._intrinsics, *senses)

    def verify(self, radius: int = 4) -> dict[str, Any]:
        """Compares the agent's side with the server's: `differ` cells, creatures `astray`, metres `apart`."""
        self._seen()
        return self._running().call("verify", radius=int(radius))[0]

    # --------------------------------------------------------------------------------------------------- private

    def _running(self) -> Bridge:
        """The bridge; a new one if there is none, or if the last one broke and a world is to be made."""
        if self._bridge is None or not self._bridge.is_alive:
            if self._bridge is not None:
                self._bridge.close()
            self._answer = self._truth = None
            self._bridge = self._start_bridge()
            height, width = self.size
            self._bridge.call(
                "start",
                timeout=max(START_TIMEOUT, self._bridge.timeout),
                height=height,
                width=width,
                reach=self.view_distance,
                survival=self.mode == "survival",
                atlas=self._atlas,
            )
        return self._bridge

    def _play(self, action: Any, *, draw: bool) -> Answer:
        self._seen()
        request = read_key(action if self._map is None else self._map(action))
        return self._running().call("step", **request, draw=draw, sense=self._sensing)

    def _saw(self, answer: Answer) -> None:
        # Depth and ids cost half as much again as the picture: they are drawn along only where somebody looks at them.
        self._sensing = self._truth is not None
        self._answer, self._truth = None, None
        try:
            self._frame_now = pictures.read_rgb(answer[1][0], self.size)
        except WorldFailure:
            self.close()  # what it sends can no longer be trusted
            raise
        self._answer = answer

    def _seen(self) -> Answer:
        if self._answer is None:
            raise ContractError("there is no world yet: call reset(seed=...) or restore(state) first")
        if self._bridge is None or not self._bridge.is_alive:
            self._answer = self._truth = None
            raise WorldFailure("the bridge of this world has ended; reset(seed=...) starts another")
        return self._answer

    def _frame(self) -> Frames:
        self._seen()
        return self._frame_now.copy()

    def _info(self) -> dict[str, Any]:
        facts = self._seen()[0]
        return {"time": facts["tick"] / pictures.FPS, "slot": facts["slot"], "on_ground": facts["ground"]}
