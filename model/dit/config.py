"""The shape of a diffusion transformer, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from worldsim.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """Settings of a `DiT`.

    Attributes:
        channels: Z, channels of the codec's latents.
        patch: Latent cells in a token, in each direction.
        width: D, of a token.
        depth: Layers.
        heads: Query heads; width / heads must be a multiple of 8.
        kv_heads: Key and value heads (grouped-query attention).
        mlp: Hidden width of the feed-forward part over D.
        registers: R, tokens of each frame that are not of a place; they carry the text.
        time_every: Each n-th layer looks at the frames before; the others at their own frame only.
        time_attention: What a time layer sees of them: "full" = every token (things that move are found again),
            "axial" = the same place only (cheaper with many tokens).
        window: W, frames before the current one that are kept.
        previous: The latent before is part of the input.
        text_length: Words of a prompt, 0 = no text.
        text_width: Of the text encoder.
        vocabulary: Its words.
        action_space: `worldsim.spaces.describe` of one action.
        action_scale: One number a feature: features are divided by it.
        temporal: Frames in one latent, as in the codec.
    """

    channels: int = 16
    patch: int = 2
    width: int = 256
    depth: int = 6
    heads: int = 8
    kv_heads: int = 4
    mlp: float = 2.0
    registers: int = 2
    time_every: int = 3
    time_attention: Literal["full", "axial"] = "full"
    window: int = 16
    previous: bool = True
    text_length: int = 0
    text_width: int = 128
    vocabulary: tuple[str, ...] = ()
    action_space: Mapping[str, Any] = field(default_factory=lambda: {"type": "discrete", "n": 1})
    action_scale: tuple[float, ...] = ()
    temporal: int = 1

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 8:
            raise ConfigError(f"width / heads must be a multiple of 8, got {self.width} / {self.heads}")
        if self.heads % self.kv_heads:
            raise ConfigError(f"heads must be a multiple of kv_heads, got {self.heads} and {self.kv_heads}")
        if min(self.depth, self.time_every, self.window, self.patch) < 1 or self.time_every > self.depth:
            raise ConfigError(
                "a DiT needs depth, time_every, window and patch of at least 1 and time_every <= depth, got "
                f"{self.depth}, {self.time_every}, {self.window} and {self.patch}"
            )
        if self.text_length and self.registers < 1:
            raise ConfigError("text is carried by registers: registers must be at least 1")

    @property
    def head(self) -> int:
        """Width of one head."""
        return self.width // self.heads

    @property
    def token(self) -> int:
        """P, numbers of one patch."""
        return self.channels * self.patch * self.patch

    @property
    def time_layers(self) -> tuple[int, ...]:
        """Indices of the layers that look back."""
        return tuple(i for i in range(self.depth) if (i + 1) % self.time_every == 0)
