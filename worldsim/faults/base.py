"""What all planted faults share: the oracle, wrong in one way, by a known amount.

A fault plays in its own copies of the truth, like the oracle, and differs from it in one respect only. At severity 0 it
is the oracle bit for bit. All its draws come from the model's seed, and the draws of a lower severity are a part of
those of a higher one (the same uniform number is compared with the severity), so that what a metric loses from one
severity to the next is the fault's doing and not that of another draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from worldsim import trees
from worldsim.baselines import check_actions
from worldsim.errors import ConfigError, ShapeError, UnsupportedError
from worldsim.oracle import Oracle, World, play
from worldsim.protocols import TruthEnv
from worldsim.seeding import generator
from worldsim.trees import ArrayTree, Tree
from worldsim.truth import Abilities
from worldsim.types import Context, Frames, ModelSpec, Prediction

#: What a fault remembers of one world: plain values by name, so that a snapshot can hold it.
Notes = dict[str, Any]


class Fault(Oracle):
    """The oracle with one planted fault. Subclasses override `_begin`, `_act`, `_turn` or `_picture`.

    Attributes:
        name: Unique among the faults.
        limit: The largest severity that has a meaning.
        whole: The severity is a whole number.
        random: It draws from the model's seed.
        needs: Abilities of the truth: "snapshot", "render_from", names of edits, fields of `TruthState`.
        any_of: Sets of abilities, of which one must be there in full as well; none = no more is needed.
        strikes: What it must find in a world to change anything, where a truth may have nothing of the kind at all.
    """

    name: ClassVar[str] = ""
    limit: ClassVar[float] = 1.0
    whole: ClassVar[bool] = False
    random: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    any_of: ClassVar[tuple[frozenset[str], ...]] = ()
    strikes: ClassVar[str] = ""

    def __init__(self, severity: float = 0.0) -> None:
        """Sets the severity, 0 (the oracle) to `limit`. Raises ConfigError outside."""
        super().__init__()
        value = float(severity)
        if not (math.isfinite(value) and 0 <= value <= self.limit) or (self.whole and value != int(value)):
            kind = "a whole number" if self.whole else "a number"
            raise ConfigError(f"the severity of {self.name!r} must be {kind} in 0..{self.limit:g}, got {severity}")
        self.severity = value
        self._notes: list[Notes] = []
        self._shown: list[Frames] = []
        self._prompt = ""  # of the world that begins

    # ------------------------------------------------------------------------------------------------ the interface

    @property
    def spec(self) -> ModelSpec:
        """As the oracle's; the name tells the fault and its severity."""
        return ModelSpec(
            name=f"fault/{self.name}@{self.severity:g}",
            privileged=True,
            stochastic=self.random and self.severity > 0,
        )

    def reset(self, context: Context, *, seeds: Sequence[int], indices: Sequence[int] | None = None) -> None:
        """As the oracle's. Raises UnsupportedError if the truth lacks what the fault needs."""
        bound = self._bound
        super().reset(context, seeds=seeds, indices=indices)
        rows = list(range(context.batch)) if indices is None else [int(i) for i in indices]
        if indices is None:
            self._notes = [{} for _ in rows]
            self._shown = [world.frame for world in self._worlds]
        if not self.severity or bound is None:
            return
        for row, i in enumerate(rows):
            world = self._worlds[i]
            require(world.env, self)
            self._shown[i] = world.frame
            self._prompt = context.prompts[row]
            self._notes[i] = self._begin(world, context.frames[row], bound[0].seeds[row])

    def step(self, actions: ArrayTree) -> Prediction:
        """One step of every world, with the fault in it."""
        if not self.severity:
            return super().step(actions)
        check_actions(actions, len(self._worlds), 1)
        rewards = np.zeros((len(self._worlds), 1), np.float32)
        for i, world in enumerate(self._worlds):
            if not world.ended:  # else the last frame stands
                self._shown[i], rewards[i, 0] = self._turn(world, self._notes[i], trees.index(actions, (i, 0)))
        shapes = {frame.shape for frame in self._shown}
        if len(shapes) > 1:
            raise ShapeError(f"all worlds of a batch must have one size, got {sorted(shapes)}")
        return Prediction(
            frames=np.stack(self._shown)[:, None],
            rewards=rewards,
            terminated=np.array([w.ended == "terminated" for w in self._worlds])[:, None],
            truncated=np.array([w.ended == "truncated" for w in self._worlds])[:, None],
        )

    def snapshot(self, index: int) -> Tree:
        """The state of one world, with what the fault remembers. Raises UnsupportedError without snapshots."""
        state = super().snapshot(index)
        return {**state, "notes": trees.copy(self._notes[index]), "shown": self._shown[index].copy()}

    def restore(self, state: Tree, index: int) -> None:
        """Sets one world back, fault included."""
        super().restore(state, index)
        self._notes[index] = trees.copy(dict(state["notes"]))
        self._shown[index] = np.array(state["shown"])

    # ------------------------------------------------------------------------------------------ what faults override

    def _begin(self, world: World, context: Frames, world_seed: int) -> Notes:
        """What is remembered of a world at its start; `context` is (C, H, W, 3)."""
        return {}

    def _act(self, world: World, notes: Notes, action: ArrayTree) -> ArrayTree:
        """The action that is played instead of `action`."""
        return action

    def _turn(self, world: World, notes: Notes, action: ArrayTree) -> tuple[Frames, float]:
        """One step: the frame shown and the reward told. Not called once the world has ended."""
        reward = play(world, self._act(world, notes, action))
        return self._picture(world, notes), reward

    def _picture(self, world: World, notes: Notes) -> Frames:
        """What is shown after a step; `world.frame` is the truth's frame and is not written to."""
        return world.frame

    def _draw(self, world: World, *what: str | int) -> np.random.Generator:
        """The generator of one decision in one world, the same at every severity."""
        return generator("fault", self.name, world.seed, *what)

    def _happens(self, world: World, *what: str | int) -> bool:
        """Whether something happens that happens with probability `severity`."""
        return bool(self._draw(world, *what).random() < self.severity)


def missing_of(able: Abilities, needs: frozenset[str], any_of: Sequence[frozenset[str]] = ()) -> list[str]:
    """What a truth lacks of what a fault needs: of several sets of which one would do, all that each lacks."""
    has = _abilities(able)
    left = [sorted(one - has) for one in any_of]
    either = " or else ".join(", ".join(one) for one in left) if left and all(left) else ""
    return sorted(needs - has) + ([either] if either else [])


def require(env: TruthEnv, fault: Fault) -> None:
    """Raises UnsupportedError unless the truth can do, and tells, what a fault needs."""
    if missing := missing_of(env.abilities, fault.needs, fault.any_of):
        raise UnsupportedError(
            f"the fault {fault.name!r} needs a truth with {', '.join(missing)}; this one has "
            f"{sorted(_abilities(env.abilities))}"
        )


def _abilities(able: Abilities) -> frozenset[str]:
    return able.edit | able.truth | {n for n in ("snapshot", "render_from") if getattr(able, n)}
