"""What can be seen from a state: points, free floor, how far the way is clear. Pure functions of a `TruthState`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.controllers.pose import heading, pose_of
from worldsim.errors import ContractError
from worldsim.truth import TruthState

COVER = 0.3  # metres: what covers a thing is at least so much nearer than its box


def project(truth: TruthState, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where points fall in the frame: pixels (N, 2) float64 (x right, y down) and depth (N,) metres along z."""
    if truth.world_from_camera is None or truth.intrinsics is None or truth.depth is None:
        raise ContractError(
            "scripted probes look for free places with TruthState.depth, intrinsics and world_from_camera; this "
            "environment leaves one of them out. Use the controller 'noop', 'explore', 'replay' or 'policy'."
        )
    matrix = truth.world_from_camera
    local = (np.atleast_2d(points) - matrix[:3, 3]) @ matrix[:3, :3]
    z = local[:, 2]
    safe = np.where(z > 1e-6, z, 1e-6)
    k = truth.intrinsics
    pixels = np.stack([k[0, 0] * local[:, 0] / safe + k[0, 2], k[1, 1] * local[:, 1] / safe + k[1, 2]], axis=-1)
    return np.where(z[:, None] > 1e-6, pixels, np.nan), z


def seen(truth: TruthState, points: NDArray[np.float64], margin: float = 1.0) -> NDArray[np.bool_]:
    """(N,) bool: the point is in the frame, at least `margin` pixels from its edge, and nothing stands before it."""
    pixels, z = project(truth, points)
    depth = truth.depth
    assert depth is not None  # project has looked
    height, width = depth.shape
    with np.errstate(invalid="ignore"):
        inside = (pixels >= margin).all(-1) & (pixels[:, 0] < width - margin) & (pixels[:, 1] < height - margin)
    at = np.where(inside[:, None], pixels, 0.0).astype(np.intp)
    result: NDArray[np.bool_] = inside & (depth[at[:, 1], at[:, 0]] >= z - _slack(truth, z))
    return result


def on_floor(truth: TruthState, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) bool: the point is seen, and the surface in its pixel is the floor at its height, not something behind."""
    pixels, z = project(truth, points)
    ok = seen(truth, points)
    depth = truth.depth
    assert depth is not None
    at = np.where(ok[:, None], pixels, 0.0).astype(np.intp)
    result: NDArray[np.bool_] = ok & (depth[at[:, 1], at[:, 0]] <= z + _slack(truth, z))
    return result


def is_open_floor(truth: TruthState, middle: NDArray[np.float64], half: float) -> bool:
    """Whether a square of the floor, (3,) metres and half a side, is seen whole, with nothing that rises from it.

    Stricter than `on_floor`: it goes by the height of the surface in the middle of each pixel, and looks as far beyond
    the square as that middle may be from the point in question, so that no wall can stand in it.
    """
    assert truth.depth is not None
    assert truth.intrinsics is not None
    assert truth.world_from_camera is not None
    _, z = project(truth, middle)
    line = (half + max(0.1, float(_slack(truth, z)[0]) / 1.5)) * np.linspace(-1.0, 1.0, 7)
    points = middle + np.array([(dx, 0.0, dz) for dx in line for dz in line])
    if not seen(truth, points).all():
        return False
    at = project(truth, points)[0].astype(np.intp)
    heights = _points(truth)[at[:, 1], at[:, 0], 1] + truth.world_from_camera[1, 3] - middle[1]
    return bool((np.abs(heights) < 0.02).all())


def _slack(truth: TruthState, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much the depth of a level floor changes within a pixel and a half at depth z, metres."""
    assert truth.intrinsics is not None
    slack: NDArray[np.float64] = np.maximum(0.1, 1.5 * z**2 / (1.62 * truth.intrinsics[1, 1]))  # eye 1.62 m up
    return slack


def box_corners(centre: NDArray[np.float64], size: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """(9, 3): the centre of a cuboid and its corners, drawn in by 5 % so that they lie inside it."""
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
    return np.vstack([np.zeros(3), signs * 0.475 * np.asarray(size)]) + centre


def box_in_view(truth: TruthState, centre: NDArray[np.float64], size: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether any part of a cuboid may be in the frame, in the open or behind something thin."""
    return bool(seen(truth, box_corners(centre, size), margin=0.0).any())


def cell_box(cell: Sequence[int]) -> tuple[NDArray[np.float64], tuple[float, float, float]]:
    """Centre and size of a cell (x, y, z)."""
    return np.asarray(cell, np.float64) + 0.5, (1.0, 1.0, 1.0)


def is_free(truth: TruthState, cell: Sequence[int]) -> bool:
    """Whether a cell is seen to be empty, with floor right below it and no instance in it."""
    x, y, z = cell
    floor = np.array([[x + dx, y, z + dz] for dx in (0.25, 0.5, 0.75) for dz in (0.25, 0.5, 0.75)], np.float64)
    inside = np.array([[x + 0.5, y + dy, z + 0.5] for dy in (0.25, 0.5, 0.85)], np.float64)
    if not (on_floor(truth, floor).all() and seen(truth, inside).all()):
        return False
    middle = floor[4]
    return all(
        abs(o.position[0] - middle[0]) > 0.5 + o.size[0] / 2 or abs(o.position[2] - middle[2]) > 0.5 + o.size[2] / 2
        for o in truth.objects
        if o.exists
    )


def free_cells(truth: TruthState, near: float, far: float) -> Iterator[tuple[int, int, int]]:
    """Yields free cells on the floor between two distances, those in the middle of the view first."""
    pose = pose_of(truth)
    reach = np.arange(-math.ceil(far), math.ceil(far) + 1)
    x, z = (g.ravel() for g in np.meshgrid(math.floor(pose.eye[0]) + reach, math.floor(pose.eye[2]) + reach))
    middles = np.stack([x + 0.5, np.full(x.shape, pose.floor), z + 0.5], axis=-1)
    gaps = (middles - pose.eye)[:, [0, 2]]
    distance = np.linalg.norm(gaps, axis=-1)
    centred = gaps @ heading(pose.yaw)[[0, 2]] / np.maximum(distance, 1e-6)
    likely = (distance >= near) & (distance <= far) & (centred > 0.7)
    likely[likely] = on_floor(truth, middles[likely])
    order = np.lexsort((z, x, -centred))
    for i in order[likely[order]]:
        cell = (int(x[i]), int(pose.floor), int(z[i]))
        if is_free(truth, cell):
            yield cell


def covered(truth: TruthState, centre: NDArray[np.float64], size: NDArray[np.float64]) -> bool:
    """Whether something nearer stands before every point of a box that is in the frame, whatever the box holds."""
    points = box_corners(centre, size)
    pixels, z = project(truth, points)
    depth = truth.depth
    assert depth is not None  # project has looked
    height, width = depth.shape
    with np.errstate(invalid="ignore"):
        inside = (pixels >= 0).all(-1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    if not inside.all():
        return False
    at = pixels.astype(np.intp)
    return bool((depth[at[:, 1], at[:, 0]] < z - float(np.max(size)) - COVER).all())


def clearance(truth: TruthState, turn: float = 0.0, half_width: float = 0.4) -> float:
    """How far the body can walk in a direction `turn` degrees to the right, metres, as far as the frame shows.

    The nearest surface in a corridor of the body's width, from knee to eye, along the ground.
    """
    pose = pose_of(truth)
    if truth.depth is None or truth.intrinsics is None or truth.world_from_camera is None:
        raise ContractError("clearance needs TruthState.depth, intrinsics and world_from_camera")
    points, hit = _points(truth), np.isfinite(truth.depth)
    ahead = heading(pose.yaw + turn)
    along = points @ ahead
    across = np.abs(points @ np.array([ahead[2], 0.0, -ahead[0]]))
    level = points[..., 1] + pose.eye[1] - pose.floor
    inside = hit & (along > 0) & (across < half_width) & (level > 0.3) & (level < 1.8)
    return float(along[inside].min()) if inside.any() else 48.0


def surface_cells(truth: TruthState) -> set[tuple[int, int, int]]:
    """The cells (x, y, z) of the static world whose surface is in the frame, nearer than 16 m; none without depth."""
    if truth.depth is None or truth.intrinsics is None or truth.world_from_camera is None:
        return set()
    points = _points(truth)
    near = np.isfinite(truth.depth) & (truth.depth < 16.0)
    if truth.segmentation is not None:
        near &= truth.segmentation == 0
    inward = points[near] * (1 + 1e-3 / np.maximum(1e-6, np.linalg.norm(points[near], axis=-1, keepdims=True)))
    cells = np.unique(np.floor(inward + truth.world_from_camera[:3, 3]).astype(int), axis=0)
    return {(int(x), int(y), int(z)) for x, y, z in cells}


def hiding_places(
    solid: set[tuple[int, int, int]], eye: NDArray[np.float64], box: NDArray[np.float64], reach: float
) -> list[NDArray[np.float64]]:
    """Places for the eye, nearest first, from which known cells stand before every point of a box.

    Args:
        solid: Known cells.
        eye: (3,) metres, where the body is; it can walk straight to each place.
        box: (N, 3) points of what is to be hidden.
        reach: Metres to walk at most.
    """
    steps = np.arange(-reach, reach + 0.01, 0.5)
    found: list[tuple[float, NDArray[np.float64]]] = []
    for dx in steps:
        for dz in steps:
            place = eye + np.array([dx, 0.0, dz])
            walk = math.hypot(dx, dz)
            apart = math.hypot(*(place - box[0])[[0, 2]])
            if not 0.75 <= walk <= reach or apart < 1.5:
                continue
            if all(is_blocked(solid, place, point) for point in box) and not _on_the_way(solid, eye, place):
                found.append((walk, place))
    return [place for _, place in sorted(found, key=lambda entry: entry[0])]


def is_blocked(
    solid: set[tuple[int, int, int]], a: NDArray[np.float64], b: NDArray[np.float64], before: float = 0.5
) -> bool:
    """Whether a known cell lies on the line between two points, at least `before` metres before the second."""
    length = float(np.linalg.norm(b - a))
    along = np.arange(0.0, max(0.1, length - before), 0.1)[:, None] / length
    return any((int(x), int(y), int(z)) in solid for x, y, z in np.floor(a + along * (b - a)))


def _on_the_way(solid: set[tuple[int, int, int]], a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether a known cell stands in the body's way between two places of the eye."""
    way = b - a
    # 0.4 m are the body and a little more; 0.5 m make good what `is_blocked` leaves out at the end.
    side = 0.4 * np.array([way[2], 0.0, -way[0]]) / max(1e-6, math.hypot(way[0], way[2]))
    beyond = b + 0.9 * way / max(1e-6, float(np.linalg.norm(way)))
    return any(
        is_blocked(solid, a + shift + drop, beyond + shift + drop)
        for shift in (-side, np.zeros(3), side)
        for drop in (np.zeros(3), np.array([0.0, -1.0, 0.0]))
    )


def _points(truth: TruthState) -> NDArray[np.float64]:
    """(H, W, 3) float64: what each pixel shows, relative to the eye, in world axes; zero where there is nothing."""
    assert truth.depth is not None
    assert truth.intrinsics is not None
    assert truth.world_from_camera is not None
    height, width = truth.depth.shape
    k, depth = truth.intrinsics, truth.depth.astype(np.float64)
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    z = np.where(np.isfinite(depth), depth, 0.0)
    local = np.stack([(u - k[0, 2]) / k[0, 0] * z, (v - k[1, 2]) / k[1, 1] * z, z], axis=-1)
    points: NDArray[np.float64] = local @ truth.world_from_camera[:3, :3].T
    return points
