"""`worldsim/Doom-v0`: rooms of our own in the engine of Doom, as a Gymnasium environment that knows its own truth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.envs.actions import find_map, make_space, minerl_space
from worldsim.envs.doom import camera, edits, facts
from worldsim.envs.doom.engine import load, picture_size
from worldsim.envs.doom.game import FPS, Game, View
from worldsim.envs.doom.history import History, read_action
from worldsim.envs.doom.layout import PRESETS, generate
from worldsim.envs.doom.scenery import Drawn, Scenery
from worldsim.envs.doom.units import EYE, to_metres
from worldsim.errors import ConfigError, ContractError, UnsupportedError, WorldFailure, WorldsimError
from worldsim.truth import Abilities, Edit, Event, State, TruthState
from worldsim.types import Frames

NEAR = 1.8  # metres from the middle of the goal: arrived
PER_METRE = 0.1  # reward
LIMIT = 400  # steps of a task


class DoomEnv(gym.Env[Frames, Any]):
    """First-person rooms with doors, switches, things to take and to shoot: 17.5 steps a second, two tics each.

    The observation is the frame, (H, W, 3) uint8. Same seed and same actions give the same bytes. The state is the seed
    and what was done; `restore`, `edit` and `render_from` play it again, which takes a few milliseconds.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        *,
        preset: str = "rooms",
        size: tuple[int, int] = (64, 64),
        actions: str = "minerl",
        engine_depth: bool = False,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Makes the environment; `reset` starts the engine with a world.

        Args:
            preset: "rooms"; "arena": props in one room, nothing else; "navigate": the same with a task, to come near
                the chest that was added last: 0.1 a metre, 1 and the end on arrival, the end after `LIMIT` steps.
            size: (H, W) pixels, W at most 1.6 H.
            actions: Form of the action space: "minerl", "discrete" or "continuous" (see `worldsim.envs.actions`).
            engine_depth: Read the engine's own coarse depth as well: `self.game.reading.depth`, to compare.
            render_mode: "rgb_array" or None.

        Raises:
            PrerequisiteError: If ViZDoom is not installed.
            UnknownNameError: For a preset that does not exist.
            ConfigError: For a size out of range.
        """
        load()
        if preset not in PRESETS:
            generate(preset, 0)  # says what is known
        if len(size) != 2 or min(size) < 8 or max(size) > 1024 or size[1] > camera.MAX_ASPECT * size[0]:
            raise ConfigError(
                f"size must be (H, W) with 8..1024 pixels each and W <= {camera.MAX_ASPECT:g} H, got {size}"
            )
        self.preset, self.size, self.render_mode = preset, (int(size[0]), int(size[1])), render_mode
        self.observation_space = gym.spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.action_space = make_space(actions)
        self._map = None if actions == "minerl" else find_map(self.action_space, minerl_space())
        self._picture = picture_size(camera.focal_length(self.size[0]))
        self._depth = engine_depth
        self._intrinsics = camera.intrinsics(self.size)
        self._history: History | None = None
        self._game: Game | None = None
        self._scenery: Scenery | None = None
        self._fresh = False  # the engine stands at the end of the history
        self._drawn: Drawn | None = None
        self._truth: TruthState | None = None
        self._events: tuple[Event, ...] = ()

    @property
    def abilities(self) -> Abilities:
        """All but cells and another future: Doom has no blocks, and its random numbers are the seed's."""
        return Abilities(
            snapshot=True,
            edit=edits.NAMES,
            render_from=True,
            deterministic=True,
            truth=frozenset({"world_from_camera", "intrinsics", "depth", "segmentation", "objects", "events"}),
        )

    @property
    def game(self) -> Game:
        """The engine at the present moment. Raises ContractError before the first reset."""
        return self._ready()

    # ------------------------------------------------------------------------------------------------- gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Starts a world. The option "dynamics_seed" changes nothing: what is random comes from the seed."""
        super().reset(seed=seed)
        world_seed = int(seed) if seed is not None else int(self.np_random.integers(2**31))
        self._history = History(preset=self.preset, seed=world_seed)
        self._stale()
        self._ready()
        return self.render(), self._info()

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Two tics of the game, 2/35 s. Rewards and an end there are in the preset "navigate" only."""
        row = read_action(action if self._map is None else self._map(action))
        game, history = self._ready(), self._required()
        before, far = facts.facts_of(game), self._goal_distance(game)
        self._drawn = self._truth = None
        self._fresh = False  # unless the engine survives
        with self._watched():
            game.step(row)
        history.rows.append(row)
        self._fresh = True
        self._events = facts.events_between(game, before, facts.facts_of(game))
        near = self._goal_distance(game)
        arrived = near < NEAR
        reward = PER_METRE * (far - near) + float(arrived) if math.isfinite(near) else 0.0
        late = self.preset == "navigate" and not arrived and len(history.rows) >= LIMIT
        return self.render(), reward, arrived, late, self._info()

    def advance(self, actions: Any) -> tuple[Frames, TruthState]:
        """Plays T actions (a tree with leaves (T, ...)) and draws the last frame only: bit-equal to T `step`s."""
        steps = trees.length(actions)
        if steps > 1:
            history = self._required()
            rows = [trees.index(actions, i) for i in range(steps - 1)]
            history.rows += [read_action(a if self._map is None else self._map(a)) for a in rows]
            self._stale()
        if steps:
            self.step(trees.index(actions, steps - 1))
        return self.render(), self.truth()

    def render(self) -> Any:
        """The current frame, (H, W, 3) uint8."""
        return self._seen().rgb.copy()

    def close(self) -> None:
        """Ends the engine; may be called twice."""
        game, self._game = self._game, None
        self._fresh = False
        if game is not None:
            game.close()

    # ----------------------------------------------------------------------------------------------------- truth

    def truth(self) -> TruthState:
        """The state behind the last frame."""
        if self._truth is None:
            drawn = self._seen()
            self._truth = self._state(drawn, self._events)
        return self._truth

    def snapshot(self) -> State:
        """The whole state: the seed, what was done and what was changed."""
        return self._required().to_tree()

    def restore(self, state: State, dynamics_seed: int | None = None) -> tuple[Frames, TruthState]:
        """Sets the state back by playing it again; the future is closed, so that `dynamics_seed` changes nothing."""
        history = History.from_tree(state)
        if history.preset != self.preset:
            raise ConfigError(f"the snapshot is of preset {history.preset!r}, this environment of {self.preset!r}")
        self._history = history
        self._stale()
        self._ready()
        return self.render(), self.truth()

    def edit(self, change: Edit) -> None:
        """Changes one fact of the current state: see `worldsim.truth` and `edits`."""
        game, history = self._ready(), self._required()
        before = facts.facts_of(game)
        made = edits.changes_for(game, self.truth().objects, change)
        kept = list(history.changes)
        history.changes += [{"at": len(history.rows), **one} for one in made]
        self._stale()
        try:
            edits.check_made(before, facts.facts_of(self._ready()), made)
        except WorldFailure:
            raise
        except WorldsimError:
            history.changes[:] = kept
            self._stale()
            raise

    def render_from(
        self, world_from_camera: NDArray[np.float64] | None = None, *, supersample: int = 1
    ) -> tuple[Frames, TruthState]:
        """Draws the current state from another place at eye level, without changing it; None = its own.

        Raises:
            UnsupportedError: For an eye at another height, or a camera that looks up or down or leans too far.
            ConfigError: If the place is in a wall.
        """
        own = self._seen().pose
        pose = own if world_from_camera is None else np.asarray(world_from_camera, np.float64)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ContractError(f"world_from_camera must be a finite (4, 4) matrix, got shape {pose.shape}")
        if np.array_equal(pose, own) and supersample == 1:
            return self.render(), self.truth()
        game = self._ready()
        if not np.array_equal(pose, own):
            _check_eye(game, pose[:3, 3])
            yaw, tilt = camera.aim(pose, self._intrinsics, self.size)
            self._fresh = False  # the engine is led elsewhere; the next step leads it back
            with self._watched():
                game.replay(self._required(), View(x=float(pose[0, 3]), z=float(pose[2, 3]), yaw=yaw, tilt=tilt))
            map_ = camera.homography(game.reading, pose, self._intrinsics)
            camera.check_inside(map_, self.size, self._picture)
        drawn = self._draw(pose, fine=supersample)
        return drawn.rgb, self._state(drawn, ())

    # --------------------------------------------------------------------------------------------------- private

    def _required(self) -> History:
        if self._history is None:
            raise ContractError("there is no world yet: call reset(seed=...) or restore(state) first")
        return self._history

    def _stale(self) -> None:
        self._fresh, self._drawn, self._truth, self._events = False, None, None, ()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Lets go of an engine that stopped, so that the next reset or restore starts another."""
        try:
            yield
        except WorldFailure:
            self.close()
            raise

    def _ready(self) -> Game:
        """The engine, led to the end of the history if it is elsewhere, or started anew."""
        history = self._required()
        if self._fresh and self._game is not None:
            return self._game
        with self._watched():
            if self._game is None or self._game.seed != history.seed:
                self.close()
                self._game = Game(self.preset, history.seed, size=self._picture, depth=self._depth)
                self._scenery = Scenery(self._game.layout)
            self._game.replay(history)
        self._fresh = True
        return self._game

    def _goal_distance(self, game: Game) -> float:
        """Metres along the ground to the goal of the task; inf without one."""
        if self.preset != "navigate":
            return math.inf
        x, z = game.layout.things[-1].place
        eye = to_metres(*game.reading.eye)
        return math.hypot(eye[0] - x, eye[2] - z)

    def _seen(self) -> Drawn:
        if self._drawn is None:
            game = self._ready()
            x, _, z = to_metres(*game.reading.eye)
            self._drawn = self._draw(camera.camera_pose((x, EYE, z), game.head.yaw, game.head.pitch))
        return self._drawn

    def _draw(self, pose: NDArray[np.float64], fine: int = 1) -> Drawn:
        if self._game is None or self._scenery is None:
            raise ContractError("there is no world yet: call reset(seed=...) or restore(state) first")
        return self._scenery.draw(self._game, pose, self._intrinsics, self.size, fine)

    def _info(self) -> dict[str, Any]:
        return {"time": len(self._required().rows) / FPS}

    def _state(self, drawn: Drawn, events: tuple[Event, ...]) -> TruthState:
        if self._game is None:
            raise ContractError("there is no world yet: call reset(seed=...) or restore(state) first")
        return TruthState(
            time=len(self._required().rows) / FPS,
            world_from_camera=drawn.pose.copy(),
            intrinsics=self._intrinsics.copy(),
            depth=drawn.depth,
            segmentation=drawn.ids,
            objects=facts.objects_of(self._game, np.bincount(drawn.ids.ravel())),
            events=events,
        )


def _check_eye(game: Game, eye: NDArray[np.float64]) -> None:
    """Raises unless the engine can stand so that its eye is there."""
    if abs(eye[1] - EYE) > 1e-3:
        raise UnsupportedError(f"Doom draws from {EYE} m above the floor, asked for an eye at {eye[1]:.3f} m")
    cells = game.layout.cells
    i, k = math.floor(eye[0]), math.floor(eye[2])
    if not (0 <= i < cells.shape[0] and 0 <= k < cells.shape[1]) or cells[i, k] < 0:
        raise ConfigError(f"x {eye[0]:.2f}, z {eye[2]:.2f} is in a wall")
