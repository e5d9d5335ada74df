"""PSNR by the textbook, and where a clip moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from worldsim.moving import AHEAD, MOVING_DB, moving_start, psnr


def test_psnr_is_that_of_torchmetrics() -> None:
    a, b = np.random.default_rng(0).integers(0, 256, (2, 2, 3, 16, 16, 3), dtype=np.uint8)
    found = psnr(a, b)
    assert found.shape == (2, 3) and found.dtype == np.float64
    for i in np.ndindex(2, 3):
        theirs = peak_signal_noise_ratio(torch.from_numpy(a[i]).float(), torch.from_numpy(b[i]).float(), data_range=255)
        assert found[i] == pytest.approx(float(theirs), abs=1e-4)


def test_psnr_of_known_differences() -> None:
    a = np.full((3, 8, 8, 3), 100, np.uint8)
    b = a.copy()
    b[1] += 10
    b[2] = 255 - a[2]
    assert psnr(a, b) == pytest.approx([60.0, 20 * np.log10(255 / 10), 20 * np.log10(255 / 55)])


def clip(jump: int, frames: int = 20) -> np.ndarray:
    """Dark until a frame, and bright from it on."""
    out = np.full((frames, 4, 4, 3), 20, np.uint8)
    out[jump:] = 220
    return out


@pytest.mark.parametrize("horizon", [2, 4, 9])
def test_a_start_moves_if_its_last_frame_is_a_bad_guess_soon(horizon: int) -> None:
    frames, context = clip(10), 3
    for start in range(20 + 1 - context - horizon):
        last = start + context - 1
        moves = last < 10 <= last + min(AHEAD, horizon)
        assert (moving_start(frames, [start], context=context, horizon=horizon) is not None) == moves


def test_the_first_in_the_given_order_is_taken() -> None:
    frames = clip(10)
    assert moving_start(frames, np.array([0, 7, 6]), context=3, horizon=6) == 7
    assert moving_start(frames, [0, 1], context=3, horizon=6) is None
    assert moving_start(clip(99), range(10), context=3, horizon=6) is None


def test_what_is_just_seen_to_change_does_not_move() -> None:
    step = np.full((9, 8, 8, 3), 100, np.uint8)
    step[4:] += 16  # 24.05 dB
    assert MOVING_DB < psnr(step[0], step[4]) < MOVING_DB + 0.1
    assert moving_start(step, [0], context=1, horizon=4) is None
    step[4:] += 1
    assert moving_start(step, [0], context=1, horizon=4) == 0
