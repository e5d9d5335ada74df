"""The least time that a frame can take: its floating-point operations over what this machine does in a second."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from worldsim.model.backends.decoder import DecoderNet, empty_past
from worldsim.model.backends.packed import packed
from worldsim.model.bench.timing import interleaved
from worldsim.model.codec.network import VideoCodec
from worldsim.model.dit.config import DiTConfig


def pass_flops(config: DiTConfig, tokens: int, frames: int = 1) -> float:
    """Operations of one pass over `frames` frames of `tokens` patches with a full window; a multiply-add counts as two.

    Norms, gates and softmax are left out: they are below two per cent of it.
    """
    d, m = config.width, config.registers + tokens
    hidden = int(config.mlp * d)
    kv = 2 * config.kv_heads * config.head
    layer = d * (d + kv) + d * d + d * 2 * hidden + hidden * d
    edges = tokens * (config.token * (2 if config.previous else 1) + config.token + 2) * d + 8 * d * d
    t = len(config.time_layers)
    seen = (config.depth - t) * m + t * m * (config.window + frames)
    return 2.0 * frames * (config.depth * m * layer + edges + 2 * m * d * seen)


def decoder_flops(codec: VideoCodec, size: tuple[int, int]) -> float:
    """Operations to decode one latent of (h, w) cells, counted by torch."""
    latents = torch.zeros(1, 1, codec.config.channels, *size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        DecoderNet(codec)(latents, empty_past(codec, latents))
    return float(counter.get_total_flops())


def peak(rounds: int = 20) -> dict[str, float]:
    """GFLOP/s of this machine in float32: the fastest of many calls, plain layers of torch and packed ones.

    The linear layer has 288 rows, as 16 worlds have; the convolution is of 64 channels at 64x64.
    """
    linear, conv = nn.Linear(256, 1024), nn.Conv2d(64, 64, 3, padding=1)
    rows, picture = torch.randn(288, 256), torch.randn(1, 64, 64, 64)
    fast = packed(nn.ModuleList([linear, conv]))
    work = {"linear": 2.0 * 288 * 256 * 1024, "conv": 2.0 * 64 * 64 * 9 * 64 * 64}
    with torch.no_grad():
        seconds = interleaved(
            {
                "linear": lambda: linear(rows),
                "linear packed": lambda: fast[0](rows),
                "conv": lambda: conv(picture),
                "conv packed": lambda: fast[1](picture),
            },
            rounds=rounds,
        )
    return {name: round(work[name.split()[0]] / min(s) / 1e9, 1) for name, s in seconds.items()}
