"""Pictures of permanence, interaction, text and place: what was shown, and which alternative it was taken for."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pictures.canvas import Half, Image, column, enlarged, framed, labelled, note, row
from pictures.shared import Draw, box_of, boxed, marks, said, shown, true, verdict
from pictures.worlds import Case, Library
from worldsim.metrics.functional.places import distances
from worldsim.types import Branch, Episode, Observation

SCALE = 2
WORDS = {
    "present": "still there",
    "absent": "gone",
    "moved": "elsewhere",
    "altered": "other colour",
    "advanced": "went on",
    "stopped": "stood still",
    "frozen": "froze unseen",
    "reset": "as at first",
    "edited": "block there",
    "not_edited": "no block",
    "neighbour": "next cell",
    "wrong_kind": "other block",
}


def said_as(word: str) -> str:
    """An alternative in plain words."""
    return WORDS.get(word, word)


def alternatives(episode: Episode, event: str, step: int) -> dict[str, Image]:
    """Label -> the frame that is drawn for it at a step; the first of those that share a label."""
    out: dict[str, Image] = {}
    for branch in (b for b in episode.branches if b.event == event):
        out.setdefault(branch.name.split(":")[0], branch.frames[list(branch.steps).index(step)])
    return out


def region_of(drawn: Sequence[Image]) -> tuple[int, int, int]:
    """The box around the pixels where alternatives differ."""
    stack = np.stack(drawn).astype(np.int16)
    return box_of((stack.max(axis=0) - stack.min(axis=0)).max(axis=-1) > 8)


def crop(frame: Image, box: tuple[int, int, int], side: int = 90) -> Image:
    """The box of a frame, enlarged to `side` px."""
    top, left, size = box
    return np.asarray(
        cv2.resize(frame[top : top + size, left : left + size], (side, side), interpolation=cv2.INTER_NEAREST)
    )


def strip(
    frames: Sequence[tuple[str, Image]], box: tuple[int, int, int] | None = None, boxes: Sequence[int] = ()
) -> Image:
    """Frames with words above; those numbered in `boxes` with the outline of the box."""
    out = []
    for i, (words, frame) in enumerate(frames):
        picture = enlarged(frame, SCALE)
        if box is not None and i in boxes:
            picture = boxed(picture, box, SCALE)
        out.append(labelled(framed(picture), words))
    return row(out, 4)


def choices(episode: Episode, event: str, step: int, answer: str, right: str) -> Image:
    """The alternatives around the region, what was shown first; the one that was taken has a coloured border."""
    drawn = alternatives(episode, event, step)
    box = region_of(list(drawn.values()))
    cells = []
    for name, frame in drawn.items():
        colour = verdict(answer == right) if name == answer else None
        words = said_as(name) + (" = truth" if name == right else "")
        cells.append(labelled(framed(crop(frame, box), colour), "", words, size=0.34))
    return row(cells, 3)


def one_of(case: Case, want: float, label: str = "") -> tuple[Episode, Observation]:
    """The first decided episode with that outcome (and, if given, that truth)."""
    for group in case.groups:
        for episode in group:
            for r in case.rows:
                fits = r.episode == episode.id and r.outcome == want
                if fits and (not label or r.details.get("true") == label):
                    return episode, r
    raise SystemExit(f"no world with outcome {want} {label}")


def _memory(metric: str, scenario: str, event: str, fault: str, words: tuple[str, str, str], label: str) -> Draw:
    """Seen, away, back; and what the last frame was taken for."""

    def draw(library: Library) -> tuple[Half, Half]:
        halves = []
        for planted, want in (("", 1.0), (fault, 0.0)):
            case = library.case(metric, scenario, planted, 1.0)
            episode, found = one_of(case, want, label)
            at = marks(episode)
            back = at["return"]
            answer, right = str(found.details["answer"]), str(found.details["true"])
            box = region_of(list(alternatives(episode, event, back).values()))
            frames = [
                ("seen (context)", true(episode, episode.context_length - 1)),
                ("looked away", shown(episode, at["hidden"])),
                ("back again: shown", shown(episode, back)),
            ]
            taken = f"taken for: {said_as(answer)}. True is: {said_as(right)}."
            body = column(
                [
                    strip(frames, box, (2,)),
                    note(taken, 430, 0.42, verdict(answer == right)),
                    note("the box in each world that could be true:", 430, 0.36),
                    choices(episode, event, back, answer, right),
                ],
                3,
            )
            halves.append(Half(words[bool(planted)], said(case), body, words[2] if planted else ""))
        return halves[0], halves[1]

    return draw


def gap(library: Library) -> tuple[Half, Half]:
    """The same question in view and out of view."""
    halves = []
    for fault, title in (("", "memory costs nothing"), ("vanish", "what is out of view is gone")):
        case = library.case("permanence.gap", ("watch", "look_away"), fault, 1.0)
        lines = []
        for event, words in (("watched", "never left the view"), ("identity", "looked away and back")):
            own = [r for r in case.rows if r.event.startswith(event) and r.outcome is not None]
            rates = [
                np.mean([r.outcome for r in own if r.details["true"] == t])
                for t in sorted({r.details["true"] for r in own})
            ]
            rate = float(np.mean(rates))
            pick = next(
                (
                    r
                    for r in own
                    if r.details["true"] == "present" and r.outcome == float(event == "watched" or not fault)
                ),
                own[0],
            )
            episode = next(e for g in case.groups for e in g if e.id == pick.episode)
            back = marks(episode)["return"]
            drawn = alternatives(episode, event, back)
            frames = [
                ("seen (context)", true(episode, episode.context_length - 1)),
                ("shown at the end", shown(episode, back)),
                ("truth at the end", true(episode, back)),
            ]
            lines += [
                note(f"{words}: {rate:.2f} right", 430, 0.44, verdict(rate > 0.6)),
                strip(frames, region_of(list(drawn.values())), (1, 2)),
            ]
        halves.append(Half(title, said(case), column(lines, 2)))
    return halves[0], halves[1]


def _deed(metric: str, fault: str, titles: tuple[str, str], away: bool) -> Draw:
    """The world in which a block was put down, and its twin in which none was."""

    def draw(library: Library) -> tuple[Half, Half]:
        halves = []
        for planted, title in zip(("", fault), titles, strict=True):
            case = library.case(metric, "place", planted, 1.0)
            group = next(g for g in case.groups if sum(r.outcome is not None for r in case.rows_of(g)) == 2)
            lines = []
            for variant, words in (("main", "block put down"), ("sham", "twin: nothing done")):
                episode = next(e for e in group if e.variant == variant)
                found = next(r for r in case.rows if r.episode == episode.id)
                at = marks(episode)
                judged = at["return"] if away else at["acted"]
                event = "persistence" if away else "effect"
                box = region_of(list(alternatives(episode, event, judged).values()))
                first = ("after the deed: shown", shown(episode, at["acted"]))
                frames = [first if away else ("before", true(episode, episode.context_length - 1))]
                frames += [("looked away", shown(episode, at["hidden"]))] if away else []
                frames += [("back again: shown" if away else "right after: shown", shown(episode, judged))]
                frames += [] if away else [("right after: truth", true(episode, judged))]
                mark = "block seen" if found.outcome else "no block seen"
                good = bool(found.outcome) == (variant == "main")
                last = len(frames) - 1
                lines += [
                    strip(frames, box, (last,) if away else (1, 2)),
                    note(f"{words}: {mark}", 430, 0.42, verdict(good)),
                ]
            rates = [
                np.mean([r.outcome for r in case.rows if r.variant == v and r.outcome is not None])
                for v in ("main", "sham")
            ]
            foot = f"block seen: {rates[0]:.2f} with the deed - {rates[1]:.2f} without"
            halves.append(Half(title, said(case), column(lines, 2), foot))
        return halves[0], halves[1]

    return draw


def attribute(library: Library) -> tuple[Half, Half]:
    """Prompts, and what stands there."""
    halves = []
    for fault, title in (("", "the prompt is followed"), ("prompt-swap", "another prompt is followed")):
        case = library.case("text.attribute", "told", fault, 1.0)
        cells = []
        known: set[str] = set()
        for group in case.groups:
            for episode in group:
                found = next(r for r in case.rows if r.episode == episode.id)
                word = str(found.details["true"])
                if found.outcome is None or word in known or len(cells) == 3:
                    continue
                known.add(word)
                step = marks(episode)["return"]
                box = region_of(list(alternatives(episode, "colour", step).values()))
                answer = str(found.details["answer"])
                picture = framed(boxed(enlarged(shown(episode, step), SCALE), box, SCALE), verdict(answer == word))
                cells.append(labelled(picture, f'"{episode.prompt}"', f"shown: {answer}", verdict(answer == word)))
        halves.append(
            Half(title, said(case), row(cells, 4), "shown after turning round; the chest was never in view before")
        )
    return halves[0], halves[1]


def flip(library: Library) -> tuple[Half, Half]:
    """Two twins that differ in one word."""
    halves = []
    for fault, title in (("", "each twin shows its own word"), ("prompt-swap", "the words are mixed up")):
        case = library.case("text.flip", "told", fault, 1.0)
        group = next(g for g in case.groups if sum(r.outcome is not None for r in case.rows_of(g)) == 2)
        cells, right = [], []
        for episode in group:
            found = next(r for r in case.rows if r.episode == episode.id)
            step = marks(episode)["return"]
            box = region_of(list(alternatives(episode, "colour", step).values()))
            good = found.outcome == 1.0
            right.append(good)
            picture = framed(boxed(enlarged(shown(episode, step), 3), box, 3), verdict(good))
            cells.append(
                labelled(picture, f'"{episode.prompt}"', f"shown: {found.details['answer']}", verdict(good), 0.42)
            )
        foot = "one start, one noise, one word changed: " + (
            "both right, the pair counts" if all(right) else "the pair does not count"
        )
        halves.append(Half(title, said(case), row(cells, 8), foot))
    return halves[0], halves[1]


def place(library: Library) -> tuple[Half, Half]:
    """The far end and home, each beside the view it is nearest to."""
    halves = []
    for fault, severity, title in (
        ("", 0.0, "away, and home again"),
        ("yaw-drift", 1.0, "the view turns by itself, 1 degree a step"),
    ):
        case = library.case("coherence.place", "there_and_back", fault, severity)
        episode = next(
            e for g in case.groups for e in g if next(r for r in case.rows if r.episode == e.id).outcome is not None
        )
        views: list[Branch] = [b for b in episode.branches if b.event == "place"]
        lines = []
        for i, (step, words) in enumerate(zip(views[0].steps, ("far end", "home"), strict=True)):
            frame = shown(episode, int(step))
            found = distances(frame, np.stack([b.frames[i] for b in views]))
            pick = int(found.argmin())
            right = found[pick] <= 0.5 and np.array_equal(views[pick].frames[i], true(episode, int(step)))
            picked = "taken for this view" if found[pick] <= 0.5 else "nearest, but too far: none"
            cells = [
                labelled(framed(enlarged(frame, SCALE)), f"{words}: shown"),
                labelled(framed(enlarged(views[pick].frames[i], SCALE), verdict(right)), picked),
                labelled(framed(enlarged(true(episode, int(step)), SCALE)), f"{words}: truth"),
            ]
            lines += [
                row(cells, 4),
                note(f"{words}: {'recognised' if right else 'not recognised'}", 430, 0.42, verdict(right)),
            ]
        others = row([framed(cv2.resize(b.frames[0], (46, 46), interpolation=cv2.INTER_AREA)) for b in views[:8]], 1)
        lines += [note(f"some of the {len(views)} views to choose from:", 430, 0.36), others]
        halves.append(Half(title, said(case), column(lines, 2)))
    return halves[0], halves[1]


DRAW: dict[str, Draw] = {
    "permanence.identity": _memory(
        "permanence.identity",
        "look_away",
        "identity",
        "vanish",
        ("what was seen is still known", "what is out of view is gone", ""),
        "present",
    ),
    "permanence.gap": gap,
    "permanence.evolution": _memory(
        "permanence.evolution",
        "process",
        "evolution",
        "standstill",
        ("water spread on, unseen", "nothing goes on out of view", ""),
        "advanced",
    ),
    "interaction.effect": _deed(
        "interaction.effect", "edit-ignored", ("the block appears", "the deed has no effect"), False
    ),
    "interaction.persistence": _deed(
        "interaction.persistence", "edit-reverts", ("the block is still there", "the block is gone when back"), True
    ),
    "text.attribute": attribute,
    "text.flip": flip,
    "coherence.place": place,
}
