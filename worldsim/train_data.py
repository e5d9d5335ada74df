"""What `worldsim train` trains on: datasets that are collected as the recipe says, or that are given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldsim import dataset as store
from worldsim.collect import CollectConfig, collect
from worldsim.dataset import DatasetInfo, Recording
from worldsim.errors import ConfigError
from worldsim.types import Frames

if TYPE_CHECKING:
    from worldsim.model.recipe import DataConfig, Recipe
    from worldsim.model.training.data import ClipSource

#: Bytes of frames that the codec's clips may take in memory; beyond it they are read from disk. Part of what decides
#: the order of the clips, so it never depends on the machine.
MAX_MEMORY = 4 << 30


@dataclass(frozen=True, kw_only=True)
class DataSets:
    """The episodes of a training: a training and a validation dataset for each frame size.

    Attributes:
        train: Folders.
        validation: Folders, one for each of `train`.
        shares: How often clips come from each, relative to the others.
    """

    train: tuple[Path, ...]
    validation: tuple[Path, ...]
    shares: tuple[float, ...]

    @property
    def info(self) -> DatasetInfo:
        """Of the first training dataset: environment, actions, fps."""
        return store.read_info(self.train[0])

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all datasets."""
        found = [store.read_info(folder).digest for folder in (*self.train, *self.validation)]
        return hashlib.sha256("".join(found).encode()).hexdigest()


def data_folders(recipe: Recipe, out: Path) -> DataSets:
    """Where the recipe's episodes lie once they are collected."""
    names = [f"{data.size[0]}x{data.size[1]}" for data in recipe.data]
    return DataSets(
        train=tuple(out / "data" / name for name in names),
        validation=tuple(out / "data" / f"{name}-validation" for name in names),
        shares=tuple(data.share for data in recipe.data),
    )


def collect_data(recipe: Recipe, out: Path, *, seed: int, workers: int = 1, quiet: bool = False) -> DataSets:
    """Collects what is missing of the recipe's episodes, into `<out>/data`."""
    sets = data_folders(recipe, out)
    for data, folder, held in zip(recipe.data, sets.train, sets.validation, strict=True):
        play = collect_config(recipe, data, seed)
        collect(play, folder, workers=workers, quiet=quiet)
        other = replace(play, episodes=data.validation, steps=data.validation_steps, split="validation", seed=seed + 7)
        collect(other, held, workers=workers, quiet=quiet)
    return sets


def collect_config(recipe: Recipe, data: DataConfig, seed: int) -> CollectConfig:
    """How a set of training episodes is collected."""
    play = recipe.play
    one = (data.steps + 1) * data.size[0] * data.size[1] * 3
    return CollectConfig(
        env=play.env,
        env_args=play.env_args,
        scenarios=play.scenarios,
        walks=play.walks,
        interact=play.interact,
        controller=play.controller,
        episodes=data.episodes,
        steps=data.steps,
        size=data.size,
        seed=seed,
        shard=max(1, min(32, (1 << 30) // one)),  # a shard lies in memory twice while it is packed
    )


def given_data(recipe: Recipe, folders: Sequence[Path], validation: Sequence[Path] = ()) -> tuple[Recipe, DataSets]:
    """Datasets of the user's, and the recipe with what they say in place of its own data.

    Args:
        recipe: Its shares are kept where it has as many sets; else a set's share is that of its frames.
        folders: Training datasets, one for each frame size.
        validation: One for each; none = `<folder>-validation` beside each.

    Raises:
        ConfigError: If they do not fit together, or a validation dataset is missing.
        StoreError: If a dataset cannot be read.
    """
    held = tuple(validation) or tuple(folder.with_name(folder.name + "-validation") for folder in folders)
    if len(held) != len(folders):
        raise ConfigError(f"expected one validation dataset for each of {len(folders)} datasets, got {len(held)}")
    for folder in held:
        if not (folder / store.INDEX).is_file():
            raise ConfigError(
                f"{folder} is no dataset: training needs held-out episodes beside the data; name them with "
                f"--validation, or make them with `worldsim collect --split validation --out {folder}`"
            )
    infos = [store.read_info(folder) for folder in folders]
    for own, other, theirs in zip(folders, held, map(store.read_info, held), strict=True):
        info = store.read_info(own)
        if theirs.size != info.size or theirs.action_space != info.action_space:
            raise ConfigError(
                f"{other} does not fit {own}: frames of {theirs.size} and {info.size}, and the actions must be of one "
                "space"
            )
        if info.action_space != infos[0].action_space:
            raise ConfigError(
                f"{own} and {folders[0]} have different action spaces: train on one environment at a time"
            )
    ours = tuple(d.share for d in recipe.data)
    shares = ours if len(ours) == len(folders) else tuple(float(info.episodes) for info in infos)
    counts = [d.fresh for d in recipe.data] if len(ours) == len(folders) else [recipe.data[0].fresh] * len(folders)
    sets = tuple(
        replace(
            recipe.data[0],
            size=info.size,
            episodes=info.episodes,
            validation=store.read_info(other).episodes,
            share=share,
            fresh=fresh,
        )
        for info, other, share, fresh in zip(infos, held, shares, counts, strict=True)
    )
    play = replace(recipe.play, env=infos[0].env, env_args=dict(infos[0].env_args))
    return replace(recipe, data=sets, play=play), DataSets(train=tuple(folders), validation=held, shares=shares)


def load(folder: Path, episodes: int | None = None) -> Recording:
    """A dataset in memory, or its first shards that hold so many episodes."""
    parts, count = [], 0
    for part in store.shards(folder):
        parts.append(part)
        count += len(part)
        if episodes is not None and count >= episodes:
            break
    return store.join(parts)


def codec_clips(data: DataSets, *, episodes: int, frames: int, seed: int) -> ClipSource:
    """Clips for the codec from the first dataset: from memory if they fit, else from disk, a few shards at a time."""
    from worldsim.clips_dataset import Clips
    from worldsim.model.training.data import MemoryClips

    info = data.info
    steps = store.read_shard(data.train[0] / info.shards[0][0]).steps
    one = (steps + 1) * info.size[0] * info.size[1] * 3
    if min(episodes, info.episodes) * one <= MAX_MEMORY:
        return MemoryClips(load(data.train[0], episodes), frames=frames, seed=seed)
    shard = max(count for _, count, _ in info.shards) * one
    return Clips(data.train[0], steps=frames - 1, seed=seed, cache_shards=max(2, min(8, MAX_MEMORY // shard)))


def codec_validation(folder: Path) -> Frames:
    """Every third validation episode, every 16th frame: (N, T, H, W, 3) uint8; a shard at a time."""
    found, passed = [], 0
    for shard in store.shards(folder):
        found.append(shard.frames[-passed % 3 :: 3, ::16])
        passed += len(shard)
    return np.ascontiguousarray(np.concatenate(found))
