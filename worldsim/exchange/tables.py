"""Actions as text, a step a line: JSON or comma-separated values. Errors name the file, the line and the field."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.errors import StoreError
from worldsim.trees import ArrayTree

#: What a line may say beside the action.
WORDS = ("step", "reward", "terminated", "caption")


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of each line; empty lines are left out. Raises StoreError."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    plain = json.loads(line)
                except ValueError as error:
                    raise StoreError(f"{path}:{number}: is not JSON ({error})") from error
                if not isinstance(plain, dict):
                    raise StoreError(f"{path}:{number}: must be an object, got {type(plain).__name__}")
                yield number, plain
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def read_csv(path: Path, *, vector: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """The same for a table with a head: what is no word of `WORDS` is the action; a/b and a.0 are its parts.

    Args:
        path: The table.
        vector: Leave the action as a list of the numbers, in the order of the columns.

    Raises:
        StoreError: If a cell is no number, or a row has too many or too few.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            head = next(rows, [])
            if len(set(head)) < len(head) or not head:
                raise StoreError(f"{path}:1: must name each column once, got {head}")
            for cells in rows:
                if len(cells) != len(head):
                    raise StoreError(f"{path}:{rows.line_num}: expected {len(head)} cells, got {len(cells)}")
                yield rows.line_num, _row(path, rows.line_num, dict(zip(head, cells, strict=True)), vector)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def _row(path: Path, line: int, cells: Mapping[str, str], vector: bool) -> dict[str, Any]:
    out: dict[str, Any] = {}
    flat: dict[str, Any] = {}
    for name, text in cells.items():
        if name == "caption":
            out[name] = text
        elif name == "terminated":
            if text not in ("", "0", "1", "true", "false", "True", "False"):
                raise StoreError(f"{path}:{line}: terminated: must be 0 or 1, got {text!r}")
            out[name] = text in ("1", "true", "True")
        elif text:
            try:
                value = int(text) if text.lstrip("-").isdigit() else float(text)
            except ValueError as error:
                raise StoreError(f"{path}:{line}: {name}: must be a number, got {text!r}") from error
            (out if name in WORDS else flat)[name] = value
    if flat:
        out["action"] = list(flat.values()) if vector else _gathered(flat)
    return out


def _gathered(flat: Mapping[str, Any]) -> Any:
    """{"camera.0": 1, "camera.1": 2, "use": 0} -> {"camera": [1, 2], "use": 0}; "action.0", ... alone -> a list."""
    parts: dict[str, Any] = {}
    for name, value in flat.items():
        stem, dot, index = name.rpartition(".")
        if dot and index.isdigit() and int(index) == len(parts.get(stem, ())) and stem not in flat:
            parts.setdefault(stem, []).append(value)
        else:
            parts[name] = value
    if set(parts) == {"action"}:
        return parts["action"]
    return trees.unflatten(parts)


def numbers(plain: Any, where: str) -> ArrayTree:
    """A tree of numbers as arrays: bool and whole numbers as int64, others as float64. Raises StoreError."""
    if isinstance(plain, Mapping):
        return {str(key): numbers(value, f"{where}/{key}") for key, value in plain.items()}
    try:
        array = np.asarray(plain)
    except ValueError as error:
        raise StoreError(f"{where}: must be numbers in equal rows ({error})") from error
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise StoreError(f"{where}: must be finite numbers, got {str(plain)[:60]}")
    return array.astype(np.int64 if array.dtype.kind in "biu" else np.float64)


def stacked(actions: Sequence[ArrayTree], lines: Sequence[int], path: Path) -> ArrayTree:
    """Single actions as one tree; one that has another structure than the first is named with its line."""
    first = {k: v.shape for k, v in trees.flatten(actions[0]).items()}
    for action, line in zip(actions, lines, strict=True):
        own = {k: v.shape for k, v in trees.flatten(action).items()}
        if own != first:
            odd = sorted(set(own.items()) ^ set(first.items()))[0][0]
            raise StoreError(f"{path}:{line}: action/{odd}: has not the form of the first line's ({own.get(odd)})")
    return trees.stack(actions)


def space_of(low: Mapping[str, Any], high: Mapping[str, Any], whole: Mapping[str, bool]) -> dict[str, Any]:
    """An action space from the values that were seen: whole numbers from 0 up are Discrete, others a Box.

    Args:
        low: Path -> lowest values, in the shape of the leaf.
        high: The highest.
        whole: Path -> whether all values were whole numbers.
    """
    leaves: dict[str, Any] = {}
    for path in low:
        lowest, highest = np.asarray(low[path]), np.asarray(high[path])
        if whole[path] and lowest.shape == () and lowest >= 0:
            leaves[path] = {"type": "discrete", "n": max(2, int(highest) + 1), "start": 0}
        else:
            dtype = "int64" if whole[path] else "float64"
            leaves[path] = {"type": "box", "low": lowest.tolist(), "high": highest.tolist(), "dtype": dtype}
    if set(leaves) == {"."}:
        return dict(leaves["."])
    root: dict[str, Any] = {"type": "dict", "spaces": {}}
    for path, leaf in sorted(leaves.items()):
        node, *parts = root, *path.split("/")
        for part in parts[:-1]:
            node = node["spaces"].setdefault(part, {"type": "dict", "spaces": {}})
        node["spaces"][parts[-1]] = leaf
    return root
