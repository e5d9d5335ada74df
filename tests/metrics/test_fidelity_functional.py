"""Known answers, properties and independent references of the picture distances."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from worldsim.errors import ShapeError
from worldsim.metrics.functional import fidelity
from worldsim.types import Frames

DISTANCES: dict[str, Callable[[Frames, Frames], np.ndarray]] = {
    "l1": fidelity.l1,
    "psnr": fidelity.psnr,
    "ssim": fidelity.ssim,
    "gradient_zncc": fidelity.gradient_zncc,
}
RANGES = {"l1": (0, 1), "psnr": (0, 58.93), "ssim": (-1, 1), "gradient_zncc": (-1, 1)}
BEST = {"l1": 0.0, "psnr": 10 * math.log10(1 + 12 * 255**2), "ssim": 1.0, "gradient_zncc": 1.0}

pictures = hnp.arrays(np.uint8, (2, 16, 13, 3), elements=st.integers(0, 255))


def noisy(size: tuple[int, int], spread: float, n: int = 3) -> tuple[Frames, Frames]:
    rng = np.random.default_rng(7)
    smooth = rng.integers(0, 256, (n, size[0] // 4, size[1] // 4, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    other = np.clip(smooth + rng.normal(0, spread, smooth.shape), 0, 255).astype(np.uint8)
    return smooth, other


@pytest.mark.parametrize("offset", [1, 20, 100])
def test_a_constant_offset_has_the_exact_l1_and_psnr(offset: int) -> None:
    a = np.full((2, 12, 12, 3), 50, np.uint8)
    b = a + np.uint8(offset)
    assert fidelity.l1(a, b) == pytest.approx(offset / 255)
    assert fidelity.mse(a, b) == pytest.approx(offset**2)
    assert fidelity.psnr(a, b) == pytest.approx(10 * math.log10((255**2 + 1 / 12) / (offset**2 + 1 / 12)))


def test_a_shift_of_one_stripe_inverts_a_stripe_pattern() -> None:
    """Stripes 2 px wide shifted by 2 px: every pixel is wrong by the full contrast, edges stay where they were."""
    x = np.where(np.arange(40) // 2 % 2, 200, 50).astype(np.uint8)
    a = np.broadcast_to(x[None, None, :, None], (1, 20, 40, 3)).copy()
    b = np.roll(a, 2, axis=2)
    assert fidelity.l1(a, b)[0] == pytest.approx(150 / 255)
    assert fidelity.ssim(a, b)[0] < -0.5
    assert fidelity.gradient_zncc(a, b)[0] == pytest.approx(1.0)


def test_the_edge_correlation_is_blind_to_brightness_and_sees_a_shift() -> None:
    a, _ = noisy((32, 32), 0)
    dim = (a // 2 + 40).astype(np.uint8)
    assert (fidelity.gradient_zncc(a, dim) > 0.99).all()
    assert (fidelity.gradient_zncc(a, np.roll(a, 2, axis=2)) < 0.5).all()


def test_the_edge_correlation_of_a_flat_picture_is_zero() -> None:
    a, _ = noisy((32, 32), 0)
    assert fidelity.gradient_zncc(a, np.full_like(a, 90)).tolist() == [0.0, 0.0, 0.0]


def test_black_against_white_is_the_far_end_of_every_range() -> None:
    black = np.zeros((1, 12, 12, 3), np.uint8)
    assert fidelity.l1(black, ~black)[0] == 1.0
    assert fidelity.psnr(black, ~black)[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("spread", [2.0, 20.0, 80.0])
def test_ssim_equals_scikit_image(spread: float) -> None:
    a, b = noisy((48, 64), spread)
    expected = [
        structural_similarity(
            x, y, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        for x, y in zip(a, b, strict=True)
    ]
    assert fidelity.ssim(a, b) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("spread", [2.0, 20.0, 80.0])
def test_ssim_equals_torchmetrics_over_the_valid_region(spread: float) -> None:
    a, b = noisy((64, 48), spread)
    x, y = (torch.from_numpy(z).permute(0, 3, 1, 2).double() for z in (a, b))
    _, full = structural_similarity_index_measure(x, y, data_range=255.0, return_full_image=True)
    expected = full[..., 5:-5, 5:-5].mean(dim=(1, 2, 3)).numpy()
    assert fidelity.ssim(a, b) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("spread", [5.0, 20.0, 80.0])
def test_psnr_is_torchmetrics_with_the_rounding_variance_added(spread: float) -> None:
    a, b = noisy((32, 32), spread, n=1)
    x, y = (torch.from_numpy(z).double() for z in (a, b))
    textbook = float(peak_signal_noise_ratio(x, y, data_range=255.0))
    error = fidelity.mse(a, b)[0]
    assert fidelity.psnr(a, b)[0] == pytest.approx(textbook - 10 * math.log10(1 + 1 / (12 * error)), abs=1e-4)


@pytest.mark.parametrize("name", DISTANCES)
@settings(max_examples=30, deadline=None)
@given(a=pictures, b=pictures)
def test_distances_are_symmetric_in_range_and_do_not_mix_frames(name: str, a: Frames, b: Frames) -> None:
    distance, (low, high) = DISTANCES[name], RANGES[name]
    both = distance(a, b)
    assert both.shape == (2,) and both.dtype == np.float64
    assert ((both >= low) & (both <= high)).all()
    assert distance(b, a) == pytest.approx(both, abs=1e-6)
    assert distance(a[::-1].copy(), b[::-1].copy())[::-1] == pytest.approx(both, abs=1e-6)  # the order in a stack
    assert distance(a[1:], b[1:]) == pytest.approx(both[1:], abs=1e-6)  # what lies beside it
    assert np.square(a.astype(float) - b).mean(axis=(1, 2, 3)) == pytest.approx(fidelity.mse(a, b))


@pytest.mark.parametrize("name", DISTANCES)
def test_a_picture_agrees_perfectly_with_itself(name: str) -> None:
    a, _ = noisy((32, 32), 0)
    assert DISTANCES[name](a, a) == pytest.approx(BEST[name], abs=1e-6)


@pytest.mark.parametrize("name", DISTANCES)
def test_more_noise_is_never_better(name: str) -> None:
    sign = -1.0 if name == "l1" else 1.0
    values = [sign * DISTANCES[name](*noisy((48, 48), spread)).mean() for spread in (0, 4, 16, 40, 90)]
    assert values == sorted(values, reverse=True) and len(set(values)) == 5


@pytest.mark.parametrize("name", DISTANCES)
def test_mistakes_are_explained(name: str) -> None:
    a, _ = noisy((16, 16), 0)
    with pytest.raises(ShapeError, match="same shape"):
        DISTANCES[name](a, a[:2])
    with pytest.raises(ShapeError, match="uint8"):
        DISTANCES[name](a.astype(np.float32) / 255, a)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="channels first"):
        DISTANCES[name](np.moveaxis(a, -1, 1), a)


def test_ssim_refuses_pictures_smaller_than_its_window() -> None:
    small = np.zeros((1, 10, 20, 3), np.uint8)
    with pytest.raises(ShapeError, match="11x11"):
        fidelity.ssim(small, small)


def test_masked_l1_looks_at_the_mask_only() -> None:
    a = np.zeros((2, 4, 4, 3), np.uint8)
    b = a.copy()
    b[0, 0, 0] = (255, 0, 0)
    mask = np.zeros((2, 4, 4), bool)
    mask[0, 0, :2] = True
    value = fidelity.masked_l1(a, b, mask)
    assert value[0] == pytest.approx(1 / 6) and math.isnan(value[1])
    assert fidelity.masked_l1(a, b, np.ones_like(mask)) == pytest.approx(fidelity.l1(a, b))
    with pytest.raises(ShapeError, match="mask must be"):
        fidelity.masked_l1(a, b, mask[:, :2])


@pytest.mark.parametrize(
    ("skill", "expected"),
    [
        ([0.9, 0.5, 0.05, 0.9], 2.0),  # the first failure ends it, whatever comes after
        ([0.05, 0.9, 0.9, 0.9], 0.0),
        ([0.9, 0.9, 0.9, 0.9], 8.0),
        ([math.nan, 0.9, 0.9, math.nan], 4.0),  # what is not decided is passed over
        ([math.nan] * 4, math.nan),
    ],
)
def test_useful_horizon(skill: list[float], expected: float) -> None:
    horizons = np.array([1, 2, 4, 8])
    value = fidelity.useful_horizon(np.array(skill), horizons)
    assert value == pytest.approx(expected, nan_ok=True)
    stacked = fidelity.useful_horizon(np.stack([skill, skill]), horizons)
    assert stacked == pytest.approx([expected] * 2, nan_ok=True)
