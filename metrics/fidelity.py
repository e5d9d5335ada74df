"""Fidelity: how long, and how well, does the picture agree with the truth's when both get the same actions?

Thin classes over `worldsim.metrics.functional.fidelity`. What each number means, and its floor and ceiling:
docs/metrics.md.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsim.metrics.base import Float, FrameMetric
from worldsim.metrics.functional import fidelity
from worldsim.types import Frames, MetricSpec

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
        floor="context-mean",
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
        floor="context-mean",
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
