"""How far is one camera path from another: alignment, absolute and relative errors.

Positions are (T, 3) metres, poses (T, 4, 4) world from camera; the two paths are matched frame by frame.

Limits: alignment removes what it aligns. A Sim(3) fit hides a wrong speed and an SE(3) fit a wrong start, so a score of
control uses neither; they are here to compare numbers with those of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldsim.errors import ShapeError, UnsupportedError

Float = NDArray[np.float64]
Alignment: TypeAlias = Literal["none", "se3", "sim3"]


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """x -> scale * rotation @ x + translation.

    Attributes:
        scale: Above 0; 1 for a rigid motion.
        rotation: (3, 3), determinant 1.
        translation: (3,) metres.
        unique: False where the points lie on a line: the turn about it is arbitrary, the residual is not.
    """

    scale: float
    rotation: Float
    translation: Float
    unique: bool

    def __call__(self, points: ArrayLike) -> Float:
        """(..., 3) -> (..., 3)."""
        return np.asarray(self.scale * (np.asarray(points, dtype=np.float64) @ self.rotation.T) + self.translation)


def umeyama(source: ArrayLike, target: ArrayLike, *, with_scale: bool = False) -> Similarity:
    """The rigid motion or similarity that brings `source` closest to `target`, Umeyama 1991, eqs. 34 to 43.

    Minimises the sum of |target - (s R source + t)|^2 over rotations (no reflection), translations and, with
    `with_scale`, s.

    Args:
        source: (n, 3).
        target: (n, 3).
        with_scale: False: SE(3); True: Sim(3).

    Raises:
        ShapeError: On wrong shapes or NaN.
        UnsupportedError: With scale, when the source does not move: no scale fits better than another.
    """
    x, y = _points(source, target)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    x, y = x - mean_x, y - mean_y
    u, values, vt = np.linalg.svd(y.T @ x / len(x))  # (3, 3), the covariance of target and source
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = 1.0
    if with_scale:
        variance = float(np.square(x).sum() / len(x))
        if not variance > 1e-18 * max(float(np.square(mean_x).sum()), 1e-300):
            raise UnsupportedError("the path does not move: its scale cannot be fitted")
        scale = float((values * sign).sum() / variance)
    return Similarity(
        scale=scale,
        rotation=rotation,
        translation=mean_y - scale * rotation @ mean_x,
        unique=bool(values[1] > 1e-12 * max(values[0], 1e-300)),
    )


def _points(source: ArrayLike, target: ArrayLike) -> tuple[Float, Float]:
    x, y = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 2 or x.shape[1] != 3 or len(x) == 0:
        raise ShapeError(f"both paths must be (T, 3) positions of the same frames, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ShapeError("positions must be finite: leave out frames without a pose on both sides")
    return x, y


def position_errors(estimated: ArrayLike, true: ArrayLike, align: Alignment = "none") -> Float:
    """Distance of each estimated position from the true one after alignment: (T, 3) twice -> (T,) metres."""
    x, y = _points(estimated, true)
    if align not in ("none", "se3", "sim3"):
        raise ShapeError(f"align must be 'none', 'se3' or 'sim3', got {align!r}")
    if align != "none":
        x = umeyama(x, y, with_scale=align == "sim3")(x)
    return np.asarray(np.linalg.norm(x - y, axis=1))


def ate_rmse(estimated: ArrayLike, true: ArrayLike, align: Alignment = "none") -> float:
    """Absolute trajectory error, root mean square, metres (Sturm et al. 2012, eq. 5, over the aligned positions)."""
    return float(np.sqrt(np.square(position_errors(estimated, true, align)).mean()))


@dataclass(frozen=True, kw_only=True)
class RelativeErrors:
    """Errors of the motion over `delta` frames.

    Attributes:
        translation: (T - delta,) metres.
        rotation: (T - delta,) degrees, 0..180.
    """

    translation: Float
    rotation: Float


def relative_errors(estimated: ArrayLike, true: ArrayLike, delta: int = 1) -> RelativeErrors:
    """Relative pose errors E = (Q_i^-1 Q_i+delta)^-1 (P_i^-1 P_i+delta), Sturm et al. 2012, eq. 2; Q true, P estimated.

    Args:
        estimated: (T, 4, 4) world from camera.
        true: (T, 4, 4).
        delta: Frames between the two poses, in 1..T-1.

    Raises:
        ShapeError: On wrong shapes, NaN, or poses whose rotation is none.
        UnsupportedError: If the path is shorter than delta + 1 frames.
    """
    p, q = _poses(estimated, "estimated"), _poses(true, "true")
    if p.shape != q.shape:
        raise ShapeError(f"both paths must have the same frames, got {len(p)} and {len(q)}")
    if delta < 1:
        raise ShapeError(f"delta must be at least 1 frame, got {delta}")
    if len(p) <= delta:
        raise UnsupportedError(f"a relative error over {delta} frames needs {delta + 1} poses, got {len(p)}")
    moved = np.linalg.inv(p[:-delta]) @ p[delta:]
    expected = np.linalg.inv(q[:-delta]) @ q[delta:]
    error = np.linalg.inv(expected) @ moved
    return RelativeErrors(
        translation=np.asarray(np.linalg.norm(error[:, :3, 3], axis=1)), rotation=rotation_angle(error[:, :3, :3])
    )


def rotation_angle(rotation: ArrayLike) -> Float:
    """Angle of rotations (..., 3, 3) -> (...) degrees in 0..180, by atan2 of sine and cosine: exact near 0 and 180."""
    r = np.asarray(rotation, dtype=np.float64)
    axis = np.stack(
        [r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]], axis=-1
    )  # 2 sin(angle) times the axis
    return np.asarray(np.degrees(np.arctan2(np.linalg.norm(axis, axis=-1), np.trace(r, axis1=-2, axis2=-1) - 1.0)))


def _poses(poses: ArrayLike, what: str) -> Float:
    out = np.asarray(poses, dtype=np.float64)
    if out.ndim != 3 or out.shape[1:] != (4, 4):
        raise ShapeError(f"{what} poses must be (T, 4, 4), got shape {out.shape}")
    if not np.isfinite(out).all():
        raise ShapeError(f"{what} poses must be finite: leave out frames without a pose on both sides")
    r = out[:, :3, :3]
    if not np.allclose(r @ r.swapaxes(1, 2), np.eye(3), atol=1e-4) or (np.linalg.det(r) < 0).any():
        raise ShapeError(f"{what} poses must hold rotations, got matrices that stretch or mirror")
    return out
