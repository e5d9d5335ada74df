"""The video codec: (B, T, 3, H, W) frames to (B, L, Z, H/8, W/8) latents and back.

Causal and streaming: a latent depends on its own and earlier frames only, and coding chunk by chunk with the carried
state gives what coding the whole gives. An image is a video of one frame. Latents are bounded by tanh (Dreamer 4,
arXiv:2509.24527, section 3.1) and standardised channel by channel with figures measured at the end of training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.errors import ShapeError
from worldsim.model.codec.config import SPACE, CodecConfig
from worldsim.model.codec.layers import Block, TimeMix, Up
from worldsim.model.codec.stream import DecoderState, EncoderState


class Encoder(nn.Module):
    """Frames to features, each frame alone: (N, 3, H, W) -> (N, C, H/8, W/8)."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        a, b, c = config.encoder
        n = config.blocks
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, a, 3, padding=1),
            *(Block(a) for _ in range(n)),
            nn.Conv2d(a, b, 3, stride=2, padding=1),
            *(Block(b) for _ in range(n)),
            nn.Conv2d(b, c, 3, stride=2, padding=1),
            *(Block(c) for _ in range(2 * n)),
            nn.GroupNorm(1, c),
            nn.SiLU(),
        )
        # A linear view of each 8x8 patch beside the convolutions: it learns the principal components within a few
        # hundred steps, and the convolutions learn what is missing.
        self.patch = nn.Conv2d(3, c, SPACE, stride=SPACE)
        self.to_latent = nn.Conv2d(c * config.temporal, config.channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.body(x) + self.patch(x - 0.5)
        return out


class Decoder(nn.Module):
    """Latents to frames."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        a, b, c = config.decoder
        n, self.temporal = config.blocks, config.temporal
        self.from_latent = nn.Conv2d(config.channels, a * config.temporal, 3, padding=1)
        self.time = TimeMix(a, config.time_kernel) if config.time_kernel > 1 else None
        self.body = nn.Sequential(
            *(Block(a) for _ in range(2 * n)),
            Up(a, b, 3),
            *(Block(b) for _ in range(n)),
            Up(b, c, 1),
            *(Block(c) for _ in range(n)),
            nn.SiLU(),
            nn.Conv2d(c, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self.patch = nn.ConvTranspose2d(a, 3, SPACE, stride=SPACE)  # the same linear short cut on the way back

    def forward(self, x: Tensor) -> Tensor:
        """Features, mixed in time, to frames: (N, C, h, w) -> (N, 3, 8h, 8w)."""
        out: Tensor = self.body(x) + self.patch(x) + 0.5
        return out


class VideoCodec(nn.Module):
    """Encoder and decoder with the statistics of the latents."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.register_buffer("latent_mean", torch.zeros(config.channels))
        self.register_buffer("latent_std", torch.ones(config.channels))

    def extra_repr(self) -> str:
        """What `print(codec)` says beside its parts: how much smaller latents are than frames."""
        return f"compression={self.config.compression:g}, temporal={self.config.temporal}"

    # -------------------------------------------------------------------------------------------------- whole videos

    def encode(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) in 0..1 -> (B, L, Z, H/8, W/8) standardised, L = 1 + (T - 1) / temporal.

        Raises:
            ShapeError: If T does not fill its last latent, H or W is no multiple of 8, or these are no frames at all.
        """
        latents, state = self.encode_chunk(frames, EncoderState())
        if state.pending is not None:
            c = self.config.temporal
            raise ShapeError(
                f"{frames.shape[1]} frames do not fill the latents of {c} frames each: expected 1 + {c}k frames"
            )
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """(B, L, Z, h, w) standardised -> (B, T, 3, 8h, 8w), about 0..1 (not clipped), T = 1 + (L - 1) temporal."""
        return self.decode_chunk(latents, DecoderState())[0]

    # ---------------------------------------------------------------------------------------------------- streaming

    def encode_chunk(self, frames: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """The latents that `frames` complete, and what is carried on. Arguments as for `encode`; any T >= 1."""
        if frames.ndim != 5 or frames.shape[2] != 3 or 0 in frames.shape:
            raise ShapeError(
                f"the codec reads frames (B, T, 3, H, W) with no axis of length 0, got {list(frames.shape)}"
            )
        b, t, _, h, w = frames.shape
        if h % SPACE or w % SPACE:
            raise ShapeError(f"frames must have height and width in multiples of {SPACE}, got {h}x{w}")
        features = self.encoder(frames.flatten(0, 1)).unflatten(0, (b, t))
        c = self.config.temporal
        if c == 1:
            return self._standardise(self._squash(features)), EncoderState(started=True)
        if not state.started:  # the first frame fills a latent alone: it counts c times
            features = torch.cat([features[:, :1].expand(-1, c - 1, -1, -1, -1), features], dim=1)
        if state.pending is not None:
            features = torch.cat([state.pending, features], dim=1)
        full = features.shape[1] // c
        if not full:
            none = features.new_zeros(b, 0, self.config.channels, h // SPACE, w // SPACE)
            return none, EncoderState(pending=features, started=True)
        grouped = features[:, : full * c].unflatten(1, (full, c)).flatten(2, 3)  # (B, full, c * C, h, w)
        rest = features[:, full * c :]
        latents = self._standardise(self._squash(grouped))
        return latents, EncoderState(pending=rest if rest.shape[1] else None, started=True)

    def decode_chunk(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """The frames of `latents`, and what is carried on. Arguments as for `decode`; any L, none included."""
        if latents.ndim != 5 or latents.shape[2] != self.config.channels:
            raise ShapeError(
                f"this codec decodes latents (B, L, {self.config.channels}, H/8, W/8), got {list(latents.shape)}"
            )
        b, n = latents.shape[:2]
        c, decoder = self.config.temporal, self.decoder
        if not n:
            return latents.new_zeros(b, 0, 3, SPACE * latents.shape[3], SPACE * latents.shape[4]), state
        x = decoder.from_latent(self.restore_scale(latents).flatten(0, 1)).unflatten(0, (b, n))
        x = x.unflatten(2, (c, -1)).flatten(1, 2)  # (B, L * c, C, h, w)
        if not state.started:
            x = x[:, c - 1 :]
        past = state.past
        if decoder.time is not None:
            if past is None:
                past = x.new_zeros(b, decoder.time.kernel - 1, *x.shape[2:])
            x, past = decoder.time(x, past)
        frames = decoder(x.flatten(0, 1)).unflatten(0, (b, x.shape[1]))
        return frames, DecoderState(past=past, started=True)

    # ------------------------------------------------------------------------------------------------------- scales

    def squash(self, frames: Tensor) -> Tensor:
        """Latents before standardisation, in -1..1, of frames that fill them: what training adds noise to."""
        return self.restore_scale(self.encode(frames))

    def restore_scale(self, latents: Tensor) -> Tensor:
        """Standardised latents back to -1..1."""
        return latents * self.latent_std.view(-1, 1, 1) + self.latent_mean.view(-1, 1, 1)

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Sets mean and standard deviation of each channel, (Z,), measured on latents before standardisation."""
        self.latent_mean.copy_(mean)
        self.latent_std.copy_(std.clamp_min(1e-3))

    def _squash(self, features: Tensor) -> Tensor:
        latents = torch.tanh(self.encoder.to_latent(features.flatten(0, 1)))
        return torch.unflatten(latents, 0, features.shape[:2])

    def _standardise(self, latents: Tensor) -> Tensor:
        return (latents - self.latent_mean.view(-1, 1, 1)) / self.latent_std.view(-1, 1, 1)


def to_float(frames: Tensor) -> Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) float32 in 0..1."""
    return frames.movedim(-1, -3).float() / 255


def to_uint8(frames: Tensor) -> Tensor:
    """(..., 3, H, W) about 0..1 -> (..., H, W, 3) uint8: clipped and rounded."""
    return (frames.float().clamp(0, 1) * 255).round().to(torch.uint8).movedim(-3, -1).contiguous()


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal to noise ratio in dB of values in 0..1, over all of them together."""
    return float(-10 * torch.log10(F.mse_loss(a.float(), b.float()).clamp_min(1e-10)))
