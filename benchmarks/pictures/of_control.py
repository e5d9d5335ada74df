"""Pictures of action control: futures beside each other, motions and keys over time."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pictures.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PALE,
    Half,
    Image,
    column,
    enlarged,
    framed,
    labelled,
    note,
    paper,
    row,
    signed,
    width_of,
    write,
)
from pictures.plots import Axes
from pictures.shared import Draw, marks, said, shown, true, verdict
from pictures.worlds import Case, Library, score, with_frames
from worldsim.metrics.control_motion import TrueSteps, measure
from worldsim.metrics.functional import inverse_dynamics
from worldsim.protocols import EpisodeGroup
from worldsim.types import Episode

PRESSED = {
    "forward": "walk ahead",
    "left": "step left",
    "turn_left": "turn left",
    "turn_right": "turn right",
    "noop": "nothing",
    "wait": "wait",
}


def variant(group: EpisodeGroup, name: str) -> Episode:
    """The episode in which this action was held."""
    return next(e for e in group if e.variant == name)


def branch(library: Library) -> tuple[Half, Half]:
    """True futures above generated ones, and what each was taken for."""
    halves = []
    for fault, title in (("", "each action leads to its own future"), ("flip", "left and right are mirrored")):
        case = library.case("control.branch", "counterfactual", fault, 1.0)
        group = case.groups[0]
        cells = []
        for name in ("turn_left", "forward", "turn_right"):
            episode = variant(group, name)
            t = marks(episode)["return"]
            found = next(r for r in case.rows if r.episode == episode.id)
            taken = str(found.details["taken_for"][-1])
            right = name in taken.split("/")
            words = PRESSED.get(taken, taken)
            above = labelled(framed(enlarged(true(episode, t), 2)), f'truth of "{PRESSED[name]}"')
            below = framed(enlarged(shown(episode, t), 2), verdict(right))
            cells.append(column([above, labelled(below, "shown", f"taken for: {words}", verdict(right))], 2))
        start = variant(group, "forward")
        begin = framed(enlarged(true(start, marks(start)["departure"]), 1))
        foot = row([begin, note("the start that all of them share; each action is held for 6 steps", 330)])
        halves.append(Half(title, said(case), column([row(cells, 4), foot], 4)))
    return halves[0], halves[1]


def _pair(group: EpisodeGroup, first: str, second: str, gain: float = 1.5) -> Image:
    """Two futures and their difference: in the truth, and as shown."""
    lines = []
    for words, frame in (("truth", true), ("shown", shown)):
        a, b = (variant(group, name) for name in (first, second))
        t = marks(a)["return"]
        x, y = frame(a, t), frame(b, t)
        cells = [
            labelled(framed(enlarged(x, 2)), f"{words}: {PRESSED[first]}"),
            labelled(framed(enlarged(y, 2)), f"{words}: {PRESSED[second]}"),
            labelled(framed(enlarged(signed(x, y, gain), 2), GREY), f"{words}: difference"),
        ]
        lines.append(row(cells, 4))
    return column(lines, 2)


def _differences(
    metric: str, fault: str, severity: float, titles: tuple[str, str], pair: tuple[str, str], foot: str
) -> Draw:
    def draw(library: Library) -> tuple[Half, Half]:
        halves = []
        for planted, title in zip(("", fault), titles, strict=True):
            case = library.case(metric, "counterfactual", planted, severity if planted else 0.0)
            halves.append(Half(title, said(case), _pair(case.groups[0], *pair), foot))
        return halves[0], halves[1]

    return draw


def leak(library: Library) -> tuple[Half, Half]:
    """Two actions without effect."""
    groups = library.play("counterfactual", "", 0.0)
    wrong = []
    for group in groups:
        frames = [np.asarray(e.generated[0].trajectory.frames) for e in group]
        walk = next(i for i, e in enumerate(group) if e.variant == "left")
        wait = next(i for i, e in enumerate(group) if e.variant == "wait")
        frames[wait] = frames[walk]
        wrong.append(with_frames(group, frames))
    halves = []
    for case, title in (
        (score("control.leak", groups), "what does nothing changes nothing"),
        (score("control.leak", wrong), 'to "wait" moves the camera (planted by hand)'),
    ):
        halves.append(
            Half(
                title, said(case), _pair(case.groups[0], "noop", "wait"), "red: brighter, blue: darker, white: the same"
            )
        )
    return halves[0], halves[1]


def _moves(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """(n, 4) true and shown motions of the world in which the most different keys are pressed and none is misread."""

    def worth(steps: TrueSteps) -> tuple[bool, int]:
        busy = sum(len(set(column.tolist())) for column in inverse_dynamics.effect(steps.true).T)
        return int((~steps.readable).sum()) < 6, busy

    found = [measure(group[0], group[0].generated[0]) for group in case.groups]
    steps, seen = max(found, key=lambda one: worth(one[0]))
    return steps.true, np.nan_to_num(seen)


def motion(library: Library) -> tuple[Half, Half]:
    """Turning and walking, step by step."""
    halves = []
    for fault, severity, title in (("noise", 8.0, "slight noise; moves as told"), ("lag", 4.0, "reacts 4 steps late")):
        case = library.case("control.motion", "explore", fault, severity)
        true_moves, seen = _moves(case)
        plots = []
        for c, words, limit in ((0, "turn, degrees a step", 24.0), (2, "ahead, metres a step", 0.5)):
            axes = Axes((0, len(seen)), (-limit, limit), labels=("step", words), size=(430, 190))
            axes.straight((0, 0), (len(seen), 0))
            axes.line(range(len(seen)), true_moves[:, c], GREY, 4)
            axes.line(range(len(seen)), seen[:, c], ORANGE, 2)
            axes.legend([("truth", GREY), ("shown", ORANGE)], top=c == 0)
            plots.append(axes.image)
        kinds = case.score.details["kinds"]
        foot = f"turning {kinds['turn']:.2f}, walking {kinds['walk']:.2f}: the worse one counts"
        halves.append(Half(title, said(case), column(plots, 0), foot))
    return halves[0], halves[1]


def _keys(labels: Sequence[int], names: Sequence[str], width: int = 8) -> Image:
    """A strip of coloured cells: one key over time."""
    colours = {-1: BLUE, 0: PALE, 1: ORANGE}
    out = paper(16, width * len(labels))
    for k, label in enumerate(labels):
        cv2.rectangle(out, (k * width, 0), ((k + 1) * width - 2, 15), colours.get(int(label), (255, 255, 255)), -1)
    return out


def idm(library: Library) -> tuple[Half, Half]:
    """The keys that were pressed above the keys that can be read off the frames."""
    halves = []
    for fault, severity, title in (
        ("noise", 8.0, "the keys can be read off the frames"),
        ("freeze", 1.0, "a frozen picture presses nothing"),
    ):
        case = library.case("control.idm", "explore", fault, severity)
        true_moves, seen = _moves(case)
        effect, found = inverse_dynamics.effect(true_moves), inverse_dynamics.read(seen)
        lines = []
        for c, (key, names) in enumerate(inverse_dynamics.KEYS.items()):
            head = paper(16, 430)
            write(head, f"{key}:", 0, 12, 0.38, INK)
            x = 70
            for word, colour in ((names[0], BLUE), (names[1], GREY), (names[2], ORANGE)):
                write(head, word, x, 12, 0.38, colour)
                x += width_of(word, 0.38) + 14
            for words, labels in (("pressed", effect[:, c]), ("read", found[:, c])):
                name = paper(16, 46)
                write(name, words, 0, 12, 0.34, GREY)
                strip = row([name, _keys(labels, names)], 0)
                lines += [head, strip] if words == "pressed" else [strip]
            lines.append(paper(2, 430))
        recall = case.score.details["keys"]
        foot = "white: too weak to be asked. Keys found: " + ", ".join(f"{k} {v:.2f}" for k, v in recall.items())
        halves.append(Half(title, said(case), column(lines, 1), foot))
    return halves[0], halves[1]


DRAW: dict[str, Draw] = {
    "control.branch": branch,
    "control.direction": _differences(
        "control.direction",
        "flip",
        1.0,
        ("two actions differ as they should", "left and right are mirrored"),
        ("turn_left", "turn_right"),
        "red: the first is brighter, blue: darker. Bad: the difference is there, and the wrong way round",
    ),
    "control.gain": _differences(
        "control.gain",
        "gain",
        0.8,
        ("as large an effect as in the truth", "actions have a fifth of their effect"),
        ("forward", "noop"),
        "red: the first is brighter, blue: darker. Bad: the difference is too small",
    ),
    "control.leak": leak,
    "control.motion": motion,
    "control.idm": idm,
}
