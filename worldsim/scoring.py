"""From recorded episodes to rows of evidence, and from rows to numbers with floor, ceiling, interval and coverage.

Pure: nothing is read or written here, no environment or model is stepped. The anchors go through the same two methods
of the metric as the model: every null of the battery, the truth run again, and the truth through the model's codec.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import overload

from worldsim.errors import UnsupportedError
from worldsim.nulls import NULLS, NullFrames
from worldsim.protocols import EpisodeGroup, Metric
from worldsim.seeding import hash_seed
from worldsim.sources import CachedFrames, MappedFrames
from worldsim.summary import plain, summarise
from worldsim.truth import TruthState
from worldsim.types import Episode, Frames, FrameSource, Observation, Rollout, Trajectory

__all__ = ["observe_all", "scores", "sort_rows", "summarise"]

Others = Callable[[Episode], FrameSource | None]
RoundTrip = Callable[[Frames], Frames]

_LOG = logging.getLogger(__name__)


def observe_all(
    metrics: Sequence[Metric],
    groups: Iterable[EpisodeGroup],
    *,
    others: Others | None = None,
    codec: RoundTrip | None = None,
) -> Iterator[Observation]:
    """Runs every metric on every source of every group of episodes.

    Args:
        metrics: Instances.
        groups: Episodes, twins together.
        others: Frames of another world for the null "other-episode" (default: `Episode.other`); where there are none,
            that null is undefined with a reason.
        codec: The model's round trip, for episodes that were recorded without theirs (`Episode.codec`); either gives
            the source "ceiling_codec".

    Yields:
        Rows with source "model", "null:<name>", "ceiling" and "ceiling_codec". A metric that raises gives a row with
        its reason instead: one broken metric never loses a run.
    """
    for group in groups:
        held = tuple(_hold(episode, others) for episode in group)
        for source, build in _sources(held, codec):
            seen = _build(held, source, build)
            for metric in metrics:
                if isinstance(seen, str):
                    yield from (_undefined(metric, episode, source, seen) for episode in held)
                else:
                    yield from _observe(metric, seen, source)


def observe_model(metrics: Sequence[Metric], group: EpisodeGroup) -> list[Observation]:
    """The rows of what the model of one group generated, without anchors."""
    return [row for metric in metrics for row in _observe(metric, group, "model")]


def _sources(group: EpisodeGroup, codec: RoundTrip | None) -> Iterator[tuple[str, Callable[[Episode], Episode]]]:
    yield "model", lambda episode: episode
    for name in NULLS:
        yield f"null:{name}", partial(_as_null, name=name)
    yield "ceiling", _as_ceiling
    if codec is not None or any(episode.codec is not None for episode in group):
        yield "ceiling_codec", partial(_as_codec, codec=codec)


def _build(group: EpisodeGroup, source: str, build: Callable[[Episode], Episode]) -> EpisodeGroup | str:
    """The group with the frames of a source, or the reason why it has none."""
    try:
        return tuple(build(episode) for episode in group)
    except Exception as error:
        _LOG.debug("source %s of episode %s: %s", source, group[0].id, error)
        return str(error)


def _observe(metric: Metric, group: EpisodeGroup, source: str) -> list[Observation]:
    try:
        return metric.observe(group, source)
    except Exception as error:
        reason = f"the metric failed: {type(error).__name__}: {error}"
        _LOG.warning("%s on %s of episode %s: %s", metric.spec.name, source, group[0].id, reason)
        return [
            replace(_undefined(metric, episode, source, reason), arm=rollout.arm, sample=rollout.sample)
            for episode in group
            for rollout in episode.generated
        ]


def _undefined(metric: Metric, episode: Episode, source: str, reason: str) -> Observation:
    return Observation(
        metric=metric.spec.name,
        episode=episode.id,
        scenario=episode.scenario,
        world=episode.world_seed,
        source=source,
        variant=episode.variant,
        pair_id=episode.pair_id,
        reason=reason,
    )


class _HeldStates(Sequence[TruthState]):
    """Keeps the states that were asked for last: read once, and the same objects for all metrics and sources.

    So what a metric derives from a state can be kept as long as that state is the same object. Bounded memory.
    """

    def __init__(self, source: Sequence[TruthState], limit: int = 128) -> None:
        self._source, self._limit = source, limit
        self._held: OrderedDict[int, TruthState] = OrderedDict()

    def __len__(self) -> int:
        return len(self._source)

    @overload
    def __getitem__(self, key: int) -> TruthState: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[TruthState]: ...
    def __getitem__(self, key: int | slice) -> TruthState | Sequence[TruthState]:
        if isinstance(key, slice):
            return tuple(self[t] for t in range(*key.indices(len(self))))
        t = range(len(self))[key]
        if t not in self._held:
            self._held[t] = self._source[t]
            if len(self._held) > self._limit:
                self._held.popitem(last=False)
        self._held.move_to_end(t)
        return self._held[t]


def _hold(episode: Episode, others: Others | None) -> Episode:
    """The same episode with its frames and states kept in memory once read, for all metrics and sources."""
    other = others(episode) if others is not None else episode.other

    def keep(trajectory: Trajectory) -> Trajectory:
        states = None if trajectory.states is None else _HeldStates(trajectory.states)
        return replace(trajectory, frames=CachedFrames(trajectory.frames), states=states)

    return replace(
        episode,
        truth=keep(episode.truth),
        generated=tuple(replace(r, trajectory=keep(r.trajectory)) for r in episode.generated),
        rerun=keep(episode.rerun) if episode.rerun is not None else None,
        other=CachedFrames(other) if other is not None else None,
    )


def _with_frames(episode: Episode, frames: FrameSource) -> Episode:
    trajectory = Trajectory(frames=CachedFrames(frames), actions=episode.truth.actions, fps=episode.truth.fps)
    return replace(episode, generated=(Rollout(trajectory=trajectory),))


def _as_null(episode: Episode, name: str) -> Episode:
    frames = episode.truth.frames
    # The seed depends on the world alone: the anchors of two models on one suite are the same bytes.
    seed = hash_seed("null", episode.scenario, episode.world_seed)
    return _with_frames(episode, NullFrames(name, frames[: episode.context_length], len(frames), seed, episode.other))


def _as_codec(episode: Episode, codec: RoundTrip | None) -> Episode:
    if episode.codec is not None:
        return _with_frames(episode, episode.codec)
    if codec is None:
        raise UnsupportedError("no round trip of this episode was recorded")
    return _with_frames(episode, MappedFrames(episode.truth.frames, codec))


def _as_ceiling(episode: Episode) -> Episode:
    again = episode.rerun if episode.rerun is not None else episode.truth
    return replace(episode, generated=(Rollout(trajectory=replace(again, states=None)),))


# ------------------------------------------------------------------------------------------------------- numbers


def sort_rows(rows: Iterable[Observation]) -> list[Observation]:
    """Rows in the one order that does not depend on how a run was cut, resumed or sharded."""
    return sorted(
        rows,
        key=lambda r: (
            r.metric,
            r.scenario,
            r.episode,
            r.source,
            r.arm,
            r.sample,
            r.event,
            -1 if r.delay is None else r.delay,
        ),
    )


def scores(metric: Metric, rows: Iterable[Observation]) -> list[dict[str, object]]:
    """One tidy row an episode, source, arm and sample: what `scores.jsonl` holds for one metric."""
    units: dict[tuple[str, str, str, str, int], list[Observation]] = {}
    for r in sort_rows(rows):
        units.setdefault((r.scenario, r.episode, r.source, r.arm, r.sample), []).append(r)
    out: list[dict[str, object]] = []
    for (scenario, episode, source, arm, sample), own in units.items():
        score = metric.reduce(own)
        out.append(
            {
                "episode": episode,
                "scenario": scenario,
                "world_seed": own[0].world,
                "metric": metric.spec.name,
                "version": metric.spec.version,
                "source": source,
                "arm": arm,
                "sample": sample,
                "value": plain(score.value),
                "unit": metric.spec.unit,
                "reason": score.reason if plain(score.value) is None else None,
            }
        )
    return out
