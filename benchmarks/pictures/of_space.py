"""Pictures of geometry and coherence: what must be seen again, and where."""

from __future__ import annotations

import cv2
import numpy as np

from pictures.canvas import BLUE, GREY, ORANGE, Half, Image, column, enlarged, framed, labelled, row
from pictures.plots import Axes
from pictures.shared import Draw, said, shown, true, verdict
from pictures.worlds import Case, Library
from worldsim.metrics.functional import epipolar, geometry
from worldsim.metrics.functional import reprojection as functional
from worldsim.types import Episode, Observation

WHERE = ("explore@128", "strafe@128")


def at(found: Observation) -> list[int]:
    """The frame indices that a row names: "12-16" or "8-30-41"."""
    return [int(t) for t in found.event.split("-")]


def episode_of(case: Case, found: Observation) -> Episode:
    """The episode of a row."""
    return next(e for g in case.groups for e in g if e.id == found.episode)


def mismatch(first: Image, second: Image, view: geometry.PairView) -> tuple[Image, Image]:
    """The second frame moved onto the first by true depth and motion, and where it does not fit: dark = unlike."""
    pixels = view.maps[1.0, 1.0]
    moved = np.stack([geometry.sample(second[..., k].astype(np.float32), pixels) for k in range(3)], axis=-1)
    moved = np.where(view.kept[..., None], moved, 150).astype(np.uint8)
    a, b = (functional.low_passed(cv2.cvtColor(f.astype(np.float32), cv2.COLOR_RGB2GRAY)) for f in (first, second))
    error = functional.zncc_error(a, geometry.sample(b, pixels), view.kept)
    faint = functional.local_std(a, view.kept) < functional.MIN_STD
    grey = np.where(view.kept & ~faint, 255 * (1 - np.clip(error * 1.6, 0, 1)), 150).astype(np.uint8)
    return moved, np.repeat(grey[..., None], 3, axis=2)


def reprojection(library: Library) -> tuple[Half, Half]:
    """Two frames, the one moved onto the other, and where they do not fit."""
    halves = []
    for fault, title in (
        ("", "surfaces reappear where they must"),
        ("flattened-parallax", "the world is painted on a flat wall"),
    ):
        case = library.case("geometry.reprojection", WHERE, fault, 1.0)
        flat = library.case("geometry.reprojection", WHERE, "flattened-parallax", 1.0)
        worst = max(
            (r for r in flat.rows if r.outcome is not None), key=lambda r: r.details["e_gen"] - r.details["e_gt"]
        )
        i, j = at(worst)
        episode = episode_of(case, worst)
        view = geometry.pair_view(episode.truth.states[i], episode.truth.states[j])
        moved, error = mismatch(shown(episode, i), shown(episode, j), view)
        top = [
            labelled(framed(shown(episode, i), GREY), f"shown, frame {i}"),
            labelled(framed(shown(episode, j), GREY), f"shown, frame {j}"),
            labelled(framed(true(episode, j), GREY), f"truth, frame {j}"),
        ]
        low = [
            labelled(framed(moved, GREY), f"frame {j} moved onto {i}"),
            labelled(framed(error, GREY), "does not fit: dark"),
        ]
        foot = "moved by the true depth and the true motion; grey: not asked (things, edges, out of view, no texture)"
        halves.append(Half(title, said(case), column([row(top, 4), row(low, 4)], 2), foot))
    return halves[0], halves[1]


def _matches(episode: Episode, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    states = episode.truth.states
    ids = states[i].segmentation, states[j].segmentation
    return epipolar.off_instances(epipolar.sift_matches(shown(episode, i), shown(episode, j)), ids)


def walked(case: Case, found: Observation) -> bool:
    """Whether the true camera moves between the two frames: else there are points, and no lines."""
    first, second = (episode_of(case, found).truth.states[t] for t in at(found))
    return bool(np.linalg.norm(geometry.relative_pose(first, second)[:3, 3]) > epipolar.STILL)


def tsed(library: Library) -> tuple[Half, Half]:
    """Points in one frame, and the lines on which they must lie in the other."""
    halves = []
    for fault, title in (("", "matches lie on their lines"), ("pose-jitter", "the camera trembles: they do not")):
        case = library.case("geometry.tsed", "explore@128", fault, 4.0)
        wrong = library.case("geometry.tsed", "explore@128", "pose-jitter", 4.0)
        chosen = max(
            (r for r in wrong.rows if r.outcome == 0.0 and walked(wrong, r)), key=lambda r: r.details["median"] or 0.0
        )
        i, j = at(chosen)
        episode = episode_of(case, chosen)
        own = next(r for r in case.rows if r.episode == chosen.episode and r.event == chosen.event)
        a, b = _matches(episode, i, j)
        first, second = episode.truth.states[i], episode.truth.states[j]
        matrix = epipolar.fundamental(geometry.relative_pose(first, second), first.intrinsics, second.intrinsics)
        pictures = [cv2.resize(shown(episode, t), (203, 203), interpolation=cv2.INTER_NEAREST) for t in (i, j)]
        scale = 203 / 128
        picked = np.linspace(0, len(a) - 1, min(9, len(a))).astype(int)
        for k in picked:
            line = matrix @ np.array([*a[k], 1.0])
            far = abs(line @ np.array([*b[k], 1.0])) / max(float(np.hypot(*line[:2])), 1e-9)
            colour = verdict(bool(far < 2.0))
            cv2.circle(pictures[0], tuple(int(v) for v in a[k] * scale), 4, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(pictures[0], tuple(int(v) for v in a[k] * scale), 3, colour, -1, cv2.LINE_AA)
            ends = _ends(line, 128)
            if ends is not None:
                p, q = (tuple(int(v) for v in np.asarray(end) * scale) for end in ends)
                cv2.line(pictures[1], p, q, (255, 255, 255), 1, cv2.LINE_AA)
                foot_point = b[k] - line[:2] * (line @ np.array([*b[k], 1.0])) / float(line[:2] @ line[:2])
                p, q = (tuple(int(v) for v in end * scale) for end in (b[k], foot_point))
                cv2.line(pictures[1], p, q, colour, 2, cv2.LINE_AA)
            cv2.circle(pictures[1], tuple(int(v) for v in b[k] * scale), 4, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(pictures[1], tuple(int(v) for v in b[k] * scale), 3, colour, -1, cv2.LINE_AA)
        body = row(
            [
                labelled(pictures[0], f"shown, frame {i}: points"),
                labelled(pictures[1], f"frame {j}: their matches, and lines"),
            ],
            6,
        )
        foot = (
            "white: where the true motion allows each point; bars: how far off. This pair: "
            f"median {float(own.details['median']):.1f} px off, {'consistent' if own.outcome else 'not consistent'}"
        )
        halves.append(Half(title, said(case), body, foot))
    return halves[0], halves[1]


def _ends(line: np.ndarray, size: float) -> list[tuple[float, float]] | None:
    """Where a line (a, b, c) crosses the border of a square picture."""
    a, b, c = line
    found = []
    for x in (0.0, size):
        if abs(b) > 1e-12 and 0 <= (y := -(a * x + c) / b) <= size:
            found.append((x, y))
    for y in (0.0, size):
        if abs(a) > 1e-12 and 0 <= (x := -(b * y + c) / a) <= size:
            found.append((x, y))
    return [found[0], found[-1]] if len(found) > 1 else None


def self_pose(library: Library) -> tuple[Half, Half]:
    """The motion of matches, true and shown."""
    halves = []
    fair = library.case("geometry.self_pose", "explore@128", "", 4.0)
    bad = library.case("geometry.self_pose", "explore@128", "pose-jitter", 4.0)
    low = {(r.episode, r.event): float(r.outcome) for r in bad.rows if r.outcome is not None}
    chosen = min((r for r in fair.rows if r.outcome is not None), key=lambda r: low[r.episode, r.event])
    i, j = at(chosen)
    for case, title in ((fair, "the pictures imply the true motion"), (bad, "the camera trembles: another motion")):
        episode = episode_of(case, chosen)
        own = next(r for r in case.rows if r.episode == chosen.episode and r.event == chosen.event)
        cells = []
        for words, frame, colour in (("truth", true, GREY), ("shown", shown, verdict(float(own.outcome or 0) > 0.5))):
            picture = cv2.resize(frame(episode, i), (203, 203), interpolation=cv2.INTER_NEAREST)
            a, b = epipolar.sift_matches(frame(episode, i), frame(episode, j))
            for p, q in zip(a * 203 / 128, b * 203 / 128, strict=True):
                ends = [tuple(int(v) for v in end) for end in (p, q)]
                cv2.arrowedLine(picture, *ends, (255, 255, 255), 3, cv2.LINE_AA, tipLength=0.25)
                cv2.arrowedLine(picture, *ends, (30, 30, 30), 1, cv2.LINE_AA, tipLength=0.25)
            cells.append(labelled(framed(picture, colour), f"{words}: where points of frame {i} go in {j}"))
        angle, value = float(own.details["angle"]), float(own.outcome or 0.0)
        foot = f"this pair: the turns implied are {angle:.1f} degrees apart, score {value:.2f}"
        halves.append(Half(title, said(case), row(cells, 4), foot))
    return halves[0], halves[1]


def revisit(library: Library) -> tuple[Half, Half]:
    """A place, the way out, and the place again."""
    halves = []
    bad = library.case("coherence.revisit", "there_and_back", "yaw-drift", 1.0)
    chosen = min(
        (r for r in bad.rows if r.outcome is not None and r.details["left"]),
        key=lambda r: (r.outcome, r.episode, r.event),
    )
    first, far, again = at(chosen)
    for fault, title in (
        ("", "the same place when seen again"),
        ("yaw-drift", "the view turns by itself, 1 degree a step"),
    ):
        case = library.case("coherence.revisit", "there_and_back", fault, 1.0)
        episode = episode_of(case, chosen)
        view = geometry.pair_view(episode.truth.states[first], episode.truth.states[again])
        _, error = mismatch(shown(episode, first), shown(episode, again), view)
        own = next(r for r in case.rows if r.episode == chosen.episode and r.event == chosen.event)
        top = [
            labelled(framed(enlarged(shown(episode, first), 2)), f"shown, frame {first}"),
            labelled(framed(enlarged(shown(episode, far), 2)), f"frame {far}: elsewhere"),
            labelled(
                framed(enlarged(shown(episode, again), 2), verdict(float(own.outcome or 0) > 0.5)),
                f"frame {again}: back",
            ),
        ]
        low = [
            labelled(framed(enlarged(error, 2), GREY), "unlike before: dark"),
            labelled(framed(enlarged(true(episode, again), 2)), f"truth, frame {again}"),
        ]
        foot = f"this visit: {float(own.outcome or 0):.2f}. Grey: not asked. A camera that never left gets 0"
        halves.append(Half(title, said(case), column([row(top, 4), row(low, 4)], 2), foot))
    return halves[0], halves[1]


def horizon(library: Library) -> tuple[Half, Half]:
    """Frames over time: this moment's, or another's."""
    halves = []
    cases = [library.case("coherence.horizon", "explore", f, s) for f, s in (("yaw-drift", 0.1), ("yaw-drift", 1.0))]
    many = {
        e: sum(r.episode == e and r.outcome is not None for r in cases[0].rows)
        for e in sorted({r.episode for r in cases[0].rows})
    }
    world = max(many, key=lambda e: (many[e], e))
    for case, title in zip(
        cases, ("drifts slowly: still this moment's view", "drifts fast: soon another view"), strict=True
    ):
        episode = next(e for g in case.groups for e in g if e.id == world)
        decided = [r for r in case.rows if r.episode == world and r.outcome is not None][-4:]
        cells = []
        for frame, words in ((true, "truth"), (shown, "shown")):
            line = []
            for r in decided:
                t = episode.context_length - 1 + int(r.delay or 0)
                colour = verdict(bool(r.outcome)) if frame is shown else None
                picture = cv2.resize(frame(episode, t), (96, 96), interpolation=cv2.INTER_NEAREST)
                below = ("identified" if r.outcome else "not identified") if frame is shown else ""
                line.append(labelled(framed(picture, colour), f"{words}, {r.delay}", below, verdict(bool(r.outcome))))
            cells.append(row(line, 3))
        curve = {h: v for h, v in (case.score.curve or {}).items() if v is not None}
        axes = Axes(
            (0, 48), (0, 1.05), labels=("frames after the context", "share of worlds identified"), size=(430, 150)
        )
        axes.straight((0, 0.5), (48, 0.5), GREY)
        axes.line(list(curve), list(curve.values()), BLUE)
        axes.dots(list(curve), list(curve.values()), BLUE, 3)
        halves.append(Half(title, said(case), column([*cells, axes.image], 2)))
    return halves[0], halves[1]


def drift(library: Library) -> tuple[Half, Half]:
    """Frames of early and late segments, and how far the look has slipped."""
    halves = []
    for fault, severity, title in (
        ("tint", 0.4, "a constant tint is no drift"),
        ("colour-fade", 0.08, "colours fade, 8 % a step"),
    ):
        case = library.case("coherence.drift", "explore", fault, severity)
        episode = case.groups[0][0]
        lines = []
        for frame, words in ((true, "truth"), (shown, "shown")):
            cells = []
            for h in (4, 24, 44):
                t = episode.context_length - 1 + h
                cells.append(labelled(framed(enlarged(frame(episode, t), 2)), f"{words}, frame {h}"))
            lines.append(row(cells, 4))
        segments = sorted({r.delay for r in case.rows if r.outcome is not None})
        values = [np.mean([r.outcome for r in case.rows if r.delay == s]) for s in segments]
        axes = Axes(
            (0, 50), (0, 1.0), labels=("frames after the context", "how far the look has slipped"), size=(430, 150)
        )
        axes.line(segments, values, ORANGE)
        axes.dots(segments, values, ORANGE, 3)
        halves.append(Half(title, said(case), column([*lines, axes.image], 2)))
    return halves[0], halves[1]


DRAW: dict[str, Draw] = {
    "geometry.reprojection": reprojection,
    "geometry.tsed": tsed,
    "geometry.self_pose": self_pose,
    "coherence.revisit": revisit,
    "coherence.horizon": horizon,
    "coherence.drift": drift,
}
