"""What a codec carries from one chunk of frames to the next: plain values, so that they can be kept and set back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class EncoderState:
    """Frames that wait for their latent to be full.

    Attributes:
        pending: (B, p, C, h, w) features of p < temporal frames, or None.
        started: Whether the first frame, which has a latent of its own, is over.
    """

    pending: Tensor | None = None
    started: bool = False


@dataclass(frozen=True, kw_only=True)
class DecoderState:
    """Features that the decoder's temporal layer looks back on.

    Attributes:
        past: (B, time_kernel - 1, C, h, w), or None before the first latent (which sees zeros).
        started: Whether the first latent, which gives one frame only, is over.
    """

    past: Tensor | None = None
    started: bool = False
