"""Which key was pressed between two frames? Read off the motion between them by fixed rules; no weights.

A key has up to three labels: -1, 0 and 1 (left, none, right). The true label is the effect in the truth, by its poses;
a motion near the threshold is neither and is not asked for. Source of the question: inverse dynamics models (VPT, Baker
et al. 2022), whose plain accuracy a frozen video games, because most keys are up most of the time; hence balanced.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Labels = NDArray[np.int64]

#: Name and labels of the key behind each of `egomotion.COMPONENTS`, from -1 to 1.
KEYS = {
    "yaw": ("left", "none", "right"),
    "pitch": ("up", "none", "down"),
    "forward": ("back", "none", "ahead"),
    "right": ("left", "none", "right"),
}
THRESHOLDS = np.array([1.5, 1.5, 0.06, 0.06])  # degrees and metres a step of a twentieth of a second
BAND = (0.5, 1.5)  # of the threshold: a true motion in between is neither pressed nor not
LABELS = (-1, 0, 1)
UNKNOWN = 9


def read(motion: Float, fps: float = 20.0) -> Labels:
    """Labels -1, 0, 1 of (n, 4) motions of one step at `fps`; a motion that is NaN presses nothing."""
    motion = np.nan_to_num(motion)
    return np.asarray(np.sign(motion) * (np.abs(motion) > THRESHOLDS * 20.0 / fps), np.int64)


def effect(motion: Float, fps: float = 20.0) -> Labels:
    """The true labels of (n, 4) true motions: -1, 0, 1, or `UNKNOWN` near the threshold."""
    size = np.abs(motion) / (THRESHOLDS * 20.0 / fps)
    unclear = (size > BAND[0]) & (size < BAND[1])
    return np.asarray(np.where(unclear, UNKNOWN, np.sign(motion) * (size >= BAND[1])), np.int64)


def balanced_accuracy(recalls: Sequence[float]) -> float | None:
    """The mean recall over the labels of a key; None with fewer than two, for then there is nothing to tell apart."""
    return float(np.mean(recalls)) if len(recalls) > 1 else None
