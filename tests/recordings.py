"""Recordings whose every number says from which episode and step it is, and a slow hall to interrupt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.toys import ToyEnv
from worldsim import seeding
from worldsim.dataset import DatasetInfo, write_info, write_shard
from worldsim.recording import Recording

#: Of `numbered`: a Dict of a number and a flag.
SPACE: dict[str, Any] = {
    "type": "dict",
    "spaces": {
        "camera": {"type": "box", "low": [0.0, 0.0], "high": [2.0**20, 2.0**20], "dtype": "float32"},
        "key": {"type": "discrete", "n": 2, "start": 0},
    },
}


def numbered(lengths: Sequence[int], steps: int, *, first: int = 0, size: tuple[int, int] = (2, 3)) -> Recording:
    """Episode e of the recording is number n = first + e, and holds `lengths[e]` valid steps.

    The first pixel of frame t is (n, t, 7), the action (n, t) and t % 2, the reward 1000 n + t, the text "n at t"; the
    last valid step terminates.
    """
    e, n, t = len(lengths), first + np.arange(len(lengths)), np.arange(steps + 1)
    frames = np.zeros((e, steps + 1, *size, 3), np.uint8)
    frames[:, :, 0, 0, 0], frames[:, :, 0, 0, 1], frames[:, :, 0, 0, 2] = n[:, None], t, 7
    camera = np.stack(np.broadcast_arrays(n[:, None], t[:-1]), -1).astype(np.float32)
    ended = t[:-1] == np.array(lengths, np.int64)[:, None] - 1
    return Recording(
        frames=frames,
        actions={"camera": camera, "key": np.broadcast_to(t[:-1] % 2, (e, steps)).astype(np.int64)},
        rewards=(1000.0 * n[:, None] + t[:-1]).astype(np.float32),
        terminated=ended,
        lengths=np.array(lengths, np.int32),
        world_seeds=np.array([seeding.world_seed(0, "numbered", "", int(i), "train") for i in n], np.int64),
        captions=(1 + np.arange(e * (steps + 1)).reshape(e, steps + 1)).astype(np.int32),
        caption_table=("", *(f"{i} at {j}" for i in n for j in t)),
    )


def texts(recording: Recording) -> list[list[str]]:
    """The caption of each frame."""
    return [[recording.caption_table[i] for i in row] for row in recording.captions]


def write_dataset(folder: Path, lengths: Sequence[Sequence[int]], steps: int, **changes: Any) -> DatasetInfo:
    """A dataset of numbered episodes: a shard for each list of lengths."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, int, str]] = []
    for i, own in enumerate(lengths):
        name = f"shard-{i:05d}.npz"
        first = sum(count for _, count, _ in rows)
        rows.append((name, len(own), write_shard(folder / name, numbered(own, steps, first=first))))
    values: dict[str, Any] = {
        "env": "numbered",
        "env_args": {},
        "action_space": SPACE,
        "fps": 20.0,
        "size": (2, 3),
        "split": "train",
        "seed": 0,
        "shards": tuple(rows),
    }
    info = DatasetInfo(**{**values, **changes})
    write_info(folder, info)
    return info


class SlowHall(ToyEnv):
    """5 ms a step, so that a test can kill it in the middle."""

    def step(self, action: Any) -> Any:
        time.sleep(0.005)
        return super().step(action)


class BadHall(ToyEnv):
    """Cannot be played in some worlds."""

    def step(self, action: Any) -> Any:
        if self._s["world"] % 2:
            raise RuntimeError("the level is corrupt")
        return super().step(action)
