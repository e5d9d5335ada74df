"""The shape of a codec, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from worldsim.errors import ConfigError

SPACE = 8  # pixels a latent cell, in each direction


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """Settings of a `VideoCodec`.

    Attributes:
        channels: Z, numbers in one latent cell.
        encoder: Widths at 1/2, 1/4 and 1/8 of the frame's size.
        decoder: Widths at 1/8, 1/4 and 1/2 of the frame's size. Small: the decoder runs at every frame of play.
        blocks: Residual blocks at each level of encoder and decoder; two at 1/8.
        time_kernel: Frames that the decoder's one temporal layer sees: this one and those before. 1 = no memory.
        temporal: c, frames in one latent: 1, 2 or 4. The first frame has a latent of its own, as an image has.
    """

    channels: int = 16
    encoder: tuple[int, int, int] = (48, 96, 128)
    decoder: tuple[int, int, int] = (96, 64, 40)
    blocks: int = 1
    time_kernel: int = 2
    temporal: int = 1

    def __post_init__(self) -> None:
        if self.temporal not in (1, 2, 4):
            raise ConfigError(f"temporal must be 1, 2 or 4 frames in one latent, got {self.temporal}")
        if self.channels < 1 or self.blocks < 0 or self.time_kernel < 1:
            raise ConfigError(
                "a codec needs channels >= 1, blocks >= 0 and time_kernel >= 1, "
                f"got {self.channels}, {self.blocks} and {self.time_kernel}"
            )
        if len(self.encoder) != 3 or len(self.decoder) != 3:
            raise ConfigError(f"encoder and decoder have three widths, got {self.encoder} and {self.decoder}")

    @property
    def compression(self) -> float:
        """Numbers in the frames of one latent over the numbers in that latent."""
        return 3 * SPACE * SPACE * self.temporal / self.channels
