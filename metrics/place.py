"""Which of many places does a frame show? Home must be home after a walk, and the far end must not have been."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from worldsim.metrics.base import row_of
from worldsim.metrics.functional.places import distances
from worldsim.protocols import EpisodeGroup
from worldsim.types import Branch, Episode, MetricSpec, Observation, Rollout, Score

KNOWN = 0.5  # of the distance: a frame farther from all views (correlation below 0.75) shows none of them
CLOSE = 0.05  # of the distance: a true frame that another view resembles so much cannot be told from it


class Place:
    """Identification of the place at the far end and at the return, both right at once."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="coherence.place",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="frozen",
        requires=frozenset({"branches", "event:place"}),
        undefined=(
            "the far end or the return is not among the views",
            "another view resembles the true one",
            "the simulator ended the episode",
        ),
        sensitive=frozenset({"yaw-drift", "reseed", "freeze", "replay-context"}),
        invariant=frozenset(
            {"tint", "blur", "noise", "jpeg", "vanish", "teleport", "swap", "edit-ignored", "edit-reverts"}
        ),
        source="identification among 16 rendered views, right at the far end and at the return; chance 1/256",
        summary="Is home still home after a walk, and was the far end somewhere else?",
        power=0.1,
    )

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """One row an episode and rollout: 1 = both moments are recognised; details tell which."""
        return [
            self._row(episode, views, rollout, source)
            for episode in group
            if (views := [b for b in episode.branches if b.event == "place"])
            for rollout in episode.generated
        ]

    def _row(self, episode: Episode, views: Sequence[Branch], rollout: Rollout, source: str) -> Observation:
        steps = [int(s) for s in views[0].steps]
        reason = _undecidable(episode, views, steps)
        outcome: float | None = None
        details: dict[str, Any] = {}
        if reason is None and max(steps) > rollout.trajectory.last_valid_frame:
            reason = "the simulator ended the episode"
        if reason is None:
            for i, step in enumerate(steps):
                found = distances(np.asarray(rollout.trajectory.frames[step]), np.stack([b.frames[i] for b in views]))
                pick = int(found.argmin())
                known = bool(found[pick] <= KNOWN)
                right = known and np.array_equal(views[pick].frames[i], np.asarray(episode.truth.frames[step]))
                details |= {f"right_{i}": right, f"answer_{i}": views[pick].name if known else "none of them"}
            outcome = float(all(details[f"right_{i}"] for i in range(len(steps))))
        return row_of(
            self.spec.name,
            episode,
            rollout,
            source,
            event="place",
            outcome=outcome,
            reason=reason,
            details=details,
        )

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """Share of rows in which both moments are recognised; each moment's own share in the details."""
        decided = [r for r in rows if r.outcome is not None]
        if not decided:
            reasons = sorted({r.reason for r in rows if r.reason})
            return Score(value=None, unit=self.spec.unit, reason="; ".join(reasons) or "no observations")
        share = {
            name: float(np.mean([r.details[f"right_{i}"] for r in decided])) for i, name in enumerate(("far", "home"))
        }
        return Score(value=float(np.mean([r.outcome for r in decided])), unit=self.spec.unit, details=share)


def _undecidable(episode: Episode, views: Sequence[Branch], steps: Sequence[int]) -> str | None:
    """Why the truth cannot decide this episode, or None."""
    if len(steps) < 2:
        return "the far end or the return is not among the views"
    for i, step in enumerate(steps):
        true = np.asarray(episode.truth.frames[step])
        same = [np.array_equal(b.frames[i], true) for b in views]
        if not any(same):
            return "the far end or the return is not among the views"
        found = distances(true, np.stack([b.frames[i] for b in views]))
        if min((d for d, own in zip(found, same, strict=True) if not own), default=4.0) < CLOSE:
            return "another view resembles the true one"
    return None
