"""Drift: does the world keep its look over a rollout? A thin class over `worldsim.metrics.functional.coherence`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import UnsupportedError
from worldsim.metrics.coherence import PICTURE, Event, EventMetric, Identity, frame_at
from worldsim.metrics.functional import coherence as functional
from worldsim.metrics.functional import features, geometry
from worldsim.types import Episode, Frames, FrameSource, MetricSpec, Observation

Float = NDArray[np.float64]


class Drift(EventMetric):
    """How far the look of the world slips away; see `functional.coherence.drift`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="coherence.drift",
        version=1,
        unit="1",
        range=(0.0, functional.CAP),
        higher_is_better=False,
        floor="context-mean",
        undefined=(
            "fewer than two segments",
            "the true clips do not differ in any feature",
            "the simulator ended the episode",
        ),
        sensitive=frozenset({"colour-fade", "yaw-drift", "reseed"}),
        invariant=PICTURE,
        source="worst segment of rms |delta_s - delta_0| / spread, delta = mean look shown - true, up to 3",
        summary="Does the world keep its look from segment to segment?",
        power=0.05,
    )
    segments: int = 16  # at most, spread evenly
    frames: int = 8  # looked at in each
    reference: int = 4  # first predicted frames, with which all others are compared: a constant change is no drift

    def events(self, episode: Episode, shown: FrameSource, end: int) -> Iterator[Event]:
        """One event a segment; `delay` is the horizon of its last frame."""
        first, last = max(episode.context_length, 1), episode.truth.last_valid_frame
        size = 32 if last - first + 1 >= 128 else 8
        count = (last - first + 1) // size
        if count < 2:
            raise UnsupportedError("fewer than two segments")
        chosen = [int(k) for k in np.unique(np.linspace(0, count - 1, min(count, self.segments)).round())]
        pick = np.unique(np.linspace(0, size - 1, min(size, self.frames)).round().astype(int))
        reference = tuple(range(first, first + self.reference))
        at = [reference, *(tuple(int(t) for t in first + k * size + pick) for k in chosen)]
        truth, states = Identity(episode.truth.frames), Identity(episode.truth.states)
        true = [_true_look(truth, t) for t in at]
        spread = features.fit_scale(np.concatenate(true)).spread
        if reference[-1] > end:
            raise UnsupportedError("the simulator ended the episode")
        tone = functional.fit_tone(_gather(shown, reference), _gather(truth.thing, reference))
        own = [
            functional.look(_static(states, truth, t, functional.toned(_gather(shown, t), tone)))
            for t in at
            if t[-1] <= end
        ]
        values = functional.drift(true[: len(own)], own, spread)
        for k, (number, frames) in enumerate(zip(chosen, at[1:], strict=True)):
            name, delay = f"{frames[0]}-{frames[-1]}", (number + 1) * size
            if k < len(values):
                yield name, delay, float(values[k]), None, {}
            else:
                yield name, delay, None, "the simulator ended the episode", {}

    def combine(self, rows: Sequence[Observation]) -> float:
        """The mean over rollouts of each one's worst segment."""
        own: dict[tuple[str, str, int], list[float]] = defaultdict(list)
        for r in rows:
            own[r.episode, r.arm, r.sample].append(float(r.outcome or 0.0))
        return float(np.mean([max(v) for v in own.values()]))

    def details(self, curve: dict[int, float]) -> dict[str, Any]:
        """`slope`: median of all slopes between two segments (Theil and Sen), a 32-step; None with fewer than two."""
        x, y = np.array(list(curve)), np.array(list(curve.values()))
        i, j = np.triu_indices(len(x), 1)
        return {"slope": float(np.median((y[j] - y[i]) / (x[j] - x[i])) * 32) if len(i) else None}


@lru_cache(maxsize=64)
def _true_look(key: Identity, frames: tuple[int, ...]) -> Float:
    return functional.look(_gather(key.thing, frames))


def _static(states: Identity, truth: Identity, frames: tuple[int, ...], shown: NDArray[np.float32]) -> Any:
    """What is shown, with the truth's pixels where the truth has an instance: things that are gone are no drift."""
    if states.thing is None:
        return shown
    out = shown.copy()
    for k, t in enumerate(frames):
        ids = states.thing[t].segmentation
        if ids is not None:
            mask = geometry.grow(ids > 0, geometry.EDGE_MARGIN)
            out[k][mask] = frame_at(truth.thing, t)[mask]
    return out


def _gather(source: FrameSource, frames: Sequence[int]) -> Frames:
    return np.stack([np.asarray(source[t]) for t in frames])
