"""Which pixels of a true frame show what: the static world, an instance, or a surface that nobody has seen yet.

Everything is decided by the truth's depth, ids and pose, never by a model's output.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.truth import TruthState

Mask = NDArray[np.bool_]

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 0.02, 0.05  # of depth, metres: the same surface if within the larger of both
NEEDS = ("depth", "segmentation", "world_from_camera", "intrinsics")


def object_mask(state: TruthState) -> Mask:
    """(H, W) bool: pixels of an instance (a chest, a creature). Raises UnsupportedError without ids."""
    if state.segmentation is None:
        raise UnsupportedError("no segmentation")
    return np.asarray(state.segmentation > 0)


def seen_before(state: TruthState, context: Sequence[TruthState]) -> Mask:
    """Which pixels of `state` show a point that was in view in at least one context frame.

    Each pixel's centre is back-projected with its depth, moved into each context camera, and counts as seen there if it
    falls into the picture and its depth agrees with the true depth there within max(0.02 z, 0.05 m): with the depth of
    the pixel it falls into, or with the inverse depth interpolated between pixel centres (exact on planes, so that
    ground at a grazing angle is not taken for new). Sky is a direction: seen if the sky was in view in that direction.

    Args:
        state: Of (H, W) pixels.
        context: States of the context frames.

    Returns:
        (H, W) bool.

    Raises:
        UnsupportedError: "no depth" and the like, where the truth lacks what is needed.
        ShapeError: If depth maps differ in size.
    """
    depth, pose, intrinsics = _geometry(state)
    height, width = depth.shape
    v, u = np.mgrid[0:height, 0:width] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3) @ np.linalg.inv(intrinsics).T
    z = depth.reshape(-1).astype(np.float64)
    sky = ~np.isfinite(z)
    points = rays * np.where(sky, 1.0, z)[:, None]  # a sky pixel keeps its direction and, below, no position
    seen = np.zeros(len(z), dtype=bool)
    for other in reversed(context):  # the latest frame shares most with what follows: little is left for the others
        depth_there, pose_there, intrinsics_there = _geometry(other)
        if depth_there.shape != depth.shape:
            raise ShapeError(f"context depth must be {depth.shape}, got {depth_there.shape}")
        todo = np.flatnonzero(~seen)
        if not len(todo):
            break
        move = np.linalg.inv(pose_there) @ pose
        there = points[todo] @ move[:3, :3].T + np.where(sky[todo, None], 0.0, move[:3, 3])
        seen[todo] = _visible(there, sky[todo], depth_there, intrinsics_there)
    return seen.reshape(height, width)


def _visible(
    points: NDArray[np.float64], sky: Mask, depth: NDArray[np.float32], intrinsics: NDArray[np.float64]
) -> Mask:
    """Which of (n, 3) points in a camera's axes that camera saw, given its depth map."""
    height, width = depth.shape
    z = points[:, 2]
    ahead = z > 1e-6
    pixel = (points / np.where(ahead, z, 1.0)[:, None]) @ intrinsics.T
    u, v = pixel[:, 0], pixel[:, 1]
    inside = ahead & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v = np.where(inside, u, 0.5), np.where(inside, v, 0.5)
    nearest = depth[v.astype(np.intp), u.astype(np.intp)].astype(np.float64)
    tolerance = np.maximum(RELATIVE_TOLERANCE * z, ABSOLUTE_TOLERANCE)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = _bilinear(1.0 / depth, u - 0.5, v - 0.5)
        same = (np.abs(z - nearest) <= tolerance) | (np.abs(z - 1.0 / inverse) <= tolerance)
    return np.asarray(inside & np.where(sky, ~np.isfinite(nearest), same))


def _bilinear(image: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of (H, W) at pixel-centre coordinates (n,), clamped at the border."""
    height, width = image.shape
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    x0, y0 = x.astype(np.intp), y.astype(np.intp)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = x - x0, y - y0
    top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
    bottom = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
    return np.asarray(top * (1 - fy) + bottom * fy)


def _geometry(state: TruthState) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    if state.depth is None:
        raise UnsupportedError("no depth")
    if state.world_from_camera is None or state.intrinsics is None:
        raise UnsupportedError("no camera pose or intrinsics")
    return state.depth, state.world_from_camera, state.intrinsics


def regions(state: TruthState, context: Sequence[TruthState]) -> dict[str, Mask]:
    """Splits the pixels of a frame into three disjoint masks (H, W) that cover it.

    object: an instance; revealed: the static world, not in view in any context frame; static: the rest.
    """
    instance = object_mask(state)
    seen = seen_before(state, context)
    return {"object": instance, "revealed": ~instance & ~seen, "static": ~instance & seen}
