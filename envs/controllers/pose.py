"""Where the body is and where things lie from there, read from a `TruthState`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ContractError
from worldsim.truth import ObjectState, TruthState

EYE_HEIGHT = 1.62  # metres above the feet, as in Minecraft


@dataclass(frozen=True, kw_only=True)
class Pose:
    """The camera in words of the body: `eye` (3,) metres; `yaw` degrees, 0 = +z, positive right; `pitch` down."""

    eye: NDArray[np.float64]
    yaw: float
    pitch: float

    @property
    def floor(self) -> float:
        """Height of the ground that the body stands on, metres."""
        return float(round(self.eye[1] - EYE_HEIGHT))


def wrap(degrees: float) -> float:
    """The same angle in -180..180."""
    return (degrees + 180.0) % 360.0 - 180.0


def pose_of(truth: TruthState) -> Pose:
    """The pose behind a state.

    Raises:
        ContractError: If the environment does not tell its pose.
    """
    if truth.world_from_camera is None:
        raise ContractError(
            "scripted probes need TruthState.world_from_camera, and this environment does not fill it. "
            "Use the controller 'noop', 'replay' or 'policy', or fill it in truth()."
        )
    matrix = truth.world_from_camera
    right, forward = matrix[:3, 0], matrix[:3, 2]
    # OpenCV axes in a y-up world: looking along +z, right is -x. `right` stays level, so it is safe at any pitch.
    yaw = math.degrees(math.atan2(-right[2], -right[0]))
    pitch = math.degrees(math.asin(float(np.clip(-forward[1], -1.0, 1.0))))
    return Pose(eye=matrix[:3, 3], yaw=yaw, pitch=pitch)


def heading(yaw: float) -> NDArray[np.float64]:
    """(3,) unit vector along the ground in the direction of `yaw`."""
    angle = math.radians(yaw)
    return np.array([-math.sin(angle), 0.0, math.cos(angle)])


def yaw_to(eye: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    """The yaw that faces a point, degrees."""
    return math.degrees(math.atan2(-(point[0] - eye[0]), point[2] - eye[2]))


def pitch_to(eye: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    """The pitch that faces a point, degrees, positive down."""
    return math.degrees(math.atan2(eye[1] - point[1], ground_distance(eye, point)))


def ground_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Distance along the ground, metres."""
    return math.hypot(a[0] - b[0], a[2] - b[2])


def bearing(truth: TruthState, point: NDArray[np.float64]) -> float:
    """Degrees by which a point lies to the right (positive) or left of the view."""
    pose = pose_of(truth)
    return wrap(yaw_to(pose.eye, point) - pose.yaw)


def find_object(truth: TruthState, object_id: int) -> ObjectState | None:
    """The instance with this id, if it exists now."""
    return next((o for o in truth.objects if o.id == object_id and o.exists), None)


def half_view(truth: TruthState) -> float:
    """Half the horizontal field of view, degrees."""
    if truth.intrinsics is None:
        return 45.0
    return math.degrees(math.atan(truth.intrinsics[0, 2] / truth.intrinsics[0, 0]))
