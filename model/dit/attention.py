"""Attention of the transformer: within a frame, and over frames through a `History`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldsim.model.dit.config import DiTConfig
from worldsim.model.dit.rotary import rotate, time_turn


class History(Protocol):
    """What a time layer may look at."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The result for q (B, F, M, heads, head), given the frames' own k and v (B, F, M, kv heads, head)."""
        ...


class Norm(nn.Module):
    """RMS norm (arXiv:1910.07467) whose scale follows the dtype of what it is given: fused in every precision."""

    def __init__(self, width: int, *, affine: bool = True) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.ones(width)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same."""
        return F.rms_norm(x, (self.width,), None if self.weight is None else self.weight.to(x.dtype), 1e-6)


class Projections(nn.Module):
    """Queries, keys and values with norms on queries and keys (Henry et al., arXiv:2010.04245), and the way back."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.heads, self.kv, self.head = config.heads, config.kv_heads, config.head
        self.qkv = nn.Linear(config.width, (self.heads + 2 * self.kv) * self.head, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.q_norm, self.k_norm = Norm(self.head), Norm(self.head)
        nn.init.zeros_(self.out.weight)

    def split(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """(B, F, M, D) -> q (B, F, M, heads, head), k and v (B, F, M, kv heads, head), turned by their place."""
        q, k, v = self.qkv(x).unflatten(-1, (-1, self.head)).split((self.heads, self.kv, self.kv), dim=-2)
        return rotate(self.q_norm(q), *turn), rotate(self.k_norm(k), *turn), v


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot products: q (B, L, heads, head), k and v (B, S, kv heads, head), mask of a shape like (B, 1, L, S)."""
    groups = q.shape[2] // k.shape[2]
    if groups > 1:
        k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if q.dtype == torch.bfloat16 and q.device.type == "cpu":
        return _attend_in_bfloat16(q, k, v, mask).transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)


def _attend_in_bfloat16(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """The same written out, for bfloat16 on a CPU.

    There torch's fused kernel is 2 to 7 times slower than this, backward included (2.13, 288 and 18 tokens), and
    autocast would run the softmax in float32.
    """
    with torch.autocast("cpu", enabled=False):
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        if mask is not None:
            scores = scores + mask
        out: Tensor = scores.softmax(dim=-1) @ v
        return out


def attend_space(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Within each frame: (B, F, M, heads, head), mask (B, 1, 1, M) or None -> the same shape as q."""
    b, f = q.shape[:2]
    if mask is not None:
        mask = mask.repeat_interleave(f, dim=0)
    return torch.unflatten(attend(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), mask), 0, (b, f))


@dataclass(frozen=True, kw_only=True)
class MaskedHistory:
    """All frames at once, as in training: who sees whom is a mask.

    Attributes:
        turn: `time_turn` of the frames' times.
        mask: For "full" (B or 1, 1, F * M, F * M), for "axial" (B or 1, 1, F, F): additive, 0 or -inf.
        full: Whether every token of a visible frame is seen.
    """

    turn: tuple[Tensor, Tensor]
    mask: Tensor
    full: bool

    @staticmethod
    def make(
        config: DiTConfig, times: Tensor, visible: Tensor, tokens: int, valid: Tensor | None, dtype: torch.dtype
    ) -> MaskedHistory:
        """Builds it.

        Args:
            config: Of the transformer.
            times: (B or 1, F).
            visible: (B or 1, F, F) bool: frame i (row) sees frame j (column).
            tokens: M, of a frame.
            valid: (B, M) bool, tokens that are no padding; None = all.
            dtype: Of queries and keys.
        """
        full = config.time_attention == "full"
        seen = visible[:, None]
        if full:
            f = visible.shape[-1]
            seen = seen[:, :, :, None, :, None].expand(-1, -1, -1, tokens, -1, tokens)
            if valid is not None:
                seen = seen & valid[:, None, None, None, None, :]
            seen = seen.reshape(len(seen), 1, f * tokens, f * tokens)
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))
        return MaskedHistory(turn=time_turn(times, config.head), mask=mask, full=full)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `History`."""
        q, k = rotate(q, *self.turn), rotate(k, *self.turn)
        b, f, m = q.shape[:3]
        if self.full:
            seen = attend(q.flatten(1, 2), k.flatten(1, 2), v.flatten(1, 2), self.mask)
            return torch.unflatten(seen, 1, (f, m))
        mask = self.mask if self.mask.shape[0] == 1 else self.mask.repeat_interleave(m, dim=0)
        q, k, v = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))  # (B * M, F, heads, head)
        return torch.unflatten(attend(q, k, v, mask), 0, (b, m)).transpose(1, 2)
