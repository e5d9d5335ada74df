"""What the clauses about world models share: contexts and actions that fit a model, and comparisons that explain."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.checks.report import Broken
from worldsim.protocols import Bindable, TruthBinding, TruthEnv
from worldsim.seeding import generator, hash_seed
from worldsim.starts import Start, action_batch, binding, record_start
from worldsim.trees import ArrayTree
from worldsim.types import Context, Frames, ModelSpec

STEPS = 3  # per run: enough that the second step starts from the model's own state
WORLDS = 3
#: Captions of the grammar (docs/prompts.md): a model that knows a closed set of words knows theirs.
PROMPTS = ("in the village at day; a red chest close by straight ahead", "in the arena at night")


class Bench:
    """A model under test, with contexts and actions that fit it."""

    def __init__(self, model: Any, env: Callable[[], TruthEnv] | None, size: tuple[int, int] | None) -> None:
        self.model, self.make_env, self._size = model, env, size
        self._env: TruthEnv | None = None
        self._starts: dict[tuple[int, int], Start] = {}

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        spec: ModelSpec = self.model.spec
        return spec

    @property
    def bound(self) -> bool:
        """Whether the model looks at the truth."""
        return isinstance(self.model, Bindable)

    @property
    def batch(self) -> int:
        """Worlds in a usual run."""
        return min(WORLDS, self.spec.max_batch or WORLDS)

    @property
    def length(self) -> int:
        """Context frames in a usual run."""
        return max(self.spec.context_length, 1)

    def env(self) -> TruthEnv | None:
        """One copy of the truth, if there is one."""
        if self._env is None and self.make_env is not None:
            self._env = self.make_env()
        return self._env

    def space(self) -> Any:
        """The space that actions are drawn from."""
        from gymnasium.spaces import Discrete

        env = self.env()
        if self.spec.action_space is not None and not self.bound:
            return self.spec.action_space
        return env.action_space if env is not None else Discrete(4)

    def size(self) -> tuple[int, int]:
        """(H, W) of a usual run."""
        env = self.env()
        if self.bound and env is not None:
            h, w = env.observation_space.shape[:2]
            return int(h), int(w)
        if self._size is not None:
            return self._size
        if self.spec.sizes:
            return self.spec.sizes[0]
        return (32, 48) if env is None else (int(env.observation_space.shape[0]), int(env.observation_space.shape[1]))

    def start(
        self,
        worlds: Sequence[int],
        *,
        length: int | None = None,
        size: tuple[int, int] | None = None,
        prompts: Sequence[str] | None = None,
    ) -> tuple[Context, TruthBinding | None]:
        """The context of these worlds, and what a model that looks at the truth is told."""
        c, (h, w) = self.length if length is None else length, size or self.size()
        text = tuple(prompts) if prompts is not None else ("",) * len(worlds)
        env, known = self.env(), None
        if env is None:
            frames = np.stack([pattern(s, c, h, w) for s in worlds])
        else:
            starts = [self._start(env, s, c) for s in worlds]
            frames = resize(np.stack([s.frames for s in starts]), h, w)
            known = binding(starts, self.make_env) if self.make_env is not None and self.bound else None
        if known is not None:
            actions = trees.index(known.history, np.s_[:, : max(c - 1, 0)])
        else:
            rows = [action_batch(self.space(), hash_seed("check", s), max(c - 1, 0)) for s in worlds]
            actions = trees.stack(rows)
        return Context(frames=frames, actions=actions, prompts=text), known

    def _start(self, env: TruthEnv, seed: int, length: int) -> Start:
        if (seed, length) not in self._starts:
            self._starts[seed, length] = record_start(env, seed=seed, context=length)
        return self._starts[seed, length]

    def actions(self, batch: int, key: int = 0) -> list[ArrayTree]:
        """STEPS model steps of random actions; those of world i do not depend on the batch."""
        n = self.spec.frames_per_step
        rows = [action_batch(self.space(), hash_seed("check/actions", key, i), STEPS, n) for i in range(batch)]
        joined = trees.stack(rows)
        return [trees.index(joined, np.s_[:, t]) for t in range(STEPS)]

    def reset(
        self,
        start: tuple[Context, TruthBinding | None],
        seeds: Sequence[int] | None = None,
        indices: Sequence[int] | None = None,
        *,
        share: bool = False,
    ) -> None:
        """Binds if need be, then resets; default seeds are 1, 2, ...

        The model gets a copy of the context unless `share`, so that one that writes into it breaks that clause only.
        """
        context, known = start
        if not share:
            context = replace(context, frames=context.frames.copy(), actions=trees.copy(context.actions))
        if known is not None:
            self.model.bind(known, indices)
        self.model.reset(context, seeds=list(seeds or range(1, context.batch + 1)), indices=indices)

    def run(self, start: tuple[Context, TruthBinding | None], seeds: Sequence[int] | None = None) -> Frames:
        """Resets and plays STEPS steps: (B, STEPS * n, H, W, 3)."""
        self.reset(start, seeds)
        return self.play(self.actions(start[0].batch))

    def play(self, actions: Sequence[ArrayTree]) -> Frames:
        """Steps with each of `actions`; the frames joined over time, copied at once."""
        return np.concatenate([np.array(self.model.step(trees.copy(a)).frames) for a in actions], axis=1)


def equal(a: Frames, b: Frames, what: str = "", tolerance: int = 0) -> None:
    """Raises Broken, with where and by how much, unless two stacks of frames agree."""
    if a.shape != b.shape:
        raise Broken(f"{what}frames were {b.shape}, expected {a.shape}")
    gap = np.abs(a.astype(np.int16) - b)
    wrong = gap > tolerance
    if wrong.any():
        frame = int(np.flatnonzero(wrong.any(axis=(0, 2, 3, 4)))[0])
        raise Broken(
            f"{what}{100 * wrong.mean():.3g} % of the values differ, by up to {gap.max()} levels, "
            f"first in predicted frame {frame + 1}"
        )


def pattern(seed: int, c: int, h: int, w: int) -> Frames:
    """(C, H, W, 3) uint8: a smooth random picture that slides to the left, one pixel a frame."""
    rng = generator("check/pattern", seed)
    coarse = rng.integers(0, 256, (h // 8 + 2, (w + c) // 8 + 2, 3), dtype=np.uint8)
    wide: Frames = coarse.repeat(8, axis=0).repeat(8, axis=1)
    return np.stack([wide[:h, t : t + w] for t in range(c)]) if c else np.zeros((0, h, w, 3), np.uint8)


def resize(frames: Frames, h: int, w: int) -> Frames:
    """Nearest neighbour to (..., h, w, 3)."""
    rows = np.arange(h) * frames.shape[-3] // h
    cols = np.arange(w) * frames.shape[-2] // w
    return np.ascontiguousarray(frames[..., rows[:, None], cols, :])


@contextmanager
def global_randomness() -> Iterator[Callable[[int], None]]:
    """Gives a function that sets every global random state; what was there before is put back at the end."""
    torch: Any = sys.modules.get("torch")
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state() if torch else None  # noqa: NPY002

    def shake(k: int) -> None:
        random.seed(k)
        np.random.seed(k)  # noqa: NPY002
        if torch:
            torch.manual_seed(k)

    try:
        yield shake
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        if torch:
            torch.set_rng_state(kept[2])
