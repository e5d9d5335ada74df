"""Controllers for any action space, where nothing is known of what an action means: at random, or one held."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim import seeding, trees
from worldsim.envs.actions import noop
from worldsim.errors import ConfigError
from worldsim.trees import ArrayTree
from worldsim.truth import TruthState
from worldsim.types import Frames, Mark


class Random:
    """Random actions, each held for a few steps, so that the world is not only shaken. Looks at nothing."""

    aborted: str | None = None
    marks: tuple[Mark, ...] = ()

    def __init__(self, *, longest: int = 8, rest: float = 0.1) -> None:
        """Sets the habits.

        Args:
            longest: Steps for which an action is held at most; the length is drawn from 1..longest.
            rest: Probability that a stretch does nothing (the first action of a Discrete space).

        Raises:
            ConfigError: For a length below 1, or a probability outside 0..1.
        """
        if longest < 1 or not 0.0 <= rest <= 1.0:
            raise ConfigError(f"expected longest >= 1 and rest in 0..1, got {longest} and {rest}")
        self._longest, self._rest = longest, rest
        self._rng = seeding.generator("random-actions", 0)
        self._space: Any = None
        self._action: ArrayTree = 0
        self._left = 0

    def reset(self, *, seed: int, action_space: Any, truth: TruthState, sham: bool = False) -> None:
        """Starts a new episode."""
        self._space = copy.deepcopy(action_space)
        self._space.seed(seeding.hash_seed("random-actions", seed))
        self._rng = seeding.generator("random-actions", seed)
        self._left = 0

    def act(self, frame: Frames, truth: TruthState, t: int) -> Any:
        """The action that is held now."""
        if self._space is None:
            raise RuntimeError("a controller is reset before it acts")
        if self._left == 0:
            self._left = int(self._rng.integers(1, self._longest + 1))
            drawn = self._space.sample()  # drawn always: what is done later does not depend on the rests
            chosen = noop(self._space) if self._rng.random() < self._rest else drawn
            self._action = trees.map_leaves(np.asarray, chosen)
        self._left -= 1
        return trees.copy(self._action)

    @property
    def focus(self) -> Mapping[str, Any]:
        """Nothing in particular."""
        return {}


class Held:
    """Random actions in the context, then one action held, then nothing: a branch of many from one start.

    Marks "departure", the last shared frame, and "return", the frame after the held action; the branches are variants
    of a scenario that differ in `played`.
    """

    aborted: str | None = None

    def __init__(self, *, played: int, context: int = 8, steps: int = 8) -> None:
        """Chooses the action.

        Args:
            played: Number of the action in the space: see `numbered`.
            context: C of the scenario.
            steps: How long it is held.

        Raises:
            ConfigError: For numbers below 0 or 1.
        """
        if played < 0 or context < 1 or steps < 1:
            raise ConfigError(f"expected played >= 0, context >= 1 and steps >= 1, got {played}, {context}, {steps}")
        self._played, self._context, self._steps = played, context, steps
        self._walk = Random()
        self._space: Any = None
        self.marks: tuple[Mark, ...] = ()

    def reset(self, *, seed: int, action_space: Any, truth: TruthState, sham: bool = False) -> None:
        """Starts a new episode."""
        self._walk.reset(seed=seed, action_space=action_space, truth=truth, sham=sham)
        self._space, self.marks = action_space, ()

    def act(self, frame: Frames, truth: TruthState, t: int) -> Any:
        """The walk's action, the held one, or nothing."""
        first = self._context - 1
        if t < first:
            return self._walk.act(frame, truth, t)
        if t == first:
            self.marks = (Mark(name="departure", frame=t),)
        if t == first + self._steps:
            self.marks = (*self.marks, Mark(name="return", frame=t))
        return numbered(self._space, self._played if t < first + self._steps else 0)

    @property
    def focus(self) -> Mapping[str, Any]:
        """The number of the action."""
        return {"played": self._played}


def numbered(space: gym.Space[Any], number: int) -> Any:
    """The actions of a space in an order: 0 does nothing, the others one thing each; beyond the last it begins anew.

    Of a Discrete space the actions as they are; of a Box the upper and the lower end of each axis in turn; of other
    spaces each part in turn.
    """
    still = noop(space)
    if isinstance(space, gym.spaces.Discrete):
        return np.int64(int(space.start) + number % int(space.n))
    if number == 0:
        return still
    which = number - 1
    if isinstance(space, gym.spaces.Box):
        which %= 2 * still.size
        out = np.array(still)
        out.reshape(-1)[which // 2] = (space.low if which % 2 else space.high).reshape(-1)[which // 2]
        return out
    if isinstance(space, gym.spaces.Dict):
        names = sorted(space.spaces)
        turn, place = divmod(which, len(names))
        inner = space.spaces[names[place]]
        return {**still, names[place]: numbered(inner, turn + 1)}
    counts = np.asarray(space.nvec) if isinstance(space, gym.spaces.MultiDiscrete) else np.full(still.shape, 2)
    flat = counts.reshape(-1)
    pairs = [(i, more) for more in range(1, int(flat.max())) for i in range(flat.size) if more < flat[i]]
    out = np.array(still)
    if pairs:
        place, more = pairs[which % len(pairs)]
        out.reshape(-1)[place] += more
    return out
