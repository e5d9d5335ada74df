"""From a layout to a map that the engine loads: UDMF text, compiled scripts, our classes and pictures, in one WAD.

The engine builds the nodes itself; no editor, node builder or compiler is needed. Sources: the UDMF 1.1 specification
and its ZDoom extensions (zdoom.org/wiki/Universal_Doom_Map_Format).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.doom import layout as plan
from worldsim.envs.doom import scripts
from worldsim.envs.doom.kinds import KINDS, PLAYER, decorate, editor_number, sprites
from worldsim.envs.doom.layout import HEIGHT, SIZE, Layout
from worldsim.envs.doom.units import UNITS, angle_of, to_doom
from worldsim.envs.doom.wad import picture, write_wad

_POWER: Final = 128  # rows of our textures
_SKILLS: Final = "".join(f"skill{i} = true; " for i in range(1, 6)) + "single = true;"
_MAPINFO: Final = f"""
map MAP01 "worldsim"
{{
  sucktime = 0
  noinfighting
}}
gameinfo
{{
  playerclasses = "{PLAYER}"
}}
"""


def write_map(layout: Layout) -> bytes:
    """The WAD of a world."""
    names = (plan.SWITCH_OFF, plan.SWITCH_ON, plan.DOOR, plan.SHUTTER, plan.GATE)
    textures = [(name, picture(_texture(name))) for name in names]
    return write_wad(
        [
            ("DECORATE", decorate()),
            ("MAPINFO", _MAPINFO.encode("ascii")),
            ("S_START", b""),
            *sprites(),
            ("S_END", b""),
            ("TX_START", b""),
            *textures,
            ("TX_END", b""),
            ("MAP01", b""),
            ("TEXTMAP", text_map(layout).encode("ascii")),
            ("BEHAVIOR", scripts.program(layout).compile()),
            ("ENDMAP", b""),
        ]
    )


def text_map(layout: Layout) -> str:
    """The lump TEXTMAP."""
    vertices: dict[tuple[int, int], int] = {}
    lines: list[str] = []
    sides: list[str] = []
    for (a, b), front, back, switch in _lines(layout):
        ends = [vertices.setdefault(point, len(vertices)) for point in (a, b)]
        lines.append(_linedef(layout, ends, len(sides), front, back, switch))
        sides.append(_sidedef(layout, front, back, switch))
        if back >= 0:
            sides.append(_sidedef(layout, back, front, None))
    points = [_block("vertex", x=to_doom(x, z)[0], y=to_doom(x, z)[1]) for x, z in vertices]
    return 'namespace = "zdoom";\n' + "".join(
        [*points, *lines, *sides, *map(_sector, layout.sectors), *_things(layout)]
    )


_Border: TypeAlias = tuple[int, int, plan.Switch | None, bool]  # front, back, switch, turned round


def _lines(layout: Layout) -> Iterator[tuple[tuple[tuple[int, int], tuple[int, int]], int, int, plan.Switch | None]]:
    """Yields ((from, to), front, back, switch): the borders between sectors, straight ones joined, front at the right.

    A border of two sectors comes once, with the lower index in front.
    """
    for axis in (0, 1):  # borders across x, then across z
        for i in range(SIZE + 1):
            borders = [_border(layout, axis, i, j) for j in range(SIZE)] + [None]
            begin = 0
            for j in range(1, SIZE + 1):
                if borders[j] == borders[begin]:
                    continue
                if (found := borders[begin]) is not None:
                    front, back, switch, turned = found
                    ends = ((i, begin), (i, j)) if axis == 0 else ((begin, i), (j, i))
                    yield ends[::-1] if turned else ends, front, back, switch
                begin = j


def _border(layout: Layout, axis: int, i: int, j: int) -> _Border | None:
    """The border before cell i along an axis, at j along the other, or None between equals.

    North (+z) along a border across x has the east at its right, which is the cell before; west (+x) along a border
    across z has the north at its right, which is the cell behind.
    """
    before, behind = ((i - 1, j), (i, j)) if axis == 0 else ((j, i - 1), (j, i))
    right, left = (before, behind) if axis == 0 else (behind, before)
    a, b = _sector_at(layout, right), _sector_at(layout, left)
    if a == b:
        return None
    turned = a < 0 or 0 <= b < a
    front, back, cells = (b, a, (right, left)) if turned else (a, b, (left, right))
    switch = next((s for s in layout.switches if (s.cell, s.front) == cells), None) if back < 0 else None
    return front, back, switch, turned


def _sector_at(layout: Layout, cell: tuple[int, int]) -> int:
    x, z = cell
    return int(layout.cells[x, z]) if 0 <= x < SIZE and 0 <= z < SIZE else -1


def _linedef(layout: Layout, ends: list[int], side: int, front: int, back: int, switch: plan.Switch | None) -> str:
    fields: dict[str, object] = {"v1": ends[0], "v2": ends[1], "sidefront": side}
    if back < 0:
        fields |= {"blocking": True, "dontpegbottom": layout.sectors[front].tag > 0}
    else:
        fields |= {"twosided": True, "sideback": side + 1}
    script = 0
    if switch is not None:
        fields["id"] = scripts.line_of(layout.switches.index(switch))
        script = scripts.switch_script(layout.switches.index(switch))
    for tag, door in enumerate(layout.doors, 1):
        if door.kind == "door" and door.sector in (front, back) and back >= 0:
            script = scripts.door_script(tag)
    if script:
        fields |= {"special": scripts.EXECUTE, "arg0": script, "playeruse": True, "repeatspecial": True}
    return _block("linedef", **fields)


def _sidedef(layout: Layout, own: int, other: int, switch: plan.Switch | None) -> str:
    fields: dict[str, object] = {"sector": own}
    if switch is not None:
        fields["texturemiddle"] = plan.SWITCH_OFF
    elif other < 0:
        fields["texturemiddle"] = layout.sectors[own].wall
    elif layout.sectors[other].tag:
        fields["texturetop"] = layout.sectors[other].wall
    return _block("sidedef", **fields)


def _sector(sector: plan.Sector) -> str:
    return _block(
        "sector",
        heightfloor=0,
        heightceiling=0 if sector.shut else round(HEIGHT * UNITS),
        texturefloor=sector.floor,
        textureceiling=sector.ceiling,
        lightlevel=sector.light,
        id=sector.tag,
    )


def _things(layout: Layout) -> Iterator[str]:
    """Yields the player's start and the things, each with its instance id as the engine's id."""
    x, y = to_doom(*layout.start)
    yield _thing(x, y, 1, 0, round(angle_of(layout.yaw)))
    for thing in layout.things:
        x, y = to_doom(*thing.place)
        yield _thing(x, y, editor_number(KINDS[thing.kind]), thing.id, 0)


def _thing(x: float, y: float, number: int, tid: int, angle: int) -> str:
    return _block("thing", x=x, y=y, type=number, id=tid, angle=angle)[:-2] + f" {_SKILLS} }}\n"


def _block(name: str, **fields: object) -> str:
    def plain(value: object) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        return f'"{value}"' if isinstance(value, str) else str(value)

    return f"{name} {{ " + " ".join(f"{key} = {plain(value)};" for key, value in fields.items()) + " }\n"


@cache
def _texture(name: str) -> NDArray[np.uint8]:
    """(128, W, 4) uint8: a switch, one cell wide, or a door, two cells wide; drawn here, 25 pixels a metre.

    The engine now and then reads a pixel beyond the end of a column, and whatever lies in its memory there, unless the
    height is a power of two: the 75 rows that show are drawn out upwards where they hang from the ceiling (doors), else
    downwards.
    """
    width, height = (25, 75) if name in (plan.SWITCH_OFF, plan.SWITCH_ON) else (50, 75)
    y, x = np.mgrid[:height, :width]
    grain = ((x * 7 + y * 13) % 5) * 3
    rgb = np.stack([grain + 88, grain + 86, grain + 82], axis=-1)
    if name == plan.GATE:
        rgb[(x % 10 < 4)] += np.array([60, 48, 6])
        rgb[(y % 25) < 3] = (40, 34, 22)
    elif name in (plan.DOOR, plan.SHUTTER):
        tint = np.array([74, 30, -10]) if name == plan.DOOR else np.array([-20, 28, 84])
        rgb = rgb + tint
        rgb[(y % 25 < 2) | (x == 24) | (x == 25) | (x < 2) | (x > 47)] = (28, 24, 22)
        rgb[(y // 8 % 2 == 0) & (y > 66)] = (210, 180, 30)
    else:
        box = (x > 4) & (x < 20) & (y > 28) & (y < 50)
        rgb[box] = (30, 30, 34)
        up = name == plan.SWITCH_ON
        lamp = (x > 7) & (x < 17) & ((y > 31) & (y < 39) if up else (y > 40) & (y < 48))
        rgb[lamp] = (60, 230, 80) if up else (220, 40, 36)
    rgba = np.dstack([np.clip(rgb, 0, 255), np.full((height, width), 255)]).astype(np.uint8)
    rest = _POWER - height
    return np.pad(rgba, ((rest, 0) if width == 50 else (0, rest), (0, 0), (0, 0)), mode="edge")
