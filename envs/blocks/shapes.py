"""Which cuboids an object is drawn with, and how large it is.

Local axes: origin at the centre of the base, +z where it faces, metres.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.kinds import BY_NAME, COLOURS, CREATURES, kind_id
from worldsim.envs.blocks.layout import Layout
from worldsim.errors import UnknownNameError, nearest

_Box = tuple[float, float, float, float, float, float, str]  # x0 y0 z0 x1 y1 z1, name of a kind

COLOURED: Final = ("chest", "crate", "gem")
OBJECT_KINDS: Final = (*COLOURED, "door", "lever", "lamp", *CREATURES)
PROPS: Final = COLOURED  # what can be carried


def object_parts(kind: str, colour: str = "", attributes: Mapping[str, Any] | None = None) -> tuple[_Box, ...]:
    """The cuboids of an object in local axes.

    Args:
        kind: One of `OBJECT_KINDS`, or the name of a cell (a falling block).
        colour: One of `kinds.COLOURS` for the coloured ones.
        attributes: "open" of chests and doors, "on" of levers, "lit" of lamps.

    Raises:
        UnknownNameError: With the nearest kind or colour.
    """
    has = attributes or {}
    if kind in COLOURED:
        if colour not in COLOURS:
            raise UnknownNameError(f"a {kind} has one of the colours {', '.join(COLOURS)}, not {colour!r}")
        if kind == "crate":
            return ((-0.35, 0.0, -0.35, 0.35, 0.7, 0.35, f"{colour}_crate"),)
        if kind == "gem":
            return ((-0.22, 0.0, -0.22, 0.22, 0.44, 0.22, f"{colour}_gem"),)
        if has.get("open"):
            return (
                (-0.44, 0.0, -0.44, 0.44, 0.56, 0.44, f"{colour}_chest_open"),
                (-0.44, 0.56, -0.44, 0.44, 1.2, -0.26, f"{colour}_chest"),
            )
        return ((-0.44, 0.0, -0.44, 0.44, 0.88, 0.44, f"{colour}_chest"),)
    if kind == "door":
        if has.get("open"):
            return ((-0.5, 0.0, -0.5, -0.32, 2.0, 0.5, "door"),)
        return ((-0.5, 0.0, 0.1, 0.5, 2.0, 0.28, "door"),)
    if kind == "lever":
        base: _Box = (-0.2, 0.0, -0.5, 0.2, 0.5, -0.38, "lever_base")
        if has.get("on"):
            return (base, (-0.07, 0.25, -0.38, 0.07, 0.62, -0.2, "lever_on"))
        return (base, (-0.07, -0.12, -0.38, 0.07, 0.25, -0.2, "lever_off"))
    if kind == "lamp":
        return ((-0.3, 0.0, -0.3, 0.3, 0.6, 0.3, "lamp_on" if has.get("lit") else "lamp_off"),)
    if kind == "zombie":
        return (
            *((x, 0.0, -0.13, x + 0.24, 0.72, 0.13, "zombie_leg") for x in (-0.25, 0.01)),
            (-0.27, 0.72, -0.15, 0.27, 1.4, 0.15, "zombie_body"),
            *((x, 1.14, 0.15, x + 0.18, 1.34, 0.7, "zombie_body") for x in (-0.45, 0.27)),
            (-0.25, 1.4, -0.25, 0.25, 1.9, 0.25, "zombie_head"),
        )
    if kind in CREATURES:
        wide, low, high = (0.38, 0.42, 1.12) if kind == "sheep" else (0.34, 0.34, 0.9)
        legs = [(x, 0.0, z, x + 0.2, low, z + 0.2, f"{kind}_leg") for x in (-0.3, 0.1) for z in (-0.5, 0.24)]
        body = (-wide, low, -0.6, wide, high, 0.5, f"{kind}_body")
        head = (-0.26, high - 0.34, 0.44, 0.26, high + 0.18, 0.86, f"{kind}_head")
        return (*legs, body, head)
    if kind in BY_NAME:
        return ((-0.49, 0.0, -0.49, 0.49, 0.98, 0.49, kind),)
    known = (*OBJECT_KINDS, *BY_NAME)
    raise UnknownNameError(f"Blocks has no object {kind!r}.{nearest(kind, known)} Known: {', '.join(OBJECT_KINDS)}.")


def object_boxes(
    kind: str, colour: str = "", facing: int = 0, attributes: Mapping[str, Any] | None = None
) -> NDArray[np.float64]:
    """(P, 7) float64 rows x0 y0 z0 x1 y1 z1 code, relative to the base's centre, along the world's axes.

    `code` is what `render_view` wants: kind id + 128 * facing. Add the position, an instance id and 1 to draw it.
    """
    turns = facing % 4
    rows = []
    for x0, y0, z0, x1, y1, z1, name in object_parts(kind, colour, attributes):
        (a0, b0), (a1, b1) = _turn(x0, z0, turns), _turn(x1, z1, turns)
        rows.append(
            (min(a0, a1), y0, min(b0, b1), max(a0, a1), y1, max(b0, b1), float(kind_id(name) + 128 * turns)),
        )
    return np.array(rows, np.float64)


def _turn(x: float, z: float, turns: int) -> tuple[float, float]:
    """Quarter turns to the right: +z becomes -x."""
    for _ in range(turns):
        x, z = -z, x
    return x, z


def bounds(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(6,) x0 y0 z0 x1 y1 z1 around (P, >= 6) boxes."""
    return np.concatenate([boxes[:, :3].min(0), boxes[:, 3:6].max(0)])


def layout_boxes(layout: Layout) -> NDArray[np.float64]:
    """(N, 9) float64 rows for `render_view`: the objects of a layout as they stand at the start, ids from 1."""
    rows = []
    for index, spec in enumerate(layout.objects):
        boxes = object_boxes(spec.kind, spec.colour, spec.facing, spec.attributes)
        boxes[:, :6] += np.tile(spec.position, 2)
        rows.append(np.column_stack([boxes, np.full(len(boxes), index + 1.0), np.ones(len(boxes))]))
    return np.concatenate(rows) if rows else np.zeros((0, 9))
