"""What a codec is trained for: pixels, edges at several scales and, with a flag, a discriminator.

The terms have different scales that change while training, and their balance decides what is learned. So each is
divided by its own running root mean square before it is weighted (Dreamer 4, arXiv:2509.24527, section 3.1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_DECAY = 0.99  # of the running mean square: about the last hundred steps


class LossScales(nn.Module):
    """Divides each loss term by its running RMS. The running values are buffers: they are saved and resumed."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        for name in names:
            self.register_buffer(f"square_{name}", torch.zeros(()))

    def forward(self, terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
        """The weighted sum of the normalised terms, each a scalar."""
        total = torch.zeros((), device=next(iter(terms.values())).device)
        for name, term in terms.items():
            square = getattr(self, f"square_{name}")
            value = term.detach().float().square()
            square.copy_(torch.where(square == 0, value, _DECAY * square + (1 - _DECAY) * value))
            total = total + weights[name] * term / square.sqrt().clamp_min(1e-8)
        return total


def edge_loss(a: Tensor, b: Tensor, scales: int = 3) -> Tensor:
    """Mean absolute difference of horizontal and vertical gradients at 1, 1/2, 1/4 ... of the size.

    Stands in for a perceptual loss without weights from elsewhere: what the eye misses first in a blurred picture is
    its edges (gradient difference loss, Mathieu et al., arXiv:1511.05440, equation 6). (N, 3, H, W) each, scalar.
    """
    total = a.new_zeros(())
    for scale in range(scales):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        total = total + (a.diff(dim=-1) - b.diff(dim=-1)).abs().mean() + (a.diff(dim=-2) - b.diff(dim=-2)).abs().mean()
    return total / scales


class Discriminator(nn.Module):
    """Says for overlapping patches of a frame whether they are real: (N, 3, H, W) -> (N, 1, H/8, W/8) logits.

    The patch discriminator of Isola et al., arXiv:1611.07004, with spectral norms instead of batch statistics.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.spectral_norm
        self.body = nn.Sequential(
            norm(nn.Conv2d(3, width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            norm(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.body(x)
        return out


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator (Lim and Ye, arXiv:1705.02894)."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def generator_loss(fake: Tensor) -> Tensor:
    """Hinge loss of the decoder."""
    return -fake.mean()


def mask_patches(frames: Tensor, share: float, ratio: float, generator: torch.Generator, patch: int = 8) -> Tensor:
    """Greys out random patches of some frames, as a masked autoencoder does (He et al., arXiv:2111.06377).

    Args:
        frames: (N, 3, H, W).
        share: Share of the frames that are masked at all.
        ratio: Largest share of a frame's patches; each frame draws its own.
        generator: The draws.
        patch: Size in pixels.
    """
    n, _, h, w = frames.shape
    if share <= 0 or ratio <= 0:
        return frames
    draw = torch.rand(n, 1, h // patch, w // patch, generator=generator)
    limit = ratio * torch.rand(n, 1, 1, 1, generator=generator)
    limit = limit * (torch.rand(n, 1, 1, 1, generator=generator) < share)
    hidden = F.interpolate((draw < limit).float(), scale_factor=patch, mode="nearest").to(frames)
    return frames * (1 - hidden) + 0.5 * hidden
