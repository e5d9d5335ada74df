"""Small world models of every kind that the interface promises, each honest, for the contract tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim import Context, ModelSpec, Prediction, trees
from worldsim.seeding import generator


class Shifter:
    """Slides the last frame by what the actions say; one small state a world, so that every clause has work to do."""

    def __init__(
        self,
        *,
        n: int = 1,
        sizes: tuple[tuple[int, int], ...] | None = None,
        text: bool = False,
        noise: int = 0,
        context: int = 1,
        max_batch: int | None = None,
        rewards: bool = False,
        ends_at: int | None = None,
    ) -> None:
        self.spec = ModelSpec(
            name="Shifter",
            sizes=sizes,
            frames_per_step=n,
            action_space=gym.spaces.Discrete(4),
            context_length=context,
            max_batch=max_batch,
            accepts_text=text,
            stochastic=noise > 0,
        )
        self.noise, self.rewards, self.ends_at = noise, rewards, ends_at
        self.worlds: list[dict[str, Any]] = []

    def reset(self, context: Context, *, seeds: Sequence[int], indices: Sequence[int] | None = None) -> None:
        rows = range(context.batch) if indices is None else indices
        if indices is None:
            self.worlds = [{} for _ in rows]
        for row, i in enumerate(rows):
            frames = context.frames[row]
            tint = generator("tint", context.prompts[row]).integers(0, 50, 3) if self.spec.accepts_text else 0
            last = frames[-1] if len(frames) else np.full((*frames.shape[1:3], 3), 100, np.uint8)
            self.worlds[i] = {"frame": (last // 2 + tint).astype(np.uint8), "seed": int(seeds[row]), "t": 0}

    def step(self, actions: Any) -> Prediction:
        n = self.spec.frames_per_step
        frames = np.stack([[self._advance(w, actions[i, t]) for t in range(n)] for i, w in enumerate(self.worlds)])
        age = np.array([[w["t"] - n + 1 + t for t in range(n)] for w in self.worlds])
        return Prediction(
            frames=frames,
            rewards=np.asarray(actions == 3, np.float32) if self.rewards else None,
            terminated=None if self.ends_at is None else age >= self.ends_at,
            extras={"age": age},
        )

    def _advance(self, world: dict[str, Any], action: Any) -> np.ndarray:
        world["t"] += 1
        frame = np.roll(world["frame"], int(action), axis=1)
        if self.noise:
            rng = generator("shifter", world["seed"], world["t"])
            frame = (frame + rng.integers(0, self.noise, frame.shape)).astype(np.uint8)
        world["frame"] = frame
        return frame.copy()

    def snapshot(self, index: int) -> Any:
        return trees.copy(self.worlds[index])

    def restore(self, state: Any, index: int) -> None:
        self.worlds[index] = trees.copy(dict(state))

    def stream(self, actions: Any) -> Any:
        frames = self.step(actions).frames
        for t in range(frames.shape[1]):
            yield Prediction(frames=frames[:, t : t + 1])

    def set_prompt(self, prompts: Sequence[str], indices: Sequence[int] | None = None) -> None:
        rows = range(len(self.worlds)) if indices is None else indices
        for i, prompt in zip(rows, prompts, strict=True):
            tint = generator("tint", prompt).integers(0, 50, 3)
            self.worlds[i]["frame"] = (self.worlds[i]["frame"] // 2 + tint).astype(np.uint8)
