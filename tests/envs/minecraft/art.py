"""A viewer package made up for the tests: known tiles, models and a tarball in npm's form. No picture of any game."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.envs.minecraft import textures
from worldsim.envs.minecraft.baking import Picture

#: Colour (R, G, B, A) of tile k of a picture of 4 x 4 tiles; the tiles that are no plain colour are drawn in `picture`.
GREY, DIRT, FRINGE, STONE, GLASS, LOG, END, WATER, BLADE, LEAVES, PALE = range(11)
COLOURS = {
    **{GREY: (100, 100, 100, 255), DIRT: (120, 80, 40, 255), STONE: (90, 90, 96, 255), LOG: (60, 40, 20, 255)},
    **{END: (200, 160, 100, 255), WATER: (200, 200, 200, 180), PALE: (250, 250, 250, 255)},
}
SIDE = 4  # tiles
WHOLE = ([0, 0, 0], [16, 16, 16])


def picture() -> Picture:
    """(64, 64, 4): tiles as above; FRINGE, GLASS, BLADE and LEAVES have holes."""
    out = np.zeros((16 * SIDE, 16 * SIDE, 4), np.uint8)
    for index, colour in COLOURS.items():
        tile(out, index)[:] = colour
    tile(out, FRINGE)[:4] = (200, 200, 200, 255)  # the four rows on top
    tile(out, GLASS)[:] = (255, 0, 0, 128)
    tile(out, GLASS)[0] = (255, 255, 255, 255)
    tile(out, BLADE)[:, 8] = (160, 160, 160, 255)
    tile(out, LEAVES)[::2] = (80, 80, 80, 255)
    return out


def tile(of: Picture, index: int, columns: int = SIDE) -> Picture:
    """A view of one tile."""
    y, x = index // columns * 16, index % columns * 16
    return of[y : y + 16, x : x + 16]


def place(index: int, part: float = 1.0) -> dict[str, float]:
    """Where a texture lies, in units of the picture; a part of a tile begins in its middle."""
    step = 1 / SIDE
    u, v = index % SIDE * step, index // SIDE * step
    return {"u": u + (1 - part) / 2 * step, "v": v, "su": part * step, "sv": step}


def element(faces: Mapping[str, Any], box: tuple[list[int], list[int]] = WHOLE) -> dict[str, Any]:
    shown = {way: face if isinstance(face, dict) else {"texture": place(face)} for way, face in faces.items()}
    return {"from": box[0], "to": box[1], "faces": shown}


def tint(index: int) -> dict[str, Any]:
    return {"texture": place(index), "tintindex": 0}


def entry(*elements: dict[str, Any], particle: int | None = None) -> dict[str, Any]:
    named = {} if particle is None else {"particle": place(particle)}
    return {"variants": {"": {"model": {"textures": named, "elements": list(elements)}}}}


def cube(top: Any, side: Any, bottom: Any) -> dict[str, Any]:
    return element({"down": bottom, "up": top, **dict.fromkeys(("north", "south", "west", "east"), side)})


def models() -> dict[str, Any]:
    """Blocks of the flat preset and the court, and of every rule of the baking."""
    fringe = element(dict.fromkeys(("north", "south", "west", "east"), tint(FRINGE)))
    blades = element({"north": tint(BLADE), "south": tint(BLADE)}, ([1, 0, 8], [15, 16, 8]))
    door = element({"north": {"texture": place(BLADE, 0.2)}, "west": BLADE}, ([0, 0, 0], [3, 16, 16]))
    log = entry(cube(END, LOG, END))
    log["variants"] = {"axis=x": [log["variants"][""]], "axis=y": {"model": {"textures": {}, "elements": []}}}
    return {
        "air": entry(),
        "grass_block": entry(cube(tint(GREY), DIRT, DIRT), fringe, particle=DIRT),
        "dirt": entry(cube(DIRT, DIRT, DIRT)),
        "stone": entry(cube(STONE, STONE, STONE)),
        "oak_log": log,
        "glass": entry(cube(GLASS, GLASS, GLASS)),
        "oak_leaves": entry(cube(*[tint(LEAVES)] * 3)),
        "grass": entry(blades, particle=BLADE),
        "oak_door": entry(door, particle=BLADE),
        "water": entry(particle=WATER),
        "white_bed": entry(particle=LOG),
        "stonecutter": entry(cube(tint(PALE), PALE, PALE)),
        "oak_fence": {"multipart": [{"apply": entry(cube(LOG, LOG, LOG))["variants"][""]}, {"when": {}, "apply": {}}]},
    }


def png(pixels: Picture) -> bytes:
    """An RGBA PNG, written by hand: nothing that reads it has written it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def package(file: Path, members: Mapping[str, bytes | tarfile.TarInfo] | None = None) -> str:
    """Writes a tarball; returns its integrity in npm's form."""
    given: Mapping[str, bytes | tarfile.TarInfo] = members if members is not None else good_members()
    with tarfile.open(file, "w:gz") as archive:
        for name, data in given.items():
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return "sha512-" + base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()


def good_members() -> dict[str, bytes]:
    return {textures.MEMBERS[0]: png(picture()), textures.MEMBERS[1]: json.dumps(models()).encode()}
