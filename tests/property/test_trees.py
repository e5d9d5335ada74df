"""Trees of arrays: what goes into an .npz comes out of it, and stacking is the inverse of indexing."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worldsim import trees
from worldsim.errors import ShapeError

KEYS = st.text("abcxyz.-_0", min_size=1, max_size=4).filter(lambda k: k != ".")
ARRAYS = hnp.arrays(
    dtype=st.sampled_from([np.uint8, np.int64, np.float32, np.float64, np.bool_]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    elements={"allow_nan": False},
)
PLAIN = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.lists(st.integers(0, 9), max_size=3)
TREES = st.recursive(ARRAYS | PLAIN, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)


@given(TREES)
def test_npz_and_back(tree: Any) -> None:
    file = io.BytesIO()
    np.savez(file, **{f"k{i}": value for i, value in enumerate(trees.flatten(tree).values())})
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        flat = {name: stored[f"k{i}"] for i, name in enumerate(trees.flatten(tree))}
    assert trees.equal(trees.unflatten(flat), tree)


@given(TREES)
def test_a_copy_is_equal_and_apart(tree: Any) -> None:
    twin = trees.copy(tree)
    assert trees.equal(twin, tree)
    for a, b in zip(trees.leaves(tree), trees.leaves(twin), strict=True):
        assert not (isinstance(a, np.ndarray) and a.size and np.shares_memory(a, b))


ACTIONS = st.fixed_dictionaries(
    {"key": st.integers(0, 1).map(np.int64), "camera": hnp.arrays(np.float32, 2, elements={"allow_nan": False})}
)


@given(st.integers(1, 3), st.integers(1, 4), st.data())
def test_stacking_is_undone_by_indexing(rows: int, columns: int, data: st.DataObject) -> None:
    grid = [[data.draw(ACTIONS) for _ in range(columns)] for _ in range(rows)]
    stacked = trees.stack_grid(grid)
    assert trees.equal(stacked, trees.stack([trees.stack(row) for row in grid]))
    for i, row in enumerate(grid):
        for j, action in enumerate(row):
            assert trees.equal(trees.index(trees.index(stacked, i), j), trees.map_leaves(np.asarray, action))
    assert trees.length(stacked) == rows


def test_what_cannot_be_stored_is_refused() -> None:
    with pytest.raises(ShapeError, match="dtype object"):
        trees.flatten({"a": np.array([{}])})
    with pytest.raises(ShapeError, match="without '/'"):
        trees.flatten({"a/b": 1})
    with pytest.raises(ShapeError, match="cannot be stored"):
        trees.flatten({"a": object()})
    with pytest.raises(ShapeError, match="expected keys"):
        trees.stack([{"a": 1}, {"b": 1}])
    with pytest.raises(ShapeError, match="one shape"):
        trees.stack([np.zeros(2), np.zeros(3)])
    with pytest.raises(ShapeError, match="share their first axis"):
        trees.length({"a": np.zeros(2), "b": np.zeros(3)})
