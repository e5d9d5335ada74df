"""Axes with points, lines and bars, on the paper of `canvas`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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
        for k, ((a, b), (c, d)) in enumerate(pairwise(points)):
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

    def key(self, entries: Sequence[tuple[str, Colour]]) -> None:
        """Coloured words in a row above the axes."""
        u = self.box[0]
        for words, colour in entries:
            write(self.image, words, u, self.box[1] - 7, 0.38, colour)
            u += width_of(words, 0.38) + 16

    def names(self, x: Float, y: Float, names: Sequence[str]) -> None:
        """Words beside points; those of points that lie on each other share a place."""
        places: dict[tuple[int, int], list[str]] = {}
        for a, b, name in zip(x, y, names, strict=True):
            u, v = self.at(a, b)
            near = next((p for p in places if abs(p[0] - u) < 12 and abs(p[1] - v) < 10), (u, v))
            places.setdefault(near, []).append(name)
        for (u, v), own in places.items():
            words = " ".join(own)
            beside = u + 8 if u + 8 + width_of(words, 0.36) < self.box[2] else u - 8 - width_of(words, 0.36)
            write(self.image, words, beside, v + 4, 0.36, GREY)

    def legend(self, entries: Sequence[tuple[str, Colour]], top: bool = True) -> None:
        """Coloured words below each other on the right, inside."""
        _, high, right, low = self.box
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


def plane(vectors: Float, *others: Float) -> list[Float]:
    """(n, d), ... -> (n, 2), ...: all in the two directions in which the first spread most."""
    middle = vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(vectors - middle, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2][np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    return [np.asarray((v - middle) @ axes.T) for v in (vectors, *others)]


def span(values: ArrayLike, margin: float = 0.08) -> tuple[float, float]:
    """Least and largest, with room around."""
    low, high = float(np.min(values)), float(np.max(values))
    room = (high - low) * margin or 1.0
    return low - room, high + room
