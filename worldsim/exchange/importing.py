"""Episodes of another format as a dataset of ours: cut, resized if wanted, and written shard by shard."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.arrays import storing
from worldsim.dataset import INDEX, DatasetInfo, file_digest, read_info, write_info, write_shard
from worldsim.errors import ConfigError, StoreError
from worldsim.exchange.episodes import Episode, pack
from worldsim.exchange.exporting import write_json
from worldsim.exchange.sidecar import Sidecar
from worldsim.exchange.vectors import space_dtypes
from worldsim.progress import Progress
from worldsim.trees import ArrayTree
from worldsim.types import Frames

STATE = "import.json"
#: Steps to which longer episodes are cut unless told otherwise: five minutes of video are gigabytes as arrays.
STEPS = 256
#: Bytes of frames in one shard unless told otherwise; a shard lies in memory as a whole, about twice.
SHARD_BYTES = 256 << 20


class Source(ABC):
    """A dataset in a foreign format.

    Attributes:
        format: Its name.
        path: Its folder.
        env: Where the play comes from.
        action_space: As `worldsim.spaces.describe` gives it.
        fps: Frames a second; None = the format does not say.
        size: (H, W).
        lengths: Steps of each episode.
        sidecar: If it was exported from a dataset of ours.
        notes: What cannot be had.
    """

    format: str
    path: Path
    env: str
    action_space: Mapping[str, Any]
    fps: float | None
    size: tuple[int, int]
    lengths: Sequence[int]
    sidecar: Sidecar | None = None
    notes: Sequence[str] = ()

    @abstractmethod
    def name(self, episode: int) -> str:
        """What a message calls an episode: its file."""

    @abstractmethod
    def read(self, episode: int, start: int, steps: int) -> Episode:
        """The steps start..start+steps-1; asked for in order, so that videos are decoded once. Raises StoreError."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when the dataset changes; cheap."""


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """How it is cut.

    Attributes:
        steps: T; longer episodes are cut into pieces that share a frame. None = as exported, else up to `STEPS`.
        size: (H, W) to which frames are scaled; None = as they are.
        shard: Episodes in a file; None = as exported, else as many as `SHARD_BYTES` hold, up to 32.
        fps: Overrides what the format says.
        split: Which split the worlds count as.
        skip_bad: Leave out episodes that cannot be read.
    """

    steps: int | None = None
    size: tuple[int, int] | None = None
    shard: int | None = None
    fps: float | None = None
    split: str = "train"
    skip_bad: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "shard"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.fps is not None and not 0 < self.fps < 10_000:
            raise ConfigError(f"fps must be above 0 and below 10000, got {self.fps}")


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The index of what was written, what was lost, and the episodes that were left out with the reason."""

    info: DatasetInfo
    notes: tuple[str, ...]
    skipped: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Piece:
    episode: int
    start: int
    steps: int


def import_dataset(source: Source, out: Path, config: ImportConfig, *, quiet: bool = False) -> Imported:
    """Writes `out`, or what is missing of it.

    Args:
        source: What is read.
        out: Folder of the dataset.
        config: How it is cut.
        quiet: No progress.

    Raises:
        ConfigError: If settings do not fit, or `out` holds something else.
        StoreError: If an episode cannot be read (unless `config.skip_bad`), or a shard not written.
    """
    steps, pieces, info, counts = _plan(source, config)
    kept, skipped = _resume(out, source, config, info)
    rows: list[tuple[str, int, str]] = []
    bounds = np.cumsum([0, *counts]).tolist()
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
    state = _state(source, config)
    with Progress("import", len(pieces), quiet=quiet, unit="episodes") as progress:
        for k, (low, high) in enumerate(pairwise(bounds)):
            name = f"shard-{k:05d}.npz"
            if name in kept:
                rows.append((name, *kept[name]))
            else:
                episodes = [e for p in pieces[low:high] if (e := _read(source, p, config, skipped)) is not None]
                if episodes:
                    recording = pack(episodes, steps)
                    rows.append((name, len(recording), write_shard(out / name, recording)))
                write_json(out / STATE, {**state, "skipped": skipped})
                write_info(out, replace(info, shards=tuple(rows)))
            progress.advance(high - low)
    if not rows:
        raise StoreError(f"no episode of {source.path} could be read, first {next(iter(skipped.items()), '')}")
    info = _settle(source, info, rows, skipped)
    notes = [*source.notes, *_said(source, info, pieces, steps, config)]
    write_json(out / STATE, {**state, "skipped": skipped, "notes": notes})
    write_info(out, info)
    return Imported(info=info, notes=tuple(notes), skipped=skipped)


# -------------------------------------------------------------------------------------------------------- the plan


def _plan(source: Source, config: ImportConfig) -> tuple[int, list[_Piece], DatasetInfo, list[int]]:
    if not source.lengths:
        raise StoreError(f"{source.path} holds no episode of at least one step")
    kept = source.sidecar
    steps = config.steps or (kept.steps if kept else min(STEPS, max(source.lengths)))
    pieces = [_Piece(episode=i, start=s, steps=min(steps, n - s)) for i, n in enumerate(source.lengths)
              for s in range(0, n, steps)]  # fmt: skip
    size = config.size or source.size
    same = kept is not None and steps == kept.steps and config.shard is None and sum(kept.counts) == len(pieces)
    counts = list(kept.counts) if kept and same else _counts(len(pieces), steps, size, config.shard)
    fps = config.fps or source.fps
    if fps is None:
        raise ConfigError(f"{source.path} does not say how many frames a second it was played at: give --fps")
    if kept and not config.fps:
        fps = kept.info.fps
    if kept and same and config.size is None:
        return steps, pieces, replace(kept.info, fps=fps), counts
    info = DatasetInfo(
        env=kept.info.env if kept else source.env,
        env_args=kept.info.env_args if kept else {},
        action_space=source.action_space,
        fps=fps,
        size=size,
        split=kept.info.split if kept else config.split,
        seed=kept.info.seed if kept else 0,
        recipe={"episodes": len(pieces), "imported": source.format, "source": source.path.name, "steps": steps},
    )
    return steps, pieces, info, counts


def _counts(total: int, steps: int, size: tuple[int, int], shard: int | None) -> list[int]:
    """How many episodes each shard holds."""
    fit = SHARD_BYTES // ((steps + 1) * size[0] * size[1] * 3)
    each = shard or max(1, min(32, fit))
    return [min(each, total - low) for low in range(0, total, each)]


def _state(source: Source, config: ImportConfig) -> dict[str, Any]:
    settings = asdict(config)
    settings["size"] = list(config.size) if config.size else None
    return {
        "format": source.format,
        "source": source.path.name,
        "fingerprint": hashlib.sha256(source.fingerprint().encode()).hexdigest(),
        "settings": settings,
    }


def _resume(
    out: Path, source: Source, config: ImportConfig, info: DatasetInfo
) -> tuple[dict[str, tuple[int, str]], dict[str, str]]:
    """Name -> (episodes, SHA-256) of the whole shards of an earlier call, and what it had to leave out."""
    if not (out / INDEX).exists() and not (out / STATE).exists():
        if out.exists() and any(out.iterdir()):
            raise ConfigError(f"{out} is not empty: choose another --out, or delete it")
        return {}, {}
    try:
        there = json.loads((out / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{out} holds a dataset that was not imported: choose another --out") from error
    ours = _state(source, config)
    if differs := [key for key in ours if there.get(key) != ours[key]]:
        raise ConfigError(
            f"{out} holds an import of something else, or with other settings ({', '.join(differs)} differ): choose "
            "another --out, or delete it"
        )
    if not (out / INDEX).exists():
        return {}, {}
    rows = read_info(out).shards
    whole = {n: (c, sha) for n, c, sha in rows if (out / n).is_file() and file_digest(out / n) == sha}
    return whole, dict(there.get("skipped", {}))


def _settle(
    source: Source, info: DatasetInfo, rows: Sequence[tuple[str, int, str]], skipped: Mapping[str, str]
) -> DatasetInfo:
    """The index once nothing more will come: it wants no more episodes than could be read, and tells other bytes."""
    whole = replace(info, shards=tuple(rows))
    recipe = {**info.recipe, "episodes": whole.episodes} if skipped else info.recipe
    if source.sidecar and whole.digest != source.sidecar.digest:
        recipe = {**recipe, "imported": source.format, "source": source.path.name}
    return replace(whole, recipe=recipe)


def _said(
    source: Source, info: DatasetInfo, pieces: Sequence[_Piece], steps: int, config: ImportConfig
) -> Iterator[str]:
    if cut := sum(1 for n in source.lengths if n > steps):
        total = len(source.lengths)
        yield f"{cut} of {total} episodes are longer than {steps} steps: cut into {len(pieces)} that share a frame"
    if config.size and config.size != source.size:
        yield f"frames scaled from {source.size[0]}x{source.size[1]} to {config.size[0]}x{config.size[1]}"
    if kept := source.sidecar:
        if kept.digest == info.digest:
            yield "the same bytes as the dataset that it was exported from"
        else:
            yield "not the bytes of the dataset that it was exported from: cut or scaled otherwise, or a lossy video"


# ------------------------------------------------------------------------------------------------------ the reading


def _read(source: Source, piece: _Piece, config: ImportConfig, skipped: dict[str, str]) -> Episode | None:
    try:
        episode = source.read(piece.episode, piece.start, piece.steps)
    except StoreError as error:
        if not config.skip_bad:
            raise StoreError(f"{error}; --skip-bad leaves out what cannot be read") from error
        skipped[f"{source.name(piece.episode)} from step {piece.start} on"] = str(error)
        return None
    if piece.start + piece.steps < source.lengths[piece.episode]:
        episode = replace(episode, terminated=False)
    if source.sidecar:
        episode = replace(episode, actions=restored(episode.actions, source.sidecar.dtypes))
    if config.size and config.size != source.size:
        episode = replace(episode, frames=_scaled(episode.frames, config.size))
    return episode


def restored(actions: ArrayTree, dtypes: Mapping[str, str]) -> ArrayTree:
    """Actions with the dtypes and in the order in which they were recorded."""
    if space_dtypes(actions) == dtypes and list(space_dtypes(actions)) == list(dtypes):
        return actions
    flat = trees.flatten(actions)
    if set(flat) != set(dtypes):
        raise StoreError(f"actions: expected the leaves {sorted(dtypes)}, got {sorted(flat)}; export the dataset again")
    return trees.unflatten({path: flat[path].astype(dtype) for path, dtype in dtypes.items()})


def _scaled(frames: Frames, size: tuple[int, int]) -> Frames:
    import cv2

    return np.stack([cv2.resize(f, (size[1], size[0]), interpolation=cv2.INTER_AREA) for f in frames])


def files_fingerprint(paths: Sequence[Path], root: Path) -> str:
    """Names, sizes and times of change of files: says whether a large dataset is still the same without reading it."""
    return "\n".join(f"{p.relative_to(root)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in sorted(paths))
