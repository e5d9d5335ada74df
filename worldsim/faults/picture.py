"""The right world in a worse picture: blur, noise, tint, JPEG, and colours that fade slowly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from worldsim.faults.base import Fault, Notes
from worldsim.oracle import World, lossy_codec
from worldsim.types import Frames

TINT = np.array([255.0, 160.0, 60.0])  # a warm lamp


class Blur(Fault):
    """A Gaussian of `severity` pixels."""

    name = "blur"
    limit = 32.0

    def _picture(self, world: World, notes: Notes) -> Frames:
        import cv2

        out: Any = cv2.GaussianBlur(world.frame, (0, 0), self.severity, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(out, np.uint8)


class Noise(Fault):
    """Normal noise of `severity` levels of 255, another in every frame."""

    name = "noise"
    limit = 128.0
    random = True

    def _picture(self, world: World, notes: Notes) -> Frames:
        unit = self._draw(world, world.t).standard_normal(world.frame.shape)
        return to_bytes(world.frame + self.severity * unit)


class Tint(Fault):
    """The share `severity` of a warm light, the same in every frame: x -> (1 - s) x + s x tint / 255."""

    name = "tint"

    def _picture(self, world: World, notes: Notes) -> Frames:
        return to_bytes(world.frame * (1.0 - self.severity * (1.0 - TINT / 255.0)))


class Jpeg(Fault):
    """JPEG of quality 100 - `severity`."""

    name = "jpeg"
    limit = 99.0
    whole = True

    def _picture(self, world: World, notes: Notes) -> Frames:
        return lossy_codec(f"jpeg:{100 - int(self.severity)}")(world.frame)


class ColourFade(Fault):
    """Colours go towards grey, by the share `severity` of what is left of them at every step."""

    name = "colour-fade"

    def _picture(self, world: World, notes: Notes) -> Frames:
        left = math.pow(1.0 - self.severity, world.t)
        grey = world.frame.mean(-1, keepdims=True)
        return to_bytes(grey + left * (world.frame - grey))


def to_bytes(values: Any) -> Frames:
    """Rounds and clips to uint8."""
    out: Frames = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return out
