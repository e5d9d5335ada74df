"""The regions of an episode's true frames, computed once for all metrics and sources that ask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import UnsupportedError
from worldsim.metrics.functional import masks
from worldsim.truth import TruthState
from worldsim.types import Episode

REGIONS = ("static", "object", "revealed")
MIN_PIXELS = 24  # fewer say more about single pixels than about a region


class _Identity:
    """A key for the cache: equal only if it holds the same object, kept alive so that its id stays its own."""

    def __init__(self, states: Sequence[TruthState]) -> None:
        self.states = states

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.states is other.states

    def __hash__(self) -> int:
        return id(self.states)


@lru_cache(maxsize=64)  # the grid of one long episode; the anchors of an episode share its states
def _regions(key: _Identity, context: int, frame: int) -> dict[str, NDArray[np.bool_]]:
    return masks.regions(key.states[frame], [key.states[t] for t in range(context)])


@lru_cache(maxsize=64)
def _objects(key: _Identity, frame: int) -> NDArray[np.bool_]:
    return masks.object_mask(key.states[frame])


def region(episode: Episode, name: str, frame: int) -> NDArray[np.bool_]:
    """The pixels (H, W) of one region of one true frame.

    Args:
        episode: With states.
        name: One of `REGIONS`.
        frame: Index of the frame.

    Raises:
        UnsupportedError: Saying what the truth lacks: "no states", "no depth", ...
    """
    if episode.truth.states is None:
        raise UnsupportedError("no states")
    key = _Identity(episode.truth.states)
    return _objects(key, frame) if name == "object" else _regions(key, episode.context_length, frame)[name]
