"""Action control step by step: does the camera move as it was told to, as much and when?

`measure` reads the motion of every step off the true and the generated frames with one estimator; `control.motion`
compares the two, `control.idm` (in `control_idm`) reads from them which keys were pressed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.base import row_of
from worldsim.metrics.functional import egomotion, motion
from worldsim.metrics.functional.egomotion import COMPONENTS
from worldsim.protocols import EpisodeGroup
from worldsim.truth import TruthState
from worldsim.types import Episode, Frames, FrameSource, MetricSpec, Observation, Rollout, Score, Trajectory

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Camera and body. The score is the worse of the two: who ignores the camera does not control half a world.
KINDS = {"yaw": "turn", "pitch": "turn", "forward": "walk", "right": "walk"}
COMMON = (
    "no predicted step",
    "the simulator ended the episode",
    "no states",
    "no depth",
    "no camera pose or intrinsics",
    "depth is not of the frame's size",
    "frames below 16x16 px",
)
NEEDS = frozenset({"depth", "world_from_camera", "intrinsics"})
ENDED = "the simulator ended the episode"
UNREAD = "the motion cannot be read off the true frames"


@dataclass(frozen=True, kw_only=True)
class TrueSteps:
    """The measured steps of a truth. n steps t -> t + 1, in stretches of consecutive ones.

    Attributes:
        first: (n,) frame index t of each step.
        stretch: (n,) number of its stretch.
        views: n views of the first frames.
        true, seen: (n, 4) by the poses, and read off the true frames.
        readable: (n, 4) where the two agree.
    """

    first: NDArray[np.int64]
    stretch: NDArray[np.int64]
    views: tuple[egomotion.MotionView, ...]
    true: Float
    seen: Float
    readable: Mask


class _Key:
    """A key for a cache: equal only if it holds the same objects, kept alive so that their ids stay their own."""

    def __init__(self, *objects: Any) -> None:
        self.objects = objects

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and all(a is b for a, b in zip(self.objects, other.objects, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.objects)))


def measure(episode: Episode, rollout: Rollout) -> tuple[TrueSteps, Float]:
    """The true steps of an episode, and (n, 4) the motion shown in each: NaN after the simulator's end.

    Raises:
        UnsupportedError: Saying what the truth lacks.
        ShapeError: If the rollout's frames differ in shape from the truth's.
    """
    truth, shown = episode.truth, rollout.trajectory
    if tuple(truth.frames.shape) != tuple(shown.frames.shape):
        raise ShapeError(
            f"rollout frames must be {tuple(truth.frames.shape)} like the truth's, got {tuple(shown.frames.shape)}"
        )
    first = max(episode.context_length, 1) - 1
    steps = _true_steps(_Key(truth), first)
    return steps, _shown(_Key(truth, shown), first)


@lru_cache(maxsize=12)  # a group of variants: all sources and samples ask for the same ones
def _true_steps(key: _Key, first: int) -> TrueSteps:
    truth: Trajectory = key.objects[0]
    if truth.states is None:
        raise UnsupportedError("no states")
    ranges = motion.stretches(first, truth.last_valid_frame)
    if not ranges:
        raise UnsupportedError("no predicted step")
    states: dict[int, TruthState] = {t: truth.states[t] for a, b in ranges for t in range(a, b + 1)}
    sizes = {s.depth.shape for s in states.values() if s.depth is not None}
    if not sizes <= {tuple(truth.frames.shape[1:3])}:
        raise UnsupportedError("depth is not of the frame's size")
    at = [(t, k) for k, (a, b) in enumerate(ranges) for t in range(a, b)]
    views = tuple(egomotion.motion_view(states[t]) for t, _ in at)
    true = np.array([egomotion.true_motion(states[t], states[t + 1]) for t, _ in at])
    seen = _read(truth, [t for t, _ in at], views)
    return TrueSteps(
        first=np.array([t for t, _ in at], np.int64),
        stretch=np.array([k for _, k in at], np.int64),
        views=views,
        true=true,
        seen=seen,
        readable=motion.readable(seen, true),
    )


@lru_cache(maxsize=12)  # `control.motion` and `control.idm` look at the same frames one after the other
def _shown(key: _Key, first: int) -> Float:
    truth, shown = key.objects
    steps = _true_steps(_Key(truth), first)
    return _read(shown, steps.first.tolist(), steps.views, (truth.frames, steps.seen))


def _read(
    video: Trajectory,
    firsts: Sequence[int],
    views: Sequence[egomotion.MotionView],
    known: tuple[FrameSource, Float] | None = None,
) -> Float:
    """(n, 4) the motions of steps, NaN after the video's end; `known`: other frames whose motions have been read."""
    out = np.full((len(firsts), 4), np.nan)
    frames: dict[int, Frames] = {}
    same: dict[int, bool] = {}
    ready: dict[int, egomotion.Picked] = {}
    for i, (t, view) in enumerate(zip(firsts, views, strict=True)):
        two = t, t + 1
        if t + 1 > video.last_valid_frame:
            continue
        frames = {s: frames[s] if s in frames else np.asarray(video.frames[s]) for s in two}
        if known is not None:  # what shows the same has the same motion: read once
            same = {s: same[s] if s in same else np.array_equal(frames[s], known[0][s]) for s in two}
            if same[t] and same[t + 1]:
                out[i] = known[1][i]
                continue
        if np.array_equal(frames[t], frames[t + 1]):
            out[i] = 0.0
            continue
        ready = {s: ready[s] if s in ready else egomotion.picked(frames[s]) for s in two}
        out[i] = egomotion.estimate(ready[t], ready[t + 1], view)
    return out


class Motion:
    """The motion that is shown against the motion that the truth shows, step by step."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="control.motion",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="other-episode",
        requires=NEEDS,
        undefined=(*COMMON, "the truth hardly moves", UNREAD),
        sensitive=frozenset({"lag", "drop", "flip", "gain", "freeze", "ignore-camera", "pan-by-itself"}),
        invariant=frozenset(
            {"tint", "vanish", "teleport", "swap", "edit-ignored", "edit-reverts", "edit-wrong-cell", "standstill"}
        ),
        source="1 - sum |m - m_true| / sum |m_true| of ego-motions by direct alignment with true depth",
        summary="Does the camera move as it was told to, as much and when?",
        power=0.02,
    )

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """One row for each episode, rollout and component ("yaw", ...) in which the truth moves.

        There is one more where a simulator ended early.

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
        kept = steps.readable & there[:, None]
        shown = np.nan_to_num(shown)
        wrong, still = motion.errors(shown, steps.seen, kept)
        moves = motion.enough(steps.seen, kept)
        unread = motion.enough(steps.true, there[:, None] & np.ones((1, 4), bool))
        if not (moves | unread).any():
            yield row_of(name, episode, rollout, source, reason="the truth hardly moves")
        for c, component in enumerate(COMPONENTS):
            if not moves[c]:
                if unread[c]:
                    yield row_of(name, episode, rollout, source, event=component, reason=UNREAD)
                continue
            own = there if there.all() else there & (steps.stretch == 0)
            follows = motion.response(shown[own, c], steps.true[own, c])
            yield row_of(
                name,
                episode,
                rollout,
                source,
                event=component,
                outcome=float(np.clip(1.0 - wrong[c] / still[c], 0.0, 1.0)),
                weight=float(kept[:, c].sum()),
                details={
                    "error": float(wrong[c]),
                    "still": float(still[c]),
                    "lag": follows.lag,
                    "gain": follows.gain,
                    "r2": follows.r2,
                    "estimator_error": float(np.abs(steps.seen - steps.true)[kept[:, c], c].mean()),
                    "misread": int((~steps.readable[:, c]).sum()),
                },
            )

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """Errors averaged within worlds, then over worlds; equal weight to the components of a kind; the worse kind."""
        means = {c: _mean([r for r in rows if r.event == c and r.outcome is not None]) for c in COMPONENTS}
        values = {c: float(np.clip(1.0 - m["error"] / m["still"], 0.0, 1.0)) for c, m in means.items() if m}
        if not values:
            reasons = sorted({r.reason for r in rows if r.reason})
            return Score(value=None, unit=self.spec.unit, reason="; ".join(reasons) or "no observations")
        kinds = worst_kind({c: (KINDS[c], v) for c, v in values.items()})
        details = {c: {"skill": values[c], **m} for c, m in means.items() if m}
        return Score(value=min(kinds.values()), unit=self.spec.unit, details={"kinds": kinds, "components": details})


def worst_kind(values: dict[str, tuple[str, float]]) -> dict[str, float]:
    """The mean of each kind: name -> (kind, value) gives kind -> mean value."""
    kinds: dict[str, list[float]] = {}
    for kind, value in values.values():
        kinds.setdefault(kind, []).append(value)
    return {kind: float(np.mean(own)) for kind, own in sorted(kinds.items())}


_MEANT = ("error", "still", "lag", "gain", "r2", "estimator_error")


def _mean(rows: Sequence[Observation]) -> dict[str, float]:
    """Means of the details within worlds, then over worlds; empty without rows."""
    worlds: dict[int, list[list[float]]] = {}
    for r in sorted(rows, key=lambda r: (r.world, r.episode, r.arm, r.sample)):  # sums depend on their order
        worlds.setdefault(r.world, []).append([float(r.details[k]) for k in _MEANT])
    if not worlds:
        return {}
    values = np.mean([np.mean(own, axis=0) for own in worlds.values()], axis=0)
    return dict(zip(_MEANT, map(float, values), strict=True))
