"""What the clauses about truths share: runs of one environment, and comparisons that say where two runs part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.checks.report import Broken, same
from worldsim.protocols import TruthEnv
from worldsim.starts import action_batch
from worldsim.trees import ArrayTree
from worldsim.truth import TruthState
from worldsim.types import Frames


@dataclass(frozen=True, kw_only=True)
class Step:
    """What came of one step (or of the reset)."""

    frame: Frames
    truth: TruthState
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False


class Scene:
    """A truth under test: one copy that is used again and again, and fresh ones."""

    def __init__(self, make: Callable[[], TruthEnv], steps: int) -> None:
        self.make, self.steps = make, steps
        self._env: TruthEnv | None = None
        self._other: TruthEnv | None = None

    @property
    def env(self) -> TruthEnv:
        """The usual copy."""
        if self._env is None:
            self._env = self.make()
        return self._env

    @property
    def name(self) -> str:
        """The class of the environment, or the factory's name if it made none."""
        made = self._env
        return type(made).__name__ if made is not None else str(getattr(self.make, "__name__", "that cannot be made"))

    def fresh(self) -> TruthEnv:
        """A copy that was never reset; the last fresh one is closed."""
        if self._other is not None:
            self._other.close()
        self._other = self.make()
        return self._other

    def close(self) -> None:
        """Closes the copies."""
        for env in (self._env, self._other):
            if env is not None:
                env.close()

    def actions(self, key: int = 0) -> list[ArrayTree]:
        """`steps` random actions."""
        batch = action_batch(self.env.action_space, key, self.steps)
        return [trees.index(batch, t) for t in range(self.steps)]

    def run(self, seed: int, *, env: TruthEnv | None = None) -> list[Step]:
        """Resets and plays `steps` actions: steps + 1 entries, fewer if the episode ends."""
        env = env or self.env
        frame, _ = env.reset(seed=seed)
        return [Step(frame=frame.copy(), truth=env.truth()), *self.play(env=env)]

    def play(self, *, env: TruthEnv | None = None, key: int = 1, rounds: int = 1) -> list[Step]:
        """Plays `steps` actions from here, `rounds` times over, up to an end."""
        env, out = env or self.env, []
        for action in self.actions(key) * rounds:
            frame, reward, terminated, truncated, _ = env.step(action)
            out.append(
                Step(
                    frame=frame.copy(),
                    truth=env.truth(),
                    reward=float(reward),
                    terminated=bool(terminated),
                    truncated=bool(truncated),
                )
            )
            if terminated or truncated:
                break
        return out


def differ(a: Sequence[Step], b: Sequence[Step], what: str) -> None:
    """Raises Broken with the first step and field in which two runs part."""
    for t, (x, y) in enumerate(zip(a, b, strict=False)):
        if where := first_difference(x, y):
            raise Broken(f"{what}step {t} differs in {where}")
    if len(a) != len(b):
        raise Broken(f"{what}one run ended after {len(a)} steps, the other after {len(b)}")


def first_difference(a: Any, b: Any, *, skip: tuple[str, ...] = (), name: str = "") -> str:
    """The name of the first field in which two values differ, "" if they are equal to the bit."""
    if is_dataclass(a) and type(a) is type(b):
        parts = ((f.name, getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.name not in skip)
    elif isinstance(a, Mapping) and isinstance(b, Mapping) and set(a) == set(b):
        parts = ((str(k), a[k], b[k]) for k in a)
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        parts = ((str(i), x, y) for i, (x, y) in enumerate(zip(a, b, strict=True)))
    elif isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return "" if same(a, b) else name or "the array"
    else:
        return "" if type(a) is type(b) and a == b else name or f"{a!r} against {b!r}"
    for part, x, y in parts:
        if where := first_difference(x, y, skip=skip, name=f"{name}.{part}" if name else part):
            return where
    return ""
