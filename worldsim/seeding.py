"""Seeds without order: every seed is a hash of what it is for, so batch size, order, resume and shards do not matter.

World seeds are split by hash into train, validation and test (80 / 10 / 10 %), once and for all environments, so that a
model never meets at evaluation a world that any training run of worldsim could have drawn.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

Split: TypeAlias = Literal["train", "validation", "test"]

_SPLIT_SALT = "worldsim/split/1"  # changing it would move worlds between splits: never change it


def hash_seed(*parts: str | int) -> int:
    """A seed in 0..2**31-1 from the parts: SHA-256 over their text, joined unambiguously."""
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def generator(*parts: str | int) -> np.random.Generator:
    """A fresh generator for the parts."""
    return np.random.default_rng(hash_seed(*parts))


def split_of(world_seed: int) -> Split:
    """Which split a world seed belongs to."""
    bucket = hash_seed(_SPLIT_SALT, int(world_seed)) % 10
    return "test" if bucket == 0 else "validation" if bucket == 1 else "train"


def world_seed(run_seed: int, env: str, scenario: str, index: int, split: Split = "test") -> int:
    """The `index`-th world of a scenario in one split: the first hash in the sequence that falls into it."""
    for attempt in range(10_000):
        seed = hash_seed("world", run_seed, env, scenario, index, attempt)
        if split_of(seed) == split:
            return seed
    raise RuntimeError("no seed of the split in 10,000 hashes: the hash is broken")


@dataclass(frozen=True, kw_only=True)
class EpisodeSeeds:
    """The independent seeds of one episode. `model` is a base: sample k uses `hash_seed("sample", model, k)`."""

    world: int
    dynamics: int
    controller: int
    model: int


def episode_seeds(run_seed: int, env: str, scenario: str, index: int, split: Split = "test") -> EpisodeSeeds:
    """Seeds of episode `index`; the model's seed does not depend on the world's."""
    return EpisodeSeeds(
        world=world_seed(run_seed, env, scenario, index, split),
        dynamics=hash_seed("dynamics", run_seed, env, scenario, index),
        controller=hash_seed("controller", run_seed, env, scenario, index),
        model=hash_seed("model", run_seed, scenario, index),
    )
