"""Interaction: does a deed leave its mark, does the mark stay, and does none appear that nobody made?

Every world is rolled out twice with the same motion: with the deed and without (the sham twin). The score is Youden's
J = P(the mark is seen | deed) - P(the mark is seen | sham): a simulator that always, or never, shows the mark gets 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from worldsim.metrics.events import EventMetric, Question, confusion, memory_span, questions
from worldsim.protocols import EpisodeGroup
from worldsim.types import Episode, MetricSpec, Observation

_UNDEFINED = (
    "what happened is not among the alternatives",
    "two alternatives differ in fewer than 12 px",
    "the alternatives agree in less than 10% of the frame",
    "nothing to hold on to where the alternatives agree",
    "the simulator ended the episode",
    "its twin was not recorded",
)
_PICTURE = frozenset({"tint", "blur", "noise", "jpeg"})
_UNSEEN = frozenset({"vanish", "teleport", "swap", "optimistic-reward", "prompt-swap"})


class _Deed(EventMetric):
    """J of one event."""

    def outcome(self, question: Question, episode: Episode, group: EpisodeGroup, answer: str) -> float | None:
        """Whether the frame shows what the deed did, in the deed's episode and in its twin alike."""
        main = next((e for e in group if e.variant == "main"), None)
        if main is None or len(group) < 2:
            return None
        asked = next((q for q in questions(main, (question.event,)) if q.frames == question.frames), None)
        return None if asked is None or asked.true is None else float(answer == asked.true)

    def combine(self, rows: Sequence[Observation]) -> float | None:
        """J; None unless both twins were decided somewhere."""
        seen = [[r.outcome for r in rows if (r.variant == "main") is main] for main in (True, False)]
        return float(np.mean(seen[0]) - np.mean(seen[1])) if all(seen) else None  # type: ignore[arg-type]


class Effect(_Deed):
    """Right after the deed."""

    events = ("effect",)
    memory = False
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="interaction.effect",
        version=1,
        unit="1",
        range=(-1.0, 1.0),
        higher_is_better=True,
        floor="frozen",
        requires=frozenset({"branches", "pairs", "event:effect"}),
        undefined=_UNDEFINED,
        sensitive=frozenset({"edit-ignored", "edit-wrong-cell", "always-the-edit"}),
        invariant=_PICTURE | _UNSEEN | {"edit-reverts"},
        source="J = P(edited | edit) - P(edited | sham), hypothesis test {edited, not, neighbour cell, wrong kind}",
        summary="Does a deed change the world, at once, where and as it should?",
        power=0.1,
    )


class Persistence(_Deed):
    """After leaving and coming back."""

    events = ("persistence",)
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="interaction.persistence",
        version=1,
        unit="1",
        range=(-1.0, 1.0),
        higher_is_better=True,
        floor="frozen",
        requires=frozenset({"branches", "pairs", "event:persistence"}),
        undefined=_UNDEFINED,
        sensitive=frozenset({"edit-ignored", "edit-reverts", "edit-wrong-cell", "always-the-edit"}),
        invariant=_PICTURE | _UNSEEN,
        source="J = P(edited | edit) - P(edited | sham), hypothesis test {edited, not, neighbour cell, wrong kind}",
        summary="Is the mark of a deed still there when you come back, and none that nobody made?",
        power=0.1,
    )

    def details(self, rows: Sequence[Observation]) -> dict[str, Any]:
        """The answers, the rate of false marks, and for how many steps out of view marks stay."""
        main = [r for r in rows if r.variant == "main"]
        sham = [r.outcome for r in rows if r.variant != "main"]
        return {
            "answers": confusion(rows),
            "false_marks": float(np.mean(sham)) if sham else None,  # type: ignore[arg-type]
            "half_life": memory_span(main, 0.0),
        }
