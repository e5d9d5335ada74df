"""What the worker sends of a moment, made into a frame and a pose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import WorldFailure
from worldsim.types import Frames

VERTICAL_FOV = 70.0  # degrees; what MineRL's tasks set. Sprinting widens it in the game, which is not modelled.
EYE_HEIGHT = 1.62  # metres above the feet; sneaking lowers it in the game, which is not modelled


def read_frame(said: Mapping[str, Any], body: bytes, native: tuple[int, int], size: tuple[int, int]) -> Frames:
    """The frame at `size`, (H, W, 3) uint8.

    Args:
        said: Header of the answer, with "shape" and "dtype".
        body: The frame's bytes, rows from the top.
        native: (H, W) that the task promised.
        size: (H, W) that is wanted.

    Raises:
        WorldFailure: For frames of another type or shape than promised.
    """
    shape, dtype = tuple(said.get("shape", ())), str(said.get("dtype", "?"))
    want = (*native, 3)
    if shape != want or dtype != "uint8":
        raise WorldFailure(
            f"MineRL gave a frame of {_words(shape)} {dtype}, expected {_words(want)} uint8. A task may not change its "
            "frames' size or type; a wrapper in the user's minerl that scales them must be taken out"
        )
    if len(body) != math.prod(want):
        raise WorldFailure(f"MineRL's worker sent {len(body)} bytes of a frame of {math.prod(want)}")
    frame = np.frombuffer(body, np.uint8).reshape(want)
    if native == size:
        return frame.copy()
    import cv2

    shrinks = size[0] <= native[0] and size[1] <= native[1]
    scaled: Frames = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return scaled


def intrinsics(native: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float64]:
    """(3, 3) float64 pixels: those of the game's own picture, stretched to `size`."""
    focal = 0.5 * native[0] / math.tan(math.radians(VERTICAL_FOV) / 2)
    fy, fx = focal * size[0] / native[0], focal * size[1] / native[1]
    return np.array([[fx, 0.0, size[1] / 2], [0.0, fy, size[0] / 2], [0.0, 0.0, 1.0]])


def camera(place: Mapping[str, Any] | None) -> NDArray[np.float64]:
    """`world_from_camera`, (4, 4) float64, from `location_stats`: xpos, ypos, zpos of the feet in metres, yaw, pitch.

    Yaw 0 looks along +z and grows to the right (towards -x), pitch grows downwards: the game's own conventions.

    Raises:
        WorldFailure: If one of them is missing or no number.
    """
    try:
        x, y, z, yaw, pitch = (float((place or {})[k]) for k in ("xpos", "ypos", "zpos", "yaw", "pitch"))
    except (KeyError, TypeError, ValueError) as error:
        raise WorldFailure(f"MineRL told no complete location (xpos, ypos, zpos, yaw, pitch): {error!r}") from error
    if not all(map(math.isfinite, (x, y, z, yaw, pitch))):
        raise WorldFailure(f"MineRL told a location that is no number: {place}")
    a, b = math.radians(yaw), math.radians(pitch)
    forward = np.array([-math.sin(a) * math.cos(b), -math.sin(b), math.cos(a) * math.cos(b)])
    right = np.array([-math.cos(a), 0.0, -math.sin(a)])
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, np.cross(forward, right), forward
    pose[:3, 3] = (x, y + EYE_HEIGHT, z)
    return pose


def _words(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "no shape"
