"""One world, several actions: does each generated future look like the true future of its own action?

K true and K generated frames, one for each action that was held from the same start. Pictures are low-passed and
flattened; gain and offset of each channel, and one shift, are common to all K, so that neither a tint nor a slightly
wrong camera speaks for one action. Which actions had an effect at all is decided by the true frames: those that differ
in less than `EFFECT` of their pixels are one class (a wall, an empty hand), and count once.

Source: identification in the manner of a matched filter; `direction`, `gain` and `leak` compare differences of futures,
in which the common start and common noise cancel. A simulator in which "anything changes" has no direction.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.metrics.functional.geometry import grow
from worldsim.metrics.functional.hypothesis import TAU
from worldsim.types import Frames

Float = NDArray[np.float64]
Picture = NDArray[np.float32]
Mask = NDArray[np.bool_]

EFFECT = 0.02  # share of pixels that two futures must differ in
SHIFT = 2  # px of common shift that are searched
SAME = 0.5 / 255  # RMS difference of two low-passed frames that are called the same
NO_GAIN = 4.0  # |log2| of a sixteenth: what is shown where nothing differs
SIGMA = {"identify": 1.0, "difference": 2.0}  # px of the low-pass


def differing(first: Frames, second: Frames) -> float:
    """Share of the pixels of two (H, W, 3) frames that differ by more than `TAU` of 255 in any channel."""
    return float((np.abs(first.astype(np.int16) - second).max(axis=-1) > TAU).mean())


def classes(truth: Frames) -> NDArray[np.int64]:
    """(K,) the class of each of (K, H, W, 3) true frames, numbered in order: chains of frames without a difference."""
    out = np.arange(len(truth))
    for i in range(len(truth)):
        for j in range(i):
            if out[i] != out[j] and differing(truth[i], truth[j]) < EFFECT:
                out[out == max(out[i], out[j])] = min(out[i], out[j])
    return np.unique(out, return_inverse=True)[1].astype(np.int64)


def low_passed(frames: Frames, sigma: float) -> Picture:
    """(K, H, W, 3) uint8 -> float32 in 0..1 after a Gaussian of `sigma` px."""
    side = 2 * int(np.ceil(3 * sigma)) + 1
    return np.stack([cv2.GaussianBlur(f.astype(np.float32) / 255.0, (side, side), sigma) for f in frames])


def toned(shown: Picture, truth: Picture) -> Picture:
    """`shown` with the mean and spread of each channel of `truth`, over all K pictures together; gain 1/2 to 2."""
    a, b = shown.reshape(-1, 3).astype(np.float64), truth.reshape(-1, 3).astype(np.float64)
    gain = np.clip(b.std(axis=0) / np.maximum(a.std(axis=0), 1.5 / 255), 0.5, 2.0)
    return np.asarray((shown - a.mean(axis=0)) * gain + b.mean(axis=0), np.float32)


def distances(shown: Frames, truth: Frames) -> tuple[Float, tuple[int, int]]:
    """(G, K) RMS distances in 0..1 of G generated frames to K true ones, and the common shift (dx, dy) px.

    The shift is the one at which the frames, each with its nearest truth, fit best together; ties go to the least.
    """
    drawn = low_passed(truth, SIGMA["identify"])
    pictures = toned(low_passed(shown, SIGMA["identify"]), drawn)
    h, w = truth.shape[1:3]
    s = SHIFT if min(h, w) > 4 * SHIFT else 0
    flat = drawn[:, s : h - s, s : w - s].reshape(len(truth), -1)
    power = np.square(flat).sum(axis=1, dtype=np.float64)
    found: list[tuple[float, int, int, int, Float]] = []
    for dy in range(-s, s + 1):
        for dx in range(-s, s + 1):
            moved = pictures[:, s + dy : h - s + dy, s + dx : w - s + dx].reshape(len(shown), -1)
            cross = (moved @ flat.T).astype(np.float64)
            squares = np.square(moved).sum(axis=1, dtype=np.float64)[:, None] + power - 2 * cross
            rms = np.sqrt(np.maximum(squares, 0.0) / flat.shape[1])
            found.append((round(float(rms.min(axis=1).sum()), 9), dx * dx + dy * dy, dx, dy, rms))
    _, _, dx, dy, rms = min(found, key=lambda f: f[:4])
    return rms, (dx, dy)


def nearest(rms: Float, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """(G,) the class whose nearest member is nearest; the first class wins a tie."""
    best = np.stack([rms[:, groups == c].min(axis=1) for c in range(int(groups.max()) + 1)], axis=1)
    return np.asarray(best.argmin(axis=1), np.int64)


def off_instances(things: Mask) -> Mask:
    """(K, H, W) bool: further from instances than the low-pass of a difference reaches."""
    return np.stack([~grow(one, int(np.ceil(2 * SIGMA["difference"]))) for one in things])


def kept(first: Mask, second: Mask) -> Mask:
    """The pixels on which two futures are compared: static in both; all where these are fewer than a quarter."""
    both = first & second
    return both if both.mean() >= 0.25 else np.ones_like(both)


def difference(first: Picture, second: Picture, where: Mask | None = None) -> Float:
    """The flat difference of two low-passed pictures, (H, W, 3) each, where a mask (H, W) says so."""
    out = first.astype(np.float64) - second
    return (out if where is None else out[where]).ravel()


def direction(shown: Float, true: Float) -> float:
    """Cosine of two differences, -1..1; 0 where what is shown does not differ."""
    sizes = float(np.linalg.norm(shown) * np.linalg.norm(true))
    return float(np.clip(shown @ true / sizes, -1.0, 1.0)) if sizes > 1e-12 else 0.0


def gain(shown: Float, true: Float) -> float:
    """|log2| of the ratio of the norms of two differences, 0..`NO_GAIN`; 0 = as large as the truth's."""
    a, b = float(np.linalg.norm(shown)), float(np.linalg.norm(true))
    ratio = max(a, 2.0**-NO_GAIN * b) / max(b, 1e-12)
    return float(min(abs(np.log2(max(ratio, 1e-12))), NO_GAIN))


def leak(without: float, caused: float) -> float:
    """RMS of a difference without a cause over that of caused ones, 0..1; 1 where nothing has any effect."""
    return min(without / caused, 1.0) if caused > SAME else 1.0


def rms(difference: Float) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(difference))))


def pairs(groups: NDArray[np.int64], kinds: Sequence[str]) -> list[tuple[int, int, str]]:
    """Pairs (i, j) of variants of different classes that tell of one kind of action, with that kind.

    Two turns, or a turn and standing still, tell of turning; a turn and a step would credit a simulator that ignores
    turns with the step. Standing still has the kind "none".
    """
    out = []
    for i in range(len(groups)):
        for j in range(i):
            own = {kinds[i], kinds[j]} - {"none"}
            if groups[i] != groups[j] and len(own) == 1:
                out.append((j, i, own.pop()))
    return out
