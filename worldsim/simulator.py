"""Any world model as a Gymnasium environment, alone or as a batch: agents act, the model dreams.

Importing this module registers `worldsim/Simulator-v0`:

    import gymnasium as gym, worldsim.simulator
    env = gym.make("worldsim/Simulator-v0", model="worldsim/Oracle", env="blocks")
    envs = gym.make_vec("worldsim/Simulator-v0", num_envs=8, model="mine.py:Mine", env="blocks")

The observation is the predicted frame. Reward and termination are the model's where it predicts them, else 0 and False.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from worldsim import trees
from worldsim.errors import ConfigError, ContractError
from worldsim.protocols import WorldModel
from worldsim.simulation import Outcome, Simulation
from worldsim.trees import ArrayTree, Tree
from worldsim.types import Frames

ENV_ID = "worldsim/Simulator-v0"


class SimulatorEnv(gym.Env[Frames, Any]):
    """One simulated world.

    `reset(seed=s)` starts in world s of the truth; without a seed the next world is drawn from the last seed.
    `options` may hold "prompt", "model_seed" and "dynamics_seed". `info` holds the world's and the model's seed at the
    reset; at a step the model's extras, and under "frames" all n frames of a model that predicts several a step. One
    env step is one action, which such a model is given n times; the rewards of the n frames are summed.
    """

    # Of the class, as Gymnasium wants it; an instance has the fps of its model.
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20.0}  # noqa: RUF012

    def __init__(
        self,
        *,
        model: str | Callable[..., Any] | WorldModel = "worldsim/Oracle",
        env: str | Callable[..., Any] = "blocks",
        model_kwargs: Mapping[str, Any] | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        context: int | None = None,
        prompt: str = "",
        max_steps: int | None = None,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Builds model and truth.

        Args:
            model: Registered name, "file.py:Name", factory, or instance.
            env: Name or factory of the truth that gives start contexts and, if the model takes any, the action space.
            model_kwargs: For the factory of the model.
            env_kwargs: For the factory of the truth.
            context: Context frames C, played with random actions; default 8, or what the model needs if that is more.
                0 starts a model that accepts text from its prompt alone; the first observation is black then.
            prompt: Text for models that accept it.
            max_steps: The episode is truncated after so many env steps.
            render_mode: "rgb_array" or None.

        Raises:
            ConfigError: If model, truth and settings do not fit each other.
        """
        self._kwargs: dict[str, Any] = {
            "model": model,
            "env": env,
            "model_kwargs": model_kwargs,
            "env_kwargs": env_kwargs,
            "context": context,
            "prompt": prompt,
            "max_steps": max_steps,
        }
        self._sim = Simulation(batch=1, **self._kwargs)
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": self._sim.fps}
        self.observation_space = gym.spaces.Box(0, 255, (*self._sim.size, 3), np.uint8)
        self.action_space = copy.deepcopy(self._sim.action_space)

    @property
    def model(self) -> WorldModel:
        """The world model."""
        return self._sim.model

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Starts a world: the last frame of its context, and the seeds."""
        super().reset(seed=seed)
        infos = self._sim.reset([0], [next_world(self.np_random) if seed is None else int(seed)], options)
        return self._sim.frame[0].copy(), infos[0]

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """One action. Raises ContractError before the reset and after the end."""
        out = self._sim.step(trees.map_leaves(lambda x: np.asarray(x)[None], action))
        return (
            out.frame[0],
            float(out.rewards[0]),
            bool(out.terminated[0]),
            bool(out.truncated[0]),
            step_info(out, 0),
        )

    def render(self) -> Any:
        """The last frame."""
        return self._sim.frame[0].copy()

    def close(self) -> None:
        """Closes the truth and the model."""
        self._sim.close()

    def snapshot(self) -> Tree:
        """The whole state of the world, as a tree of plain values. Raises UnsupportedError if the model has none."""
        return self._sim.snapshot(0)

    def restore(self, state: Tree) -> Frames:
        """Sets the world back and returns its frame; what follows is bit-equal."""
        if self._sim.clocks[0] is None:  # a model has a batch only after a reset
            self.reset(seed=int(state["world_seed"]))
        return self._sim.restore(state, 0)

    def fork(self) -> SimulatorEnv:
        """A second environment in the same state, with a model of its own; both go on independently."""
        state = self.snapshot()
        kwargs = dict(self._kwargs)
        if isinstance(kwargs["model"], WorldModel) and not isinstance(kwargs["model"], type):
            kwargs["model"] = copy.deepcopy(kwargs["model"])  # an instance: there is no factory to ask for another
        other = SimulatorEnv(**kwargs, render_mode=self.render_mode)
        other.restore(state)
        return other

    def set_prompt(self, prompt: str) -> None:
        """From the next step on the model follows this prompt. Raises UnsupportedError if it cannot."""
        self._sim.set_prompt(prompt, [0])


class SimulatorVectorEnv(VectorEnv[Frames, Any, Any]):
    """B simulated worlds in one model batch, each with its own reset.

    Row i of `reset(seed=s)` is the world of `SimulatorEnv.reset(seed=s + i)`, and later episodes agree as well. What
    happens after an end is declared in `metadata["autoreset_mode"]`: with NEXT_STEP (default) the next step starts the
    world anew and ignores its action; with SAME_STEP the observation is already the new world's and the last frame is
    in info "final_obs"; with DISABLED the caller resets with `options={"reset_mask": (B,) bool}`.
    """

    def __init__(
        self,
        *,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = "rgb_array",
        **kwargs: Any,
    ) -> None:
        """Builds model and truth; `kwargs` as in `SimulatorEnv`. Raises ConfigError for more worlds than fit."""
        self._sim = Simulation(batch=int(num_envs), **{"model": "worldsim/Oracle", "env": "blocks", **kwargs})
        self.num_envs, self.render_mode = int(num_envs), render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {
            **SimulatorEnv.metadata,
            "render_fps": self._sim.fps,
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space = gym.spaces.Box(0, 255, (*self._sim.size, 3), np.uint8)
        self.single_action_space = copy.deepcopy(self._sim.action_space)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._rngs = [np.random.default_rng() for _ in range(self.num_envs)]
        self._done = np.zeros(self.num_envs, np.bool_)

    @property
    def model(self) -> WorldModel:
        """The world model."""
        return self._sim.model

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Frames, dict[str, Any]]:
        """Starts all worlds, or those of `options["reset_mask"]`; an int seeds row i with seed + i."""
        given = dict(options or {})
        mask = np.asarray(given.pop("reset_mask", np.ones(self.num_envs, np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ConfigError(f"reset_mask must be ({self.num_envs},) bool with a True in it, got {mask!r}")
        seeds = [None] * self.num_envs if seed is None else seed
        if isinstance(seeds, int):
            seeds = [seeds + i for i in range(self.num_envs)]
        if len(seeds) != self.num_envs:
            raise ConfigError(f"seed must be an int or hold {self.num_envs} seeds, got {len(seeds)}")
        infos = self._start([int(i) for i in np.flatnonzero(mask)], list(seeds), given)
        return self._sim.frame.copy(), infos

    def step(
        self, actions: ArrayTree
    ) -> tuple[Frames, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One action a world; see the class for what happens after an end."""
        was_done = self._done.copy()
        if was_done.any() and self.autoreset_mode is AutoresetMode.DISABLED:
            raise ContractError(
                f"worlds {np.flatnonzero(was_done).tolist()} have ended and autoreset is disabled: "
                'call reset(options={"reset_mask": mask}) first'
            )
        # Worlds that wait for their reset step along in the batch; what they give is thrown away.
        out = self._sim.step(actions, ended_ok=True)
        rewards = np.where(was_done, 0.0, out.rewards)
        terminated, truncated = out.terminated & ~was_done, out.truncated & ~was_done
        infos: dict[str, Any] = {}
        for i in map(int, np.flatnonzero(~was_done)):
            infos = self._add_info(infos, step_info(out, i), i)
        self._done = terminated | truncated
        again = was_done
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._done.any():
            again = self._done.copy()
            infos = {}
            for i in range(self.num_envs):
                info = step_info(out, i)
                if again[i]:
                    info = {"final_obs": out.frame[i].copy(), "final_info": info}
                infos = self._add_info(infos, info, i)
        if again.any():
            none: list[int | None] = [None] * self.num_envs
            infos = self._start([int(i) for i in np.flatnonzero(again)], none, {}, infos)
        return self._sim.frame.copy(), rewards, terminated, truncated, infos

    def render(self) -> tuple[Any, ...]:
        """The last frame of every world."""
        return tuple(self._sim.frame.copy())

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the truth and the model."""
        self._sim.close()

    def snapshot(self, index: int) -> Tree:
        """The whole state of one world, as a tree of plain values."""
        return self._sim.snapshot(index)

    def restore(self, state: Tree, index: int) -> Frames:
        """Sets one world back and returns its frame."""
        frame = self._sim.restore(state, index)
        self._done[index] = bool(state["ended"])
        return frame

    def fork(self, source: int, target: int) -> None:
        """Makes world `target` a copy of world `source`: the cheap way to try several actions from one state."""
        self.restore(self.snapshot(source), target)

    def set_prompt(self, prompt: str, indices: Sequence[int] | None = None) -> None:
        """From the next step on these worlds (None = all) follow this prompt."""
        self._sim.set_prompt(prompt, range(self.num_envs) if indices is None else indices)

    def _start(
        self,
        rows: list[int],
        seeds: Sequence[int | None],
        options: Mapping[str, Any],
        infos: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        worlds = []
        for i in rows:
            seed = seeds[i]
            if seed is not None:
                self._rngs[i] = seeding.np_random(int(seed))[0]
            worlds.append(next_world(self._rngs[i]) if seed is None else int(seed))
        merged = infos or {}
        for i, info in zip(rows, self._sim.reset(rows, worlds, options), strict=True):
            merged = self._add_info(merged, info, i)
        self._done[rows] = False
        return merged


def next_world(rng: np.random.Generator) -> int:
    """The seed of the next world, 0..2**31-1."""
    return int(rng.integers(2**31))


def step_info(out: Outcome, i: int) -> dict[str, Any]:
    """Info of world i: the model's extras, and all frames where there are several."""
    n = out.frames.shape[1]
    info = {name: value[i].copy() if n > 1 else np.array(value[i, 0]) for name, value in out.extras.items()}
    if n > 1:
        info["frames"] = out.frames[i].copy()
    return info


def register() -> None:
    """Registers `worldsim/Simulator-v0` with Gymnasium; done on import, harmless to repeat."""
    if ENV_ID not in gym.registry:
        gym.register(
            ENV_ID,
            entry_point="worldsim.simulator:SimulatorEnv",
            vector_entry_point="worldsim.simulator:SimulatorVectorEnv",
        )


register()
