"""What the hypothesis test believes, measured on the truth and kept beside the code: one set for each frame size.

`worldsim calibrate` makes the file from worlds of the validation split, which no result is ever measured on.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from worldsim.errors import ConfigError
from worldsim.metrics.functional.hypothesis import Thresholds

FILE = Path(__file__).parent / "data" / "thresholds.json"


@lru_cache(maxsize=4)
def _read(path: Path) -> dict[int, Thresholds]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["thresholds"]
        return {int(size): Thresholds(**values) for size, values in rows.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} does not hold thresholds: {error}; make it with `worldsim calibrate`") from error


def thresholds_for(height: int, path: Path = FILE) -> Thresholds:
    """Those measured at the size nearest to `height` px (by ratio).

    Raises:
        ConfigError: If the file is missing or malformed.
    """
    known = _read(path)
    return known[min(known, key=lambda size: (max(size, height) / min(size, height), size))]
