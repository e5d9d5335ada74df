"""What a frame of the truth looks like to the hypothesis test, clean and degraded: its thresholds come from there.

Rules: a gate lies where it rejects 1 % of the truth's frames under the degradation that moves it most, and fewer under
all others; the softmax is as cautious as it can be while 95 % of all of them are decided, rightly, with p > 0.9. Both
belong to the renderer, the size and the alternatives they were measured with: calibrate each suite, on worlds that are
not scored.

Known limit: with n frames of a degradation the 99th percentile lies at the largest for n below 100, so that 1/n and
more of other worlds' frames are rejected by it; how many is printed by `benchmarks/cht_error.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ConfigError
from worldsim.metrics.functional.hypothesis import SLIGHT, Evidence, Float, Thresholds, judge, posterior
from worldsim.types import Frames

GATE = 0.99  # quantile of the truth's frames at which a gate lies
SURE, SHARE = 0.9, 0.95  # this share of the truth's frames is decided with a posterior above SURE
_WIDEST = 4.0  # of the softmax: leads lie in -1..1, so it makes any number of labels below 50 nearly equal

Degradation = Callable[[Frames, np.random.Generator], Frames]


def _clipped(values: NDArray[np.floating]) -> Frames:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def clean(frame: Frames, rng: np.random.Generator) -> Frames:
    """The frame itself."""
    return frame


def blur(frame: Frames, rng: np.random.Generator) -> Frames:
    """Gaussian, sigma 1 px."""
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), 1.0))


def noise(frame: Frames, rng: np.random.Generator) -> Frames:
    """Gaussian, standard deviation 12 of 255, independent in pixels and channels."""
    return _clipped(frame + rng.normal(0.0, 12.0, frame.shape))


def tint(frame: Frames, rng: np.random.Generator) -> Frames:
    """Red by 1.1 and 6 up, blue by 0.85 and 6 down."""
    return _clipped(frame * np.array([1.1, 1.0, 0.85]) + np.array([6.0, 0.0, -6.0]))


def shifted(frame: Frames, rng: np.random.Generator) -> Frames:
    """By 2 px in each direction, to a side drawn for each; the border is repeated."""
    dx, dy = (int(q) for q in rng.choice([-2, 2], 2))
    padded = np.pad(frame, ((2, 2), (2, 2), (0, 0)), mode="edge")
    return padded[2 - dy : 2 - dy + frame.shape[0], 2 - dx : 2 - dx + frame.shape[1]]


def down(frame: Frames, rng: np.random.Generator) -> Frames:
    """To half the size by areas, and back bilinearly."""
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def jpeg(frame: Frames, rng: np.random.Generator) -> Frames:
    """JPEG at quality 50, with chroma at half resolution."""
    _, packed = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 50])
    return np.asarray(cv2.cvtColor(cv2.imdecode(packed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def everything(frame: Frames, rng: np.random.Generator) -> Frames:
    """Blur, tint, shift and noise, in this order."""
    for step in (blur, tint, shifted, noise):
        frame = step(frame, rng)
    return frame


#: What a good simulator's decoder may do to a right picture, by the name in the tables.
DEGRADATIONS: Final[Mapping[str, Degradation]] = {
    "clean": clean,
    "blur 1": blur,
    "noise 12": noise,
    "tint": tint,
    "shift 2 px": shifted,
    "down 2": down,
    "jpeg 50": jpeg,
    "all": everything,
}


def calibrate(evidence: Sequence[Evidence], truth: Sequence[int], groups: Sequence[str] | None = None) -> Thresholds:
    """Thresholds from the truth's own frames.

    Args:
        evidence: Of frames that show one of their alternatives, clean and degraded; undefined ones are passed over. Let
            each label be the true one equally often.
        truth: The true label of each.
        groups: The degradation of each; None = all in one.

    Raises:
        ConfigError: If fewer than 20 are defined, or fewer than 95 % of them are right and pass the gates.
    """
    groups = [""] * len(evidence) if groups is None else groups
    if not len(evidence) == len(truth) == len(groups):
        raise ConfigError(
            f"expected one true label and one group for each of {len(evidence)} frames, got {len(truth)} and "
            f"{len(groups)}"
        )
    known = [(e, int(t)) for e, t in zip(evidence, truth, strict=True) if e.reason is None]
    defined = np.array([e.reason is None for e in evidence])
    members = [np.flatnonzero(np.array(groups)[defined] == g) for g in sorted(set(np.array(groups)[defined].tolist()))]
    if len(known) < 20:
        raise ConfigError(f"calibration needs at least 20 frames that are not undefined, got {len(known)}")

    def gate(value: Callable[[Evidence], float]) -> float:
        """The 99th percentile of the group where it is largest."""
        values = np.array([value(e) for e, _ in known])
        return max(float(np.quantile(values[rows], GATE)) for rows in members)

    gates = Thresholds(
        residual=gate(lambda e: e.residual),
        lead=-gate(lambda e: -float(e.lead.max())),
        fit=gate(lambda e: e.fit),
        excess=max(gate(lambda e: e.excess if e.fit > SLIGHT else 0.0), 1.0),  # 1 = as good as the rest of the frame
        stray=gate(lambda e: e.stray),
        scale=1.0,
    )
    scale = softmax_scale([e.lead for e, _ in known], [t if judge(e, gates).label == t else -1 for e, t in known])
    return replace(gates, scale=scale)


def softmax_scale(leads: Sequence[Float], truth: Sequence[int]) -> float:
    """The widest scale at which a share `SHARE` of frames gives its true label more than `SURE`.

    Args:
        leads: One (L,) row a frame; L may differ between frames.
        truth: The true label of each, -1 for a frame that is rejected or wrong at any scale.

    Raises:
        ConfigError: If no scale does it, because too many frames are wrong or rejected.
    """
    widest = np.sort([_widest(lead, label) for lead, label in zip(leads, truth, strict=True)])
    allowed = int(np.floor((1.0 - SHARE) * len(widest)))  # frames that may be left undecided
    found = float(widest[allowed])
    if found <= 0.0:
        right = float((widest > 0).mean())
        raise ConfigError(
            f"{right:.1%} of the truth's frames are right and pass the gates, {SHARE:.0%} are needed: make the "
            "alternatives differ in more pixels, or calibrate at a larger size"
        )
    return found


def _widest(lead: Float, label: int) -> float:
    """The widest scale at which this frame gives its label more than `SURE`, 0 if none; the posterior falls with it."""
    if label < 0 or int(lead.argmax()) != label or np.sum(lead == lead.max()) > 1:
        return 0.0
    low, high = 1e-4, _WIDEST
    if posterior(lead, low)[label] <= SURE:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if posterior(lead, middle)[label] > SURE else (low, middle)
    return low
