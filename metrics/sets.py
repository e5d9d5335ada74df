"""Base of metrics that compare a set of shown clips with the set of true ones: rows, and what resamples share.

Each clip of a rollout is a short vector (`worldsim.metrics.clip_features`), kept in its row beside the truth's.
`reduce` turns the rows of one source into tables once, and scores every resample of its worlds from them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.metrics import clip_features as clips
from worldsim.metrics.base import row_of
from worldsim.protocols import EpisodeGroup
from worldsim.types import Episode, Frames, MetricSpec, Observation, Rollout, Score

Float = NDArray[np.float64]
Details: TypeAlias = dict[str, Any]

MIN_WORLDS = 8  # draws; below it no set deserves the name
MIN_DISTINCT = 4  # of them, in a resample

#: Another world's truth is a sample of the truth: no set distance can tell them apart, and none should.
OTHER = {"null:other-episode": "another world's truth is a sample of the truth: a ceiling, no floor"}
UNDEFINED = (
    "no predicted frame",
    f"fewer than {clips.CLIP} predicted frames",
    f"frames below {clips.MIN_SIDE}x{clips.MIN_SIDE} px",
    "the simulator ended the episode",
    "the simulator's frame rate differs from the truth's",
    f"too few worlds: fewer than {MIN_WORLDS}",
    "clips of different sizes or frame rates",
    "the true clips of all worlds are alike",
)


@dataclass(frozen=True, kw_only=True)
class Sets:
    """The clips of one source, in order of world.

    Attributes:
        x: (n, d) true vectors.
        y: (n, d) shown vectors of the same clips.
        worlds: (n,) index of each clip's world.
        seeds: (W,) what identifies the worlds.
        tables: What a metric computed from them once, for all resamples.
    """

    x: Float
    y: Float
    worlds: NDArray[np.intp]
    seeds: NDArray[np.int64]
    tables: Mapping[str, Float]


class SetMetric:
    """Base: one row a clip; `tables` once for a set of rows, `score` for each resample of its worlds."""

    spec: ClassVar[MetricSpec]
    no_floor: ClassVar[Mapping[str, str]] = OTHER  # nulls that the question cannot tell from the truth, and why
    all_samples: ClassVar[bool] = False  # otherwise the first sample of each start: as many shown clips as true ones

    def __init__(self) -> None:
        """Nothing is remembered yet."""
        self._held: dict[str, _Held] = {}

    def describe(self, clip: Frames) -> Float:
        """(CLIP, H, W, 3) uint8 -> (d,)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method describe(clip) -> (d,) float64")

    def tables(self, x: Float, y: Float, worlds: NDArray[np.intp]) -> dict[str, Float]:
        """Named tables over worlds (W, W) or items (n, n), from which every resample is scored."""
        raise NotImplementedError(f"{type(self).__name__} needs a method tables(x, y, worlds)")

    def score(self, sets: Sets, counts: Float) -> tuple[float | str, Details]:
        """The value, or the reason why there is none, and details; `counts` (W,) draws of each world."""
        raise NotImplementedError(f"{type(self).__name__} needs a method score(sets, counts)")

    # ------------------------------------------------------------------------------------------ protocols.Metric

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """One row for each clip of each rollout: its vector and the truth's, and their distance as the outcome.

        Raises:
            ShapeError: If a rollout's frames differ in shape from the truth's.
        """
        return [
            row for episode in group for rollout in episode.generated for row in self._rows(episode, rollout, source)
        ]

    def _rows(self, episode: Episode, rollout: Rollout, source: str) -> Iterator[Observation]:
        def row(
            span: tuple[int, int] | None, outcome: float | None, reason: str | None, details: Details
        ) -> Observation:
            return row_of(
                self.spec.name,
                episode,
                rollout,
                source,
                event="" if span is None else f"{span[0]}-{span[1] - 1}",
                outcome=outcome,
                reason=reason,
                details=details,
            )

        truth, shown = episode.truth.frames, rollout.trajectory.frames
        if tuple(truth.shape) != tuple(shown.shape):
            raise ShapeError(f"rollout frames must be {tuple(truth.shape)} like the truth's, got {tuple(shown.shape)}")
        first, last = max(episode.context_length, 1), episode.truth.last_valid_frame
        spans = clips.spans(first, last)
        if not spans:
            few = "no predicted frame" if last < first else f"fewer than {clips.CLIP} predicted frames"
            yield row(None, None, few, {})
        for span in spans:
            reason = self._why_not(episode, rollout, source, span)
            if reason is not None:
                yield row(span, None, reason, {})
                continue
            x, y = (self.describe(np.asarray(side[slice(*span)])) for side in (truth, shown))
            outcome = float(np.round(np.linalg.norm(x - y), clips.DIGITS))
            height, width = truth.shape[1:3]
            details = {
                "world": int(episode.world_seed),  # the bootstrap renames worlds; a copy must not meet its original
                "clip": f"{height}x{width} at {episode.truth.fps:g} fps",
                "truth": x.tolist(),
                "shown": y.tolist(),
            }
            yield row(span, outcome, None, details)

    def _why_not(self, episode: Episode, rollout: Rollout, source: str, span: tuple[int, int]) -> str | None:
        height, width = episode.truth.frames.shape[1:3]
        if min(height, width) < clips.MIN_SIDE:
            return f"frames below {clips.MIN_SIDE}x{clips.MIN_SIDE} px"
        if source in self.no_floor:
            return self.no_floor[source]
        if abs(rollout.trajectory.fps - episode.truth.fps) > 1e-6 * episode.truth.fps:
            return "the simulator's frame rate differs from the truth's"
        if span[1] - 1 > rollout.trajectory.last_valid_frame:
            return "the simulator ended the episode"
        return None

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """The score of these rows, in whatever order they come; None with a reason if they do not decide it."""
        decided = [r for r in rows if r.outcome is not None]
        if not decided:
            reasons = sorted({r.reason for r in rows if r.reason})
            return Score(value=None, unit=self.spec.unit, reason="; ".join(reasons) or "no observations")
        own: dict[int, dict[int, Observation]] = defaultdict(dict)
        names: dict[int, set[int]] = defaultdict(set)
        for r in decided:
            own[r.details["world"]][id(r.details)] = r
            names[r.details["world"]].add(r.world)
        draws = sum(len(copies) for copies in names.values())
        if draws < MIN_WORLDS or len(own) < MIN_DISTINCT:
            return Score(value=None, unit=self.spec.unit, reason=f"too few worlds: {draws} < {MIN_WORLDS}")
        held = self._held.get(decided[0].source)
        if held is None or not held.has(own):
            held = self._held[decided[0].source] = _hold(self, held, own)
        if len(held.kinds) > 1:
            kinds = ", ".join(sorted(held.kinds))
            return Score(value=None, unit=self.spec.unit, reason=f"clips of different sizes or frame rates: {kinds}")
        counts = np.array([len(names.get(int(w), ())) for w in held.sets.seeds], dtype=np.float64)
        sets, counts = _subset(held.sets, counts)
        if not np.ptp(sets.x, axis=0).any():
            return Score(value=None, unit=self.spec.unit, reason="the true clips of all worlds are alike")
        value, details = self.score(sets, counts)
        if isinstance(value, str):
            return Score(value=None, unit=self.spec.unit, reason=value)
        return Score(value=value, unit=self.spec.unit, details=details | {"worlds": len(counts), "clips": len(sets.x)})


@dataclass(frozen=True, kw_only=True)
class _Held:
    """The rows of one source that were seen together, and their tables: resamples draw from them again and again."""

    rows: Mapping[int, Mapping[int, Observation]]  # keeps the details alive, so that their ids stay their own
    kinds: frozenset[str]
    sets: Sets

    def has(self, own: Mapping[int, Mapping[int, Observation]]) -> bool:
        return all(w in self.rows and self.rows[w].keys() == mine.keys() for w, mine in own.items())


_MOST_HELD = 4096  # clips


def _hold(metric: SetMetric, before: _Held | None, own: Mapping[int, Mapping[int, Observation]]) -> _Held:
    """These rows, with those that were held before where they do not contradict: a resample sees a part only."""
    rows = dict(own)
    if before is not None and all(before.rows[w].keys() == own[w].keys() for w in own.keys() & before.rows.keys()):
        rows = dict(before.rows) | rows
        if sum(map(len, rows.values())) > _MOST_HELD:
            rows = dict(own)
    details = []
    for w in sorted(rows):
        first = min(r.sample for r in rows[w].values())
        mine = [r for r in rows[w].values() if metric.all_samples or r.sample == first]
        details += [r.details for r in sorted(mine, key=lambda r: (r.event, r.sample, r.details["shown"]))]
    x, y = (np.array([d[side] for d in details], np.float64) for side in ("truth", "shown"))
    seeds, worlds = np.unique([d["world"] for d in details], return_inverse=True)
    kinds = frozenset(d["clip"] for d in details)
    tables = metric.tables(x, y, worlds)
    return _Held(rows=rows, kinds=kinds, sets=Sets(x=x, y=y, worlds=worlds, seeds=seeds, tables=tables))


def _subset(sets: Sets, counts: Float) -> tuple[Sets, Float]:
    """The worlds that were drawn."""
    if (counts > 0).all():
        return sets, counts
    drawn = np.flatnonzero(counts > 0)
    items = np.flatnonzero(counts[sets.worlds] > 0)
    worlds = np.searchsorted(drawn, sets.worlds[items])
    tables = {}
    for name, table in sets.tables.items():
        keep = drawn if len(table) == len(sets.seeds) else items
        tables[name] = table[np.ix_(keep, keep)]
    part = Sets(x=sets.x[items], y=sets.y[items], worlds=worlds, seeds=sets.seeds[drawn], tables=tables)
    return part, counts[drawn]
