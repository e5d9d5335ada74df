"""Rotary positions in three axes: time, row, column (RoFormer, arXiv:2104.09864; axial as in video transformers).

Of the pairs of a head a quarter turns with time and the rest, in equal parts, with row and column. Only differences of
position matter, so time may be counted from anywhere: the cache keeps keys without their time and turns them when they
are read, by how long ago they were, which never grows beyond the window.
"""

from __future__ import annotations

import torch
from torch import Tensor


def split(head: int) -> tuple[int, int, int]:
    """Pairs of a head that turn with time, row and column."""
    pairs = head // 2
    time = pairs // 4
    row = (pairs - time) // 2
    return time, row, pairs - time - row


def angles(position: Tensor, pairs: int, longest: float) -> Tensor:
    """(...,) positions -> (..., pairs) angles; wavelengths from 4 to 2 pi `longest` units."""
    low = torch.pi / 2
    ratio = (1.0 / longest) / low
    steps = torch.arange(pairs, device=position.device, dtype=torch.float32) / max(pairs - 1, 1)
    return position.float()[..., None] * low * ratio**steps


def space_turn(places: Tensor, registers: int, head: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine for the places of a frame.

    Args:
        places: (B, N, 2).
        registers: R, tokens in front that have no place: they are not turned.
        head: Width of a head.

    Returns:
        Two of (B, 1, R + N, 1, head / 2), for keys of (B, F, R + N, heads, head).
    """
    time, row, column = split(head)
    parts = [
        places.new_zeros(*places.shape[:2], time),
        angles(places[..., 0], row, 16.0),
        angles(places[..., 1], column, 16.0),
    ]
    turn = torch.nn.functional.pad(torch.cat(parts, dim=-1), (0, 0, registers, 0))[:, None, :, None]
    return turn.cos(), turn.sin()


def time_turn(times: Tensor, head: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine for the times of frames: (B or 1, F) -> two of (B or 1, F, 1, 1, pairs of time)."""
    turn = angles(times, split(head)[0], 64.0)[:, :, None, None]
    return turn.cos(), turn.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the first `cos.shape[-1]` pairs of the last axis; pair i is (x[i], x[i + head / 2])."""
    half, n = x.shape[-1] // 2, cos.shape[-1]
    a, b = x[..., :half], x[..., half:]
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    if n == half:
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    first, second = a[..., :n], b[..., :n]
    return torch.cat([first * cos - second * sin, a[..., n:], first * sin + second * cos, b[..., n:]], dim=-1)
