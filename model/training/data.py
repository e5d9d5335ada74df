"""Where clips come from: anything that gives the batch of a step."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from worldsim import seeding
from worldsim.dataset import Recording
from worldsim.errors import ConfigError


class ClipSource(Protocol):
    """Clips of a fixed number of steps; the same arguments give the same clips."""

    def batch(self, step: int, size: int, rank: int, world: int) -> Recording:
        """`size` clips for one of `world` processes."""
        ...


class MemoryClips:
    """Clips from a recording that lies in memory."""

    def __init__(self, recording: Recording, *, frames: int, seed: int, tag: str = "clips") -> None:
        """Prepares clips of `frames` frames, that is `frames - 1` steps.

        Raises:
            ConfigError: If no episode is long enough.
        """
        self._recording, self._frames, self._seed, self._tag = recording, frames, seed, tag
        self._long = np.flatnonzero(recording.lengths + 1 >= frames)
        if not len(self._long):
            raise ConfigError(
                f"no episode has {frames} frames: the longest has {int(recording.lengths.max()) + 1}; collect longer "
                "ones (--steps), or lower `frames` in the recipe"
            )

    def batch(self, step: int, size: int, rank: int, world: int) -> Recording:
        """Clips drawn evenly over the episodes, from anywhere in each."""
        rng = seeding.generator(self._tag, self._seed, step, rank)
        episodes = self._long[rng.integers(len(self._long), size=size)]
        starts = rng.integers(self._recording.lengths[episodes] + 2 - self._frames)
        return self._recording.clip(episodes, starts, self._frames - 1)
