"""Between Doom's map units and the metres, axes and angles of `worldsim.truth`.

World: x west, y up, z north, in metres, right-handed: who looks north (+z) has +x at the left hand. Doom: x east,
y north, z up; angles counter-clockwise from east.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

UNITS: Final = 25.0  # map units a metre: the player, 45 units tall, is 1.8 m, as in Minecraft
EYE: Final = 1.62  # metres above the floor, as in Minecraft: 40.5 units, against 41 in Doom
BODY: Final = 0.32  # metres, half the width of the player: 8 units, against 16 in Doom
FIXED: Final = 65536  # the engine's numbers are integers of this fraction
FULL_TURN: Final = 65536  # steps of an angle in the player's commands


def to_doom(x: float, z: float) -> tuple[float, float]:
    """Doom's (x, y) in map units of a place in metres."""
    return -x * UNITS, z * UNITS


def to_metres(x: float, y: float, z: float = 0.0) -> NDArray[np.float64]:
    """(3,) float64 metres of a place in map units."""
    return np.array([-x / UNITS, z / UNITS, y / UNITS])


def fixed(value: float) -> int:
    """A number of map units in the engine's form."""
    return round(value * FIXED)


def angle_of(yaw: float) -> float:
    """Doom's angle, 0..360 degrees, of a yaw (0 = +z, positive right)."""
    return (90.0 - yaw) % 360.0


def yaw_of(angle: float) -> float:
    """The yaw, -180..180 degrees, of Doom's angle."""
    return (90.0 - angle + 180.0) % 360.0 - 180.0
