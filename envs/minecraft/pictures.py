"""What the bridge's bytes mean: pictures, depth, instance ids, and the facts of a moment as a `TruthState`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import WorldFailure
from worldsim.truth import CellChange, Event, ObjectState, TruthState
from worldsim.types import Frames

FPS: Final = 20  # Minecraft's ticks a second
VERTICAL_FOV: Final = 70.0  # degrees; Minecraft's default, and MineRL's
FAR: Final = 256.0  # metres: depth comes as 24 bits of it
_NOTHING: Final = 2**24 - 1


def intrinsics(size: tuple[int, int]) -> NDArray[np.float64]:
    """(3, 3) float64 pixels for an image of `size` (H, W): square pixels, principal point in the middle."""
    height, width = size
    f = 0.5 * height / math.tan(math.radians(VERTICAL_FOV) / 2)
    return np.array([[f, 0.0, width / 2], [0.0, f, height / 2], [0.0, 0.0, 1.0]])


def read_rgb(pixels: bytes, size: tuple[int, int], scale: int = 1) -> Frames:
    """(H, W, 3) uint8 from RGBA rows, the bottom one first; with `scale` k each pixel is the mean of k x k."""
    rgb = _rows(pixels, size, scale)[..., :3]
    if scale == 1:
        return np.ascontiguousarray(rgb)
    height, width = size
    total = rgb.reshape(height, scale, width, scale, 3).sum((1, 3), dtype=np.uint32)
    mean: Frames = ((total + scale * scale // 2) // (scale * scale)).astype(np.uint8)
    return mean


def read_senses(pixels: bytes, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Depth (H, W) float32 metres along camera z, inf where nothing is, and instance ids (H, W) int32.

    Red, green and blue are the 24 bits of depth / 256 m, highest first; alpha is the id.
    """
    rows = _rows(pixels, size, 1).astype(np.int32)
    bits = (rows[..., 0] << 16) | (rows[..., 1] << 8) | rows[..., 2]
    depth = (bits * (FAR / _NOTHING)).astype(np.float32)
    depth[bits == _NOTHING] = np.inf
    return np.maximum(depth, np.float32(1e-3)), np.ascontiguousarray(rows[..., 3])


def _rows(pixels: bytes, size: tuple[int, int], scale: int) -> NDArray[np.uint8]:
    height, width = size[0] * scale, size[1] * scale
    if len(pixels) != height * width * 4:
        raise WorldFailure(f"the bridge sent {len(pixels)} bytes, expected {height}x{width} pixels of 4")
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 4)[::-1]


def read_truth(
    facts: Mapping[str, Any],
    matrix: NDArray[np.float64],
    depth: NDArray[np.float32],
    ids: NDArray[np.int32],
) -> TruthState:
    """The truth behind a picture.

    Args:
        facts: Header of the bridge's answer.
        matrix: (3, 3) intrinsics.
        depth: (H, W) metres.
        ids: (H, W) instance ids.
    """
    creatures = facts["creatures"]
    visible = np.bincount(ids.ravel(), minlength=len(creatures) + 1)
    return TruthState(
        time=facts["tick"] / FPS,
        world_from_camera=read_pose(facts),
        intrinsics=matrix.copy(),
        depth=depth,
        segmentation=ids,
        objects=tuple(_object(row, int(visible[row["id"]])) for row in creatures),
        cells=tuple(CellChange(position=(x, y, z), before=was, after=now) for x, y, z, was, now in facts["cells"]),
        events=tuple(
            Event(
                kind=event["kind"],
                object_id=event["id"],
                position=None if event["position"] is None else _triple(event["position"]),
                details=event["details"],
            )
            for event in facts["events"]
        ),
    )


def read_pose(facts: Mapping[str, Any]) -> NDArray[np.float64]:
    """`world_from_camera` (4, 4) float64."""
    return np.array(facts["pose"], np.float64).reshape(4, 4)


def _object(row: Mapping[str, Any], visible: int) -> ObjectState:
    colour = {"colour": row["colour"]} if row["colour"] else {}
    return ObjectState(
        id=row["id"],
        kind=row["kind"],
        position=np.array(row["position"], np.float64),
        size=np.array(row["size"], np.float64),
        exists=row["exists"],
        visible_px=visible,
        attributes={**colour, "yaw": float(row["yaw"]), "health": int(row["health"])},
    )


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
