"""Bounds of actions that a format does not know, found by looking at all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.errors import StoreError
from worldsim.trees import ArrayTree


def bounded(
    space: Mapping[str, Any], actions: Callable[[], Iterable[ArrayTree]]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A space with finite bounds: where a Box has none, the lowest and highest values that were recorded.

    Args:
        space: As `worldsim.spaces.describe` gives it, bounds possibly infinite.
        actions: All actions, an episode at a time; asked for only if there is an infinite bound.

    Returns:
        The space, and a sentence for each leaf whose bounds were measured.
    """
    boxes = {path: box for path, box in _boxes(space, "") if not _finite(box)}
    if not boxes:
        return dict(space), ()
    low: dict[str, NDArray[Any]] = {}
    high: dict[str, NDArray[Any]] = {}
    for tree in actions():
        flat = trees.flatten(tree)
        for path in boxes:
            values = np.asarray(flat[path])
            low[path] = np.minimum(low.get(path, values.min(0)), values.min(0))
            high[path] = np.maximum(high.get(path, values.max(0)), values.max(0))
    for path, values in low.items():
        if not (np.isfinite(values).all() and np.isfinite(high[path]).all()):
            raise StoreError(f"actions: {path}: holds NaN or infinite values")
    said = [f"actions: {p}: the bounds are those of the recorded values, for none are known" for p in boxes]
    return _filled(space, "", low, high), tuple(said)


def _boxes(space: Mapping[str, Any], path: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if space["type"] == "dict":
        for key, inner in space["spaces"].items():
            yield from _boxes(inner, f"{path}/{key}" if path else key)
    elif space["type"] == "box":
        yield path or ".", space


def _finite(box: Mapping[str, Any]) -> bool:
    return bool(np.isfinite(np.asarray(box["low"], float)).all() and np.isfinite(np.asarray(box["high"], float)).all())


def _filled(
    space: Mapping[str, Any], path: str, low: Mapping[str, NDArray[Any]], high: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    if space["type"] == "dict":
        inner = {k: _filled(v, f"{path}/{k}" if path else k, low, high) for k, v in space["spaces"].items()}
        return {**space, "spaces": inner}
    key = path or "."
    if key not in low:
        return dict(space)
    own_low, own_high = np.asarray(space["low"], float), np.asarray(space["high"], float)
    return {
        **space,
        "low": np.where(np.isfinite(own_low), own_low, low[key]).tolist(),
        "high": np.where(np.isfinite(own_high), own_high, high[key]).tolist(),
    }
