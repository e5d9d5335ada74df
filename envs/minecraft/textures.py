"""The game's own block textures, as an option: where the baked atlas lies, and how it is made of an npm package.

The pictures in that package are Mojang's. None is shipped with worldsim, and nothing is fetched unless the user asks
for it with `worldsim doctor minecraft --install --textures`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from worldsim.envs.minecraft import installation
from worldsim.envs.minecraft.baking import TILE, Atlas, Picture
from worldsim.errors import PrerequisiteError, WorldsimError

PACKAGE: Final = "prismarine-viewer"
VERSION: Final = "1.33.0"
#: `npm view prismarine-viewer@1.33.0 dist.integrity`
INTEGRITY: Final = "sha512-Kb+3nJkzV5a6kfR1Mqs269bxXHJA5/ZjA+vdwTwDsyZtyib9NC1ELfyTOo/HK77JB+1bS6pfrZB+wcd0+mXKXA=="
#: The picture and the block models, which the package has for 1.16.4: its blocks are those of 1.16.5.
MEMBERS: Final = ("package/public/textures/1.16.4.png", "package/public/blocksStates/1.16.4.json")
INSTALL: Final = f"{installation.INSTALL} --textures"
WHOSE: Final = (
    "These block textures are Mojang's, from Minecraft; worldsim is not affiliated with Mojang or Microsoft. They are "
    "for your own use, under the licence between you and them; do not pass them on."
)
FORMAT: Final = 1  # of atlas.json, and of how tiles are made; another one is baked anew
LARGEST: Final = 32 * 2**20  # bytes of one file in the package; the models have 7.4 MB
LARGEST_SIDE: Final = 4096  # pixels of the picture; it has 512


def folder() -> Path:
    """Where the baked atlas lies: atlas.rgba (raw rows of RGBA) and atlas.json."""
    return installation.home() / "minecraft" / f"{PACKAGE}-{VERSION}"


def is_baked() -> bool:
    """Whether a whole atlas of this version's form is there."""
    try:
        about = json.loads((folder() / "atlas.json").read_text(encoding="utf-8"))
        width, height = about["size"]
        size = (folder() / "atlas.rgba").stat().st_size
        return bool(about["format"] == FORMAT and size == width * height * 4)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def find() -> Path:
    """The folder of the baked atlas.

    Raises:
        PrerequisiteError: If there is none, or not a whole one.
    """
    if not is_baked():
        raise PrerequisiteError(
            f'textures="game" needs block textures of Minecraft, which are not in {folder()}. Run: {INSTALL}\n'
            '(worldsim ships none of them; textures="own" needs nothing)'
        )
    return folder()


def check_integrity(tarball: Path, expected: str) -> None:
    """Compares a file's SHA-512 with npm's form of it.

    Raises:
        WorldsimError: If it is another file.
    """
    with tarball.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    found = "sha512-" + base64.b64encode(digest).decode()
    if found != expected:
        raise WorldsimError(
            f"{tarball.name} is not the file that was checked: expected {expected}, got {found}. It was deleted; "
            "try again, and look at npm's settings (npm config get registry) if it comes again"
        )


def unpack(tarball: Path) -> tuple[bytes, bytes]:
    """The picture and the models out of the package, into memory: nothing is written, whatever its paths say.

    Raises:
        WorldsimError: If one is missing, not a plain file or too large, or if the archive is damaged.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(tarball, "r|gz") as archive:  # in one pass, and no further than the second file
            for member in archive:
                if member.name not in MEMBERS or member.name in found:
                    continue
                if not member.isreg() or member.size > LARGEST:
                    raise WorldsimError(
                        f"expected a plain file of at most {LARGEST} bytes at {member.name} in {tarball.name}, "
                        f"got {member.size} bytes of type {member.type!r}"
                    )
                stream = archive.extractfile(member)
                found[member.name] = stream.read() if stream else b""
                if len(found) == len(MEMBERS):
                    break
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise WorldsimError(f"{tarball.name} is damaged ({error}); fetch it again: {INSTALL}") from error
    if lacking := [name for name in MEMBERS if name not in found]:
        raise WorldsimError(
            f"{tarball.name} lacks {', '.join(lacking)}: cut short, or not {VERSION}; fetch it again: {INSTALL}"
        )
    return found[MEMBERS[0]], found[MEMBERS[1]]


def decode(data: bytes) -> Picture:
    """(H, W, 4) uint8 RGBA of a PNG whose every checksum is right.

    Raises:
        WorldsimError: If it is damaged, or not an RGBA picture of tiles.
    """
    import cv2

    if error := _png_fault(data):
        raise WorldsimError(f"the picture of the blocks is damaged ({error}); fetch it again: {INSTALL}")
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint8 or decoded.ndim != 3 or decoded.shape[2] != 4:
        form = "none that can be decoded" if decoded is None else f"{decoded.dtype} of shape {decoded.shape}"
        raise WorldsimError(f"expected a PNG with 8 bits of RGBA, got {form}")
    picture: Picture = np.ascontiguousarray(decoded[..., [2, 1, 0, 3]])
    return picture


def _png_fault(data: bytes) -> str:
    """What is wrong with the chunks of a PNG, or "": OpenCV draws half a picture without a word."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        return "no PNG"
    if not all(0 < int.from_bytes(data[at : at + 4]) <= LARGEST_SIDE for at in (16, 20)):
        return f"its sides are not 1..{LARGEST_SIDE} pixels"
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return f"wrong checksum at byte {at}"
        if data[at + 4 : at + 8] == b"IEND":
            return ""
        at = end + 4
    return f"it ends after {len(data)} bytes"


def write(atlas: Atlas, place: Path) -> None:
    """Writes atlas.rgba and atlas.json, all or nothing.

    Raises:
        OSError: If the disk is full or must not be written; then what was there before still is.
    """
    height, width = atlas.pixels.shape[:2]
    about = {
        "format": FORMAT,
        "source": f"{PACKAGE}@{VERSION}",
        "integrity": INTEGRITY,
        "files": MEMBERS,
        "notice": WHOSE,
        "size": (width, height),
        "tile": TILE,
        "means": atlas.means.tolist(),
        "blocks": {name: list(tiles) for name, tiles in atlas.blocks.items()},
    }
    partial = place.with_name(place.name + ".new")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        (partial / "atlas.rgba").write_bytes(np.ascontiguousarray(atlas.pixels).tobytes())
        (partial / "atlas.json").write_text(json.dumps(about), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
