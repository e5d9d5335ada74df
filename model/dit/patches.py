"""Spacetime patches: latents of any size as tokens with places, several sizes in one batch.

A place is counted from the middle of the frame, so that the middle of a wide frame and of a tall one mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.errors import ShapeError


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where the tokens of a batch lie.

    Attributes:
        places: (B or 1, N, 2) float32, row and column from the middle of the frame, in tokens.
        valid: (B, N) bool, False for padding; None = all are valid.
    """

    places: Tensor
    valid: Tensor | None = None


def patchify(latents: Tensor, patch: int) -> Tensor:
    """(..., Z, h, w) -> (..., N, Z * patch * patch), N = (h / patch) (w / patch), row by row."""
    *lead, z, h, w = latents.shape
    if h % patch or w % patch:
        raise ShapeError(f"latents of {h}x{w} cells do not split into patches of {patch}x{patch}")
    x = latents.reshape(*lead, z, h // patch, patch, w // patch, patch)
    n = len(lead)
    x = x.permute(*range(n), n + 1, n + 3, n, n + 2, n + 4)  # (..., rows, columns, Z, patch, patch)
    return x.reshape(*lead, (h // patch) * (w // patch), z * patch * patch)


def unpatchify(tokens: Tensor, size: tuple[int, int], patch: int) -> Tensor:
    """Inverse of `patchify`: (..., N, P) -> (..., Z, h, w) for `size` = (h, w) latent cells."""
    *lead, _, p = tokens.shape
    rows, columns, z = size[0] // patch, size[1] // patch, p // (patch * patch)
    x = tokens.reshape(*lead, rows, columns, z, patch, patch)
    n = len(lead)
    x = x.permute(*range(n), n + 2, n, n + 3, n + 1, n + 4)
    return x.reshape(*lead, z, size[0], size[1])


def places(size: tuple[int, int], patch: int, device: torch.device | str = "cpu") -> Tensor:
    """(N, 2) float32 rows and columns of the patches of (h, w) latent cells, from the middle."""
    rows, columns = size[0] // patch, size[1] // patch
    y = torch.arange(rows, device=device, dtype=torch.float32) - (rows - 1) / 2
    x = torch.arange(columns, device=device, dtype=torch.float32) - (columns - 1) / 2
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flatten(0, 1)


def grid(size: tuple[int, int], patch: int, device: torch.device | str = "cpu") -> Grid:
    """The grid of a batch of one size."""
    return Grid(places=places(size, patch, device)[None])


def pad(tokens: Sequence[Tensor], sizes: Sequence[tuple[int, int]], patch: int) -> tuple[Tensor, Grid]:
    """Tokens of clips of several sizes as one batch.

    Args:
        tokens: Each (b_i, F, N_i, P), all with the same F.
        sizes: (h, w) latent cells of each.
        patch: As in `patchify`.

    Returns:
        (B, F, max N, P), padded with zeros, and the grid.
    """
    most = max(t.shape[2] for t in tokens)
    rows, where, valid = [], [], []
    for t, size in zip(tokens, sizes, strict=True):
        missing = most - t.shape[2]
        rows.append(torch.nn.functional.pad(t, (0, 0, 0, missing)))
        where.append(torch.nn.functional.pad(places(size, patch, t.device), (0, 0, 0, missing)).expand(len(t), -1, -1))
        valid.append((torch.arange(most, device=t.device) < t.shape[2]).expand(len(t), -1))
    every = torch.cat(valid)
    return torch.cat(rows), Grid(places=torch.cat(where), valid=None if bool(every.all()) else every)
