"""Two views and their matches: symmetric epipolar distance, its threshold (TSED), and the motion that pictures imply.

Points are (n, 2) float64 pixels with centres at half-integers, moves are (4, 4) `second_from_first` in metres with
OpenCV camera axes. A matcher is a plain function, so that known matches can be passed in.

Limits: under a pure translation with one lens every point lies on its own epipolar line, so that a frozen video has a
distance of exactly 0 and passes TSED as published; therefore a pair is scored only where the frozen frame would fail by
twice the threshold. The epipolar constraint is blind to errors along the line: wrong parallax passes it; reprojection
sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.metrics.functional.geometry import rotation_angle
from worldsim.types import Frames, check_frames

Float = NDArray[np.float64]
#: (H, W, 3) uint8 twice -> matching points (n, 2) in the first and in the second frame.
Matcher: TypeAlias = Callable[[Frames, Frames], tuple[Float, Float]]

REFERENCE = 256.0  # px of the shorter side at which the thresholds below are stated; they scale with the picture
THRESHOLD = 2.0  # px of median distance: Yu et al. 2023
MIN_MATCHES = 10  # Yu et al. 2023
FROZEN_POWER = 4.0  # px: what the frozen frame must have, or the pair says nothing
STILL = 1e-3  # metres between the cameras, below which a pair is a pure rotation
MIN_MOTION = 8.0  # px of median motion at 256 that the truth must show before a pose is asked for; a quarter = none
MIN_TRUE_MATCHES = 20  # between the true frames, before a pose is asked for
AGREEMENT = 5.0  # degrees between the rotations that two halves of the true matches imply, at most
MAX_ANGLE = 10.0  # degrees between the rotations at which self-pose has lost all of its score
RATIO = 0.8  # Lowe 2004, and COLMAP's default


def scale_of(size: tuple[int, int]) -> float:
    """Factor on all pixel thresholds for pictures of (H, W): shorter side / 256."""
    return min(size) / REFERENCE


def cross_matrix(t: Float) -> Float:
    """[t]x, (3, 3): `cross_matrix(t) @ v` = t x v."""
    x, y, z = (float(q) for q in t)
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def fundamental(move: Float, first: Float, second: Float) -> Float:
    """F = K_2^-T [t]x R K_1^-1, (3, 3), so that x_2^T F x_1 = 0 (Hartley and Zisserman 2004, eq. 9.2)."""
    essential = cross_matrix(move[:3, 3]) @ move[:3, :3]
    return np.asarray(np.linalg.inv(second).T @ essential @ np.linalg.inv(first))


def infinite_homography(move: Float, first: Float, second: Float) -> Float:
    """H = K_2 R K_1^-1, (3, 3): where the first picture's pixels go under a pure rotation."""
    return np.asarray(second @ move[:3, :3] @ np.linalg.inv(first))


def _check(a: Float, b: Float) -> None:
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2:
        raise ShapeError(f"matching points must be (n, 2) twice, got {a.shape} and {b.shape}")


def _homogeneous(points: Float) -> Float:
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)


def symmetric_epipolar_distance(a: Float, b: Float, matrix: Float) -> Float:
    """SED = (d(b, F a) + d(a, F^T b)) / 2 of each match, px, (n,): Yu et al. 2023 (PhotoNVS), section 4.

    d is the distance of a point to a line. A point at the epipole has no line; its distance counts as 0.
    """
    _check(a, b)
    x, y = _homogeneous(a), _homogeneous(b)
    in_second, in_first = x @ matrix.T, y @ matrix
    residual = np.abs((y * in_second).sum(axis=1))
    lengths = np.hypot(in_second[:, 0], in_second[:, 1]), np.hypot(in_first[:, 0], in_first[:, 1])
    return np.asarray(0.5 * sum(residual / np.where(n > 0, n, np.inf) for n in lengths))


def symmetric_transfer_distance(a: Float, b: Float, homography: Float) -> Float:
    """(|b - H a| + |a - H^-1 b|) / 2 of each match, px, (n,)."""
    _check(a, b)
    there, back = _homogeneous(a) @ homography.T, _homogeneous(b) @ np.linalg.inv(homography).T
    with np.errstate(divide="ignore", invalid="ignore"):
        forth = np.linalg.norm(there[:, :2] / there[:, 2:] - b, axis=1)
        home = np.linalg.norm(back[:, :2] / back[:, 2:] - a, axis=1)
    return np.asarray(0.5 * (forth + home))


def pair_distance(a: Float, b: Float, move: Float, first: Float, second: Float) -> Float:
    """SED under the true motion; the transfer distance of the infinite homography where it is a pure rotation."""
    if float(np.linalg.norm(move[:3, 3])) < STILL:
        return symmetric_transfer_distance(a, b, infinite_homography(move, first, second))
    return symmetric_epipolar_distance(a, b, fundamental(move, first, second))


def frozen_distance(move: Float, first: Float, second: Float, size: tuple[int, int]) -> float:
    """Median distance, px, of a frozen frame: every point of a 16x16 grid over (H, W) matched with itself."""
    height, width = size
    v, u = np.mgrid[0:16, 0:16] + 0.5
    grid = np.stack([u.ravel() * width / 16, v.ravel() * height / 16], axis=1)
    return float(np.median(pair_distance(grid, grid, move, first, second)))


@dataclass(frozen=True, kw_only=True)
class TsedPair:
    """Verdict on one pair.

    Attributes:
        consistent: At least 10 matches and a median distance below 2 px at 256.
        median: Of the distances, px of the picture; inf without a match.
        matches: How many.
        frozen: What a frozen frame would have, px; `powerful` if above 4 px at 256.
    """

    consistent: bool
    median: float
    matches: int
    frozen: float
    powerful: bool


def tsed_pair(points: tuple[Float, Float], move: Float, lenses: tuple[Float, Float], size: tuple[int, int]) -> TsedPair:
    """Thresholded symmetric epipolar distance of one pair, with the gate that keeps frozen frames from passing.

    Args:
        points: Matches of the shown frames.
        move: True `second_from_first`.
        lenses: True intrinsics of both frames.
        size: (H, W) of the frames.
    """
    distances = pair_distance(*points, move, *lenses)
    median = float(np.median(distances)) if len(distances) else float("inf")
    frozen, scale = frozen_distance(move, *lenses, size), scale_of(size)
    return TsedPair(
        consistent=len(distances) >= MIN_MATCHES and median < THRESHOLD * scale,
        median=median,
        matches=len(distances),
        frozen=frozen,
        powerful=frozen > FROZEN_POWER * scale,
    )


def sift_matches(first: Frames, second: Frames) -> tuple[Float, Float]:
    """Mutual nearest SIFT neighbours that pass the ratio test both ways: (H, W, 3) uint8 twice -> (n, 2) twice.

    Lowe 2004, OpenCV's implementation with its defaults; deterministic. Half a pixel is added: OpenCV counts pixel
    centres at integers.
    """
    for frame in (first, second):
        check_frames(frame, ndim=3, what="frame")
    sift = cv2.SIFT.create()
    (own, x), (other, y) = (sift.detectAndCompute(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), None) for f in (first, second))
    empty = np.empty((0, 2))
    if x is None or y is None or min(len(x), len(y)) < 2:
        return empty, empty
    squared = np.maximum((x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T, 0.0)
    ahead, back = squared.argmin(axis=1), squared.argmin(axis=0)
    clear = squared < RATIO**2 * np.partition(squared, 1, axis=1)[:, 1:2]  # against the runner-up of either side
    clear &= squared < RATIO**2 * np.partition(squared, 1, axis=0)[1:2]
    chosen = [(i, j) for i, j in enumerate(ahead) if back[j] == i and clear[i, j]]
    if not chosen:
        return empty, empty
    pairs = [(*own[i].pt, *other[j].pt) for i, j in chosen]
    points = np.unique(np.array(pairs, np.float64), axis=0) + 0.5  # one point can have two directions
    return points[:, :2], points[:, 2:]


def off_instances(points: tuple[Float, Float], ids: tuple[NDArray[np.int32], NDArray[np.int32]]) -> tuple[Float, Float]:
    """The matches both ends of which lie on the static world of the true frames; ids (H, W) of both."""
    keep = np.ones(len(points[0]), dtype=bool)
    for ends, there in zip(points, ids, strict=True):
        u = np.clip(ends[:, 0].astype(np.intp), 0, there.shape[1] - 1)
        v = np.clip(ends[:, 1].astype(np.intp), 0, there.shape[0] - 1)
        keep &= there[v, u] == 0
    return points[0][keep], points[1][keep]


@dataclass(frozen=True, kw_only=True)
class ImpliedPose:
    """The motion between two pictures, from matches alone.

    Attributes:
        rotation: (3, 3), of `second_from_first`.
        direction: (3,), unit, of its translation; arbitrary under a pure rotation.
        inliers: Share of the matches that agree, 0..1.
    """

    rotation: Float
    direction: Float
    inliers: float


def implied_pose(points: tuple[Float, Float], lens: Float, size: tuple[int, int]) -> ImpliedPose | None:
    """Essential matrix by `cv2.findEssentialMat` (USAC, MAGSAC++; 1 px at 256), then the pose in front of both cameras.

    None if it fails: fewer than 8 matches, or no matrix.
    """
    a, b = points
    _check(a, b)
    if len(a) < 8:
        return None
    try:
        matrix, mask = cv2.findEssentialMat(
            a, b, lens, method=cv2.USAC_MAGSAC, prob=0.999, threshold=1.0 * scale_of(size)
        )
        if matrix is None or matrix.shape != (3, 3) or mask is None or not mask.any():
            return None
        inliers = float(np.count_nonzero(mask)) / len(a)
        _, rotation, direction, _ = cv2.recoverPose(matrix, a, b, lens, mask=mask.copy())
    except cv2.error:  # degenerate points: a failure of what was shown, scored as one
        return None
    if not (np.isfinite(rotation).all() and np.isfinite(direction).all()):
        return None
    return ImpliedPose(rotation=np.asarray(rotation), direction=np.asarray(direction).ravel(), inliers=inliers)


@dataclass(frozen=True, kw_only=True)
class SelfPose:
    """How well the motion that the shown pictures imply agrees with the one that the true pictures imply.

    Attributes:
        score: min(1, inlier_ratio) x max(0, 1 - angle / 10 degrees), 0..1; 0 where no motion could be found.
        inlier_ratio: Share of inliers of what was shown over that of the truth.
        angle: Degrees between the two rotations; 180 for a failure.
    """

    score: float
    inlier_ratio: float
    angle: float


def median_motion(points: tuple[Float, Float]) -> float:
    """Median distance between matching points, px; 0 without a match."""
    return float(np.median(np.linalg.norm(points[1] - points[0], axis=1))) if len(points[0]) else 0.0


def self_pose(
    truth: tuple[Float, Float], shown: tuple[Float, Float], lens: Float, size: tuple[int, int]
) -> SelfPose | str:
    """Compares the two implied poses; neither depth nor the true pose is used, and both sides share one estimator.

    A picture that stands still (less than a quarter of the least motion asked of the truth) fails: without motion every
    essential matrix of a translation fits. Failure scores 0, and is never dropped. The truth decides which pairs count:
    at least 20 matches that move by 8 px (at 256), two halves of which imply rotations within 5 degrees.

    Args:
        truth: Matches between the true frames.
        shown: Matches between the shown frames.
        lens: (3, 3) intrinsics, px.
        size: (H, W).

    Returns:
        The agreement, or a sentence that says why the truth cannot decide.
    """
    least = MIN_MOTION * scale_of(size)
    if median_motion(truth) < least:
        return "no power: the true picture hardly moves"
    halves = [implied_pose((truth[0][k::2], truth[1][k::2]), lens, size) for k in (0, 1)]
    reference = implied_pose(truth, lens, size)
    if len(truth[0]) < MIN_TRUE_MATCHES or reference is None or halves[0] is None or halves[1] is None:
        return "the true frames imply no pose"
    if rotation_angle(halves[0].rotation @ halves[1].rotation.T) > AGREEMENT:
        return "the true frames imply no certain pose"
    own = implied_pose(shown, lens, size)
    if own is None or median_motion(shown) < least / 4:
        return SelfPose(score=0.0, inlier_ratio=0.0, angle=180.0)
    ratio = own.inliers / reference.inliers
    angle = rotation_angle(own.rotation @ reference.rotation.T)
    return SelfPose(score=min(1.0, ratio) * max(0.0, 1.0 - angle / MAX_ANGLE), inlier_ratio=ratio, angle=angle)
