"""Is it still the same world after a long walk? Places seen again, appearance over time, and views among decoys.

Pictures are compared as correlations of low-passed colours, so that brightness, contrast, a tint and a shift of a few
pixels do not count; which moments say anything is decided by true poses, depth and true frames alone.

Limits, measured in Blocks at 64x64 (see docs/metrics/coherence.md): views that look alike are told apart by what
differs at 32 px only; a wall without texture is no decoy; an appearance is layout and colour, not grain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.functional import features, geometry
from worldsim.truth import TruthState
from worldsim.types import Frames, check_frames

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEFT_TURN, LEFT_WAY = 10.0, 0.5  # degrees or metres beyond which a view is another one
HOME_TURN, HOME_WAY = 5.0, 0.25  # degrees and metres within which a place is seen again
FAR_TURN, FAR_WAY = 45.0, 2.0  # degrees or metres beyond which a place is a different one
SAME_PITCH, SAME_DEPTH = 10.0, 1.5  # degrees and a factor of mean depth within which places are comparable
SIDE = 32  # px of the shorter side at which whole views are compared: half of the smallest evaluation size
NUDGE = 1  # px of SIDE that a view may lie off: two at 64
SHIFT = 3  # px that a place seen again may lie off
FLAT = 2.0 / 255  # spread of a channel below which it shows nothing
SOFT = 1.5  # px: grain and compression lie above it, places below
VERY_SOFT = 3.0  # px at 64: layout and colour lie below it
#: 1 - correlation beyond which what is shown is no view of the place, whatever else it is even less. In 99 of 100 cases
#: true frames at 64 px stay below 0.26 under noise of 12 levels, JPEG 50, blur of 1 px or 1 degree of jitter, and below
#: 0.34 without their colours; another world seen from the same pose has 0.42 in the median.
LOST = 0.35
ALIKE = 0.1  # 1 - correlation below which two true views are no alternatives to each other


@dataclass(frozen=True, kw_only=True)
class Path:
    """The true camera over an episode.

    Attributes:
        eyes: (T, 3) metres.
        turns: (T, 3, 3) world_from_camera.
        pitch: (T,) degrees, up positive.
        depth: (T,) log of the mean distance in metres of what is in view; NaN where that is unknown.
    """

    eyes: Float
    turns: Float
    pitch: Float
    depth: Float

    def apart(self, t: int) -> tuple[Float, Float]:
        """Degrees and metres of every frame from frame t: (T,) twice."""
        trace = self.turns.reshape(-1, 9) @ self.turns[t].reshape(9)
        degrees = np.degrees(np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0)))
        return np.asarray(degrees), np.asarray(np.linalg.norm(self.eyes - self.eyes[t], axis=1))

    def elsewhere(self, t: int) -> Mask:
        """(T,) whether each frame shows another view than frame t."""
        degrees, metres = self.apart(t)
        return np.asarray((degrees > LEFT_TURN) | (metres > LEFT_WAY))


def path_of(states: Sequence[TruthState]) -> Path:
    """The path of an episode.

    Raises:
        UnsupportedError: "no camera pose".
    """
    poses, depths = [], []
    for t in range(len(states)):
        state = states[t]
        if state.world_from_camera is None:
            raise UnsupportedError("no camera pose")
        poses.append(state.world_from_camera)
        seen = None if state.depth is None else state.depth[np.isfinite(state.depth)]
        depths.append(np.nan if seen is None or not seen.size else float(np.log(max(seen.mean(), 1e-3))))
    stack = np.stack(poses)
    pitch = np.degrees(np.arcsin(np.clip(stack[:, 1, 2], -1.0, 1.0)))
    return Path(eyes=stack[:, :3, 3], turns=stack[:, :3, :3], pitch=pitch, depth=np.array(depths))


# --------------------------------------------------------------------------------------------- whole views


def thumbnail(frame: Frames) -> Float:
    """(H, W, 3) uint8 -> (h, w, 3) in 0..1, the shorter side averaged down to `SIDE` px."""
    check_frames(frame, ndim=3, what="a frame")
    scale = SIDE / min(frame.shape[:2])
    size = (max(round(frame.shape[1] * scale), 1), max(round(frame.shape[0] * scale), 1))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame.astype(np.float32) / 255.0, size, interpolation=how), np.float64)


def views(thumbnails: Sequence[Float]) -> Float:
    """(K, h, w, 3) -> (K, 3 (h - 2) (w - 2)): what the best shift of another view is compared with, unit length."""
    if not len(thumbnails):
        return np.empty((0, 0))
    return np.stack([_unit(t[NUDGE:-NUDGE, NUDGE:-NUDGE]) for t in thumbnails])


def unlike(shown: Float, others: Float) -> Float:
    """1 - correlation of a thumbnail with each of K `views`, (K,) in 0..2, at the best of nine shifts; 1 where flat.

    Each channel is freed of its mean and spread, so that brightness, contrast and tint do not count.
    """
    if not len(others):
        return np.empty(0)
    height, width = shown.shape[0] - 2 * NUDGE, shown.shape[1] - 2 * NUDGE
    if others.shape[1] != 3 * height * width:
        raise ShapeError(f"views must have {3 * height * width} numbers like the thumbnail, got {others.shape[1]}")
    sides = range(2 * NUDGE + 1)
    moved = np.stack([_unit(shown[y : y + height, x : x + width]) for y in sides for x in sides])
    return np.asarray(1.0 - (moved @ others.T).max(axis=0))


def _unit(picture: Float) -> Float:
    out = _standard(picture.reshape(-1, picture.shape[-1])).reshape(-1)
    return np.asarray(out / np.sqrt(out.size))


def _standard(values: Float) -> Float:
    """(n, c) with mean 0 and spread 1 of each channel; 0 where a channel is flat."""
    centred = values - values.mean(axis=0)
    spread = np.sqrt(np.square(centred).mean(axis=0))
    return np.asarray(np.where(spread < FLAT, 0.0, centred / np.where(spread < FLAT, 1.0, spread)))


def nearest_is_first(shown: Float, others: Float, limit: float = np.inf) -> bool:
    """Whether a thumbnail is nearer to the first of the `views` than to every other one, and nearer than `limit`.

    Ties are lost.
    """
    away = unlike(shown, others)
    return bool((away[1:] > away[0]).all() and away[0] < limit)


# ------------------------------------------------------------------------------------------- places seen again


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A place at frame `first`, left (furthest at frame `far`), and seen again at frame `again`."""

    first: int
    far: int
    again: int


def visits(path: Path, first: int, last: int, gap: int, limit: int) -> list[Visit]:
    """Places seen again, at most `limit`, spread evenly over their returns.

    Frames first..last; the return lies at least `gap` frames later, within `HOME_TURN` and `HOME_WAY`, and in between
    the view was left. Of several moments to compare a return with, the nearest pose counts, of equals the earliest.
    """
    best: dict[int, tuple[float, int]] = {}
    for s in range(first, last - gap + 1):
        degrees, metres = path.apart(s)
        gone = np.cumsum((degrees > LEFT_TURN) | (metres > LEFT_WAY))
        home = (degrees <= HOME_TURN) & (metres <= HOME_WAY) & (gone > gone[s])
        for t in (np.flatnonzero(home[s + gap : last + 1]) + s + gap).tolist():
            miss = round(float(degrees[t] / HOME_TURN + metres[t] / HOME_WAY), 6)
            if t not in best or miss < best[t][0]:
                best[t] = (miss, s)
    returns = sorted(best)
    if len(returns) > limit:
        returns = [returns[i] for i in np.unique(np.linspace(0, len(returns) - 1, limit).round().astype(int))]
    out = []
    for t in returns:
        s = best[t][1]
        degrees, metres = path.apart(s)
        away = np.maximum(degrees / LEFT_TURN, metres / LEFT_WAY)[s : t + 1]
        out.append(Visit(first=s, far=s + int(away.argmax()), again=t))
    return out


def comparable_places(path: Path, t: int, limit: int = 4) -> list[int]:
    """Frames that show a different place of like pitch and mean depth, the likest first, at most `limit`."""
    degrees, metres = path.apart(t)
    pitch = np.abs(path.pitch - path.pitch[t])
    depth = np.abs(path.depth - path.depth[t])
    with np.errstate(invalid="ignore"):
        fits = ((degrees > FAR_TURN) | (metres > FAR_WAY)) & (pitch <= SAME_PITCH) & (depth <= np.log(SAME_DEPTH))
    score = np.where(fits, pitch / SAME_PITCH + depth / np.log(SAME_DEPTH), np.inf)
    order = np.argsort(score, kind="stable")[: min(limit, int(fits.sum()))]
    return [int(u) for u in order]


def place_error(first: Frames, second: Frames, kept: Mask, pixels: Float | None = None) -> float:
    """How unlike two pictures of a place are on `kept`, in 0..1: (1 - correlation) / 2 without the worst tenth.

    At the best shift of up to `SHIFT` px; 0.5 where either is flat. With z the low-passed intensity (mean of the
    channels: colours that fade are no other place) at mean 0 and spread 1, it is the mean of (z_1 - z_2)^2 / 4, and
    that of all pixels would be (1 - correlation) / 2. The worst tenth is left out because an object that stands where
    the truth has none is no other place.

    Args:
        first: (H, W, 3) uint8.
        second: (H, W, 3) uint8.
        kept: (H, W) bool, pixels of the first.
        pixels: (H, W, 2) where in the second each pixel of the first is seen; None = at the same place.
    """
    a, b = (blurred_intensity(f) for f in (first, second))
    warped = b if pixels is None else geometry.sample(b, pixels)
    padded = cv2.copyMakeBorder(warped, *(SHIFT,) * 4, cv2.BORDER_REPLICATE)
    y, x = np.nonzero(kept)
    if not len(y):
        return 0.5
    own = _standard(a[kept].astype(np.float64)[:, None])
    side = range(2 * SHIFT + 1)
    moved = _standard(np.stack([padded[y + dy, x + dx] for dy in side for dx in side], axis=1).astype(np.float64))
    best = int((moved * own).mean(axis=0).argmax())
    if not own.any() or not moved[:, best].any():
        return 0.5
    errors = np.sort(np.square(moved[:, best] - own[:, 0]) / 4.0)
    return float(errors[: max(round(0.9 * len(errors)), 1)].mean())


def blurred_intensity(frame: Frames) -> NDArray[np.float32]:
    """(H, W, 3) uint8 -> (H, W) float32 in 0..1, mean of the channels, low-passed by `SOFT` px."""
    grey = frame.mean(axis=-1, dtype=np.float32) / np.float32(255)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), SOFT), np.float32)


# ---------------------------------------------------------------------------------------------- appearance


def fit_tone(shown: Frames, truth: Frames) -> tuple[Float, Float]:
    """Gain and offset of each channel that give `shown` the mean and the spread of `truth`, the gain in 1/4..4.

    Args:
        shown: (n, H, W, 3) uint8 of one segment.
        truth: (n, H, W, 3) uint8 of the same.

    Returns:
        (3,) float64 twice; x -> gain x + offset, in 8-bit steps.
    """
    a, b = (z.reshape(-1, 3).astype(np.float64) for z in (shown, truth))
    gain = np.clip(b.std(axis=0) / np.maximum(a.std(axis=0), 1.0), 0.25, 4.0)
    return gain, b.mean(axis=0) - gain * a.mean(axis=0)


def toned(frames: Frames, tone: tuple[Float, Float]) -> NDArray[np.float32]:
    """The frames at another tone, not rounded: (n, H, W, 3) float32 in 8-bit steps."""
    return np.asarray(frames * tone[0] + tone[1], np.float32)


def look(frames: NDArray[Any]) -> Float:
    """Layout and colour of each frame, low-passed: (n, H, W, 3) in 8-bit steps -> (n, 47).

    The first 35 and the last 12 numbers of `features.appearance`; grain and edges are left out, for sharpness and noise
    are no drift.
    """
    scale = min(frames.shape[1:3]) / 64.0  # `VERY_SOFT` is meant at 64 px
    soft = [cv2.GaussianBlur(np.asarray(f, np.float32), (0, 0), VERY_SOFT * scale) for f in frames]
    bytes_ = [np.clip(np.rint(f), 0, 255).astype(np.uint8)[None] for f in soft]
    table = np.stack([features.appearance(f) for f in bytes_])
    return np.concatenate([table[:, :35], table[:, -12:]], axis=1)


GROUPS = (slice(0, 35), slice(35, 47))  # layout, colour
SLACK = 0.15  # spreads of the truth: less than that is no drift (blur of 1 px makes up to 0.15)
CAP = 3.0  # spreads of the truth: beyond it a feature is simply wrong


def drift(truth: Sequence[Float], shown: Sequence[Float], spread: Float) -> Float:
    """How far each segment has drifted from the reference, which comes first: (S,) in 0..`CAP`.

    d_s = root mean square over features of clip(|delta_s - delta_0| / spread - SLACK, 0, CAP), layout and colour with
    equal weight; delta = mean look shown minus true mean look, of segment s and of the reference.

    Args:
        truth: S + 1 looks (n, d), the reference first.
        shown: S + 1 looks (n, d).
        spread: (d,) of the truth over its frames.
    """
    delta = np.stack([b.mean(axis=0) - a.mean(axis=0) for a, b in zip(truth, shown, strict=True)])
    z = np.clip(np.abs(delta[1:] - delta[0]) / spread - SLACK, 0.0, CAP)
    return np.asarray(np.sqrt(np.mean([np.square(z[:, g]).mean(axis=1) for g in GROUPS], axis=0)))
