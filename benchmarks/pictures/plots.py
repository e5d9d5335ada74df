"""Axes with points, lines and bars, on the paper of `canvas`."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pictures.canvas import GREY, INK, PALE, Colour, Image, paper, width_of, write

Float = NDArray[np.float64]


class Axes:
    """A rectangle of paper with two scales."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        size: tuple[int, int] = (430, 250),
        labels: tuple[str, str] = ("", ""),
        ticks: bool = True,
    ) -> None:
        """`size` is width and height; `labels` go below and above the axes."""
        self.image: Image = paper(size[1], size[0])
        self.x, self.y = x, y
        self.box = (40 if ticks else 8, 22, size[0] - 10, size[1] - (36 if ticks else 22))  # left, top, right, bottom
        left, top, right, bottom = self.box
        cv2.rectangle(self.image, (left, top), (right, bottom), PALE, 1)
        write(self.image, labels[1], left, top - 7, 0.38, GREY)
        write(self.image, labels[0], right - width_of(labels[0], 0.38), size[1] - 5, 0.38, GREY)
        if ticks:
            for value in _ticks(*x):
                u = self.at(value, y[0])[0]
                cv2.line(self.image, (u, bottom), (u, bottom + 3), GREY, 1)
                words = f"{value:g}"
                write(self.image, words, u - width_of(words, 0.34) // 2, bottom + 15, 0.34, GREY)
            for value in _ticks(*y):
                v = self.at(x[0], value)[1]
                cv2.line(self.image, (left - 3, v), (left, v), GREY, 1)
                words = f"{value:g}"
                write(self.image, words, left - 6 - width_of(words, 0.34), v + 4, 0.34, GREY)

    def at(self, x: float, y: float) -> tuple[int, int]:
        """Pixel of a value, clipped to the axes."""
        left, top, right, bottom = self.box
        u = left + (x - self.x[0]) / (self.x[1] - self.x[0]) * (right - left)
        v = bottom - (y - self.y[0]) / (self.y[1] - self.y[0]) * (bottom - top)
        return int(np.clip(round(u), left, right)), int(np.clip(round(v), top, bottom))

    def line(self, x: ArrayLike, y: ArrayLike, colour: Colour = INK, width: int = 2, dashed: bool = False) -> None:
        """Through points; NaN leaves a gap."""
        points = [(a, b) for a, b in zip(np.asarray(x, float), np.asarray(y, float), strict=True)]
        for k, ((a, b), (c, d)) in enumerate(zip(points, points[1:], strict=False)):
            if np.isfinite([a, b, c, d]).all() and not (dashed and k % 2):
                cv2.line(self.image, self.at(a, b), self.at(c, d), colour, width, cv2.LINE_AA)

    def straight(self, first: tuple[float, float], last: tuple[float, float], colour: Colour = PALE) -> None:
        """A thin dashed line between two values."""
        x, y = (np.linspace(first[k], last[k], 42) for k in (0, 1))
        self.line(x, y, colour, 1, dashed=True)

    def dots(self, x: ArrayLike, y: ArrayLike, colour: Colour, radius: int = 4, ring: bool = False) -> None:
        """Points: filled, or rings."""
        for a, b in zip(np.asarray(x, float), np.asarray(y, float), strict=True):
            cv2.circle(self.image, self.at(a, b), radius, colour, 1 if ring else -1, cv2.LINE_AA)

    def say(self, x: float, y: float, words: str, colour: Colour = INK, size: float = 0.36, dx: int = 7, dy: int = 4) -> None:
        """Words beside a value."""
        u, v = self.at(x, y)
        write(self.image, words, min(u + dx, self.image.shape[1] - width_of(words, size) - 2), v + dy, size, colour)

    def legend(self, entries: Sequence[tuple[str, Colour]], top: bool = True) -> None:
        """Coloured words at the upper right, inside."""
        left, high, right, low = self.box
        for k, (words, colour) in enumerate(entries):
            y = high + 15 + 15 * k if top else low - 8 - 15 * (len(entries) - 1 - k)
            write(self.image, words, right - 6 - width_of(words, 0.38), y, 0.38, colour)


def _ticks(low: float, high: float) -> list[float]:
    step = 10.0 ** np.floor(np.log10((high - low) / 2))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= 6:
            step *= factor
            break
    first = np.ceil(low / step - 1e-9)
    return [round(float(step * k), 10) for k in range(int(first), int(np.floor(high / step + 1e-9)) + 1)]


def plane(vectors: Float) -> Float:
    """(n, d) -> (n, 2): the two directions of largest spread, signs fixed by the largest component."""
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2][np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    return np.asarray(centred @ axes.T)


def span(values: ArrayLike, margin: float = 0.08) -> tuple[float, float]:
    """Least and largest, with room around."""
    low, high = float(np.min(values)), float(np.max(values))
    room = (high - low) * margin or 1.0
    return low - room, high + room
