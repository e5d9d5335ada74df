"""A world in which learning shows within seconds: an action pushes a bright square over a dark, striped ground."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldsim import seeding
from worldsim.dataset import DatasetInfo, write_info, write_shard
from worldsim.model.codec.config import CodecConfig
from worldsim.model.codec.network import VideoCodec
from worldsim.model.dit.config import DiTConfig
from worldsim.model.dit.network import DiT
from worldsim.model.training.config import StageConfig
from worldsim.model.training.dit_config import DiTLossConfig
from worldsim.model.training.dit_task import DiTTask
from worldsim.model.training.latents import LatentRecording
from worldsim.model.training.stop import Stop
from worldsim.recording import Recording

SPACE: dict[str, Any] = {"type": "discrete", "n": 4, "start": 0}
MOVES = np.array([(-4, 0), (4, 0), (0, -4), (0, 4)])

RECIPE = """
name: micro
summary: For tests.
codec: {channels: 8, encoder: [8, 16, 16], decoder: [16, 8, 8]}
codec_training: {steps: 30, batch: 2, frames: 3, lr: 4.0e-3, warmup: 2, validate_every: 12, ema: 0.9}
dit: {registers: 1, width: 32, depth: 3, heads: 2, kv_heads: 1, window: 4, text_length: 8, text_width: 16}
dit_training: {steps: 30, batch: 4, frames: 4, lr: 4.0e-3, warmup: 2, validate_every: 12, ema: 0.9}
context: 2
horizon: 4
"""


def episodes(count: int, steps: int, *, seed: int, size: tuple[int, int] = (32, 32)) -> Recording:
    """Random pushes."""
    rng = np.random.default_rng(seed)
    actions = rng.integers(0, 4, (count, steps))
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])[None]
    frames = np.zeros((count, steps + 1, *size, 3), np.uint8)
    for e in range(count):
        ground = np.broadcast_to((columns // 4 % 2 * 20 + 30)[..., None], (*size, 3)).astype(np.uint8)
        at = rng.integers(0, (np.array(size) - 12) // 4 + 1) * 4
        for t in range(steps + 1):
            if t:
                at = np.clip(at + MOVES[actions[e, t - 1]], 0, np.array(size) - 12)
            inside = (rows >= at[0]) & (rows < at[0] + 12) & (columns >= at[1]) & (columns < at[1] + 12)
            frames[e, t] = np.where(inside[..., None], np.array([250, 200, 40], np.uint8), ground)
    return Recording(
        frames=frames,
        actions=actions.astype(np.int64),
        rewards=np.zeros((count, steps), np.float32),
        terminated=np.zeros((count, steps), bool),
        lengths=np.full(count, steps, np.int32),
        world_seeds=np.full(count, -1, np.int64),
        captions=np.zeros((count, steps + 1), np.int32),
    )


def write(folder: Path, recordings: Sequence[Recording], split: Any = "train") -> Path:
    """A dataset with a shard for each recording."""
    folder.mkdir(parents=True)
    rows = []
    for i, recording in enumerate(recordings):
        name = f"shard-{i:05d}.npz"
        rows.append((name, len(recording), write_shard(folder / name, recording)))
    h, w = recordings[0].frames.shape[2:4]
    info = DatasetInfo(
        env="pushed", env_args={}, action_space=SPACE, fps=10.0, size=(h, w), split=split, seed=0, shards=tuple(rows)
    )
    write_info(folder, info)
    return folder


def make(folder: Path, *, count: int = 8, steps: int = 16) -> Path:
    """Training data in two shards, and validation data beside it."""
    half = count // 2
    write(folder, [episodes(half, steps, seed=1), episodes(count - half, steps, seed=2)])
    write(folder.with_name(folder.name + "-validation"), [episodes(6, steps, seed=3)], "validation")
    return folder


#: Without clipping: the norm of a sharded gradient is summed up in another order, and Muon's bfloat16 makes its last
#: bit a thousand times larger.
STAGE = StageConfig(steps=6, batch=4, frames=4, lr=4e-3, warmup=2, validate_every=100, ema=0.9, clip=1e9)


def dit_task(stage: StageConfig = STAGE, *, seed: int = 0) -> DiTTask:
    """A small transformer on random latents."""
    torch.manual_seed(seed)
    config = DiTConfig(
        channels=4,
        width=32,
        depth=3,
        heads=2,
        kv_heads=1,
        window=4,
        registers=1,
        action_space=SPACE,
        action_scale=(1,) * 4,
    )
    rng = seeding.generator("latents", seed)
    recording = LatentRecording(
        tokens=torch.from_numpy(rng.standard_normal((5, 9, 4, 16)).astype(np.float16)),
        actions=np.eye(4, dtype=np.float32)[rng.integers(0, 4, (5, 8))],
        rewards=np.zeros((5, 8), np.float32),
        terminated=np.zeros((5, 8), bool),
        lengths=np.full(5, 9, np.int32),
        captions=np.zeros((5, 9), np.int32),
        table=("",),
        size=(4, 4),
    )
    return DiTTask(DiT(config, 4), DiTLossConfig(), stage, [recording], [1.0], seed=seed)


def small_codec(seed: int = 0) -> VideoCodec:
    torch.manual_seed(seed)
    return VideoCodec(CodecConfig(channels=8, encoder=(8, 16, 16), decoder=(16, 8, 8)))


class After(Stop):
    """It is time to leave after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def over(self) -> bool:
        self.left -= 1
        return self.left < 0
