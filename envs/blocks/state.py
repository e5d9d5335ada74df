"""The whole state of a world, in arrays that the compiled functions change in place, and as a tree of plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.kinds import CELL_NAMES, NAMES, cell_id
from worldsim.envs.blocks.physics import COLUMNS, FLAGS, SEED
from worldsim.envs.blocks.processes import LOG_ROOM, NATURE, QUEUE_ROOM, plant_all, set_cell
from worldsim.errors import ContractError
from worldsim.truth import CellChange, Event

#: What the nine slots of the hotbar hold; there is no end to it, as in Minecraft's creative mode.
HOTBAR: Final = (
    *("oak_planks", "cobblestone", "red_wool", "blue_wool", "yellow_wool"),
    *("glowstone", "glass", "dirt", "sand"),
)
_PLAIN: Final = (
    "cells",
    "tops",
    "body",
    "flags",
    "place",
    "rel",
    "table",
    "motion",
    "hotbar",
)  # arrays kept as they are


@dataclass(kw_only=True)
class World:
    """Everything that decides what comes next, and what the last step did.

    Attributes:
        preset: Its name; world_seed: what it was made from.
        hour: Time of day, 0..24.
        day: Hours that a step takes; 0 where time stands still.
        horizon: (height in metres, kind) of the plain or sea outside the grid.
        open: The dynamics are random: a creature, a crop. Else the dynamics seed is that of the world.
        cells: (X, Z, Y) uint8 kinds; tops: (X, Z) uint8, see `kinds.column_tops`.
        body: (8,) float64 x y z (feet) vx vy vz yaw pitch: metres, metres a step, degrees.
        flags: (FLAGS,) int64, see `physics`.
        place: (N, 3) float64 base centres; rel: (N, 6) float64 boxes around them, metres; row i is instance i + 1.
        table: (N, COLUMNS) int64; motion: (N, 3) float64, see `physics`.
        queue, counts, log: See `processes`.
        hotbar: (9,) uint8 kinds.
        task: State of the task, plain values.
        events: What happened in the last step.
    """

    preset: str
    world_seed: int
    hour: float
    day: float
    horizon: tuple[float, int]
    open: bool
    cells: NDArray[np.uint8]
    tops: NDArray[np.uint8]
    body: NDArray[np.float64]
    flags: NDArray[np.int64] = field(default_factory=lambda: np.zeros(FLAGS, np.int64))
    place: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    rel: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 6)))
    table: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, COLUMNS), np.int64))
    motion: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    queue: NDArray[np.int32] = field(default_factory=lambda: np.zeros((QUEUE_ROOM, 5), np.int32))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    log: NDArray[np.int32] = field(default_factory=lambda: np.zeros((LOG_ROOM, 5), np.int32))
    hotbar: NDArray[np.uint8] = field(default_factory=lambda: np.array([cell_id(n) for n in HOTBAR], np.uint8))
    task: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def set(self, x: int, y: int, z: int, kind: int, reach: int = 3) -> None:
        """Changes a cell, as an act of the body or an edit: see `processes.set_cell`."""
        set_cell(self.cells, self.tops, NATURE, self.queue, self.counts, self.log, self.flags, x, y, z, kind, reach)

    def inside(self, x: int, y: int, z: int) -> bool:
        """Whether a cell belongs to the grid."""
        return bool(0 <= x < self.cells.shape[0] and 0 <= z < self.cells.shape[1] and 0 <= y < self.cells.shape[2])

    def cell_changes(self) -> tuple[CellChange, ...]:
        """The cells that the last step changed."""
        return tuple(
            CellChange(position=(x, y, z), before=NAMES[before], after=NAMES[after])
            for x, y, z, before, after in self.log[: self.counts[1]].tolist()
        )

    def reseed(self, dynamics_seed: int) -> None:
        """Another possible future begins, where the future is open."""
        if self.open:
            self.flags[SEED] = int(dynamics_seed)
            plant_all(self.cells, NATURE, self.queue, self.counts, self.flags)

    def to_tree(self) -> dict[str, Any]:
        """A snapshot: arrays, numbers and strings, none of them shared with the world."""
        arrays = {name: getattr(self, name).copy() for name in _PLAIN}
        return arrays | {
            "preset": self.preset,
            "world_seed": self.world_seed,
            "hour": self.hour,
            "day": self.day,
            "horizon": [float(self.horizon[0]), int(self.horizon[1])],
            "open": self.open,
            "queue": self.queue[: self.counts[0]].copy(),
            "log": self.log[: self.counts[1]].copy(),
            "task": dict(self.task),
            "events": [[e.kind, e.object_id, _listed(e.position), dict(e.details)] for e in self.events],
        }

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> World:
        """Inverse of `to_tree`; shares nothing with the tree.

        Raises:
            ContractError: If the tree is not a snapshot of this version of Blocks.
        """
        lacking = [name for name in (*_PLAIN, "preset", "queue", "log", "events") if name not in tree]
        if lacking or tree["cells"].max(initial=0) >= len(CELL_NAMES) or len(tree["flags"]) != FLAGS:
            raise ContractError(
                f"expected a snapshot of this version of Blocks, got a tree with keys {sorted(tree)}"
                f"{' that lacks ' + ', '.join(lacking) if lacking else ''}. Take snapshots with env.snapshot()."
            )
        arrays: dict[str, Any] = {name: np.array(tree[name], order="C") for name in _PLAIN}
        world = cls(
            preset=str(tree["preset"]),
            world_seed=int(tree["world_seed"]),
            hour=float(tree["hour"]),
            day=float(tree["day"]),
            horizon=(float(tree["horizon"][0]), int(tree["horizon"][1])),
            open=bool(tree["open"]),
            task=dict(tree.get("task", {})),
            **arrays,
        )
        for name, column in (("queue", 0), ("log", 1)):
            rows = tree[name]
            getattr(world, name)[: len(rows)] = rows
            world.counts[column] = len(rows)
        world.events = [
            Event(kind=kind, object_id=who, position=None if at is None else tuple(at), details=details)
            for kind, who, at, details in tree["events"]
        ]
        return world


def _listed(position: tuple[float, float, float] | None) -> list[float] | None:
    return None if position is None else [float(v) for v in position]
