"""Action control as inverse dynamics: can it be seen which keys were pressed?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from worldsim.errors import UnsupportedError
from worldsim.metrics.control_motion import COMMON, ENDED, KINDS, NEEDS, measure, row, worst_kind
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
        floor="frozen",
        requires=NEEDS,
        undefined=(*COMMON, "no key with two labels"),
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
            yield row(name, episode, rollout, source, reason=str(error))
            return
        there = np.isfinite(shown[:, 0])
        if not there.all():
            yield row(name, episode, rollout, source, event="after the end", reason=ENDED)
        found = functional.read(shown, episode.truth.fps)
        true = functional.effect(steps.true, episode.truth.fps)
        for c, key in enumerate(COMPONENTS):
            for label, (right, count) in functional.recalls(found[there, c], true[there, c]).items():
                guesses = found[there, c][true[there, c] == label]
                names = functional.KEYS[key]
                yield row(
                    name,
                    episode,
                    rollout,
                    source,
                    event=f"{key}={names[label + 1]}",
                    outcome=right / count,
                    weight=float(count),
                    details={"key": key, "label": label}
                    | {f"as {n}": int((guesses == k - 1).sum()) for k, n in enumerate(names)},
                )

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """Steps pooled within worlds, then means over worlds, labels of a key, keys of a kind; the worse kind."""
        cells: dict[tuple[str, int], dict[int, list[float]]] = {}
        for r in sorted(rows, key=lambda r: (r.world, r.episode, r.arm, r.sample)):  # sums depend on their order
            if r.outcome is not None:
                at = cells.setdefault((str(r.details["key"]), int(r.details["label"])), {}).setdefault(r.world, [0, 0])
                at[0], at[1] = at[0] + r.outcome * r.weight, at[1] + r.weight
        recall = {cell: float(np.mean([a / b for a, b in own.values()])) for cell, own in sorted(cells.items())}
        keys = {}
        for key in COMPONENTS:
            accuracy = functional.balanced_accuracy({label: v for (k, label), v in recall.items() if k == key})
            if accuracy is not None:
                keys[key] = accuracy
        if not keys:
            reasons = sorted({r.reason for r in rows if r.reason}) or ["no key with two labels"]
            return Score(value=None, unit=self.spec.unit, reason="; ".join(reasons))
        kinds = worst_kind({key: (KINDS[key], v) for key, v in keys.items()})
        named = {f"{key}={functional.KEYS[key][label + 1]}": v for (key, label), v in recall.items()}
        return Score(
            value=min(kinds.values()), unit=self.spec.unit, details={"kinds": kinds, "keys": keys, "recall": named}
        )
