"""Actions of any space as one vector of named numbers, and back: what LeRobot and tables of numbers can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.errors import ConfigError
from worldsim.trees import ArrayTree

_WHOLE = {"float32": 2**24, "float64": 2**53}  # every whole number up to here is exact


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One leaf of an action: its path ("." = the action is one array), shape and dtype."""

    path: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where each leaf lies in the vector.

    Attributes:
        leaves: In the order of the vector.
        names: One for each number: the path, with the index where a leaf has several ("camera.0").
        dtype: float32 where that holds every value, else float64.
    """

    leaves: tuple[Leaf, ...]
    names: tuple[str, ...]
    dtype: str

    def vectors(self, actions: ArrayTree) -> NDArray[Any]:
        """(T, n) of actions with leaves (T, ...)."""
        flat = trees.flatten(actions)
        parts = [np.asarray(flat[leaf.path]).reshape(len(flat[leaf.path]), -1) for leaf in self.leaves]
        return np.concatenate([part.astype(self.dtype) for part in parts], axis=1)

    def actions(self, vectors: NDArray[Any]) -> ArrayTree:
        """Inverse of `vectors`."""
        flat, start = {}, 0
        for leaf in self.leaves:
            stop = start + int(np.prod(leaf.shape))
            flat[leaf.path] = vectors[:, start:stop].astype(leaf.dtype).reshape(len(vectors), *leaf.shape)
            start = stop
        return trees.unflatten(flat)


def layout(space: Mapping[str, Any], dtypes: Mapping[str, str]) -> Layout:
    """The vector of an action space.

    Args:
        space: `worldsim.spaces.describe` of it.
        dtypes: Path -> dtype of the leaves as recorded; the space's own where it is not named.

    Raises:
        ConfigError: If a leaf holds whole numbers that no float holds exactly.
    """
    leaves = tuple(_leaves(space, "", dtypes))
    wide = any(leaf.dtype == "float64" for leaf in leaves) or _largest(space) > _WHOLE["float32"]
    if (largest := _largest(space)) > _WHOLE["float64"]:
        raise ConfigError(f"an action with whole numbers up to {largest} cannot be written as a vector of floats")
    names = [name for leaf in leaves for name in _names(leaf, space)]
    return Layout(leaves=leaves, names=tuple(names), dtype="float64" if wide else "float32")


def space_dtypes(actions: ArrayTree) -> dict[str, str]:
    """Path -> dtype of the leaves of actions."""
    return {path: np.asarray(leaf).dtype.name for path, leaf in trees.flatten(actions).items()}


def _leaves(space: Mapping[str, Any], path: str, dtypes: Mapping[str, str]) -> Iterator[Leaf]:
    if space["type"] == "dict":
        for key in sorted(space["spaces"]):
            yield from _leaves(space["spaces"][key], f"{path}/{key}" if path else key, dtypes)
        return
    own = {"discrete": "int64", "binary": "int8", "multidiscrete": "int64"}.get(space["type"])
    dtype = dtypes.get(path or ".", own or space["dtype"])
    yield Leaf(path=path or ".", shape=_shape(space), dtype=dtype)


def _shape(space: Mapping[str, Any]) -> tuple[int, ...]:
    kind = space["type"]
    if kind == "discrete":
        return ()
    shape = space["shape"] if kind == "binary" else np.shape(space["nvec" if kind == "multidiscrete" else "low"])
    return tuple(int(n) for n in shape)


def _names(leaf: Leaf, space: Mapping[str, Any]) -> list[str]:
    stem = "action" if leaf.path == "." else leaf.path
    if not leaf.shape:
        return [stem]
    if leaf.path == "." and "names" in space and len(space["names"]) == int(np.prod(leaf.shape)):
        return list(space["names"])
    return [f"{stem}.{i}" for i in range(int(np.prod(leaf.shape)))]


def _largest(space: Mapping[str, Any]) -> int:
    """The largest whole number that an action can hold; 0 for floats."""
    kind = space["type"]
    if kind == "dict":
        return max(map(_largest, space["spaces"].values()), default=0)
    if kind == "discrete":
        return max(abs(int(space["start"])), abs(int(space["start"]) + int(space["n"]) - 1))
    if kind == "multidiscrete":
        high = np.asarray(space.get("start", 0)) + np.asarray(space["nvec"]) - 1
        return int(max(np.abs(high).max(), np.abs(np.asarray(space.get("start", 0))).max()))
    if kind == "box" and np.dtype(space["dtype"]).kind in "iu":
        return int(max(np.abs(np.asarray(space["low"], object)).max(), np.abs(np.asarray(space["high"], object)).max()))
    return 1 if kind == "binary" else 0
