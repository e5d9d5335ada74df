"""When and how actions take effect: late, not at all, mirrored, weaker."""

from __future__ import annotations

from worldsim.faults.base import Fault, Notes
from worldsim.faults.keys import mirrored, nothing, scaled
from worldsim.oracle import World, play
from worldsim.trees import ArrayTree
from worldsim.types import Frames


class Lag(Fault):
    """The truth, `severity` steps late: the last context frame stands that long, then every action has its effect."""

    name = "lag"
    limit = 64.0
    whole = True

    def _turn(self, world: World, notes: Notes, action: ArrayTree) -> tuple[Frames, float]:
        world.queue = (*world.queue, action)
        if len(world.queue) <= self.severity:
            return world.frame, 0.0
        first, *rest = world.queue
        world.queue = tuple(rest)
        reward = play(world, first)
        return world.frame, reward


class _PerStep(Fault):
    """Decides step by step, with probability `severity`."""

    random = True

    def _act(self, world: World, notes: Notes, action: ArrayTree) -> ArrayTree:
        return self._change(world, action) if self._happens(world, world.t) else action

    def _change(self, world: World, action: ArrayTree) -> ArrayTree:
        raise NotImplementedError


class Drop(_PerStep):
    """Each action is lost with probability `severity`: the no-op is played in its place."""

    name = "drop"

    def _change(self, world: World, action: ArrayTree) -> ArrayTree:
        return nothing(world.env.action_space, action)


class Flip(_PerStep):
    """Each action is mirrored with probability `severity`: left for right, in steps and turns."""

    name = "flip"

    def _change(self, world: World, action: ArrayTree) -> ArrayTree:
        return mirrored(world.env.action_space, action)


class Gain(Fault):
    """Turns and moves have 1 - `severity` of their effect.

    Turns that are numbers are multiplied; of the presses of a key (or of the turns of a discrete space) that share is
    played, evenly spread.
    """

    name = "gain"

    def _act(self, world: World, notes: Notes, action: ArrayTree) -> ArrayTree:
        gain = 1.0 - self.severity

        def press(name: str) -> bool:
            count = notes.get(name, 0)
            notes[name] = count + 1
            return int((count + 1) * gain + 0.5) > int(count * gain + 0.5)

        return scaled(world.env.action_space, action, gain, press)
