"""The running mean of the weights: less noisy than the weights, and what is kept in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a module's trainable parameters, by name, in float32.

    Attributes:
        decay: Of the mean, once enough steps are done.
        values: The mean by the parameter's name; sharded where the parameter is.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {n: p.detach().float().clone() for n, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Takes in the weights after `step`. Early on the mean is shorter: (1 + step) / (10 + step)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, p in module.named_parameters():
            if name in self.values:
                self.values[name].lerp_(p.detach().float(), 1 - decay)


@contextlib.contextmanager
def applied(values: dict[str, Tensor], module: nn.Module) -> Iterator[None]:
    """Within the block the module has `values` as its weights, by name."""
    own = {n: p.detach().clone() for n, p in module.named_parameters() if n in values}
    try:
        assign(values, module)
        yield
    finally:
        assign(own, module)


@torch.no_grad()
def assign(values: dict[str, Tensor], module: nn.Module) -> None:
    """Copies `values` into the parameters of these names."""
    for name, p in module.named_parameters():
        if name in values:
            p.copy_(values[name])
