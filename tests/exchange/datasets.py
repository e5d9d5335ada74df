"""Small datasets of every kind of action, padded as `worldsim collect` pads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worldsim.dataset import DatasetInfo, read_info, shards, write_info, write_shard
from worldsim.exchange.episodes import Episode, pack
from worldsim.spaces import build
from worldsim.trees import map_leaves, stack

SPACES: dict[str, dict[str, Any]] = {
    "discrete": {"type": "discrete", "n": 4, "start": -1},
    "named": {"type": "discrete", "n": 3, "start": 0, "names": ["left", "right", "jump"]},
    "binary": {"type": "binary", "shape": [3]},
    "multidiscrete": {"type": "multidiscrete", "nvec": [2, 300]},
    "box": {"type": "box", "low": [-1.0, -2.0], "high": [1.0, 2.0], "dtype": "float32"},
    "matrix": {"type": "box", "low": [[-1.0] * 2] * 3, "high": [[1.0] * 2] * 3, "dtype": "float64"},
    "scalar": {"type": "box", "low": -5.0, "high": 5.0, "dtype": "float32"},
    "axes": {"type": "box", "low": [-1.0] * 2, "high": [1.0] * 2, "dtype": "float32", "names": ["yaw", "pitch"]},
    "one": {"type": "box", "low": [-1.0], "high": [1.0], "dtype": "float32"},
    "dict": {
        "type": "dict",
        "spaces": {
            "camera": {"type": "box", "low": [-180.0, -180.0], "high": [180.0, 180.0], "dtype": "float32"},
            "hotbar.1": {"type": "discrete", "n": 2, "start": 0},
            "pad": {"type": "dict", "spaces": {"stick": {"type": "box", "low": [0], "high": [255], "dtype": "uint8"}}},
        },
    },
}
TEXTS = ("", "in the arena; a red crate", 'a "quoted", text', "zwei\nZeilen, größer 木")


def episode(seed: int, steps: int, space: dict[str, Any], size: tuple[int, int]) -> Episode:
    """Random frames, actions out of the space, and texts that trip careless writers."""
    rng = np.random.default_rng(seed)
    gym = build(space)
    gym.seed(seed)
    actions = stack([map_leaves(np.asarray, _plain(gym.sample())) for _ in range(steps)])
    return Episode(
        frames=rng.integers(0, 256, (steps + 1, *size, 3), np.uint8),
        actions=actions,
        rewards=rng.standard_normal(steps).astype(np.float32),
        terminated=bool(rng.integers(2)),
        captions=tuple(TEXTS[i] for i in rng.integers(0, len(TEXTS), steps + 1)),
        world_seed=int(rng.integers(-1, 2**40)),
    )


def _plain(action: Any) -> Any:
    return {key: _plain(value) for key, value in action.items()} if isinstance(action, dict) else action


def write(folder: Path, space: dict[str, Any], lengths: list[list[int]], size: tuple[int, int] = (6, 8)) -> DatasetInfo:
    """A dataset with a shard for each list of lengths."""
    folder.mkdir(parents=True)
    steps = max(max(own) for own in lengths)
    rows = []
    for k, own in enumerate(lengths):
        made = [episode(100 * k + i, n, space, size) for i, n in enumerate(own)]
        name = f"shard-{k:05d}.npz"
        rows.append((name, len(own), write_shard(folder / name, pack(made, steps))))
    info = DatasetInfo(
        env="toys",
        env_args={"preset": "a"},
        action_space=space,
        fps=20.0,
        size=size,
        split="train",
        seed=7,
        recipe={"episodes": sum(map(len, lengths)), "walks": 0.5},
        shards=tuple(rows),
    )
    write_info(folder, info)
    return info


def same(a: Path, b: Path) -> bool:
    """Whether two datasets are the same to the byte."""
    names = [name for name, _, _ in read_info(a).shards]
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in ("dataset.json", *names))


def all_frames(folder: Path) -> list[Any]:
    """The frames of each shard."""
    return [recording.frames for recording in shards(folder)]
