"""Long-range coherence: is it still the same world after a long walk?

Thin classes over `worldsim.metrics.functional.coherence`. `coherence.revisit` asks whether a place that is seen again
looks as it did, and gives nothing to a picture that never left; `coherence.drift` whether the look of the world slips
away; `coherence.horizon` how long the view shown is this moment's and no other's. Which moments count is decided by the
truth alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.base import Cell as FrameCell
from worldsim.metrics.base import FrameMetric, horizon_grid
from worldsim.metrics.functional import coherence as functional
from worldsim.metrics.functional import features, geometry
from worldsim.metrics.functional.fidelity import useful_horizon
from worldsim.protocols import EpisodeGroup
from worldsim.truth import TruthState
from worldsim.types import Episode, Frames, FrameSource, MetricSpec, Observation, Rollout, Score

Float = NDArray[np.float64]

#: What one event gave: (name, delay, outcome or None, reason if None, details).
Event = tuple[str, int | None, float | None, str | None, dict[str, Any]]

_PICTURE = frozenset({"blur", "noise", "tint", "jpeg"})


class EventMetric:
    """Base of metrics that look at a few events of an episode. Subclasses give `spec`, `events` and `combine`."""

    spec: ClassVar[MetricSpec]

    def events(self, episode: Episode, shown: FrameSource, end: int) -> Iterator[Event]:
        """What the truth asks of the frames shown, of which those up to `end` belong to the rollout."""
        raise NotImplementedError(f"{type(self).__name__} needs a method events(episode, shown, end)")

    def combine(self, rows: Sequence[Observation]) -> float:
        """The score of the decided rows of one world."""
        return float(np.mean([r.outcome for r in rows]))

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """One row for each episode, rollout and event.

        Raises:
            ShapeError: If a rollout's frames differ in shape from the truth's.
        """
        return [
            row for episode in group for rollout in episode.generated for row in self._rows(episode, rollout, source)
        ]

    def _rows(self, episode: Episode, rollout: Rollout, source: str) -> Iterator[Observation]:
        truth, shown = episode.truth.frames, rollout.trajectory.frames
        if tuple(truth.shape) != tuple(shown.shape):
            raise ShapeError(f"rollout frames must be {tuple(truth.shape)} like the truth's, got {tuple(shown.shape)}")
        blank = Observation(
            metric=self.spec.name,
            episode=episode.id,
            scenario=episode.scenario,
            world=episode.world_seed,
            source=source,
            arm=rollout.arm,
            sample=rollout.sample,
            variant=episode.variant,
            pair_id=episode.pair_id,
        )
        try:
            for name, delay, outcome, reason, details in self.events(
                episode, shown, rollout.trajectory.last_valid_frame
            ):
                yield replace(blank, event=name, delay=delay, outcome=outcome, reason=reason, details=details)
        except UnsupportedError as error:
            yield replace(blank, reason=str(error))

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """The mean over worlds of `combine`, in whatever order the rows come; None with the reasons if none decides."""
        worlds: dict[int, list[Observation]] = defaultdict(list)
        at: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for r in sorted(rows, key=lambda r: (r.world, r.episode, r.arm, r.sample, r.delay or 0, r.event)):
            if r.outcome is not None and r.delay is not None:
                worlds[r.world].append(r)
                at[r.delay][r.world].append(r.outcome)
        if not worlds:
            reasons = sorted({r.reason for r in rows if r.reason})
            return Score(value=None, unit=self.spec.unit, reason="; ".join(reasons) or "no observations")
        curve = {h: float(np.mean([np.mean(v) for v in at[h].values()])) for h in sorted(at)}
        value = float(np.mean([self.combine(worlds[w]) for w in sorted(worlds)]))
        return Score(value=value, unit=self.spec.unit, curve=curve, details=self.details(curve))

    def details(self, curve: dict[int, float]) -> dict[str, Any]:
        """Plain values for the report."""
        return {}


class Revisit(EventMetric):
    """A place seen again; see `functional.coherence.visits` and `place_error`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="coherence.revisit",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="other-episode",
        requires=frozenset({"depth", "segmentation", "world_from_camera", "intrinsics"}),
        undefined=(
            "no predicted frame",
            "no states",
            "no camera pose",
            "no depth",
            "no segmentation",
            "no place is left and seen again",
            "less than a tenth of the place is static and in view both times",
            "no other place of like pitch and depth to compare with",
            "no power: another place looks as much alike",
            "no power: the way out looks like the place itself",
            "the simulator ended the episode",
        ),
        sensitive=frozenset({"yaw-drift", "reseed"}),
        invariant=_PICTURE | {"colour-fade", "vanish", "teleport", "swap"},
        source="1 - (e - e_gt) / (e_other - e_gt), e = (1 - ZNCC) / 2 under the true warp; 0 if the way out is not shown",
        summary="Does a place that is seen again look as it did, if the camera is shown to have left it?",
        power=0.02,
    )
    limit: int = 6  # places seen again that are scored in an episode

    def events(self, episode: Episode, shown: FrameSource, end: int) -> Iterator[Event]:
        """One event a place seen again; `delay` is the time between, rounded down to the grid of horizons."""
        states = _states(episode)
        first, last = max(episode.context_length, 1) - 1, episode.truth.last_valid_frame
        if last <= first:
            raise UnsupportedError("no predicted frame")
        path = _path(_Identity(states))
        gap = 32 if last - first >= 64 else 12
        found = functional.visits(path, first, last, gap, self.limit)
        if not found:
            raise UnsupportedError("no place is left and seen again")
        for visit in found:
            delay = horizon_grid(visit.again - visit.first)[:-1]
            name, at = f"{visit.first}-{visit.far}-{visit.again}", max(delay, default=1)
            if visit.again > end:
                yield name, at, None, "the simulator ended the episode", {}
                continue
            try:
                outcome, details = self._visit(episode, states, path, visit, shown)
                yield name, at, outcome, None, details
            except UnsupportedError as error:
                yield name, at, None, str(error), {}

    def _visit(
        self,
        episode: Episode,
        states: Sequence[TruthState],
        path: functional.Path,
        visit: functional.Visit,
        shown: FrameSource,
    ) -> tuple[float, dict[str, Any]]:
        view = geometry.pair_view(states[visit.first], states[visit.again])
        if view.kept.mean() < 0.1:
            raise UnsupportedError("less than a tenth of the place is static and in view both times")
        there = view.maps[1.0, 1.0]
        true = [_frame(episode.truth.frames, t) for t in (visit.first, visit.far, visit.again)]
        own = [_frame(shown, t) for t in (visit.first, visit.far, visit.again)]
        others = functional.comparable_places(path, visit.first)
        if not others:
            raise UnsupportedError("no other place of like pitch and depth to compare with")
        e_gt = functional.place_error(true[0], true[2], view.kept, there)
        e_other = float(
            np.mean(
                [functional.place_error(true[0], _frame(episode.truth.frames, u), view.kept, there) for u in others]
            )
        )
        if e_other - e_gt < 0.1:
            raise UnsupportedError("no power: another place looks as much alike")
        home, out = functional.thumbnail(true[0]), functional.thumbnail(true[1])
        if functional.unlike(home, out) < functional.ALIKE:
            raise UnsupportedError("no power: the way out looks like the place itself")
        rivals = [home, *functional.decoys(out, _other_world(episode, (visit.first, visit.far)))]
        left = functional.identified(functional.thumbnail(own[1]), out, rivals)
        e = functional.place_error(own[0], own[2], view.kept, there)
        kept = float(np.clip(1.0 - (e - e_gt) / (e_other - e_gt), 0.0, 1.0))
        return kept * left, {"left": left, "kept": kept, "e": e, "e_gt": e_gt, "e_other": e_other}


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
            "the true frames do not differ in any feature",
            "the simulator ended the episode",
        ),
        sensitive=frozenset({"colour-fade", "yaw-drift", "reseed"}),
        invariant=_PICTURE,
        source="worst segment of rms min(|delta_s - delta_1| / spread, 3), delta = mean look shown - true; see functional",
        summary="Does the world keep its look from segment to segment?",
        power=0.05,
    )
    segments: int = 16  # at most, spread evenly
    frames: int = 8  # looked at in each

    def events(self, episode: Episode, shown: FrameSource, end: int) -> Iterator[Event]:
        """One event a segment after the first; `delay` is the horizon of its last frame."""
        first, last = max(episode.context_length, 1), episode.truth.last_valid_frame
        size = 32 if last - first + 1 >= 128 else 8
        count = (last - first + 1) // size
        if count < 2:
            raise UnsupportedError("fewer than two segments")
        chosen = np.unique(np.linspace(0, count - 1, min(count, self.segments)).round().astype(int))
        pick = np.unique(np.linspace(0, size - 1, min(size, self.frames)).round().astype(int))
        at = [tuple(int(t) for t in first + k * size + pick) for k in chosen]
        true = [_true_look(_Identity(episode.truth.frames), tuple(t)) for t in at]
        spread = _spread(np.concatenate(true))
        if at[0][-1] > end:
            raise UnsupportedError("the simulator ended the episode")
        tone = functional.fit_tone(_gather(shown, at[0]), _gather(episode.truth.frames, at[0]))
        alive = [t for t in at if t[-1] <= end]
        own = [functional.look(_gather(shown, t), tone) for t in alive]
        values = functional.drift(true[: len(own)], own, spread)
        for k, frames in enumerate(at[1:]):
            delay = first + int(chosen[k + 1] + 1) * size - first
            name = f"{frames[0]}-{frames[-1]}"
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


class Horizon(FrameMetric):
    """How long the view shown is this moment's among decoys; see `functional.coherence.identified`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="coherence.horizon",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="noise",
        requires=frozenset({"world_from_camera"}),
        undefined=(
            "no predicted frame",
            "no states",
            "no camera pose",
            "the view is still one of the context's",
            "fewer than 8 decoys that look different",
            "the simulator ended the episode",
        ),
        sensitive=frozenset({"yaw-drift", "reseed"}),
        invariant=_PICTURE | {"colour-fade"},
        source="share of frames nearer to the truth's own than to each of 8 or more decoys; 1 - correlation at 32 px",
        summary="How long does the view shown belong to this moment of this world?",
        power=0.02,
    )
    least: int = 8  # decoys

    def cells(self, episode: Episode, frames: Sequence[int], truth: Frames, shown: Frames) -> list[FrameCell]:
        """1 where the frame shown is identified, 0 where it is not."""
        if episode.truth.states is None:
            return [(None, "no states", 1.0, {})] * len(frames)
        try:
            path = _path(_Identity(episode.truth.states))
        except UnsupportedError as error:
            return [(None, str(error), 1.0, {})] * len(frames)
        return [self._cell(episode, path, t, a, b) for t, a, b in zip(frames, truth, shown, strict=True)]

    def _cell(self, episode: Episode, path: functional.Path, t: int, truth: Frames, shown: Frames) -> FrameCell:
        context = max(episode.context_length, 1)
        away = path.elsewhere(t)
        if not away[:context].all():
            return None, "the view is still one of the context's", 1.0, {}
        own = functional.thumbnail(truth)
        times = tuple(int(u) for u in np.flatnonzero(away[: episode.truth.last_valid_frame + 1]))
        rivals = _decoys(_Identity(episode.truth.frames), _Identity(episode.other), t, context, times)
        if len(rivals) < self.least:
            return None, f"fewer than {self.least} decoys that look different", 1.0, {}
        right = functional.identified(functional.thumbnail(shown), own, rivals)
        return float(right), None, 1.0, {}

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """The rate, its curve, and `until`: the last horizon before the rate falls below one half."""
        score = super().reduce(rows)
        if score.curve is None:
            return score
        h = np.array(list(score.curve), np.int64)
        rate = np.array([np.nan if v is None else v for v in score.curve.values()])
        until = float(useful_horizon(rate, h, threshold=0.5))
        return replace(score, details={**score.details, "until": until if np.isfinite(until) else None})


# ------------------------------------------------------------------------------------------------------ helpers


class _Identity:
    """A key for the caches: equal only if it holds the same object, kept alive so that its id stays its own."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _states(episode: Episode) -> Sequence[TruthState]:
    if episode.truth.states is None:
        raise UnsupportedError("no states")
    return episode.truth.states


@lru_cache(maxsize=4)  # all sources of one episode ask for the same
def _path(key: _Identity) -> functional.Path:
    return functional.path_of(key.thing)


@lru_cache(maxsize=64)
def _true_look(key: _Identity, frames: tuple[int, ...]) -> Float:
    return functional.look(_gather(key.thing, frames))


@lru_cache(maxsize=64)
def _decoys(truth: _Identity, other: _Identity, t: int, context: int, away: tuple[int, ...]) -> list[Float]:
    """Thumbnails of other views: of the context, of other times of this world, and of another world; see `spread`."""
    own = functional.thumbnail(_frame(truth.thing, t))
    frames = [
        _frame(truth.thing, u) for u in (*spread(range(context), 4), *spread([u for u in away if u >= context], 4))
    ]
    if other.thing is not None:
        times = {min(t, len(other.thing) - 1), *spread(range(len(other.thing)), 4)}
        frames += [_frame(other.thing, u) for u in sorted(times)]
    return functional.decoys(own, [functional.thumbnail(f) for f in frames])


def spread(items: Sequence[int], count: int) -> list[int]:
    """At most `count` of the items, evenly spread, the first and the last among them."""
    if not items:
        return []
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))]


def _other_world(episode: Episode, frames: Sequence[int]) -> list[Float]:
    other = episode.other
    return [] if other is None else [functional.thumbnail(_frame(other, min(t, len(other) - 1))) for t in frames]


def _spread(looks: Float) -> Float:
    return features.fit_scale(looks).spread


def _frame(source: FrameSource, t: int) -> Frames:
    return np.asarray(source[t])


def _gather(source: FrameSource, frames: Sequence[int]) -> Frames:
    return np.stack([np.asarray(source[t]) for t in frames])
