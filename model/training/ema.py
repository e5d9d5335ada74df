"""The running mean of the weights: less noisy than the weights, and what is kept in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a module's trainable parameters, by name, in float32."""

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

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Sets the mean."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @contextlib.contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Within the block the module has the mean as its weights."""
        own = {n: p.detach().clone() for n, p in module.named_parameters() if n in self.values}
        try:
            self._set(module, self.values)
            yield
        finally:
            self._set(module, own)

    @torch.no_grad()
    def _set(self, module: nn.Module, values: Mapping[str, Tensor]) -> None:
        for name, p in module.named_parameters():
            if name in values:
                p.copy_(values[name])
