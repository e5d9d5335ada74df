"""The variants of one world side by side: which of them can be judged, when, and what kind of action each is.

The truth alone decides: by its marks, poses, events and frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.metrics.control_motion import ENDED
from worldsim.metrics.functional import branching
from worldsim.metrics.functional.egomotion import true_motion
from worldsim.protocols import EpisodeGroup
from worldsim.types import Episode, Frames, Rollout

TWINS = frozenset({"main", "sham", "twin"})  # variants that differ in something else than the action
TURNED, WALKED = 3.0, 0.1  # degrees and metres: a smaller true motion is none
NO_VARIANTS = "no variants: fewer than two actions of one world"
COMMON = (
    NO_VARIANTS,
    "no marks departure and return",
    "the variants do not start from the same frame",
    "no states",
    "no camera pose or intrinsics",
    "the truth ended before the return",
    ENDED,
    "an interaction, not a motion",
)
Member: TypeAlias = tuple[Episode, Rollout]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The variants of one world that say something, at one judged frame.

    Attributes:
        names: K variants.
        kinds: K names: "turn", "walk" or "none", by the true motion.
        truth: (K, H, W, 3).
        things: (K, H, W) bool, where the truth shows instances.
        groups: (K,) classes of futures that are alike in the truth.
        members: G episodes with the rollout of one arm and sample.
        index: (G,) which of the K each of them is.
        shown: (G, H, W, 3).
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    truth: Frames
    things: NDArray[np.bool_]
    groups: NDArray[np.int64]
    members: tuple[Member, ...]
    index: NDArray[np.int64]
    shown: Frames


@dataclass(frozen=True, kw_only=True)
class _Span:
    """What the truth says of one variant: judged frames and the kind of its motion, or why it is left out."""

    frames: tuple[int, ...] = ()
    kind: str = "none"
    reason: str | None = None


def panels(group: EpisodeGroup) -> tuple[list[list[Panel]], list[tuple[Member, str]]]:
    """The judged panels of each arm and sample, and the members that are left out, with the reason.

    Raises:
        ShapeError: If a rollout's frames differ in shape from the truth's.
    """
    members: list[Member] = [(episode, rollout) for episode in group for rollout in episode.generated]
    for episode, rollout in members:
        if tuple(rollout.trajectory.frames.shape) != tuple(episode.truth.frames.shape):
            raise ShapeError(
                f"rollout frames must be {tuple(episode.truth.frames.shape)} like the truth's, got "
                f"{tuple(rollout.trajectory.frames.shape)}"
            )
    actions = [e for e in group if e.variant not in TWINS]
    if len(actions) < 2:
        return [], [(m, NO_VARIANTS) for m in members]
    spans = _spans(actions)
    known = [e for e in actions if spans[e.id].reason is None]
    left: list[tuple[Member, str]] = []
    rollouts: dict[tuple[str, int], list[Member]] = {}
    for episode, rollout in members:
        span = spans.get(episode.id, _Span(reason=NO_VARIANTS))
        if span.reason is not None or len(known) < 2:
            left.append(((episode, rollout), span.reason or NO_VARIANTS))
        elif rollout.trajectory.last_valid_frame < span.frames[-1]:
            left.append(((episode, rollout), ENDED))
        else:
            rollouts.setdefault((rollout.arm, rollout.sample), []).append((episode, rollout))
    if not rollouts:
        return [], left
    kinds = tuple(spans[e.id].kind for e in known)
    return [
        [_panel(known, kinds, own, frame) for frame in spans[known[0].id].frames] for own in rollouts.values()
    ], left


def _panel(known: Sequence[Episode], kinds: tuple[str, ...], own: Sequence[Member], frame: int) -> Panel:
    truth = np.stack([np.asarray(e.truth.frames[frame]) for e in known])
    at = {e.id: k for k, e in enumerate(known)}
    return Panel(
        names=tuple(e.variant for e in known),
        kinds=kinds,
        truth=truth,
        things=np.stack([_things(e, frame) for e in known]),
        groups=branching.classes(truth),
        members=tuple(own),
        index=np.array([at[e.id] for e, _ in own], np.int64),
        shown=np.stack([np.asarray(r.trajectory.frames[frame]) for _, r in own]),
    )


def _things(episode: Episode, frame: int) -> NDArray[np.bool_]:
    ids = None if episode.truth.states is None else episode.truth.states[frame].segmentation
    return np.zeros(tuple(episode.truth.frames.shape[1:3]), bool) if ids is None else ids > 0


def _spans(actions: Sequence[Episode]) -> dict[str, _Span]:
    marks = [{m.name: m.frame for m in e.marks} for e in actions]
    found = {(own.get("departure", -1), own.get("return", -1)) for own in marks}
    begin, end = min(found)
    if len(found) != 1 or not 0 <= begin < end < len(actions[0].truth.frames):
        return {e.id: _Span(reason="no marks departure and return") for e in actions}
    first = np.asarray(actions[0].truth.frames[begin])
    deeds = {e.id: _deeds(e, begin, end) for e in actions}
    shared = frozenset.intersection(*deeds.values())
    out = {}
    for e in actions:
        if end > e.truth.last_valid_frame:
            out[e.id] = _Span(reason="the truth ended before the return")
        elif not np.array_equal(np.asarray(e.truth.frames[begin]), first):
            out[e.id] = _Span(reason="the variants do not start from the same frame")
        elif deeds[e.id] - shared:
            out[e.id] = _Span(reason="an interaction, not a motion")
        else:
            out[e.id] = _moved(e, begin, end)
    return out


def _moved(episode: Episode, begin: int, end: int) -> _Span:
    if episode.truth.states is None:
        return _Span(reason="no states")
    first, last = episode.truth.states[begin], episode.truth.states[end]
    if first.world_from_camera is None or last.world_from_camera is None:
        return _Span(reason="no camera pose or intrinsics")
    turn = np.abs(true_motion(first, last)[:2]).max()
    way = np.linalg.norm(last.world_from_camera[:3, 3] - first.world_from_camera[:3, 3])
    kind = "turn" if turn > TURNED else "walk" if way > WALKED else "none"
    return _Span(frames=tuple(sorted({(begin + end + 1) // 2, end})), kind=kind)


def _deeds(episode: Episode, begin: int, end: int) -> frozenset[tuple[str, int]]:
    """What happened in a variant besides motion: events by kind and object."""
    states, last = episode.truth.states, min(end, episode.truth.last_valid_frame)
    if states is None:
        return frozenset()
    return frozenset((event.kind, event.object_id) for t in range(begin + 1, last + 1) for event in states[t].events)
