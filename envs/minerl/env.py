"""`worldsim/MineRL-v0`: the real game, played by `minerl` 0.4.4 or 1.0 in the user's own Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldsim.envs.minerl import sight
from worldsim.envs.minerl.advice import find_python
from worldsim.envs.minerl.keys import Keys
from worldsim.envs.minerl.process import WorkerProcess
from worldsim.errors import ConfigError, ContractError, UnsupportedError, WorldFailure
from worldsim.truth import Abilities, Edit, State, TruthState
from worldsim.types import Frames

FPS = 20.0  # the game's ticks a second; MineRL steps one at a time
_SEEDS = 2**31  # the game reads a Java long, numpy's old seeds are 32 bits, and Gym's wants what is not negative
_SAYS = "protocol", "versions", "pov", "actions", "observations", "monitors", "limit"


class MineRLEnv(gym.Env[Frames, Any]):
    """A task of MineRL. The observation is the frame, (H, W, 3) uint8; what else MineRL tells is in `info`.

    The game is not deterministic and has no snapshots: it is a truth to look at and to learn from, not one to branch.
    It starts with the first `reset`, which takes minutes.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        *,
        task: str = "MineRLTreechop-v0",
        python: str | None = None,
        size: tuple[int, int] | None = None,
        actions: str = "minerl",
        hotbar: Sequence[str] | None = None,
        port: int | None = None,
        pose: bool = False,
        start_timeout: float = 120.0,
        reset_timeout: float = 900.0,
        step_timeout: float = 60.0,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Starts the worker and asks it what the task is like; the game starts with the first `reset`.

        Args:
            task: Gym id of the task, for example "MineRLBasaltFindCave-v0".
            python: Interpreter that has `minerl`; None = $WORLDSIM_MINERL_PYTHON.
            size: (H, W) of the frames; None = the task's own (0.4.4: 64x64, most of 1.0: 360x640). Other sizes are
                resampled from those, without regard to the aspect ratio, as VPT does.
            actions: "minerl" or "native": see `worldsim.envs.minerl.keys`.
            hotbar: Items behind `hotbar.1` ... in tasks that equip and place by name; None = the first nine.
            port: Port of a MineRL game that runs on this machine already; None = one is started.
            pose: Fill the camera's pose from `location_stats`, where the task tells it. Never compared with the game's
                frames: the eye is taken to be 1.62 m above the feet, the field of view 70 degrees.
            start_timeout: Seconds for importing `minerl` and making the task.
            reset_timeout: Seconds for a reset, the start of the game included.
            step_timeout: Seconds for a step.
            render_mode: "rgb_array" or None.

        Raises:
            PrerequisiteError: If no Python was named, or it has no `minerl`.
            UnknownNameError: If it has no such task.
            ConfigError: For arguments that do not fit the task.
        """
        if size is not None and (len(size) != 2 or min(size) < 8 or max(size) > 4096):
            raise ConfigError(f"size must be (H, W) with 8..4096 pixels each, got {size}")
        for name, limit in (("start", start_timeout), ("reset", reset_timeout), ("step", step_timeout)):
            if not limit > 0:
                raise ConfigError(f"{name}_timeout must be positive seconds, got {limit}")
        self.task, self.render_mode, self._port = task, render_mode, port
        self._python = find_python(python)
        self._limits = {"make": float(start_timeout), "reset": float(reset_timeout), "step": float(step_timeout)}
        self._worker: WorkerProcess | None = None
        self.facts = self._start()
        try:
            self._native = self._native_size()
            self._keys = Keys(self.facts["actions"], actions, hotbar)
            if pose and "location_stats" not in (*self.facts["observations"], *self.facts["monitors"]):
                raise ConfigError(f"{task} does not tell where it is (no location_stats): leave pose out")
        except BaseException:
            self.close()
            raise
        self._pose = pose
        self.size = self._native if size is None else (int(size[0]), int(size[1]))
        self.observation_space = gym.spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.action_space = self._keys.space
        self._intrinsics = sight.intrinsics(self._native, self.size)
        self._steps, self._playing = 0, False
        self._frame: Frames | None = None
        self._camera: NDArray[np.float64] | None = None

    @property
    def abilities(self) -> Abilities:
        """Frames, and the pose where it was asked for; nothing can be set back, changed or repeated."""
        return Abilities(truth=frozenset({"world_from_camera", "intrinsics"}) if self._pose else frozenset())

    @property
    def left_out(self) -> tuple[str, ...]:
        """The task's own actions that `action_space` cannot cause."""
        return self._keys.left_out

    # ------------------------------------------------------------------------------------------------- gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Starts a world. After a failure the worker and the game start anew. There is no `dynamics_seed`."""
        super().reset(seed=seed)
        world_seed = int(seed) if seed is not None else int(self.np_random.integers(_SEEDS))
        self._playing = False
        if self._worker is None or not self._worker.alive:
            facts = self._start()
            if facts != self.facts:
                self._drop("MineRL came back with another task than before; make a new environment")
        said, body = self._ask("reset", seed=world_seed % _SEEDS)
        self._keys.reset()
        self._steps = 0
        info = self._see(said, body)
        self._playing = True
        return self._frame_copy(), {**info, "task": self.task, "versions": dict(self.facts["versions"])}

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """One twentieth of a second.

        Raises:
            ContractError: Before a reset and after an end.
            ShapeError: For an action that is not in `action_space`.
            WorldFailure: If the game is lost, or gives what is no frame.
        """
        if not self._playing:
            raise ContractError("the episode is over or never began: call reset(seed=...) first")
        try:
            said, body = self._ask("step", action=self._keys(action))
            self._steps += 1
            info = self._see(said, body)
            reward, done = float(said["reward"]), bool(said["done"])
        except WorldFailure:
            self._playing = False
            raise
        limit = self.facts["limit"]
        late = bool(said["monitor"].get("TimeLimit.truncated")) or (limit is not None and self._steps >= limit)
        self._playing = not done
        return self._frame_copy(), reward, done and not late, done and late, info

    def render(self) -> Any:
        """The current frame, (H, W, 3) uint8."""
        return self._frame_copy()

    def close(self) -> None:
        """Ends the game and the worker; may be called twice."""
        self._playing = False
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    # ----------------------------------------------------------------------------------------------------- truth

    def truth(self) -> TruthState:
        """The time, and the pose where it was asked for."""
        self._frame_copy()
        if not self._pose:
            return TruthState(time=self._steps / FPS)
        return TruthState(time=self._steps / FPS, world_from_camera=self._camera, intrinsics=self._intrinsics.copy())

    def snapshot(self) -> State:
        """Refused: the protocol has no snapshot."""
        raise UnsupportedError("MineRL cannot keep a state: its protocol has no snapshot")

    def restore(self, state: State, dynamics_seed: int | None = None) -> tuple[Frames, TruthState]:
        """Refused, as `snapshot`."""
        raise UnsupportedError("MineRL cannot be set back: its protocol has no snapshot")

    def edit(self, change: Edit) -> None:
        """Refused: the protocol changes nothing but by the player's keys."""
        raise UnsupportedError(f"MineRL cannot {type(change).__name__}: only the player changes its world")

    def render_from(
        self, world_from_camera: NDArray[np.float64] | None = None, *, supersample: int = 1
    ) -> tuple[Frames, TruthState]:
        """Refused: the game draws the player's view alone."""
        raise UnsupportedError("MineRL draws the player's own view only")

    # --------------------------------------------------------------------------------------------------- private

    def _start(self) -> dict[str, Any]:
        """A worker with the task made; what it says of the task."""
        self.close()
        self._worker = WorkerProcess(self._python, timeout=self._limits["make"])
        facts, _ = self._ask("make", task=self.task, port=self._port)
        missing = [name for name in _SAYS if name not in facts]
        if missing or facts["protocol"] != 1:
            self._drop(f"the worker does not speak protocol 1 (it lacks {', '.join(missing) or 'nothing'})")
        return facts

    def _ask(self, op: str, **values: Any) -> tuple[dict[str, Any], bytes]:
        assert self._worker is not None  # reset and step have made sure
        return self._worker.ask(op, self._limits[op], **values)

    def _native_size(self) -> tuple[int, int]:
        pov = self.facts["pov"]
        if pov is None or len(pov) != 3 or pov[2] != 3:
            raise ConfigError(f"{self.task} shows frames of shape {pov}; expected (H, W, 3), RGB")
        return int(pov[0]), int(pov[1])

    def _see(self, said: Mapping[str, Any], body: bytes) -> dict[str, Any]:
        """Takes the frame and the pose in; the info of this step."""
        self._frame = sight.read_frame(said, body, self._native, self.size)
        observation, monitor = dict(said["observation"]), dict(said["monitor"])
        place = observation.get("location_stats") or monitor.get("location_stats")
        if self._pose:
            self._camera = sight.camera(place)
        info: dict[str, Any] = {"time": self._steps / FPS, "observation": observation, "monitor": monitor}
        return info | {"location": dict(place)} if place else info

    def _frame_copy(self) -> Frames:
        if self._frame is None:
            raise ContractError("there is no frame yet: call reset(seed=...) first")
        return self._frame.copy()

    def _drop(self, why: str) -> NoReturn:
        self.close()
        raise WorldFailure(why)
