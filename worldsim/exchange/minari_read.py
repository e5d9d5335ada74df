"""Reading Minari datasets (arrow, parquet, hdf5; versions 0.4 and 0.5) an episode at a time, without Minari."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.errors import ConfigError, StoreError
from worldsim.exchange import minari_spaces, sidecar
from worldsim.exchange.bounds import bounded
from worldsim.exchange.episodes import Episode
from worldsim.exchange.importing import Source
from worldsim.exchange.minari import default_root
from worldsim.exchange.minari_stores import open_store
from worldsim.types import Frames

JPEG_NOTE = "the pictures were stored as JPEG: what that lost is lost"


def locate(path: Path) -> Path:
    """The data folder of a dataset: given as such, as the folder above, or as an id under Minari's root.

    Raises:
        StoreError: If there is none.
    """
    tried = [path, path / "data", default_root() / path / "data"]
    for folder in tried:
        if (folder / "metadata.json").is_file():
            return folder
    raise StoreError(f"{path} is no Minari dataset: no metadata.json in {', '.join(map(str, tried))}")


def read_metadata(folder: Path) -> dict[str, Any]:
    """`metadata.json`. Raises StoreError naming what is wrong."""
    path = folder / "metadata.json"
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if not isinstance(plain, dict):
        raise StoreError(f"{path}: must be an object, got {type(plain).__name__}")
    for field in ("total_episodes", "action_space", "observation_space"):
        if field not in plain:
            raise StoreError(f"{path}: {field}: is missing; Minari can write it from the environment")
    return plain


class MinariSource(Source):
    """A Minari dataset."""

    format = "minari"

    def __init__(self, path: Path, *, frames: str | None = None) -> None:
        """Reads the metadata; `frames` is the observation that holds the pictures, "image" or "left/rgb"."""
        self.data = locate(path)
        self.path = self.data.parent if self.data.name == "data" else self.data
        plain = read_metadata(self.data)
        where = self.data / "metadata.json"
        self._metadata = plain
        self._keys, shape = _choose(plain, where, frames)
        self.size = (int(shape[0]), int(shape[1]))
        self._gray = len(shape) == 2 or shape[2] == 1
        self._shape = shape
        self._store = open_store(self.data, plain)
        self.lengths = self._store.lengths()
        self.env = f"minari:{plain.get('dataset_id', self.path.name)}"
        self.fps = None
        kept = plain.get("worldsim")
        self.sidecar = sidecar.from_plain(kept, f"{where}: worldsim") if kept else None
        self._space = minari_spaces.load(plain["action_space"], f"{where}: action_space")
        if self.sidecar:
            self.action_space, self.fps = self.sidecar.info.action_space, self.sidecar.info.fps
        else:
            space = minari_spaces.to_description(self._space, f"{where}: action_space")
            self.action_space, said = bounded(space, self._all_actions)
            self.notes = said
        self._jpeg = self._store.jpeg(self._keys)
        self.notes = [*self.notes, *([JPEG_NOTE] if self._jpeg else [])]
        if self._gray:
            self.notes = [*self.notes, "the pictures are grey: written three times, as R, G and B"]

    def name(self, episode: int) -> str:
        """As the base class says."""
        return self._store.name(episode)

    def read(self, episode: int, start: int, steps: int) -> Episode:
        """As the base class says."""
        raw = self._store.read(episode, ("observations", *self._keys), start, start + steps + 1)
        stop = start + steps
        actions = self._actions(episode, start, stop)
        rewards = self._store.read(episode, ("rewards",), start, stop)
        ends = self._store.read(episode, ("terminations",), start, stop)
        where = self.name(episode)
        try:
            return Episode(
                frames=self._pictures(raw, where),
                actions=actions,
                rewards=np.asarray(rewards, np.float32),
                terminated=bool(ends[-1]),
                captions=self._captions(episode, start, stop + 1),
                world_seed=self._store.seed(episode) if self.sidecar else -1,  # theirs is of a reset, not of a world
            )
        except (ValueError, TypeError, IndexError) as error:
            raise StoreError(f"{where}: cannot be read as an episode ({error})") from error

    def fingerprint(self) -> str:
        """As the base class says."""
        return json.dumps(self._metadata, sort_keys=True)

    def _pictures(self, raw: Any, where: str) -> Frames:
        if self._jpeg:
            return np.stack([_jpeg(data, where, t) for t, data in enumerate(raw)])
        values = np.asarray(raw)
        if values.dtype != np.uint8:
            raise StoreError(f"{where}: observations: pictures must be uint8, got {values.dtype}")
        frames = values.reshape(len(values), *self.size, -1)
        return np.ascontiguousarray(np.repeat(frames, 3, axis=3) if self._gray else frames)

    def _captions(self, episode: int, start: int, stop: int) -> tuple[str, ...]:
        found = self._store.strings(episode, "caption", start, stop)
        return found if len(found) == stop - start else ("",) * (stop - start)

    def _actions(self, episode: int, start: int, stop: int) -> Any:
        return self._tree(self._space, episode, ("actions",), start, stop)

    def _tree(self, space: Mapping[str, Any], episode: int, keys: tuple[str, ...], start: int, stop: int) -> Any:
        if space["type"] == "Dict":
            return {k: self._tree(v, episode, (*keys, k), start, stop) for k, v in space["subspaces"].items()}
        values = np.asarray(self._store.read(episode, keys, start, stop))
        shape = _shape_of(space)
        if values.size != (stop - start) * int(np.prod(shape)):
            raise StoreError(
                f"{self.name(episode)}: {'/'.join(keys)}: expected {(stop - start, *shape)}, got {values.shape}"
            )
        return values.reshape(stop - start, *shape)

    def _all_actions(self) -> Any:
        for i, n in enumerate(self.lengths):
            yield self._actions(i, 0, n)


def _shape_of(space: Mapping[str, Any]) -> tuple[int, ...]:
    kind = space["type"]
    if kind == "Discrete":
        return ()
    if kind == "MultiBinary":
        return (space["n"],) if isinstance(space["n"], int) else tuple(space["n"])
    return tuple(space["shape"]) if kind == "Box" else np.shape(space["nvec"])


def _choose(plain: Mapping[str, Any], where: Path, wanted: str | None) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """(path, shape) of the observation with the pictures."""
    space = minari_spaces.load(plain["observation_space"], f"{where}: observation_space")
    found = dict(minari_spaces.pictures(space))
    names = ["/".join(keys) or "." for keys in found]
    if wanted is not None:
        keys = tuple(wanted.split("/")) if wanted != "." else ()
        if keys not in found:
            raise ConfigError(f"{where}: no pictures at {wanted!r}; pictures are at {names or 'no place'}")
        return keys, found[keys]
    if len(found) != 1:
        told = "; ".join(minari_spaces.leaves(space))
        what = f"several pictures ({', '.join(names)}): say which with --frames" if found else f"no pictures: {told}"
        raise (ConfigError if found else StoreError)(f"{where}: observation_space: {what}")
    return next(iter(found.items()))


def _jpeg(data: Any, where: str, t: int) -> Frames:
    import cv2

    picture = cv2.imdecode(np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data, cv2.IMREAD_COLOR)
    if picture is None:
        raise StoreError(f"{where}: observations: frame {t} is no JPEG that can be read")
    frame: Frames = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return frame


__all__ = ["MinariSource", "locate", "read_metadata"]
