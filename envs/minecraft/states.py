"""Snapshots between the bridge's JSON and a tree of plain values and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldsim.errors import ContractError

_KEYS = (
    *("version", "preset", "seed", "survival", "wander", "tick", "random"),
    *("agent", "items", "creatures", "cells", "changed"),
)
_AGENT = ("body", "flags", "jump", "slot", "waits", "dig", "events")
_CREATURE = ("kind", "coat", "exists", "health", "x", "y", "z", "yaw", "wander", "random", "home", "goal", "rest")


def from_bridge(state: Mapping[str, Any]) -> dict[str, Any]:
    """A snapshot as a tree; `cells` become (N, 4) int32 and the body (8,) float64, so that they compare by value."""
    agent = {**state["agent"], "body": np.array(state["agent"]["body"], np.float64)}
    cells = np.array(state["cells"], np.int32).reshape(-1, 4)
    return {**state, "agent": agent, "cells": cells}


def to_bridge(tree: Any) -> dict[str, Any]:
    """Inverse of `from_bridge`, for a tree that may have been stored.

    Raises:
        ContractError: If it is not a snapshot of this environment.
    """
    state = plain(tree)
    problem = _problem(state)
    if problem:
        raise ContractError(
            f"expected a snapshot of worldsim/Minecraft-v0, {problem}. Take snapshots with env.snapshot()."
        )
    assert isinstance(state, dict)
    return state


def _problem(state: Any) -> str:
    if not isinstance(state, dict) or set(state) != set(_KEYS):
        got = sorted(state) if isinstance(state, dict) else type(state).__name__
        return f"got a tree with {got}"
    if not isinstance(state["agent"], dict) or set(state["agent"]) != set(_AGENT):
        return "its agent is incomplete"
    if np.shape(state["agent"]["body"]) != (8,) or not np.isfinite(state["agent"]["body"]).all():
        return f"its body is {state['agent']['body']}, not 8 numbers"
    if not all(isinstance(row, list) and len(row) == 4 for row in state["cells"]):
        return "its cells are not rows of x, y, z and state"
    if not all(isinstance(row, dict) and set(row) == set(_CREATURE) for row in state["creatures"]):
        return "a creature is incomplete"
    return ""


def plain(value: Any) -> Any:
    """The same tree with lists for arrays and tuples, and Python's numbers for NumPy's."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.item() if isinstance(value, np.generic) else value
