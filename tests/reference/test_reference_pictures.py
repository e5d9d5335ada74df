"""Picture distances against scikit-image and torchmetrics, run side by side on frames of a Blocks world and on noise.

References: scikit-image (>= 0.22) and torchmetrics (>= 1.4) as installed. The Frechet distance and the polynomial MMD
against torchmetrics' FID and KID with a stub for the network are in test_reference_distribution.py (1e-6 of their
size); SSIM and PSNR on random stripes in tests/metrics/test_fidelity_functional.py.

Tolerances: MSE and L1 1e-12; PSNR 1e-9 dB (torchmetrics 1e-5: its logarithm is float32) after taking out our rounding
variance of 1/12 (ours is bounded, theirs infinite for equal pictures); SSIM 1e-5 (ours filters in float32), against
torchmetrics on the region where its window lies inside the picture, for its mean counts a reflected border.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio as torch_psnr
from torchmetrics.functional.image import structural_similarity_index_measure as torch_ssim
from torchmetrics.functional.regression import mean_absolute_error

from tests.metrics.solid import PATHS, walk
from worldsim.metrics.functional import fidelity
from worldsim.types import Frames

KINDS = ("blocks", "noise", "dark", "slight")


@cache
def pair(kind: str) -> tuple[Frames, Frames]:
    """Two stacks of two frames at 64x64."""
    frames, _ = walk(3, PATHS["curve"], 3)
    rng = np.random.default_rng(2)
    if kind == "blocks":
        return frames[:2], frames[2:]
    if kind == "noise":
        return frames[:2], rng.integers(0, 256, frames[:2].shape, dtype=np.uint8)
    if kind == "dark":
        return frames[:2], frames[:2] // 3
    return frames[:2], np.clip(frames[:2].astype(int) + rng.integers(-1, 2, frames[:2].shape), 0, 255).astype(np.uint8)


def tensors(a: Frames, b: Frames) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = (torch.from_numpy(z.astype(np.float64)).permute(0, 3, 1, 2).contiguous() for z in (a, b))
    return x, y


@pytest.mark.parametrize("kind", KINDS)
def test_mse_and_l1(kind: str) -> None:
    a, b = pair(kind)
    expected = [mean_squared_error(x.astype(float), y.astype(float)) for x, y in zip(a, b, strict=True)]
    assert fidelity.mse(a, b) == pytest.approx(expected, rel=1e-12)
    x, y = tensors(a, b)
    assert fidelity.l1(a, b).mean() == pytest.approx(float(mean_absolute_error(x, y)) / 255, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_psnr_without_our_rounding_variance(kind: str) -> None:
    a, b = pair(kind)
    error = fidelity.mse(a, b)
    variance = fidelity.ROUNDING_VARIANCE
    ours = fidelity.psnr(a, b) - 10 * np.log10(1 + variance / 255**2) + 10 * np.log10(1 + variance / error)
    assert ours == pytest.approx([peak_signal_noise_ratio(x, y) for x, y in zip(a, b, strict=True)], abs=1e-9)
    x, y = tensors(a, b)
    assert ours == pytest.approx(
        [float(torch_psnr(p, q, data_range=255.0)) for p, q in zip(x, y, strict=True)], abs=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_ssim(kind: str) -> None:
    a, b = pair(kind)
    expected = [
        structural_similarity(
            x, y, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        for x, y in zip(a, b, strict=True)
    ]
    assert fidelity.ssim(a, b) == pytest.approx(expected, abs=1e-5)
    _, full = torch_ssim(*tensors(a, b), data_range=255.0, return_full_image=True)
    inside = full[..., 5:-5, 5:-5].mean(dim=(1, 2, 3)).numpy()
    assert fidelity.ssim(a, b) == pytest.approx(inside, abs=1e-5)


def test_equal_pictures_are_infinitely_good_there_and_as_good_as_eight_bits_can_be_here() -> None:
    a, _ = pair("blocks")
    with np.errstate(divide="ignore"):
        assert math.isinf(peak_signal_noise_ratio(a[0], a[0]))
    assert fidelity.psnr(a, a) == pytest.approx(10 * math.log10(1 + 12 * 255**2))
