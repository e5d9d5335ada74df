"""Actions of any space as features: one vector of numbers a frame.

Discrete parts become one-hot, binary parts 0 or 1, continuous parts themselves, over a scale that is measured on the
data, so that a turn of 5 degrees in a space of 360 is no rounding error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ConfigError, ShapeError, nearest
from worldsim.trees import ArrayTree


def count(space: Mapping[str, Any]) -> int:
    """A, the number of features of a space as `worldsim.spaces.describe` gives it."""
    return sum(width for _, _, width in _leaves(space, ()))


def names(space: Mapping[str, Any]) -> list[str]:
    """A name for each feature: "forward", "camera.0", ..."""
    out = []
    for path, _, width in _leaves(space, ()):
        name = ".".join(path) or "action"
        out += [name] if width == 1 else [f"{name}.{i}" for i in range(width)]
    return out


def features(actions: ArrayTree, space: Mapping[str, Any]) -> NDArray[np.float32]:
    """Features of actions whose leaves share their leading axes: (...) -> (..., A) float32, not yet scaled.

    Raises:
        ShapeError: If the actions are not of the space.
    """
    parts = []
    lead: tuple[int, ...] | None = None
    for path, leaf, width in _leaves(space, ()):
        value = np.asarray(_find(actions, path))
        own = _own_shape(leaf)
        n = value.ndim - len(own)
        if n < 0 or value.shape[n:] != own:
            raise ShapeError(f"action {_name(path)} must end in {own} for {leaf['type']}, got {value.shape}")
        if lead is not None and value.shape[:n] != lead:
            raise ShapeError(f"all parts of an action must share their leading axes {lead}, got {value.shape[:n]}")
        lead = value.shape[:n]
        parts.append(_encode(value, leaf, path).reshape(*lead, width))
    return np.concatenate(parts, axis=-1, dtype=np.float32)


def scale(values: NDArray[np.float32]) -> tuple[float, ...]:
    """The scale of each feature, from (..., A) data: the RMS of continuous ones where they are not 0, else 1."""
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    out = []
    for column in flat.T:
        used = column[column != 0]
        plain = len(used) == 0 or np.isin(column, (0.0, 1.0)).all()
        out.append(1.0 if plain else float(np.sqrt(np.mean(used**2))))
    return tuple(out)


def _encode(value: NDArray[Any], leaf: Mapping[str, Any], path: tuple[str, ...]) -> NDArray[np.float32]:
    kind = leaf["type"]
    if kind == "discrete":
        index = value.astype(np.int64) - int(leaf.get("start", 0))
        n = int(leaf["n"])
        _inside(value, index, n, path)
        if n == 2:
            return index[..., None].astype(np.float32)
        return np.asarray(index[..., None] == np.arange(n), np.float32)
    if kind == "multidiscrete":
        nvec = np.asarray(leaf["nvec"])
        index = (value - np.asarray(leaf.get("start", 0))).astype(np.int64)
        _inside(value, index, nvec, path)
        flat = index.reshape(*index.shape[: index.ndim - nvec.ndim], -1)
        parts = [(flat[..., i, None] == np.arange(n)).astype(np.float32) for i, n in enumerate(nvec.ravel())]
        return np.concatenate(parts, axis=-1)
    out = value.astype(np.float32)
    if not np.isfinite(out).all() or (kind == "binary" and not np.isin(out, (0, 1)).all()):
        expected = "0 or 1" if kind == "binary" else "finite numbers"
        raise ShapeError(f"action {_name(path)} must be {expected}, got {value.min()}..{value.max()}")
    return out


def _inside(value: NDArray[Any], index: NDArray[np.int64], n: Any, path: tuple[str, ...]) -> None:
    """Raises ShapeError unless 0 <= `index` < `n`; `value` is what the caller gave."""
    if (index < 0).any() or (index >= n).any():
        start = np.min(value - index) if value.size else 0
        raise ShapeError(
            f"action {_name(path)} must be {start}..{start + np.max(n) - 1}, got {value.min()}..{value.max()}"
        )


def _name(path: tuple[str, ...]) -> str:
    return "/".join(path) or "(single)"


def _leaves(
    space: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any], int]]:
    """Path, description and number of features of each part, in the order of their names."""
    kind = space.get("type")
    if kind == "dict":
        for key in sorted(space["spaces"]):
            yield from _leaves(space["spaces"][key], (*path, key))
    elif kind == "discrete":
        yield path, space, 1 if int(space["n"]) == 2 else int(space["n"])
    elif kind == "multidiscrete":
        yield path, space, int(np.sum(space["nvec"]))
    elif kind == "binary":
        yield path, space, int(np.prod(space["shape"]))
    elif kind == "box":
        yield path, space, int(np.size(space["low"]))
    else:
        raise ConfigError(f"not the description of an action space: {dict(space)!r}")


def _own_shape(leaf: Mapping[str, Any]) -> tuple[int, ...]:
    kind = leaf["type"]
    if kind == "discrete":
        return ()
    if kind == "binary":
        return tuple(leaf["shape"])
    return tuple(np.shape(leaf["nvec" if kind == "multidiscrete" else "low"]))


def _find(actions: ArrayTree, path: tuple[str, ...]) -> Any:
    node = actions
    for key in path:
        if not isinstance(node, Mapping) or key not in node:
            known = list(node) if isinstance(node, Mapping) else []
            raise ShapeError(
                f"the model's actions have a part {'/'.join(path)!r}, these have not.{nearest(key, map(str, known))} "
                f"Got {sorted(map(str, known)) or 'a single array'}."
            )
        node = node[key]
    return node
