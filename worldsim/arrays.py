"""Long stacks of arrays on disk, written and read a chunk at a time: an .npz whose members are runs of entries.

`frames` of 150 entries in chunks of 64 lie in the members `frames_000000.npy`, `frames_000064.npy` and
`frames_000128.npy`, so that memory is bounded by the chunk whatever the horizon, and `numpy.load(path,
allow_pickle=False)` reads the same file without worldsim. Equal content gives equal bytes: no times are stored.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import zipfile
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError, StoreError

INDEX = "index.json"
PROVENANCE = "provenance.json"
SCHEMA = 1
#: Entries in one member. zlib looks back 32 kB, less than three frames of 64x64, so longer chunks hardly compress
#: better (16 instead of 64: 48.4 % instead of 47.8 %) and make one frame anywhere five times slower to reach.
CHUNK = 16
#: A chunk never holds more than this, so that memory and seeks stay small for large frames too.
CHUNK_BYTES = 4 << 20
#: Chunks that a source keeps decoded: two neighbours for each of two readers.
KEPT_CHUNKS = 4


@contextlib.contextmanager
def storing(path: Path, *, again: str = "run with --resume") -> Iterator[None]:
    """Turns any failure of the operating system while writing `path` into a StoreError that says what to do.

    Args:
        path: What is written.
        again: What to do once there is room.
    """
    try:
        yield
    except OSError as error:  # PyAV's errors with an errno are OSErrors too
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = f"the disk or quota is full: free some space or choose another --out, then {again}"
        else:
            advice = "check that the folder exists and can be written"
        raise StoreError(f"cannot write {path}: {error.strerror or error}; {advice}") from error


def part(path: Path) -> Path:
    """The name under which a file is written before it is complete."""
    return path.with_name(path.name + ".part")


class Writer(ABC):
    """A file in the making: `close` completes it, `abort` removes it, and a `with` block chooses between the two."""

    @abstractmethod
    def close(self) -> Path:
        """Finishes the file, gives it its final name, and returns it; may be called twice."""

    @abstractmethod
    def abort(self) -> None:
        """Removes the unfinished file; nothing after `close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class ArrayWriter(Writer):
    """Writes one array that grows along its first axis; `close` puts the finished file in its place.

    Attributes:
        path: The final name.
        count: Entries so far.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str = "values",
        chunk: int = CHUNK,
        metadata: Mapping[str, Any] | None = None,
        extra: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Opens `path` + ".part".

        Args:
            path: The final name; ".npz" is added when missing.
            name: What its members are called.
            chunk: Most entries in one member; fewer when 4 MiB are reached.
            metadata: Plain values kept in the file (`provenance.json`).
            extra: Further small arrays, whole, each a member of its name.
        """
        if chunk < 1:
            raise ShapeError(f"chunk must be at least 1 entry, got {chunk}")
        target = Path(path)
        self.path = target if target.suffix == ".npz" else target.with_name(target.name + ".npz")
        self.count = 0
        self._name, self._chunk, self._metadata = name, chunk, dict(metadata or {})
        self._extra = dict(extra or {})
        self._waiting: list[NDArray[Any]] = []
        self._written = 0
        self._entry: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        with storing(self.path):
            self._zip: zipfile.ZipFile | None = zipfile.ZipFile(part(self.path), "w", zipfile.ZIP_DEFLATED)

    def append(self, entries: NDArray[Any]) -> None:
        """Adds (n, ...) entries, n >= 0, with the trailing shape and dtype of the first append."""
        array = np.asarray(entries)
        if self._entry is None:
            self._start(array)
        elif (array.shape[1:], array.dtype) != self._entry:
            shape, dtype = self._entry
            raise ShapeError(
                f"{self.path.name} takes (n{''.join(f', {n}' for n in shape)}) {dtype}, got {array.shape} {array.dtype}"
            )
        self.count += len(array)
        while len(array):
            room = self._chunk - (self.count - len(array) - self._written)
            self._waiting.append(array[:room].copy())  # the caller may reuse its buffer
            array = array[room:]
            if self.count - len(array) - self._written == self._chunk:
                self._flush()

    def close(self) -> Path:
        """Writes what waits and the index, and renames the file to its final name; may be called twice."""
        if self._zip is None:
            return self.path
        if self._waiting or (self._entry and not self.count):
            self._flush()
        shape, dtype = self._entry or ((), np.dtype(np.float32))
        index = {"chunk": self._chunk, "dtype": dtype.str, "name": self._name, "shape": [self.count, *shape]}
        for extra, array in self._extra.items():
            self._member(f"{extra}.npy", np.asarray(array))
        if self._metadata:
            self._member(PROVENANCE, json.dumps(self._metadata, sort_keys=True).encode())
        self._member(INDEX, json.dumps({"schema": SCHEMA, **index}, sort_keys=True).encode())
        with storing(self.path):
            self._zip.close()
            self._zip = None
            part(self.path).replace(self.path)
        return self.path

    def abort(self) -> None:
        """Gives the unfinished file up and removes it."""
        if self._zip is not None:
            broken, self._zip = self._zip, None
            with contextlib.suppress(OSError, ValueError):
                broken.close()  # may fail again on a full disk
            part(self.path).unlink(missing_ok=True)

    def _start(self, array: NDArray[Any]) -> None:
        if array.ndim < 1 or array.dtype.hasobject:
            raise ShapeError(f"{self.path.name} takes (n, ...) plain numbers, got {array.shape} {array.dtype}")
        size = max(1, math.prod(array.shape[1:]) * array.dtype.itemsize)
        self._chunk = max(1, min(self._chunk, CHUNK_BYTES // size))
        self._entry = (array.shape[1:], array.dtype)

    def _flush(self) -> None:
        shape, dtype = self._entry or ((), np.dtype(np.float32))
        waiting = self._waiting or [np.zeros((0, *shape), dtype)]
        joined = np.ascontiguousarray(waiting[0] if len(waiting) == 1 else np.concatenate(waiting))
        self._member(member(self._name, self._written), joined)
        self._written += len(joined)
        self._waiting = []

    def _member(self, name: str, data: bytes | NDArray[Any]) -> None:
        if self._zip is None:
            raise StoreError(f"{self.path} is closed: open another writer to write more")
        info = zipfile.ZipInfo(name)  # its default time is 1980: equal content, equal bytes
        info.compress_type = zipfile.ZIP_DEFLATED
        info._compresslevel = 1  # type: ignore[attr-defined]  # public as compress_level from Python 3.13 on
        with storing(self.path), self._zip.open(info, "w", force_zip64=True) as stream:
            if isinstance(data, bytes):
                stream.write(data)
            else:
                np.lib.format.write_array(stream, data, allow_pickle=False)


def member(name: str, start: int) -> str:
    """The member that holds the entries of array `name` from `start` on."""
    return f"{name}_{start:06d}.npy"


class ChunkedSource(ABC):
    """A stack on disk that reads only the chunks an index touches, and keeps the last few.

    No file stays open between reads, so thousands can be held, and sent to other processes.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], chunk: int) -> None:
        self.path, self.shape, self.dtype, self.chunk = path, shape, dtype, chunk
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path.name}, {'x'.join(map(str, self.shape))} {self.dtype})"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": OrderedDict()}

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """An int gives one entry, a slice or a list of ints a new stack; a tuple goes on into the entry's axes."""
        if isinstance(key, tuple):
            first, *rest = key
            if isinstance(first, slice | list | np.ndarray):
                return self[first][(slice(None), *rest)]
            inner: NDArray[Any] = self[first][tuple(rest)]
            return inner
        if isinstance(key, slice):
            return self._gather(range(*key.indices(len(self))))
        if isinstance(key, list | np.ndarray):
            picks = np.asarray(key)
            if picks.dtype == np.bool_:
                picks = np.flatnonzero(picks)
            return self._gather([self._inside(int(i)) for i in picks])
        i = self._inside(key.__index__())
        entry: NDArray[Any] = self._load(i // self.chunk)[i % self.chunk].copy()
        return entry

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[i] for i in range(len(self)))

    def _inside(self, i: int) -> int:
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} is outside the {len(self)} entries of {self.path.name}")
        return i % len(self)

    def _gather(self, picks: range | list[int]) -> NDArray[Any]:
        out = np.empty((len(picks), *self.shape[1:]), self.dtype)
        wanted = np.asarray(picks, dtype=np.int64)
        for number in np.unique(wanted // self.chunk):
            here = np.flatnonzero(wanted // self.chunk == number)
            out[here] = self._load(int(number))[wanted[here] % self.chunk]
        return out

    def _load(self, number: int) -> NDArray[Any]:
        found = self._kept.pop(number, None)  # a single step, so that threads may share a source
        if found is None:
            start = number * self.chunk
            found = self._read(start, min(start + self.chunk, len(self)))
        self._kept[number] = found
        if len(self._kept) > KEPT_CHUNKS:
            self._kept.popitem(last=False)
        return found

    @abstractmethod
    def _read(self, start: int, stop: int) -> NDArray[Any]:
        """The entries start..stop-1, which are one chunk."""


class ArraySource(ChunkedSource):
    """One named array of a chunked .npz."""

    def __init__(self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], chunk: int) -> None:
        super().__init__(path, shape, dtype, chunk)
        self.name = name

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        name = member(self.name, start)
        with reading(self.path) as archive, archive.open(name) as stream:
            found: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        if found.shape != (stop - start, *self.shape[1:]) or found.dtype != self.dtype:
            raise StoreError(f"{self.path}: {name} holds {found.shape} {found.dtype}; the file was changed by hand")
        return found


def missing(path: Path) -> StoreError:
    """The error for a file that is not there."""
    return StoreError(f"no file {path}" + ("; its writer was interrupted" if part(path).exists() else ""))


@contextlib.contextmanager
def reading(path: Path) -> Iterator[zipfile.ZipFile]:
    """Opens a chunked .npz; a missing, cut or foreign file is a StoreError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise missing(path) from error
    except (zipfile.BadZipFile, zipfile.zlib.error, EOFError, KeyError, ValueError, OSError) as error:  # type: ignore[attr-defined]
        raise StoreError(f"{path} is not a complete chunked .npz ({error}); record the episode again") from error


def open_arrays(path: str | os.PathLike[str]) -> ArraySource:
    """What `ArrayWriter` wrote, as a stack that reads only the chunks it is asked for."""
    target = Path(path)
    with reading(target) as archive:
        index = json.loads(archive.read(INDEX))
    if index["schema"] > SCHEMA:
        raise StoreError(f"{target} has schema {index['schema']}, this worldsim reads up to {SCHEMA}: update worldsim")
    return ArraySource(target, index["name"], tuple(index["shape"]), np.dtype(index["dtype"]), index["chunk"])
