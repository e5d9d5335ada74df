"""Small models and controllers for the engine's tests: each does one thing that can be read off the frames."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from worldsim.seeding import generator
from worldsim.types import Context, Mark, ModelSpec, Prediction

SIZE = (24, 32)


class Walk:
    """A seeded random walk over a Discrete space."""

    focus: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, abort_at: int | None = None) -> None:
        self.abort_at = abort_at
        self.aborted: str | None = None
        self.marks: tuple[Mark, ...] = ()
        self.seen: list[Any] = []

    def reset(self, *, seed: int, action_space: Any, truth: Any, sham: bool = False) -> None:
        self.rng, self.n, self.sham = generator("walk", seed), int(action_space.n), sham
        self.aborted, self.marks, self.seen = None, (), []

    def act(self, frame: Any, truth: Any, t: int) -> Any:
        self.seen.append(int(frame[0, 0, 0]))
        if t in (6, 10):
            self.marks += (Mark(name="departure" if t == 6 else "return", frame=t),)
        if self.abort_at == t:
            self.aborted = "the way is blocked"
        return np.int64(self.rng.integers(self.n))


class Counter:
    """Paints how many frames it has predicted since its reset, per world: 10, 20, 30, ..."""

    def __init__(self, n: int = 1, max_batch: int | None = None, **spec: Any) -> None:
        self.spec = ModelSpec(name="Counter", frames_per_step=n, max_batch=max_batch, **spec)
        self.calls: list[str] = []
        self.contexts: list[Context] = []
        self.prompts: list[str] = []

    def reset(self, context: Context, *, seeds: Any, indices: Any = None) -> None:
        self.contexts.append(context)
        if indices is None:
            self.count = np.zeros(context.batch, int)
            self.seeds = list(seeds)
            self.size = context.frames.shape[2:4]
            self.prompts = list(context.prompts)
        else:
            self.count[list(indices)] = 0

    def set_prompt(self, prompts: Any, indices: Any = None) -> None:
        for i, text in zip(indices, prompts, strict=True):
            self.prompts[i] = text
        self.calls.append(f"prompt at {int(self.count[0])}: {list(prompts)}")

    def step(self, actions: Any) -> Prediction:
        n = self.spec.frames_per_step
        frames = np.zeros((len(self.count), n, *self.size, 3), np.uint8)
        for j in range(n):
            self.count += 1
            frames[:, j] = (10 * self.count % 256)[:, None, None, None]
        return Prediction(frames=frames)


class Seeded(Counter):
    """Noise that depends on its seed and step only."""

    def step(self, actions: Any) -> Prediction:
        self.count += 1
        frames = [
            generator("s", s, int(c)).integers(0, 256, (*self.size, 3), np.uint8)
            for s, c in zip(self.seeds, self.count, strict=True)
        ]
        return Prediction(frames=np.stack(frames)[:, None])


class Raises(Counter):
    """Raises in the worlds whose first context frame has a certain parity of its sum."""

    def step(self, actions: Any) -> Prediction:
        if any(int(c.sum()) % 3 == 0 for c in self.contexts[-1].frames[:, 0].astype(int)):
            raise ValueError("cannot do this world")
        return super().step(actions)


class Hangs(Counter):
    """Never answers the fifth step."""

    def step(self, actions: Any) -> Prediction:
        if int(self.count[0]) == 4:
            time.sleep(3600)
        return super().step(actions)


class Slow(Seeded):
    """20 ms a step, so that a test can kill it in the middle."""

    def step(self, actions: Any) -> Prediction:
        time.sleep(0.02)
        return super().step(actions)


class Wrong(Counter):
    """Predicts floats."""

    def step(self, actions: Any) -> Any:
        return Prediction(frames=super().step(actions).frames.astype(np.float32))


class Blurred:
    """A codec: its round trip blurs; predicts the last frame of the context, blurred."""

    def __init__(self) -> None:
        self.spec = ModelSpec(name="Blurred")

    def round_trip(self, frames: Any) -> Any:
        return ((frames.astype(int) // 16) * 16 + 8).astype(np.uint8)

    def reset(self, context: Context, *, seeds: Any, indices: Any = None) -> None:
        self.last = self.round_trip(context.frames[:, -1:])

    def step(self, actions: Any) -> Prediction:
        return Prediction(frames=self.last.copy())


def broken_hall(how: str = "hang", **kwargs: Any) -> Any:
    """A hall whose third step hangs, dies or raises in the worlds with an even seed."""
    from tests.toys import ToyEnv

    class Broken(ToyEnv):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.bad, self.count = (seed or 1) % 2 == 0, 0
            return super().reset(seed=seed, options=options)

        def step(self, action: Any) -> Any:
            self.count += 1
            if self.bad and self.count == 3:
                if how == "hang":
                    time.sleep(3600)
                if how == "die":
                    os._exit(11)
                raise RuntimeError("the level is corrupt")
            return super().step(action)

    return Broken(**kwargs)
