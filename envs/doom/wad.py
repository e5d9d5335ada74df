"""Doom's containers, written with `struct`: a WAD, a picture with an origin, compiled scripts.

Sources: the WAD and UDMF specifications (doomwiki.org), PNG's `grAb` chunk (zdoom.org/wiki/GRAB), and the format and
the operation codes of the ACS virtual machine of ZDoom 2.8.1 (zdoom.org/wiki/ACS), the engine inside ViZDoom.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ConfigError

Lumps: TypeAlias = Sequence[tuple[str, bytes]]

_ENTRY: Final = struct.Struct("<ii8s")  # offset, size, name
_HEAD: Final = struct.Struct("<4sii")  # PWAD, number of lumps, offset of the directory


def write_wad(lumps: Lumps) -> bytes:
    """A patch WAD of named lumps, in order; names have at most 8 characters."""
    data, entries = b"", b""
    for name, content in lumps:
        entries += _ENTRY.pack(_HEAD.size + len(data), len(content), name.encode("ascii"))
        data += content
    return _HEAD.pack(b"PWAD", len(lumps), _HEAD.size + len(data)) + data + entries


def read_wad(data: bytes, what: str = "the map") -> list[tuple[str, bytes]]:
    """The lumps of a WAD, in order.

    The engine ends the whole process when it is given a damaged file, so every file is read back before it is loaded.

    Raises:
        ConfigError: If the data is cut short or is no WAD.
    """
    if len(data) < _HEAD.size or data[:4] not in (b"PWAD", b"IWAD"):
        raise ConfigError(f"{what} is no WAD: expected 12 bytes or more that begin with PWAD, got {data[:4]!r}")
    _, count, start = _HEAD.unpack_from(data)
    if count < 0 or start < _HEAD.size or start + count * _ENTRY.size > len(data):
        raise ConfigError(f"{what} is cut short: its directory of {count} lumps at {start} ends beyond {len(data)} B")
    lumps = []
    for i in range(count):
        offset, size, name = _ENTRY.unpack_from(data, start + i * _ENTRY.size)
        if offset < 0 or size < 0 or offset + size > len(data):
            raise ConfigError(f"{what} is damaged: lump {i} lies at {offset}..{offset + size}, beyond {len(data)} B")
        lumps.append((name.rstrip(b"\0").decode("ascii", "replace"), data[offset : offset + size]))
    return lumps


def picture(rgba: NDArray[np.uint8], origin: tuple[int, int] | None = None) -> bytes:
    """A PNG of (H, W, 4) uint8 RGBA; `origin` (x, y) in pixels is the point of a sprite that stands on the floor."""
    ok, encoded = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(rgba), cv2.COLOR_RGBA2BGRA))
    if not ok:
        raise ConfigError(f"no PNG can be made of an array {rgba.shape} {rgba.dtype}")
    png = bytes(encoded.tobytes())
    if origin is None:
        return png
    body = b"grAb" + struct.pack(">ii", *origin)
    chunk = struct.pack(">I", 8) + body + struct.pack(">I", zlib.crc32(body))
    after = 8 + 25  # the signature and the header chunk
    return png[:after] + chunk + png[after:]


# ------------------------------------------------------------------------------------------------------------ scripts

#: Operation codes (p_acs.h of ZDoom 2.8.1). Arguments of the specials lie on the stack, their number follows the code.
_CODES: Final[Mapping[str, int]] = {
    "terminate": 1,
    "push": 3,
    "special1": 4,
    "special2": 5,
    "special3": 6,
    "add": 14,
    "subtract": 15,
    "equal": 19,
    "less": 21,
    "greater": 22,
    "goto": 52,
    "if": 53,
    "drop": 54,
    "delay": 56,
    "unless": 79,
    "arg": 28,
    "not": 75,
    "shift": 77,
    "line_texture": 97,
    "spawn": 149,
    "set": 181,  # a global variable; ViZDoom shows them as USER1, USER2, ...
    "get": 182,
    "ceiling": 262,  # of a sector by its tag, x, y
    "actor_angle": 276,
    "actor_position": 283,
    "actor_pitch": 332,
}
_JUMPS: Final = ("goto", "if", "unless")
ENTER: Final = 4000  # added to the number of a script that runs when the player enters


@dataclass(kw_only=True)
class Script:
    """One script: words of `_CODES`, integers, and labels "name:" that jumps name.

    Attributes:
        number: What `puke` and line specials call it by.
        words: Codes, integers, labels.
        args: How many arguments it takes, 0 to 4; `puke` of this engine passes three.
    """

    number: int
    words: Sequence[str | int]
    args: int = 0


@dataclass(kw_only=True)
class Program:
    """Scripts and the strings that they use.

    Attributes:
        scripts: In the order of the directory.
        strings: Referred to by their index.
    """

    scripts: list[Script] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)

    def text(self, string: str) -> int:
        """The index of a string."""
        if string not in self.strings:
            self.strings.append(string)
        return self.strings.index(string)

    def compile(self) -> bytes:
        """The lump BEHAVIOR, in the old format ("ACS", one byte 0).

        Raises:
            ValueError: If two scripts have one number: the engine would run only one of them, without a word.
        """
        numbers = [script.number for script in self.scripts]
        if twice := sorted({n for n in numbers if numbers.count(n) > 1}):
            raise ValueError(f"each script has a number of its own, but these are used twice: {twice}")
        code, entries, start = b"", [], 8
        for script in self.scripts:
            entries.append((script.number, start + len(code), script.args))
            code += _assemble(script, start + len(code))
        directory = struct.pack("<i", len(entries)) + b"".join(struct.pack("<iii", *entry) for entry in entries)
        first = start + len(code) + len(directory) + 4 + 4 * len(self.strings)
        offsets, texts = [], b""
        for string in self.strings:
            offsets.append(first + len(texts))
            texts += string.encode("ascii") + b"\0"
        table = struct.pack(f"<i{len(offsets)}i", len(offsets), *offsets)
        return b"ACS\0" + struct.pack("<i", start + len(code)) + code + directory + table + texts


def _assemble(script: Script, start: int) -> bytes:
    """The words of one script; the offsets of its jumps are those in the lump, where it begins at `start`."""
    labels: dict[str, int] = {}
    flat: list[str | int] = []
    for word in (*script.words, "terminate"):
        if isinstance(word, str) and word.endswith(":"):
            labels[word[:-1]] = start + 4 * len(flat)
        else:
            flat.append(word)
    out, after_jump = [], False
    for word in flat:
        out.append(
            labels[word] if after_jump and isinstance(word, str) else word if isinstance(word, int) else _CODES[word]
        )
        after_jump = word in _JUMPS
    return struct.pack(f"<{len(out)}i", *out)
