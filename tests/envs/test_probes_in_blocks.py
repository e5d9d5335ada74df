"""The sets in the world they are made for: probes complete, hide what they hide, come back, and keep the laws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import Any

import cv2
import numpy as np
import pytest

from worldsim import recipes, registry, seeding, trees
from worldsim.branches import render_episode, replay
from worldsim.config import EvalConfig
from worldsim.envs.controllers.sight import box_corners, is_free, project
from worldsim.envs.scenarios import load_set
from worldsim.lane import TruthLane
from worldsim.metrics.events import questions
from worldsim.plan import build_plan
from worldsim.truth import TruthState
from worldsim.types import Episode, Frames, Scenario, Trajectory

WORLDS = 10
PIXELS, FRAMES = 24, 3  # what must have been visible, and for how long
APART = (10.0, 0.5)  # degrees, metres: from there on a view is another one
MEMORY = {"identity", "watched", "evolution", "persistence", "colour", "place"}  # events that are asked after a while
SETS = {name: load_set(name).scenarios for name in ("quick", "core", "long", "certify")}
QUICK = {scenario.name: scenario for scenario in SETS["quick"]}


@dataclass(frozen=True, kw_only=True)
class Played:
    """One world in which a scenario was carried out."""

    lane: TruthLane
    states: list[TruthState]
    frames: list[Frames]
    actions: list[Any]

    @property
    def at(self) -> dict[str, int]:
        return {mark.name: mark.frame for mark in self.lane.marks}


@lru_cache(maxsize=8)
def hall(preset: str, task: str) -> Any:
    return registry.ENVS.get("blocks")(preset=preset, size=(64, 64), **({"task": task, "level": 1} if task else {}))


def play(scenario: Scenario, worlds: int, seed: int = 1) -> Iterator[Played]:
    """Every episode of the plan for so many worlds."""
    env = hall(scenario.env_kwargs.get("preset", ""), scenario.env_kwargs.get("task", ""))
    for planned in build_plan(EvalConfig(episodes=worlds, seed=seed), [scenario]):
        more = scenario.variants.get(planned.variant, {})
        controller = registry.CONTROLLERS.get(scenario.controller)(**scenario.controller_kwargs, **more)
        lane = TruthLane(env=env, rerun_env=None, controller=controller, planned=planned, scenario=scenario)
        first = lane.reset()
        states, frames, actions = [first.state], [first.frame], []
        for _ in range(scenario.context - 1 + scenario.horizon):
            actions.append(lane.choose())
            now = lane.step(actions[-1])
            states.append(now.state)
            frames.append(now.frame)
            if lane.aborted or (getattr(controller, "finished", False) and lane.t >= scenario.context):
                break
        lane.finish()
        yield Played(lane=lane, states=states, frames=frames, actions=actions)


def gap(a: TruthState, b: TruthState) -> tuple[float, float]:
    """Degrees and metres between two cameras."""
    p, q = a.world_from_camera, b.world_from_camera
    assert p is not None and q is not None
    cosine = (np.trace(p[:3, :3].T @ q[:3, :3]) - 1.0) / 2.0
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0)))), float(np.linalg.norm(p[:3, 3] - q[:3, 3]))


def is_other_view(a: TruthState, b: TruthState) -> bool:
    angle, metres = gap(a, b)
    return angle > APART[0] or metres > APART[1]


def differ(a: Frames, b: Frames) -> int:
    """Pixels that differ by more than 8/255."""
    return int((np.abs(a.astype(int) - b.astype(int)).max(-1) > 8).sum())


def pixels_of(state: TruthState, cell: tuple[int, int, int]) -> float:
    """About how many pixels the floor of a cell has in the frame."""
    x, y, z = cell
    corners = np.array([[x, y, z], [x + 1, y, z], [x + 1, y, z + 1], [x, y, z + 1]], float)
    seen, depth = project(state, corners)
    if (depth <= 0.1).any():
        return 0.0
    canvas = np.zeros((64, 64), np.uint8)
    cv2.fillConvexPoly(canvas, np.round(seen).astype(np.int32), 1)
    return float(canvas.sum())


# ------------------------------------------------------------------------------------------------ they are carried out


@pytest.mark.parametrize("name", QUICK)
def test_nine_of_ten_worlds_carry_the_probe(name: str) -> None:
    scenario = QUICK[name]
    reasons, labels = [], set()
    for played in play(scenario, WORLDS):
        if played.lane.aborted:
            reasons.append(f"{played.lane.planned.episode}: {played.lane.aborted}")
            continue
        labels.add(played.lane.planned.label)
        if scenario.controller == "script":
            angle, metres = gap(played.states[played.at["departure"]], played.states[played.at["return"]])
            assert name == "told" or (angle < 1.0 and metres < 0.1), "it comes back"
        for point in scenario.branches:
            assert set(point.judge) <= set(played.at)
            assert max(played.at[m] for m in point.judge) + point.window <= len(played.states), "the window fits"
            for recipe in point.alternatives.values():
                recipes.resolve_alternative(recipe, played.lane.focus, played.states[played.at[point.at]])
    assert len(reasons) <= WORLDS // 10 * len(scenario.variant_names), reasons
    assert labels == set(scenario.balanced.balance if scenario.balanced else ("",)), "every label was the truth"


def short(scenario: Scenario) -> Scenario:
    """The same question with a shorter absence: how long nobody looks is not what is tested here."""
    kwargs = dict(scenario.controller_kwargs)
    kwargs |= {"hold": 2} if "hold" in kwargs else {}
    kwargs |= {"turns": 1} if "turns" in kwargs else {}
    return replace(scenario, controller_kwargs=kwargs)


ASKED = [
    pytest.param(scenario, id=f"{name}-{scenario.name}")
    for name, scenarios in SETS.items()
    for scenario in scenarios
    if scenario.branches or scenario.views
]


@pytest.mark.parametrize("scenario", ASKED)
def test_the_laws_of_a_fair_probe(scenario: Scenario) -> None:
    """1 knowable, 3 freeze-proof, 7 not given away; in one world of each label and variant."""
    labels = scenario.balanced.balance if scenario.balanced else scenario.variant_names
    carried_out: set[str] = set()
    for played in play(short(scenario), 4 * len(labels), seed=3):
        kind = played.lane.planned.label or played.lane.planned.variant
        if played.lane.aborted or kind in carried_out:
            continue
        carried_out.add(kind)
        freeze_proof(scenario, played)
        point = scenario.balanced
        if point is not None and point.tell:
            told_and_not_shown(scenario, played)
        elif point is not None:
            changed_in_view(scenario, played)
        elif scenario.sham:
            seen_or_done(scenario, played)
        if carried_out == set(labels):
            break
    assert carried_out == set(labels), "it could not be carried out in these worlds"


def freeze_proof(scenario: Scenario, played: Played) -> None:
    """Law 3: what is judged was shown by no frame of the context, and the way there left it."""
    at, context = played.at, played.states[: scenario.context]
    for point in (*scenario.branches, *scenario.views):
        if point.name not in MEMORY:
            continue
        for mark in point.judge:
            judged = played.states[at[mark]]
            assert at[mark] >= scenario.context, "predicted, not shown"
            near = [(t, gap(s, judged)) for t, s in enumerate(context) if not is_other_view(s, judged)]
            assert not near, f"{point.name} at {mark} is a view of the context: {near}"
        if "hidden" in at:
            assert at["departure"] < at["hidden"] < at[point.judge[-1]]
            assert is_other_view(played.states[at["hidden"]], played.states[at[point.judge[-1]]])


def changed_in_view(scenario: Scenario, played: Played) -> None:
    """Law 1: in three frames of the context every two answers look different; before, the thing itself was seen."""
    point = scenario.balanced
    assert point is not None
    start = played.at[point.at]
    target = played.lane.focus.get("object_id")
    if target is not None:
        before = [next(o.visible_px for o in s.objects if o.id == target) for s in played.states[: start + 1]]
        assert sum(px >= PIXELS for px in before) >= FRAMES
        hidden = [played.states[t] for name, t in played.at.items() if name == "hidden"]
        assert not any(o.visible_px for s in hidden for o in s.objects if o.id == target), "out of sight"
    steps = range(1, scenario.context - start)
    actions = trees.stack(played.actions[start:])
    drawn = {}
    for name in point.balance:
        change = recipes.resolve_alternative(point.alternatives[name], played.lane.focus, played.states[start])
        drawn[name] = replay(played.lane.env, played.lane.snapshots[point.at], change, actions, list(steps))[0]
    for a, b in combinations(drawn, 2):
        pixels = [differ(x, y) for x, y in zip(drawn[a], drawn[b], strict=True)]
        assert sum(px >= PIXELS for px in pixels) >= FRAMES, f"{a} and {b}: {pixels}"
    truth = played.frames[start + 1 : scenario.context]
    assert np.array_equal(drawn[played.lane.planned.label], np.stack(truth)), "the label is what was shown"


def told_and_not_shown(scenario: Scenario, played: Played) -> None:
    """Law 7: the context shows the free place, and nothing of what the prompt says."""
    point = scenario.balanced
    assert point is not None
    start, cell = played.at[point.at], tuple(played.lane.focus["cell"])
    free = [t for t in range(start) if is_free(played.states[t], cell) and pixels_of(played.states[t], cell) >= PIXELS]
    assert len(free) >= FRAMES
    actions = trees.stack([*played.actions[start:], played.actions[-1]])
    steps = list(range(scenario.context - start))
    shown = []
    for recipe in point.alternatives.values():
        change = recipes.resolve_alternative(recipe, played.lane.focus, played.states[start])
        shown.append(replay(played.lane.env, played.lane.snapshots[point.at], change, actions, steps)[0])
        assert recipe["say"]
    assert all(np.array_equal(shown[0], other) for other in shown[1:]), "the context gives the colour away"


def seen_or_done(scenario: Scenario, played: Played) -> None:
    """Law 1 for deeds: what they are done to was seen; what they do, an action of the prediction does."""
    at, focus, context = played.at, played.lane.focus, played.states[: scenario.context]
    assert scenario.context - 1 <= at["before"] < at["acted"]
    if "object_id" in focus:
        pixels = [next(o.visible_px for o in s.objects if o.id == focus["object_id"]) for s in context]
        assert sum(px >= PIXELS for px in pixels) >= FRAMES
    if scenario.controller_kwargs["probe"] == "break_leave_return":  # put down in the context
        put = next(t for t, s in enumerate(context) for change in s.cells if change.after != "air")
        assert sum(pixels_of(s, tuple(focus["cell"])) >= PIXELS for s in context[put:]) >= FRAMES


@pytest.mark.parametrize("scenario", [case for case in ASKED if case.values[0].branches])
def test_the_truth_can_decide_it(scenario: Scenario) -> None:
    """What happened is among the alternatives, and every two answers look different where they are judged."""
    found: list[str | None] = []
    for played in play(short(scenario) if scenario in SETS["long"] else scenario, 8):
        if played.lane.aborted:
            continue
        truth = Trajectory(
            frames=np.stack(played.frames), actions=trees.stack(played.actions), states=tuple(played.states)
        )
        episode = Episode(
            id=played.lane.planned.episode,
            scenario=scenario.name,
            world_seed=played.lane.planned.world_seed,
            context_length=scenario.context,
            truth=truth,
            marks=played.lane.marks,
            label=played.lane.planned.label,
            variant=played.lane.planned.variant,
            focus=played.lane.focus,
        )
        drawn = render_episode(played.lane.env, scenario, episode, played.lane.snapshots, played.lane.focus)
        asked = questions(replace(episode, branches=tuple(drawn)), tuple(p.name for p in scenario.branches))
        assert {q.event for q in asked} == {p.name for p in scenario.branches}
        found += [q.undefined for q in asked]
        if len(found) >= 3:
            break
    assert found.count(None) > len(found) / 2, found


# ------------------------------------------------------------------------------------------------------ single probes


def test_what_is_out_of_view_is_out_of_view() -> None:
    scenario = QUICK["look_away"]
    for played in play(scenario, 4):
        at, focus = played.at, played.lane.focus
        assert played.lane.aborted is None
        away = played.states[at["hidden"] : at["hidden"] + 1 + scenario.controller_kwargs["hold"]]
        assert all(o.visible_px == 0 for s in away for o in s.objects if o.id == focus["object_id"])
        size = next(o.size for o in played.states[0].objects if o.id == focus["object_id"])
        for state in away:  # nor is the place where it could stand
            seen, depth = project(
                state, box_corners(np.asarray(focus["moved_to"]) + np.array([0, size[1] / 2, 0]), size)
            )
            assert not ((depth > 0) & (seen >= 0).all(-1) & (seen < 64).all(-1)).any()
        back = next((o for o in played.states[at["return"]].objects if o.id == focus["object_id"]), None)
        gone = played.lane.planned.label == "absent"
        assert (back is None or not back.exists) == gone
        assert gone or back.visible_px >= 12


def test_the_control_never_lets_it_out_of_view() -> None:
    scenario = next(s for s in SETS["core"] if s.name == "watch")
    for played in play(scenario, 4):
        if played.lane.aborted or played.lane.planned.label == "absent":
            continue
        target = played.lane.focus["object_id"]
        pixels = [next(o.visible_px for o in s.objects if o.id == target) for s in played.states]
        assert min(pixels[played.at["changed"] :]) >= 12
        assert "hidden" not in played.at


def test_the_body_puts_down_the_block_that_the_file_names() -> None:
    scenario = QUICK["place"]
    played = next(play(scenario, 1))
    (change,) = played.states[played.at["acted"]].cells
    assert change.before == "air"
    assert change.after == scenario.controller_kwargs["block"] == played.lane.focus["block"]
    assert list(change.position) == played.lane.focus["cell"]


def test_a_thing_is_carried_where_both_places_can_be_seen() -> None:
    scenario = next(s for s in SETS["core"] if s.name == "carry")
    done = 0
    for played in play(scenario, 3):
        if played.lane.aborted:
            continue
        done += 1
        focus, state = played.lane.focus, played.states[played.at["return"]]
        item = next(o for o in state.objects if o.id == focus["object_id"])
        base = item.position - np.array([0.0, item.size[1] / 2, 0.0])
        carried = played.lane.planned.variant == "main"
        assert np.allclose(base, focus["put_at" if carried else "taken_from"], atol=1e-3)
        places = np.array([focus["put_at"], focus["taken_from"]]) + np.array([0.0, 0.2, 0.0])
        seen, depth = project(state, places)
        assert ((depth > 0) & (seen >= 6).all(-1) & (seen < 58).all(-1)).all(), "both in view, off the border"
    assert done >= 2


def test_an_orbit_goes_the_other_way_where_one_is_blocked() -> None:
    scenario = next(s for s in SETS["core"] if s.name == "orbit")
    turned = []
    for played in play(scenario, 6):
        if played.lane.aborted:
            continue
        centre = next(o.position for o in played.states[0].objects if o.id == played.lane.focus["object_id"])
        ends = [played.states[played.at[m]].world_from_camera for m in ("departure", "return")]
        a, b = (np.arctan2(*(p[:3, 3] - centre)[[0, 2]]) for p in ends if p is not None)
        turned.append(abs((np.rad2deg(a - b) + 180) % 360 - 180))
    assert len(turned) >= 5
    assert min(turned) > 40.0


def test_worlds_of_the_sets_are_those_of_the_split() -> None:
    for scenario in SETS["core"][:3]:
        for planned in build_plan(EvalConfig(episodes=4), [scenario]):
            assert seeding.split_of(planned.world_seed) == "test"
