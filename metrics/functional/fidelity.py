"""How far is one picture from another: L1, MSE and PSNR, SSIM, correlation of edges, and the useful horizon.

Every comparison takes two stacks (n, H, W, 3) uint8 and returns (n,) float64, one number a frame; all are symmetric.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.types import Frames, check_frames

Float = NDArray[np.float64]

ROUNDING_VARIANCE = 1.0 / 12.0  # of a uniform rounding error of one 8-bit step, in steps squared
_PEAK = 255.0
_RADIUS = 5  # 11 taps, as in Wang et al. 2004
_SIGMA = 1.5
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2  # Wang et al. 2004, K1 and K2
MIN_GRADIENT_STD = 1.0  # of the edge magnitude in 8-bit steps; below it a picture has no edges to compare


def _check_pair(a: Frames, b: Frames) -> None:
    check_frames(a, ndim=4, what="the first stack")
    check_frames(b, ndim=4, what="the second stack")
    if a.shape != b.shape:
        raise ShapeError(f"both stacks must have the same shape, got {a.shape} and {b.shape}")


def l1(a: Frames, b: Frames) -> Float:
    """Mean absolute difference over pixels and channels, in 0..1 (1 = black against white)."""
    _check_pair(a, b)
    sums = [cv2.norm(x, y, cv2.NORM_L1) for x, y in zip(a, b, strict=True)]  # exact: integers in a double
    return np.array(sums, dtype=np.float64) / (max(int(np.prod(a.shape[1:])), 1) * _PEAK)


def masked_l1(a: Frames, b: Frames, mask: NDArray[np.bool_]) -> Float:
    """L1 over the pixels of `mask` (n, H, W) only, in 0..1; NaN where a mask is empty."""
    _check_pair(a, b)
    if mask.shape != a.shape[:3]:
        raise ShapeError(f"mask must be {a.shape[:3]} bool, got {mask.shape} {mask.dtype.name}")
    sums = [float(cv2.norm(x, y, cv2.NORM_L1, m)) for x, y, m in zip(a, b, mask.astype(np.uint8), strict=True)]
    count = mask.sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(np.array(sums) / np.where(count > 0, count, np.nan) / (3 * _PEAK))


def mse(a: Frames, b: Frames) -> Float:
    """Mean squared difference over pixels and channels, in 8-bit steps squared, 0..65025."""
    _check_pair(a, b)
    sums = [cv2.norm(x, y, cv2.NORM_L2SQR) for x, y in zip(a, b, strict=True)]  # exact: integers in a double
    return np.array(sums, dtype=np.float64) / max(int(np.prod(a.shape[1:])), 1)


def psnr_from_mse(error: Float) -> Float:
    """PSNR in dB of a (mean) squared error in 8-bit steps squared: 10 log10((255^2 + v) / (error + v)), v = 1/12.

    v is the variance of rounding to 8 bits: two 8-bit pictures of one scene cannot be known to agree better. Identical
    pictures get 58.92 dB by arithmetic instead of infinity or a cap; at 30 dB the difference from the textbook's
    formula is 0.006 dB, at 40 dB 0.06 dB. v in the numerator makes black against white exactly 0.
    """
    return np.asarray(10.0 * np.log10((_PEAK**2 + ROUNDING_VARIANCE) / (np.asarray(error) + ROUNDING_VARIANCE)))


def psnr(a: Frames, b: Frames) -> Float:
    """PSNR of each frame in dB, 0..58.92; see `psnr_from_mse`."""
    return psnr_from_mse(mse(a, b))


def _gaussian() -> NDArray[np.float32]:
    taps = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    return np.asarray(taps / taps.sum(), dtype=np.float32)


def ssim(a: Frames, b: Frames) -> Float:
    """Structural similarity, Wang et al. 2004, eq. 13: 11-tap Gaussian of sigma 1.5, mean over the valid region.

    In -1..1. Equal to scikit-image's (with `gaussian_weights`, population covariance) and, over the same valid region,
    to torchmetrics' map (whose mean also counts a border filled by reflection). Only the sum of the two variances
    enters the formula, so four filtered maps do instead of five; values are centred on 128, which keeps float32 exact
    enough; frames are filtered one above the other in one call, for the rows near a seam lie outside the valid region
    of both.

    Raises:
        ShapeError: If a side is below 11 pixels.
    """
    _check_pair(a, b)
    n, height, width, _ = a.shape
    if min(height, width) < 2 * _RADIUS + 1:
        raise ShapeError(f"SSIM needs at least 11x11 pixels (its window), got {height}x{width}")
    if n == 0:
        return np.empty(0)
    x = a.reshape(n * height, width, 3).astype(np.float32)
    y = b.reshape(n * height, width, 3).astype(np.float32)
    x -= 128.0
    y -= 128.0
    taps = _gaussian()

    def smooth(z: NDArray[np.float32]) -> NDArray[np.float32]:
        blurred = cv2.sepFilter2D(z, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REFLECT_101)
        valid: NDArray[np.float32] = blurred.reshape(n, height, width, 3)[:, _RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
        return valid

    mean_x, mean_y = smooth(x), smooth(y)
    product, squares = smooth(x * y), smooth(x * x + y * y)
    mean_product, mean_squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    shift = 128.0 * (mean_x + mean_y) + 128.0**2  # the means of the uncentred pictures: mu_x mu_y = m_x m_y + shift
    numerator = (2.0 * (mean_product + shift) + _C1) * (2.0 * (product - mean_product) + _C2)
    denominator = (mean_squares + 2.0 * shift + _C1) * (squares - mean_squares + _C2)
    similarity = np.asarray((numerator / denominator).mean(axis=(1, 2, 3), dtype=np.float64))
    return np.asarray(np.clip(similarity, -1.0, 1.0))


def gradient_magnitude(frames: Frames) -> NDArray[np.float32]:
    """Sobel edge strength of the luminance (Rec. 601): (n, H, W, 3) uint8 -> (n, H, W) float32, 8-bit steps."""
    n, height, width = frames.shape[:3]
    out = np.empty((n, height, width), np.float32)
    for i, frame in enumerate(frames):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        dx = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
        dy = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
        out[i] = np.sqrt(dx * dx + dy * dy)  # exact inputs, one rounding each: cv2.magnitude depends on alignment
    return out


def gradient_std(frames: Frames) -> Float:
    """Spread of the edge strength of each frame: whether there are edges to compare. (n,) float64, 8-bit steps."""
    return np.asarray(gradient_magnitude(frames).std(axis=(1, 2), dtype=np.float64))


def gradient_zncc(a: Frames, b: Frames) -> Float:
    """Correlation (zero-mean, normalised) of the edge strengths of two pictures, in -1..1.

    Blind to brightness, contrast and tint; moved by blur, lag and wrong content. 0 where either picture has no edges
    (spread below `MIN_GRADIENT_STD`).
    """
    _check_pair(a, b)
    x, y = (gradient_magnitude(z).reshape(len(z), -1).astype(np.float64) for z in (a, b))
    x -= x.mean(axis=1, keepdims=True)
    y -= y.mean(axis=1, keepdims=True)
    std_x, std_y = np.sqrt(np.square(x).mean(axis=1)), np.sqrt(np.square(y).mean(axis=1))
    flat = (std_x < MIN_GRADIENT_STD) | (std_y < MIN_GRADIENT_STD)
    scale = np.where(flat, 1.0, std_x * std_y)
    return np.asarray(np.where(flat, 0.0, np.clip((x * y).mean(axis=1) / scale, -1.0, 1.0)))


def useful_horizon(skill: Float, horizons: NDArray[np.int64], threshold: float = 0.1) -> Float:
    """How many frames are useful: the last horizon before the first one whose skill is below `threshold`.

    Args:
        skill: (..., H) at the H horizons; NaN = not decided there, passed over.
        horizons: (H,) ascending.
        threshold: Skill below which a prediction counts as no better than the floor.

    Returns:
        (...) float64: 0 when it fails at the first decided horizon, the last decided horizon when it never fails, NaN
        when no horizon is decided.
    """
    decided = np.isfinite(skill)
    failed = np.cumsum(decided & (np.where(decided, skill, 1.0) < threshold), axis=-1) > 0
    good = np.where(decided & ~failed, horizons, 0)
    return np.asarray(np.where(decided.any(axis=-1), good.max(axis=-1, initial=0), np.nan), dtype=np.float64)
