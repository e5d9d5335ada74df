"""A batch of simulated worlds: a world model, the truth that gives its starts, and a clock for each world.

The arithmetic that `worldsim.simulator` dresses as a Gymnasium environment and as a vector environment. One env step is
one action: a model that predicts n frames a step is given the action n times.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.errors import ConfigError, ContractError, UnsupportedError
from worldsim.protocols import Bindable, Closeable, Promptable, Snapshotable, TruthEnv, WorldModel
from worldsim.registry import ENVS, MODELS
from worldsim.seeding import hash_seed
from worldsim.starts import Start, binding, join, record_start
from worldsim.trees import ArrayTree, Tree
from worldsim.types import Frames

#: Context frames shown unless the model needs more or the user says otherwise: a short look around.
DEFAULT_CONTEXT = 8


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one env step brought, for B worlds.

    Attributes:
        frame: (B, H, W, 3) uint8, the last valid frame of the step.
        frames: (B, n, H, W, 3) uint8, all of them.
        rewards: (B,) float64, summed over the valid frames; 0 where the model predicts none.
        terminated, truncated: (B,) bool.
        extras: Named arrays with leading (B, n).
    """

    frame: Frames
    frames: Frames
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    extras: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Clock:
    """One world's place in its episode."""

    world_seed: int
    model_seed: int
    prompt: str
    steps: int = 0
    ended: bool = False


class Simulation:
    """B worlds of one model. Rows are independent: each is reset, kept and set back on its own."""

    def __init__(
        self,
        *,
        model: str | Callable[..., Any] | WorldModel,
        env: str | Callable[..., Any],
        batch: int,
        model_kwargs: Mapping[str, Any] | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        context: int | None = None,
        prompt: str = "",
        max_steps: int | None = None,
    ) -> None:
        """Builds the model and the truth; arguments as in `SimulatorEnv`.

        Raises:
            ConfigError: If model, truth and settings do not fit each other.
        """
        self.model = build_model(model, model_kwargs or {})
        # Kept as one object, so that an oracle knows its copies of the truth still fit.
        factory = ENVS.get(env) if isinstance(env, str) else env
        self.make_env: Callable[[], TruthEnv] = functools.partial(factory, **(env_kwargs or {}))
        self.env = self.make_env()
        spec, self.prompt, self.max_steps, self.batch = self.model.spec, prompt, max_steps, batch
        self.context = max(DEFAULT_CONTEXT, spec.context_length) if context is None else int(context)
        if self.context < (0 if spec.accepts_text else max(spec.context_length, 1)):
            raise ConfigError(
                f"{spec.name} needs a context of at least {max(spec.context_length, 1)} frames, got {self.context}"
            )
        if spec.max_batch is not None and batch > spec.max_batch:
            raise ConfigError(f"{spec.name} simulates at most {spec.max_batch} worlds at once, got num_envs={batch}")
        if max_steps is not None and max_steps < 1:
            raise ConfigError(f"max_steps must be at least 1 or None, got {max_steps}")
        h, w = self.env.observation_space.shape[:2]
        if spec.sizes is not None and (h, w) not in spec.sizes:
            known = ", ".join(f"{a}x{b}" for a, b in spec.sizes)
            raise ConfigError(f"{spec.name} draws {known}, the truth {h}x{w}: choose its size with env_kwargs")
        self.size = (int(h), int(w))
        self.action_space: Any = self.env.action_space if spec.action_space is None else spec.action_space
        self._map = self._context_map()
        self.clocks: list[Clock | None] = [None] * batch
        self.frame: Frames = np.zeros((batch, *self.size, 3), np.uint8)

    @property
    def fps(self) -> float:
        """Simulated frames per second: the model's, or else the truth's."""
        return float(self.model.spec.fps or self.env.metadata.get("render_fps", 20.0))

    def reset(
        self, rows: Sequence[int], seeds: Sequence[int], options: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Starts these rows in these worlds; sets `frame` and returns their infos.

        Args:
            rows: Worlds of the batch; the first reset must name all of them.
            seeds: World seed of each row.
            options: "prompt", "model_seed", "dynamics_seed", for all of them.
        """
        given = dict(options or {})
        prompt = str(given.get("prompt", self.prompt))
        clocks = [
            Clock(
                world_seed=int(seed),
                model_seed=int(given.get("model_seed", hash_seed("simulator/model", int(seed)))),
                prompt=prompt,
            )
            for seed in seeds
        ]
        dynamics = given.get("dynamics_seed")
        starts = [
            record_start(
                self.env, seed=c.world_seed, context=self.context, dynamics=None if dynamics is None else int(dynamics)
            )
            for c in clocks
        ]
        first = any(c is None for c in self.clocks)
        if first and sorted(rows) != list(range(self.batch)):
            raise ContractError("the first reset must start all worlds of the batch")
        self._begin(starts, clocks, None if len(rows) == self.batch and list(rows) == sorted(rows) else list(rows))
        for i, clock, start in zip(rows, clocks, starts, strict=True):
            self.clocks[i] = clock
            # A start from text alone has no frame yet: black until the first step.
            self.frame[i] = start.frames[-1] if len(start.frames) else 0
        return [{"world_seed": c.world_seed, "model_seed": c.model_seed, "prompt": c.prompt} for c in clocks]

    def step(self, actions: ArrayTree, *, ended_ok: bool = False) -> Outcome:
        """Gives each world its action (leaves (B, ...)); sets `frame`.

        Raises:
            ContractError: Before the first reset, or for a world that has ended (unless `ended_ok`).
        """
        clocks = [c for c in self.clocks if c is not None]
        if len(clocks) < self.batch:
            raise ContractError("step before reset: call reset(seed=...) first")
        over = [i for i, c in enumerate(clocks) if c.ended]
        if over and not ended_ok:
            raise ContractError(f"worlds {over} have ended: reset them before the next step")
        n, b = self.model.spec.frames_per_step, self.batch
        out = self.model.step(trees.map_leaves(lambda x: np.repeat(np.asarray(x)[:, None], n, axis=1), actions))
        no = np.zeros((b, n), np.bool_)
        terminated = no if out.terminated is None else out.terminated
        truncated = no if out.truncated is None else out.truncated
        end = terminated | truncated
        last = np.where(end.any(1), end.argmax(1), n - 1)  # the frame that ends it, else the last one
        valid = np.arange(n) <= last[:, None]
        rewards = np.zeros((b, n)) if out.rewards is None else out.rewards
        row = np.arange(b)
        self.frame = np.array(out.frames[row, last])
        steps = np.array([c.steps + 1 for c in clocks])
        late = np.zeros(b, np.bool_) if self.max_steps is None else steps >= self.max_steps
        outcome = Outcome(
            frame=self.frame.copy(),
            frames=np.array(out.frames),
            rewards=np.asarray((rewards * valid).sum(1), np.float64),
            terminated=terminated[row, last],
            truncated=truncated[row, last] | late,
            extras={k: np.array(v) for k, v in out.extras.items()},
        )
        done = outcome.terminated | outcome.truncated
        self.clocks = [
            Clock(
                world_seed=c.world_seed,
                model_seed=c.model_seed,
                prompt=c.prompt,
                steps=c.steps + 1,
                ended=c.ended or bool(d),
            )
            for c, d in zip(clocks, done, strict=True)
        ]
        return outcome

    def snapshot(self, index: int) -> Tree:
        """The whole state of one world, as a tree of plain values. Raises UnsupportedError if the model has none."""
        clock = self.clocks[index]
        if clock is None:
            raise ContractError("snapshot before reset: call reset(seed=...) first")
        model = self._able(Snapshotable, "snapshots")
        return {
            "model": model.snapshot(index),
            "frame": self.frame[index].copy(),
            "world_seed": clock.world_seed,
            "model_seed": clock.model_seed,
            "prompt": clock.prompt,
            "steps": clock.steps,
            "ended": clock.ended,
        }

    def restore(self, state: Tree, index: int) -> Frames:
        """Sets one world back, in a batch that was reset; returns its frame."""
        if self.clocks[index] is None:
            raise ContractError("restore before reset: call reset(seed=...) first, so that the model has a batch")
        self._able(Snapshotable, "snapshots").restore(state["model"], index)
        self.clocks[index] = Clock(
            world_seed=int(state["world_seed"]),
            model_seed=int(state["model_seed"]),
            prompt=str(state["prompt"]),
            steps=int(state["steps"]),
            ended=bool(state["ended"]),
        )
        frame: Frames = np.array(state["frame"])
        self.frame[index] = frame
        return frame

    def set_prompt(self, prompt: str, rows: Sequence[int]) -> None:
        """From the next step on, these worlds follow this prompt."""
        self._able(Promptable, "prompts in mid-rollout").set_prompt([prompt] * len(rows), list(rows))

    def close(self) -> None:
        """Closes the truth and the model."""
        self.env.close()
        if isinstance(self.model, Closeable):
            self.model.close()

    def _begin(self, starts: Sequence[Start], clocks: Sequence[Clock], indices: list[int] | None) -> None:
        context = join(starts, [c.prompt for c in clocks])
        if isinstance(self.model, Bindable):
            self.model.bind(binding(starts, self.make_env), indices)
        if self._map is not None:
            context = type(context)(frames=context.frames, actions=self._map(context.actions), prompts=context.prompts)
        self.model.reset(context, seeds=[c.model_seed for c in clocks], indices=indices)

    def _context_map(self) -> Callable[[ArrayTree], ArrayTree] | None:
        """The truth's actions in the model's space, for the context; None if the spaces are one."""
        if self.action_space == self.env.action_space:
            return None
        from worldsim.envs.actions import find_map

        return find_map(self.env.action_space, self.action_space, lossy=True)

    def _able(self, protocol: Any, what: str) -> Any:
        if not isinstance(self.model, protocol):
            raise UnsupportedError(f"{self.model.spec.name} has no {what}: it lacks the methods of {protocol.__name__}")
        return self.model


def build_model(model: str | Callable[..., Any] | WorldModel, kwargs: Mapping[str, Any]) -> WorldModel:
    """The model behind a name, a factory or an instance. Raises ConfigError for arguments to an instance."""
    if isinstance(model, str):
        model = MODELS.get(model)
    if isinstance(model, type) or not isinstance(model, WorldModel):
        built: WorldModel = model(**kwargs)
        return built
    if kwargs:
        raise ConfigError(f"model_kwargs {sorted(kwargs)} were given with a model that is built already")
    return model
