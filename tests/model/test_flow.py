from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldsim.model.flow import levels, mix, move, shortcut_target, symexp, symlog, weight


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def at(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_frames_have_levels_of_their_own() -> None:
    clean, noise = rand(1, 3, 4, 2), rand(1, 3, 4, 3)[..., :2]
    z = mix(clean, noise, at(0.0, 0.5, 1.0))
    assert torch.equal(z[:, 0], noise[:, 0]) and torch.equal(z[:, 2], clean[:, 2])
    assert torch.allclose(z[:, 1], (clean[:, 1] + noise[:, 1]) / 2)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_a_network_that_knows_the_frame_reaches_it_in_any_number_of_steps(steps: int) -> None:
    clean, z = rand(1, 1, 4, 2), rand(1, 1, 4, 3)[..., :2]
    noise = z
    for i in range(steps):
        assert torch.allclose(z, mix(clean, noise, at(i / steps)))  # it stays on the straight line
        z = move(z, clean, at(i / steps), at(1 / steps))
    assert torch.allclose(z, clean)


def test_the_shortcut_of_a_straight_flow_is_the_frame_itself() -> None:
    clean, noise = rand(2, 2, 4, 2), rand(2, 2, 4, 3)[..., :2]
    signal, size = torch.tensor([[0.0, 0.5], [0.25, 0.0]]).double(), torch.tensor([[0.5, 0.5], [0.25, 1.0]]).double()
    z = mix(clean, noise, signal)
    middle = move(z, clean, signal, size / 2)
    assert torch.allclose(shortcut_target(z, clean, clean, middle, signal, size), clean)


def test_the_shortcut_is_where_two_half_steps_lead() -> None:
    """Whatever the network says: one step of the full size towards the target ends where two of half the size end."""
    z, first, second = rand(1, 1, 4, 2), rand(1, 1, 4, 3)[..., :2], rand(1, 1, 4, 4)[..., :2]
    signal, size = at(0.25), at(0.5)
    middle = move(z, first, signal, size / 2)
    end = move(middle, second, signal + size / 2, size / 2)
    target = shortcut_target(z, first, second, middle, signal, size)
    assert torch.allclose(move(z, target, signal, size), end)


def test_what_is_less_noisy_weighs_more() -> None:
    assert torch.allclose(weight(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([0.1, 0.55, 1.0]))


def test_levels_are_powers_of_two() -> None:
    assert [levels(k) for k in (1, 2, 4, 8)] == [0, 1, 2, 3]
    for k in (0, 3, 16):
        with pytest.raises(ValueError, match=f"1, 2, 4 or 8 steps, got {k}"):
            levels(k)


@given(st.floats(-1e6, 1e6))
def test_rewards_of_any_size_come_back(x: float) -> None:
    value = torch.tensor(x, dtype=torch.float64)
    assert float(symexp(symlog(value))) == pytest.approx(x, rel=1e-9, abs=1e-12)
    assert float(symlog(torch.tensor(float(torch.e) - 1))) == pytest.approx(1.0)
