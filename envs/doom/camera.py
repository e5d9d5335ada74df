"""The camera: a pinhole with square pixels, cut out of the wide, level picture that the engine draws.

Doom looks up and down by shearing its picture, and its pixels are 1.2 times as high as wide. Both are exact views from
the same eye, so that a homography turns them into the picture of an upright pinhole camera with any pitch within reach:

    fx = (h * 4/3) / 2 / tan(fov / 2),  fy = 1.2 fx,  cx = w / 2,  cy = h / 2 - fy tan(pitch)    of the engine's picture

(fitted by ray casting, see docs/doom.md; `tests/envs/doom/test_camera.py` holds the engine's own depth against them).
"""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.camera import VERTICAL_FOV, camera_pose, focal_length, intrinsics
from worldsim.envs.doom.engine import MAX_TILT, QUANTUM, Reading
from worldsim.envs.doom.units import yaw_of
from worldsim.errors import UnsupportedError

__all__ = [
    "MAX_PITCH",
    "aim",
    "camera_pose",
    "check_inside",
    "cut_labels",
    "cut_picture",
    "focal_length",
    "homography",
    "intrinsics",
    "tilt",
]

MAX_PITCH: Final = 27.0  # degrees up and down: what the engine's picture has room for
MAX_ASPECT: Final = 1.6  # width / height, for the same reason
_TOO_FAR: Final = (
    f"Doom draws about {MAX_PITCH:g} degrees up or down, and cameras that lean a little: asked for more than that"
)
_TALL: Final = 1.2  # fy / fx of the engine
_FINE: Final = 2  # rays across a pixel of ours, in each direction


def tilt(pitch: float) -> int:
    """How the engine must look down, in its quanta, so that a view pitched by `pitch` degrees lies within its picture.

    The middle, on its image plane, between the upper and the lower end of our view.
    """
    half = VERTICAL_FOV / 2
    return _tilt(math.tan(math.radians(pitch + half)), math.tan(math.radians(pitch - half)))


def _tilt(one: float, other: float) -> int:
    degrees = math.degrees(math.atan(0.5 * (one + other)))
    return round(max(-MAX_TILT, min(MAX_TILT, degrees)) / QUANTUM)


def aim(pose: NDArray[np.float64], matrix: NDArray[np.float64], size: tuple[int, int]) -> tuple[float, int]:
    """The yaw in degrees and the tilt in quanta with which the engine's picture holds the view of any upright-ish pose.

    Raises:
        UnsupportedError: If it looks so far up or down that its corners lie behind the engine's picture.
    """
    ahead = pose[:3, 2]
    yaw = math.degrees(math.atan2(-ahead[0], ahead[2]))
    corners = np.array([[u, v, 1.0] for u in (0, size[1]) for v in (0, size[0])])
    level = camera_pose((0.0, 0.0, 0.0), yaw, 0.0)[:3, :3]
    rays = corners @ (level.T @ pose[:3, :3] @ np.linalg.inv(matrix)).T
    if rays[:, 2].min() < 0.1:
        raise UnsupportedError(_TOO_FAR)
    slopes = rays[:, 1] / rays[:, 2]
    return yaw, _tilt(float(slopes.min()), float(slopes.max()))


def check_inside(map_: NDArray[np.float64], size: tuple[int, int], within: tuple[int, int]) -> None:
    """Raises UnsupportedError unless every corner of our picture lies within the engine's, of (h, w) pixels."""
    corners = np.array([[u, v, 1.0] for u in (0, size[1]) for v in (0, size[0])]) @ map_.T
    pixels = corners[:, :2] / corners[:, 2:]
    if corners[:, 2].min() <= 0 or pixels.min() < 0 or (pixels > (within[1], within[0])).any():
        raise UnsupportedError(_TOO_FAR)


def homography(reading: Reading, pose: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3): from a pixel of ours to a pixel of the engine's picture, both with centres at half-integers.

    Args:
        reading: Of the engine, its eye at that of `pose`.
        pose: (4, 4) world_from_camera.
        matrix: (3, 3) our intrinsics.
    """
    level = camera_pose((0.0, 0.0, 0.0), yaw_of(reading.angle), 0.0)[:3, :3]
    out: NDArray[np.float64] = engine_intrinsics(reading) @ level.T @ pose[:3, :3] @ np.linalg.inv(matrix)
    return out


def engine_intrinsics(reading: Reading) -> NDArray[np.float64]:
    """(3, 3) of the engine's own picture, for a level camera; the pitch is in cy."""
    height, width = reading.rgb.shape[:2]
    fx = height * 4 / 3 / 2 / math.tan(math.radians(reading.field_of_view) / 2)
    fy = _TALL * fx
    cy = height / 2 - fy * math.tan(math.radians(reading.pitch))
    return np.array([[fx, 0.0, width / 2], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def cut_picture(image: NDArray[np.uint8], map_: NDArray[np.float64], size: tuple[int, int], fine: int = 1) -> Any:
    """(H, W, 3) uint8: our picture, each pixel the mean of 2 fine x 2 fine bilinear samples of the engine's."""
    k = _FINE * fine
    height, width = size
    large = cv2.warpPerspective(
        image,
        _indices(map_, k),
        (k * width, k * height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)


def cut_labels(image: NDArray[np.uint8], map_: NDArray[np.float64], size: tuple[int, int]) -> Any:
    """(H, W) uint8: what the centre of each of our pixels shows."""
    return cv2.warpPerspective(
        image,
        _indices(map_, 1),
        (size[1], size[0]),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _indices(map_: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """The map between indices: of a picture of ours k times as fine, to the engine's."""
    ours = np.array([[1 / k, 0.0, 0.5 / k], [0.0, 1 / k, 0.5 / k], [0.0, 0.0, 1.0]])
    theirs = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])
    out: NDArray[np.float64] = theirs @ map_ @ ours
    return out
