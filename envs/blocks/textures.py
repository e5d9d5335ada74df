"""The texture atlas: painted by code from seeds, no outside art. The brushes are here, the recipes in `materials.py`.

Contrast rule: most energy in features of 4 and 8 texels, which survive at 64x64; less at 1 and 2, which only alias.
A texture is (16, 16, 4) float64 RGBA 0..255; alpha below 128 is a hole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.kinds import CUTOUT, ID_COUNT, KINDS, RENDER_FLAGS

Texture: TypeAlias = NDArray[np.float64]
SIZE = 16
SIDE, TOP, BOTTOM, FRONT = range(4)
TEXELS = 341  # 256 + 64 + 16 + 4 + 1


def noise(rng: np.random.Generator, cell: int) -> NDArray[np.float64]:
    """(16, 16) value noise in -1..1 with square features of `cell` texels."""
    n = SIZE // cell
    return rng.uniform(-1, 1, (n, n)).repeat(cell, 0).repeat(cell, 1)


def paint(
    rng: np.random.Generator, rgb: Sequence[float], amplitudes: tuple[float, float, float, float] = (6, 12, 8, 4)
) -> Texture:
    """A plain material: a colour with noise of 8, 4, 2 and 1 texels in the given amplitudes (levels of 0..255)."""
    level = sum(a * noise(rng, cell) for a, cell in zip(amplitudes, (8, 4, 2, 1), strict=True))
    out = np.full((SIZE, SIZE, 4), 255.0)
    out[..., :3] = np.asarray(rgb, float) + np.asarray(level)[..., None] * np.array([1.0, 1.0, 0.92])
    return out


def bricks(
    rng: np.random.Generator,
    rgb: Sequence[float],
    mortar: Sequence[float],
    *,
    height: int,
    width: int,
    jitter: float,
) -> Texture:
    """Courses of stones `height` x `width` texels, every second one shifted by half a stone; each has its own tone."""
    out = paint(rng, rgb, (0, 0, 4, 4))
    for row in range(SIZE // height):
        shift = (row % 2) * width // 2
        band = slice(row * height, (row + 1) * height)
        for stone in range(SIZE // width):
            columns = (np.arange(width) + stone * width + shift) % SIZE
            out[band, columns, :3] += rng.uniform(-jitter, jitter)
            out[row * height, columns, :3] += 10  # light from above on the upper edge
        out[(row + 1) * height - 1, :, :3] = mortar
        out[band, (np.arange(0, SIZE, width) + shift) % SIZE, :3] = mortar
    return out


def planks(rng: np.random.Generator, rgb: Sequence[float], seam: float = 44) -> Texture:
    """Four boards, with seams and a joint in each."""
    out = paint(rng, rgb, (0, 3, 5, 3))
    for board in range(4):
        out[board * 4 : board * 4 + 4, :, :3] += rng.uniform(-10, 10)
        out[board * 4 + 3, :, :3] -= seam
        out[board * 4 : board * 4 + 3, (5 + 7 * board) % SIZE, :3] -= seam * 0.7
    return out


def frame(texture: Texture, rgb: Sequence[float], width: int = 1) -> Texture:
    """The texture with a border of `width` texels."""
    out = texture.copy()
    for edge in (slice(None, width), slice(SIZE - width, None)):
        out[edge, :, :3] = rgb
        out[:, edge, :3] = rgb
    return out


def rings(texture: Texture, rgb: Sequence[float]) -> Texture:
    """Square year rings, the cut end of a log."""
    out = texture.copy()
    radius = np.maximum(*np.abs(np.mgrid[:SIZE, :SIZE] - 7.5)).astype(int)
    out[..., :3] = np.where((radius % 3 == 0)[..., None], rgb, out[..., :3])
    return out


def blank() -> Texture:
    """All holes."""
    return np.zeros((SIZE, SIZE, 4))


def _mips(texture: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 16, 16, 4) -> (..., 341, 4): the texture and its halvings. Holes lend no colour; half-full texels stay."""
    levels = []
    level = texture
    while True:
        levels.append(level.reshape(*level.shape[:-3], -1, 4))
        n = level.shape[-2] // 2
        if n == 0:
            return np.concatenate(levels, axis=-2)
        quads = level.reshape(*level.shape[:-3], n, 2, n, 2, 4)
        full = quads[..., 3:] / 255
        weight = full.sum(axis=(-4, -2))
        colour = (quads[..., :3] * full).sum(axis=(-4, -2)) / np.maximum(weight, 1e-9)
        alpha = np.where(weight >= 1.5, 255.0, 0.0)  # thin things must not vanish with distance
        level = np.concatenate([colour, alpha], axis=-1)


@lru_cache(maxsize=1)
def atlas() -> NDArray[np.uint8]:
    """(128, 4, 341, 4) uint8 RGBA: kind, face (side, top, bottom, front), texels of the five mip levels. Read-only."""
    from worldsim.envs.blocks.materials import faces  # the recipes use the brushes above

    full = np.zeros((ID_COUNT, 4, SIZE, SIZE, 4))
    for kind in KINDS:
        if kind.id:
            full[kind.id] = faces(kind.name)
            if not RENDER_FLAGS[kind.id] & CUTOUT:
                full[kind.id, ..., 3] = 255.0
    out = np.clip(np.rint(_mips(np.clip(full, 0, 255))), 0, 255).astype(np.uint8)
    out.setflags(write=False)
    return out
