"""Backbone features where the true motion says they must be found again: pure functions on arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsim.metrics.base import Float
from worldsim.metrics.functional.geometry import Mask
from worldsim.metrics.learned.base import cosines


def sample_features(features: NDArray[np.float32], pixels: Float, size: tuple[int, int]) -> Float:
    """Bilinear samples of a map of features that covers the whole frame.

    Args:
        features: (d, h, w).
        pixels: (n, 2) in the frame, u then v, centres at half-integers; clamped to the outermost cell centres.
        size: (H, W) of the frame.

    Returns:
        (n, d) float64.
    """
    _, h, w = features.shape
    grid = np.moveaxis(features, 0, -1).astype(np.float64)
    u = np.clip(pixels[:, 0] * w / size[1] - 0.5, 0.0, w - 1.0)
    v = np.clip(pixels[:, 1] * h / size[0] - 0.5, 0.0, h - 1.0)
    left, top = np.floor(u).astype(np.intp), np.floor(v).astype(np.intp)
    right, below = np.minimum(left + 1, w - 1), np.minimum(top + 1, h - 1)
    a, b = (u - left)[:, None], (v - top)[:, None]
    upper = (1 - a) * grid[top, left] + a * grid[top, right]
    lower = (1 - a) * grid[below, left] + a * grid[below, right]
    return np.asarray((1 - b) * upper + b * lower)


def centres(shape: tuple[int, int]) -> Float:
    """(H, W, 2) pixel centres, u then v."""
    v, u = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    return np.stack([u, v], axis=-1)


def feature_error(first: NDArray[np.float32], second: NDArray[np.float32], at: Float, scored: Mask) -> float:
    """Mean of 1 - cosine over the scored pixels p of frame i: features of i at p, of j where p is seen there.

    Args:
        first: (d, h, w) features of frame i.
        second: (d, h, w) features of frame j.
        at: (H, W, 2) where each pixel of i is seen in j.
        scored: (H, W) bool, at least one pixel.

    Returns:
        0..2; a pixel without features, in whichever frame, fits nothing and counts as 1.
    """
    size = scored.shape[0], scored.shape[1]
    here, there = sample_features(first, centres(size)[scored], size), sample_features(second, at[scored], size)
    return float((1.0 - np.nan_to_num(cosines(here, there))).mean())
