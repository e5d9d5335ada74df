"""What a frame's denoising depends on beside latents, and what the transformer answers: plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LEVELS = 4  # step sizes 1, 1/2, 1/4, 1/8: 1, 2, 4 and 8 denoising steps


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a frame's denoising depends on beside latents; B clips, F frames.

    Attributes:
        signal: (B, F) tau in 0..1: 0 = pure noise, 1 = clean.
        level: (B, F) int64, log2 of the number of steps the sampler takes.
        previous_noise: (B, F) standard deviation of the noise on the latent before.
        has_previous: (B, F) bool, False where nothing comes before.
        actions: (B, F, A) features of the action that leads to the frame; zero where there is none.
        has_action: (B, F) bool.
        text: (B, F, R, D) of `DiT.read`, or None: no prompt.
        backward: (B,) bool: time runs backwards, or None: forwards.
    """

    signal: Tensor
    level: Tensor
    previous_noise: Tensor
    has_previous: Tensor
    actions: Tensor
    has_action: Tensor
    text: Tensor | None = None
    backward: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """What the transformer says of each frame.

    Attributes:
        clean: (B, F, N, P) the clean patches.
        reward: (B, F) of the step that leads to the frame, symlog scale.
        end: (B, F) logit: that step ends the episode.
    """

    clean: Tensor
    reward: Tensor
    end: Tensor


def fourier(x: Tensor) -> Tensor:
    """(...) in 0..1 -> (..., 64): sines and cosines of frequencies from 1/4 to 64 turns."""
    frequencies = 0.25 * 256 ** (torch.arange(32, device=x.device, dtype=torch.float32) / 31)
    turns = 2 * math.pi * x.float()[..., None] * frequencies
    return torch.cat([turns.sin(), turns.cos()], dim=-1)
