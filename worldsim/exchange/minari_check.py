"""What Minari's own reader, and ours, expect of a Minari dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.errors import StoreError
from worldsim.exchange import minari_spaces
from worldsim.exchange.minari import ID
from worldsim.exchange.minari_read import locate, read_metadata
from worldsim.exchange.minari_stores import Store, open_store

#: Versions that Minari 0.5.4 reads.
VERSIONS = ("0.4.0", "0.4.1", "0.4.2", "0.4.3", "0.5.0", "0.5.1", "0.5.2", "0.5.3", "0.5.4")
_TYPES: Mapping[str, type] = {
    "total_episodes": int,
    "total_steps": int,
    "dataset_id": str,
    "minari_version": str,
    "observation_space": str,
    "action_space": str,
}


def check_minari(path: Path) -> list[str]:
    """A sentence for each fault of the metadata, and of the lengths and ends of each episode."""
    try:
        data = locate(path)
        plain = read_metadata(data)
        found = list(_metadata(plain, data))
        if found:
            return found
        return list(_lengths(plain, data, open_store(data, plain)))
    except StoreError as error:
        return [str(error)]


def _metadata(plain: Mapping[str, Any], data: Path) -> Iterator[str]:
    where = str(data / "metadata.json")
    for field, kind in _TYPES.items():
        value = plain.get(field)
        if not isinstance(value, kind) or isinstance(value, bool):
            yield f"{where}: {field}: must be {kind.__name__}, got {value!r}"
            continue
        if field.endswith("space"):
            try:
                minari_spaces.load(value, f"{where}: {field}")
            except StoreError as error:
                yield str(error)
    version = plain.get("minari_version")
    if isinstance(version, str) and version not in VERSIONS:
        yield f"{where}: minari_version: Minari reads {VERSIONS[0]} to {VERSIONS[-1]}, got {version!r}"
    name = plain.get("dataset_id")
    if isinstance(name, str) and not ID.fullmatch(name):
        yield f'{where}: dataset_id: must be "namespace/name-v0", got {name!r}'
    elif isinstance(name, str) and data.name == "data" and not data.parent.resolve().as_posix().endswith(f"/{name}"):
        yield f"{where}: dataset_id: is {name!r}, but the dataset lies in {data.parent.name!r}: Minari does not list it"


def _lengths(plain: Mapping[str, Any], data: Path, store: Store) -> Iterator[str]:
    total = 0
    for episode in range(store.total):
        try:
            steps = int(store.lengths_of(episode))
            total += steps
            yield from _ends(store, episode, steps)
        except StoreError as error:
            yield str(error)
    if total != plain["total_steps"]:
        yield f"{data / 'metadata.json'}: total_steps: is {plain['total_steps']}, the episodes have {total}"
    there = store.count()
    if there != store.total:
        yield f"{data / 'metadata.json'}: total_episodes: is {store.total}, {there} are there"


def _ends(store: Store, episode: int, steps: int) -> Iterator[str]:
    where = store.name(episode)
    if steps < 1:
        yield f"{where}: rewards: must be at least one step"
        return
    for name in ("terminations", "truncations"):
        flags = np.asarray(store.read(episode, (name,), 0, steps))
        if flags.dtype != np.bool_:
            yield f"{where}: {name}: must be bool, got {flags.dtype}"
        elif flags[:-1].any():
            yield f"{where}: {name}: step {int(flags[:-1].argmax())} is not the last one ({steps} steps)"
