"""Training of the codec: clips in, the loss of their reconstruction out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim import seeding
from worldsim.model.codec.losses import (
    Discriminator,
    LossScales,
    discriminator_loss,
    edge_loss,
    generator_loss,
    mask_patches,
)
from worldsim.model.codec.network import VideoCodec, psnr, to_float, to_uint8
from worldsim.model.training.config import CodecLossConfig, StageConfig
from worldsim.model.training.data import ClipSource
from worldsim.types import Frames


class CodecLoss(nn.Module):
    """Codec, discriminator and the scales of the losses as one module, so that one backward pass serves all."""

    def __init__(self, codec: VideoCodec, config: CodecLossConfig) -> None:
        super().__init__()
        self.codec, self.config = codec, config
        self.discriminator = Discriminator() if config.adversarial > 0 else None
        names = ("mse", "l1", "edge", *(("adversarial",) if self.discriminator is not None else ()))
        self.scales = LossScales(names)

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its terms.

        Args:
            batch: "frames" (B, T, 3, H, W) in 0..1, "masked" the same with hidden patches, "noise" (B, L, Z, h, w),
                "adversarial" scalar 0 or 1.
        """
        frames, codec = batch["frames"], self.codec
        latents = codec.encode(batch["masked"]) + self.config.noise * batch["noise"] / codec.latent_std.view(-1, 1, 1)
        decoded = codec.decode(latents)[:, : frames.shape[1]].float()
        fake, real = decoded.flatten(0, 1), frames.flatten(0, 1)
        terms = {"mse": F.mse_loss(fake, real), "l1": F.l1_loss(fake, real), "edge": edge_loss(fake, real)}
        weights = {"mse": self.config.mse, "l1": self.config.l1, "edge": self.config.edge}
        extra = fake.new_zeros(())
        if self.discriminator is not None and float(batch["adversarial"]) > 0:
            self.discriminator.requires_grad_(False)
            terms["adversarial"] = generator_loss(self.discriminator(fake))
            self.discriminator.requires_grad_(True)
            weights["adversarial"] = self.config.adversarial
            extra = discriminator_loss(self.discriminator(real), self.discriminator(fake.detach()))
        total = self.scales(terms, weights) + extra
        return total, {**{k: v.detach() for k, v in terms.items()}, "discriminator": extra.detach()}


class CodecTask:
    """The stage "codec"."""

    name = "codec"
    plain: tuple[str, ...] = ("patch", "encoder.body.1.", "to_latent", "from_latent", "discriminator")

    def __init__(
        self,
        codec: VideoCodec,
        loss: CodecLossConfig,
        stage: StageConfig,
        train: ClipSource,
        validation: Frames,
        *,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """Prepares the stage; `validation` is (N, T, H, W, 3) uint8."""
        self.codec, self.stage, self.seed, self.device = codec, stage, seed, device
        self.module = CodecLoss(codec, loss).to(device)
        self.unused = self.module.discriminator is not None  # it waits for its share of the steps
        fitting = (validation.shape[1] - 1) // codec.config.temporal * codec.config.temporal + 1
        self._source, self._validation = train, validation[:, :fitting]

    def batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Frames, masked frames and noise of one step."""
        clips = self._source.batch(step, self.stage.batch // world, rank, world)
        generator = torch.Generator().manual_seed(seeding.hash_seed("codec", self.seed, step, rank))
        frames = to_float(torch.from_numpy(clips.frames))
        config = self.codec.config
        loss = self.module.config
        assert isinstance(loss, CodecLossConfig)
        masked = mask_patches(frames.flatten(0, 1), loss.mask_share, loss.mask_ratio, generator).view_as(frames)
        b, t, _, h, w = frames.shape
        count = 1 + (t - 1) // config.temporal
        noise = torch.randn(b, count, config.channels, h // 8, w // 8, generator=generator)
        on = step >= loss.adversarial_from * self.stage.steps
        batch = {"frames": frames, "masked": masked, "noise": noise, "adversarial": torch.tensor(float(on))}
        return {k: v.to(self.device) for k, v in batch.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """PSNR of the round trip in dB, without noise or masks."""
        frames = to_float(torch.from_numpy(self._validation)).to(self.device)
        return {"psnr": psnr(self._round_trip(frames), frames)}

    @torch.no_grad()
    def picture(self) -> NDArray[np.uint8]:
        """Frames above their round trip."""
        shown = torch.from_numpy(self._validation[:8, :1])
        decoded = to_uint8(self._round_trip(to_float(shown).to(self.device))).cpu().numpy()
        rows = [np.concatenate(list(x[:, 0]), axis=1) for x in (shown.numpy(), decoded)]
        return np.concatenate(rows, axis=0)

    @torch.no_grad()
    def finish(self, batches: int = 50) -> None:
        """Measures the latents: the mean of each channel, one standard deviation for all.

        One scale for all keeps the codec's own order of importance: channels that say little stay small, so that the
        transformer's loss does not spend itself on them.
        """
        self.codec.set_statistics(torch.zeros(()), torch.ones(()))
        latents = []
        for i in range(batches):
            clips = self._source.batch(i, self.stage.batch, 0, 1)
            frames = to_float(torch.from_numpy(clips.frames)).to(self.device)
            latents.append(self.codec.encode(frames).flatten(0, 1))
        every = torch.cat(latents)
        mean = every.mean(dim=(0, 2, 3))
        std = (every - mean.view(-1, 1, 1)).square().mean().sqrt()
        self.codec.set_statistics(mean, std.expand_as(mean))

    def _round_trip(self, frames: Tensor) -> Tensor:
        parts = [self.codec.decode(self.codec.encode(part)) for part in torch.split(frames, 8)]
        return torch.cat(parts).clamp(0, 1)


def measure(codec: VideoCodec, frames: Frames) -> dict[str, Any]:
    """Round-trip PSNR in dB and the compression ratio, for the model card."""
    c = codec.config.temporal
    frames = np.ascontiguousarray(frames[:, : (frames.shape[1] - 1) // c * c + 1])
    with torch.no_grad():
        x = to_float(torch.from_numpy(frames)).to(next(codec.parameters()).device)
        y = torch.cat([codec.decode(codec.encode(part)) for part in torch.split(x, 8)]).clamp(0, 1)
    return {"psnr": psnr(y, x), "compression": codec.config.compression}
