"""Draws a view of a world: colours, depth, kinds and instances from any pose, a pure function of its arguments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.camera import VERTICAL_FOV, focal_length
from worldsim.envs.blocks.kernel import render_kernel
from worldsim.envs.blocks.kinds import EMISSIVE, FIRST_PART, RENDER_FLAGS
from worldsim.envs.blocks.light import sky_at
from worldsim.envs.blocks.textures import atlas

NO_BOXES: NDArray[np.float64] = np.zeros((0, 9))


@dataclass(frozen=True, kw_only=True)
class View:
    """What an eye sees.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32, metres along camera z; inf where there is no surface.
        kind: (H, W) uint8 id of `kinds`; 0 is sky.
        instance: (H, W) int32 id of the object; 0 is the static world and the sky.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    kind: NDArray[np.uint8]
    instance: NDArray[np.int32]


def render_view(
    cells: NDArray[np.uint8],
    tops: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    world_from_camera: NDArray[np.float64],
    hour: float,
    size: tuple[int, int],
    *,
    vertical_fov: float = VERTICAL_FOV,
    supersample: int = 1,
    view_distance: float = 48.0,
    horizon: tuple[float, int] | None = None,
) -> View:
    """Draws the world from a pose.

    Args:
        cells: (X, Z, Y) uint8 kinds of the grid, C order.
        tops: (X, Z) uint8, `kinds.column_tops(cells)`.
        boxes: (N, 9) float64 rows x0 y0 z0 x1 y1 z1 code instance exists, metres; see `shapes.py`. `code` is the kind
            id + 128 * facing, facing in quarter turns to the right from +z (where the front texture is).
        world_from_camera: (4, 4) float64, OpenCV camera axes.
        hour: Time of day, 0..24.
        size: (H, W) pixels.
        vertical_fov: Degrees.
        supersample: k: colours are the mean of k*k rays a pixel. Depth and ids are always one ray at its centre.
        view_distance: Metres along camera z; what lies beyond is sky.
        horizon: (height in metres, kind id) of the plain or sea that goes on outside the grid; None = as the cells at
            the grid's corner (0, 0).
    """
    height, width = size
    lit = boxes[boxes[:, 8] > 0]
    focal = focal_length(height, vertical_fov)
    pose = np.ascontiguousarray(world_from_camera, np.float64)
    view = View(
        rgb=np.empty((height, width, 3), np.uint8),
        depth=np.empty((height, width), np.float32),
        kind=np.empty((height, width), np.uint8),
        instance=np.empty((height, width), np.int32),
    )
    render_kernel(
        cells,
        tops,
        atlas(),
        RENDER_FLAGS,
        lit,
        _screen_rectangles(lit, pose, focal, size),
        _lamps(lit),
        pose,
        focal,
        float(view_distance),
        sky_at(hour),
        np.array(_corner_horizon(cells) if horizon is None else horizon, np.float64),
        supersample,
        view.rgb,
        view.depth,
        view.kind,
        view.instance,
    )
    return view


def _corner_horizon(cells: NDArray[np.uint8]) -> tuple[float, int]:
    column = np.flatnonzero(cells[0, 0])
    if not len(column):
        return (0.0, 0)
    top = int(column[-1])
    return (top + 1.0, int(cells[0, 0, top]))


def _lamps(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(L, 3) float64 centres of the boxes that shine."""
    kinds = boxes[:, 6].astype(np.int64) & 127
    shining = boxes[EMISSIVE[kinds] & (kinds >= FIRST_PART)]
    return np.ascontiguousarray((shining[:, :3] + shining[:, 3:6]) / 2)


def _screen_rectangles(
    boxes: NDArray[np.float64], pose: NDArray[np.float64], focal: float, size: tuple[int, int]
) -> NDArray[np.int64]:
    """(N, 4) int64 u0 u1 v0 v1, inclusive: pixels outside cannot see the box. Boxes behind the eye get an empty one."""
    height, width = size
    if not len(boxes):
        return np.zeros((0, 4), np.int64)
    pick = np.array([[0, 3], [1, 4], [2, 5]])
    corners = np.stack(
        [boxes[:, [pick[0, i], pick[1, j], pick[2, k]]] for i in (0, 1) for j in (0, 1) for k in (0, 1)], axis=1
    )  # (N, 8, 3)
    camera = (corners - pose[:3, 3]) @ pose[:3, :3]
    z = camera[..., 2]
    near = 1e-3
    safe = np.maximum(z, near)
    u = camera[..., 0] / safe * focal + width / 2
    v = camera[..., 1] / safe * focal + height / 2
    rects = np.stack([u.min(1) - 2, u.max(1) + 1, v.min(1) - 2, v.max(1) + 1], axis=1)  # a pixel to spare
    rects = np.clip(rects, -4, max(height, width) + 4).astype(np.int64)
    rects[(z < near).any(1)] = (0, width, 0, height)  # crosses the eye's plane: no rectangle holds it
    rects[(z < near).all(1)] = (1, 0, 1, 0)
    return rects
