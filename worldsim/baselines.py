"""The null battery as world models: simulators that know nothing, from which every score's floor comes.

They take any size and any action space, need one frame of context, and give what `worldsim.nulls` gives, so that a
floor measured by rolling one out equals the floor drawn by the scorer. The fifth null, another episode, needs the truth
to play in another world and lives in `worldsim.oracle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from worldsim import trees
from worldsim.errors import ContractError, ShapeError
from worldsim.nulls import context_mean, null_frame
from worldsim.trees import ArrayTree, Tree
from worldsim.types import Context, Frames, ModelSpec, Prediction


@dataclass(frozen=True, kw_only=True)
class _World:
    """One world of the batch: `memory` (M, H, W, 3) uint8 is what the null needs of the context."""

    memory: Frames
    seed: int
    h: int = 0  # frames predicted so far


class NullModel:
    """A `WorldModel` over one null. Subclasses name the null; instances hold one value a world."""

    null: ClassVar[str]
    label: ClassVar[str]

    def __init__(self) -> None:
        self._worlds: list[_World] = []

    @property
    def spec(self) -> ModelSpec:
        """Any size, any actions, one frame a step."""
        return ModelSpec(name=self.label, stochastic=self.null == "noise")

    def reset(self, context: Context, *, seeds: Sequence[int], indices: Sequence[int] | None = None) -> None:
        """Starts worlds; see `WorldModel.reset`. Raises ShapeError for an empty context or a missing seed."""
        if context.frames.shape[1] == 0:
            raise ShapeError(f"{self.label} needs at least one frame of context, got none (C = 0)")
        rows = list(range(context.batch)) if indices is None else [int(i) for i in indices]
        if len(seeds) != context.batch or len(rows) != context.batch:
            raise ShapeError(
                f"reset needs one seed and one index for each of the {context.batch} rows, "
                f"got {len(seeds)} seeds and {len(rows)} indices"
            )
        fresh = [_World(memory=self._remember(f), seed=int(s)) for f, s in zip(context.frames, seeds, strict=True)]
        if indices is None:
            self._worlds = fresh
            return
        check_indices(rows, len(self._worlds))
        for i, world in zip(rows, fresh, strict=True):
            self._worlds[i] = world

    def step(self, actions: ArrayTree) -> Prediction:
        """The next frame of every world, whatever the actions: (B, 1, H, W, 3)."""
        check_actions(actions, len(self._worlds), 1)
        self._worlds = [_World(memory=w.memory, seed=w.seed, h=w.h + 1) for w in self._worlds]
        shapes = {w.memory.shape[1:] for w in self._worlds}
        if len(shapes) > 1:
            raise ShapeError(f"all worlds of a batch must have one size, got {sorted(shapes)}; reset them alike")
        return Prediction(frames=np.stack([self._frame(w) for w in self._worlds])[:, None])

    def snapshot(self, index: int) -> Tree:
        """The state of one world."""
        world = self._worlds[index]
        return {"memory": world.memory.copy(), "seed": world.seed, "h": world.h}

    def restore(self, state: Tree, index: int) -> None:
        """Sets one world back."""
        check_indices([index], len(self._worlds))
        self._worlds[index] = _World(memory=np.array(state["memory"]), seed=int(state["seed"]), h=int(state["h"]))

    def _remember(self, frames: Frames) -> Frames:
        return frames[-1:].copy()

    def _frame(self, world: _World) -> Frames:
        return null_frame(self.null, world.memory, world.h, seed=world.seed)


class Frozen(NullModel):
    """The last context frame for ever."""

    null, label = "frozen", "worldsim/Frozen"


class CopyContext(NullModel):
    """The context, back and forth: the right kind of motion, without knowledge."""

    null, label = "copy-context", "worldsim/CopyContext"

    def _remember(self, frames: Frames) -> Frames:
        return frames.copy()


class ContextMean(NullModel):
    """The mean of the context: the best constant guess for squared error."""

    null, label = "context-mean", "worldsim/ContextMean"

    def _remember(self, frames: Frames) -> Frames:
        return context_mean(frames)[None]  # the mean of the mean is the mean: computed once, at the reset


class Noise(NullModel):
    """Uniform noise, another for each seed."""

    null, label = "noise", "worldsim/Noise"


def check_actions(actions: ArrayTree, batch: int, n: int) -> None:
    """Raises unless the leaves start with (B, n). A tree without leaves says nothing and passes.

    Raises:
        ContractError: If there is no batch yet.
        ShapeError: If a leaf has other leading axes.
    """
    if batch == 0:
        raise ContractError("step before reset: call reset(context, seeds=...) first")
    for leaf in trees.leaves(actions):
        if np.shape(leaf)[:2] != (batch, n):
            raise ShapeError(f"actions must have leaves (B, n, ...) = ({batch}, {n}, ...), got {np.shape(leaf)}")


def check_indices(indices: Sequence[Any], batch: int) -> None:
    """Raises ContractError for worlds that are not in the batch, or named twice."""
    wrong = [i for i in indices if not 0 <= int(i) < batch]
    if wrong or len({int(i) for i in indices}) != len(indices):
        raise ContractError(
            f"indices must be different worlds of the batch, 0..{batch - 1}, got {list(indices)}; "
            "start a new batch with indices=None"
        )
