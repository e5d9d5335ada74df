"""Action control as inverse dynamics: can it be seen which keys were pressed?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from worldsim.errors import UnsupportedError
from worldsim.metrics.base import row_of
from worldsim.metrics.control_motion import COMMON, ENDED, KINDS, measure, worst_kind
from worldsim.metrics.functional import inverse_dynamics as functional
from worldsim.metrics.functional.egomotion import COMPONENTS
from worldsim.protocols import EpisodeGroup
from worldsim.types import Episode, MetricSpec, Observation, Rollout, Score


class InverseDynamics:
    """Balanced accuracy of the keys that are read off the frames, against the keys' effect in the truth."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="control.idm",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="other-episode",
        requires=frozenset({"depth", "world_from_camera", "intrinsics"}),
        undefined=(*COMMON, "the key cannot be read off the true frames", "no key with two labels"),
        sensitive=frozenset({"lag", "drop", "flip", "gain", "freeze", "ignore-camera", "pan-by-itself"}),
        invariant=frozenset(
            {"tint", "vanish", "teleport", "swap", "edit-ignored", "edit-reverts", "edit-wrong-cell", "standstill"}
        ),
        source="balanced accuracy of keys read off ego-motions by fixed rules (inverse dynamics as in VPT)",
        summary="Can it be seen which keys were pressed?",
        headline=False,
        power=0.05,
    )

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """One row for each episode, rollout, key and true label: the share of its steps where the key was found.

        Raises:
            ShapeError: If a rollout's frames differ in shape from the truth's.
        """
        return [r for episode in group for rollout in episode.generated for r in self._rows(episode, rollout, source)]

    def _rows(self, episode: Episode, rollout: Rollout, source: str) -> Iterator[Observation]:
        name = self.spec.name
        try:
            steps, shown = measure(episode, rollout)
        except UnsupportedError as error:
            yield row_of(name, episode, rollout, source, reason=str(error))
            return
        there = np.isfinite(shown[:, 0])
        if not there.all():
            yield row_of(name, episode, rollout, source, event="after the end", reason=ENDED)
        found = functional.read(shown, episode.truth.fps)
        true = functional.effect(steps.true, episode.truth.fps)
        seen = functional.read(steps.seen, episode.truth.fps)
        for c, key in enumerate(COMPONENTS):
            names = functional.KEYS[key]
            for label in functional.LABELS:
                own = there & (true[:, c] == label)
                kept = own & (seen[:, c] == label)
                if not own.any():
                    continue
                if not kept.any():
                    reason = "the key cannot be read off the true frames"
                    yield row_of(name, episode, rollout, source, event=f"{key}={names[label + 1]}", reason=reason)
                    continue
                guesses = found[kept, c]
                yield row_of(
                    name,
                    episode,
                    rollout,
                    source,
                    event=f"{key}={names[label + 1]}",
                    outcome=float((guesses == label).mean()),
                    weight=float(kept.sum()),
                    details={"key": key, "label": label, "truth": float(kept.sum() / own.sum())}
                    | {f"as {n}": int((guesses == k - 1).sum()) for k, n in enumerate(names)},
                )

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """Steps pooled within worlds, then means over worlds, labels of a key, keys of a kind; the worse kind.

        The details hold the same of the true frames before misread steps were left out ("truth").
        """
        cells: dict[tuple[str, int], dict[int, list[float]]] = {}
        for r in sorted(rows, key=lambda r: (r.world, r.episode, r.arm, r.sample)):  # sums depend on their order
            if r.outcome is not None:
                cell = str(r.details["key"]), int(r.details["label"])
                at = cells.setdefault(cell, {}).setdefault(r.world, [0.0, 0.0, 0.0])
                for i, value in enumerate((r.outcome, float(r.details["truth"]), 1.0)):
                    at[i] += value * r.weight
        recall = {c: float(np.mean([a / n for a, _, n in own.values()])) for c, own in sorted(cells.items())}
        truth = {c: float(np.mean([b / n for _, b, n in own.values()])) for c, own in sorted(cells.items())}
        keys = _by_key(recall)
        if not keys:
            reasons = sorted({r.reason for r in rows if r.reason}) or ["no key with two labels"]
            return Score(value=None, unit=self.spec.unit, reason="; ".join(reasons))
        kinds = worst_kind({key: (KINDS[key], v) for key, v in keys.items()})
        named = {f"{key}={functional.KEYS[key][label + 1]}": v for (key, label), v in recall.items()}
        details = {"kinds": kinds, "keys": keys, "recall": named, "truth": _by_key(truth)}
        return Score(value=min(kinds.values()), unit=self.spec.unit, details=details)


def _by_key(recall: dict[tuple[str, int], float]) -> dict[str, float]:
    """Balanced accuracy of each key that has at least two labels."""
    found = {key: functional.balanced_accuracy([v for (k, _), v in recall.items() if k == key]) for key in COMPONENTS}
    return {key: v for key, v in found.items() if v is not None}
