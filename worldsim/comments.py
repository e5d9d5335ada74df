"""A comment inside a PNG or a GIF, written by hand: FFmpeg has no tag for it in either.

A PNG carries text in tEXt chunks: keyword, NUL, Latin-1 text (PNG specification, third edition, 11.3.3.2). A GIF has a
comment extension: 0x21 0xFE, then sub-blocks of up to 255 bytes of ASCII, then an empty one (GIF89a specification, 24).
Everything here takes and gives whole files as bytes; what is cut, damaged or foreign raises ValueError. `read_comment`
turns that into a StoreError with the file's name.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from worldsim.arrays import missing
from worldsim.errors import StoreError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: The PNG keyword that the specification registers for a comment; other tools show it under this name.
PNG_COMMENT = "Comment"
GIF_SIGNATURES = (b"GIF87a", b"GIF89a")

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B  # how a block of a GIF begins
_COMMENT, _APPLICATION = 0xFE, 0xFF  # labels of extensions
_SUB_BLOCK = 255  # bytes in a sub-block at most: its length is one byte


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG as (type, content), up to and with IEND; each checksum is compared."""
    if not data.startswith(PNG_SIGNATURE):
        raise ValueError("it does not begin as a PNG does")
    at, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        if len(data) < at + 12:
            raise ValueError(f"it ends after {len(data)} bytes, within a PNG")
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        content, check = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if len(check) < 4:
            raise ValueError(f"it ends after {len(data)} bytes, within a PNG")
        if struct.unpack(">I", check)[0] != zlib.crc32(kind + content):
            raise ValueError(f"the checksum of its chunk {kind!r} is wrong")
        yield kind, content
        at += 12 + length


def png_texts(data: bytes) -> dict[str, str]:
    """What the tEXt chunks say, by keyword; the whole file is checked on the way."""
    out: dict[str, str] = {}
    for kind, content in png_chunks(data):
        if kind == b"tEXt":
            keyword, _, text = content.partition(b"\0")
            out[keyword.decode("latin-1")] = text.decode("latin-1")
    return out


def png_size(data: bytes) -> tuple[int, int]:
    """(H, W) in pixels."""
    kind, content = next(png_chunks(data))
    if kind != b"IHDR" or len(content) != 13:
        raise ValueError("its first chunk is no IHDR")
    width, height = struct.unpack(">II", content[:8])
    return height, width


def with_png_texts(data: bytes, texts: Mapping[str, str]) -> bytes:
    """The same PNG with a tEXt chunk for each text, right behind the header, before any pixel.

    Args:
        data: A whole PNG.
        texts: Latin-1 by keyword of 1 to 79 characters.
    """
    out = [PNG_SIGNATURE]
    for kind, content in png_chunks(data):
        out.append(_png_chunk(kind, content))
        if kind == b"IHDR":
            for keyword, text in texts.items():
                out.append(_png_chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1")))
    return b"".join(out)


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def gif_blocks(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The blocks of a GIF behind its header, as (label, start, end) in bytes, up to and with the trailer.

    The label is that of the extension, or the byte with which an image or the trailer begins.
    """
    if not data.startswith(GIF_SIGNATURES):
        raise ValueError("it does not begin as a GIF does")
    try:
        at = _after_colours(data, 10, 13)  # signature, logical screen descriptor, global colour table
        while True:
            start, kind = at, data[at]
            if kind == _TRAILER:
                yield kind, start, start + 1
                return
            if kind == _EXTENSION:
                label, at = data[at + 1], _after_sub_blocks(data, at + 2)
            elif kind == _IMAGE:  # descriptor, local colour table, least code size, the picture
                label, at = kind, _after_sub_blocks(data, _after_colours(data, at + 9, at + 10) + 1)
            else:
                raise ValueError(f"byte {at} begins no block of a GIF")
            yield label, start, at
    except IndexError:
        raise ValueError(f"it ends after {len(data)} bytes, within a GIF") from None


def _after_colours(data: bytes, flags: int, table: int) -> int:
    """Where the colour table ends that the packed byte at `flags` announces and that begins at `table`."""
    packed = data[flags]
    return table + (3 << ((packed & 7) + 1) if packed & 0x80 else 0)


def _after_sub_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1


def gif_comment(data: bytes) -> str:
    """The first comment of a GIF; "" if it has none. The whole file is walked on the way."""
    found = [(start, end) for label, start, end in gif_blocks(data) if label == _COMMENT]
    if not found:
        return ""
    at, text = found[0][0] + 2, b""
    while data[at]:
        text += data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
    return text.decode("ascii", errors="replace")


def with_gif_comment(data: bytes, text: str) -> bytes:
    """The same GIF with a comment before its first picture.

    It lies behind the application extensions: some readers look for the number of loops right behind the header only.

    Args:
        data: A whole GIF.
        text: ASCII.
    """
    raw = text.encode("ascii")
    pieces = [raw[i : i + _SUB_BLOCK] for i in range(0, len(raw), _SUB_BLOCK)]
    block = bytes([_EXTENSION, _COMMENT]) + b"".join(bytes([len(p)]) + p for p in pieces) + b"\0"
    blocks = list(gif_blocks(data))
    place = next(start for label, start, _ in blocks if label != _APPLICATION)
    return b"GIF89a" + data[6:place] + block + data[place:]  # a GIF87a has no extensions


def read_comment(path: Path) -> str:
    """The comment of a .png or .gif; "" if it has none.

    Raises:
        StoreError: If there is no such file, or it is cut, damaged, or something else.
    """
    try:
        data = path.read_bytes()
        return gif_comment(data) if path.suffix == ".gif" else png_texts(data).get(PNG_COMMENT, "")
    except FileNotFoundError as error:
        raise missing(path) from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is not a complete {path.suffix} file: {error}; write it again") from error
