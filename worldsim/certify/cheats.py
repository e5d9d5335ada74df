"""Simulators that game a metric must not beat its floor: each cheat and the metrics that should catch it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from worldsim.certify.cells import Anchors, Levels
from worldsim.protocols import Metric
from worldsim.seeding import generator, hash_seed
from worldsim.summary import plain
from worldsim.types import Observation

#: Cheat (at its top severity) -> metrics that must see through it.
CAUGHT_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "freeze": ("permanence.identity", "permanence.evolution", "coherence.place", "control.motion", "fidelity.ssim"),
    "replay-context": ("coherence.place", "control.motion", "permanence.identity"),
    "pan-by-itself": ("control.motion", "control.branch"),
    "ignore-camera": ("control.motion",),
    # Its first frames do show the truth, for which fidelity rightly gives it something: memory is what it lacks.
    "fade-to-mean": ("permanence.identity", "coherence.place"),
    "always-the-object": ("permanence.identity",),
    "always-the-edit": ("interaction.effect", "interaction.persistence"),
}


def judge_cheats(
    metric: Metric, anchors: Anchors, oracle: Sequence[Observation], tops: Mapping[str, Sequence[Observation]]
) -> list[dict[str, Any]]:
    """One row a cheat that this metric should catch: its skill with a 90 % interval; caught = not above 0."""
    out = []
    for fault, catchers in CAUGHT_BY.items():
        if metric.spec.name not in catchers or fault not in tops or not np.isfinite(anchors.gap):
            continue
        data = Levels(metric, [oracle, tops[fault]])
        n = len(data.worlds)
        if not n or not np.isfinite(data.point(1)):
            continue  # nothing to beat the floor with
        skill = (data.point(1) - (anchors.floor or 0.0)) / anchors.gap
        rng = generator("certify/cheat", hash_seed(metric.spec.name, fault))
        counts = rng.multinomial(n, np.full(n, 1.0 / n), size=200).astype(np.float64)
        draws = (data.values(1, counts) - (anchors.floor or 0.0)) / anchors.gap
        low, high = (float(q) for q in np.nanquantile(draws, [0.05, 0.95]))
        out.append(
            {
                "fault": fault,
                "metric": metric.spec.name,
                "skill": plain(skill),
                "skill_low": plain(low),
                "skill_high": plain(high),
                "caught": bool(skill <= 1e-9 or low <= 0.0),
            }
        )
    return out
