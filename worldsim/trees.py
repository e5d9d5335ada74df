"""Trees of arrays: one form for actions of discrete, continuous and dict spaces, and for snapshots.

A tree is an array or scalar leaf, or a mapping from strings to trees. Actions are trees whose leaves share leading
axes: a single action has none, a trajectory has (T,), a batch for one model step has (B, n). Snapshots are trees whose
leaves may also be strings, None and lists of plain values.

Flattened keys join the path with "/" so a tree goes into an `.npz` without pickle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError

Tree: TypeAlias = Any  # NDArray | scalar | str | None | list | Mapping[str, "Tree"]; recursive aliases confuse mypy
ArrayTree: TypeAlias = Any  # Tree whose leaves are all arrays

_ROOT = "."  # the key of a tree that is a single leaf
_JSON = "@json"  # suffix of a leaf that is not an array


_PLAIN = (np.ndarray, np.generic, int, float, str)  # the usual leaves


def map_leaves(function: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Applies `function` to each leaf of `tree` (and the matching leaves of `rest`), keeping the structure."""
    if not isinstance(tree, _PLAIN) and isinstance(tree, Mapping):  # the first test is the fast one
        for other in rest:
            if not isinstance(other, Mapping) or other.keys() != tree.keys():
                raise ShapeError(f"trees differ: expected keys {sorted(tree)}, got {_describe(other)}")
        return {key: map_leaves(function, value, *(r[key] for r in rest)) for key, value in tree.items()}
    return function(tree, *rest)


def leaves(tree: Tree) -> Iterator[Any]:
    """Yields the leaves in key order."""
    if isinstance(tree, Mapping):
        for key in sorted(tree):
            yield from leaves(tree[key])
    else:
        yield tree


def stack(trees: Sequence[Tree], axis: int = 0) -> ArrayTree:
    """Stacks trees of equal structure along a new axis: n trees of leaf shape s give one of leaf shape (n, *s)."""
    if not trees:
        raise ShapeError("cannot stack no trees: expected at least one")
    if axis == 0:  # one call of numpy a leaf: actions are stacked at every step of a rollout
        return map_leaves(_array, trees[0], *trees[1:])
    return map_leaves(lambda *xs: np.stack([np.asarray(x) for x in xs], axis=axis), trees[0], *trees[1:])


def stack_grid(grid: Sequence[Sequence[Tree]]) -> ArrayTree:
    """Stacks B rows of n trees: leaf shape s gives (B, n, *s). One call of numpy a leaf."""
    shape = (len(grid), len(grid[0]))

    def join(*leaves: Any) -> NDArray[Any]:
        flat = _array(*leaves)
        return flat.reshape(shape + flat.shape[1:])

    first, *rest = (tree for row in grid for tree in row)
    return map_leaves(join, first, *rest)


def concatenate(trees: Sequence[ArrayTree], axis: int = 0) -> ArrayTree:
    """Joins trees of equal structure along an existing axis."""
    if not trees:
        raise ShapeError("cannot concatenate no trees: expected at least one")
    return map_leaves(lambda *xs: np.concatenate([np.asarray(x) for x in xs], axis=axis), trees[0], *trees[1:])


def index(tree: ArrayTree, key: Any) -> ArrayTree:
    """Indexes every leaf: `index(actions, t)` is the action at time t, `index(actions, slice(a, b))` a stretch."""
    return map_leaves(lambda x: np.asarray(x)[key], tree)


def length(tree: ArrayTree) -> int:
    """The shared first axis. Raises ShapeError when the leaves disagree."""
    sizes = {int(np.shape(leaf)[0]) if np.ndim(leaf) else -1 for leaf in leaves(tree)}
    if len(sizes) != 1 or -1 in sizes:
        raise ShapeError(f"leaves must share their first axis, got lengths {sorted(sizes)}")
    return sizes.pop()


def equal(a: Tree, b: Tree) -> bool:
    """Whether two trees have the same structure, dtypes and bytes (NaN equals NaN)."""
    if isinstance(a, Mapping) or isinstance(b, Mapping):
        return (
            isinstance(a, Mapping)
            and isinstance(b, Mapping)
            and set(a) == set(b)
            and all(equal(a[key], b[key]) for key in a)
        )
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        x, y = np.asarray(a), np.asarray(b)
        if x.shape != y.shape or x.dtype != y.dtype:
            return False
        return bool(np.array_equal(x, y, equal_nan=x.dtype.kind in "fc"))
    return bool(a == b)


def copy(tree: Tree) -> Tree:
    """A deep copy: arrays and lists are copied, other plain values are shared, for they are immutable."""
    return map_leaves(lambda x: x.copy() if isinstance(x, (np.ndarray, list)) else x, tree)


def flatten(tree: Tree, prefix: str = "") -> dict[str, NDArray[Any]]:
    """Flattens to `{path: array}` for `.npz`; plain leaves become JSON in a uint8 array. Inverse of `unflatten`."""
    out: dict[str, NDArray[Any]] = {}
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if not isinstance(key, str) or "/" in key or key in ("", _ROOT) or key.endswith(_JSON):
                raise ShapeError(f"tree keys must be plain strings without '/', got {key!r}")
            out |= flatten(value, f"{prefix}/{key}" if prefix else key)
        if not tree:
            out[f"{prefix or _ROOT}{_JSON}"] = np.frombuffer(b"{}", np.uint8)
        return out
    name = prefix or _ROOT
    if isinstance(tree, np.ndarray | np.generic):
        if np.asarray(tree).dtype.kind == "O":
            raise ShapeError(f"leaf {name!r} has dtype object: only plain arrays can be stored without pickle")
        out[name] = np.asarray(tree)
    else:
        try:
            text = json.dumps(tree, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ShapeError(f"leaf {name!r} of type {type(tree).__name__} cannot be stored: {error}") from error
        out[name + _JSON] = np.frombuffer(text.encode(), np.uint8)
    return out


def unflatten(flat: Mapping[str, NDArray[Any]]) -> Tree:
    """Inverse of `flatten`."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        leaf: Any = value
        if path.endswith(_JSON):
            path, leaf = path[: -len(_JSON)], json.loads(np.asarray(value).tobytes().decode())
        if path == _ROOT:
            return leaf
        *parents, last = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def _array(*leaves: Any) -> NDArray[Any]:
    try:
        return np.array(leaves)
    except ValueError as error:
        shapes = sorted({np.shape(leaf) for leaf in leaves})
        raise ShapeError(f"leaves that are stacked must have one shape, got {shapes}") from error


def _describe(tree: Tree) -> str:
    return f"keys {sorted(tree)}" if isinstance(tree, Mapping) else f"a leaf of shape {np.shape(tree)}"
