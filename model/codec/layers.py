"""Building blocks of the codec. All work frame by frame, (N, C, H, W), but `TimeMix`, which sees the past only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two 3x3 convolutions beside a skip, no norm: the second starts at zero, so depth costs nothing at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias if self.second.bias is not None else torch.empty(0))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        out: Tensor = x + self.second(F.silu(self.first(F.silu(x))))
        return out


class Up(nn.Module):
    """Twice the size: a convolution to four times the channels, then pixels from channels."""

    def __init__(self, width: int, out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 4 * out, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, out, 2H, 2W)."""
        return F.pixel_shuffle(self.conv(F.silu(x)), 2)


class TimeMix(nn.Module):
    """Adds to each frame a linear map of the `kernel - 1` frames before it; before the first there are zeros."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.mix = nn.Conv2d(width * kernel, width, 1)
        nn.init.zeros_(self.mix.weight)
        if self.mix.bias is not None:
            nn.init.zeros_(self.mix.bias)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Mixes.

        Args:
            x: (B, T, C, h, w).
            past: (B, kernel - 1, C, h, w), the frames before.

        Returns:
            The mixed frames, and the past of the next call.
        """
        b, t, c, h, w = x.shape
        both = torch.cat([past, x], dim=1)  # (B, kernel - 1 + T, C, h, w)
        seen = torch.cat([both[:, k : k + t] for k in range(self.kernel)], dim=2)  # (B, T, kernel * C, h, w)
        mixed = self.mix(F.silu(seen.flatten(0, 1))).view(b, t, c, h, w)
        return x + mixed, both[:, t:]
