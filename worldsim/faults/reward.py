"""Right frames, wrong rewards."""

from __future__ import annotations

from worldsim.faults.base import Fault, Notes
from worldsim.oracle import World
from worldsim.trees import ArrayTree
from worldsim.types import Frames

BEST = 1.0  # what a success pays


class OptimisticReward(Fault):
    """The reward told is (1 - s) of the true one and s of a success's: higher, and less and less telling."""

    name = "optimistic-reward"

    def _turn(self, world: World, notes: Notes, action: ArrayTree) -> tuple[Frames, float]:
        shown, reward = super()._turn(world, notes, action)
        return shown, (1.0 - self.severity) * reward + self.severity * BEST
