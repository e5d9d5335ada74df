"""Thresholds of the hypothesis test from the truth's own frames, and how often the test is wrong with them.

Worlds of the validation split of a scenario set are recorded with the oracle; each question's true frame, clean and as
a good simulator's decoder might show it, says what is to be believed. The error is measured with thresholds of every
other world on the rest: the truth's own error, and what noise, a frozen picture and another world are called. The
thresholds that are kept come from all of these worlds.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldsim.errors import ConfigError
from worldsim.metrics.events import Question, questions
from worldsim.metrics.functional.calibration import DEGRADATIONS, calibrate
from worldsim.metrics.functional.hypothesis import Evidence, Thresholds, judge, measure
from worldsim.seeding import generator
from worldsim.types import Episode, Frames

FLOORS = ("noise", "frozen", "other-episode")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question in the world it was asked in.

    Attributes:
        question: The event.
        world: World seed.
        true: (H, W, 3) uint8, the truth's frame.
        floors: Name -> (H, W, 3), frames that know nothing.
    """

    question: Question
    world: int
    true: Frames
    floors: Mapping[str, Frames]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Thresholds, and what those of half of the worlds are worth on the other half.

    Attributes:
        thresholds: For frames of this size, from all worlds.
        size: (H, W).
        questions: How many were asked to measure, and how many set the thresholds.
        truth: Degradation -> {"right", "wrong", rejected reasons: count}.
        floors: Floor -> {answer: count}.
        alone: How many questions the truth could not decide, by reason.
    """

    thresholds: Thresholds
    size: tuple[int, int]
    questions: tuple[int, int]
    truth: Mapping[str, Mapping[str, int]]
    floors: Mapping[str, Mapping[str, int]]
    alone: Mapping[str, int]


def gather(episodes: Sequence[Episode], events: Sequence[str]) -> list[Asked]:
    """Every question of these episodes with the frames that answer it."""
    out = []
    for i, episode in enumerate(episodes):
        same = [e for e in episodes if e.scenario == episode.scenario and e.world_seed != episode.world_seed]
        other = same[i % len(same)] if same else None
        for question in questions(episode, events):
            true = np.asarray(episode.truth.frames[question.frames[0]])
            rng = generator("calibrate/noise", episode.scenario, episode.world_seed)
            floors = {
                "noise": rng.integers(0, 256, true.shape, dtype=np.uint8),
                "frozen": np.asarray(episode.truth.frames[max(episode.context_length, 1) - 1]),
            }
            if other is not None:
                floors["other-episode"] = np.asarray(other.truth.frames[question.frames[0]])
            out.append(Asked(question=question, world=episode.world_seed, true=true, floors=floors))
    return out


def measure_error(asked: Sequence[Asked], progress: Callable[[int], None] = lambda n: None) -> Calibration:
    """Sets thresholds on every other world and measures them on the rest.

    Raises:
        ConfigError: If the truth decides too few questions, or the alternatives differ too little.
    """
    alone = Counter(a.question.undefined for a in asked)
    known = [a for a in asked if a.question.undefined is None]
    worlds = sorted({a.world for a in known})
    if len(worlds) < 8:
        raise ConfigError(
            f"calibration needs decided questions of at least 8 worlds, got {len(worlds)}: more --episodes"
        )
    setting = set(worlds[::2])
    evidence: dict[tuple[bool, str], list[tuple[Evidence, int]]] = defaultdict(list)
    for a in known:
        for name, degrade in DEGRADATIONS.items():
            rng = generator("calibrate", name, a.world, a.question.event)
            found = _look(a.question, degrade(a.true, rng))
            evidence[a.world in setting, name].append((found, a.question.labels.index(a.question.true or "")))
        progress(1)

    def from_worlds(sets: Sequence[bool]) -> Thresholds:
        pool = [(e, t, name) for (used, name), rows in evidence.items() if used in sets for e, t in rows]
        return calibrate([e for e, _, _ in pool], [t for _, t, _ in pool], [name for _, _, name in pool])

    thresholds = from_worlds([True])
    truth = {}
    for name in DEGRADATIONS:
        counts: Counter[str] = Counter()
        for e, t in evidence[False, name]:
            verdict = judge(e, thresholds)
            counts[verdict.outcome if verdict.label is None else "right" if verdict.label == t else "wrong"] += 1
        truth[name] = dict(counts)
    floors: dict[str, Counter[str]] = {name: Counter() for name in FLOORS}
    held_out = [a for a in known if a.world not in setting]
    for a in held_out:
        for name, frame in a.floors.items():
            verdict = judge(_look(a.question, frame), thresholds)
            floors[name][verdict.outcome if verdict.label is None else a.question.labels[verdict.label]] += 1
    return Calibration(
        thresholds=from_worlds([True, False]),
        size=(int(known[0].true.shape[0]), int(known[0].true.shape[1])),
        questions=(len(held_out), len(known) - len(held_out)),
        truth=truth,
        floors={name: dict(found) for name, found in floors.items()},
        alone={str(reason): n for reason, n in alone.items() if reason},
    )


def _look(question: Question, frame: Frames) -> Evidence:
    return measure(frame, question.renders[0], labels=question.names, ignore=question.others[0])


def lines(found: Calibration) -> list[str]:
    """The tables in words: Markdown, as the documentation shows them."""
    columns = ("right", "wrong", "lost the place", "something else")
    out = [
        f"{found.questions[0]} questions of worlds that did not set the thresholds ({found.questions[1]} did), "
        f"{found.size[0]}x{found.size[1]}",
        "",
        "| the true frame | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for name, counts in found.truth.items():
        total = max(sum(counts.values()), 1)
        out.append(f"| {name} | " + " | ".join(f"{100 * counts.get(c, 0) / total:.1f} %" for c in columns) + " |")
    out += ["", "| what knows nothing | is called |", "|---|---|"]
    for name, counts in found.floors.items():
        total = max(sum(counts.values()), 1)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        out.append(f"| {name} | " + ", ".join(f"{word} {100 * n / total:.1f} %" for word, n in ordered) + " |")
    if found.alone:
        out += ["", "not decided by the truth: " + ", ".join(f"{reason} ({n})" for reason, n in found.alone.items())]
    return out


def save(found: Calibration, path: Path, made_by: str) -> None:
    """Puts the thresholds of this size into the file, beside those of other sizes."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"thresholds": {}}
    rounded = {k: float(f"{v:.6g}") for k, v in dataclasses.asdict(found.thresholds).items()}
    known["thresholds"][str(found.size[0])] = rounded
    known["made_by"] = {**known.get("made_by", {}), str(found.size[0]): made_by}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
