"""Each episode may look right; the set of them, or their order in time, does not."""

from __future__ import annotations

import itertools

import numpy as np

from worldsim.faults.base import Fault, Notes
from worldsim.oracle import Row, World, play, replay
from worldsim.protocols import TruthEnv
from worldsim.seeding import generator, hash_seed, split_of
from worldsim.trees import ArrayTree, length
from worldsim.types import Frames


class ModeCollapse(Fault):
    """With probability `severity` a world is the one world that the model falls into, whatever its context.

    It is the same world for all seeds (of the split of the true one), with the context's and the rollout's actions.
    """

    name = "mode-collapse"
    random = True

    def _start(self, env: TruthEnv, row: Row, seed: int) -> tuple[Frames, str]:
        if not self.severity or generator("fault", self.name, seed).random() >= self.severity:
            return super()._start(env, row, seed)
        return replay(env, mode_world(row.seed), row.history if length(row.history) else row.past, None)


def mode_world(world_seed: int) -> int:
    """The world that a collapsed model shows: one for each split."""
    split = split_of(world_seed)
    return next(s for i in itertools.count() if split_of(s := hash_seed("fault/mode", i)) == split)


class FrameShuffle(Fault):
    """Each frame shown is one of the last `severity` + 1 true ones, drawn anew in each step."""

    name = "frame-shuffle"
    limit = 64.0
    whole = True
    random = True

    def _begin(self, world: World, context: Frames, world_seed: int) -> Notes:
        return {"last": context[-int(self.severity) :].copy()}

    def _turn(self, world: World, notes: Notes, action: ArrayTree) -> tuple[Frames, float]:
        reward = play(world, action)
        last = np.concatenate([notes["last"], world.frame[None]])[-(int(self.severity) + 1) :]
        notes["last"] = last
        back = int(self._draw(world, world.t).random() * len(last))
        return last[-1 - back].copy(), reward
