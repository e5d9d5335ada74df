"""Pictures of fidelity: the truth, what was shown, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pictures.canvas import BLUE, GREY, Half, Image, column, difference, enlarged, framed, labelled, row
from pictures.plots import Axes
from pictures.shared import Draw, said, shown, true
from pictures.worlds import Library
from worldsim.metrics import fidelity as metrics
from worldsim.metrics.functional import fidelity
from worldsim.metrics.masks import region
from worldsim.types import Episode

Map = Callable[[Episode, int], Image]


def apart(episode: Episode, t: int) -> Image:
    """The difference map of a frame."""
    return difference(true(episode, t), shown(episode, t))


def edges(frame: Image) -> Image:
    """Edge strength as dark on white."""
    strength = fidelity.gradient_magnitude(frame[None])[0]
    grey = 255 - np.clip(strength / np.quantile(strength, 0.98) * 255, 0, 255)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def within(name: str) -> Map:
    """The difference map inside a region; what is not looked at is grey."""

    def draw(episode: Episode, t: int) -> Image:
        out = apart(episode, t)
        out[~region(episode, name, t)] = 150
        return out

    return draw


Pick = Callable[[Library], tuple[str, int]]  # the id of an episode, and the horizon that is drawn
HORIZONS = (4, 6, 8, 12, 16, 24)


def first(library: Library) -> tuple[str, int]:
    """The first world, 12 frames on."""
    return library.groups("explore")[0][0].episode.id, 12


def best(value: Callable[[Library, Episode, int], float]) -> Pick:
    """World and horizon with the largest value of a frame."""

    def pick(library: Library) -> tuple[str, int]:
        found = [g[0].episode for g in library.groups("explore")]
        at = [(value(library, e, e.context_length - 1 + h), e.id, h) for e in found for h in HORIZONS]
        _, world, horizon = max(at, key=lambda one: one[0])
        return world, horizon

    return pick


def lost(library: Library, episode: Episode, t: int) -> float:
    """How much a vanished thing changes a frame of which much is static."""
    wrong = next(e for g in library.play("explore", "vanish", 1.0) for e in g if e.id == episode.id)
    changed = float((difference(true(wrong, t), shown(wrong, t))[..., 0] < 200).mean())
    return min(changed, 0.1) * float(region(episode, "static", t).mean())


def amid(library: Library, episode: Episode, t: int) -> float:
    """Pixels of things, not at the border."""
    mask = region(episode, "object", t)
    return float(mask[8:-8, 8:-8].sum() - 4 * mask[[0, 1, -2, -1]].sum() - 4 * mask[:, [0, 1, -2, -1]].sum())


def halfway(library: Library, episode: Episode, t: int) -> float:
    """How close to half of the frame is revealed."""
    return -abs(float(region(episode, "revealed", t).mean()) - 0.5)


def _compare(
    metric: str,
    good: tuple[str, float, str],
    bad: tuple[str, float, str],
    third: tuple[str, Map] = ("difference", apart),
    *,
    pick: Pick = first,
    digits: int = 2,
    unit: str = "",
    feet: tuple[str, str] = ("", ""),
) -> Draw:
    """Truth, shown, and a map, of one frame; two faults."""

    def draw(library: Library) -> tuple[Half, Half]:
        world, horizon = pick(library)
        halves = []
        for (fault, severity, title), foot in zip((good, bad), feet, strict=True):
            case = library.case(metric, "explore", fault, severity)
            episode = next(e for g in case.groups for e in g if e.id == world)
            t = episode.context_length - 1 + horizon
            pictures = [("truth", true(episode, t)), ("shown", shown(episode, t)), (third[0], third[1](episode, t))]
            cells = [labelled(framed(enlarged(p, 2), GREY), words) for words, p in pictures]
            halves.append(
                Half(title, said(case, digits, unit), row(cells, 4), foot or f"{horizon} frames after the context")
            )
        return halves[0], halves[1]

    return draw


def zncc(library: Library) -> tuple[Half, Half]:
    """Frames and their edges."""
    halves = []
    for fault, severity, title in (("tint", 0.8, "a strong tint: the edges stay"), ("blur", 2.0, "blur: the edges go")):
        case = library.case("fidelity.gradient_zncc", "explore", fault, severity)
        episode = case.groups[0][0]
        t = episode.context_length + 11
        lines = []
        pairs = (("truth", "the truth", true(episode, t)), ("shown", "what is shown", shown(episode, t)))
        for words, what, frame in pairs:
            lines.append(
                row(
                    [
                        labelled(framed(enlarged(frame, 3), GREY), words),
                        labelled(framed(enlarged(edges(frame), 3), GREY), f"edges of {what}"),
                    ],
                    8,
                )
            )
        halves.append(Half(title, said(case), column(lines, 4)))
    return halves[0], halves[1]


def horizon(library: Library) -> tuple[Half, Half]:
    """Error over time against the best null."""
    halves = []
    metric = metrics.UsefulHorizon()
    for fault, severity, title in (
        ("yaw-drift", 0.1, "drifts slowly"),
        ("yaw-drift", 1.0, "drifts fast, 1 degree a step"),
    ):
        case = library.case("fidelity.useful_horizon", "explore", fault, severity)
        hs = sorted({r.delay for r in case.rows if r.delay is not None})
        own = [np.mean([r.outcome for r in case.rows if r.delay == h]) for h in hs]
        nulls = [min(np.mean([r.details[n] for r in case.rows if r.delay == h]) for n in metric.nulls) for h in hs]
        until = float(case.score.value or 0.0)
        axes = Axes(
            (0, max(hs)), (0, 0.18), labels=("frames after the context", "mean pixel error (L1)"), size=(430, 240)
        )
        axes.line([until, until], [0, 0.18], PURPLE, 1)
        axes.line(hs, nulls, GREY)
        axes.line(hs, own, BLUE)
        axes.legend(
            [("knowing nothing (best null)", GREY), ("shown", BLUE), (f"useful for {until:.0f} frames", PURPLE)],
            top=False,
        )
        episode = case.groups[0][0]
        cells = []
        for h in (4, 12, 32):
            t = episode.context_length - 1 + h
            cells.append(labelled(framed(enlarged(shown(episode, t), 2), GREY), f"shown, frame {h}"))
        halves.append(Half(title, said(case, 0, " frames"), column([axes.image, row(cells, 4)], 2)))
    return halves[0], halves[1]


PURPLE = (120, 40, 150)

DRAW: dict[str, Draw] = {
    "fidelity.psnr": _compare(
        "fidelity.psnr", ("noise", 4.0, "slight noise"), ("yaw-drift", 1.0, "the view drifts"), digits=1, unit=" dB"
    ),
    "fidelity.ssim": _compare(
        "fidelity.ssim",
        ("tint", 0.4, "another tint, same structure"),
        ("blur", 2.0, "blur: the structure is lost"),
    ),
    "fidelity.l1": _compare("fidelity.l1", ("jpeg", 30.0, "light compression"), ("lag", 8.0, "8 steps late"), digits=3),
    "fidelity.gradient_zncc": zncc,
    "fidelity.useful_horizon": horizon,
    "fidelity.l1_static": _compare(
        "fidelity.l1_static",
        ("vanish", 1.0, "things vanish, the static world is right"),
        ("yaw-drift", 1.0, "the view drifts"),
        ("difference (grey: not asked)", within("static")),
        pick=best(lost),
        digits=3,
        feet=("grey: things, and what the context never showed",) * 2,
    ),
    "fidelity.l1_object": _compare(
        "fidelity.l1_object",
        ("noise", 4.0, "slight noise"),
        ("lag", 8.0, "8 steps late"),
        ("difference (grey: not asked)", within("object")),
        pick=best(amid),
        digits=3,
        feet=("asked is where the truth shows a thing",) * 2,
    ),
    "fidelity.l1_revealed": _compare(
        "fidelity.l1_revealed",
        ("noise", 4.0, "slight noise"),
        ("freeze", 1.0, "freezes: nothing new comes into view"),
        ("difference (grey: not asked)", within("revealed")),
        pick=best(halfway),
        digits=3,
        feet=("asked is what no context frame showed",) * 2,
    ),
}
