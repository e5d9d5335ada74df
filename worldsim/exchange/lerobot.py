"""Writing LeRobot v3.0 datasets, with pictures inside the tables or as lossless video (`lerobot_layout`).

The action is one vector with a name for each number. What is true at a frame (its caption) is the frame's task. The
last observation of each episode, which LeRobot has no row for, lies in `worldsim/`, with the seed of its world.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from worldsim.arrays import part
from worldsim.errors import ConfigError, StoreError
from worldsim.exchange import lerobot_layout as layout
from worldsim.exchange.episodes import Episode
from worldsim.exchange.exporting import Target, write_json
from worldsim.exchange.needs import need
from worldsim.exchange.sidecar import Sidecar
from worldsim.exchange.vectors import layout as vector_layout
from worldsim.exchange.videos import Rgb264Writer
from worldsim.types import Frames

Pictures = Literal["image", "video"]


class LeRobotTarget(Target):
    """A LeRobot dataset in the making.

    Attributes:
        pictures: "image" = PNG inside the tables, "video" = lossless H.264.
    """

    format = "lerobot"

    def __init__(self, out: Path, sidecar: Sidecar, *, pictures: Pictures = "image") -> None:
        """`out` is the root of the dataset."""
        if pictures not in get_args(Pictures):
            raise ConfigError(f"pictures must be one of {', '.join(get_args(Pictures))}, got {pictures!r}")
        super().__init__(out, sidecar)
        self._pa, self._pq = need("pyarrow", "LeRobot"), need("pyarrow.parquet", "LeRobot")
        self.pictures = pictures
        self._vectors = vector_layout(sidecar.info.action_space, sidecar.dtypes)
        self._rows: list[int] = []  # of each shard
        self._tasks: dict[str, int] = {}
        fps = sidecar.info.fps
        self._fps: float = int(fps) if float(fps).is_integer() else fps
        if isinstance(self._fps, float):
            self.notes.append(f"fps is {fps}: LeRobot's own recorder knows whole numbers only, its reader takes any")

    def settings(self) -> Mapping[str, Any]:
        """As the base class says."""
        return {"pictures": self.pictures}

    def prepare(self, dataset: Path, shards: Sequence[str]) -> None:
        """Goes through the captions, for the numbers of the tasks must be the same whenever a shard is written."""
        self._rows, tasks = [], dict[str, int]()
        for name in shards:
            with np.load(dataset / name, allow_pickle=False) as file:
                lengths, captions = file["lengths"], file["captions"]
                table = json.loads(file["caption_table@json"].tobytes().decode())
            self._rows.append(int(lengths.sum()))
            for n, row in zip(lengths.tolist(), captions.tolist(), strict=True):
                for i in row[:n]:
                    tasks.setdefault(table[i], len(tasks))
        self._tasks = tasks

    def has(self, shard: int) -> bool:
        """As the base class says."""
        return (self.out / layout.EPISODES_PATH.format(**layout.place(shard))).is_file()

    def features(self) -> dict[str, Any]:
        """What `meta/info.json` says of each column."""
        picture: dict[str, Any] = {
            "dtype": self.pictures,
            "shape": [*self.sidecar.info.size, 3],
            "names": ["height", "width", "channels"],
        }
        if self.pictures == "video":
            picture["info"] = {
                "video.height": self.sidecar.info.size[0],
                "video.width": self.sidecar.info.size[1],
                "video.codec": "h264",
                "video.pix_fmt": "gbrp",
                "video.is_depth_map": False,
                "video.fps": self._fps,
                "video.channels": 3,
                "has_audio": False,
            }
        names = list(self._vectors.names)
        return {
            layout.IMAGE: picture,
            layout.ACTION: {"dtype": self._vectors.dtype, "shape": [len(names)], "names": names},
            layout.REWARD: {"dtype": "float32", "shape": [1], "names": None},
            layout.DONE: {"dtype": "bool", "shape": [1], "names": None},
            **{key: dict(value) for key, value in layout.DEFAULTS.items()},
        }

    def write(self, shard: int, first: int, episodes: Sequence[Episode]) -> None:
        """As the base class says."""
        where = layout.place(shard)
        start = sum(self._rows[:shard])
        data, ours, index = (
            self.out / path.format(**where) for path in (layout.DATA_PATH, layout.OURS_PATH, layout.EPISODES_PATH)
        )
        for path in (data, ours, index):
            path.parent.mkdir(parents=True, exist_ok=True)
        if self.pictures == "video":
            self._write_video(self.out / layout.VIDEO_PATH.format(video_key=layout.IMAGE, **where), episodes)
        rows = []
        schema = self._schema()
        with self._pq.ParquetWriter(part(data), schema, compression="snappy", use_dictionary=True) as writer:
            seen = 0
            for i, episode in enumerate(episodes, first):
                columns = self._columns(episode, i, start)
                writer.write_table(self._pa.Table.from_pydict(columns, schema=schema))
                rows.append(self._row(episode, i, start, columns, where, seen))
                start, seen = start + len(episode), seen + len(episode)
        part(data).replace(data)
        self._write_ours(ours, first, episodes)
        table = self._pa.Table.from_pydict({key: [row[key] for row in rows] for key in rows[0]})
        self._pq.write_table(table, part(index), compression="snappy")
        part(index).replace(index)  # the shard is there from now on

    def finish(self) -> None:
        """As the base class says."""
        import pandas as pd

        info, total, tasks = self.sidecar.info, sum(self.sidecar.counts), list(self._tasks)
        frame = pd.DataFrame({"task_index": np.arange(len(tasks), dtype=np.int64)}, index=pd.Index(tasks, dtype=object))
        path = self.out / layout.TASKS
        frame.to_parquet(part(path))
        part(path).replace(path)
        write_json(self.out / layout.STATS, self._stats())
        write_json(self.out / layout.OURS, self.sidecar.to_plain())
        plain = {
            "codebase_version": layout.VERSION,
            "robot_type": info.env,
            "total_episodes": total,
            "total_frames": sum(self._rows),
            "total_tasks": len(tasks),
            "chunks_size": layout.CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": self._fps,
            "splits": {info.split: f"0:{total}"},
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH if self.pictures == "video" else None,
            "features": self.features(),
        }
        write_json(self.out / layout.INFO, plain)

    # -------------------------------------------------------------------------------------------------- the columns

    def _schema(self) -> Any:
        pa, width = self._pa, len(self._vectors.names)
        number = pa.from_numpy_dtype(np.dtype(self._vectors.dtype))
        fields = [pa.field(layout.IMAGE, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
        fields = [] if self.pictures == "video" else fields
        fields.append(pa.field(layout.ACTION, number if width == 1 else pa.list_(number, width)))
        fields += [pa.field(layout.REWARD, pa.float32()), pa.field(layout.DONE, pa.bool_())]
        fields += [pa.field(key, pa.float32() if key == "timestamp" else pa.int64()) for key in layout.DEFAULTS]
        said = {key: _hub(ft) for key, ft in self.features().items() if ft["dtype"] != "video"}
        return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": said}})})

    def _columns(self, episode: Episode, number: int, start: int) -> dict[str, Any]:
        n = len(episode)
        steps, width = np.arange(n), len(self._vectors.names)
        vectors = self._vectors.vectors(episode.actions)
        actions = vectors[:, 0] if width == 1 else self._pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), width)
        named = [{"bytes": png(frame), "path": f"frame-{t:06d}.png"} for t, frame in enumerate(self._inside(episode))]
        return {
            **({layout.IMAGE: named} if named else {}),
            layout.ACTION: actions,
            layout.REWARD: episode.rewards,
            layout.DONE: (steps == n - 1) & episode.terminated,
            "timestamp": (steps / self._fps).astype(np.float32),
            "frame_index": steps,
            "episode_index": np.full(n, number),
            "index": start + steps,
            "task_index": np.array([self._tasks[text] for text in episode.captions[:-1]]),
        }

    def _inside(self, episode: Episode) -> Frames:
        """The frames that go into the tables."""
        return episode.frames[: 0 if self.pictures == "video" else -1]

    def _row(
        self, episode: Episode, number: int, start: int, columns: Mapping[str, Any], where: Mapping[str, int], seen: int
    ) -> dict[str, Any]:
        """The episode in `meta/episodes`; `seen` frames of its video come before it."""
        n = len(episode)
        video = {
            f"videos/{layout.IMAGE}/chunk_index": where["chunk_index"],
            f"videos/{layout.IMAGE}/file_index": where["file_index"],
            f"videos/{layout.IMAGE}/from_timestamp": seen / self._fps,
            f"videos/{layout.IMAGE}/to_timestamp": (seen + n) / self._fps,
        }
        stats = {layout.IMAGE: layout.picture_stats(episode.frames[:-1])}
        stats[layout.ACTION] = layout.vector_stats(self._vectors.vectors(episode.actions))
        for key in (layout.REWARD, layout.DONE, *layout.DEFAULTS):
            stats[key] = layout.vector_stats(columns[key])
        return {
            "episode_index": number,
            "tasks": list(dict.fromkeys(episode.captions[:-1])),
            "length": n,
            "data/chunk_index": where["chunk_index"],
            "data/file_index": where["file_index"],
            "dataset_from_index": start,
            "dataset_to_index": start + n,
            **(video if self.pictures == "video" else {}),
            **{f"stats/{key}/{name}": value.tolist() for key, own in stats.items() for name, value in own.items()},
            "meta/episodes/chunk_index": where["chunk_index"],
            "meta/episodes/file_index": where["file_index"],
        }

    def _write_video(self, path: Path, episodes: Sequence[Episode]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with Rgb264Writer(path, self.sidecar.info.size, self.sidecar.info.fps) as writer:
            for episode in episodes:
                writer.append(episode.frames[:-1])

    def _write_ours(self, path: Path, first: int, episodes: Sequence[Episode]) -> None:
        columns = {
            "episode_index": [first + i for i in range(len(episodes))],
            "world_seed": [episode.world_seed for episode in episodes],
            "frame": [png(episode.frames[-1]) for episode in episodes],
            "caption": [episode.captions[-1] for episode in episodes],
        }
        self._pq.write_table(self._pa.Table.from_pydict(columns), part(path))
        part(path).replace(path)

    def _stats(self) -> dict[str, Any]:
        """Of the whole dataset, from those of its episodes, a file at a time."""
        joined: dict[str, list[layout.Stats]] = {}
        for shard in range(len(self.sidecar.counts)):
            path = self.out / layout.EPISODES_PATH.format(**layout.place(shard))
            rows = self._pq.read_table(path).to_pylist()
            own: dict[str, list[layout.Stats]] = {}
            for i, row in enumerate(rows):
                for key, value in row.items():
                    if key.startswith("stats/"):
                        feature, name = key.removeprefix("stats/").rsplit("/", 1)
                        own.setdefault(feature, [{} for _ in rows])[i][name] = np.asarray(value)
            for feature, parts in own.items():
                joined.setdefault(feature, []).append(layout.joined_stats(parts))
        whole = {feature: layout.joined_stats(parts) for feature, parts in joined.items()}
        return {feature: {name: v.tolist() for name, v in own.items()} for feature, own in whole.items()}


def png(frame: Frames) -> bytes:
    """One (H, W, 3) frame as a PNG."""
    import cv2

    ok, data = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    if not ok:
        raise StoreError(f"a frame of {frame.shape} could not be written as PNG")
    return bytes(data.tobytes())


def _hub(feature: Mapping[str, Any]) -> dict[str, Any]:
    """A feature as the library `datasets` describes it in the tables' own header."""
    if feature["dtype"] == "image":
        return {"_type": "Image"}
    value = {"dtype": feature["dtype"], "_type": "Value"}
    length = feature["shape"][0]
    return value if length == 1 else {"feature": value, "length": length, "_type": "List"}
