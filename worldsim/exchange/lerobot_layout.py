"""The layout of LeRobot v3.0, as its library writes it (lerobot 0.4.4, `lerobot/datasets`).

    meta/info.json                            features, fps, counts, path templates
    meta/stats.json                           min, max, mean, std, count and quantiles of each feature
    meta/tasks.parquet                        task_index, the task's text as the index of the table
    meta/episodes/chunk-000/file-000.parquet  a row an episode: where its rows and its video lie, its tasks, its stats
    data/chunk-000/file-000.parquet           a row a frame
    videos/<feature>/chunk-000/file-000.mp4   for features of dtype "video": the episodes one after the other

A row is what was seen and the action that followed, so that the last observation of an episode, after which nothing was
done, has no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = "v3.0"
INFO, STATS, TASKS, EPISODES = "meta/info.json", "meta/stats.json", "meta/tasks.parquet", "meta/episodes"
CHUNK = 1000  # files in one chunk
FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{FILE}.mp4"
EPISODES_PATH = f"{EPISODES}/{FILE}.parquet"
IMAGE, ACTION, REWARD, DONE = "observation.image", "action", "next.reward", "next.done"
#: Features that every dataset has.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
}
QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
#: Of our own, beside LeRobot's folders: the last frame of each episode, its caption and its world's seed.
OURS, OURS_PATH = "worldsim/dataset.json", f"worldsim/{FILE}.parquet"

Stats = dict[str, NDArray[Any]]


def place(shard: int) -> dict[str, int]:
    """The chunk and file of a shard; one file a shard."""
    return {"chunk_index": shard // CHUNK, "file_index": shard % CHUNK}


def vector_stats(values: NDArray[Any]) -> Stats:
    """Of (n, ...) numbers, over n; scalars count as vectors of one."""
    v = np.asarray(values, np.float64)
    v = v[:, None] if v.ndim == 1 else v
    quantiles = {f"q{round(100 * q):02d}": np.quantile(v, q, axis=0) for q in QUANTILES}
    return {
        "min": v.min(0),
        "max": v.max(0),
        "mean": v.mean(0),
        "std": v.std(0),
        "count": np.array([len(v)]),
        **quantiles,
    }


def picture_stats(frames: NDArray[np.uint8]) -> Stats:
    """Of (n, H, W, 3) uint8 frames: (3, 1, 1) over all pixels, 0..1. From a histogram: all pixels, little memory."""
    counts = np.stack([np.bincount(frames[..., c].reshape(-1), minlength=256) for c in range(3)]).astype(np.float64)
    levels, total = np.arange(256) / 255.0, counts.sum(1)
    mean = (counts * levels).sum(1) / total
    std = np.sqrt(np.maximum((counts * levels**2).sum(1) / total - mean**2, 0))
    there = counts > 0
    below = counts.cumsum(1) / total[:, None]
    out = {
        "min": levels[there.argmax(1)],
        "max": levels[255 - there[:, ::-1].argmax(1)],
        "mean": mean,
        "std": std,
        **{f"q{round(100 * q):02d}": levels[(below >= q).argmax(1)] for q in QUANTILES},
    }
    return {**{k: v.reshape(3, 1, 1) for k, v in out.items()}, "count": np.array([len(frames)])}


def joined_stats(parts: Sequence[Stats]) -> Stats:
    """Several episodes as one: exact for all but the quantiles, which are weighted means as in LeRobot's own."""
    counts = np.array([float(part["count"][0]) for part in parts])
    weights = counts.reshape(-1, *(1,) * parts[0]["mean"].ndim) / counts.sum()
    mean = (np.stack([p["mean"] for p in parts]) * weights).sum(0)
    spread = np.stack([p["std"] ** 2 + (p["mean"] - mean) ** 2 for p in parts])
    out = {
        "min": np.stack([p["min"] for p in parts]).min(0),
        "max": np.stack([p["max"] for p in parts]).max(0),
        "mean": mean,
        "std": np.sqrt((spread * weights).sum(0)),
        "count": np.array([int(counts.sum())]),
    }
    names = [name for name in parts[0] if name[0] == "q"]
    return {**out, **{q: (np.stack([p[q] for p in parts]) * weights).sum(0) for q in names}}
