"""How good a transformer is at play: rollouts from validation clips that move, in dB against the truth.

The same figures decide whether a checkpoint may be released (docs/model.md): against the last context frame
(copy-last), and with true actions against those of another world (shuffled).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim import seeding
from worldsim.errors import ConfigError
from worldsim.model.codec.network import VideoCodec, to_float, to_uint8
from worldsim.model.dit.network import DiT
from worldsim.model.dit.patches import patchify, unpatchify
from worldsim.model.engine.sampler import SamplerConfig
from worldsim.model.engine.worlds import Worlds
from worldsim.moving import moving_start, psnr
from worldsim.types import Frames


@dataclass(frozen=True, kw_only=True)
class Starts:
    """Clips to roll out from.

    Attributes:
        frames: (B, C + H, H, W, 3) uint8 truth.
        tokens: (B, K, N, P) latents of the context, K = C without compression in time.
        actions: (B, L - 1, A) scaled features, one for each latent but the first.
        context: C, frames.
        size: (h, w) latent cells.
        words: (B, L) int64 or None.
    """

    frames: Frames
    tokens: Tensor
    actions: Tensor
    context: int
    size: tuple[int, int]
    words: Tensor | None = None

    @property
    def horizon(self) -> int:
        """Frames to predict."""
        return int(self.frames.shape[1]) - self.context

    def rows(self, start: int, stop: int) -> Starts:
        """Some of the clips."""
        return Starts(
            frames=self.frames[start:stop],
            tokens=self.tokens[start:stop],
            actions=self.actions[start:stop],
            context=self.context,
            size=self.size,
            words=None if self.words is None else self.words[start:stop],
        )


def find_starts(
    frames: Frames, features: NDArray[np.float32], *, context: int, horizon: int, count: int, seed: int
) -> tuple[Frames, NDArray[np.float32]]:
    """Cuts moving clips, at most one an episode.

    Args:
        frames: (E, T+1, H, W, 3) uint8.
        features: (E, T, A).
        context: C.
        horizon: H.
        count: At most so many.
        seed: Of where in the episode.

    Returns:
        (B, C + H, H, W, 3) frames and (B, C + H - 1, A) features.

    Raises:
        ConfigError: If nothing moves, or the episodes are too short.
    """
    if frames.shape[1] < context + horizon:
        raise ConfigError(
            f"validation rolls {horizon} frames out from {context}, but its episodes have {frames.shape[1]} frames: "
            "collect longer ones, or lower context or horizon in the recipe"
        )
    rng = seeding.generator("starts", seed)
    clips, acts = [], []
    for e in range(len(frames)):
        order = rng.permutation(frames.shape[1] + 1 - context - horizon)[:8]
        s = moving_start(frames[e], order, context=context, horizon=horizon)
        if s is not None:
            clips.append(frames[e, s : s + context + horizon])
            acts.append(features[e, s : s + context + horizon - 1])
        if len(clips) == count:
            break
    if not clips:
        raise ConfigError("no validation clip moves: collect episodes in which the camera moves")
    return np.stack(clips), np.stack(acts)


@torch.no_grad()
def prepare(codec: VideoCodec, frames: Frames, features: NDArray[np.float32], *, context: int, patch: int) -> Starts:
    """Encodes the contexts of clips; `features` (B, C + H - 1, A) are scaled.

    Raises:
        ConfigError: If context and horizon do not fill latents.
    """
    c, horizon = codec.config.temporal, frames.shape[1] - context
    if (context - 1) % c or horizon % c:
        raise ConfigError(
            f"with {c} frames in a latent, validation needs a context of 1 + {c}k frames and a horizon of {c}k, got "
            f"{context} and {horizon}: change them in the recipe"
        )
    features = features.reshape(len(features), -1, c, features.shape[-1]).mean(axis=2)  # as in `latents.encode`
    device = next(codec.parameters()).device
    parts = [to_float(torch.from_numpy(part)).to(device) for part in _chunks(frames[:, :context])]
    tokens = [patchify(codec.encode(part), patch) for part in parts]
    h, w = frames.shape[2] // 8, frames.shape[3] // 8
    return Starts(
        frames=frames, tokens=torch.cat(tokens), actions=torch.from_numpy(features), context=context, size=(h, w)
    )


@torch.no_grad()
def roll(
    dit: DiT,
    codec: VideoCodec,
    starts: Starts,
    sampler: SamplerConfig,
    *,
    actions: Tensor | None = None,
    seed: int = 0,
    batch: int = 16,
) -> Frames:
    """Rolls out all starts: (B, H, H, W, 3) uint8. `actions` replaces those of the truth."""
    out = []
    acts = starts.actions if actions is None else actions
    device = next(dit.parameters()).device
    for first in range(0, len(starts.frames), batch):
        part = starts.rows(first, first + batch)
        a = acts[first : first + batch].to(device)
        worlds = Worlds(dit, sampler, len(part.frames), starts.size, device=device)
        seeds = [seeding.hash_seed("rollout", seed, first + i) for i in range(len(part.frames))]
        rows = range(len(part.frames))
        words = None if part.words is None else part.words.to(device)
        known = part.tokens.shape[1]
        worlds.start(rows, part.tokens.to(device), a[:, : known - 1], seeds, words)
        latents = [worlds.step(a[:, t]).clean for t in range(known - 1, a.shape[1])]
        tokens = torch.cat([part.tokens.to(device), torch.stack(latents, dim=1)], dim=1)
        frames = codec.decode(unpatchify(tokens, starts.size, dit.config.patch))[:, starts.context :]
        out.append(to_uint8(frames).cpu().numpy())
    return np.concatenate(out)


def figures(
    dit: DiT, codec: VideoCodec, starts: Starts, steps: Sequence[int], horizons: Sequence[int] = (1, 4, 8, 16)
) -> tuple[dict[str, float], Any]:
    """Mean PSNR at some horizons for each number of steps, copy-last and shuffled actions, and a picture."""
    truth = starts.frames[:, starts.context :]
    last = np.broadcast_to(starts.frames[:, starts.context - 1, None], truth.shape)
    named: dict[str, Frames] = {"copy": last}
    for k in steps:
        named[f"steps{k}"] = roll(dit, codec, starts, SamplerConfig(steps=k))
    turned = starts.actions.roll(1, dims=0)
    named["shuffled"] = roll(dit, codec, starts, SamplerConfig(steps=steps[0]), actions=turned)
    out: dict[str, float] = {}
    for name, frames in named.items():
        mean = psnr(frames, truth).mean(axis=0)
        out |= {f"{name}@{h}": round(float(mean[h - 1]), 3) for h in horizons if h <= len(mean)}
    return out, strip(truth, named[f"steps{steps[0]}"], rows=6)


def strip(truth: Frames, generated: Frames, *, rows: int, every: int = 2) -> NDArray[np.uint8]:
    """A picture: truth above generation, for some clips, each `every`-th frame."""
    lines = []
    for a, b in list(zip(truth, generated, strict=True))[:rows]:
        lines += [np.concatenate(list(a[::every]), axis=1), np.concatenate(list(b[::every]), axis=1)]
    return np.concatenate(lines, axis=0)


def _chunks(frames: Frames, size: int = 16) -> list[Frames]:
    return [np.ascontiguousarray(frames[i : i + size]) for i in range(0, len(frames), size)]
