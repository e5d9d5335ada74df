"""Recorded play to train on, as shards of episodes in a folder.

    dataset.json             schema, env, action space, fps, size, split, how many episodes, SHA-256 of each shard
    shard-00000.npz ...      frames (E, T+1, H, W, 3) uint8, actions/<leaf> (E, T, ...), rewards (E, T) float32,
                             terminated (E, T) bool, lengths (E,) int32: valid steps, world_seeds (E,) int64,
                             caption_table@json: list of texts, captions (E, T+1) int32: index into the table

`numpy.load(path, allow_pickle=False)` reads a shard without worldsim. `frames[e, 0]` is what was seen before
`actions[e, 0]`, as in a `Trajectory`. Equal content gives equal bytes: no times are stored.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.arrays import part, storing
from worldsim.errors import ConfigError, ShapeError, StoreError
from worldsim.recording import Recording, join
from worldsim.seeding import Split, split_of

SCHEMA = 1
INDEX = "dataset.json"
#: What a user does after an error of the disk, and after damage.
_AGAIN = "run the same command again: only what is missing is made"
_DTYPES = {"rewards": "float32", "terminated": "bool", "lengths": "int32", "world_seeds": "int64", "captions": "int32"}


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What `dataset.json` says.

    Attributes:
        env: Registered name of the truth, or where the play comes from.
        env_args: Its arguments.
        action_space: `worldsim.spaces.describe` of the action space.
        fps: Frames per second of simulated time.
        size: (H, W).
        split: "train", "validation" or "test".
        seed: From which all seeds were drawn.
        recipe: How it was collected, as plain values; `episodes` among them says how many are wanted.
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


# ----------------------------------------------------------------------------------------------------------- writing


def write_shard(path: Path, recording: Recording) -> str:
    """Writes one shard, whole or not at all; returns its SHA-256."""
    return write_packed(path, pack(recording))


def pack(recording: Recording) -> bytes:
    """The bytes of a shard; equal recordings give equal bytes."""
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
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")  # its default time is 1980: equal content, equal bytes
            info.compress_type = zipfile.ZIP_DEFLATED
            with file.open(info, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return packed.getvalue()


def write_packed(path: Path, packed: bytes) -> str:
    """Writes what `pack` gave, whole or not at all; returns its SHA-256."""
    _replace(path, packed)
    return hashlib.sha256(packed).hexdigest()


def write_info(folder: Path, info: DatasetInfo) -> None:
    """Writes `dataset.json`."""
    plain = {
        "schema": SCHEMA,
        **plain_settings(info),
        "episodes": info.episodes,
        "digest": info.digest,
        "shards": [{"file": name, "episodes": count, "sha256": sha} for name, count, sha in info.shards],
    }
    _replace(folder / INDEX, (json.dumps(plain, indent=1) + "\n").encode())


def plain_settings(info: DatasetInfo) -> dict[str, Any]:
    """How a dataset was made, without its shards, as values for JSON."""
    return {
        "env": info.env,
        "env_args": dict(info.env_args),
        "action_space": dict(info.action_space),
        "fps": info.fps,
        "size": list(info.size),
        "split": info.split,
        "seed": info.seed,
        "recipe": dict(info.recipe),
    }


def from_plain_settings(plain: Mapping[str, Any]) -> DatasetInfo:
    """Inverse of `plain_settings`; a missing or wrong field raises KeyError, IndexError, TypeError or ValueError."""
    return DatasetInfo(
        env=plain["env"],
        env_args=plain["env_args"],
        action_space=plain["action_space"],
        fps=float(plain["fps"]),
        size=(int(plain["size"][0]), int(plain["size"][1])),
        split=plain["split"],
        seed=int(plain["seed"]),
        recipe=plain["recipe"],
    )


def _replace(path: Path, data: bytes) -> None:
    """Puts a complete file in place, on the disk when it returns; a failure leaves no part of it."""
    try:
        with storing(path, again=_AGAIN):
            with part(path).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part(path).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part(path).unlink(missing_ok=True)
        raise


# ----------------------------------------------------------------------------------------------------------- reading


def read_shard(path: Path) -> Recording:
    """Reads one shard. Raises StoreError naming the file and what is wrong in it."""
    with _reading(path):
        with np.load(path, allow_pickle=False) as file:
            flat = {name: file[name] for name in file.files}
        prefix = "actions/"
        return Recording(
            frames=flat["frames"],
            actions=trees.unflatten({k.removeprefix(prefix): v for k, v in flat.items() if k.startswith(prefix)}),
            rewards=flat["rewards"],
            terminated=flat["terminated"],
            lengths=flat["lengths"],
            world_seeds=flat["world_seeds"],
            captions=flat["captions"],
            caption_table=tuple(json.loads(flat["caption_table@json"].tobytes().decode())),
        )


def read_lengths(path: Path) -> NDArray[np.int32]:
    """The valid steps of each episode of a shard, (E,) int32; reads nothing else of it."""
    with _reading(path), np.load(path, allow_pickle=False) as file:
        lengths: NDArray[np.int32] = file["lengths"]
    return lengths


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """A missing, cut or foreign file is a StoreError."""
    try:
        yield
    except Exception as error:  # a broken file makes zipfile, zlib, numpy and json raise nearly anything
        what = str(error) if isinstance(error, ShapeError) else f"{type(error).__name__}: {error}"
        raise StoreError(
            f"{path} is not a shard of a dataset: {what}. If `worldsim collect` made it, {_AGAIN}"
        ) from error


def read_info(folder: str | Path) -> DatasetInfo:
    """Reads `dataset.json`. Raises StoreError if there is none, or one of another schema."""
    path = Path(folder) / INDEX
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{folder} is not a dataset: {path} cannot be read ({error}); `worldsim collect --out {folder}` makes one"
        ) from error
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        found = plain.get("schema") if isinstance(plain, dict) else None
        raise StoreError(f"{path} has schema {found!r}, this version reads {SCHEMA}")
    try:
        shards = tuple((_plain_name(s["file"]), int(s["episodes"]), s["sha256"]) for s in plain["shards"])
        return dataclasses.replace(from_plain_settings(plain), shards=shards)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: a field is missing or of the wrong kind ({error!r}); see docs/data.md") from error


def _plain_name(name: str) -> str:
    """A dataset is one folder: what its index names lies in it."""
    if Path(name).name != name:
        raise ValueError(f"a shard must be a file name, got {name!r}")
    return name


def shards(folder: str | Path) -> Iterator[Recording]:
    """The shards of a dataset in order, one in memory at a time."""
    info = read_info(folder)
    for name, _, _ in info.shards:
        yield read_shard(Path(folder) / name)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---------------------------------------------------------------------------------------------------------- checking


def validate(folder: str | Path, *, advance: Callable[[int], None] = lambda shards: None) -> list[str]:
    """Reads a whole dataset, one shard in memory at a time.

    Args:
        folder: The dataset.
        advance: Told each time how many shards are done.

    Returns:
        A sentence for each thing that is wrong, `<file>: <field>: ...`; none if the dataset is whole.

    Raises:
        StoreError: If there is no readable `dataset.json`.
    """
    info = read_info(folder)
    found = [f"{INDEX}: {sentence}" for sentence in _misfits_of_index(info)]
    steps: int | None = None
    for name, count, sha in info.shards:
        path = Path(folder) / name
        if not path.is_file():
            found.append(f"{name}: is missing. If `worldsim collect` made it, {_AGAIN}")
        elif file_digest(path) != sha:
            found.append(f"{name}: is not what was written (its SHA-256 differs)")
        else:
            try:
                recording = read_shard(path)
            except StoreError as error:
                found.append(str(error).replace(str(path), f"{name}:", 1))
            else:
                steps = recording.steps if steps is None else steps
                found += [f"{name}: {sentence}" for sentence in _misfits(recording, info, count, steps)]
        advance(1)
    return found


def _misfits_of_index(info: DatasetInfo) -> Iterator[str]:
    from worldsim.spaces import build  # not above: it needs Gymnasium, reading does not

    if not info.shards:
        yield "shards: there are none"
    if len({name for name, _, _ in info.shards}) < len(info.shards):
        yield "shards: a file comes twice"
    wanted = info.recipe.get("episodes", info.episodes)
    if wanted != info.episodes:
        yield f"episodes: {info.episodes} of {wanted} are there; {_AGAIN}"
    if info.split not in get_args(Split):
        yield f"split: must be one of {', '.join(get_args(Split))}, got {info.split!r}"
    if not info.fps > 0:
        yield f"fps: must be positive, got {info.fps}"
    try:
        build(info.action_space)
    except ConfigError as error:
        yield f"action_space: {error}"


def _misfits(r: Recording, info: DatasetInfo, count: int, steps: int) -> Iterator[str]:
    """What a shard says that contradicts the index, its neighbours, or itself."""
    from worldsim.spaces import misfits

    if len(r) != count:
        yield f"frames: {INDEX} says {count} episodes, got {len(r)}"
    if r.steps != steps:
        yield f"frames: expected T = {steps} steps as in the first shard, got {r.steps}"
    if r.frames.shape[2:4] != info.size:
        yield f"frames: {INDEX} says size {info.size}, got {r.frames.shape[2:4]}"
    for name, dtype in _DTYPES.items():
        if (got := getattr(r, name).dtype.name) != dtype:
            yield f"{name}: must be {dtype}, got {got}"
    if r.steps and len(r) and r.lengths.min() < 1:
        yield f"lengths: must be in 1..{r.steps}, got {r.lengths.min()} in episode {int(r.lengths.argmin())}"
    early = r.terminated & (np.arange(r.steps) != r.lengths[:, None] - 1)
    if early.any():
        episode, step = (int(i) for i in np.argwhere(early)[0])
        yield f"terminated: step {step} of episode {episode} is not its last one ({r.lengths[episode]} are valid)"
    if not np.isfinite(r.rewards).all():
        yield "rewards: must be finite"
    if not all(isinstance(text, str) for text in r.caption_table) or len(set(r.caption_table)) < len(r.caption_table):
        yield "caption_table@json: must be a list of different texts"
    try:
        yield from misfits(info.action_space, r.actions)
    except (KeyError, TypeError, ValueError):
        yield f"actions: cannot be compared with the action space of {INDEX}, which is broken"
    for seed in r.world_seeds.tolist():
        if seed >= 0 and split_of(seed) != info.split:
            yield f"world_seeds: {seed} is a {split_of(seed)} world in a {info.split} set; -1 = of no known world"
            break


__all__ = [
    "INDEX",
    "SCHEMA",
    "DatasetInfo",
    "Recording",
    "file_digest",
    "join",
    "pack",
    "read_info",
    "read_lengths",
    "read_shard",
    "shards",
    "validate",
    "write_info",
    "write_packed",
    "write_shard",
]
