"""One layer of the transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.model.dit.attention import History, Norm, Projections, attend_space
from worldsim.model.dit.config import DiTConfig


class Layer(nn.Module):
    """Attention and a gated feed-forward part, both modulated."""

    def __init__(self, config: DiTConfig, index: int) -> None:
        super().__init__()
        self.index, self.time = index, index in config.time_layers
        self.attention = Projections(config)
        # Axial time attention comes beside the space attention; full time attention contains it.
        self.over_time = Projections(config) if self.time and config.time_attention == "axial" else None
        self.norm = Norm(config.width, affine=False)
        hidden = int(config.mlp * config.width)
        self.up, self.down = nn.Linear(config.width, 2 * hidden), nn.Linear(hidden, config.width)
        self.bias = nn.Parameter(torch.zeros(6, config.width))
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(
        self, x: Tensor, modulation: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None, history: History
    ) -> Tensor:
        """Maps x (B, F, M, D), with modulation (B, F, 1, 6, D), turn of `space_turn`, mask (B, 1, 1, M) or None."""
        m = modulation + self.bias.to(modulation.dtype)
        scale, shift, gate, scale2, shift2, gate2 = m.unbind(dim=-2)
        q, k, v = self.attention.split(self.norm(x) * (1 + scale) + shift, turn)
        if self.time and self.over_time is None:
            seen = history.attend(self.index, q, k, v)
        else:
            seen = attend_space(q, k, v, mask)
        x = x + (1 + gate) * self.attention.out(seen.flatten(-2))
        if self.over_time is not None:
            q, k, v = self.over_time.split(self.norm(x) * (1 + scale) + shift, turn)
            x = x + (1 + gate) * self.over_time.out(history.attend(self.index, q, k, v).flatten(-2))
        a, b = self.up(self.norm(x) * (1 + scale2) + shift2).chunk(2, dim=-1)
        out: Tensor = x + (1 + gate2) * self.down(F.silu(a) * b)
        return out
