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
from worldsim.truth import ActionChange, Intervention, State, TruthState
from worldsim.types import Branch, BranchPoint, Episode, Frames, Scenario, ViewPoint

log = logging.getLogger("worldsim")

#: Two renders differ at a pixel when any channel differs by more than this (of 255): above texture filtering noise.
TAU = 8


def render_run(store: RunStore, rows: Sequence[Mapping[str, Any]], scenario: Scenario, env: TruthEnv) -> int:
    """Draws the alternatives of every episode of `rows` that has none yet; returns how many episodes were drawn."""
    drawn = 0
    for row in rows:
        if not (scenario.branches or scenario.views) or store.has_branches(row["episode"]):
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
    for view in scenario.views:
        out += _render_views(env, view, episode, snapshots, marks)
    return out


def replay(
    env: TruthEnv,
    state: State,
    intervention: Intervention,
    actions: Any,
    steps: Sequence[int],
    yaws: Sequence[float] = (),
    later: int | None = None,
) -> Frames:
    """Frames of the truth after `steps` actions from `state`, with one fact changed at the start.

    Args:
        env: A truth with snapshots; its own state is lost.
        state: Where the branch starts.
        intervention: The changed fact.
        actions: Tree with leaves (n, ...), n >= max(steps): what is played from there.
        steps: Increasing numbers of actions after which a frame is drawn; 0 is the start itself.
        yaws: Degrees by which the camera is turned for further frames of the same moments.
        later: Number of actions after which `intervention.later` is made; None = never.

    Returns:
        (1 + len(yaws), len(steps), H, W, 3) uint8; the first row is what the camera itself sees.
    """
    frame, _ = env.restore(state)
    edits = edits_of(intervention)
    for edit in edits:
        env.edit(edit)
    if edits:
        frame, _ = env.render_from()
    if isinstance(intervention.change, ActionChange):
        actions = intervention.change.actions
    frames: list[list[Frames]] = [[] for _ in range(1 + len(yaws))]
    played = 0
    skip = getattr(env, "advance", None)  # truths that can play actions without drawing say so by this method
    for step in sorted({*steps, *(() if later is None else (later,))}):
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
        if step == later:
            for edit in intervention.later:
                env.edit(edit)
            frame, _ = env.render_from()
        if step not in steps:
            continue
        frames[0].append(np.array(frame))
        if yaws:
            pose = _pose(env.truth())
            for row, yaw in zip(frames[1:], yaws, strict=True):
                row.append(np.array(env.render_from(turned(pose, yaw))[0]))
    return np.stack([np.stack(row) for row in frames])


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
            later = marks[intervention.later_at] - at if intervention.later_at in marks else None
            if intervention.later and (later is None or later < 0):
                raise ConfigError(f"there is no mark {intervention.later_at!r} after {point.at!r}")
            drawn.append((name, intervention, replay(env, state, intervention, actions, steps, point.yaws, later)))
        except WorldsimError as error:  # this world has no such alternative: the others are still worth drawing
            log.warning("episode %s, branch %s: no alternative %r: %s", episode.id, point.name, name, error)
    true = next((frames[0] for name, i, frames in drawn if _is_true(name, i, episode.label)), None)
    return [
        Branch(
            name=name,
            event=point.name,
            intervention=intervention,
            at=at,
            steps=np.asarray(wanted, np.int64),
            frames=frames[0],
            changed=None if true is None else differing(frames[0], true),
            lattice=frames if point.yaws else None,
        )
        for name, intervention, frames in drawn
    ]


def _is_true(name: str, intervention: Intervention, label: str) -> bool:
    """Whether an alternative is what happened: the balanced one, or the one that changes nothing."""
    return name == label if label else intervention.change is None


def _render_views(
    env: TruthEnv, view: ViewPoint, episode: Episode, snapshots: Mapping[str, State], marks: Mapping[str, int]
) -> list[Branch]:
    """The world at each judged mark, seen from the camera poses of all places and around them."""
    judged = [name for name in view.judge if name in marks and name in snapshots]
    states = episode.truth.states
    if not judged or states is None or any(name not in marks for name in view.places):
        return []
    poses: dict[str, NDArray[np.float64]] = {}
    for place in view.places:
        start = _pose(states[marks[place]])
        for turn in range(view.turns):
            angle = 360.0 * turn / view.turns
            pose = turned(start, angle)
            if all(_apart(pose, other) for other in poses.values()):
                poses[f"{place}+{angle:g}"] = pose
    frames: dict[str, list[Frames]] = {name: [] for name in poses}
    for mark in judged:
        env.restore(snapshots[mark])
        for name, pose in poses.items():
            frames[name].append(np.array(env.render_from(pose)[0]))
    steps = np.array([marks[mark] for mark in judged], np.int64)
    return [
        Branch(
            name=name,
            event=view.name,
            intervention=Intervention(
                description=f"seen from the place of {name.replace('+', ', turned by ')} degrees"
            ),
            at=int(steps[0]),
            steps=steps,
            frames=np.stack(shown),
        )
        for name, shown in frames.items()
    ]


def turned(pose: NDArray[np.float64], yaw: float) -> NDArray[np.float64]:
    """A (4, 4) camera pose turned to the right by `yaw` degrees about the world's vertical (y up), on its spot."""
    a = np.deg2rad(yaw)
    level = np.array([pose[0, 2], 0.0, pose[2, 2]])  # where it looks, and what lies to its right, both level
    right = np.array([pose[0, 0], 0.0, pose[2, 0]])
    # The turn about the vertical that takes `level` towards `right`: its sense follows from the pose's handedness.
    sense = 1.0 if float(np.cross(level, right)[1]) > 0 else -1.0
    c, s = np.cos(a), sense * np.sin(a)
    about = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    out = pose.copy()
    out[:3, :3] = about @ pose[:3, :3]
    return out


def _apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two views differ by more than 10 degrees or 0.5 m: else they would be the same place."""
    angle = np.rad2deg(np.arccos(np.clip((np.trace(a[:3, :3].T @ b[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)))
    return bool(angle > 10.0 or np.linalg.norm(a[:3, 3] - b[:3, 3]) > 0.5)


def _pose(state: TruthState) -> NDArray[np.float64]:
    if state.world_from_camera is None:
        raise ConfigError("candidate camera poses need a truth that tells world_from_camera")
    return state.world_from_camera


def differing(a: Frames, b: Frames) -> NDArray[np.bool_]:
    """(..., H, W) bool: where any channel differs by more than `TAU`."""
    out: NDArray[np.bool_] = np.abs(a.astype(np.int16) - b.astype(np.int16)).max(-1) > TAU
    return out
