"""Flow matching with x-prediction and shortcuts, as pure functions.

A frame at signal level tau is z = tau x + (1 - tau) e, with e standard normal. The network predicts x. A sampler with
K steps of size d = 1 / K moves from tau = 0 to 1 along v = (x - z) / (1 - tau); the network is told K, and learns for
K < 8 what two steps of half the size would have done (shortcut models, Frans et al., arXiv:2410.12557, equations 4 and
5; in x-space as in Dreamer 4, arXiv:2509.24527, equations 7 and 8).
"""

from __future__ import annotations

import torch
from torch import Tensor

FINEST = 3  # log2 of the largest number of steps, which flow matching trains; coarser levels are shortcuts


def mix(clean: Tensor, noise: Tensor, signal: Tensor) -> Tensor:
    """Noisy z at (B, F) signal levels, for (B, F, ...) clean and noise."""
    tau = signal.view(*signal.shape, *(1,) * (clean.ndim - signal.ndim))
    return tau * clean + (1 - tau) * noise


def move(noisy: Tensor, clean: Tensor, signal: Tensor, size: Tensor) -> Tensor:
    """One Euler step of (B, F) `size` from `noisy` at `signal` towards the predicted `clean`."""
    shape = (*signal.shape, *(1,) * (noisy.ndim - signal.ndim))
    share = (size / (1 - signal).clamp_min(1e-6)).view(shape)
    return noisy + share * (clean - noisy)


def weight(signal: Tensor) -> Tensor:
    """Loss weight 0.1 + 0.9 tau: what there is to see at low noise counts more (Dreamer 4, equation 9)."""
    return 0.1 + 0.9 * signal


def shortcut_target(
    noisy: Tensor, first: Tensor, second: Tensor, middle: Tensor, signal: Tensor, size: Tensor
) -> Tensor:
    """The clean frame that one step of `size` should aim at, from two steps of half the size.

    Args:
        noisy: z at `signal`.
        first: Prediction at z.
        second: Prediction at `middle`.
        middle: z after the first half step.
        signal: (B, F) tau.
        size: (B, F) d.
    """
    shape = (*signal.shape, *(1,) * (noisy.ndim - signal.ndim))
    tau, half = signal.view(shape), size.view(shape) / 2
    v = ((first - noisy) / (1 - tau) + (second - middle) / (1 - tau - half)) / 2
    return noisy + (1 - tau) * v


def levels(steps: int) -> int:
    """log2 of 1, 2, 4 or 8 steps. Raises ValueError for another number."""
    if steps not in (1, 2, 4, 8):
        raise ValueError(f"the sampler takes 1, 2, 4 or 8 steps, got {steps}")
    return steps.bit_length() - 1


def symlog(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|): rewards of any size (DreamerV3, arXiv:2301.04104)."""
    return torch.sign(x) * torch.log1p(x.abs())


def symexp(x: Tensor) -> Tensor:
    """Inverse of `symlog`."""
    return torch.sign(x) * torch.expm1(x.abs())
