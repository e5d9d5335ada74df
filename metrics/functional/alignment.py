"""One picture laid on another: low-pass, common shift, gain and offset, and the error that is to be expected then.

Everything is fitted on a mask, the context, and applied to the whole picture, so that what lies outside the mask cannot
speak for or against itself. Pictures are (H, W, 3) or (H, W) float32 in 0..1.

Known limits: one shift for the whole frame (no rotation, no parallax: those are what candidate poses are for), up to
`SHIFT` px; gain between a half and twice; a renderer with one ray a pixel leaves errors after a shift by a fraction of
a pixel that are not in `expected_error`.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.types import Frames

Picture: TypeAlias = NDArray[np.float32]  # (H, W, 3) or (H, W), 0..1
Mask = NDArray[np.bool_]

SHIFT = 3  # px of drift that are searched in each direction
SIGMA = 1.0  # px of the low-pass
REACH = 3  # px: as far as the low-pass looks
STEP = 1.5 / 255  # the least error expected of a pixel: rounding, and a little room
_ZNCC = 7  # px, window


def low_pass(image: Frames) -> Picture:
    """(H, W, 3) uint8 -> float32 in 0..1 after a Gaussian of sigma `SIGMA` px, cut off at `REACH` px."""
    side = 2 * REACH + 1
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32) / 255.0, (side, side), SIGMA))


def align(frame: Frames, render: Frames, context: Mask, shift: int = SHIFT) -> tuple[float, float, float]:
    """The shift with the least difference on the context, of low-passed channels with mean 0 and spread 1.

    Whole pixels are searched, then the minimum of the parabola through the three nearest costs of each axis is taken,
    in quarters of a pixel, if it fits better.

    Returns:
        The mean squared difference at that shift (= 2 - 2 times the correlation), 0..4, on what both show of the
        context; and dx, dy in pixels.
    """
    a, b = (low_pass(x) for x in (frame, render))
    inner = np.zeros_like(context)  # what any of the shifts shows: else the repeated border would speak for shift 0
    inner[shift : context.shape[0] - shift, shift : context.shape[1] - shift] = True
    inner = context & inner if (context & inner).any() else context
    padded = cv2.copyMakeBorder(_standard(a, inner), *(shift,) * 4, cv2.BORDER_REPLICATE)
    cost = cv2.matchTemplate(
        padded, _standard(b, inner), cv2.TM_SQDIFF, mask=np.repeat(inner[..., None], 3, axis=2).astype(np.float32)
    )
    y, x = (int(q) for q in np.unravel_index(int(cost.argmin()), cost.shape))
    found = [(float(x - shift), float(y - shift))]
    found.append((found[0][0] + _vertex(cost[y], x), found[0][1] + _vertex(cost[:, x], y)))
    return min((_residual(a, b, context, dx, dy), dx, dy) for dx, dy in found)


def _residual(a: Picture, b: Picture, context: Mask, dx: float, dy: float) -> float:
    both = context & in_view(context.shape, dx, dy)
    if not both.any():
        both = context
    difference = (_standard(shifted(a, dx, dy), both) - _standard(b, both))[both]
    return float(np.square(difference).mean(dtype=np.float64))


def match(shown: Picture, drawn: Picture, context: Mask) -> Picture:
    """Gives each channel of `shown` the mean and, between a half and twice, the spread of `drawn` on the context."""
    a, b = shown[context].astype(np.float64), drawn[context].astype(np.float64)
    gain = np.clip(b.std(axis=0) / np.maximum(a.std(axis=0), STEP), 0.5, 2.0)
    return np.asarray((shown - a.mean(axis=0)) * gain + b.mean(axis=0), np.float32)


def expected_error(error: Picture, drawn: Picture, context: Mask) -> Picture:
    """The squared error of a pixel of this frame where nothing is wrong: a + b |gradient|^2, fitted on the context.

    Noise, compression and a wrong tint are in a; blur and what is left of a shift grow with the gradient of the render.
    Least squares with a at least the rounding error and b at least 0.

    Args:
        error: (H, W) squared error to the nearest render.
        drawn: (H, W, 3) that render.
        context: (H, W) bool.
    """
    steep = np.zeros(error.shape, np.float32)
    for axis in (0, 1):
        steep += np.square(np.gradient(drawn, axis=axis)).mean(axis=-1)
    x, y = steep[context].astype(np.float64), error[context].astype(np.float64)
    spread = float(np.square(x - x.mean()).mean())
    b = max(float(((x - x.mean()) * (y - y.mean())).mean()) / spread, 0.0) if spread > 0 else 0.0
    a = max(float(y.mean() - b * x.mean()), STEP**2)
    return np.asarray(a + b * steep, np.float32)


def grey(image: Picture) -> Picture:
    """Luminance (Rec. 601): (H, W, 3) -> (H, W)."""
    return np.asarray(image @ np.array([0.299, 0.587, 0.114], np.float32))


def _standard(image: Picture, context: Mask) -> Picture:
    values = image[context]
    return np.asarray((image - values.mean(axis=0)) / (values.std(axis=0) + 1.0 / 255), np.float32)


def _vertex(cost: NDArray[np.float32], at: int) -> float:
    """Where the parabola around the least of (n,) costs has its minimum, in quarters from `at`; 0 at either end."""
    if not 0 < at < len(cost) - 1:
        return 0.0
    before, here, after = (float(c) for c in cost[at - 1 : at + 2])
    bend = before - 2 * here + after
    return round(2.0 * (before - after) / bend) / 4 if bend > 0 else 0.0


def shifted(image: Picture, dx: float, dy: float) -> Picture:
    """The picture that lies (dx, dy) px off, moved back; bilinear, the border repeated."""
    if dx == 0 and dy == 0:
        return image
    move = np.array([[1, 0, -dx], [0, 1, -dy]], np.float32)
    return np.asarray(cv2.warpAffine(image, move, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE))


def in_view(shape: tuple[int, ...], dx: float, dy: float) -> Mask:
    """(H, W) bool: the pixels of the render that a frame lying (dx, dy) px off shows, and no repeated border near."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    left, right = (REACH - dx if dx < 0 else 0.0), shape[1] - 1 - (dx + REACH if dx > 0 else 0.0)
    top, bottom = (REACH - dy if dy < 0 else 0.0), shape[0] - 1 - (dy + REACH if dy > 0 else 0.0)
    return np.asarray((x >= left) & (x <= right) & (y >= top) & (y <= bottom))


def local_zncc(a: Picture, b: Picture) -> Picture:
    """Zero-mean normalised cross-correlation in windows of `_ZNCC` px, (H, W) in -1..1; 0 where one is flat."""

    def mean(x: Picture) -> Picture:
        return np.asarray(cv2.blur(x, (_ZNCC, _ZNCC)))

    a, b = a - a.mean(), b - b.mean()  # keeps float32 exact enough
    ma, mb = mean(a), mean(b)
    va, vb = mean(a * a) - ma * ma, mean(b * b) - mb * mb
    flat = (va < STEP**2) | (vb < STEP**2)
    return np.asarray(np.where(flat, 0.0, (mean(a * b) - ma * mb) / np.sqrt(np.where(flat, 1.0, va * vb))))
