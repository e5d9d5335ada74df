"""Counterfactuals: restore the truth's snapshot, change one fact, replay the same actions, draw what matters.

This is the render stage. It needs no model: the alternatives of an episode depend on the world, the actions and the
scenario only, so that every model, and every fault, is asked the same question.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.errors import ConfigError, WorldsimError
from worldsim.protocols import TruthEnv
from worldsim.recipes import edits_of, resolve_alternative
from worldsim.store import RunStore
from worldsim.truth import ActionChange, Intervention, State
from worldsim.types import Branch, BranchPoint, Episode, Frames, Scenario

log = logging.getLogger("worldsim")

#: Two renders differ at a pixel when any channel differs by more than this (of 255): above texture filtering noise.
TAU = 8


def render_run(store: RunStore, rows: Sequence[Mapping[str, Any]], scenario: Scenario, env: TruthEnv) -> int:
    """Draws the alternatives of every episode of `rows` that has none yet; returns how many episodes were drawn."""
    drawn = 0
    for row in rows:
        if not scenario.branches or store.has_branches(row["episode"]):
            continue
        episode = store.episode(row)
        branches = render_episode(env, scenario, episode, store.snapshots(row["episode"]), row["focus"])
        store.write_branches(row["episode"], branches)
        drawn += 1
    return drawn


def render_episode(
    env: TruthEnv, scenario: Scenario, episode: Episode, snapshots: Mapping[str, State], focus: Mapping[str, Any]
) -> list[Branch]:
    """All alternatives of one episode. Branch points whose marks were never reached give none."""
    marks = {mark.name: mark.frame for mark in episode.marks}
    out: list[Branch] = []
    for point in scenario.branches:
        if point.at in snapshots and any(name in marks for name in point.judge):
            out += _render_point(env, point, episode, snapshots[point.at], marks, focus)
    return out


def replay(env: TruthEnv, state: State, intervention: Intervention, actions: Any, steps: Sequence[int]) -> Frames:
    """Frames of the truth after `steps` actions from `state`, with one fact changed at the start.

    Args:
        env: A truth with snapshots; its own state is lost.
        state: Where the branch starts.
        intervention: The changed fact.
        actions: Tree with leaves (n, ...), n >= max(steps): what is played from there.
        steps: Increasing numbers of actions after which a frame is drawn; 0 is the start itself.

    Returns:
        (len(steps), H, W, 3) uint8.
    """
    frame, _ = env.restore(state)
    edits = edits_of(intervention)
    for edit in edits:
        env.edit(edit)
    if edits:
        frame, _ = env.render_from()
    if isinstance(intervention.change, ActionChange):
        actions = intervention.change.actions
    frames: list[Frames] = []
    played = 0
    skip = getattr(env, "advance", None)  # truths that can play actions without drawing say so by this method
    for step in steps:
        if step > played:
            stretch = trees.index(actions, slice(played, step))
            if trees.length(stretch) < step - played:
                raise ConfigError(f"a branch needs {step} actions, got {trees.length(actions)}")
            if skip is not None:
                frame = skip(stretch)[0]
            else:
                for i in range(step - played):
                    frame = env.step(trees.index(stretch, i))[0]
            played = step
        frames.append(np.array(frame))
    return np.stack(frames)


def _render_point(
    env: TruthEnv,
    point: BranchPoint,
    episode: Episode,
    state: State,
    marks: Mapping[str, int],
    focus: Mapping[str, Any],
) -> list[Branch]:
    at, last = marks[point.at], episode.truth.last_valid_frame
    wanted = sorted(
        {
            frame
            for name in point.judge
            if name in marks
            for frame in range(marks[name], min(marks[name] + point.window, last + 1))
            if frame >= at
        }
    )
    if not wanted:
        return []
    actions = trees.index(episode.truth.actions, slice(at, None))
    steps = [frame - at for frame in wanted]
    _, truth = env.restore(state)
    drawn: list[tuple[str, Intervention, Frames]] = []
    for name, recipe in point.alternatives.items():
        try:
            intervention = resolve_alternative(recipe, focus, truth)
            drawn.append((name, intervention, replay(env, state, intervention, actions, steps)))
        except WorldsimError as error:  # this world has no such alternative: the others are still worth drawing
            log.warning("episode %s, branch %s: no alternative %r: %s", episode.id, point.name, name, error)
    true = next((frames for _, i, frames in drawn if i.change is None), None)
    return [
        Branch(
            name=name,
            event=point.name,
            intervention=intervention,
            at=at,
            steps=np.asarray(wanted, np.int64),
            frames=frames,
            changed=None if true is None else differing(frames, true),
        )
        for name, intervention, frames in drawn
    ]


def differing(a: Frames, b: Frames) -> NDArray[np.bool_]:
    """(..., H, W) bool: where any channel differs by more than `TAU`."""
    out: NDArray[np.bool_] = np.abs(a.astype(np.int16) - b.astype(np.int16)).max(-1) > TAU
    return out
