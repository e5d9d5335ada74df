"""Atari games of the Arcade Learning Environment: the whole console is a value that can be cloned."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from worldsim.envs.gymnasium_adapter.backend import Backend
from worldsim.truth import State


class AleBackend(Backend):
    """`cloneState(include_rng=True)` as bytes. Worlds differ by their number of no-ops at the start.

    A game begins in the same way whatever its seed, so up to 30 no-ops are played at a reset (Mnih et al. 2015, table
    of hyperparameters, "no-op max").
    """

    family: ClassVar[str] = "ale"
    way: ClassVar[str | None] = "clone state"
    starts: ClassVar[int] = 30
    alone: ClassVar[bool] = False  # a console knows nothing of others, and has its picture without pygame

    @property
    def action_names(self) -> tuple[str, ...]:
        """NOOP, FIRE, UP, ...; none where the game is played with continuous actions."""
        return () if self.core.continuous else tuple(map(str, self.core.get_action_meanings()))

    @property
    def fps(self) -> float:
        """60 a second by the console, divided by the frames that one action lasts."""
        skip = self.core._frameskip
        return 60.0 / (float(skip) if isinstance(skip, int) else float(np.mean(skip)))

    def start_action(self, rng: np.random.Generator) -> Any:
        """Nothing."""
        return super().start_action(rng) if self.core.continuous else 0

    def save(self) -> State:
        """{"console": bytes as (n,) uint8}; about 14 kB."""
        state = self.core.ale.cloneState(include_rng=True)
        return {"console": np.frombuffer(state.__getstate__(), np.uint8).copy()}

    def load(self, state: State) -> Any:
        """Sets the console back. Its screen is drawn at the next step only: the picture comes from the snapshot."""
        from ale_py import ALEState

        console: Any = ALEState.__new__(ALEState)
        console.__setstate__(np.asarray(state["console"], np.uint8).tobytes())  # ALE's own format, no pickle
        self.core.ale.restoreState(console)
        return None
