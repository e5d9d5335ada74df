"""Object permanence: does what nobody looks at still exist, the same, in its place; and does it go on?

Every fact was made or changed in view, within the context, and each alternative is the truth in equally many worlds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from worldsim.metrics.events import EventMetric, balanced_accuracy, confusion, constant_answer, memory_span
from worldsim.types import MetricSpec, Observation

_UNDEFINED = (
    "what happened is not among the alternatives",
    "two alternatives differ in fewer than 12 px",
    "the alternatives agree in less than 10% of the frame",
    "nothing to hold on to where the alternatives agree",
    "the simulator ended the episode",
)
_PICTURE = frozenset({"tint", "blur", "noise", "jpeg"})  # up to what `worldsim.faults` calls mild
_OTHERS = frozenset({"edit-ignored", "edit-reverts", "edit-wrong-cell", "optimistic-reward", "prompt-swap"})


class Identity(EventMetric):
    """Is the instance still there, the same, in its place?"""

    events = ("identity",)
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="permanence.identity",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="other-episode",
        requires=frozenset({"branches", "event:identity"}),
        undefined=_UNDEFINED,
        sensitive=frozenset({"vanish", "teleport", "swap", "always-the-object", "freeze"}),
        invariant=_PICTURE | _OTHERS,
        source="hypothesis test on rendered alternatives {present, absent, moved, altered}; balanced accuracy",
        summary="Is what was out of view still there, the same, and in its place?",
        power=0.1,
    )

    def combine(self, rows: Sequence[Observation]) -> float | None:
        """Balanced accuracy over what was true."""
        return balanced_accuracy(rows)

    def chance(self, rows: Sequence[Observation]) -> float | None:
        """What always the same answer is worth."""
        return constant_answer(rows)

    def details(self, rows: Sequence[Observation]) -> dict[str, Any]:
        """The answers, how many held where the place was kept, and for how long."""
        kept = [r for r in rows if r.details["answer"] != "lost the place" and r.details["went_away"]]
        chance = 1.0 / max(len({r.details["true"] for r in rows}), 2)
        return {
            "answers": confusion(rows),
            "place_kept": len(kept) / len(rows),
            "right_where_kept": balanced_accuracy(kept),
            "half_life": memory_span(rows, chance),
        }


class Gap(EventMetric):
    """What being out of view costs: never-hidden controls minus hidden events."""

    events = ("identity", "watched")
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="permanence.gap",
        version=1,
        unit="1",
        range=(-1.0, 1.0),
        higher_is_better=False,
        floor="frozen",
        requires=frozenset({"branches", "event:identity", "event:watched"}),
        undefined=(*_UNDEFINED, "the control is not 0.2 above chance, or was not recorded"),
        sensitive=frozenset({"vanish", "teleport", "swap"}),
        invariant=_PICTURE | _OTHERS,
        source="balanced accuracy of never-hidden controls minus that of hidden events",
        summary="How much does it cost that nobody looked?",
        headline=False,
        power=0.1,
    )

    def combine(self, rows: Sequence[Observation]) -> float | None:
        """None unless the control rate exceeds chance by 0.2."""
        control = [r for r in rows if r.event.startswith("watched")]
        events = [r for r in rows if r.event.startswith("identity")]
        rate, chance = balanced_accuracy(control), constant_answer(control)
        hidden = balanced_accuracy(events)
        if rate is None or chance is None or hidden is None or rate < chance + 0.2:
            return None
        return rate - hidden

    def chance(self, rows: Sequence[Observation]) -> float | None:
        """What it costs one who draws all that is in view, and answers always the same about the rest."""
        answer = constant_answer([r for r in rows if r.event.startswith("identity")])
        return None if answer is None else 1.0 - answer


class Evolution(EventMetric):
    """Does a process that was going on, or was stopped in view, do the same unseen?"""

    events = ("evolution",)
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="permanence.evolution",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="other-episode",
        requires=frozenset({"branches", "event:evolution"}),
        undefined=_UNDEFINED,
        sensitive=frozenset({"standstill", "freeze"}),
        invariant=_PICTURE | _OTHERS | {"vanish", "teleport", "swap"},
        source="hypothesis test on rendered alternatives {advanced, stopped, frozen, reset}; balanced accuracy",
        summary="Does the world go on while nobody looks, and stand still where it was stopped?",
        power=0.1,
    )

    def combine(self, rows: Sequence[Observation]) -> float | None:
        """Balanced accuracy over what was true: going on, or stopped."""
        return balanced_accuracy(rows)

    def chance(self, rows: Sequence[Observation]) -> float | None:
        """What always the same answer is worth."""
        return constant_answer(rows)
