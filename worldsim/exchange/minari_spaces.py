"""Spaces as Minari writes them into `metadata.json`, to and from `worldsim.spaces` descriptions.

Minari keeps each space as a JSON text: {"type": "Box", "dtype", "shape", "low", "high"}, {"type": "Discrete", "n",
"start"}, "MultiDiscrete", "MultiBinary", {"type": "Dict", "subspaces": {...}}, "Tuple", "Text"
(minari/serialization.py, 0.5.4).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from worldsim.errors import StoreError


def to_minari(space: Mapping[str, Any]) -> dict[str, Any]:
    """A described action space as Minari's; names of actions and axes are left out."""
    kind = space["type"]
    if kind == "dict":
        return {"type": "Dict", "subspaces": {key: to_minari(inner) for key, inner in space["spaces"].items()}}
    if kind == "discrete":
        return {"type": "Discrete", "dtype": "int64", "start": space.get("start", 0), "n": space["n"]}
    if kind == "binary":
        shape = list(space["shape"])
        return {"type": "MultiBinary", "n": shape[0] if len(shape) == 1 else shape}
    if kind == "multidiscrete":
        start = space.get("start", np.zeros(np.shape(space["nvec"]), int).tolist())
        return {"type": "MultiDiscrete", "dtype": "int64", "nvec": space["nvec"], "start": start}
    shape = list(np.shape(space["low"]))
    return {"type": "Box", "dtype": space["dtype"], "shape": shape, "low": space["low"], "high": space["high"]}


def frames_space(size: tuple[int, int]) -> dict[str, Any]:
    """Minari's space of (H, W, 3) uint8 frames."""
    shape = [*size, 3]
    low, high = np.zeros(shape, int).tolist(), np.full(shape, 255).tolist()
    return {"type": "Box", "dtype": "uint8", "shape": shape, "low": low, "high": high}


def load(text: Any, where: str) -> dict[str, Any]:
    """The space in a field of `metadata.json`. Raises StoreError naming the field."""
    try:
        plain = json.loads(text)
        if not isinstance(plain, dict) or "type" not in plain:
            raise ValueError("no type")
    except (TypeError, ValueError) as error:
        raise StoreError(f"{where}: must be a space as JSON text, got {str(text)[:60]!r} ({error})") from error
    return plain


def to_description(space: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Minari's action space as a description of ours; bounds may be infinite.

    Raises:
        StoreError: For Tuple, Text and unknown spaces, or one without a field.
    """
    kind = space.get("type")
    try:
        if kind == "Dict":
            inner = {k: to_description(v, f"{where}/{k}") for k, v in sorted(space["subspaces"].items())}
            return {"type": "dict", "spaces": inner}
        if kind == "Discrete":
            return {"type": "discrete", "n": int(space["n"]), "start": int(space.get("start", 0))}
        if kind == "MultiBinary":
            n = space["n"]
            return {"type": "binary", "shape": [n] if isinstance(n, int) else list(n)}
        if kind == "MultiDiscrete":
            start = {"start": space["start"]} if np.any(space.get("start", 0)) else {}
            return {"type": "multidiscrete", "nvec": space["nvec"], **start}
        if kind == "Box":
            return {"type": "box", "low": space["low"], "high": space["high"], "dtype": space["dtype"]}
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{where}: a field of the {kind} space is missing or wrong ({error!r})") from error
    raise StoreError(
        f"{where}: a dataset of ours holds no actions of a {kind} space; it holds Box, Discrete, MultiBinary, "
        "MultiDiscrete and Dict of these"
    )


def pictures(space: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    """(path, shape) of each observation that can be a picture: (H, W, 3), (H, W, 1) or (H, W) uint8."""
    if space.get("type") == "Dict":
        for key, inner in space["subspaces"].items():
            yield from pictures(inner, (*path, key))
    elif space.get("type") == "Tuple":
        for i, inner in enumerate(space["subspaces"]):
            yield from pictures(inner, (*path, str(i)))
    elif space.get("type") == "Box" and space.get("dtype") == "uint8":
        shape = tuple(space["shape"])
        if (len(shape) == 3 and shape[2] in (1, 3)) or (len(shape) == 2 and min(shape) > 3):
            yield path, shape


def leaves(space: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """All leaves of a space in words: "image: Box (64, 64, 3) uint8"."""
    inner = space.get("subspaces")
    if inner is None:
        shape = tuple(space.get("shape", ()))
        yield f"{'/'.join(path) or '.'}: {space.get('type')} {shape} {space.get('dtype', '')}".rstrip()
        return
    for key, value in inner.items() if isinstance(inner, Mapping) else enumerate(inner):
        yield from leaves(value, (*path, str(key)))
