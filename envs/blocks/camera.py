"""Where the eye stands and how it projects.

World axes x, y up, z in metres; camera axes as in OpenCV (x right, y down, z forward). Yaw 0 looks along +z, positive
yaw turns right (towards -x), positive pitch looks down: the conventions of MineRL. Pixel centres are at half-integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

VERTICAL_FOV = 70.0  # degrees; MineRL's default
EYE_HEIGHT = 1.62  # metres above the feet; Minecraft's


def camera_pose(eye: Sequence[float] | NDArray[np.float64], yaw: float, pitch: float) -> NDArray[np.float64]:
    """`world_from_camera`, (4, 4) float64, of an eye at `eye` (x, y, z) metres; yaw and pitch in degrees."""
    a, b = math.radians(yaw), math.radians(pitch)
    fx, fy, fz = -math.sin(a) * math.cos(b), -math.sin(b), math.cos(a) * math.cos(b)  # forward
    rx, rz = -math.cos(a), -math.sin(a)  # right, level
    x, y, z = (float(v) for v in eye)
    # Columns: right, down = forward x right, forward, eye; written out, because numpy.cross costs 0.2 ms a frame.
    return np.array(
        [
            [rx, fy * rz, fx, x],
            [0.0, fz * rx - fx * rz, fy, y],
            [rz, -fy * rx, fz, z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def focal_length(height: int, vertical_fov: float = VERTICAL_FOV) -> float:
    """Focal length in pixels of an image of `height` rows; `vertical_fov` in degrees."""
    return 0.5 * height / math.tan(math.radians(vertical_fov) / 2)


def intrinsics(size: tuple[int, int], vertical_fov: float = VERTICAL_FOV) -> NDArray[np.float64]:
    """(3, 3) float64 pixels for an image of `size` (H, W): square pixels, principal point in the middle."""
    height, width = size
    f = focal_length(height, vertical_fov)
    return np.array([[f, 0.0, width / 2], [0.0, f, height / 2], [0.0, 0.0, 1.0]])
