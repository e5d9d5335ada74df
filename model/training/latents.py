"""Latents to train the transformer on: a dataset seen through the codec once, kept in half precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim import seeding
from worldsim.dataset import Recording
from worldsim.errors import ConfigError
from worldsim.model import actions as action_features
from worldsim.model.codec.network import VideoCodec, to_float
from worldsim.model.dit.patches import patchify


@dataclass(frozen=True, kw_only=True)
class LatentRecording:
    """A `Recording` as the transformer sees it.

    Attributes:
        tokens: (E, L, N, P) float16 patches of the latents.
        actions: (E, L - 1, A) float32 features, not yet scaled.
        rewards: (E, L - 1) float32.
        terminated: (E, L - 1) bool.
        lengths: (E,) valid latents.
        captions: (E, L) int32 into `table`.
        table: Texts.
        size: (h, w) latent cells.
    """

    tokens: Tensor
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    lengths: NDArray[np.int32]
    captions: NDArray[np.int32]
    table: tuple[str, ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.tokens)

    def cut(self, episodes: NDArray[np.int64], starts: NDArray[np.int64], frames: int) -> LatentClips:
        """Clip i is episode `episodes[i]` from latent `starts[i]` on; the two are (B,)."""
        at = starts[:, None] + np.arange(frames)
        steps = starts[:, None] + np.arange(frames - 1)
        e = episodes[:, None]
        return LatentClips(
            tokens=self.tokens[torch.from_numpy(np.broadcast_to(e, at.shape).copy()), torch.from_numpy(at)].float(),
            actions=self.actions[e, steps],
            rewards=self.rewards[e, steps],
            terminated=self.terminated[e, steps],
            captions=tuple(tuple(self.table[i] for i in row) for row in self.captions[e, at]),
            size=self.size,
        )


class Episodes(Protocol):
    """What clips of latents are cut from: a `LatentRecording`, or one in which episodes are replaced."""

    @property
    def lengths(self) -> NDArray[np.int32]:
        """(E,) valid latents."""
        ...

    def cut(self, episodes: NDArray[np.int64], starts: NDArray[np.int64], frames: int) -> LatentClips:
        """See `LatentRecording.cut`."""
        ...


@torch.no_grad()
def encode(
    codec: VideoCodec,
    recording: Recording,
    space: dict[str, object],
    patch: int,
    *,
    chunk: int = 8,
    progress: Callable[[int], None] = lambda n: None,
) -> LatentRecording:
    """Encodes every episode, `chunk` at a time. With temporal compression the steps of one latent are summed up."""
    c = codec.config.temporal
    device = next(codec.parameters()).device
    steps = recording.steps // c * c
    out = []
    for start in range(0, len(recording), chunk):
        frames = to_float(torch.from_numpy(recording.frames[start : start + chunk, : steps + 1])).to(device)
        out.append(patchify(codec.encode(frames), patch).half().cpu())
        progress(len(frames))
    tokens = torch.cat(out)
    h, w = recording.frames.shape[2] // 8, recording.frames.shape[3] // 8
    e = len(recording)
    features = action_features.features(recording.actions, space)[:, :steps]
    return LatentRecording(
        tokens=tokens,
        actions=features.reshape(e, steps // c, c, -1).mean(axis=2),
        rewards=recording.rewards[:, :steps].reshape(e, -1, c).sum(axis=2),
        terminated=np.asarray(recording.terminated[:, :steps].reshape(e, -1, c).any(axis=2), np.bool_),
        lengths=(recording.lengths // c + 1).astype(np.int32),
        captions=np.ascontiguousarray(recording.captions[:, : steps + 1 : c]),
        table=recording.caption_table,
        size=(h, w),
    )


@dataclass(frozen=True, kw_only=True)
class LatentClips:
    """Clips of one size: tokens (B, F, N, P) float32, actions (B, F - 1, A), and what goes with them."""

    tokens: Tensor
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    captions: tuple[tuple[str, ...], ...]
    size: tuple[int, int]


def draw_clips(
    recordings: Sequence[Episodes],
    shares: Sequence[float],
    *,
    frames: int,
    size: int,
    seed: tuple[str | int, ...],
) -> list[LatentClips]:
    """`size` clips of `frames` latents from recordings of several sizes, by their shares; one entry for each size.

    Raises:
        ConfigError: If no episode of a recording is long enough.
    """
    rng = seeding.generator("clips", *seed)
    which = rng.choice(len(recordings), size=size, p=np.asarray(shares) / np.sum(shares))
    out = []
    for index in np.unique(which):
        r = recordings[int(index)]
        long = np.flatnonzero(r.lengths >= frames)
        if not len(long):
            raise ConfigError(
                f"no episode has {frames} latents: the longest has {int(r.lengths.max())}; collect longer episodes "
                "(--steps) or lower `frames` in the recipe"
            )
        episodes = long[rng.integers(len(long), size=int((which == index).sum()))]
        starts = rng.integers(r.lengths[episodes] + 1 - frames)
        out.append(r.cut(episodes, starts, frames))
    return out
