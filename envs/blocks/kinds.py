"""The kinds of things in Blocks: cells of the grid and the cuboids that objects are drawn with, in one table of ids.

Names are Minecraft's where it has one. Ids 0..63 are cells, ids from 64 are parts of objects; an object may also be
drawn with a cell's id (falling sand is a cuboid of `sand`). The arrays at the end are indexed by id, for use in numba
kernels: pass them as arguments, because a compiled kernel on disk would not notice that a global has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import UnknownNameError, nearest

Shape: TypeAlias = Literal["cube", "cross", "low"]

FIRST_PART: Final = 64  # ids below are cells
ID_COUNT: Final = 128

#: Colours that chests, crates, gems and wool come in.
COLOURS: Final = ("red", "yellow", "green", "blue", "purple", "white")
CREATURES: Final = ("sheep", "pig", "zombie")
CROP_STAGES: Final = 4


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One row of the table.

    Attributes:
        id: 0..127.
        name: Unique.
        solid: A body cannot be inside.
        breakable: `attack` removes it.
        liquid: A body swims in it.
        opaque: Light from above does not pass.
        emissive: Drawn at full brightness at any hour.
        falls: Falls when nothing is below.
        replaceable: A block may be placed into its cell.
        shape: "cube" fills the cell; "cross" is two crossed planes with holes; "low" is a cube of `height`.
        height: Metres, of "low" cells.
        cutout: Its texture has holes through which rays pass.
    """

    id: int
    name: str
    solid: bool = True
    breakable: bool = True
    liquid: bool = False
    opaque: bool = True
    emissive: bool = False
    falls: bool = False
    replaceable: bool = False
    shape: Shape = "cube"
    height: float = 1.0
    cutout: bool = False


def _table() -> tuple[Kind, ...]:
    rows: list[Kind] = []

    def cell(name: str, **properties: object) -> None:
        rows.append(Kind(id=len(rows), name=name, **properties))  # type: ignore[arg-type]

    def plant(name: str) -> None:
        cell(name, solid=False, opaque=False, replaceable=True, shape="cross", cutout=True)

    cell("air", solid=False, breakable=False, opaque=False, replaceable=True)
    cell("bedrock", breakable=False)
    for name in ("stone", "cobblestone", "mossy_cobblestone", "stone_bricks", "smooth_stone", "bricks", "sandstone"):
        cell(name)
    for name in ("dirt", "grass_block", "dirt_path", "snow_block", "ice", "terracotta"):
        cell(name)
    for name in ("sand", "gravel"):
        cell(name, falls=True)
    for name in ("oak_log", "oak_leaves", "birch_log", "birch_leaves", "spruce_log", "spruce_leaves", "oak_planks"):
        cell(name)
    for name in ("spruce_planks", "bookshelf", "hay_block", "cactus"):
        cell(name)
    cell("glass", opaque=False, cutout=True)
    cell("glowstone", emissive=True)
    cell("water", solid=False, breakable=False, liquid=True, opaque=False, replaceable=True, shape="low", height=0.875)
    for colour in (*COLOURS, "orange", "cyan", "black"):
        cell(f"{colour}_wool")
    cell("farmland", shape="low", height=0.9375)
    for stage in range(CROP_STAGES):
        plant(f"wheat_{stage}")
    for name in ("short_grass", "poppy", "dandelion", "cornflower", "dead_bush"):
        plant(name)
    if len(rows) > FIRST_PART:
        raise RuntimeError(f"{len(rows)} kinds of cell do not fit below id {FIRST_PART}")

    parts = [f"{colour}_{part}" for part in ("chest", "chest_open", "crate", "gem") for colour in COLOURS]
    parts += ["door", "lever_base", "lever_off", "lever_on", "lamp_off", "lamp_on"]
    parts += [f"{creature}_{part}" for creature in CREATURES for part in ("body", "head", "leg")]
    rows += [Kind(id=FIRST_PART + i, name=name, emissive=name == "lamp_on") for i, name in enumerate(parts)]
    return tuple(rows)


KINDS: Final = _table()
BY_NAME: Final = {kind.name: kind for kind in KINDS}
NAMES: Final[dict[int, str]] = {kind.id: kind.name for kind in KINDS}
CELL_NAMES: Final = tuple(kind.name for kind in KINDS if kind.id < FIRST_PART)

AIR: Final = 0
WATER: Final = BY_NAME["water"].id


def kind_id(name: str) -> int:
    """The id of a kind by name.

    Raises:
        UnknownNameError: With the nearest name.
    """
    if name not in BY_NAME:
        raise UnknownNameError(
            f"Blocks has no kind {name!r}.{nearest(name, BY_NAME)} worldsim.envs.blocks.kinds.KINDS lists them."
        )
    return BY_NAME[name].id


def cell_id(name: str) -> int:
    """The id of a kind of cell, to put into the grid.

    Raises:
        UnknownNameError: If there is none, or if the name is that of an object's part.
    """
    found = kind_id(name)
    if found >= FIRST_PART:
        raise UnknownNameError(f"{name!r} is part of an object, not a cell.{nearest(name, CELL_NAMES)}")
    return found


def _flags(attribute: str) -> NDArray[np.bool_]:
    flags = np.zeros(ID_COUNT, np.bool_)
    for kind in KINDS:
        flags[kind.id] = getattr(kind, attribute)
    flags.setflags(write=False)
    return flags


#: (128,) bool each, by id.
SOLID: Final = _flags("solid")
BREAKABLE: Final = _flags("breakable")
LIQUID: Final = _flags("liquid")
OPAQUE: Final = _flags("opaque")
EMISSIVE: Final = _flags("emissive")
FALLS: Final = _flags("falls")
REPLACEABLE: Final = _flags("replaceable")
CROPS: Final = tuple(BY_NAME[f"wheat_{stage}"].id for stage in range(CROP_STAGES))

#: How the renderer meets a kind, bit by bit, (128,) uint8: see `trace.py`.
CROSS, LOW, CUTOUT, GLOWS, FLUID = 1, 2, 4, 8, 16


def _render_flags() -> NDArray[np.uint8]:
    flags = np.zeros(ID_COUNT, np.uint8)
    for kind in KINDS:
        flags[kind.id] = (
            (CROSS if kind.shape == "cross" else LOW if kind.shape == "low" else 0)
            | (CUTOUT if kind.cutout else 0)
            | (GLOWS if kind.emissive else 0)
            | (FLUID if kind.liquid else 0)
        )
    flags.setflags(write=False)
    return flags


RENDER_FLAGS: Final = _render_flags()


def column_tops(cells: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(X, Z) uint8: one above the highest opaque cell of each column, 0 for none. What lies below it is in shade."""
    opaque = OPAQUE[cells]
    first_from_above = np.argmax(opaque[:, :, ::-1], axis=2)
    return np.where(opaque.any(axis=2), cells.shape[2] - first_from_above, 0).astype(np.uint8)
