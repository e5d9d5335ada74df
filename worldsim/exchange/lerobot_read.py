"""Reading LeRobot v3.0 datasets an episode at a time, without LeRobot."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ConfigError, StoreError
from worldsim.exchange import lerobot_layout as layout
from worldsim.exchange import sidecar
from worldsim.exchange.bounds import bounded
from worldsim.exchange.episodes import Episode
from worldsim.exchange.importing import Source, files_fingerprint
from worldsim.exchange.needs import need
from worldsim.exchange.vectors import layout as vector_layout
from worldsim.exchange.videos import FrameStream, describe
from worldsim.types import Frames

_PLACE = ("episode_index", "length", "dataset_from_index", "dataset_to_index", "data/chunk_index", "data/file_index")


def read_info(root: Path) -> dict[str, Any]:
    """`meta/info.json`. Raises StoreError naming the field that is missing or of another version."""
    path = root / layout.INFO
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    version = plain.get("codebase_version") if isinstance(plain, dict) else None
    if not str(version).startswith("v3."):
        raise StoreError(
            f"{path}: codebase_version: this reads v3, got {version!r}; LeRobot's convert_dataset_v21_to_v30 converts "
            "older ones"
        )
    for field in ("fps", "features", "total_episodes", "total_frames", "data_path"):
        if field not in plain:
            raise StoreError(f"{path}: {field}: is missing")
    return dict(plain)


def read_episodes(root: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each episode, in order, without its stats. Raises StoreError."""
    pq = need("pyarrow.parquet", "LeRobot")
    rows: list[dict[str, Any]] = []
    for path in sorted((root / layout.EPISODES).glob("*/*.parquet")):
        try:
            there = pq.read_schema(path).names
            if missing := [name for name in columns if name not in there]:
                raise StoreError(f"{path}: {missing[0]}: the column is missing")
            rows += pq.read_table(path, columns=list(columns)).to_pylist()
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
    if not rows:
        raise StoreError(f"{root / layout.EPISODES}: holds no episodes/chunk-*/file-*.parquet")
    return sorted(rows, key=lambda row: int(row["episode_index"]))


def read_tasks(root: Path) -> list[str]:
    """The texts of the tasks by their number. Raises StoreError."""
    pq = need("pyarrow.parquet", "LeRobot")
    path = root / layout.TASKS
    try:
        frame = pq.read_table(path).to_pandas()
        texts = {int(number): str(text) for text, number in zip(frame.index, frame["task_index"], strict=True)}
        return [texts[i] for i in range(len(texts))]
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{path}: task_index: cannot be read ({error!r})") from error


class LeRobotSource(Source):
    """A LeRobot dataset."""

    format = "lerobot"

    def __init__(self, path: Path, *, frames: str | None = None) -> None:
        """Reads the metadata; `frames` is the feature with the pictures."""
        self.path = path
        self._info = read_info(path)
        self._features: Mapping[str, Any] = self._info["features"]
        self._camera = self._choose(frames)
        feature = self._features[self._camera]
        self._video = feature["dtype"] == "video"
        video = [f"videos/{self._camera}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
        self._rows = read_episodes(path, [*_PLACE, *(video if self._video else [])])
        self._tasks = read_tasks(path)
        self.size = self._size(feature)
        self.fps = float(self._info["fps"])
        self.env = f"lerobot:{self._info.get('robot_type') or path.name}"
        self.sidecar = sidecar.read(path / layout.OURS)
        self.lengths = [int(row["length"]) - (self.sidecar is None) for row in self._rows]
        self._data = Rows(self)
        self._stream: FrameStream | None = None
        self._ours: tuple[Path, dict[int, dict[str, Any]]] = (Path(), {})
        if self.sidecar:
            self.action_space = self.sidecar.info.action_space
            self._vectors = vector_layout(self.action_space, self.sidecar.dtypes)
            return
        shape = self._action_shape()
        open_ = {"type": "box", "low": np.full(shape, -np.inf).tolist(), "high": np.full(shape, np.inf).tolist()}
        dtype = self._features[layout.ACTION]["dtype"]
        self.action_space, _ = bounded({**open_, "dtype": dtype}, self._all_actions)
        self.notes = ["the last action of each episode is left out: no observation comes after it",
                      "actions: the bounds are those of the recorded values"]  # fmt: skip
        if layout.REWARD not in self._features:
            self.notes = [*self.notes, f"rewards are 0: there is no {layout.REWARD}"]
        if self._video and not describe(self._video_path(0))[2].startswith(("gbr", "rgb")):
            self.notes = [*self.notes, "the video is YUV: what its coding lost is lost"]

    def name(self, episode: int) -> str:
        """As the base class says."""
        return f"{self._data_path(episode)}: episode {episode}"

    def read(self, episode: int, start: int, steps: int) -> Episode:
        """As the base class says."""
        want = [layout.ACTION, "task_index", *(k for k in (layout.REWARD, layout.DONE) if k in self._features)]
        whole = start + steps == self.lengths[episode] and self.sidecar is not None
        count = steps if whole else steps + 1
        rows = self._data.columns(episode, want, start, start + count)
        frames = self._pictures(episode, start, start + count)
        tasks = [self._task(episode, int(i)) for i in rows["task_index"]]
        seed = -1
        if self.sidecar:
            last = self._last(episode)
            seed = int(last["world_seed"])
            if whole:
                frames = np.concatenate([frames, _decode(last["frame"], self.name(episode), "last frame")[None]])
                tasks.append(str(last["caption"]))
        vectors = self._vectors_of(rows[layout.ACTION], episode)[:steps]
        done = rows.get(layout.DONE, np.zeros(count, bool))
        return Episode(
            frames=frames,
            actions=self._vectors.actions(vectors) if self.sidecar else vectors,
            rewards=np.asarray(rows.get(layout.REWARD, np.zeros(count)), np.float32).reshape(count, -1)[:steps, 0],
            terminated=bool(np.asarray(done).reshape(count, -1)[steps - 1, 0]),
            captions=tuple(tasks),
            world_seed=seed,
        )

    def fingerprint(self) -> str:
        """As the base class says."""
        return json.dumps(self._info, sort_keys=True) + files_fingerprint(
            [*self.path.glob("data/*/*.parquet"), *self.path.glob("meta/*.parquet")], self.path
        )

    # --------------------------------------------------------------------------------------------------- the metadata

    def _choose(self, wanted: str | None) -> str:
        cameras = [key for key, ft in self._features.items() if ft.get("dtype") in ("image", "video")]
        where = f"{self.path / layout.INFO}: features"
        if layout.ACTION not in self._features:
            raise StoreError(f"{where}: there is no {layout.ACTION!r}")
        if wanted is not None and wanted not in cameras:
            raise ConfigError(f"{where}: no pictures at {wanted!r}; pictures are at {', '.join(cameras) or 'no place'}")
        if not cameras:
            raise StoreError(f"{where}: none has the dtype image or video")
        if wanted is None and len(cameras) > 1:
            raise ConfigError(f"{where}: several pictures ({', '.join(cameras)}): say which with --frames")
        return wanted or cameras[0]

    def _size(self, feature: Mapping[str, Any]) -> tuple[int, int]:
        shape, names = list(feature.get("shape", [])), feature.get("names") or []
        if len(shape) == 3 and shape[2] != 3 and shape[0] == 3 and (not names or "channel" in str(names[0])):
            shape = [*shape[1:], 3]  # some datasets say (channels, height, width)
        if len(shape) != 3 or shape[2] != 3:
            raise StoreError(
                f"{self.path / layout.INFO}: features/{self._camera}/shape: must be [H, W, 3], got {shape}"
            )
        return int(shape[0]), int(shape[1])

    def _action_shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self._features[layout.ACTION]["shape"])

    def _data_path(self, episode: int) -> Path:
        row = self._rows[episode]
        place = {name: row[f"data/{name}"] for name in ("chunk_index", "file_index")}
        return self._inside(self._info["data_path"].format(**place))

    def _video_path(self, episode: int) -> Path:
        row, key = self._rows[episode], f"videos/{self._camera}"
        place = {name: row[f"{key}/{name}"] for name in ("chunk_index", "file_index")}
        return self._inside(self._info["video_path"].format(video_key=self._camera, **place))

    def _inside(self, relative: str) -> Path:
        path = self.path / relative
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise StoreError(f"{self.path / layout.INFO}: {relative!r} leads out of the dataset")
        return path

    def _task(self, episode: int, number: int) -> str:
        if not 0 <= number < len(self._tasks):
            raise StoreError(f"{self.name(episode)}: task_index: {number} is not in 0..{len(self._tasks) - 1}")
        return self._tasks[number]

    # ------------------------------------------------------------------------------------------------------- the data

    def _vectors_of(self, values: NDArray[Any], episode: int) -> NDArray[Any]:
        shape = self._action_shape()
        if values.size != len(values) * int(np.prod(shape)):
            raise StoreError(f"{self.name(episode)}: action: expected {shape} in each row, got {values.shape[1:]}")
        return values.reshape(len(values), *shape)

    def _all_actions(self) -> Iterator[NDArray[Any]]:
        for i, n in enumerate(self.lengths):
            if n:
                yield self._vectors_of(self._data.columns(i, [layout.ACTION], 0, n)[layout.ACTION], i)

    def _pictures(self, episode: int, start: int, stop: int) -> Frames:
        if not self._video:
            cells = self._data.columns(episode, [self._camera], start, stop)[self._camera]
            where = self.name(episode)
            frames = np.stack([_decode(self._bytes(cell), where, f"frame {start + i}") for i, cell in enumerate(cells)])
        else:
            path = self._video_path(episode)
            if self._stream is None or self._stream.path != path:
                self._stream = FrameStream(path)
            first = round(float(self._rows[episode][f"videos/{self._camera}/from_timestamp"]) * float(self.fps or 1))
            frames = self._stream.take(first + start, first + stop)
        if frames.shape[1:] != (*self.size, 3):
            raise StoreError(f"{self.name(episode)}: {self._camera}: expected {self.size}, got {frames.shape[1:3]}")
        return frames

    def _bytes(self, cell: Any) -> bytes:
        if isinstance(cell, Mapping) and cell.get("bytes"):
            return bytes(cell["bytes"])
        if isinstance(cell, Mapping) and cell.get("path"):
            return self._inside(cell["path"]).read_bytes()
        raise StoreError(f"{self.path}: {self._camera}: a picture has neither bytes nor a path")

    def _last(self, episode: int) -> dict[str, Any]:
        """The row of an episode in our own table: the frame after its last action."""
        row = self._rows[episode]
        path = self.path / layout.OURS_PATH.format(
            chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
        )
        if self._ours[0] != path:
            pq = need("pyarrow.parquet", "LeRobot")
            try:
                self._ours = path, {int(own["episode_index"]): own for own in pq.read_table(path).to_pylist()}
            except (OSError, ValueError, KeyError) as error:
                raise StoreError(f"{path} cannot be read ({error}): export the dataset again") from error
        if episode not in self._ours[1]:
            raise StoreError(f"{path}: episode {episode} is missing: export the dataset again")
        return self._ours[1][episode]


class Rows:
    """The rows of the data files; of a file only the row groups that are asked for are read, the last ones kept."""

    def __init__(self, source: LeRobotSource) -> None:
        self._source = source
        self._pq = need("pyarrow.parquet", "LeRobot")
        self._file: tuple[Path, Any] = (Path(), None)
        first: dict[Path, int] = {}
        for i, row in enumerate(source._rows):
            path = source._data_path(i)
            first[path] = min(first.get(path, int(row["dataset_from_index"])), int(row["dataset_from_index"]))
        self._first = first

    def columns(self, episode: int, names: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """Columns of the rows start..stop-1 of an episode: arrays, or lists of cells. Raises StoreError."""
        path = self._source._data_path(episode)
        low = int(self._source._rows[episode]["dataset_from_index"]) - self._first[path] + start
        try:
            table = self._rows(path, list(names), low, low + stop - start)
            if table.num_rows != stop - start:
                raise StoreError(f"{path}: {table.num_rows} rows of episode {episode} from row {low} on, "
                                 f"{stop - start} are needed")  # fmt: skip
            found = set(table.column("episode_index").to_pylist())
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        if found != {episode}:
            rows = f"rows {low}..{low + stop - start - 1}"
            raise StoreError(f"{path}: episode_index: {rows} should be of episode {episode}, got {sorted(found)}")
        return {name: _plain(table.column(name)) for name in names}

    def _rows(self, path: Path, names: list[str], low: int, high: int) -> Any:
        if self._file[0] != path:
            self._file = path, self._pq.ParquetFile(path)
        file = self._file[1]
        if missing := [name for name in names if name not in file.schema_arrow.names]:
            raise StoreError(f"{path}: {missing[0]}: the column is missing")
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        bounds = np.cumsum([0, *sizes])
        groups = [i for i in range(len(sizes)) if bounds[i] < high and bounds[i + 1] > low]
        if not groups:
            raise StoreError(f"{path}: has {bounds[-1]} rows, row {low} is needed")
        table = file.read_row_groups(groups, columns=[*names, "episode_index"])
        return table.slice(low - int(bounds[groups[0]]), high - low)


def _plain(column: Any) -> Any:
    kind = str(column.type)
    if kind.startswith(("struct", "extension")) and "bytes" in kind:
        return column.to_pylist()
    if "list" in kind:
        return np.array(column.to_pylist())
    return column.to_numpy()


def _decode(data: bytes, where: str, what: str) -> Frames:
    import cv2

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise StoreError(f"{where}: {what} is no picture that can be read")
    frame: Frames = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return frame
