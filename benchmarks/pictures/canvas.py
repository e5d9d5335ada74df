"""Paper: text, frames, rows and columns, the sheet with its two sides, and a PNG of few colours."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (h, w, 3) RGB

WIDTH, SIDE = 900, 436  # px of a sheet, and of each of its two sides
INK, GREY, PALE = (25, 25, 25), (105, 105, 105), (225, 225, 225)
GOOD, BAD, BLUE, ORANGE = (20, 120, 60), (185, 35, 35), (35, 90, 180), (215, 120, 10)
LIMIT = 60_000  # bytes of a file
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Half:
    """One side of a sheet: what is planted, the score in words, what is drawn, and a line below it."""

    title: str
    score: str
    body: Image
    foot: str = ""


def paper(height: int, width: int) -> Image:
    """White."""
    return np.full((height, width, 3), 255, np.uint8)


def write(
    image: Image, words: str, x: int, y: int, size: float = 0.42, colour: Colour = INK, bold: bool = False
) -> None:
    """Draws words with the base line at y, in place."""
    cv2.putText(image, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 2 if bold else 1, cv2.LINE_AA)


def width_of(words: str, size: float = 0.42, bold: bool = False) -> int:
    """Px."""
    return int(cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, size, 2 if bold else 1)[0][0])


def wrapped(words: str, width: int, size: float = 0.42) -> list[str]:
    """Lines that fit."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if width_of(longer, size) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def note(words: str, width: int, size: float = 0.4, colour: Colour = GREY, bold: bool = False) -> Image:
    """A paragraph on paper of a width."""
    lines = wrapped(words, width, size)
    step = round(40 * size)
    out = paper(step * len(lines) + 2, width)
    for i, line in enumerate(lines):
        write(out, line, 0, step * (i + 1) - 4, size, colour, bold)
    return out


def enlarged(frame: Image, scale: int) -> Image:
    """Each pixel a square."""
    return np.ascontiguousarray(frame.repeat(scale, 0).repeat(scale, 1))


def framed(frame: Image, colour: Colour | None = None) -> Image:
    """With a border of 3 px, white where no colour is given."""
    return cv2.copyMakeBorder(frame, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=colour or (255, 255, 255))


def labelled(picture: Image, above: str = "", below: str = "", colour: Colour = GREY, size: float = 0.38) -> Image:
    """A picture with words above and below it."""
    parts = [note(above, picture.shape[1] + 6, size)] if above else []
    parts.append(picture)
    if below:
        parts.append(note(below, picture.shape[1] + 6, size, colour))
    return column(parts, 2)


def row(images: Sequence[Image], gap: int = 6) -> Image:
    """Side by side, aligned at the top."""
    height = max(i.shape[0] for i in images)
    padded = [np.pad(i, ((0, height - i.shape[0]), (0, gap), (0, 0)), constant_values=255) for i in images]
    return np.concatenate(padded, axis=1)


def column(images: Sequence[Image], gap: int = 6) -> Image:
    """One below the other, aligned at the left."""
    width = max(i.shape[1] for i in images)
    padded = [np.pad(i, ((0, gap), (0, width - i.shape[1]), (0, 0)), constant_values=255) for i in images]
    return np.concatenate(padded, axis=0)


def difference(first: Image, second: Image, gain: float = 2.0) -> Image:
    """|first - second| as dark on white: white = equal, black = `gain` times half the range apart."""
    off = np.abs(first.astype(np.int16) - second).mean(axis=-1) * gain
    return np.repeat((255 - np.clip(off, 0, 255)).astype(np.uint8)[..., None], 3, axis=2)


def signed(first: Image, second: Image, gain: float = 1.5) -> Image:
    """Brightness of first - second: red = brighter, blue = darker, white = equal."""
    off = np.clip((first.astype(np.int16) - second).mean(axis=-1) * gain / 255, -1, 1)
    up, down = np.maximum(off, 0)[..., None], np.maximum(-off, 0)[..., None]
    white = np.array([255.0, 255.0, 255.0])
    return np.asarray(white - up * np.array([40.0, 220.0, 220.0]) - down * np.array([220.0, 160.0, 30.0]), np.uint8)


def sheet(name: str, question: str, good: Half, bad: Half, better: str) -> Image:
    """The whole picture: name and question on top, the good case on the left, the bad one on the right."""
    head = paper(44, WIDTH)
    write(head, name, 10, 18, 0.55, INK, bold=True)
    write(head, question, 10, 38, 0.43, GREY)
    write(head, f"{better} is better", WIDTH - 12 - width_of(f"{better} is better", 0.4), 18, 0.4, GREY)
    halves = [_half(good, "good", GOOD), _half(bad, "bad", BAD)]
    body = row(halves, 0)
    line = np.full((body.shape[0], 2, 3), 225, np.uint8)
    body = np.concatenate([body[:, : WIDTH // 2 - 1], line, body[:, WIDTH // 2 - 1 :]], axis=1)[:, :WIDTH]
    return np.concatenate([head, body], axis=0)


def _half(half: Half, word: str, colour: Colour) -> Image:
    inner = [
        note(f"{word}: {half.title}", SIDE, 0.46, colour),
        note(half.score, SIDE, 0.46, INK, bold=False),
        half.body,
    ]
    if half.foot:
        inner.append(note(half.foot, SIDE - 6))
    stacked = column(inner, 5)[:, :SIDE]
    side = WIDTH // 2
    out = np.pad(stacked, ((6, 6), (10, side - 10 - stacked.shape[1]), (0, 0)), constant_values=255)
    out[:4, 6 : side - 6] = colour
    return np.asarray(out)


# ---------------------------------------------------------------------------------------------------- small files


def save(image: Image, path: Path) -> int:
    """Writes a PNG with a palette, as many colours as stay below `LIMIT`; returns its bytes.

    Raises:
        SystemExit: If even few colours are too large.
    """
    for colours in (256, 128, 96, 64, 48, 32):
        data = _png(*_indexed(image, colours))
        if len(data) <= LIMIT:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return len(data)
    raise SystemExit(f"{path}: {len(data)} bytes, more than {LIMIT}: draw less")


def _indexed(image: Image, colours: int) -> tuple[Image, NDArray[np.uint8]]:
    """(n, 3) palette and (h, w) indices: median cut, after the extremes have got an entry of their own."""
    flat = image.reshape(-1, 3)
    found, back, count = np.unique(flat, axis=0, return_inverse=True, return_counts=True)
    boxes = [np.arange(len(found))]
    weight = np.sqrt(count.astype(np.float64))  # text is few colours often, frames are many colours seldom
    while len(boxes) < min(colours, len(found)):
        spread = [float(np.ptp(found[b], axis=0).max() * weight[b].sum()) if len(b) > 1 else -1.0 for b in boxes]
        widest = boxes.pop(int(np.argmax(spread)))
        axis = int(np.ptp(found[widest], axis=0).argmax())
        order = widest[np.argsort(found[widest][:, axis], kind="stable")]
        half = np.cumsum(weight[order])
        cut = int(np.clip(np.searchsorted(half, half[-1] / 2), 1, len(order) - 1))
        boxes += [order[:cut], order[cut:]]
    palette = np.stack([np.average(found[b], axis=0, weights=count[b]) for b in boxes]).round().astype(np.uint8)
    index = np.empty(len(found), np.uint8)
    for i, box in enumerate(boxes):
        index[box] = i
    return palette, index[back.ravel()].reshape(image.shape[:2])


def _png(palette: Image, index: NDArray[np.uint8]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = index.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), index], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"PLTE", palette.tobytes()), chunk(b"IDAT", zlib.compress(lines, 9))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")
