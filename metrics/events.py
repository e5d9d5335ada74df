"""What metrics of events share: a question about one moment, the alternatives that were drawn, and a frame's answer.

The truth alone decides which question is put and whether it can be decided; whatever a simulator then shows is an
answer, and "lost the place" or "something else" is a wrong one. A question counts as answered only if the frames in
between showed that the camera went away: a frozen picture, which never left, cannot have remembered anything.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.metrics.base import row_of
from worldsim.metrics.functional.alignment import REACH
from worldsim.metrics.functional.half_life import half_life
from worldsim.metrics.functional.hypothesis import Thresholds, judge, measure
from worldsim.metrics.functional.places import nearest
from worldsim.metrics.thresholds import thresholds_for
from worldsim.protocols import EpisodeGroup
from worldsim.types import Branch, Episode, Frames, MetricSpec, Observation, Rollout, Score

LOST, ELSE = "lost the place", "something else"
#: Steps out of view are told in these classes, each named by its upper end.
DELAYS = (0, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)

_KEPT = 4096  # answers that are remembered: the sources of an episode share most of their frames
_answers: OrderedDict[tuple[bytes, bytes, Thresholds], str] = OrderedDict()


@dataclass(frozen=True, kw_only=True)
class Question:
    """One event at one judged moment.

    Attributes:
        event: Name of the branch point.
        labels: What can be answered; alternatives that share the word before a colon are one label.
        names: (m,) index into `labels` of each drawn alternative.
        frames: Frame indices that are judged, a few in a row.
        renders: (n, P, m, H, W, 3) uint8: of each judged frame, candidate pose and alternative.
        others: (n, H, W) bool, where the truth shows instances that the question is not about; nobody is asked there.
        true: The label that happened, or None if none of them did.
        away: Frame index of the mark `hidden`, or None where nothing is left.
        home: Frame indices of the views that were left and come back to.
        delay: Steps out of view.
    """

    event: str
    labels: tuple[str, ...]
    names: tuple[int, ...]
    frames: tuple[int, ...]
    renders: Frames
    others: NDArray[np.bool_]
    true: str | None
    away: int | None
    home: tuple[int, ...]
    delay: int

    @cached_property
    def digest(self) -> bytes:
        """Of everything an answer depends on but the frame."""
        everything = self.renders.tobytes() + np.packbits(self.others).tobytes() + repr(self.names).encode()
        return blake2b(everything, digest_size=16).digest()

    @cached_property
    def undefined(self) -> str | None:
        """Why the truth cannot decide it, or None."""
        if self.true is None:
            return "what happened is not among the alternatives"
        for views, ignore in zip(self.renders, self.others, strict=True):
            reason = measure(views[0, 0], views, labels=self.names, ignore=ignore).reason
            if reason is not None:
                return reason
        return None

    def answer(self, number: int, frame: Frames, thresholds: Thresholds) -> str:
        """The label that a frame shows in the place of `frames[number]`, or why none is believed."""
        key = (self.digest + bytes([number]), blake2b(frame.tobytes(), digest_size=16).digest(), thresholds)
        if key not in _answers:
            evidence = measure(frame, self.renders[number], labels=self.names, ignore=self.others[number])
            verdict = judge(evidence, thresholds)
            _answers[key] = verdict.outcome if verdict.label is None else self.labels[verdict.label]
            if len(_answers) > _KEPT:
                _answers.popitem(last=False)
        return _answers[key]


class _Drawn:
    """A key for the cache: the alternatives and true frames of one episode, which all its sources share, kept alive."""

    def __init__(self, episode: Episode, events: Sequence[str]) -> None:
        self.episode, self.events = episode, tuple(events)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Drawn) or self.events != other.events:
            return False
        a, b = self.episode, other.episode
        return a.branches is b.branches and a.truth.frames is b.truth.frames and a.marks is b.marks

    def __hash__(self) -> int:
        return hash((self.episode.id, self.events))


def questions(episode: Episode, events: Sequence[str]) -> tuple[Question, ...]:
    """The questions of an episode about these events, in the order of its frames; () if none were drawn."""
    return _questions(_Drawn(episode, events)) if episode.branches else ()


@lru_cache(maxsize=32)
def _questions(drawn: _Drawn) -> tuple[Question, ...]:
    episode, events = drawn.episode, drawn.events
    out: list[Question] = []
    for event in events:
        branches = [b for b in episode.branches if b.event == event]
        if branches:
            out += [_question(episode, event, branches, run) for run in _runs(branches[0].steps.tolist())]
    return tuple(out)


def _runs(steps: Sequence[int]) -> list[list[int]]:
    """Positions of the steps, cut where they do not follow each other: one run a judged mark."""
    runs: list[list[int]] = []
    for i, step in enumerate(steps):
        if i and step == steps[i - 1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def _question(episode: Episode, event: str, branches: Sequence[Branch], run: Sequence[int]) -> Question:
    words = [b.name.split(":")[0] for b in branches]
    labels = tuple(dict.fromkeys(words))
    at = [int(branches[0].steps[i]) for i in run]
    views = [b.frames[None] if b.lattice is None else b.lattice for b in branches]  # each (P, n, H, W, 3)
    renders = np.stack(views)[:, :, run].transpose(2, 1, 0, 3, 4, 5)
    shown = np.stack([np.asarray(episode.truth.frames[t]) for t in at])
    equal = [word for word, b in zip(words, branches, strict=True) if np.array_equal(b.frames[run], shown)]
    marks = {mark.name: mark.frame for mark in episode.marks}
    hidden = marks.get("hidden")
    first = max(episode.context_length, 1)
    away = hidden if hidden is not None and first <= hidden < at[0] else None
    home = tuple(t for t in (first - 1, marks.get("departure"), at[0]) if t is not None)
    return Question(
        event=event,
        labels=labels,
        names=tuple(labels.index(word) for word in words),
        frames=tuple(at),
        renders=renders,
        others=np.stack([_others(episode, t) for t in at]),
        true=equal[0] if equal else None,
        away=away,
        home=home,
        delay=next(d for d in DELAYS if d >= (at[0] - marks.get("departure", at[0]) if away is not None else 0)),
    )


def _others(episode: Episode, frame: int) -> NDArray[np.bool_]:
    """(H, W) bool: pixels of true instances that stood there from the start and are not what the probe is about."""
    states = episode.truth.states
    ids = None if states is None else states[frame].segmentation
    if states is None or ids is None:
        return np.zeros(tuple(episode.truth.frames.shape[1:3]), np.bool_)
    known = {o.id for o in states[0].objects} - {episode.focus.get("object_id")}
    side = 2 * REACH + 1  # the low-pass brings them there
    own = np.isin(ids, list(known)).astype(np.uint8)
    return np.asarray(cv2.dilate(own, np.ones((side, side), np.uint8)) > 0)


class EventMetric:
    """Base of metrics that ask which alternative was shown. Subclasses give `spec`, `events` and `combine`."""

    spec: ClassVar[MetricSpec]
    events: ClassVar[tuple[str, ...]]
    memory: ClassVar[bool] = True  # an answer counts only if the shown frames left the view before; see `went_away`

    def outcome(self, question: Question, episode: Episode, group: EpisodeGroup, answer: str) -> float | None:
        """The number of a row: whether the answer is right; None where the group lacks what it takes to tell."""
        return float(answer == question.true)

    def combine(self, rows: Sequence[Observation]) -> float | None:
        """The score of decided rows; None if they do not decide it."""
        raise NotImplementedError(f"{type(self).__name__} needs a method combine(rows)")

    def details(self, rows: Sequence[Observation]) -> dict[str, Any]:
        """Plain values for the report."""
        return {"answers": confusion(rows)}

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """One row for each question, rollout and judged mark. Episodes without the event have none."""
        return [
            row
            for episode in group
            for number, question in enumerate(questions(episode, self.events))
            for rollout in episode.generated
            for row in self._rows(group, episode, question, number, rollout, source)
        ]

    def _rows(
        self, group: EpisodeGroup, episode: Episode, question: Question, number: int, rollout: Rollout, source: str
    ) -> Iterator[Observation]:
        reason = question.undefined
        outcome: float | None = None
        details: dict[str, Any] = {"true": question.true or ""}
        if reason is None and max(question.frames) > rollout.trajectory.last_valid_frame:
            reason = "the simulator ended the episode"
        if reason is None:
            answer, went = self._answer(question, episode, rollout)
            details |= {"answer": answer, "went_away": went}
            outcome = self.outcome(question, episode, group, answer if went else "never left")
            reason = "its twin was not recorded" if outcome is None else None
        yield row_of(
            self.spec.name,
            episode,
            rollout,
            source,
            event=f"{question.event}-{number}",
            delay=question.delay,
            outcome=outcome,
            reason=reason,
            details=details,
        )

    def _answer(self, question: Question, episode: Episode, rollout: Rollout) -> tuple[str, bool]:
        """What most of the judged frames show, and whether the camera was seen to be away before."""
        shown = rollout.trajectory.frames
        thresholds = thresholds_for(int(shown.shape[1]))
        votes = Counter(question.answer(i, np.asarray(shown[t]), thresholds) for i, t in enumerate(question.frames))
        return votes.most_common(1)[0][0], not self.memory or went_away(question, episode, rollout)

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """The score of these rows in whatever order they come, with a curve over the steps out of view."""
        decided = sorted((r for r in rows if r.outcome is not None), key=lambda r: (r.world, r.episode, r.event))
        value = self.combine(decided) if decided else None
        if value is None:
            reasons = sorted({r.reason for r in rows if r.reason})
            return Score(value=None, unit=self.spec.unit, reason="; ".join(reasons) or "nothing to compare with")
        at: dict[int, list[Observation]] = {}
        for r in decided:
            at.setdefault(r.delay or 0, []).append(r)
        curve = {delay: self.combine(own) for delay, own in sorted(at.items())} if len(at) > 1 else None
        return Score(value=value, unit=self.spec.unit, curve=curve, details=self.details(decided))


def went_away(question: Question, episode: Episode, rollout: Rollout) -> bool:
    """Whether the frame at `hidden` looks more like the truth's there than like the views that were left."""
    if question.away is None:
        return True
    candidates = [np.asarray(episode.truth.frames[t]) for t in (question.away, *question.home)]
    return nearest(np.asarray(rollout.trajectory.frames[question.away]), candidates)[0] == 0


def confusion(rows: Sequence[Observation]) -> dict[str, dict[str, int]]:
    """How often each truth was answered how: {true: {answer: n}}."""
    out: dict[str, Counter[str]] = {}
    for r in rows:
        word = str(r.details.get("answer", "")) if r.details.get("went_away", True) else "never left"
        out.setdefault(str(r.details.get("true", "")), Counter())[word] += 1
    return {true: dict(sorted(found.items())) for true, found in sorted(out.items())}


def balanced_accuracy(rows: Sequence[Observation]) -> float | None:
    """Mean over what was true of the share of right answers: always answering the same gives 1 / number of truths."""
    by_truth: dict[str, list[float]] = {}
    for r in rows:
        if r.outcome is not None:
            by_truth.setdefault(str(r.details["true"]), []).append(r.outcome)
    return float(np.mean([np.mean(v) for v in by_truth.values()])) if by_truth else None


def memory_span(rows: Sequence[Observation], chance: float) -> str | None:
    """For how many steps out of view answers stay right, in words: where the rate falls half-way to chance."""
    if not rows:
        return None
    delays = [float(r.delay or 0) for r in rows]
    return str(half_life(delays, [float(r.outcome or 0.0) for r in rows], chance, [r.world for r in rows]))


def constant_answer(rows: Sequence[Observation]) -> float | None:
    """The balanced accuracy of always giving the same answer: one over the number of things that were true."""
    known = {str(r.details["true"]) for r in rows if r.outcome is not None}
    return 1.0 / len(known) if known else None
