"""Recorded truths, lived again by a simulator that is wrong in one way: no truth is stepped, nothing is encoded.

A run of the oracle keeps each truth's snapshot at the end of the context. A fault starts there, is given the recorded
actions, and what it shows is put beside the recorded truth in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.faults.base import Fault
from worldsim.lane import START
from worldsim.protocols import EpisodeGroup, TruthBinding, TruthEnv
from worldsim.sources import CachedFrames
from worldsim.store import RunStore
from worldsim.truth import State
from worldsim.types import Context, Episode, Rollout, Trajectory

BATCH = 8  # worlds that are stepped together


class Recorded:
    """One committed episode, held in memory for many replays.

    Attributes:
        episode: Its frames and states are decoded once.
        start: The truth's snapshot at the last context frame.
        seed: The model's seed of the recorded rollout.
        dynamics: Dynamics seed of the truth's reset.
    """

    def __init__(self, store: RunStore, row: Mapping[str, Any], other: Mapping[str, Any] | None) -> None:
        """Reads it; `other` is the episode that the null "other-episode" shows."""
        episode = store.episode(row)
        states = episode.truth.states
        truth = replace(
            episode.truth,
            frames=CachedFrames(episode.truth.frames, limit=len(episode.truth.frames)),
            states=None if states is None else tuple(states[t] for t in range(len(states))),
        )
        shown = None if other is None else store.episode(other).truth.frames
        # What was generated is the oracle's; it is the truth again, and is not read.
        self.episode = replace(
            episode,
            truth=truth,
            generated=(Rollout(trajectory=replace(truth, states=None)),),
            other=None if shown is None else CachedFrames(shown, limit=len(shown)),
        )
        self.start: State = store.snapshots(row["episode"])[START]
        self.seed = int(row["rollouts"][0]["seed"])
        self.dynamics = int(row["dynamics_seed"])


def play_groups(
    groups: Sequence[Sequence[Recorded]], fault: Fault, make_env: Callable[[], TruthEnv], batch: int = BATCH
) -> Iterator[EpisodeGroup]:
    """Every group with what the fault generated in it; worlds of several groups are stepped together."""
    waiting: list[Sequence[Recorded]] = []
    for group in groups:
        waiting.append(group)
        if sum(map(len, waiting)) >= batch:
            yield from _play(waiting, fault, make_env)
            waiting = []
    if waiting:
        yield from _play(waiting, fault, make_env)


def _play(
    groups: Sequence[Sequence[Recorded]], fault: Fault, make_env: Callable[[], TruthEnv]
) -> Iterator[EpisodeGroup]:
    flat = [recorded for group in groups for recorded in group]
    shown = _roll(flat, fault, make_env)
    at = 0
    for group in groups:
        yield tuple(_with(r.episode, *shown[at + i]) for i, r in enumerate(group))
        at += len(group)


def _roll(
    worlds: Sequence[Recorded], fault: Fault, make_env: Callable[[], TruthEnv]
) -> list[tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.float32]]]]:
    """Frames (T+1, H, W, 3) and rewards (T,) of each world; those of the context are the truth's."""
    episodes = [w.episode for w in worlds]
    c, steps = max(episodes[0].context_length, 1), len(episodes[0].truth)
    nothing = trees.stack([trees.index(e.truth.actions, slice(0)) for e in episodes])
    fault.bind(
        TruthBinding(
            make_env=make_env,
            seeds=tuple(e.world_seed for e in episodes),
            states=tuple(w.start for w in worlds),
            history=nothing,
            dynamics=tuple(w.dynamics for w in worlds),
        )
    )
    head = np.stack([np.asarray(e.truth.frames[:c]) for e in episodes])
    past = trees.stack([trees.index(e.truth.actions, slice(0, c - 1)) for e in episodes])
    context = Context(frames=head, actions=past, prompts=tuple(e.prompt for e in episodes))
    fault.reset(context, seeds=[w.seed for w in worlds])
    actions = trees.stack([e.truth.actions for e in episodes])
    frames = np.empty((len(worlds), steps + 1, *head.shape[2:]), np.uint8)
    frames[:, :c] = head
    rewards = np.zeros((len(worlds), steps), np.float32)
    for i, e in enumerate(episodes):
        if e.truth.rewards is not None:
            rewards[i, : c - 1] = e.truth.rewards[: c - 1]
    for t in range(c - 1, steps):
        prediction = fault.step(trees.index(actions, (slice(None), slice(t, t + 1))))
        frames[:, t + 1] = prediction.frames[:, 0]
        if prediction.rewards is not None:
            rewards[:, t] = prediction.rewards[:, 0]
    return list(zip(frames, rewards, strict=True))


def _with(episode: Episode, frames: Any, rewards: Any) -> Episode:
    trajectory = Trajectory(frames=frames, actions=episode.truth.actions, rewards=rewards, fps=episode.truth.fps)
    return replace(episode, generated=(Rollout(trajectory=trajectory),))


def unchanged(group: EpisodeGroup) -> bool:
    """Whether what was generated is the truth itself, bit for bit: then its scores are the truth's."""
    for episode in group:
        own = episode.generated[0].trajectory
        true = np.asarray(episode.truth.frames[:])
        paid = own.rewards is None or episode.truth.rewards is None
        if not np.array_equal(np.asarray(own.frames), true):
            return False
        if not paid and not np.array_equal(own.rewards, episode.truth.rewards):  # type: ignore[arg-type]
            return False
    return True
