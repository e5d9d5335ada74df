"""What drawings of several families share: shown and true frames of a group, scores in words, crops with a box."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pictures.canvas import BAD, GOOD, Colour, Half, Image
from pictures.worlds import Case, Library
from worldsim import registry
from worldsim.types import Episode

Draw = Callable[[Library], tuple[Half, Half]]


def shown(episode: Episode, t: int) -> Image:
    """What the simulator showed at frame t."""
    return np.asarray(episode.generated[0].trajectory.frames[t])


def true(episode: Episode, t: int) -> Image:
    """The truth's frame t."""
    return np.asarray(episode.truth.frames[t])


def marks(episode: Episode) -> dict[str, int]:
    """Name -> frame."""
    return {mark.name: mark.frame for mark in episode.marks}


def said(case: Case, digits: int = 2, unit: str = "") -> str:
    """The score in words, and of how many worlds it is."""
    value = case.score.value
    if value is None:
        raise SystemExit(f"no score to draw: {case.score.reason}")
    worlds = len({r.world for r in case.rows if r.outcome is not None})
    number = f"{value:.{digits}f}" if abs(value) > 0.5 * 10**-digits else f"{0:.{digits}f}"
    return f"score {number}{unit}   ({worlds} worlds)"


def verdict(right: bool) -> Colour:
    """Green or red."""
    return GOOD if right else BAD


def summary(metric: str) -> tuple[str, str]:
    """The question that a metric asks, and "higher" or "lower"."""
    spec = registry.METRICS.get(metric).spec
    return spec.summary, "higher" if spec.higher_is_better else "lower"


def box_of(mask: np.ndarray, least: int = 28, margin: int = 4) -> tuple[int, int, int]:
    """(top, left, side) of a square around what is set."""
    y, x = np.nonzero(mask)
    side = int(min(max(np.ptp(y) + 1 + 2 * margin, np.ptp(x) + 1 + 2 * margin, least), min(mask.shape)))
    top = int(np.clip((y.min() + y.max() + 1 - side) // 2, 0, mask.shape[0] - side))
    left = int(np.clip((x.min() + x.max() + 1 - side) // 2, 0, mask.shape[1] - side))
    return top, left, side


def boxed(picture: Image, box: tuple[int, int, int], scale: int, colour: Colour = (255, 255, 255)) -> Image:
    """The outline of a box in a picture that is `scale` times as large as the frame of the box."""
    import cv2

    top, left, side = (v * scale for v in box)
    out = picture.copy()
    cv2.rectangle(out, (left, top), (left + side - 1, top + side - 1), (0, 0, 0), 3)
    cv2.rectangle(out, (left, top), (left + side - 1, top + side - 1), colour, 1)
    return out
