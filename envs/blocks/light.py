"""The colour of the day: what sun, sky and haze look like at an hour."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_DAY_HORIZON, _DAY_ZENITH = np.array([186.0, 212.0, 244.0]), np.array([92.0, 148.0, 232.0])
_NIGHT_HORIZON, _NIGHT_ZENITH = np.array([38.0, 46.0, 78.0]), np.array([12.0, 16.0, 40.0])
_DUSK_HORIZON, _DUSK_ZENITH = np.array([246.0, 158.0, 96.0]), np.array([110.0, 104.0, 168.0])


def sky_at(hour: float) -> NDArray[np.float64]:
    """(12,) float64: light's RGB factor, horizon RGB, zenith RGB 0..255, sun's direction (x, y), daylight 0..1.

    The sun rises at 6 over +x and sets at 18 over -x. Night is dim but readable: a third of the light of noon, bluish.
    """
    angle = (hour % 24 - 6) / 12 * math.pi
    height = math.sin(angle)
    day = min(max((height + 0.12) / 0.4, 0.0), 1.0)
    dusk = max(0.0, 1.0 - abs(height - 0.02) / 0.3)
    light = np.array([0.34, 0.40, 0.56]) * (1 - day) + np.array([1.0, 0.985, 0.95]) * day
    light *= 1 - dusk * np.array([0.0, 0.14, 0.28])
    horizon = _NIGHT_HORIZON * (1 - day) + _DAY_HORIZON * day
    zenith = _NIGHT_ZENITH * (1 - day) + _DAY_ZENITH * day
    horizon = horizon * (1 - 0.75 * dusk) + _DUSK_HORIZON * 0.75 * dusk
    zenith = zenith * (1 - 0.5 * dusk) + _DUSK_ZENITH * 0.5 * dusk
    return np.array([*light, *horizon, *zenith, math.cos(angle), height, day])
