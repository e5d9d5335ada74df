"""A panel of graded policies: from straight to the goal over noisier and noisier ways to the opposite direction.

For the question whether a simulator ranks policies as the truth does. They decide from the truth's state and their seed
only, so that every model gets the same actions, and they rest until the context is over, so that all policies share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from worldsim import seeding
from worldsim.envs.controllers.keyboard import Keyboard
from worldsim.envs.controllers.pose import Pose, ground_distance, pose_of, wrap, yaw_to
from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.truth import ObjectState, TruthState
from worldsim.types import Frames, Mark

POLICIES: Final = ("greedy", "away", "random", "noop")
TURN = 15.0  # degrees a step
AHEAD = 45.0  # degrees off the way up to which it walks while it turns

#: What a random step does.
_RANDOM: Final[tuple[Mapping[str, Any], ...]] = (
    {"forward": 1},
    {"back": 1},
    {"left": 1},
    {"right": 1},
    {"camera": (0.0, -TURN)},
    {"camera": (0.0, TURN)},
    {},
)


class Panel:
    """One policy of the panel, for tasks whose goal is to come near an instance (Blocks: "navigate")."""

    def __init__(self, *, policy: str = "greedy", noise: float = 0.0, goal: str = "crate", context: int = 1) -> None:
        """Sets the policy.

        Args:
            policy: "greedy" turns and walks to the goal, "away" in the opposite direction, "random", "noop".
            noise: Share of steps, 0..1, in which a random step is made instead.
            goal: End of the goal's kind; of several the one with the highest id, which is what a task of Blocks adds.
            context: C of the scenario: it rests while t < C - 1.

        Raises:
            UnknownNameError: For a policy that does not exist.
            ConfigError: For a noise outside 0..1.
        """
        if policy not in POLICIES:
            raise UnknownNameError(
                f"no policy is called {policy!r}.{nearest(policy, POLICIES)} Known: {', '.join(POLICIES)}."
            )
        if not 0.0 <= noise <= 1.0:
            raise ConfigError(f"the noise of a policy must be in 0..1, got {noise}")
        self._policy, self._kind, self._context = policy, goal, context
        self._noise = 1.0 if policy == "random" else float(noise)
        self.marks: tuple[Mark, ...] = ()
        self.aborted: str | None = None
        self._keyboard: Keyboard | None = None
        self._rng = seeding.generator("panel", 0)
        self._goal: int | None = None
        self._last: Pose | None = None
        self._stuck = 0

    @property
    def focus(self) -> Mapping[str, Any]:
        """The goal, where the policy has one."""
        return {} if self._goal is None else {"object_id": self._goal}

    def reset(self, *, seed: int, action_space: Any, truth: TruthState, sham: bool = False) -> None:
        """Starts a new episode. All policies of one seed make their random steps from the same numbers."""
        self._keyboard = Keyboard(action_space)
        self._rng = seeding.generator("panel", seed)
        self._last, self._stuck, self.aborted = None, 0, None
        found = [item.id for item in truth.objects if item.exists and item.kind.endswith(self._kind)]
        self._goal = max(found) if found else None
        if self._goal is None and self._policy in ("greedy", "away"):
            self.aborted = f"no {self._kind} to go to"

    def act(self, frame: Frames, truth: TruthState, t: int) -> Any:
        """The next step; `frame` is not looked at."""
        if self._keyboard is None:
            raise RuntimeError("a controller is reset before it acts")
        noisy, which = self._rng.random(), int(self._rng.integers(len(_RANDOM)))  # drawn always: steps stay aligned
        if t < self._context - 1 or self._policy == "noop" or self.aborted:
            return self._keyboard({})
        if noisy < self._noise:
            self._last = None
            return self._keyboard(_RANDOM[which])
        return self._keyboard(self._way(truth))

    def _way(self, truth: TruthState) -> Mapping[str, Any]:
        goal = next((item for item in truth.objects if item.id == self._goal and item.exists), None)
        return {} if goal is None else self._steer(pose_of(truth), goal)

    def _steer(self, pose: Pose, goal: ObjectState) -> Mapping[str, Any]:
        """Keys towards the goal or away from it; jumps over what it does not get past, then goes around it."""
        wanted = yaw_to(pose.eye, goal.position) + (180.0 if self._policy == "away" else 0.0)
        turn = wrap(wanted - pose.yaw)
        still = self._last is not None and ground_distance(self._last.eye, pose.eye) < 0.02
        self._stuck = self._stuck + 1 if still else max(self._stuck - 1, 0)
        keys: dict[str, Any] = {"camera": (0.0, float(np.clip(turn, -TURN, TURN)))}
        self._last = pose if abs(turn) <= AHEAD else None
        if abs(turn) <= AHEAD:
            keys["forward"] = 1
            if self._stuck > 0:
                keys["jump"] = 1
            if self._stuck > 4:
                keys["left" if self._stuck % 16 < 8 else "right"] = 1
        return keys
