"""How the episodes of a Minari dataset lie on disk: a folder each (arrow, parquet), or one file for all (hdf5)."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.errors import StoreError
from worldsim.exchange.minari import MAIN
from worldsim.exchange.needs import need


class Store(ABC):
    """The episodes of a dataset on disk."""

    def __init__(self, data: Path, total: int) -> None:
        self.data, self.total = data, total

    @abstractmethod
    def name(self, episode: int) -> str:
        """As the base class says."""

    def lengths(self) -> Sequence[int]:
        """Steps of each episode. Raises StoreError."""
        return [self.lengths_of(i) for i in range(self.total)]

    @abstractmethod
    def lengths_of(self, episode: int) -> int:
        """Steps of an episode. Raises StoreError."""

    @abstractmethod
    def count(self) -> int:
        """Episodes that are there, whatever the metadata says."""

    @abstractmethod
    def read(self, episode: int, keys: Sequence[str], start: int, stop: int) -> Any:
        """Entries start..stop-1 of a leaf: an array, or a list of bytes. Raises StoreError."""

    @abstractmethod
    def strings(self, episode: int, info: str, start: int, stop: int) -> tuple[str, ...]:
        """Texts of an info; () where it has none."""

    @abstractmethod
    def seed(self, episode: int) -> int:
        """Of the world; -1 = not known."""

    @abstractmethod
    def jpeg(self, keys: Sequence[str]) -> bool:
        """Whether the pictures at these keys are JPEG."""


def open_store(data: Path, plain: Mapping[str, Any]) -> Store:
    """By what `data_format` says; datasets before 0.5 are hdf5 and do not say so. Raises StoreError."""
    kind = plain.get("data_format", "hdf5")
    total = int(plain["total_episodes"])
    if kind == "hdf5":
        return Hdf5Store(data, total)
    if kind in ("arrow", "parquet"):
        return TableStore(data, total, kind)
    raise StoreError(f"{data / 'metadata.json'}: data_format: must be arrow, parquet or hdf5, got {kind!r}")


class TableStore(Store):
    """A folder an episode; the last one stays in memory."""

    def __init__(self, data: Path, total: int, kind: str) -> None:
        super().__init__(data, total)
        self.kind = kind
        self._ds = need("pyarrow.dataset", f"Minari's storage {kind!r}")
        self._kept: tuple[int, Any] = (-1, None)

    def name(self, episode: int) -> str:
        """As the base class says."""
        return str(self.data / str(episode))

    def lengths_of(self, episode: int) -> int:
        """Steps of an episode."""
        return int(self.metadata(episode)["total_steps"])

    def count(self) -> int:
        """Folders with a number as their name."""
        return sum(1 for path in self.data.iterdir() if path.is_dir() and path.name.isdigit())

    def metadata(self, episode: int) -> dict[str, Any]:
        """What is said about an episode."""
        path = self.data / str(episode) / "metadata.json"
        try:
            plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            plain["total_steps"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: total_steps: cannot be read ({error!r})") from error
        return plain

    def table(self, episode: int) -> Any:
        """All columns of an episode as one batch."""
        if self._kept[0] != episode:
            try:
                ignore = ["_", ".", "metadata.json"]
                found = self._ds.dataset(self.name(episode), format=self.kind, ignore_prefixes=ignore).to_table()
                batches = found.combine_chunks().to_batches(max_chunksize=None)
                if len(batches) != 1:
                    raise ValueError(f"{len(batches)} batches")
            except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are one of these
                raise StoreError(f"{self.name(episode)} cannot be read as {self.kind}: {error}") from error
            self._kept = episode, batches[0]
        return self._kept[1]

    def read(self, episode: int, keys: Sequence[str], start: int, stop: int) -> Any:
        """As the base class says."""
        column = self._column(episode, keys)
        if len(column) < stop:
            raise StoreError(f"{self.name(episode)}: {'/'.join(keys)}: {len(column)} rows, at least {stop} are needed")
        column = column.slice(start, stop - start)
        if column.null_count:
            raise StoreError(f"{self.name(episode)}: {'/'.join(keys)}: holds null")
        kind = str(column.type)
        if kind in ("binary", "large_binary"):
            return column.to_pylist()
        if kind.startswith("fixed_size_list"):
            values = column.flatten().to_numpy(zero_copy_only=False)
            return values.reshape(len(column), -1)
        return column.to_numpy(zero_copy_only=False)

    def _column(self, episode: int, keys: Sequence[str]) -> Any:
        node = self.table(episode)
        for i, key in enumerate(keys):
            try:
                node = node.column(key) if i == 0 else node.field(key)
            except KeyError as error:
                raise StoreError(f"{self.name(episode)}: {'/'.join(keys[: i + 1])}: is missing") from error
        return node

    def strings(self, episode: int, info: str, start: int, stop: int) -> tuple[str, ...]:
        """Texts of an info; () where it has none."""
        try:
            column = self._column(episode, ("infos", info)).slice(start, stop - start)
        except StoreError:
            return ()
        return tuple(column.to_pylist()) if str(column.type) in ("string", "large_string") else ()

    def seed(self, episode: int) -> int:
        """Of the world; -1 = not known."""
        seed = self.metadata(episode).get("seed")
        return int(seed) if isinstance(seed, int) and seed >= 0 else -1

    def jpeg(self, keys: Sequence[str]) -> bool:
        """Whether the pictures at these keys are JPEG."""
        return self.total > 0 and "binary" in str(self._column(0, ("observations", *keys)).type)


class Hdf5Store(Store):
    """One file for all episodes; only what is asked for is read."""

    def __init__(self, data: Path, total: int) -> None:
        super().__init__(data, total)
        self._h5py = need("h5py", "Minari's storage 'hdf5'")
        try:
            self.file = self._h5py.File(data / MAIN, "r")
        except OSError as error:
            raise StoreError(f"{data / MAIN} cannot be read: {error}") from error

    def name(self, episode: int) -> str:
        """As the base class says."""
        return f"{self.data / MAIN}: episode_{episode}"

    def lengths_of(self, episode: int) -> int:
        """Steps of an episode."""
        return len(self._leaf(episode, ("rewards",)))

    def count(self) -> int:
        """Groups of episodes."""
        return sum(1 for name in self.file if name.startswith("episode_"))

    def _leaf(self, episode: int, keys: Sequence[str]) -> Any:
        node = self.file.get(f"episode_{episode}")
        for i, key in enumerate(("", *keys)):
            if i and node is not None:
                inner = node.get(key)
                node = node.get(f"_index_{key}") if inner is None else inner
            if node is None:
                raise StoreError(f"{self.name(episode)}: {'/'.join(keys[:i])}: is missing")
        return node

    def read(self, episode: int, keys: Sequence[str], start: int, stop: int) -> Any:
        """As the base class says."""
        leaf = self._leaf(episode, keys)
        if len(leaf) < stop:
            raise StoreError(f"{self.name(episode)}: {'/'.join(keys)}: {len(leaf)} rows, at least {stop} are needed")
        try:
            return leaf[start:stop]
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.name(episode)}: {'/'.join(keys)}: cannot be read ({error})") from error

    def strings(self, episode: int, info: str, start: int, stop: int) -> tuple[str, ...]:
        """Texts of an info; () where it has none."""
        try:
            leaf = self._leaf(episode, ("infos", info))
        except StoreError:
            return ()
        found = leaf[start:stop] if leaf.dtype == object else ()
        return tuple(text.decode("utf-8") if isinstance(text, bytes) else str(text) for text in found)

    def seed(self, episode: int) -> int:
        """Of the world; -1 = not known."""
        seed = self.file[f"episode_{episode}"].attrs.get("seed", -1)
        return int(seed) if np.issubdtype(np.asarray(seed).dtype, np.integer) and seed >= 0 else -1

    def jpeg(self, keys: Sequence[str]) -> bool:
        """Whether the pictures at these keys are JPEG."""
        if not self.total:
            return False
        leaf = self._leaf(0, ("observations", *keys))
        return bool(leaf.dtype == object or leaf.ndim == 2)
