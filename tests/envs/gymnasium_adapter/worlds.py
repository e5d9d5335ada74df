"""Small environments without a game, each with one habit that an adapter must notice."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np


class Dot(gym.Env[Any, Any]):
    """A white square on a line; it goes left, stays, or goes right. `habit` begins at step `at`.

    With `odd` only the worlds of odd seeds have the habit.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        *,
        habit: str = "",
        at: int = 20,
        end: int = 0,
        odd: bool = False,
        picture: bool = True,
        render_mode: str | None = None,
    ) -> None:
        self.habit, self.at, self.end, self.render_mode = habit, at, end, render_mode
        self.given, self.odd = habit, odd
        space = gym.spaces.Box(0, 255, (40, 48, 3), np.uint8) if picture else gym.spaces.Box(-1.0, 1.0, (2,))
        self.observation_space: gym.Space[Any] = space
        self.action_space: gym.Space[Any] = gym.spaces.Discrete(3)
        self.picture, self.t, self.x, self.lock = picture, 0, 0, None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.habit = self.given if not self.odd or (seed or 0) % 2 else ""
        self.t, self.x = 0, 20 if self.habit == "same start" else int(self.np_random.integers(40))
        if self.habit == "global start":
            self.x = int(np.random.randint(40))  # noqa: NPY002
        if self.habit == "no copy":
            self.lock = (i for i in range(3))  # generators cannot be copied
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert type(action) is int, "a Discrete action arrives as Python's int"
        self.t += 1
        self.x = (self.x + action - 1) % 40
        if self.habit == "global" and self.t >= self.at:
            self.x = int(np.random.randint(40))  # noqa: NPY002
        if self.habit == "raises" and self.t >= self.at:
            raise RuntimeError("the engine fell over")
        reward = float(self.t) if self.habit == "copy forgets" else float(self.x == 0)
        return self._see(), reward, bool(self.end and self.t >= self.end), False, {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self.habit == "copy is itself":
            return self
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        if self.habit == "copy lies" and self.t >= self.at:
            twin.x = (self.x + 5) % 40
        if self.habit == "copy forgets":
            twin.t = 0
        return twin

    def render(self) -> Any:
        return self._draw()

    def _see(self) -> Any:
        return self._draw() if self.picture else np.zeros(2, np.float32)

    def _draw(self) -> Any:
        frame = np.full((40, 48, 3), 30, np.uint8)
        frame[16:24, self.x : self.x + 8] = 255
        if self.t >= self.at:
            if self.habit == "shape":
                return frame[:30]
            if self.habit == "float":
                return frame / 255.0
        return frame


class Blind(Dot):
    """Has no pixels: numbers to see, and nothing to draw."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(picture=False, render_mode=None)


class Steered(Dot):
    """Takes a vector without bounds, or a tuple."""

    def __init__(self, *, form: str = "box", render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self.got: list[Any] = []
        self.action_space = {
            "box": lambda: gym.spaces.Box(-np.inf, np.inf, (2,), np.float32),
            "tuple": lambda: gym.spaces.Tuple((gym.spaces.Discrete(2), gym.spaces.Box(-1, 1, (1,), np.float32))),
            "text": lambda: gym.spaces.Text(5),
        }[form]()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.got.append(action)
        return super().step(1)


for _name, _class in (("Dot-v0", Dot), ("Blind-v0", Blind), ("Steered-v0", Steered)):
    if f"worldsim_tests/{_name}" not in gym.registry:
        gym.register(f"worldsim_tests/{_name}", entry_point=_class)
