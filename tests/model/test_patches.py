from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.errors import ShapeError
from worldsim.model.dit.patches import grid, pad, patchify, places, unpatchify


@settings(max_examples=60, deadline=None)
@given(
    lead=st.lists(st.integers(0, 3), max_size=3),
    z=st.integers(1, 5),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    patch=st.sampled_from([1, 2, 3]),
)
def test_unpatchify_is_the_inverse_for_any_batch_time_and_shape(
    lead: list[int], z: int, rows: int, columns: int, patch: int
) -> None:
    x = torch.randn(*lead, z, rows * patch, columns * patch)
    tokens = patchify(x, patch)
    assert tokens.shape == (*lead, rows * columns, z * patch * patch)
    assert torch.equal(unpatchify(tokens, (rows * patch, columns * patch), patch), x)


@pytest.mark.parametrize("size", [(4, 8), (8, 4)])
def test_tokens_go_row_by_row_and_know_their_place(size: tuple[int, int]) -> None:
    """Cells hold their own row and column: a token's mean is its place."""
    h, w = size
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    tokens = patchify(torch.stack([y, x]).float(), 2).unflatten(-1, (2, 4)).mean(-1)  # (N, 2) in cells
    middle = torch.tensor([(h - 1) / 2, (w - 1) / 2])
    assert torch.equal((tokens - middle) / 2, places(size, 2))
    assert torch.equal(places(size, 2).sum(0), torch.zeros(2))  # counted from the middle
    assert grid(size, 2).places.shape == (1, h * w // 4, 2) and grid(size, 2).valid is None


def test_clips_of_several_sizes_are_one_batch() -> None:
    sizes = [(4, 8), (8, 4), (2, 2)]
    clips = [patchify(torch.randn(b, 3, 4, *size), 2) for b, size in zip((2, 1, 1), sizes, strict=True)]
    tokens, where = pad(clips, sizes, 2)
    assert tokens.shape == (4, 3, 8, 16) and where.places.shape == (4, 8, 2)
    assert where.valid is not None and where.valid.sum(1).tolist() == [8, 8, 8, 1]
    assert torch.equal(tokens[2:3], clips[1]) and torch.equal(tokens[3:, :, :1], clips[2])
    assert float(tokens[3, :, 1:].abs().max()) == 0
    assert torch.equal(where.places[0], places((4, 8), 2)) and torch.equal(where.places[2], places((8, 4), 2))
    assert pad(clips[:2], sizes[:2], 2)[1].valid is None  # as many tokens: nothing is padded


def test_latents_that_do_not_split_are_refused() -> None:
    with pytest.raises(ShapeError, match="3x4 cells do not split into patches of 2x2"):
        patchify(torch.zeros(1, 4, 3, 4), 2)
