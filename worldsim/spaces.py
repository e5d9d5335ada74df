"""Gymnasium action spaces as plain values, so that a dataset or a checkpoint says which actions it was made with.

`describe` and `build` are inverse to each other. A description holds no object of Gymnasium and goes into JSON:

    {"type": "discrete", "n": 4, "start": 0}                               "names": [...] where the actions have names
    {"type": "binary", "shape": [3]}
    {"type": "multidiscrete", "nvec": [2, 3]}                              "start": [...] where it is not 0
    {"type": "box", "low": [-1.0], "high": [1.0], "dtype": "float32"}      "names": [...] where the axes have names
    {"type": "dict", "spaces": {name: description, ...}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ConfigError
from worldsim.trees import ArrayTree


class NamedDiscrete(gym.spaces.Discrete):
    """A Discrete space whose actions have names; equal only to a space with the same names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(len(names))
        self.names = names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedDiscrete) and other.names == self.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"NamedDiscrete({', '.join(self.names)})"


class NamedBox(gym.spaces.Box):
    """A Box (-1..1) float32 vector whose axes have names; equal only to a space with the same names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(-1.0, 1.0, (len(names),), np.float32)
        self.names = names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedBox) and other.names == self.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"NamedBox({', '.join(self.names)})"


def describe(space: gym.Space[Any]) -> dict[str, Any]:
    """A Discrete, MultiBinary, MultiDiscrete, Box or Dict space as plain values.

    Raises:
        ConfigError: For other spaces, a Box without bounds or elements, or a Dict with keys that name no file member.
    """
    named = {"names": list(space.names)} if isinstance(space, NamedDiscrete | NamedBox) else {}
    if isinstance(space, gym.spaces.Discrete):
        return {"type": "discrete", "n": int(space.n), "start": int(space.start), **named}
    if isinstance(space, gym.spaces.MultiBinary):
        return {"type": "binary", "shape": [int(n) for n in space.shape]}
    if isinstance(space, gym.spaces.MultiDiscrete):
        start = {"start": np.asarray(space.start).tolist()} if np.any(space.start) else {}
        return {"type": "multidiscrete", "nvec": np.asarray(space.nvec).tolist(), **start}
    if isinstance(space, gym.spaces.Box):
        return _describe_box(space) | named
    if isinstance(space, gym.spaces.Dict):
        for key in space.spaces:
            if not isinstance(key, str) or "/" in key or key in ("", ".") or key.endswith("@json"):
                raise ConfigError(f"a Dict of actions needs plain names without '/' as its keys, got {key!r}")
        return {"type": "dict", "spaces": {k: describe(v) for k, v in sorted(space.spaces.items())}}
    raise ConfigError(f"actions must be Discrete, MultiBinary, MultiDiscrete, Box or a Dict of these, got {space}")


def _describe_box(space: gym.spaces.Box) -> dict[str, Any]:
    low, high = np.asarray(space.low), np.asarray(space.high)
    if not np.isfinite(low).all() or not np.isfinite(high).all():
        raise ConfigError(f"a Box of actions must have finite bounds, got {space}; wrap it with RescaleAction")
    if not low.size:
        raise ConfigError(f"a Box of actions must have elements, got {space}")
    return {"type": "box", "low": low.tolist(), "high": high.tolist(), "dtype": low.dtype.name}


def build(plain: Mapping[str, Any]) -> gym.Space[Any]:
    """The space behind a description. Raises ConfigError if it is none."""
    try:
        return _build(plain)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise ConfigError(f"not the description of an action space ({error!r}): {plain!r}") from error


def _build(plain: Mapping[str, Any]) -> gym.Space[Any]:
    kind = plain["type"]
    if kind == "discrete" and "names" in plain:
        return NamedDiscrete(tuple(plain["names"]))
    if kind == "discrete":
        return gym.spaces.Discrete(int(plain["n"]), start=int(plain.get("start", 0)))
    if kind == "binary":
        shape = [int(n) for n in plain["shape"]]
        return gym.spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)
    if kind == "multidiscrete":
        return gym.spaces.MultiDiscrete(plain["nvec"], start=plain.get("start"))
    if kind == "box" and "names" in plain:
        return NamedBox(tuple(plain["names"]))
    if kind == "box":
        dtype = np.dtype(plain["dtype"]).type
        return gym.spaces.Box(np.asarray(plain["low"], dtype), np.asarray(plain["high"], dtype), dtype=dtype)
    if kind == "dict":
        return gym.spaces.Dict({k: _build(v) for k, v in plain["spaces"].items()})
    raise ValueError(f"type is {kind!r}")


def misfits(plain: Mapping[str, Any], actions: ArrayTree, *, lead: int = 2, name: str = "actions") -> Iterator[str]:
    """What is wrong with many actions at once: a sentence for each leaf that does not lie in the space.

    Args:
        plain: Description of the space.
        actions: Tree whose leaves have `lead` axes in front of the space's own, (E, T, ...).
        lead: How many axes come first.
        name: What the sentences call the tree.
    """
    if plain["type"] == "dict":
        inner = plain["spaces"]
        if not isinstance(actions, Mapping) or set(actions) != set(inner):
            got = sorted(actions) if isinstance(actions, Mapping) else "an array"
            yield f"{name}: expected the keys {sorted(inner)}, got {got}"
            return
        for key in sorted(inner):
            yield from misfits(inner[key], actions[key], lead=lead, name=f"{name}/{key}")
        return
    if isinstance(actions, Mapping):
        yield f"{name}: expected an array, got the keys {sorted(actions)}"
        return
    values = np.asarray(actions)
    low, high, dtype = _range(plain)
    if values.shape[lead:] != low.shape:
        yield f"{name}: one action must have the shape {low.shape}, got {values.shape[lead:]}"
    elif values.dtype.kind not in ("biu" if dtype.kind in "biu" else "biuf"):
        yield f"{name}: expected values like {dtype.name}, got {values.dtype.name}"
    elif not np.all(fits := (values >= low) & (values <= high)):  # NaN fits nowhere
        place = tuple(int(i) for i in np.argwhere(~fits)[0])
        allowed = f"{low[place[lead:]]}..{high[place[lead:]]}"
        yield f"{name}: {np.count_nonzero(~fits)} values outside the space; {values[place]} at {place}, not {allowed}"


def _range(plain: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any], np.dtype[Any]]:
    """Lowest and highest value of each element, both included, and the dtype of a space that is no Dict."""
    kind = plain["type"]
    if kind == "box":
        dtype = np.dtype(plain["dtype"])
        return np.asarray(plain["low"], dtype), np.asarray(plain["high"], dtype), dtype
    integers = np.dtype(np.int64)
    if kind == "binary":
        zeros = np.zeros(plain["shape"], integers)
        return zeros, zeros + 1, integers
    count = np.asarray(plain["n"] if kind == "discrete" else plain["nvec"], integers)
    start = np.broadcast_to(np.asarray(plain.get("start", 0), integers), count.shape)
    return start, start + count - 1, integers
