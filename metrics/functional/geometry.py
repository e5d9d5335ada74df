"""How a solid world must move in the picture: true depth and poses of two frames turned into a map between pixels.

Axes and pixels as in `worldsim.truth`: OpenCV camera axes, metres, pixel centres at half-integers. Everything is
decided by the truth, never by a model's output.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.truth import TruthState

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 0.02, 0.05  # of depth, metres: the same surface if within the larger of both
EDGE = 0.05  # bend of inverse depth over one pixel, relative to it, beyond which a pixel lies on a depth edge
EDGE_MARGIN = 2  # px kept away from depth edges and from instances
MAX_ROTATION = 45.0  # degrees between the two cameras
MIN_OVERLAP = 0.25  # share of the first frame's surface pixels that must fall into the second frame
GROUND_STEP = 0.1  # metres: heights closer than this are one level
GROUND_SHARE = 0.2  # of the static surface points below the eye that must lie on one level to be called the ground
SPEEDS = (0.7, 0.8, 0.9, 1.1, 1.2, 1.3)  # of the true motion: the small local pose that is fitted
BINS = (0.0, 5.0, 15.0, np.inf)  # px of parallax
BIN_NAMES = ("2-5", "5-15", ">15")  # what has less than 2 px is not scored


def relative_pose(first: TruthState, second: TruthState) -> Float:
    """`second_from_first`, (4, 4) metres: takes points in the first camera's axes into the second's.

    Raises:
        UnsupportedError: "no camera pose or intrinsics".
    """
    if first.world_from_camera is None or second.world_from_camera is None:
        raise UnsupportedError("no camera pose or intrinsics")
    return np.asarray(np.linalg.inv(second.world_from_camera) @ first.world_from_camera, dtype=np.float64)


def rotation_angle(rotation: Float) -> float:
    """Angle of a (3, 3) rotation in degrees, 0..180, from its skew and symmetric parts (exact near 0 and near 180)."""
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    return float(np.degrees(np.arctan2(np.linalg.norm(skew), np.trace(rotation) - 1.0)))


def scaled_motion(move: Float, translation: float, rotation: float) -> Float:
    """The same motion, slower or faster: way and turn of the second camera are these shares of the true ones.

    Args:
        move: (4, 4) `second_from_first`.
        translation: Factor of the way; 0 = stays at the first camera's centre.
        rotation: Factor of the angle about the same axis.
    """
    centre = -move[:3, :3].T @ move[:3, 3]
    axis, _ = cv2.Rodrigues(move[:3, :3])
    out = np.eye(4)
    out[:3, :3] = move[:3, :3] if rotation == 1.0 else cv2.Rodrigues(np.asarray(axis) * rotation)[0]
    out[:3, 3] = -out[:3, :3] @ (translation * centre)
    return out


def depth_edges(depth: NDArray[np.float32]) -> Mask:
    """(H, W) bool: within 2 px of a place where the surface is not smooth, or of the sky.

    A plane's inverse depth is linear in the pixel, however grazing the view; so its second difference, relative to
    itself, tells a step or a fold from a slope. `EDGE` = 0.05: at 1 m from 20 m, 5 cm.
    """
    with np.errstate(divide="ignore"):
        inverse = np.where(np.isfinite(depth), 1.0 / depth, 0.0).astype(np.float64)
    padded = np.pad(inverse, 1, mode="edge")
    bend = np.maximum(
        np.abs(padded[1:-1, :-2] - 2 * inverse + padded[1:-1, 2:]) * _inner(inverse.shape, 1),
        np.abs(padded[:-2, 1:-1] - 2 * inverse + padded[2:, 1:-1]) * _inner(inverse.shape, 0),
    )
    return grow((bend > EDGE * inverse) | (inverse <= 0), EDGE_MARGIN)


def _inner(shape: tuple[int, ...], axis: int) -> Float:
    """1 where a pixel has neighbours on both sides along an axis, 0 on the border."""
    out = np.ones(shape)
    np.moveaxis(out, axis, 0)[[0, -1]] = 0.0
    return out


def grow(mask: Mask, by: int) -> Mask:
    """The mask and everything within `by` px of it (square neighbourhood)."""
    kernel = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def back_project(depth: NDArray[np.float32], intrinsics: Float) -> Float:
    """(H, W, 3) metres in the camera's axes: the surface point behind each pixel centre (inf where there is none)."""
    height, width = depth.shape
    v, u = np.mgrid[0:height, 0:width] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(intrinsics).T
    with np.errstate(invalid="ignore"):
        return np.asarray(rays * depth.astype(np.float64)[..., None])


def project(points: Float, move: Float, intrinsics: Float) -> tuple[Float, Float]:
    """Pixels (..., 2), half-integer centres, and depths (...) of points after `move`; NaN behind the camera."""
    with np.errstate(invalid="ignore", divide="ignore"):
        there = points @ move[:3, :3].T + move[:3, 3]
        z = np.where(there[..., 2] > 1e-6, there[..., 2], np.nan)
        pixels = (there / z[..., None]) @ intrinsics.T
    return pixels[..., :2], z


def sample(image: NDArray[np.float32], pixels: Float) -> NDArray[np.float32]:
    """Bilinear samples of (h, w) at (H, W, 2) pixels, clamped at the border."""
    maps = np.nan_to_num(pixels - 0.5, nan=-1.0, posinf=-1.0, neginf=-1.0).astype(np.float32)
    out: NDArray[np.float32] = cv2.remap(
        image, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return out


@dataclass(frozen=True, kw_only=True)
class PairView:
    """What the truth says about a pair of frames (i, j).

    Attributes:
        maps: {(translation, rotation) factor: (H, W, 2) float64}: where in j each pixel of i is seen, for the true
            motion, (1, 1), and for slower and faster ones.
        kept: (H, W) bool: static, the same surface in both frames, off depth edges, in frame j under every motion.
        near: (H, W) bool: nearer than the median depth of the kept pixels.
        parallax: Median over the kept pixels of the part of their motion that translation makes, px.
        rotation: Degrees between the cameras.
        overlap: Share of i's surface pixels that fall into frame j.
        bland: For each of `maps`: where in i the bland world (see `bland_map`) has what it shows there.
    """

    maps: dict[tuple[float, float], Float]
    bland: dict[tuple[float, float], Float]
    kept: Mask
    near: Mask
    parallax: float
    rotation: float
    overlap: float

    @property
    def bin(self) -> str:
        """Name of the parallax bin."""
        return BIN_NAMES[int(np.searchsorted(BINS[1:-1], self.parallax, side="right"))]


def pair_view(first: TruthState, second: TruthState) -> PairView:
    """Which pixels of the first frame can be found again in the second, and where.

    A pixel centre p with depth z goes to K_j (R z K_i^-1 p + t). It is kept if it falls into frame j, |z_j - depth_j|
    is at most max(0.02 z_j, 0.05 m) with depth_j interpolated in inverse depth, and both ends lie more than 2 px from a
    depth edge and from an instance.

    Raises:
        UnsupportedError: "no depth", "no segmentation" or "no camera pose or intrinsics".
        ShapeError: If the two frames differ in size.
    """
    depth, ids, lens = _known(first)
    depth_then, ids_then, lens_then = _known(second)
    if depth.shape != depth_then.shape:
        raise ShapeError(f"both depth maps must have one size, got {depth.shape} and {depth_then.shape}")
    move = relative_pose(first, second)
    points = back_project(depth, lens)
    maps = {}
    inside = np.ones(depth.shape, dtype=bool)
    overlap = 0.0
    surface = np.isfinite(depth)
    for factors in _lattice(move):
        maps[factors], _ = project(points, scaled_motion(move, *factors), lens_then)
        there = surface & _in_frame(maps[factors], depth_then.shape)
        if factors == (1.0, 1.0):
            overlap = float(there.sum()) / max(int(surface.sum()), 1)
        inside &= there
    pixels, z = project(points, move, lens_then)
    blocked = grow(ids_then > 0, EDGE_MARGIN) | depth_edges(depth_then)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(np.isfinite(depth_then), 1.0 / depth_then, 0.0).astype(np.float32)
        depth_there = 1.0 / sample(inverse, pixels).astype(np.float64)
        same = np.abs(z - depth_there) <= np.maximum(RELATIVE_TOLERANCE * z, ABSOLUTE_TOLERANCE)
    kept = inside & same & ~depth_edges(depth) & ~grow(ids > 0, EDGE_MARGIN)
    kept &= sample(blocked.astype(np.float32), pixels) == 0
    turned, _ = project(points, scaled_motion(move, 0.0, 1.0), lens_then)
    if not kept.any():
        near, parallax = kept, 0.0
    else:
        near = kept & (depth <= np.median(depth[kept]))
        parallax = float(np.median(np.linalg.norm((pixels - turned)[kept], axis=-1)))
    angle = rotation_angle(move[:3, :3])
    ground, back = level_ground(first, second), np.asarray(np.linalg.inv(move), np.float64)
    bland = {factors: bland_map(there, second, back, lens, ground) for factors, there in maps.items()}
    return PairView(maps=maps, bland=bland, kept=kept, near=near, parallax=parallax, rotation=angle, overlap=overlap)


def level_ground(first: TruthState, second: TruthState) -> float | None:
    """Height y (metres, world axes) of the level ground that both frames show, or None.

    The commonest height of all static surface points below both eyes, in steps of `GROUND_STEP`, if a share of at least
    `GROUND_SHARE` of them lies there. It is the truth of nearly every world, and known without looking.
    """
    heights = []
    for state in (first, second):
        depth, ids, lens = _known(state)
        pose = state.world_from_camera
        if pose is None:
            return None
        seen = np.isfinite(depth) & (ids == 0)
        points = back_project(depth, lens)[seen] @ pose[:3, :3].T + pose[:3, 3]
        heights.append(points[points[:, 1] < pose[1, 3] - GROUND_STEP, 1])
    below = np.concatenate(heights)
    if not len(below):
        return None
    bins = np.rint(below / GROUND_STEP).astype(np.int64)
    values, counts = np.unique(bins, return_counts=True)
    top = values[int(counts.argmax())]
    if counts.max() < GROUND_SHARE * len(below):
        return None
    return float(np.median(below[bins == top]))


def bland_map(pixels: Float, second: TruthState, back: Float, first_lens: Float, ground: float | None) -> Float:
    """Where the first frame shows what the bland world has at these pixels (..., 2) of the second frame.

    The bland world is what can be said of any world without having seen it: level ground, and all else infinitely far
    away. It moves with the camera, but knows nothing of what stands where.

    Args:
        pixels: (..., 2) in the second frame.
        second: Its state.
        back: (4, 4) `first_from_second`.
        first_lens: (3, 3).
        ground: Height of the level ground, or None where there is none.
    """
    lens, pose = second.intrinsics, second.world_from_camera
    if lens is None or pose is None:
        raise UnsupportedError("no camera pose or intrinsics")
    rays = np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=-1) @ np.linalg.inv(lens).T
    out, _ = project(rays, scaled_motion(back, 0.0, 1.0), first_lens)
    if ground is None:
        return out
    with np.errstate(divide="ignore", invalid="ignore"):
        far = (ground - pose[1, 3]) / (rays @ pose[1, :3])
    on_ground, _ = project(rays * far[..., None], back, first_lens)
    hits = np.isfinite(far) & (far > 0) & np.isfinite(on_ground).all(axis=-1)
    return np.asarray(np.where(hits[..., None], on_ground, out))


def _known(state: TruthState) -> tuple[NDArray[np.float32], NDArray[np.int32], Float]:
    if state.depth is None:
        raise UnsupportedError("no depth")
    if state.segmentation is None:
        raise UnsupportedError("no segmentation")
    if state.world_from_camera is None or state.intrinsics is None:
        raise UnsupportedError("no camera pose or intrinsics")
    return state.depth, state.segmentation, state.intrinsics


def _lattice(move: Float) -> list[tuple[float, float]]:
    """Factors (translation, rotation) to try: only the parts that move, alone and together."""
    travels = float(np.linalg.norm(move[:3, 3])) > 1e-3
    turns = rotation_angle(move[:3, :3]) > 0.1
    out = [(1.0, 1.0)]
    for s in SPEEDS:
        out += [(s, s)] if travels and turns else []
        out += [(s, 1.0)] if travels else []
        out += [(1.0, s)] if turns else []
    return out


def _in_frame(pixels: Float, shape: tuple[int, ...]) -> Mask:
    with np.errstate(invalid="ignore"):
        u, v = pixels[..., 0], pixels[..., 1]
        return np.asarray((u >= 0.5) & (u <= shape[1] - 0.5) & (v >= 0.5) & (v <= shape[0] - 0.5))
