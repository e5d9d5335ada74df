"""Describing a clip without any trained weight: how it looks, how it moves, and both at once.

Each function takes one clip (T, H, W, 3) uint8 and returns one vector (d,) float64 (`movement`: two); every number is a
fixed formula of the pixels, so that two laboratories get the same features without sharing a file.

Limits: they see statistics, not objects: a swapped texture of the same colours and grain goes unnoticed. All clips of a
comparison need one length, size and frame rate: nothing here corrects for them. Optical flow on frames without texture
is 0, so motion says nothing about them. Measured on Blocks (`benchmarks/set_features.py`, 100 worlds each, MMD^2 of at
most about 1): appearance sees blur, noise, tint and not the order of frames; motion sees frozen, shuffled, reversed and
slowed clips (0.31 to 0.89), not blur or tint, and noise of 12 of 255 a little (0.02); joint is weak: it sees frozen,
shuffled and reversed clips (0.01 to 0.04) and misses half speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dctn

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.functional.distribution import check_set
from worldsim.types import Frames, check_frames

Float = NDArray[np.float64]

SIDE = 64  # pixels: every frame is described at this size, whatever it was rendered at
APPEARANCE, MOTION, JOINT = 77, 74, 144  # lengths of the three vectors
PALETTE, HEADING = 64, 12  # and of the two that go with the first two
MIN_JOINT_FRAMES = 8
_BLOCK = 8
_SPEEDS = np.array([0.3, 0.9, 2.7, 8.1])  # pixels of SIDE a frame; below the first, a pixel counts as still
_DIRECTIONS = 8
_SMOOTH = 2.0  # pixels of SIDE
_TAN_67 = float(np.tan(np.radians(67.5)))


def appearance(clip: Frames) -> Float:
    """How the frames look, in any order: (77,).

    The mean over frames of

    * 35 low frequencies of the luminance (6 x 6 orthonormal DCT coefficients of the frame without the constant one,
      divided by SIDE): where light and dark lie;
    * 14 diagonals of the 8 x 8 block DCT, log2(1 + mean square): grain, sharpness, noise;
    * 16 shares of edge strength: 4 quadrants x 4 orientations, after the mean edge strength of each quadrant is
      divided out with half an 8-bit step added, so that flat frames have none;
    * 12 colour numbers in hundredths of Lab: means and spreads of L, a, b, their covariances, the cube roots of their
      third moments.

    Shuffling the frames does not change it.
    """
    frames = _frames(clip)
    grey = np.array([_grey(frame) for frame in frames], np.float64)
    parts = [_layout(grey), _grain(grey), _edges(grey), np.array([_colours(frame) for frame in frames])]
    return np.asarray(np.concatenate(parts, axis=1).mean(axis=0))


def motion(clip: Frames) -> Float:
    """How the clip moves: (74,), a histogram of optical flow: its mean over time and its spread.

    DIS flow (Kroeger et al. 2016, `cv2`, medium preset) of the luminance at 64 x 64, smoothed by 2 pixels first: it is
    to be blind to grain and sharpness, which are a matter of appearance. Of each two consecutive frames, 37 numbers:
    the share of pixels that are still (below 0.3 pixels a frame); those moving in 8 directions at 4 speeds (edges 0.3,
    0.9, 2.7, 8.1); and those whose flow changed since the last frame by more than each edge. Each share is taken by its
    square root (the Hellinger distance between histograms), or rare bins would outweigh common ones. Then the mean
    over time of each of the 37, and its spread.

    Raises:
        UnsupportedError: If the clip has fewer than three frames.
    """
    return movement(clip)[0]


def movement(clip: Frames) -> tuple[Float, Float]:
    """`motion` (74,), and where it leads (12,), from one pass of optical flow.

    The histogram of `motion` is the same for a walk forwards and for the same walk played backwards. Of each two
    frames, six numbers tell them apart: the mean flow away from the middle of the picture, to the right, and down, over
    the frame; down over its lower half; to the right over its left and its right half. Each is sign(v) sqrt |v| of
    pixels of SIDE a frame, or fast turns would outweigh all else. Then their mean over time, and their spread.

    Raises:
        UnsupportedError: If the clip has fewer than three frames.
    """
    frames = [cv2.GaussianBlur(_grey(frame), (0, 0), _SMOOTH) for frame in _frames(clip)]
    if len(frames) < 3:
        raise UnsupportedError(f"motion needs at least 3 frames, got {len(frames)}")
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    still = np.zeros((SIDE, SIDE, 2), np.float32)  # what the flow of equal frames is, without computing it
    flows = [(still if np.array_equal(a, b) else dis.calc(a, b, None)).astype(np.float64) for a, b in pairwise(frames)]
    table = np.sqrt([np.concatenate([_directions(u), _changes(u - v)]) for v, u in pairwise([flows[0], *flows])])
    ways = _ways(flows)
    how, where = (np.concatenate([np.mean(t, axis=0), np.std(t, axis=0)]) for t in (table, ways))
    return how, where


def palette(clip: Frames) -> Float:
    """Which colours there are, whatever lies where: (64,).

    Shares of pixels in the 4 x 4 x 4 equal boxes of RGB, averaged over frames, by their square roots (the Hellinger
    distance between histograms). Shuffling the frames does not change it.
    """
    quarters = np.concatenate([frame.reshape(-1, 3) for frame in _frames(clip)]) >> 6
    code = (quarters[:, 0] << 4) + (quarters[:, 1] << 2) + quarters[:, 2]
    return np.asarray(np.sqrt(np.bincount(code, minlength=PALETTE) / len(code)))


def joint(clip: Frames) -> Float:
    """Look and motion at once: (144,), the low frequencies of the luminance in time and space.

    The clip is averaged to 8 frames of 16 x 16 and its 4 x 6 x 6 lowest orthonormal 3-D DCT coefficients are kept,
    compressed by sign(c) log2(1 + |c| / 8): signed, so that direction matters.

    Raises:
        UnsupportedError: If the clip has fewer than 8 frames.
    """
    frames = _frames(clip)
    if len(frames) < MIN_JOINT_FRAMES:
        raise UnsupportedError(f"joint features need at least {MIN_JOINT_FRAMES} frames, got {len(frames)}")
    small = np.array([cv2.resize(_grey(f), (16, 16), interpolation=cv2.INTER_AREA) for f in frames], np.float64)
    edges = np.linspace(0, len(small), MIN_JOINT_FRAMES + 1).round().astype(int)
    spans = np.array([small[a:b].mean(axis=0) for a, b in pairwise(edges)])
    low = dctn(spans - 128.0, norm="ortho")[:4, :6, :6].reshape(-1)
    return np.asarray(np.sign(low) * np.log2(1.0 + np.abs(low) / 8.0))


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Centre and spread of each feature, taken from true clips only, so that no model moves its own yardstick.

    From clips of neither set that is compared: a test by relabelling needs sets that are exchangeable, and one that was
    itself the yardstick is not.

    Attributes:
        centre: (d,) means.
        spread: (d,) standard deviations, at least a tenth of the median one: a feature that hardly varies in the truth
            cannot outweigh all others.
    """

    centre: Float
    spread: Float

    def __call__(self, features: ArrayLike) -> Float:
        """(n, d) -> (n, d) in units of the truth's spread."""
        x = check_set(features, "the features")
        if x.shape[1] != len(self.centre):
            raise ShapeError(f"expected {len(self.centre)} features, got {x.shape[1]}")
        return np.asarray((x - self.centre) / self.spread)


def fit_scale(truth: ArrayLike) -> Scale:
    """The scale of a set of true features (n, d).

    Raises:
        UnsupportedError: If nothing varies.
    """
    x = check_set(truth, "the true features", least=2)
    spread = x.std(axis=0)
    alive = spread[spread > 1e-12]
    if not len(alive):
        raise UnsupportedError("the true clips do not differ in any feature")
    return Scale(centre=x.mean(axis=0), spread=np.maximum(spread, 0.1 * float(np.median(alive))))


def _frames(clip: Frames) -> list[Frames]:
    check_frames(clip, ndim=4, what="a clip")
    if len(clip) == 0:
        raise UnsupportedError("a clip without frames has no features")
    if clip.shape[1:3] == (SIDE, SIDE):
        return list(clip)
    shrinks = min(clip.shape[1:3]) >= SIDE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return [cv2.resize(frame, (SIDE, SIDE), interpolation=how) for frame in clip]


def _grey(frame: Frames) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _cosines(size: int) -> Float:
    """(size, size) orthonormal DCT-II: row k is the k-th cosine."""
    k, x = np.arange(size)[:, None], np.arange(size) + 0.5
    return np.asarray(np.cos(np.pi / size * k * x) * np.where(k > 0, np.sqrt(2.0 / size), np.sqrt(1.0 / size)))


_LOW, _BLOCK_COSINES = _cosines(SIDE)[:6], _cosines(_BLOCK)


def _layout(grey: Float) -> Float:
    """(T, 64, 64) -> (T, 35)."""
    return np.asarray((_LOW @ grey @ _LOW.T).reshape(len(grey), -1)[:, 1:] / SIDE)


def _grain(grey: Float) -> Float:
    """(T, 64, 64) -> (T, 14)."""
    n = SIDE // _BLOCK
    blocks = grey.reshape(-1, n, _BLOCK, n, _BLOCK).swapaxes(2, 3)
    power = np.square(_BLOCK_COSINES @ blocks @ _BLOCK_COSINES.T).mean(axis=(1, 2))  # (T, 8, 8)
    diagonal = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK))
    return np.stack([np.log2(1.0 + power[:, diagonal == k].mean(axis=1)) for k in range(1, 2 * _BLOCK - 1)], axis=1)


def _edges(grey: Float) -> Float:
    """(T, 64, 64) -> (T, 16)."""
    dy, dx = np.gradient(grey, axis=(1, 2))
    strength = np.sqrt(dx * dx + dy * dy)
    # Orientation, an edge having no sign, in four sectors of 45 degrees, without an arctangent: it is slow.
    steep, flat = np.abs(dy) > _TAN_67 * np.abs(dx), np.abs(dx) > _TAN_67 * np.abs(dy)
    sector = np.where(flat, 0, np.where(steep, 2, np.where(dx * dy > 0, 1, 3)))
    half = SIDE // 2
    sums = [np.where(sector == k, strength, 0.0).reshape(-1, 2, half, 2, half).mean(axis=(2, 4)) for k in range(4)]
    table = np.stack(sums, axis=-1)  # (T, 2, 2, 4)
    return np.asarray((table / (table.sum(axis=-1, keepdims=True) + 0.5)).reshape(len(grey), -1))


def _colours(frame: Frames) -> Float:
    lab = cv2.cvtColor(frame.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64) / 100.0
    mean = lab.mean(axis=0)
    centred = lab - mean
    second = centred.T @ centred / len(centred)
    spread = np.sqrt(np.diag(second))
    cross = second[[0, 0, 1], [1, 2, 2]]
    third = np.cbrt(np.einsum("ni,ni,ni->i", centred, centred, centred) / len(centred))
    return np.concatenate([mean, spread, cross, third])


def _directions(flow: Float) -> Float:
    """33 shares of pixels: the still ones, and 8 directions x 4 speeds."""
    speed = np.hypot(flow[..., 0], flow[..., 1])
    way = np.floor(np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) * _DIRECTIONS + 0.5).astype(int) % _DIRECTIONS
    rank = np.digitize(speed, _SPEEDS)
    code = np.where(rank == 0, 0, 1 + way * len(_SPEEDS) + rank - 1)
    return np.bincount(code.ravel(), minlength=1 + _DIRECTIONS * len(_SPEEDS)) / code.size


def _way_weights() -> Float:
    """(SIDE * SIDE * 2, 6): what six mean components of a flow field weigh each number of it by, see `movement`."""
    off = np.arange(SIDE) - (SIDE - 1) / 2
    out = np.stack(np.meshgrid(off, off), axis=-1)  # (SIDE, SIDE, 2): right, down
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    right, down, half = [1.0, 0.0], [0.0, 1.0], SIDE // 2
    weights = np.zeros((6, SIDE, SIDE, 2))
    weights[0], weights[1], weights[2] = out, right, down
    weights[3, half:], weights[4, :, :half], weights[5, :, half:] = down, right, right
    weights[:3] /= SIDE * SIDE
    weights[3:] /= SIDE * SIDE / 2
    return weights.reshape(6, -1).T


_WAY_WEIGHTS = _way_weights()


def _ways(flows: list[Float]) -> Float:
    """Six mean components of each flow field: (T, 6)."""
    means = np.array(flows).reshape(len(flows), -1) @ _WAY_WEIGHTS
    return np.asarray(np.sign(means) * np.sqrt(np.abs(means)))


def _changes(change: Float) -> Float:
    """Share of pixels whose flow changed by more than each of the four speeds."""
    size = np.hypot(change[..., 0], change[..., 1])
    return np.array([(size > edge).mean() for edge in _SPEEDS])
