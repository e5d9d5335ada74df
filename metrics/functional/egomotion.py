"""How did the camera move between two frames? Direct alignment with true depth.

The second frame is laid on the first by a rigid motion of the points behind its pixels. With inverse depth w and ray n
of a pixel, I_j(pi(R n + w t)) = a I_i + b is solved for R, t, a, b by Gauss-Newton in the inverse compositional form
(Baker and Matthews 2004, section 3.2), coarse to fine, with Cauchy weights. It starts from no motion and from the turn
that a correlation of the two pictures suggests, whichever fits better. Two equal frames give exactly no motion.

The same estimator looks at the true and at the generated frames, so its own error cancels for whoever shows the truth.
Depth, lens and level are those of the truth at the first frame. There is no Sim(3) alignment: a wrong speed is wrong.

A body turns and then walks: (yaw right, pitch down) in degrees, (forward, right) in metres along the heading after the
turn. What is vertical, and roll, is fitted and left out.

Limits: depth is the truth's, so where a simulator is elsewhere, speeds scale with the wrong depth (turns do not).
Turns of more than about 20 degrees a step are not found.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import UnsupportedError
from worldsim.metrics.functional.geometry import grow
from worldsim.truth import TruthState
from worldsim.types import Frames

Float = NDArray[np.float64]
Single = NDArray[np.float32]

COMPONENTS = ("yaw", "pitch", "forward", "right")  # degrees, degrees, metres, metres
WORK = 64  # px of the longer side at which pictures are laid on each other
SMALLEST = 16  # px: fewer show no motion
CAP = np.array([45.0, 45.0, 1.0, 1.0])  # no step is taken for larger than this
ROUNDS = 6  # of Gauss-Newton at each size
_RIDGE = np.square(
    [0.05, 0.05, 2.0, 0.1, 0.1, 0.1, 0.03, 1e-4]
)  # keeps at nothing what cannot be seen; the head hardly rolls
_DIAGONAL = np.arange(8)
_GRAIN = 2.0  # of 255: residuals below it are not told apart
_STILL = 3e-4  # radians or metres: 0.01 px
_SEARCH = 0.25  # of the width: the largest shift that the correlation looks for


@dataclass(frozen=True, kw_only=True)
class _Level:
    """One size of the picture: its sampled pixels."""

    size: tuple[int, int]  # (W, H)
    at: NDArray[np.intp]  # (N,) flat indices
    points: Single  # (4, N): x / z, y / z, 1, 1 / z, the last 1/m and 0 for the sky
    static: Single  # (N,) 1 or 0
    motion: tuple[Single, Single]  # (6, N) each: d(u, v) of a pixel by a small rotation and translation of the points
    lens: Float  # (3, 3) with pixel centres at whole numbers


@dataclass(frozen=True, kw_only=True)
class MotionView:
    """What the truth says about the first frame of a step.

    Attributes:
        levels: From coarse to fine.
        orientation: (3, 3) world from camera.
    """

    levels: tuple[_Level, ...]
    orientation: Float


def motion_view(state: TruthState) -> MotionView:
    """Points behind the pixels of a frame, at the sizes at which pictures are laid on each other.

    Raises:
        UnsupportedError: "no depth", "no camera pose or intrinsics" or "frames below 16x16 px".
    """
    if state.depth is None:
        raise UnsupportedError("no depth")
    if state.world_from_camera is None or state.intrinsics is None:
        raise UnsupportedError("no camera pose or intrinsics")
    things = np.zeros(state.depth.shape, bool) if state.segmentation is None else grow(state.segmentation > 0, 1)
    if min(state.depth.shape) < SMALLEST:
        raise UnsupportedError(f"frames below {SMALLEST}x{SMALLEST} px")
    levels = tuple(_level(state.depth, things, state.intrinsics, size) for size in _sizes(state.depth.shape))
    return MotionView(levels=levels, orientation=state.world_from_camera[:3, :3])


def _level(depth: NDArray[np.float32], things: NDArray[np.bool_], lens: Float, size: tuple[int, int]) -> _Level:
    w, h = size
    stride = 2 if min(w, h) >= 32 else 1
    v, u = (q.ravel() for q in np.mgrid[stride // 2 : h : stride, stride // 2 : w : stride])
    sx, sy = w / depth.shape[1], h / depth.shape[0]
    fx, fy, cx, cy = lens[0, 0] * sx, lens[1, 1] * sy, lens[0, 2] * sx - 0.5, lens[1, 2] * sy - 0.5
    x, y = (u - cx) / fx, (v - cy) / fy
    rows, columns = ((v + 0.5) / sy).astype(int), ((u + 0.5) / sx).astype(int)
    far = depth[rows, columns].astype(np.float64)
    with np.errstate(divide="ignore"):
        inverse = np.where(np.isfinite(far) & (far > 0), 1.0 / far, 0.0)
    none = np.zeros_like(x)
    du = fx * np.stack([-x * y, 1 + x * x, -y, inverse, none, -x * inverse])
    dv = fy * np.stack([-1 - y * y, x * y, x, none, inverse, -y * inverse])
    return _Level(
        size=size,
        at=v * w + u,
        points=np.stack([x, y, np.ones_like(x), inverse]).astype(np.float32),
        static=(~things[rows, columns]).astype(np.float32),
        motion=(du.astype(np.float32), dv.astype(np.float32)),
        lens=np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]),
    )


@dataclass(frozen=True, kw_only=True)
class Picked:
    """One frame, made ready once: low-passed luminance at both sizes (8-bit steps), from coarse to fine."""

    levels: tuple[Single, ...]


def picked(frame: Frames) -> Picked:
    """Luminance of an (H, W, 3) uint8 frame at the sizes of `MotionView`, low-passed by a Gaussian of 1 px."""
    half, fine = _sizes(frame.shape)
    image = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY).astype(np.float32)
    if fine != image.shape[::-1]:
        image = np.asarray(cv2.resize(image, fine, interpolation=cv2.INTER_AREA))
    small = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA))
    return Picked(levels=tuple(np.asarray(cv2.GaussianBlur(x, (7, 7), 1.0)) for x in (small, image)))


def _sizes(shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(W, H) of the coarse and of the fine level."""
    scale = min(1.0, WORK / max(shape[:2]))
    w, h = max(round(shape[1] * scale), 1), max(round(shape[0] * scale), 1)
    return (max(w // 2, 1), max(h // 2, 1)), (w, h)


def estimate(first: Picked, second: Picked, view: MotionView) -> Float:
    """(4,) the motion between two frames, in the units of `COMPONENTS`; nothing where the frames are flat."""
    coarse, fine = view.levels
    template = _template(first.levels[0], coarse)
    starts = [np.eye(4)]
    turn = _suggested(first.levels[0], second.levels[0], coarse)
    if turn is not None:
        starts.append(turn)
    found = [_align(template, second.levels[0], coarse, start) for start in starts]
    move, _ = min(found, key=lambda f: f[1])
    move, _ = _align(_template(first.levels[1], fine), second.levels[1], fine, move)
    return np.clip(components(move, view.orientation), -CAP, CAP)


def true_motion(first: TruthState, second: TruthState) -> Float:
    """(4,) the motion between two states. Raises UnsupportedError: "no camera pose or intrinsics"."""
    if first.world_from_camera is None or second.world_from_camera is None:
        raise UnsupportedError("no camera pose or intrinsics")
    move = np.linalg.inv(second.world_from_camera) @ first.world_from_camera
    return components(move, first.world_from_camera[:3, :3])


def components(move: Float, orientation: Float) -> Float:
    """(4,) from (4, 4) `second_from_first` and the (3, 3) orientation of the first camera in the world (y up)."""
    after = orientation @ move[:3, :3].T
    yaw = _wrap(_heading(after) - _heading(orientation))
    pitch = np.degrees(np.arcsin(np.clip(orientation[1, 2], -1, 1)) - np.arcsin(np.clip(after[1, 2], -1, 1)))
    way = after @ -move[:3, 3]
    right = after[[0, 2], 0] / max(float(np.hypot(after[0, 0], after[2, 0])), 1e-9)
    # Level and ahead: right x down, with down = (0, -1, 0).
    return np.array([yaw, pitch, way[0] * right[1] - way[2] * right[0], way[0] * right[0] + way[2] * right[1]])


def _heading(orientation: Float) -> float:
    """Degrees to the right, from the camera's right axis, which stays level however steeply it looks down."""
    return float(np.degrees(np.arctan2(-orientation[2, 0], -orientation[0, 0])))


def _wrap(degrees: float) -> float:
    return (degrees + 180.0) % 360.0 - 180.0


def _suggested(first: Single, second: Single, level: _Level) -> Float | None:
    """The turn that carries the middle of the first picture to where the second shows it; None for none."""
    h, w = first.shape
    dx, dy = int(w * _SEARCH), int(h * _SEARCH)
    middle = first[dy : h - dy, dx : w - dx]
    if dx < 1 or dy < 1 or middle.std() < 1.0:
        return None
    score = cv2.matchTemplate(second, np.ascontiguousarray(middle), cv2.TM_CCOEFF_NORMED)
    y, x = (int(q) for q in np.unravel_index(int(np.nan_to_num(score, nan=-1.0, posinf=-1.0).argmax()), score.shape))
    if (x, y) == (dx, dy):
        return None
    across, down = np.arctan((x - dx) / level.lens[0, 0]), np.arctan((y - dy) / level.lens[1, 1])
    move = np.eye(4)
    move[:3, :3] = _rotation(np.array([-down, across, 0.0]))
    return move


def _template(first: Single, level: _Level) -> tuple[Single, Single]:
    """The first picture at the sampled pixels (N,), and (8, N) its change by each motion, by gain and by offset."""
    flat = first.ravel()[level.at]
    gx, gy = (cv2.Scharr(first, cv2.CV_32F, i, 1 - i, scale=1 / 32).ravel()[level.at] for i in (1, 0))
    slope = np.empty((8, len(flat)), np.float32)
    slope[:6] = gx * level.motion[0] + gy * level.motion[1]
    slope[6], slope[7] = flat - flat.mean(), 1.0
    return flat, slope


def _align(template: tuple[Single, Single], second: Single, level: _Level, move: Float) -> tuple[Float, float]:
    """Gauss-Newton from `move`; the motion and its mean residual (8-bit steps)."""
    flat, slope = template
    best, least = move, np.inf
    for _ in range(ROUNDS):
        shown, seen = _seen(second, level, move)
        weight, cost, error = _weights(shown, flat, seen)
        if not cost < least - 1e-6:
            break
        best, least = move, cost
        weighted = slope * weight
        normal = (weighted @ slope.T).astype(np.float64)
        normal[_DIAGONAL, _DIAGONAL] += max(float(weight.sum()), 1.0) * _RIDGE
        step = np.asarray(np.linalg.solve(normal, (weighted @ error).astype(np.float64))[:6], np.float64)
        if np.abs(step).max() < _STILL:
            break
        move = np.matmul(move, _twist(-step))
    return best, least


def _seen(second: Single, level: _Level, move: Float) -> tuple[Single, Single]:
    """What the second picture shows of each point, and 1 where it shows a static one."""
    there = (level.lens @ move[:3]).astype(np.float32) @ level.points
    z = np.maximum(there[2], np.float32(1e-3))
    u, v = there[0] / z, there[1] / z
    w, h = level.size
    seen = (there[2] > 1e-3) & (u >= 0) & (u <= w - 1) & (v >= 0) & (v <= h - 1)
    shown = cv2.remap(second, u[None], v[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shown[0], np.float32), seen * level.static


def _weights(shown: Single, flat: Single, seen: Single) -> tuple[Single, float, Single]:
    """Cauchy weights, the mean residual over what is seen, and the residuals without their gain and offset."""
    count = float(seen.sum())
    if count < max(len(flat) // 5, 12):
        return np.zeros_like(flat), np.inf, shown - flat
    share = seen / np.float32(count)
    shown, flat = shown - shown @ share, flat - flat @ share
    spread = float(np.square(flat) @ share) ** 0.5
    gain = float(np.square(shown) @ share) ** 0.5 / spread if spread > 1.0 else 1.0
    error = shown - np.float32(gain) * flat
    cost = float(np.abs(error) @ share)
    weight = np.asarray(seen / (1.0 + np.square(error / np.float32(2.0 * cost + _GRAIN))), np.float32)
    return weight, cost, error


def _rotation(vector: Float) -> Float:
    """(3, 3) of a rotation vector in radians (Rodrigues)."""
    return np.asarray(cv2.Rodrigues(np.asarray(vector, np.float64))[0])


def _twist(step: Float) -> Float:
    """(4, 4) of (rotation vector, translation)."""
    out = np.eye(4)
    out[:3, :3] = _rotation(step[:3])
    out[:3, 3] = step[3:]
    return out
