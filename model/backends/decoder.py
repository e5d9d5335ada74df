"""The decoder's step during play as one module of tensors only, so that it can be compiled and exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldsim.model.codec.network import VideoCodec
from worldsim.model.codec.stream import DecoderState


class DecoderNet(nn.Module):
    """(B, 1, Z, h, w) latents and what the decoder looks back on -> (B, n, 3, 8h, 8w) and the next of it."""

    def __init__(self, codec: VideoCodec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, latents: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """See the class. `past` is (B, time_kernel - 1, C, h, w); B x 0 ... where the decoder has no memory."""
        state = DecoderState(past=past if past.shape[1] else None, started=True)
        frames, after = self.codec.decode_chunk(latents, state)
        return frames, past if after.past is None else after.past


def empty_past(codec: VideoCodec, latents: Tensor) -> Tensor:
    """What the decoder looks back on before the first latent: zeros."""
    config = codec.config
    size = (len(latents), config.time_kernel - 1, config.decoder[0], *latents.shape[-2:])
    return torch.zeros(size, device=latents.device)
