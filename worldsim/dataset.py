"""Recorded play to train on: shards of episodes, and clips cut from them.

A dataset is a folder:

    dataset.json             schema, env, action space, fps, size, split, how many episodes and steps, SHA-256 of each shard
    shard-00000.npz ...      frames (E, T+1, H, W, 3) uint8, actions/<leaf> (E, T, ...), rewards (E, T) float32,
                             terminated (E, T) bool, lengths (E,) int32: valid steps, world_seeds (E,) int64,
                             caption_table@json: list of texts, captions (E, T+1) int32: index into the table

`numpy.load(path, allow_pickle=False)` reads a shard without worldsim. `frames[e, 0]` is what was seen before
`actions[e, 0]`, as in a `Trajectory`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.arrays import storing
from worldsim.errors import ShapeError, StoreError
from worldsim.trees import ArrayTree
from worldsim.types import Frames

SCHEMA = 1
INDEX = "dataset.json"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Episodes of one length, ready to train on.

    Attributes:
        frames: (E, T+1, H, W, 3) uint8.
        actions: Tree with leaves (E, T, ...).
        rewards: (E, T) float32.
        terminated: (E, T) bool: the step ended the episode.
        lengths: (E,) int32, valid steps; what follows is padding.
        world_seeds: (E,) int64.
        captions: (E, T+1) int32 into `caption_table`: what is true at each frame.
        caption_table: The texts; entry 0 is "".
    """

    frames: Frames
    actions: ArrayTree
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    lengths: NDArray[np.int32]
    world_seeds: NDArray[np.int64]
    captions: NDArray[np.int32]
    caption_table: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        if self.frames.dtype != np.uint8 or self.frames.ndim != 5 or self.frames.shape[-1] != 3:
            raise ShapeError(
                f"Recording.frames must be (E, T+1, H, W, 3) uint8, got {self.frames.shape} {self.frames.dtype.name}"
            )
        e, t = self.frames.shape[0], self.frames.shape[1] - 1
        for name, array in (
            *(("actions", leaf) for leaf in trees.leaves(self.actions)),
            ("rewards", self.rewards),
            ("terminated", self.terminated),
        ):
            if np.shape(array)[:2] != (e, t):
                raise ShapeError(f"Recording.{name} must start with (E, T) = {(e, t)}, got {np.shape(array)}")
        if self.captions.shape != (e, t + 1):
            raise ShapeError(f"Recording.captions must be (E, T+1) = {(e, t + 1)}, got {self.captions.shape}")

    def __len__(self) -> int:
        """E, the number of episodes."""
        return int(self.frames.shape[0])

    @property
    def steps(self) -> int:
        """T, steps of each episode, padding included."""
        return int(self.frames.shape[1]) - 1


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What `dataset.json` says.

    Attributes:
        env: Registered name of the truth.
        env_args: Its arguments.
        action_space: `worldsim.spaces.describe` of the action space.
        fps: Frames per second of simulated time.
        size: (H, W).
        split: "train", "validation" or "test".
        seed: From which all seeds were drawn.
        recipe: How it was collected, as plain values.
        shards: (file name, episodes, SHA-256) of each shard, in order.
    """

    env: str
    env_args: Mapping[str, Any]
    action_space: Mapping[str, Any]
    fps: float
    size: tuple[int, int]
    split: str
    seed: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    shards: tuple[tuple[str, int, str], ...] = ()

    @property
    def episodes(self) -> int:
        """How many episodes all shards hold."""
        return sum(count for _, count, _ in self.shards)

    @property
    def digest(self) -> str:
        """SHA-256 over the shards' hashes: the data, whatever the folder is called."""
        return hashlib.sha256("".join(sha for _, _, sha in self.shards).encode()).hexdigest()


def write_shard(path: Path, recording: Recording) -> str:
    """Writes one shard, whole or not at all; returns its SHA-256."""
    arrays = {
        "frames": recording.frames,
        **{f"actions/{key}": leaf for key, leaf in trees.flatten(recording.actions).items()},
        "rewards": recording.rewards,
        "terminated": recording.terminated,
        "lengths": recording.lengths,
        "world_seeds": recording.world_seeds,
        "captions": recording.captions,
        "caption_table@json": np.frombuffer(json.dumps(recording.caption_table).encode(), np.uint8),
    }
    part = path.with_name(path.name + ".part")
    with storing(path):
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)
        digest = file_digest(part)
        part.replace(path)
    return digest


def read_shard(path: Path) -> Recording:
    """Reads one shard. Raises StoreError naming the file if it is not one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            flat = {name: file[name] for name in file.files}
        table = tuple(json.loads(flat["caption_table@json"].tobytes().decode()))
        prefix = "actions/"
        actions = trees.unflatten({k.removeprefix(prefix): v for k, v in flat.items() if k.startswith(prefix)})
        return Recording(
            frames=flat["frames"],
            actions=actions,
            rewards=flat["rewards"],
            terminated=flat["terminated"],
            lengths=flat["lengths"],
            world_seeds=flat["world_seeds"],
            captions=flat["captions"],
            caption_table=table,
        )
    except (OSError, KeyError, ValueError, EOFError) as error:  # zipfile's errors are ValueErrors or OSErrors mostly
        raise StoreError(
            f"{path} is not a readable shard of a dataset ({type(error).__name__}: {error}); "
            "delete it and run `worldsim collect` with the same --out again: only what is missing is made"
        ) from error


def write_info(folder: Path, info: DatasetInfo) -> None:
    """Writes `dataset.json`."""
    plain = {
        "schema": SCHEMA,
        "env": info.env,
        "env_args": dict(info.env_args),
        "action_space": dict(info.action_space),
        "fps": info.fps,
        "size": list(info.size),
        "split": info.split,
        "seed": info.seed,
        "recipe": dict(info.recipe),
        "episodes": info.episodes,
        "digest": info.digest,
        "shards": [{"file": name, "episodes": count, "sha256": sha} for name, count, sha in info.shards],
    }
    path = folder / INDEX
    part = path.with_name(path.name + ".part")
    with storing(path):
        part.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def read_info(folder: str | Path) -> DatasetInfo:
    """Reads `dataset.json`. Raises StoreError if there is none, or one of another schema."""
    path = Path(folder) / INDEX
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{folder} is not a dataset: {path} cannot be read ({error}); `worldsim collect --out {folder}` makes one"
        ) from error
    if plain.get("schema") != SCHEMA:
        raise StoreError(f"{path} has schema {plain.get('schema')!r}, this version reads {SCHEMA}")
    return DatasetInfo(
        env=plain["env"],
        env_args=plain["env_args"],
        action_space=plain["action_space"],
        fps=float(plain["fps"]),
        size=(int(plain["size"][0]), int(plain["size"][1])),
        split=plain["split"],
        seed=int(plain["seed"]),
        recipe=plain["recipe"],
        shards=tuple((s["file"], int(s["episodes"]), s["sha256"]) for s in plain["shards"]),
    )


def shards(folder: str | Path) -> Iterator[Recording]:
    """The shards of a dataset in order, one in memory at a time."""
    info = read_info(folder)
    for name, _, _ in info.shards:
        yield read_shard(Path(folder) / name)


def join(recordings: Sequence[Recording]) -> Recording:
    """Several recordings of one length as one; caption tables are merged."""
    table: dict[str, int] = {"": 0}
    captions = []
    for r in recordings:
        index = np.array([table.setdefault(text, len(table)) for text in r.caption_table], np.int32)
        captions.append(index[r.captions])
    return Recording(
        frames=np.concatenate([r.frames for r in recordings]),
        actions=trees.concatenate([r.actions for r in recordings]),
        rewards=np.concatenate([r.rewards for r in recordings]),
        terminated=np.concatenate([r.terminated for r in recordings]),
        lengths=np.concatenate([r.lengths for r in recordings]),
        world_seeds=np.concatenate([r.world_seeds for r in recordings]),
        captions=np.concatenate(captions),
        caption_table=tuple(table),
    )


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
