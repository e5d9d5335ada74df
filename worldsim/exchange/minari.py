"""Writing Minari 0.5 datasets: every pixel kept, and compressed all the same.

    ROOT/<id>/data/metadata.json               what Minari's own library writes, `jpeg_encoding` false
    ROOT/<id>/data/<episode>/part-0.arrow      observations, actions, rewards, terminations, truncations, infos
    ROOT/<id>/data/<episode>/metadata.json     id, total_steps, seed (the world's)
    ROOT/<id>/data/main_data.hdf5              instead of the folders, with storage "hdf5"

Minari's writer encodes pictures as JPEG unless told otherwise, and stores them raw when told. Here the columns are
compressed by zstd (arrow, parquet) or deflate (hdf5), which Minari's reader undoes without knowing.

The last observation has no action: Minari's arrow rows end with zeros there, and its reader cuts them off. The
captions are the info "caption". What else there is lies under the key "worldsim" of `metadata.json`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from worldsim.arrays import part
from worldsim.errors import ConfigError
from worldsim.exchange.episodes import Episode
from worldsim.exchange.exporting import Target, write_json
from worldsim.exchange.minari_spaces import frames_space, to_minari
from worldsim.exchange.needs import need
from worldsim.exchange.sidecar import Sidecar

Storage = Literal["arrow", "parquet", "hdf5"]
VERSION = "0.5.4"  # whose layout this is; its reader refuses versions that it does not know
MAIN = "main_data.hdf5"
ID = re.compile(r"(?:[-_\w][-_\w/]*[-_\w]+/)?[-_\w]+?-v\d+", re.ASCII)  # minari.dataset.minari_dataset.DATASET_ID_RE


def default_root() -> Path:
    """Where Minari looks: `MINARI_DATASETS_PATH`, else its own default."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


class MinariTarget(Target):
    """A Minari dataset in the making.

    Attributes:
        id: Its name, "namespace/name-v0".
        storage: How it lies on disk.
    """

    format = "minari"

    def __init__(self, root: Path, sidecar: Sidecar, *, id: str, storage: Storage = "arrow") -> None:
        """`root` is what `MINARI_DATASETS_PATH` names."""
        if not ID.fullmatch(id):
            raise ConfigError(
                f'a Minari id is "namespace/name-v0": letters, digits, - and _, two or more in a namespace; got {id!r}'
            )
        if storage not in get_args(Storage):
            raise ConfigError(f"storage must be one of {', '.join(get_args(Storage))}, got {storage!r}")
        super().__init__(root / id, sidecar)
        self.id, self.storage = id, storage
        self.data = self.out / "data"
        self._starts = np.cumsum([0, *sidecar.counts]).tolist()
        self._total = 0
        need("h5py" if storage == "hdf5" else "pyarrow", f"Minari's storage {storage!r}")
        if any("names" in s for s in _spaces(sidecar.info.action_space)):
            self.notes.append("names of actions: kept for us only, Minari's spaces have none")

    def settings(self) -> Mapping[str, Any]:
        """As the base class says."""
        return {"id": self.id, "storage": self.storage}

    def prepare(self, dataset: Path, shards: Sequence[str]) -> None:
        """Makes the folder."""
        from worldsim.dataset import read_lengths

        self._total = sum(int(read_lengths(dataset / name).sum()) for name in shards)
        self.data.mkdir(parents=True, exist_ok=True)

    def has(self, shard: int) -> bool:
        """As the base class says."""
        if self.storage == "hdf5":
            return self._part(shard).is_file() or (self.data / MAIN).is_file()
        return all((self.data / str(i)).is_dir() for i in range(self._starts[shard], self._starts[shard + 1]))

    def write(self, shard: int, first: int, episodes: Sequence[Episode]) -> None:
        """As the base class says."""
        if self.storage == "hdf5":
            _write_hdf5(self._part(shard), first, episodes)
            return
        for i, episode in enumerate(episodes, first):
            there, making = self.data / str(i), self.data / f".{i}.part"
            if there.is_dir():
                continue
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            _write_table(making / f"part-0.{self.storage}", episode, self.storage)
            seed = {"seed": episode.world_seed} if episode.world_seed >= 0 else {}
            (making / "metadata.json").write_text(json.dumps({"id": i, "total_steps": len(episode), **seed}))
            making.replace(there)

    def finish(self) -> None:
        """As the base class says."""
        if self.storage == "hdf5":
            self._join()
        size = sum(path.stat().st_size for path in self.data.rglob("*") if path.is_file())
        info = self.sidecar.info
        metadata = {
            "total_episodes": self._starts[-1],
            "total_steps": self._total,
            "data_format": self.storage,
            "jpeg_encoding": False,
            "observation_space": json.dumps(frames_space(info.size)),
            "action_space": json.dumps(to_minari(info.action_space)),
            "dataset_id": self.id,
            "minari_version": VERSION,
            "dataset_size": round(size / 1e6, 1),
            "description": f"Frames of {info.env}, {info.fps:g} a second, exported by worldsim without loss.",
            "worldsim": self.sidecar.to_plain(),
        }
        write_json(self.data / "metadata.json", metadata)

    def _part(self, shard: int) -> Path:
        """The episodes of one shard, until all are there: a kill while HDF5 is written would spoil the whole file."""
        return self.out / f"shard-{shard:05d}.hdf5"

    def _join(self) -> None:
        h5py = need("h5py", "Minari's storage 'hdf5'")
        target = self.data / MAIN
        parts = [self._part(k) for k in range(len(self._starts) - 1)]
        if not target.is_file():
            with h5py.File(part(target), "w", track_order=True) as whole:
                for path in parts:
                    with h5py.File(path, "r") as own:
                        for name in sorted(own, key=lambda key: int(key.removeprefix("episode_"))):
                            own.copy(name, whole)
            part(target).replace(target)
        for path in parts:
            path.unlink(missing_ok=True)


def _spaces(space: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [s for inner in space["spaces"].values() for s in _spaces(inner)] if space["type"] == "dict" else [space]


# ---------------------------------------------------------------------------------------------------- arrow, parquet


def _write_table(path: Path, episode: Episode, storage: Storage) -> None:
    pa = need("pyarrow", f"Minari's storage {storage!r}")
    n = len(episode)
    last = np.arange(n) == n - 1
    columns = {
        "observations": _column(pa, episode.frames),
        "actions": _tree(pa, episode.actions),
        "rewards": _column(pa, _one_more(episode.rewards)),
        "terminations": _column(pa, _one_more(last & episode.terminated)),
        "truncations": _column(pa, _one_more(last & (not episode.terminated))),
        "infos": pa.StructArray.from_arrays([pa.array(episode.captions, pa.string())], names=["caption"]),
    }
    batch = pa.RecordBatch.from_pydict(columns)
    if storage == "parquet":
        pq = need("pyarrow.parquet", "Minari's storage 'parquet'")
        pq.write_table(pa.Table.from_batches([batch]), path, compression="zstd", row_group_size=n + 1)
        return
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema, options=options) as writer:
        writer.write_batch(batch)


def _tree(pa: Any, actions: Any) -> Any:
    if isinstance(actions, Mapping):
        return pa.StructArray.from_arrays([_tree(pa, leaf) for leaf in actions.values()], names=list(actions))
    return _column(pa, _one_more(np.asarray(actions)))


def _column(pa: Any, values: NDArray[Any]) -> Any:
    """(n, ...) as a column of numbers, or of lists of one length."""
    if values.ndim == 1:
        return pa.array(values)
    flat = np.ascontiguousarray(values).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), int(np.prod(values.shape[1:])))


def _one_more(values: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([values, np.zeros((1, *values.shape[1:]), values.dtype)])


# -------------------------------------------------------------------------------------------------------------- hdf5


def _write_hdf5(path: Path, first: int, episodes: Sequence[Episode]) -> None:
    h5py = need("h5py", "Minari's storage 'hdf5'")
    with h5py.File(part(path), "w", track_order=True) as file:
        for i, episode in enumerate(episodes, first):
            group = file.create_group(f"episode_{i}")
            group.attrs["id"], group.attrs["total_steps"] = i, len(episode)
            if episode.world_seed >= 0:
                group.attrs["seed"] = episode.world_seed
            last = np.arange(len(episode)) == len(episode) - 1
            _group(group, "observations", episode.frames)
            _group(group, "actions", episode.actions)
            _group(group, "rewards", episode.rewards)
            _group(group, "terminations", last & episode.terminated)
            _group(group, "truncations", last & (not episode.terminated))
            infos = group.create_group("infos")
            infos.create_dataset("caption", data=list(episode.captions), dtype=h5py.string_dtype(encoding="utf-8"))
    part(path).replace(path)


def _group(group: Any, name: str, tree: Any) -> None:
    if isinstance(tree, Mapping):
        inner = group.create_group(name)
        for key, leaf in tree.items():
            _group(inner, key, leaf)
        return
    values = np.asarray(tree)
    chunk = (min(16, len(values)), *values.shape[1:])
    group.create_dataset(
        name, data=values, chunks=chunk, maxshape=(None, *values.shape[1:]), compression="gzip", compression_opts=4
    )
