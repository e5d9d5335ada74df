"""From what an environment shows to the frame of a truth: (H, W, 3) uint8 at the size that was asked for."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from worldsim.errors import ConfigError, WorldFailure
from worldsim.types import Frames

LEAST = 32  # pixels a side from which an observation counts as a picture: below lie encodings, such as MiniGrid's 7x7x3
SOURCES = ("auto", "observation", "render")


def picture_in(space: Any) -> bool:
    """Whether observations of a space are pictures: uint8, (H, W), (H, W, 1) or (H, W, 3), 32 pixels or more a side."""
    shape = tuple(getattr(space, "shape", None) or ())
    fits = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    return fits and getattr(space, "dtype", None) == np.uint8 and min(shape[:2]) >= LEAST


def choose_source(wanted: str, space: Any, *, has_picture: bool) -> str:
    """Where frames come from: "observation" or "render".

    Args:
        wanted: One of `SOURCES`.
        space: The observation space.
        has_picture: The family's observations are pictures if they look like some.

    Raises:
        ConfigError: If observations are asked for, and are no pictures.
    """
    if wanted not in SOURCES:
        raise ConfigError(f"pixels must be one of {', '.join(SOURCES)}, got {wanted!r}")
    if wanted == "observation" and not picture_in(space):
        raise ConfigError(
            f"pixels=observation needs (H, W), (H, W, 1) or (H, W, 3) uint8 of {LEAST} pixels or more, got {space}; "
            "use pixels=render"
        )
    if wanted != "auto":
        return wanted
    return "observation" if has_picture and picture_in(space) else "render"


def to_frame(raw: Any, size: tuple[int, int], native: tuple[int, ...] | None, who: str) -> Frames:
    """Checks what the environment gave and resizes it.

    Both sides are scaled to the size, whatever the aspect. Shrinking takes the mean over each pixel's area; enlarging
    is linear (OpenCV's INTER_AREA). Grey pictures get three equal channels.

    Args:
        raw: (h, w), (h, w, 1) or (h, w, 3) uint8.
        size: (H, W) wanted.
        native: Shape of the first frame of this environment, from which it may not depart; None = this is the first.
        who: Name for messages.

    Raises:
        WorldFailure: For floats, another shape than before, or no picture at all.
    """
    if raw is None:
        raise WorldFailure(f"{who} shows nothing: render() returned None; it needs the render mode 'rgb_array'")
    frame = np.asarray(raw)
    if frame.dtype != np.uint8:
        raise WorldFailure(
            f"{who} must give uint8 frames, got {frame.dtype.name} of shape {frame.shape}. Scale them to 0..255 and "
            "cast them in a wrapper; worldsim does not guess a range."
        )
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (1, 3)) or not frame.size:
        raise WorldFailure(f"{who} must give frames of (H, W), (H, W, 1) or (H, W, 3), got {frame.shape}")
    if native is not None and frame.shape != native:
        raise WorldFailure(
            f"{who} gave a frame of {frame.shape} after frames of {native}: an environment may not change its frame's "
            "shape. Fix the size in its arguments or in a wrapper."
        )
    if frame.ndim == 2 or frame.shape[2] == 1:
        frame = np.repeat(frame.reshape(*frame.shape[:2], 1), 3, axis=2)
    if frame.shape[:2] == size:
        return frame.copy()
    out: Frames = cv2.resize(np.ascontiguousarray(frame), (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return out
