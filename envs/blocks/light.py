"""The colour of the day: what sun, sky and haze look like at an hour."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_Rgb = tuple[float, float, float]
_NOON: _Rgb = (1.0, 0.985, 0.95)  # factors of the colours of things
_MIDNIGHT: _Rgb = (0.46, 0.52, 0.70)
_DAY_HORIZON, _DAY_ZENITH = (186.0, 212.0, 244.0), (92.0, 148.0, 232.0)
_NIGHT_HORIZON, _NIGHT_ZENITH = (44.0, 54.0, 90.0), (14.0, 20.0, 48.0)
_DUSK_HORIZON, _DUSK_ZENITH = (246.0, 158.0, 96.0), (110.0, 104.0, 168.0)
_DUSK_LOSS: _Rgb = (0.0, 0.14, 0.28)


def sky_at(hour: float) -> NDArray[np.float64]:
    """(12,) float64: light's RGB factor, horizon RGB, zenith RGB 0..255, sun's direction (x, y), daylight 0..1.

    The sun rises at 6 over +x and sets at 18 over -x. Night is dim but readable: half of the light of noon, bluish.
    """
    angle = (hour % 24 - 6) / 12 * math.pi
    height = math.sin(angle)
    day = min(max((height + 0.12) / 0.4, 0.0), 1.0)
    dusk = max(0.0, 1.0 - abs(height - 0.02) / 0.3)
    light = [c * (1 - dusk * loss) for c, loss in zip(_mix(_MIDNIGHT, _NOON, day), _DUSK_LOSS, strict=True)]
    horizon = _mix(_mix(_NIGHT_HORIZON, _DAY_HORIZON, day), _DUSK_HORIZON, 0.75 * dusk)
    zenith = _mix(_mix(_NIGHT_ZENITH, _DAY_ZENITH, day), _DUSK_ZENITH, 0.5 * dusk)
    return np.array([*light, *horizon, *zenith, math.cos(angle), height, day])


def _mix(a: _Rgb, b: _Rgb, part: float) -> _Rgb:
    """`a` with `part` (0..1) of `b`."""
    return (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part, a[2] + (b[2] - a[2]) * part)
