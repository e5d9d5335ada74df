"""Latents on disk: a dataset is encoded once for a codec, shard by shard, and read through the page cache ever after.

    <name>-<key>/latents.json     done; texts, size
    <name>-<key>/journal.json     not done yet: how many episodes are
    <name>-<key>/*.npy            the arrays of `LatentRecording`; tokens in float16

The key is a hash of the codec's weights, the data and the patch: another codec gives another folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from worldsim.arrays import part, storing
from worldsim.dataset import read_info, read_shard
from worldsim.errors import StoreError
from worldsim.model.codec.network import VideoCodec
from worldsim.model.training.latents import LatentRecording, encode
from worldsim.model.training.stop import Stop

SCHEMA = 1
_DONE, _JOURNAL = "latents.json", "journal.json"
_ARRAYS = ("tokens", "actions", "rewards", "terminated", "lengths", "captions")
_AGAIN = "run the same command again: what is encoded is kept"


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over the names and values of a module's state."""
    found = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        found.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        found.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def latents_folder(codec: VideoCodec, dataset: Path, patch: int, cache: Path) -> Path:
    """Where the latents of a dataset lie, or will lie."""
    key = json.dumps([SCHEMA, weights_digest(codec), read_info(dataset).digest, patch])
    return cache / f"{dataset.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def write_latents(
    codec: VideoCodec,
    dataset: Path,
    space: dict[str, Any],
    patch: int,
    cache: Path,
    *,
    stop: Stop | None = None,
    progress: Callable[[int], None] = lambda episodes: None,
) -> bool:
    """Encodes what is missing. One shard of frames is in memory at a time.

    Args:
        codec: Finished.
        dataset: Its folder.
        space: Of its actions.
        patch: As in `patchify`.
        cache: Where the folder goes; the folders of other codecs for this dataset are removed.
        stop: When to leave, between two shards.
        progress: Told how many episodes more are done.

    Returns:
        Whether all is there.

    Raises:
        StoreError: If a shard cannot be read, or the disk is full; what was encoded is kept.
    """
    place = latents_folder(codec, dataset, patch, cache)
    info = read_info(dataset)
    if is_whole(place):
        progress(info.episodes)
        return True
    with storing(place, again=_AGAIN):
        place.mkdir(parents=True, exist_ok=True)
    journal = _read_journal(place)
    progress(journal.episodes)
    for name, count, _ in info.shards[journal.shards :]:
        if stop is not None and stop.over():
            return False
        latents = encode(codec, read_shard(dataset / name), space, patch, progress=progress)
        table = {text: i for i, text in enumerate(journal.table)}
        index = np.array([table.setdefault(text, len(table)) for text in latents.table], np.int32)
        arrays = {n: np.asarray(getattr(latents, n)) for n in _ARRAYS} | {"captions": index[latents.captions]}
        with storing(place, again=_AGAIN):
            for key, array in arrays.items():
                _append(place / f"{key}.npy", array, journal.episodes, info.episodes)
        journal = _Journal(
            shards=journal.shards + 1, episodes=journal.episodes + count, table=tuple(table), size=latents.size
        )
        _write_json(place / _JOURNAL, journal.__dict__)
    _write_json(place / _DONE, {"schema": SCHEMA, "table": journal.table, "size": journal.size})
    (place / _JOURNAL).unlink(missing_ok=True)
    for other in cache.glob(f"{dataset.name}-{'[0-9a-f]' * 16}"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)
    return True


def is_whole(place: Path) -> bool:
    """Whether a folder of latents is finished."""
    return (place / _DONE).is_file()


def keep_latents(place: Path, latents: LatentRecording) -> None:
    """Writes a few episodes to a folder of their own, whole or not at all.

    Raises:
        StoreError: If they cannot be written.
    """
    fresh = part(place)
    with storing(place, again=_AGAIN):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name in _ARRAYS:
            _append(fresh / f"{name}.npy", np.asarray(getattr(latents, name)), 0, len(latents))
        _write_json(fresh / _DONE, {"schema": SCHEMA, "table": latents.table, "size": latents.size})
        shutil.rmtree(place, ignore_errors=True)
        fresh.replace(place)


def open_latents(place: Path) -> LatentRecording:
    """The latents in a folder that is whole; tokens stay on disk and are read where they are used.

    Raises:
        StoreError: If the folder is not whole.
    """
    try:
        meta = json.loads((place / _DONE).read_text(encoding="utf-8"))
        arrays: dict[str, NDArray[Any]] = {n: np.load(place / f"{n}.npy", allow_pickle=False) for n in _ARRAYS[1:]}
        tokens = np.load(place / "tokens.npy", mmap_mode="c", allow_pickle=False)  # "c": torch wants writable memory
        return LatentRecording(
            tokens=torch.from_numpy(tokens),
            table=tuple(meta["table"]),
            size=(meta["size"][0], meta["size"][1]),
            **arrays,
        )
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{place} does not hold whole latents ({error}); delete it, and it is made again") from error


@dataclass(frozen=True, kw_only=True)
class _Journal:
    shards: int = 0
    episodes: int = 0
    table: tuple[str, ...] = ("",)
    size: tuple[int, int] = (0, 0)


def _read_journal(place: Path) -> _Journal:
    """How far an earlier call came; a journal that cannot be read counts as none."""
    try:
        found = json.loads((place / _JOURNAL).read_text(encoding="utf-8"))
        size = (int(found["size"][0]), int(found["size"][1]))
        return _Journal(
            shards=int(found["shards"]), episodes=int(found["episodes"]), table=tuple(found["table"]), size=size
        )
    except (OSError, ValueError, KeyError, TypeError):
        return _Journal()


def _append(path: Path, array: NDArray[Any], done: int, total: int) -> None:
    """Writes episodes `done`... of `total` into an .npy file; what a killed call wrote behind them is overwritten.

    Plain writes, not a memory map: on a full disk a write fails with an error, a map with a bus error.
    """
    array = np.ascontiguousarray(array)
    if not done:
        with path.open("wb") as file:
            described = np.lib.format.header_data_from_array_1_0(array) | {"shape": (total, *array.shape[1:])}
            np.lib.format.write_array_header_2_0(file, described)
    with path.open("r+b") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
        if shape[1:] != array.shape[1:] or dtype != array.dtype:
            raise StoreError(
                f"{path}: a shard gives {array.shape[1:]} {array.dtype}, those before {shape[1:]} {dtype}; the shards "
                "of a dataset must have one length and one size"
            )
        file.seek(file.tell() + done * array[:1].nbytes)
        file.truncate()
        file.write(array.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _write_json(path: Path, plain: Any) -> None:
    with storing(path, again=_AGAIN):
        part(path).write_text(json.dumps(plain), encoding="utf-8")
        part(path).replace(path)
