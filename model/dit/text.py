"""The text encoder: words of the caption grammar to R vectors, trained together with the transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldsim.model.dit.config import DiTConfig


class TextEncoder(nn.Module):
    """A two-layer transformer over words, read out by one learned query a register."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        w = config.text_width
        self.words = nn.Embedding(len(config.vocabulary) + 2, w)  # padding and end come first
        self.position = nn.Parameter(0.02 * torch.randn(config.text_length, w))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(w, 4, 2 * w, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.queries = nn.Parameter(0.02 * torch.randn(config.registers, w))
        self.pool = nn.MultiheadAttention(w, 4, batch_first=True)
        self.out = nn.Linear(w, config.width)
        nn.init.normal_(self.words.weight, std=0.3)

    def forward(self, words: Tensor) -> Tensor:
        """(B, L) int64, 0 = padding -> (B, R, D); zeros for an empty prompt."""
        empty = (words == 0).all(dim=1)
        padding = words == 0
        padding = padding & ~empty[:, None]  # attention over nothing would be NaN; the row is zeroed below
        x = self.words(words) + self.position
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        queries = self.queries.expand(len(words), -1, -1)
        pooled, _ = self.pool(queries, x, x, key_padding_mask=padding, need_weights=False)
        out: Tensor = self.out(pooled) * (~empty)[:, None, None]
        return out
