"""Pictures of distribution and policy: clouds of clips, palettes, and returns."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from scipy.spatial.distance import cdist

from pictures.canvas import (
    BLUE,
    ORANGE,
    Colour,
    Half,
    Image,
    column,
    enlarged,
    framed,
    labelled,
    note,
    row,
)
from pictures.plots import Axes, plane, span
from pictures.shared import Draw, said, shown, true, verdict
from pictures.worlds import Case, Library
from worldsim.metrics import clip_features as clips
from worldsim.types import Episode

Describe = Callable[[np.ndarray], np.ndarray]
WIDE = 430


def clouds(case: Case, describe: Describe) -> tuple[np.ndarray, np.ndarray, list[Episode]]:
    """(n, d) of the true clips, (n, d) of the shown ones, and the episode of each."""
    x, y, owners = [], [], []
    for group in case.groups:
        for episode in group:
            first, last = episode.context_length, episode.truth.last_valid_frame
            for a, b in clips.spans(first, last):
                x.append(describe(np.asarray(episode.truth.frames[a:b])))
                y.append(describe(np.asarray(episode.generated[0].trajectory.frames[a:b])))
                owners.append(episode)
    return np.stack(x), np.stack(y), owners


def scatter(case: Case, reference: Case, describe: Describe, words: str, ellipses: bool = False) -> Image:
    """True clips as rings, shown clips as dots, in the plane in which truth and the bad case spread most."""
    x, y, _ = clouds(case, describe)
    _, bad, _ = clouds(reference, describe)
    every, a, b = plane(np.concatenate([x, bad]), x, y)
    axes = Axes(span(every[:, 0]), span(every[:, 1]), labels=(words, ""), ticks=False, size=(WIDE, 230))
    axes.dots(b[:, 0], b[:, 1], ORANGE, 3)
    axes.dots(a[:, 0], a[:, 1], BLUE, 6, ring=True)
    if ellipses:
        for points, colour in ((a, BLUE), (b, ORANGE)):
            outline = _ellipse(points)
            axes.line(outline[:, 0], outline[:, 1], colour, 2)
    axes.key([("rings: true clips", BLUE), ("dots: shown clips", ORANGE)])
    return axes.image


def _ellipse(points: np.ndarray) -> np.ndarray:
    """(61, 2): mean and covariance as an outline."""
    angle = np.linspace(0, 2 * np.pi, 61)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1) * 1.7
    root = np.linalg.cholesky(np.cov(points.T) + 1e-9 * np.eye(2))
    return np.asarray(points.mean(axis=0) + circle @ root.T)


def examples(case: Case, worlds: int = 3) -> Image:
    """A shown frame of a few worlds."""
    cells = []
    for group in case.groups[:worlds]:
        episode = group[0]
        cells.append(labelled(framed(enlarged(shown(episode, episode.context_length + 20), 2)), "shown"))
    return row(cells, 4)


def film(case: Case, steps: int = 6) -> Image:
    """A few frames in a row, as shown, of one world."""
    lines = []
    for frame, words in ((true, "truth"), (shown, "shown")):
        episode = case.groups[2][0]
        first = episode.context_length + 20
        cells = [framed(frame(episode, first + 2 * k)) for k in range(steps)]
        lines += [note(f"{words}, every second frame", WIDE, 0.36), row(cells, 1)]
    return column(lines, 1)


def _cloud(
    metric: str,
    describe: Describe,
    axis: str,
    bad: tuple[str, float, str],
    good: str,
    below: Callable[[Case], Image],
    *,
    ellipses: bool = False,
    foot: str = "",
) -> Draw:
    def draw(library: Library) -> tuple[Half, Half]:
        wrong = library.case(metric, "explore", bad[0], bad[1])
        halves = []
        for case, title in ((library.case(metric, "explore"), good), (wrong, bad[2])):
            body = column([scatter(case, wrong, describe, axis, ellipses), below(case)], 4)
            halves.append(Half(title, said(case), body, foot))
        return halves[0], halves[1]

    return draw


def both(clip: np.ndarray) -> np.ndarray:
    """Look and motion in a row."""
    return np.concatenate([clips.look(clip), clips.move(clip)])


def _frame(
    episode: Episode, t: int, colour: Colour | None, frame: Callable[[Episode, int], Image], side: int = 84
) -> Image:
    return framed(cv2.resize(frame(episode, t), (side, side), interpolation=cv2.INTER_NEAREST), colour)


def coverage(library: Library) -> tuple[Half, Half]:
    """True worlds: those that something shown comes near to, and those that nothing does."""
    halves = []
    for fault, title in (("", "everything that is true is shown"), ("mode-collapse", "always the same world")):
        case = library.case("distribution.coverage", "explore", fault, 1.0)
        x, y, owners = clouds(case, clips.palette)
        names = np.array([e.id for e in owners])
        apart = np.where(names[:, None] != names[None, :], 0.0, np.inf)
        radius = np.sort(cdist(x, x) + apart, axis=1)[:, 4]
        covered = (cdist(x, y) + apart <= radius[:, None]).any(axis=1)
        cells = []
        for group in case.groups[:12]:
            episode = group[0]
            own = np.flatnonzero(names == episode.id)
            last = clips.spans(episode.context_length, episode.truth.last_valid_frame)[-1][1] - 4
            cells.append(_frame(episode, last, verdict(bool(covered[own[-1]])), true, 62))
        above = column([row(cells[k : k + 6], 2) for k in (0, 6)], 2)
        below = row([_frame(g[0], g[0].context_length + 40, None, shown, 62) for g in case.groups[:6]], 2)
        body = column(
            [
                note("true clips: green = something shown is near, red = nothing is", WIDE, 0.38),
                above,
                note("what is shown in six of the worlds:", WIDE, 0.38),
                below,
            ],
            3,
        )
        halves.append(Half(title, said(case), body, f"{int(covered.sum())} of {len(covered)} clips are covered"))
    return halves[0], halves[1]


def precision(library: Library) -> tuple[Half, Half]:
    """Shown clips that could be true, and those that could not."""
    halves = []
    cases = (
        ("mode-collapse", 1.0, "one plausible world for all: could be true"),
        ("tint", 0.8, "a strong tint: much could not be true"),
    )
    for fault, severity, title in cases:
        case = library.case("distribution.precision", "explore", fault, severity)
        x, y, owners = clouds(case, clips.palette)
        names = np.array([e.id for e in owners])
        apart = np.where(names[:, None] != names[None, :], 0.0, np.inf)
        radius = np.sort(cdist(x, x) + apart, axis=1)[:, 4]
        plausible = (cdist(x, y) + apart <= radius[:, None]).any(axis=0)
        cells = []
        for group in case.groups[:12]:
            episode = group[0]
            own = np.flatnonzero(names == episode.id)
            last = clips.spans(episode.context_length, episode.truth.last_valid_frame)[-1][1] - 4
            cells.append(_frame(episode, last, verdict(bool(plausible[own[-1]])), shown, 62))
        body = column(
            [
                note("shown clips: green = a true clip is near, red = none is", WIDE, 0.38),
                *(row(cells[k : k + 6], 2) for k in (0, 6)),
            ],
            3,
        )
        foot = "1 is the truth's own share. It says nothing about what is missing: read it with coverage"
        halves.append(Half(title, said(case), body, foot))
    return halves[0], halves[1]


def palette_bar(frame: Image, width: int = 200, height: int = 14) -> Image:
    """The colours of a frame, sorted, as a strip."""
    small = cv2.resize(frame, (24, 24), interpolation=cv2.INTER_AREA).reshape(-1, 3)
    hsv = cv2.cvtColor(small[None], cv2.COLOR_RGB2HSV)[0].astype(int)
    order = np.lexsort((hsv[:, 2], hsv[:, 1] // 64, hsv[:, 0] // 12))
    strip = cv2.resize(small[order][None], (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(strip)


def diversity(library: Library) -> tuple[Half, Half]:
    """The palettes of worlds, true beside shown."""
    halves = []
    for fault, title in (("", "worlds differ as they should"), ("mode-collapse", "all worlds look alike")):
        case = library.case("distribution.diversity", "explore", fault, 1.0)
        lines = [row([note("truth, world by world", 206, 0.38), note("shown", 200, 0.38)], 8)]
        for group in case.groups[:12]:
            episode = group[0]
            t = episode.context_length + 30
            lines.append(row([palette_bar(true(episode, t), 206), palette_bar(shown(episode, t), 206)], 8))
        ratio = float(case.score.details["ratio"])
        foot = f"variance between worlds, shown over true: {ratio:.2f}. Too much counts as much as too little"
        halves.append(Half(title, said(case), column(lines, 3), foot))
    return halves[0], halves[1]


DRAW: dict[str, Draw] = {
    "distribution.mmd_appearance": _cloud(
        "distribution.mmd_appearance",
        clips.look,
        "how a clip looks (two directions)",
        ("blur", 2.0, "blurred pictures"),
        "the shown clips look like the true ones",
        examples,
    ),
    "distribution.mmd_motion": _cloud(
        "distribution.mmd_motion",
        clips.move,
        "how a clip moves (two directions)",
        ("freeze", 1.0, "frozen: nothing moves"),
        "the shown clips move like the true ones",
        film,
    ),
    "distribution.mmd_joint": _cloud(
        "distribution.mmd_joint",
        both,
        "look and motion (two directions)",
        ("frame-shuffle", 16.0, "frames out of order: right look, wrong motion"),
        "look and motion go together",
        film,
    ),
    "distribution.frechet": _cloud(
        "distribution.frechet",
        both,
        "look and motion (two directions)",
        ("blur", 2.0, "blurred pictures: another mean and covariance"),
        "mean and covariance agree",
        examples,
        ellipses=True,
        foot="ellipses: mean and covariance in this plane",
    ),
    "distribution.coverage": coverage,
    "distribution.precision": precision,
    "distribution.diversity": diversity,
}
