"""The state of a Doom world as plain values: its seed, what was done, and what was changed when.

The engine is a function of these, so that playing them again is as exact as a saved game, and far simpler.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.doom.camera import MAX_PITCH
from worldsim.envs.doom.layout import PRESETS
from worldsim.errors import ConfigError, ShapeError

WALK: Final = 25.0  # the engine's forward speed at a walk: 0.2 m a step
_SNEAK, _SPRINT = 8.0, 33.0  # 0.064 m and 0.264 m a step

#: What is done in one step: forward, right (the engine's units), use, attack (0 or 1), pitch, yaw (degrees).
Row = NDArray[np.float32]
COLUMNS: Final = 6

_FORMAT: Final = 1  # of snapshots
_CHANGES: Final[Mapping[str, tuple[str, ...]]] = {
    "remove": ("id",),
    "spawn": ("id", "kind", "x", "z"),
    "move": ("id", "x", "z"),
    "door": ("tag", "value"),
    "gate": ("tag", "value"),
    "switch": ("index", "value"),
    "pose": ("x", "z", "yaw", "pitch"),
}


@dataclass(kw_only=True)
class History:
    """Everything that decides the state.

    Attributes:
        preset: Of the layout.
        seed: Of the layout and of the game's random numbers.
        rows: What was done, a row a step.
        changes: Changes by edits, as plain values: {"at": step, "do": a name of `_CHANGES`, ...}, in order.
    """

    preset: str
    seed: int
    rows: list[Row] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)

    def at(self, step: int) -> list[dict[str, Any]]:
        """The changes made in the last tic of a step; step 0 is the start."""
        return [change for change in self.changes if change["at"] == step]

    def to_tree(self) -> dict[str, Any]:
        """As a tree of plain values."""
        rows = np.stack(self.rows) if self.rows else np.zeros((0, COLUMNS), np.float32)
        changes = json.dumps(self.changes, sort_keys=True)
        return {"format": _FORMAT, "preset": self.preset, "seed": self.seed, "rows": rows, "changes": changes}

    @staticmethod
    def from_tree(tree: Any) -> History:
        """The inverse of `to_tree`.

        Raises:
            ConfigError: If the tree is not a snapshot of this environment, or damaged.
        """
        keys = {"format", "preset", "seed", "rows", "changes"}
        if not isinstance(tree, Mapping) or set(tree) != keys:
            got = sorted(tree) if isinstance(tree, Mapping) else type(tree).__name__
            raise ConfigError(f"a snapshot of Doom has the keys {sorted(keys)}, got {got}")
        if int(tree["format"]) != _FORMAT or str(tree["preset"]) not in PRESETS:
            raise ConfigError(
                f"expected a snapshot of format {_FORMAT} and preset {' or '.join(PRESETS)}, got format "
                f"{tree['format']} and preset {tree['preset']!r}"
            )
        rows = np.asarray(tree["rows"])
        if rows.ndim != 2 or rows.shape[1] != COLUMNS or rows.dtype != np.float32 or not np.isfinite(rows).all():
            raise ConfigError(
                f"the rows of a snapshot are finite float32 (T, {COLUMNS}), got {rows.dtype} {rows.shape}: damaged"
            )
        changes = _read_changes(str(tree["changes"]), len(rows))
        return History(
            preset=str(tree["preset"]), seed=int(tree["seed"]), rows=[row.copy() for row in rows], changes=changes
        )


def _read_changes(text: str, steps: int) -> list[dict[str, Any]]:
    try:
        changes = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the changes of a snapshot are not JSON ({error}): it is damaged") from error
    if not isinstance(changes, list):
        raise ConfigError(f"the changes of a snapshot are a list, got {type(changes).__name__}: it is damaged")
    for change in changes:
        kind = str(change.get("do")) if isinstance(change, dict) else ""
        if kind not in _CHANGES or set(change) != {"at", "do", *_CHANGES[kind]} or not 0 <= change["at"] <= steps:
            raise ConfigError(f"a snapshot of {steps} steps holds the change {change!r}: it is damaged")
    return changes


def read_action(action: Any) -> Row:
    """One row from an action of `worldsim.envs.actions.minerl_space`.

    Doom has no jump, no hotbar and nothing to drop: those keys are accepted and do nothing.

    Raises:
        ShapeError: If it is not such an action.
    """
    try:
        camera = np.asarray(action["camera"], np.float32)
        held = {
            key: int(action[key]) for key in ("forward", "back", "left", "right", "sneak", "sprint", "use", "attack")
        }
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ShapeError(f"an action of Doom is a Dict with MineRL's names, got {action!r} ({error})") from error
    if camera.shape != (2,) or not np.isfinite(camera).all():
        raise ShapeError(f"camera must be 2 finite degrees (pitch, yaw), got {camera!r}")
    speed = _SNEAK if held["sneak"] else _SPRINT if held["sprint"] else WALK
    ahead, aside = held["forward"] - held["back"], held["right"] - held["left"]
    return np.array([speed * ahead, speed * aside, held["use"], held["attack"], *camera], np.float32)


@dataclass(frozen=True, kw_only=True)
class Head:
    """Where the camera looks: yaw and pitch in degrees; finer than the engine's own angles."""

    yaw: float
    pitch: float = 0.0

    def turned(self, row: Row) -> Head:
        """After the turn of a row; the pitch stays within `MAX_PITCH`."""
        pitch = max(-MAX_PITCH, min(MAX_PITCH, self.pitch + float(row[4])))
        return Head(yaw=math.remainder(self.yaw + float(row[5]), 360.0), pitch=pitch)
