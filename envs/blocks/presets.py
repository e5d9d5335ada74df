"""The worlds of Blocks by name; each is a pure function of its seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from worldsim.envs.blocks.arena import arena
from worldsim.envs.blocks.layout import Layout, ObjectSpec, layout_hash
from worldsim.envs.blocks.open import open_land
from worldsim.envs.blocks.village import village
from worldsim.errors import UnknownNameError, nearest
from worldsim.seeding import generator

__all__ = ["PRESETS", "Layout", "ObjectSpec", "generate", "layout_hash"]

#: Name -> (seed, generator) -> layout.
PRESETS: Mapping[str, Callable[[int, np.random.Generator], Layout]] = {
    "arena": arena,
    "village": village,
    "open": open_land,
}


def generate(preset: str, seed: int) -> Layout:
    """The world of a preset and seed: the same on every call, in every process.

    Raises:
        UnknownNameError: If there is no such preset.
    """
    if preset not in PRESETS:
        raise UnknownNameError(
            f"Blocks has no preset {preset!r}.{nearest(preset, PRESETS)} Known: {', '.join(PRESETS)}."
        )
    return PRESETS[preset](int(seed), generator("blocks/world", preset, int(seed)))
