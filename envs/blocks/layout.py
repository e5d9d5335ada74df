"""What a preset hands to the world: cells, where to start, the objects, and the processes that will go on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.kinds import AIR, SOLID, cell_id

Cell = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class ObjectSpec:
    """An object as it stands at the start. Its index in `Layout.objects` is what links refer to.

    Attributes:
        kind: "chest", "crate", "gem", "door", "lever", "lamp", "sheep", "pig", "zombie".
        position: Centre of its base, metres.
        colour: One of `kinds.COLOURS`, or "" where the kind has no colours.
        facing: Quarter turns to the right from +z: 0 = +z, 1 = -x, 2 = -z, 3 = +x.
        attributes: Plain values: {"open": False}, {"on": False, "linked_to": index of a lamp}, {"lit": False}.
    """

    kind: str
    position: tuple[float, float, float]
    colour: str = ""
    facing: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A generated world, a pure function of (preset, seed).

    Attributes:
        preset: Its name.
        seed: World seed.
        cells: (X, Z, Y) uint8 kinds, C order, read-only. The lowest layer is unbreakable.
        spawn: Feet, metres.
        yaw: Degrees; 0 looks along +z, positive turns right.
        hour: Time of day at the start, 0..24.
        objects: All instances but the body.
        crops: Cells (x, y, z) of crops, which grow.
        sand: (x, y, z, tick): hanging sand that begins to fall at that step, lowest first.
        springs: (x, y, z, tick): an empty cell that becomes a source of water at that step.
        horizon: (height, kind id) of the plain or sea that goes on outside the grid.
    """

    preset: str
    seed: int
    cells: NDArray[np.uint8]
    spawn: tuple[float, float, float]
    yaw: float
    hour: float = 11.0
    objects: tuple[ObjectSpec, ...] = ()
    crops: tuple[Cell, ...] = ()
    sand: tuple[tuple[int, int, int, int], ...] = ()
    springs: tuple[tuple[int, int, int, int], ...] = ()
    horizon: tuple[float, int] = (0.0, 0)


def layout_hash(layout: Layout) -> str:
    """Hex SHA-256 of everything but preset and seed: equal for worlds that are the same."""
    rest = (
        layout.spawn,
        layout.yaw,
        layout.hour,
        [(o.kind, o.position, o.colour, o.facing, sorted(o.attributes.items())) for o in layout.objects],
        layout.crops,
        layout.sand,
        layout.springs,
        layout.horizon,
    )
    digest = hashlib.sha256(repr((layout.cells.shape, rest)).encode())
    digest.update(np.ascontiguousarray(layout.cells).tobytes())
    return digest.hexdigest()


def ground(shape: tuple[int, int, int], heights: NDArray[np.int64], top: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(X, Z, Y) cells: bedrock, stone, three layers of soil, and `top` (X, Z) as the uppermost kind.

    `heights` (X, Z) is the number of cells of ground in each column, at least 2.
    """
    y = np.arange(shape[2])[None, None, :]
    h = heights[..., None]
    sandy = np.isin(top, [cell_id("sand"), cell_id("gravel")])[..., None]
    soil = np.where(sandy, cell_id("sandstone"), cell_id("dirt"))
    cells = np.where(y < h - 4, cell_id("stone"), np.where(y < h - 1, soil, top[..., None]))
    cells = np.where(y < h, cells, AIR).astype(np.uint8)
    cells[:, :, 0] = cell_id("bedrock")
    return cells


def clear_line(
    cells: NDArray[np.uint8], start: tuple[float, float, float], end: tuple[float, float, float], step: float = 0.2
) -> bool:
    """Whether no solid cell lies between two points, sampled every `step` metres."""
    a, b = np.asarray(start), np.asarray(end)
    count = max(int(np.linalg.norm(b - a) / step), 2)
    at = np.floor(a + (b - a) * np.linspace(0, 1, count)[:, None]).astype(int)
    inside = ((at >= 0) & (at < np.array(cells.shape)[[0, 2, 1]])).all(1)
    at = at[inside]
    return not bool(SOLID[cells[at[:, 0], at[:, 2], at[:, 1]]].any())
