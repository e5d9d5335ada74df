"""Looking at the truth from elsewhere: poses near the camera's own, and what they show."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from worldsim.protocols import TruthEnv
from worldsim.truth import TruthState
from worldsim.types import Frames


def draw(env: TruthEnv, pose: NDArray[np.float64] | None = None) -> tuple[Frames, TruthState]:
    """The current state from `pose` (4, 4), in the quality of the environment's own frames.

    An environment that supersamples its frames says so by an attribute `supersample`.
    """
    return env.render_from(pose, supersample=int(getattr(env, "supersample", 1)))


def camera(env: TruthEnv) -> NDArray[np.float64]:
    """(4, 4) world_from_camera of the current frame."""
    return cast("NDArray[np.float64]", env.truth().world_from_camera)


def rotation(axis: tuple[float, float, float], degrees: float) -> NDArray[np.float64]:
    """(3, 3): the right-handed turn about a unit axis (Rodrigues)."""
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float64)
    angle = math.radians(degrees)
    turned: NDArray[np.float64] = np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * (k @ k)
    return turned


def yawed(pose: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """The pose turned to the right about the world's vertical axis (y up), at the same place."""
    out = pose.copy()
    # Yaw 0 looks along +z and turns to the right towards -x, which is a negative turn about y.
    out[:3, :3] = rotation((0.0, 1.0, 0.0), -degrees) @ pose[:3, :3]
    return out


def moved(pose: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pose with its centre moved by `offset` (3,) metres, world axes."""
    out = pose.copy()
    out[:3, 3] += offset
    return out


def level(eye: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """A level pose at `eye` (3,), looking along a bearing (0 = +z, positive right)."""
    a = math.radians(degrees)
    right, down, forward = (-math.cos(a), 0, -math.sin(a)), (0, -1.0, 0), (-math.sin(a), 0, math.cos(a))
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, down, forward], axis=1)
    pose[:3, 3] = eye
    return pose
