"""3D consistency: does the picture move as a solid world must?

Thin classes over `worldsim.metrics.functional.{geometry,reprojection,epipolar}`. All three look at pairs of predicted
frames, decide by the truth which pairs say anything, and count what the model fails to show as a failure.

Matched metrics need 128 px and are undefined below: at 64 px SIFT finds too few points in most pairs. They are
diagnostics.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.base import row_of
from worldsim.metrics.functional import epipolar, geometry
from worldsim.metrics.functional import reprojection as functional
from worldsim.metrics.functional.geometry import BIN_NAMES
from worldsim.protocols import EpisodeGroup
from worldsim.truth import TruthState
from worldsim.types import Episode, Frames, FrameSource, MetricSpec, Observation, Rollout, Score

GAPS = (1, 4, 12)  # steps between the two frames of a pair
MIN_PAIRS = 3  # decided pairs without which a parallax bin has no say: it would weigh as much as all others
STARTS = 6  # first frames, spread evenly over the predicted ones
_COMMON = (
    "no pair of predicted frames",
    "the simulator ended the episode",
    "no states",
    "no camera pose or intrinsics",
)
_NEEDS = frozenset({"segmentation", "world_from_camera", "intrinsics"})
_MASKED = frozenset({"vanish", "teleport", "swap"})  # instances are left out

#: What one pair gave: (outcome or None, reason if None, details).
Cell = tuple[float | None, str | None, dict[str, Any]]


def pair_grid(first: int, last: int, gaps: Sequence[int] = GAPS, starts: int = STARTS) -> list[tuple[int, int]]:
    """Pairs (i, j) of frame indices first..last, at most `starts` for each gap; [] if there are none."""
    pairs = []
    for gap in gaps:
        room = last - gap - first
        if room >= 0:
            begin = np.unique(np.linspace(first, first + room, min(starts, room + 1)).astype(int))
            pairs += [(int(i), int(i) + gap) for i in begin]
    return pairs


class PairMetric:
    """Base of metrics that look at pairs of frames. Subclasses give `spec`, `pair` and, if it is no mean, `combine`."""

    spec: ClassVar[MetricSpec]

    def pair(self, episode: Episode, at: tuple[int, int], truth: Frames, shown: Frames) -> Cell:
        """One pair: frame indices, true and shown frames (2, H, W, 3) uint8."""
        raise NotImplementedError(f"{type(self).__name__} needs a method pair(episode, at, truth, shown)")

    def combine(self, rows: Sequence[Observation]) -> Score:
        """The score of decided rows: the mean within worlds, then over worlds."""
        value = float(np.mean([np.mean([r.outcome for r in own]) for own in by_world(rows)]))
        return Score(value=value, unit=self.spec.unit)

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """One row for each episode, rollout and pair; `delay` is the horizon of the pair's second frame.

        Raises:
            ShapeError: If a rollout's frames differ in shape from the truth's.
        """
        return [
            row for episode in group for rollout in episode.generated for row in self._rows(episode, rollout, source)
        ]

    def _rows(self, episode: Episode, rollout: Rollout, source: str) -> Iterator[Observation]:
        def row(at: tuple[int, int] | None, cell: Cell) -> Observation:
            outcome, reason, details = cell
            return row_of(
                self.spec.name,
                episode,
                rollout,
                source,
                event="" if at is None else f"{at[0]}-{at[1]}",
                delay=None if at is None else at[1] - first + 1,
                outcome=outcome,
                reason=reason,
                details=details,
            )

        truth, shown = episode.truth.frames, rollout.trajectory.frames
        if tuple(truth.shape) != tuple(shown.shape):
            raise ShapeError(f"rollout frames must be {tuple(truth.shape)} like the truth's, got {tuple(shown.shape)}")
        first = max(episode.context_length, 1)
        pairs = pair_grid(first, episode.truth.last_valid_frame)
        if not pairs:
            yield row(None, (None, "no pair of predicted frames", {}))
        for at in pairs:
            if at[1] > rollout.trajectory.last_valid_frame:
                yield row(at, (None, "the simulator ended the episode", {}))
                continue
            try:
                yield row(at, self.pair(episode, at, _two(truth, at), _two(shown, at)))
            except UnsupportedError as error:
                yield row(at, (None, str(error), {}))

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """The score of these rows, in whatever order they come; None with the reasons if none is decided."""
        decided = [r for r in rows if r.outcome is not None]
        if not decided:
            reasons = sorted({r.reason for r in rows if r.reason})
            return Score(value=None, unit=self.spec.unit, reason="; ".join(reasons) or "no observations")
        return self.combine(sorted(decided, key=lambda r: (r.world, r.episode, r.arm, r.sample, r.event)))


def by_world(rows: Sequence[Observation]) -> list[list[Observation]]:
    """The rows of each world, worlds in order of their seeds."""
    worlds: dict[int, list[Observation]] = defaultdict(list)
    for r in rows:
        worlds[r.world].append(r)
    return [worlds[w] for w in sorted(worlds)]


class Reprojection(PairMetric):
    """Reprojection error with true depth and pose; see `functional.reprojection`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="geometry.reprojection",
        version=1,
        unit="1",
        range=(-1.0, 1.0),
        higher_is_better=True,
        floor="other-episode",
        requires=_NEEDS | {"depth"},
        undefined=(
            *_COMMON,
            "no depth",
            "no segmentation",
            "more than 45 degrees between the frames",
            "less than 2 px of parallax",
            "less than 25% overlap",
            "fewer than 24 textured static px, near or far, seen in both frames",
            "no power: a frozen frame or a bland world would fit as well",
            "no parallax bin with 3 decided pairs",
        ),
        sensitive=frozenset({"flattened-parallax", "sliding-layer", "pose-jitter"}),
        invariant=_MASKED | {"blur", "noise", "tint", "jpeg"},
        source="1 - (e_gen - e_gt) / (e_null - e_gt), e = weighted mean (1 - ZNCC 7x7) / 2 under the true warp",
        summary="Does each surface reappear where the true depth and motion say it must?",
        power=0.02,
    )

    def pair(self, episode: Episode, at: tuple[int, int], truth: Frames, shown: Frames) -> Cell:
        """See `functional.reprojection.reprojection`: the outcome is the pair's S, the details hold its errors."""
        view = _view(*_states(episode, at))
        result = functional.reprojection(truth, shown, view)
        if isinstance(result, str):
            return None, result, {}
        errors = {"e_gen": result.e_gen, "e_gt": result.e_gt, "e_null": result.e_null}
        return (
            result.skill,
            None,
            errors | {"bin": view.bin, "parallax": view.parallax, "sigma": result.sigma, "noise": result.noise},
        )

    def combine(self, rows: Sequence[Observation]) -> Score:
        """S of the mean errors of each parallax bin (within worlds, then over worlds), equal weight to the bins."""
        values: dict[str, float] = {}
        for name in BIN_NAMES:
            own = [r for r in rows if r.details["bin"] == name]
            if len(own) >= MIN_PAIRS:
                means = [
                    np.mean([[float(r.details[k]) for k in ("e_gen", "e_gt", "e_null")] for r in world], axis=0)
                    for world in by_world(own)
                ]
                values[name] = float(functional.skill(np.mean(means, axis=0)))
        if not values:
            return Score(value=None, unit=self.spec.unit, reason=f"no parallax bin with {MIN_PAIRS} decided pairs")
        pairs = {name: sum(r.details["bin"] == name for r in rows) for name in values}
        value = float(np.mean(list(values.values())))
        return Score(value=value, unit=self.spec.unit, details={"bins": values, "pairs": pairs})


class _Matched(PairMetric):
    """What needs matches: the matcher is SIFT unless another is given."""

    least: ClassVar[int] = 128  # px of the shorter side: at 64 px a tint costs TSED a quarter and self-pose a fifth

    def __init__(self, matcher: epipolar.Matcher = epipolar.sift_matches) -> None:
        """Uses `matcher` on both sides."""
        self.matcher = matcher

    def _matches(self, episode: Episode, at: tuple[int, int], frames: Frames) -> tuple[NDArray[np.float64], ...]:
        if min(frames.shape[1:3]) < self.least:
            raise UnsupportedError(f"frames below {self.least} px hold too few matches")
        first, second = _states(episode, at)
        if first.segmentation is None or second.segmentation is None:
            raise UnsupportedError("no segmentation")
        if first.intrinsics is None or second.intrinsics is None:
            raise UnsupportedError("no camera pose or intrinsics")
        ids = first.segmentation, second.segmentation
        return (*epipolar.off_instances(self.matcher(frames[0], frames[1]), ids), first.intrinsics, second.intrinsics)


class Tsed(_Matched):
    """Thresholded symmetric epipolar distance where a frozen frame would fail it; see `functional.epipolar`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="geometry.tsed",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="other-episode",
        requires=_NEEDS,
        undefined=(
            *_COMMON,
            "frames below 128 px hold too few matches",
            "no segmentation",
            "no power: a frozen frame lies within 4 px (at 256) of its epipolar lines",
            "the true frames do not pass",
        ),
        sensitive=frozenset({"pose-jitter"}),
        invariant=_MASKED,
        source="Yu et al. 2023 (PhotoNVS): median SED below 2 px at 256 over at least 10 matches; share of pairs",
        summary="Do matching points lie on the lines that the true motion allows?",
        headline=False,
        power=0.02,
    )

    def pair(self, episode: Episode, at: tuple[int, int], truth: Frames, shown: Frames) -> Cell:
        """See `functional.epipolar.tsed_pair`: 1 = consistent, 0 = not; the true frames must pass themselves."""
        first, second = _states(episode, at)
        move = geometry.relative_pose(first, second)
        size = truth.shape[1], truth.shape[2]
        verdicts = []
        for frames in (truth, shown):
            a, b, *lenses = self._matches(episode, at, frames)
            verdict = epipolar.tsed_pair((a, b), move, (lenses[0], lenses[1]), size)
            if frames is truth and not verdict.powerful:
                return None, "no power: a frozen frame lies within 4 px (at 256) of its epipolar lines", {}
            if frames is truth and not verdict.consistent:
                return None, "the true frames do not pass", {}
            verdicts.append(verdict)
        own = verdicts[1]
        details = {"matches": own.matches, "frozen": own.frozen, "median": own.median if own.matches else None}
        return float(own.consistent), None, details


class SelfPose(_Matched):
    """The motion that the shown frames imply against the one that the true frames imply."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="geometry.self_pose",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="other-episode",
        requires=frozenset({"segmentation", "intrinsics"}),
        undefined=(
            *_COMMON,
            "frames below 128 px hold too few matches",
            "no segmentation",
            "no power: the true picture hardly moves",
            "the true frames imply no pose",
            "the true frames imply no certain pose",
        ),
        sensitive=frozenset({"pose-jitter"}),
        invariant=_MASKED,
        source="min(1, inlier ratio) x max(0, 1 - angle / 10 deg) of essential matrices (USAC) from SIFT matches",
        summary="Do the pictures imply one solid motion, and is it the truth's?",
        headline=False,
        power=0.02,
    )

    def pair(self, episode: Episode, at: tuple[int, int], truth: Frames, shown: Frames) -> Cell:
        """See `functional.epipolar.self_pose`."""
        a, b, lens, _ = self._matches(episode, at, truth)
        c, d, *_ = self._matches(episode, at, shown)
        result = epipolar.self_pose((a, b), (c, d), lens, (truth.shape[1], truth.shape[2]))
        if isinstance(result, str):
            return None, result, {}
        return result.score, None, {"inlier_ratio": result.inlier_ratio, "angle": result.angle}


class _Identity:
    """A key for the cache: equal only if it holds the same two states, kept alive so that their ids stay their own."""

    def __init__(self, first: TruthState, second: TruthState) -> None:
        self.states = first, second

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and all(a is b for a, b in zip(self.states, other.states, strict=True))

    def __hash__(self) -> int:
        return hash((id(self.states[0]), id(self.states[1])))


@lru_cache(maxsize=64)  # the pairs of one episode: all sources and samples ask for the same ones
def _cached_view(key: _Identity) -> geometry.PairView:
    return geometry.pair_view(*key.states)


def _view(first: TruthState, second: TruthState) -> geometry.PairView:
    return _cached_view(_Identity(first, second))


def _states(episode: Episode, at: tuple[int, int]) -> tuple[TruthState, TruthState]:
    if episode.truth.states is None:
        raise UnsupportedError("no states")
    return episode.truth.states[at[0]], episode.truth.states[at[1]]


def _two(source: FrameSource, at: tuple[int, int]) -> Frames:
    return np.stack([np.asarray(source[t]) for t in at])
