"""A random walk that revisits: wanders, looks around, and now and then goes back to where it was before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldsim import seeding
from worldsim.envs.controllers.keyboard import Keyboard
from worldsim.envs.controllers.pose import Pose, ground_distance, pose_of, wrap, yaw_to
from worldsim.truth import TruthState
from worldsim.types import Frames, Mark

TURNS = (-15.0, -10.0, -5.0, 5.0, 10.0, 15.0)  # degrees a step


class Explore:
    """A seeded walk in short stretches: forward, turn, strafe, rest, or back to an earlier pose.

    Revisits give long-range coherence something to score. A stretch against a wall ends with a turn. The walk
    looks at the true pose only.
    """

    aborted: str | None = None

    def __init__(self, *, revisit: float = 0.25, interact: float = 0.0, pitch: float = 15.0, every: int = 20) -> None:
        """Sets the habits.

        Args:
            revisit: Probability that the next stretch goes back to an earlier pose.
            interact: Probability that the next stretch is one attack or use.
            pitch: Degrees up and down within which it looks.
            every: Steps between the poses it may come back to.
        """
        self._revisit, self._interact, self._pitch, self._every = revisit, interact, pitch, every
        self._keyboard: Keyboard | None = None
        self._rng = seeding.generator("explore", 0)
        self._marks: list[Mark] = []
        self._places: list[Pose] = []
        self._goal: Pose | None = None
        self._stretch: Mapping[str, Any] = {}
        self._left = 0
        self._last: Pose | None = None
        self._stuck = 0
        self._walking = False

    def reset(self, *, seed: int, action_space: Any, truth: TruthState, sham: bool = False) -> None:
        """Starts a new episode."""
        self._keyboard = Keyboard(action_space)
        self._rng = seeding.generator("explore", seed)
        self._marks, self._places, self._goal = [], [], None
        self._stretch, self._left, self._last = {}, 0, None
        self._stuck, self._walking = 0, False

    def act(self, frame: Frames, truth: TruthState, t: int) -> Any:
        """The next step of the walk; `frame` is not looked at."""
        if self._keyboard is None:
            raise RuntimeError("a controller is reset before it acts")
        pose = pose_of(truth)
        self._notice(pose, t)
        keys = self._towards(self._goal, pose, t) if self._goal is not None else None
        if keys is None:
            if self._left <= 0:
                self._choose()
            self._left -= 1
            keys = dict(self._stretch)
            if "camera" not in keys and abs(pose.pitch) > self._pitch:
                keys["camera"] = (-float(np.clip(pose.pitch, -5, 5)), 0.0)
        self._walking = any(key in keys for key in ("forward", "back", "left", "right"))
        return self._keyboard(keys)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """One named "revisit_<n>" at each return to an earlier pose."""
        return tuple(self._marks)

    @property
    def focus(self) -> Mapping[str, Any]:
        """Nothing in particular."""
        return {}

    def _notice(self, pose: Pose, t: int) -> None:
        moved = self._last is None or ground_distance(self._last.eye, pose.eye) > 0.01
        self._stuck = 0 if moved or not self._walking else self._stuck + 1
        self._last = pose
        if self._stuck >= 3:  # against a wall: turn away from it
            self._goal, self._stuck = None, 0
            way = 15.0 if self._rng.random() < 0.5 else -15.0
            self._stretch, self._left = {"camera": (0.0, way)}, int(self._rng.integers(4, 11))
        if t % self._every == 0:
            self._places.append(pose)

    def _choose(self) -> None:
        rng, draw = self._rng, self._rng.random()
        if draw < self._interact:
            self._stretch, self._left = ({"attack": 1}, {"use": 1})[int(rng.integers(2))], 1
        elif draw < self._interact + self._revisit and len(self._places) > 1:
            self._goal = self._places[int(rng.integers(len(self._places) - 1))]
            self._stretch, self._left = {}, 1
        else:
            kind = rng.random()
            if kind < 0.45:
                self._stretch, self._left = {"forward": 1}, int(rng.integers(5, 25))
                if rng.random() < 0.3:
                    self._stretch = {"forward": 1, "camera": (0.0, float(rng.choice(TURNS)) / 3)}
                if rng.random() < 0.15:
                    self._stretch = {**self._stretch, "jump": 1}
            elif kind < 0.8:
                tilt = float(rng.choice((0.0, 0.0, 0.0, 2.0, -2.0)))
                self._stretch, self._left = {"camera": (tilt, float(rng.choice(TURNS)))}, int(rng.integers(2, 9))
            elif kind < 0.95:
                self._stretch = {("left", "right", "back")[int(rng.integers(3))]: 1}
                self._left = int(rng.integers(3, 10))
            else:
                self._stretch, self._left = {}, int(rng.integers(1, 4))

    def _towards(self, goal: Pose, pose: Pose, t: int) -> dict[str, Any] | None:
        """Keys that lead to the goal: to 0.3 m, then to its direction; None when it is reached."""
        if ground_distance(pose.eye, goal.eye) > 0.3:
            turn = wrap(yaw_to(pose.eye, goal.eye) - pose.yaw)
            camera = (float(np.clip(-pose.pitch, -15, 15)), float(np.clip(turn, -15, 15)))
            return {"camera": camera} if abs(turn) > 20 else {"camera": camera, "forward": 1}
        turn, tilt = wrap(goal.yaw - pose.yaw), goal.pitch - pose.pitch
        if abs(turn) < 0.01 and abs(tilt) < 0.01:
            self._goal = None
            self._marks.append(Mark(name=f"revisit_{len(self._marks) + 1}", frame=t))
            return None
        return {"camera": (float(np.clip(tilt, -15, 15)), float(np.clip(turn, -15, 15)))}
