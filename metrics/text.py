"""Text: does the simulator follow the words? Minimal pairs: one start, one noise, prompts that differ in one attribute.

The attribute was never shown: it is made true out of view and said in the prompt, so that only the words can tell. Each
world is rolled out under two prompts, and the truth follows each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from worldsim.metrics.events import EventMetric, balanced_accuracy, constant_answer
from worldsim.types import MetricSpec, Observation

_UNDEFINED = (
    "what happened is not among the alternatives",
    "two alternatives differ in fewer than 12 px",
    "the alternatives agree in less than 10% of the frame",
    "nothing to hold on to where the alternatives agree",
    "the simulator ended the episode",
)
_INVARIANT = frozenset(
    {"tint", "blur", "noise", "jpeg", "standstill", "edit-ignored", "edit-reverts", "optimistic-reward"}
)


class Attribute(EventMetric):
    """Which of all attributes is shown: retrieval of one prompt among those of the pool."""

    events = ("colour",)
    memory = False  # nothing was seen that could be remembered
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="text.attribute",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="other-episode",
        requires=frozenset({"branches", "event:colour"}),
        undefined=_UNDEFINED,
        sensitive=frozenset({"prompt-swap"}),
        invariant=_INVARIANT,
        source="hypothesis test among what the prompts name; balanced accuracy, chance 1 / alternatives",
        summary="Is what the prompt says what is shown?",
        power=0.1,
    )

    def combine(self, rows: Sequence[Observation]) -> float | None:
        """Balanced accuracy over what was said."""
        return balanced_accuracy(rows)

    def chance(self, rows: Sequence[Observation]) -> float | None:
        """What always the same answer is worth."""
        return constant_answer(rows)


class Flip(EventMetric):
    """Whether the picture follows when only the prompt changes: both twins of a minimal pair are right."""

    events = ("colour",)
    memory = False
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="text.flip",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="other-episode",
        requires=frozenset({"branches", "variants", "event:colour"}),
        undefined=(*_UNDEFINED, "its twin was not recorded"),
        sensitive=frozenset({"prompt-swap"}),
        invariant=_INVARIANT,
        source="share of minimal pairs of which both twins show what their own prompt says",
        summary="Does the picture change when one word of the prompt does, and as it says?",
        headline=False,
        power=0.1,
    )

    def combine(self, rows: Sequence[Observation]) -> float | None:
        """Share of pairs that are right on both sides; None without a whole pair."""
        pairs: dict[tuple[str, str, int], list[float]] = {}
        for r in rows:
            if r.outcome is not None:
                pairs.setdefault((r.pair_id, r.arm, r.sample), []).append(r.outcome)
        whole = [min(found) for found in pairs.values() if len(found) > 1]
        return float(np.mean(whole)) if whole else None
