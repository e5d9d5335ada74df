"""Draws a view of a world: colours, depth, kinds and instances from any pose, a pure function of its arguments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.camera import VERTICAL_FOV, focal_length
from worldsim.envs.blocks.kinds import EMISSIVE, FIRST_PART, RENDER_FLAGS
from worldsim.envs.blocks.light import sky_at
from worldsim.envs.blocks.shade import shade
from worldsim.envs.blocks.textures import atlas
from worldsim.envs.blocks.trace import trace

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
    focal = focal_length(height, vertical_fov)
    pose = np.ascontiguousarray(world_from_camera, np.float64)
    ground, ground_kind = _corner_horizon(cells) if horizon is None else horizon
    lamps = _lamps(boxes)
    sky = sky_at(hour)

    def cast(k: int) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.int32]]:
        shape = (height * k, width * k)
        hit = (np.empty(shape, np.float64), np.empty(shape, np.uint8), np.empty((*shape, 5), np.int32))
        trace(cells, atlas(), RENDER_FLAGS, boxes, pose, focal * k, view_distance, ground, ground_kind, *hit)
        return hit

    def colour(k: int, hit: tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.int32]]) -> NDArray[np.uint8]:
        rgb = np.empty((height * k, width * k, 3), np.uint8)
        shade(
            cells, tops, atlas(), RENDER_FLAGS, boxes, lamps, sky, pose, focal * k, view_distance, *hit, rgb
        )  # fmt: skip
        return rgb

    centre = cast(1)
    distance, kind, hits = centre
    if supersample == 1:
        rgb = colour(1, centre)
    else:
        k = supersample
        fine = colour(k, cast(k)).reshape(height, k, width, k, 3)
        rgb = np.rint(fine.mean(axis=(1, 3), dtype=np.float64)).astype(np.uint8)
    return View(
        rgb=rgb,
        depth=np.where(kind > 0, distance, np.inf).astype(np.float32),
        kind=kind,
        instance=_instances(boxes, hits[..., 1]),
    )


def _corner_horizon(cells: NDArray[np.uint8]) -> tuple[float, int]:
    column = np.flatnonzero(cells[0, 0])
    if not len(column):
        return (0.0, 0)
    top = int(column[-1])
    return (top + 1.0, int(cells[0, 0, top]))


def _lamps(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(L, 3) float64 centres of the boxes that shine."""
    kinds = boxes[:, 6].astype(np.int64) & 127
    shining = boxes[EMISSIVE[kinds] & (kinds >= FIRST_PART) & (boxes[:, 8] > 0)]
    return np.ascontiguousarray((shining[:, :3] + shining[:, 3:6]) / 2)


def _instances(boxes: NDArray[np.float64], box: NDArray[np.int32]) -> NDArray[np.int32]:
    ids = np.zeros(len(boxes) + 1, np.int32)
    ids[:-1] = boxes[:, 7]
    return ids[box]  # box -1 takes the last entry, 0
