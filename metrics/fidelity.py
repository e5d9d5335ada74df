"""Fidelity: how long, and how well, does the picture agree with the truth's when both get the same actions?

Thin classes over `worldsim.metrics.functional.fidelity`. What each number means, and its floor and ceiling:
docs/metrics/fidelity.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import UnsupportedError
from worldsim.metrics import masks
from worldsim.metrics.base import Cell, Float, FrameMetric
from worldsim.metrics.functional import fidelity
from worldsim.nulls import null_frame
from worldsim.types import Episode, Frames, MetricSpec

_COMMON = ("no predicted frame", "the simulator ended the episode")
_SENSITIVE = frozenset({"blur", "noise", "jpeg", "lag", "drop", "flip", "gain"})
_PERFECT_PSNR = float(fidelity.psnr_from_mse(np.zeros(1))[0])


class L1(FrameMetric):
    """Mean absolute error."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="fidelity.l1",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=False,
        floor="frozen",
        undefined=_COMMON,
        sensitive=_SENSITIVE | {"tint"},
        source="mean |x - y| / 255",
        summary="How far, on average, is a pixel from the truth?",
        headline=False,
        pixel=True,
        power=0.005,
    )

    def compare(self, truth: Frames, shown: Frames) -> Float:
        """See `functional.fidelity.l1`."""
        return fidelity.l1(truth, shown)


class PSNR(FrameMetric):
    """Peak signal-to-noise ratio; squared errors are averaged first and converted once."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="fidelity.psnr",
        version=1,
        unit="dB",
        range=(0.0, _PERFECT_PSNR),
        higher_is_better=True,
        floor="context-mean",
        undefined=_COMMON,
        sensitive=_SENSITIVE | {"tint"},
        source="10 log10(255^2 / (MSE + 1/12)), 1/12 = variance of 8-bit rounding",
        summary="How well does the picture agree with the truth, in decibels?",
        pixel=True,
        power=1.0,
    )

    def compare(self, truth: Frames, shown: Frames) -> Float:
        """See `functional.fidelity.mse`: the row holds the squared error, in 8-bit steps squared."""
        return fidelity.mse(truth, shown)

    def transform(self, mean: Float) -> Float:
        """Mean squared error to dB."""
        return fidelity.psnr_from_mse(mean)


class SSIM(FrameMetric):
    """Structural similarity."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="fidelity.ssim",
        version=1,
        unit="1",
        range=(-1.0, 1.0),
        higher_is_better=True,
        floor="frozen",
        undefined=(*_COMMON, "frames below 11x11 px"),
        sensitive=_SENSITIVE,
        source="Wang et al. 2004, eq. 13",
        summary="Does the picture have the truth's local structure?",
        pixel=True,
        power=0.02,
    )

    def compare(self, truth: Frames, shown: Frames) -> Float:
        """See `functional.fidelity.ssim`."""
        if min(truth.shape[1:3]) < 11:
            return np.full(len(truth), np.nan)
        return fidelity.ssim(truth, shown)

    why_undefined = "frames below 11x11 px"


class GradientZNCC(FrameMetric):
    """Correlation of edge strengths."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="fidelity.gradient_zncc",
        version=1,
        unit="1",
        range=(-1.0, 1.0),
        higher_is_better=True,
        floor="frozen",
        undefined=(*_COMMON, "the truth has no edges"),
        sensitive=_SENSITIVE - {"noise"},
        invariant=frozenset({"tint", "brightness"}),
        source="zero-mean normalised cross-correlation of Sobel magnitudes",
        summary="Are the edges where the truth has them?",
        headline=False,
        pixel=True,
        power=0.02,
    )

    def compare(self, truth: Frames, shown: Frames) -> Float:
        """See `functional.fidelity.gradient_zncc`; undefined where the truth has no edges, 0 where only the model."""
        flat = fidelity.gradient_std(truth) < fidelity.MIN_GRADIENT_STD
        return np.where(flat, np.nan, fidelity.gradient_zncc(truth, shown))

    why_undefined = "the truth has no edges"


class _RegionL1(FrameMetric):
    """L1 over one region of the truth's frame."""

    region: ClassVar[str]

    def cells(self, episode: Episode, frames: Sequence[int], truth: Frames, shown: Frames) -> list[Cell]:
        """One cell a frame; the weight is the number of pixels of the region."""
        regions = np.zeros(truth.shape[:3], np.bool_)
        unknown: dict[int, str] = {}  # a frame of which the truth tells too little costs that frame only
        for i, frame in enumerate(frames):
            try:
                regions[i] = masks.region(episode, self.region, frame)
            except UnsupportedError as error:
                unknown[i] = str(error)
        few = f"fewer than {masks.MIN_PIXELS} px of the region"
        counts = regions.sum(axis=(1, 2))
        values = fidelity.masked_l1(truth, shown, regions)
        return [
            (float(value), None, float(count), {})
            if count >= masks.MIN_PIXELS
            else (None, unknown.get(i, few), float(count), {})
            for i, (value, count) in enumerate(zip(values, counts, strict=True))
        ]


_REGION_UNDEFINED = (*_COMMON, "no states", "no depth", "fewer than 24 px of the region")
_REGION_NEEDS = frozenset({"depth", "segmentation", "world_from_camera", "intrinsics"})


class L1Static(_RegionL1):
    """L1 over the static world that the context has shown."""

    region = "static"
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="fidelity.l1_static",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=False,
        floor="frozen",
        requires=_REGION_NEEDS,
        undefined=_REGION_UNDEFINED,
        sensitive=_SENSITIVE | {"tint"},
        invariant=frozenset({"vanish", "teleport", "swap"}),
        source="mean |x - y| / 255 over static pixels seen in the context",
        summary="How far is a pixel from the truth where the context showed what is there?",
        headline=False,
        pixel=True,
        power=0.005,
    )


class L1Object(_RegionL1):
    """L1 over the instances."""

    region = "object"
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="fidelity.l1_object",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=False,
        floor="frozen",
        requires=frozenset({"segmentation"}),
        undefined=(*_COMMON, "no states", "no segmentation", "fewer than 24 px of the region"),
        sensitive=_SENSITIVE | {"tint", "vanish", "teleport", "swap"},
        source="mean |x - y| / 255 over pixels of instances",
        summary="How far is a pixel from the truth where the truth shows an object?",
        headline=False,
        pixel=True,
        power=0.005,
    )


class L1Revealed(_RegionL1):
    """L1 over the static world that came into view after the context: a diagnostic, for nobody could know it."""

    region = "revealed"
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="fidelity.l1_revealed",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=False,
        floor="context-mean",
        requires=_REGION_NEEDS,
        undefined=_REGION_UNDEFINED,
        sensitive=_SENSITIVE | {"tint"},
        invariant=frozenset({"vanish", "teleport", "swap"}),
        source="mean |x - y| / 255 over static pixels not in view in any context frame",
        summary="How far is a pixel from the truth where no context frame showed what is there?",
        headline=False,
        pixel=True,
        power=0.005,
    )


class UsefulHorizon(FrameMetric):
    """The last horizon before the skill of L1, against the best null at each horizon, falls below 0.1."""

    nulls: ClassVar[tuple[str, ...]] = ("frozen", "copy-context", "context-mean", "other-episode")  # noise never wins
    columns = (*nulls, "ceiling")
    threshold: ClassVar[float] = 0.1
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="fidelity.useful_horizon",
        version=1,
        unit="frames",
        range=(0.0, np.inf),
        higher_is_better=True,
        floor="frozen",
        undefined=(*_COMMON, "no context frame", "no horizon at which floor and ceiling differ by 0.005"),
        sensitive=_SENSITIVE,
        source="last h before the first with (null - l1) / (null - ceiling) < 0.1; means over worlds, null = the best",
        summary="For how many frames is the prediction better than knowing nothing?",
        power=0.5,
    )

    def cells(self, episode: Episode, frames: Sequence[int], truth: Frames, shown: Frames) -> list[Cell]:
        """L1 of the shown frames, of the nulls on the same frames, and of the truth run again."""
        context = episode.truth.frames[: episode.context_length]
        if not len(context):
            return [(None, "no context frame", 1.0, {})] * len(frames)
        first = episode.context_length - 1
        details = {}
        for name in self.nulls:
            if name == "other-episode" and episode.other is None:
                details[name] = np.ones(len(frames))  # as wrong as can be: it is never the best null
                continue
            drawn = [null_frame(name, context, t - first, seed=0, other=episode.other) for t in frames]
            details[name] = fidelity.l1(truth, np.stack(drawn))
        details["ceiling"] = np.zeros(len(frames))  # the truth itself, where its future is closed
        if episode.rerun is not None:
            details["ceiling"] = fidelity.l1(truth, np.stack([np.asarray(episode.rerun.frames[t]) for t in frames]))
        own = fidelity.l1(truth, shown)
        return [
            (float(own[i]), None, 1.0, {name: float(values[i]) for name, values in details.items()})
            for i in range(len(frames))
        ]

    def pointwise(self, means: Float) -> Float:
        """Skill at each horizon; NaN where floor and ceiling differ by less than the power of fidelity.l1."""
        own, floor, ceiling = means[..., 0], means[..., 1:-1].min(axis=-1), means[..., -1]
        gap = floor - ceiling
        enough = np.where(np.isfinite(gap), gap, 0.0) >= L1.spec.power
        return np.asarray(np.where(enough, (floor - own) / np.where(enough, gap, 1.0), np.nan))

    def finish(self, means: Float, horizons: NDArray[np.int64]) -> Float:
        """See `functional.fidelity.useful_horizon`."""
        return fidelity.useful_horizon(self.pointwise(means), horizons, self.threshold)
