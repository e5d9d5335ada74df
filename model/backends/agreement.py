"""How far a back end lies from the network as it is: of one frame, and of rollouts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.model.backends.base import Backend
from worldsim.model.codec.network import VideoCodec, psnr
from worldsim.model.codec.stream import DecoderState
from worldsim.model.dit.network import DiT
from worldsim.model.dit.patches import unpatchify
from worldsim.model.engine.sampler import SamplerConfig
from worldsim.model.engine.worlds import Worlds


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A back end against the transformer pass by pass in float32.

    Attributes:
        relative: RMS difference of the first clean latents over their RMS.
        first: PSNR in dB between the first frames; 100 where they are equal.
        later: PSNR between the frames at the horizon, each rollout going on from its own frames.
        horizon: Of `later`.
    """

    relative: float
    first: float
    later: float
    horizon: int


@torch.no_grad()
def agreement(
    backend: Backend,
    codec: VideoCodec,
    dit: DiT,
    sampler: SamplerConfig,
    *,
    size: tuple[int, int] = (8, 8),
    batch: int = 2,
    horizon: int = 16,
    seed: int = 0,
) -> Agreement:
    """Rolls out both from the same context of noise, with the same random actions.

    Args:
        backend: Of the same weights and settings.
        codec: The codec as it is.
        dit: The transformer as it is.
        sampler: As the back end was made with.
        size: (h, w) latent cells.
        batch: Worlds.
        horizon: Frames.
        seed: Of context, actions and worlds.
    """
    generator = torch.Generator().manual_seed(seed)
    config = dit.config
    tokens = size[0] * size[1] // config.patch**2
    context = torch.randn(batch, 4, tokens, config.token, generator=generator)
    actions = torch.randn(batch, 3 + horizon, dit.action_features, generator=generator)
    truth = Worlds(dit, sampler, batch, size)
    other = Worlds(dit, sampler, batch, size, network=backend.network, dtype=backend.dtype)
    for worlds in (truth, other):
        worlds.start(range(batch), context, actions[:, :3], [seed + i for i in range(batch)])
    states = [DecoderState(started=True), DecoderState(started=True)]
    relative = first = later = 0.0
    for t in range(horizon):
        a, b = (worlds.step(actions[:, 3 + t]).clean for worlds in (truth, other))
        frames: list[Tensor] = []
        for i, clean in enumerate((a, b)):
            latents = unpatchify(clean, size, config.patch)[:, None]
            decode = codec.decode_chunk if i == 0 else backend.decode
            frame, states[i] = decode(latents, states[i])
            frames.append(frame.clamp(0, 1))
        later = psnr(*frames)
        if t == 0:
            relative, first = float((a - b).square().mean().sqrt() / a.square().mean().sqrt()), later
    return Agreement(relative=relative, first=first, later=later, horizon=horizon)
