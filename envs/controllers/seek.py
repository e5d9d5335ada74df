"""A policy that plays from pixels alone: it looks around for a colour, turns to it, and walks there.

The simplest agent that closes the loop: what it does next depends on what it is shown. With `drive_from` generated it
lives in the simulator's pictures while the truth does what it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.envs.controllers.keyboard import Keyboard
from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.truth import TruthState
from worldsim.types import Frames, Mark

#: Hues in degrees of a circle, from..to; red goes over its end.
HUES: Final = {"red": (345, 15), "yellow": (45, 70), "green": (90, 150), "blue": (205, 260), "purple": (270, 320)}
SATURATION, VALUE = 120, 60  # of 255: paint, not grey stone, and not what is too dark to have a colour
TURN = 8.0  # degrees a step at most


class Seek:
    """Turns and walks to the largest patch of a colour that it sees; looks around where it sees none."""

    aborted: str | None = None
    marks: tuple[Mark, ...] = ()

    def __init__(
        self, *, colour: str = "red", context: int = 1, smallest: float = 0.002, near: float = 0.2, view: float = 70.0
    ) -> None:
        """Sets what it looks for.

        Args:
            colour: A name of `HUES`.
            context: C of the scenario: it looks around while t < C - 1, so that all that follow one start share it.
            smallest: Share of the frame below which a patch is not seen, 0..1.
            near: Share of the frame from which on it has arrived and stands still.
            view: Degrees of horizontal view, for how far to turn.

        Raises:
            UnknownNameError: For a colour that it does not know.
            ConfigError: For shares outside 0..1.
        """
        if colour not in HUES:
            raise UnknownNameError(f"no hue is called {colour!r}.{nearest(colour, HUES)} Known: {', '.join(HUES)}.")
        if not 0.0 < smallest < near <= 1.0:
            raise ConfigError(f"expected 0 < smallest < near <= 1, got {smallest} and {near}")
        self._colour, self._context, self._smallest, self._near, self._view = colour, context, smallest, near, view
        self._keyboard: Keyboard | None = None
        self._side = 1.0

    def reset(self, *, seed: int, action_space: Any, truth: TruthState, sham: bool = False) -> None:
        """Starts a new episode; it looks around to the side that the seed says."""
        self._keyboard = Keyboard(action_space)
        self._side = 1.0 if seed % 2 else -1.0

    def act(self, frame: Frames, truth: TruthState, t: int) -> Any:
        """The next step from `frame`; the truth is not looked at."""
        if self._keyboard is None:
            raise RuntimeError("a controller is reset before it acts")
        return self._keyboard(self._keys(frame, looking=t < self._context - 1))

    def _keys(self, frame: Frames, *, looking: bool) -> Mapping[str, Any]:
        patch = largest_patch(mask_of(frame, self._colour))
        if looking or patch is None or patch[0] < self._smallest:
            return {"camera": (0.0, self._side * TURN)}
        share, across = patch
        turn = float(np.clip(across * self._view, -TURN, TURN))
        self._side = 1.0 if turn > 0 else -1.0  # where it went if it is lost from view
        if share >= self._near:
            return {"camera": (0.0, turn)}
        return {"camera": (0.0, turn), "forward": 1}

    @property
    def focus(self) -> Mapping[str, Any]:
        """What it looks for."""
        return {"colour": self._colour}


def mask_of(frame: Frames, colour: str) -> NDArray[np.bool_]:
    """Where a frame, (H, W, 3) uint8, has a colour: (H, W) bool."""
    hue, saturation, value = np.moveaxis(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2HSV), -1, 0)
    degrees = hue.astype(np.int32) * 2
    low, high = HUES[colour]
    inside = (degrees >= low) & (degrees <= high) if low <= high else (degrees >= low) | (degrees <= high)
    found: NDArray[np.bool_] = inside & (saturation >= SATURATION) & (value >= VALUE)
    return found


def largest_patch(mask: NDArray[np.bool_]) -> tuple[float, float] | None:
    """The largest connected patch of a mask.

    Returns:
        (its share of the frame, where its middle lies across the frame, -0.5 left .. 0.5 right), or None.
    """
    count, _, stats, middles = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    areas = stats[1:, cv2.CC_STAT_AREA]
    best = int(areas.argmax())
    return float(areas[best]) / mask.size, float(middles[1 + best, 0] + 0.5) / mask.shape[1] - 0.5
