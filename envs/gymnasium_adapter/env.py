"""`gym:<id>` as a truth: frames of the size that was asked for, and what the environment was proved able to do."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldsim.envs.gymnasium_adapter import gl
from worldsim.envs.gymnasium_adapter.actions import playable
from worldsim.envs.gymnasium_adapter.frames import choose_source
from worldsim.envs.gymnasium_adapter.making import build
from worldsim.envs.gymnasium_adapter.proof import Findings, find
from worldsim.envs.gymnasium_adapter.session import Session
from worldsim.errors import ConfigError, ContractError, UnsupportedError
from worldsim.truth import Abilities, Edit, State, TruthState
from worldsim.types import Frames

_FOUND: dict[str, Findings] = {}
_LOCK = threading.RLock()


class GymEnv(gym.Env[Frames, Any]):
    """Any Gymnasium environment with pixels, by its id: gym:CarRacing-v3, gym:ALE/Pong-v5.

    The observation is the frame, (H, W, 3) uint8. Abilities are found by replay tests at their first use, once for each
    id and arguments in a process; `findings` says why something is refused.
    """

    def __init__(
        self,
        env_id: str,
        *,
        size: tuple[int, int] = (64, 64),
        pixels: str = "auto",
        starts: int | None = None,
        bound: float | None = None,
        fps: float | None = None,
        probe_steps: int = 48,
        render_mode: str | None = "rgb_array",
        **kwargs: Any,
    ) -> None:
        """Makes the environment; `reset` starts a world.

        Args:
            env_id: As Gymnasium knows it: "ALE/Pong-v5", "CarRacing-v3", "my_package:MyEnv-v0".
            size: (H, W) of the frames. MuJoCo and MiniWorld draw at this size, all others are resized to it.
            pixels: Where frames come from: "observation", "render", or "auto": the observation if it is a picture.
            starts: Up to how many random steps are played at a reset, so that seeds give different worlds; None = 30
                no-ops for Atari, 0 elsewhere.
            bound: For action spaces without bounds: -bound..bound.
            fps: Frames per second of simulated time; None = what the environment says.
            probe_steps: Length of the replay tests.
            render_mode: "rgb_array" or None; for Gymnasium's sake.
            kwargs: Of `gymnasium.make`.

        Raises:
            UnknownNameError: If no such id is registered.
            PrerequisiteError: If a package is missing.
            ConfigError: For arguments that do not fit.
        """
        if len(size) != 2 or min(size) < 8 or max(size) > 4096:
            raise ConfigError(f"size must be (H, W) with 8..4096 pixels each, got {size}")
        if probe_steps < 3 or (starts is not None and starts < 0) or (fps is not None and not fps > 0):
            raise ConfigError(
                f"expected probe_steps >= 3, starts >= 0 and fps > 0, got {probe_steps}, {starts} and {fps}"
            )
        self.id, self.size = env_id, (int(size[0]), int(size[1]))
        self.render_mode = render_mode
        self._given = {"pixels": pixels, "starts": starts, "fps": fps}
        self._bound = bound
        self._kwargs, self._probe_steps = kwargs, int(probe_steps)
        self._key = repr((env_id, self.size, bound, sorted(self._given.items()), sorted(kwargs.items()), probe_steps))
        self._call: Callable[..., Any] = gl.drawing  # nobody knows yet whether it draws with OpenGL
        self._session: Session = self._call(self._make)
        if not self._session.backend.draws:
            self._call = gl.turns if self._session.backend.alone else gl.here
        else:  # whoever forgets to close it: a context must not be released in another thread
            self._release = weakref.finalize(self, gl.drawing.leave, self._session.close)
        backend = self._session.backend
        self.family = backend.family
        self.action_space, _ = playable(backend.inner.action_space, bound=bound, names=backend.action_names)
        self.observation_space = gym.spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": self._fps(self._session)}
        self._truth: TruthState | None = None
        self._closed = False

    # ----------------------------------------------------------------------------------------------------- abilities

    @property
    def findings(self) -> Findings:
        """What the replay tests found; they run at the first call."""
        with _LOCK:
            if self._key not in _FOUND:
                _FOUND[self._key] = self._call(find, self._make, self.action_space, self._probe_steps)
            return _FOUND[self._key]

    @property
    def abilities(self) -> Abilities:
        """What was proved, and what the family tells."""
        found = self.findings
        return Abilities(
            snapshot=found.way is not None,
            deterministic=found.deterministic,
            truth=self._session.backend.fields,
        )

    # ----------------------------------------------------------------------------------------------------- gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Starts a world. All that is random in it follows from `seed`; a dynamics seed has no effect."""
        super().reset(seed=seed)
        world = int(seed) if seed is not None else int(self.np_random.integers(2**31))
        self._truth = None
        return self._call(self._session.reset, world), self._info()

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """One step of the environment."""
        self._truth = None
        frame, reward, terminated, truncated = self._call(self._session.step, action)
        return frame, reward, terminated, truncated, self._info()

    def render(self) -> Any:
        """The current frame, (H, W, 3) uint8."""
        return self._session.frame

    def close(self) -> None:
        """Releases the environment; may be called twice."""
        if not self._closed:
            self._closed = True
            if self._session.backend.draws:
                self._release.detach()
            self._call(self._session.close)

    # --------------------------------------------------------------------------------------------------------- truth

    def truth(self) -> TruthState:
        """The state behind the last frame."""
        if self._truth is None:
            self._truth = self._call(self._session.truth)
        return self._truth

    def snapshot(self) -> State:
        """This moment as a tree of plain values: the state of the core, or the seed and all actions since."""
        way = self.findings.way
        if way is None:
            raise UnsupportedError(f"gym:{self.id} has no snapshots: {self._why()}")
        state: State = self._call(self._session.save, way)
        return state

    def restore(self, state: State, dynamics_seed: int | None = None) -> tuple[Frames, TruthState]:
        """Sets the state back; its future is closed, so a `dynamics_seed` has no effect."""
        way = self.findings.way
        if way is None:
            raise UnsupportedError(f"gym:{self.id} has no snapshots: {self._why()}")
        if ("core" in state) != (way == self._session.backend.way):
            raise ContractError(f"this snapshot was not taken by a gym:{self.id} with the same abilities")
        self._truth = None
        frame = self._call(self._session.load, state)
        return frame, self.truth()

    def edit(self, change: Edit) -> None:
        """Raises UnsupportedError: facts cannot be changed from outside."""
        raise UnsupportedError(f"gym:{self.id} has no edits, got {type(change).__name__}")

    def render_from(
        self, world_from_camera: NDArray[np.float64] | None = None, *, supersample: int = 1
    ) -> tuple[Frames, TruthState]:
        """Raises UnsupportedError: it is drawn from its own camera only."""
        raise UnsupportedError(f"gym:{self.id} is drawn from its own camera only")

    # ------------------------------------------------------------------------------------------------------- private

    def _make(self) -> Session:
        given = self._given
        inner, backend = build(self.id, self.size, self._kwargs)
        try:
            _, convert = playable(inner.action_space, bound=self._bound, names=backend.action_names)
            source = choose_source(str(given["pixels"]), inner.observation_space, has_picture=backend.has_picture)
            if source == "render" and not backend.own_picture and inner.render_mode != "rgb_array":
                raise ConfigError(
                    f"gym:{self.id} has no pixels: its observations are {inner.observation_space}, and it knows no "
                    "render mode 'rgb_array'"
                )
        except BaseException:
            inner.close()
            raise
        return Session(
            inner,
            backend,
            who=f"gym:{self.id}",
            key=self._key,
            size=self.size,
            source=source,
            convert=convert,
            starts=backend.starts if given["starts"] is None else int(given["starts"]),
            fps=float(given["fps"] or backend.fps),
        )

    def _fps(self, session: Session) -> float:
        return float(self._given["fps"] or session.backend.fps)

    def _info(self) -> dict[str, Any]:
        mission = self._session.backend.mission
        return {"task": mission} if mission else {}

    def _why(self) -> str:
        return "; ".join(f"{what or 'it'}: {reason}" for what, reason in self.findings.refused.items())
