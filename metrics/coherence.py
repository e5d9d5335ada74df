"""Long-range coherence: is it still the same world after a long walk?

Thin classes over `worldsim.metrics.functional.coherence`. `coherence.revisit` asks whether a place that is seen again
looks as it did, and gives nothing to a picture that never left; `coherence.horizon` how long the view shown is this
moment's and no other's; `coherence.drift`, in `worldsim.metrics.drift`, whether the look of the world slips away. Which
moments count is decided by the truth alone.
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
from worldsim.metrics.base import FrameMetric, horizon_grid, row_of
from worldsim.metrics.functional import coherence as functional
from worldsim.metrics.functional import geometry
from worldsim.metrics.functional.fidelity import useful_horizon
from worldsim.protocols import EpisodeGroup
from worldsim.truth import TruthState
from worldsim.types import Episode, Frames, FrameSource, MetricSpec, Observation, Rollout, Score

Float = NDArray[np.float64]

#: What one event gave: (name, delay, outcome or None, reason if None, details).
Event = tuple[str, int | None, float | None, str | None, dict[str, Any]]

PICTURE = frozenset({"blur", "noise", "tint", "jpeg"})


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
        blank = row_of(
            self.spec.name,
            episode,
            rollout,
            source,
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
        floor="noise",
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
        invariant=PICTURE | {"colour-fade", "vanish", "swap"},
        source="1 - (e - e_gt) / (e_other - e_gt), e = (1 - ZNCC) / 2 under the true warp; 0 if it never left",
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
        path = _path(Identity(states))
        gap = 32 if last - first >= 64 else 12
        found = _visits(Identity(states), first, last, gap, self.limit)
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
        true = [frame_at(episode.truth.frames, t) for t in (visit.first, visit.far, visit.again)]
        own = [frame_at(shown, t) for t in (visit.first, visit.far, visit.again)]
        others = functional.comparable_places(path, visit.first)
        if not others:
            raise UnsupportedError("no other place of like pitch and depth to compare with")
        e_gt = functional.place_error(true[0], true[2], view.kept, there)
        e_other = float(
            np.mean(
                [functional.place_error(true[0], frame_at(episode.truth.frames, u), view.kept, there) for u in others]
            )
        )
        if e_other - e_gt < 0.1:
            raise UnsupportedError("no power: another place looks as much alike")
        home, out, *rest = functional.views([*map(functional.thumbnail, true[:2]), *_other_world(episode, visit)])
        away = functional.unlike(functional.thumbnail(true[1]), np.stack([home, *rest]))
        if away[0] < functional.ALIKE:
            raise UnsupportedError("no power: the way out looks like the place itself")
        rivals = [view for view, distance in zip(rest, away[1:], strict=True) if distance >= functional.ALIKE]
        at_home = functional.nearest_is_first(functional.thumbnail(own[0]), np.stack([home, out]))
        left = at_home and functional.nearest_is_first(functional.thumbnail(own[1]), np.stack([out, home, *rivals]))
        e = functional.place_error(own[0], own[2], view.kept, there)
        kept = float(np.clip(1.0 - (e - e_gt) / (e_other - e_gt), 0.0, 1.0))
        return kept * left, {"left": left, "kept": kept, "e": e, "e_gt": e_gt, "e_other": e_other}


class Horizon(FrameMetric):
    """How long the view shown is this moment's among decoys; see `functional.coherence.identified`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="coherence.horizon",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="frozen",
        requires=frozenset({"world_from_camera"}),
        undefined=(
            "no predicted frame",
            "no states",
            "no camera pose",
            "the view is still one of the context's",
            "the view looks like one of the context's",
            "fewer than 8 decoys that look different",
            "the simulator ended the episode",
        ),
        sensitive=frozenset({"yaw-drift", "reseed"}),
        invariant=PICTURE | {"colour-fade"},
        source="share of frames nearer to the true one than to each of 8 or more decoys, and correlated above 0.65",
        summary="How long does the view shown belong to this moment of this world?",
        power=0.02,
    )
    least: int = 8  # decoys
    hard: int = 3  # of them at the nearest other poses of this episode, ...
    easy: int = 3  # ... and at others, spread evenly over time

    def cells(self, episode: Episode, frames: Sequence[int], truth: Frames, shown: Frames) -> list[FrameCell]:
        """1 where the frame shown is identified, 0 where it is not."""
        if episode.truth.states is None:
            return [(None, "no states", 1.0, {})] * len(frames)
        try:
            path = _path(Identity(episode.truth.states))
        except UnsupportedError as error:
            return [(None, str(error), 1.0, {})] * len(frames)
        return [self._cell(episode, path, t, a, b) for t, a, b in zip(frames, truth, shown, strict=True)]

    def _cell(self, episode: Episode, path: functional.Path, t: int, truth: Frames, shown: Frames) -> FrameCell:
        context = max(episode.context_length, 1)
        away = path.elsewhere(t)
        if not away[:context].all():
            return None, "the view is still one of the context's", 1.0, {}
        degrees, metres = path.apart(t)
        miss = np.maximum(degrees / functional.LEFT_TURN, metres / functional.LEFT_WAY)[context:]
        times = [int(u) + context for u in np.argsort(miss, kind="stable") if away[u + context]]
        times = [u for u in times if u <= episode.truth.last_valid_frame]
        hard = times[: self.hard]
        chosen = tuple(sorted({*hard, *spread(sorted(times), self.easy)}))
        rivals = _rivals(Identity(episode.truth.frames), Identity(episode.other), t, context, chosen)
        if rivals is None:
            return None, "the view looks like one of the context's", 1.0, {}
        if len(rivals) < 1 + self.least:
            return None, f"fewer than {self.least} decoys that look different", 1.0, {}
        right = functional.nearest_is_first(functional.thumbnail(shown), rivals, functional.LOST)
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


class Identity:
    """A key for the caches: equal only if it holds the same object, kept alive so that its id stays its own."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _states(episode: Episode) -> Sequence[TruthState]:
    if episode.truth.states is None:
        raise UnsupportedError("no states")
    return episode.truth.states


@lru_cache(maxsize=4)  # all sources of one episode ask for the same
def _path(key: Identity) -> functional.Path:
    return functional.path_of(key.thing)


@lru_cache(maxsize=4)
def _visits(key: Identity, first: int, last: int, gap: int, limit: int) -> list[functional.Visit]:
    return functional.visits(_path(key), first, last, gap, limit)


@lru_cache(maxsize=64)
def _rivals(truth: Identity, other: Identity, t: int, context: int, times: tuple[int, ...]) -> Float | None:
    """The true view at t, then its decoys: of the context, of other times, of another world at this and other times.

    None where the true view looks like one of the context's: a frozen picture would be right.
    """
    own = functional.thumbnail(frame_at(truth.thing, t))
    before = functional.views([functional.thumbnail(frame_at(truth.thing, u)) for u in spread(range(context), 4)])
    if (functional.unlike(own, before) < functional.ALIKE).any():
        return None
    frames = [frame_at(truth.thing, u) for u in times]
    if other.thing is not None:
        end = len(other.thing) - 1
        frames += [frame_at(other.thing, u) for u in sorted({min(t, end), *spread(range(end + 1), 4)})]
    others = functional.views([functional.thumbnail(f) for f in frames])
    if len(others):
        others = others[functional.unlike(own, others) >= functional.ALIKE]
    return np.concatenate([functional.views([own]), before, *([others] if len(others) else [])])


def spread(items: Sequence[int], count: int) -> list[int]:
    """At most `count` of the items, evenly spread, the first and the last among them."""
    if not items:
        return []
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))]


def _other_world(episode: Episode, visit: functional.Visit) -> list[Float]:
    other = episode.other
    times = (visit.first, visit.far)
    return [] if other is None else [functional.thumbnail(frame_at(other, min(t, len(other) - 1))) for t in times]


def frame_at(source: FrameSource, t: int) -> Frames:
    """One frame, (H, W, 3) uint8."""
    return np.asarray(source[t])
