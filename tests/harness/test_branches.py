"""Counterfactuals on the toy hall: what is replayed is what would have happened, from every camera asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toys import ToyEnv
from worldsim.branches import render_episode, replay, turned
from worldsim.errors import ConfigError
from worldsim.seeding import generator
from worldsim.truth import ActionChange, EditSequence, Intervention, MoveObject, RecolourObject, RemoveObject
from worldsim.types import BranchPoint, Episode, Frames, Mark, Scenario, Trajectory, ViewPoint

SIZE = (24, 32)
NOTHING = Intervention(description="as it was")
GONE = Intervention(description="it is gone", change=RemoveObject(object_id=1))


def actions(n: int, seed: int = 0) -> Any:
    return generator("branch-actions", seed).choice([1, 1, 2, 3], n)


def played(env: ToyEnv, todo: Sequence[int], edits: dict[int, Any] | None = None) -> list[Frames]:
    """The frames of a truth that is simply played, edits made before the given step."""
    frames = []
    for i, action in enumerate(todo):
        for edit in (edits or {}).get(i, ()):
            env.edit(edit)
        frames.append(env.step(int(action))[0])
    return frames


def start(seed: int = 5) -> tuple[ToyEnv, Any]:
    env = ToyEnv(size=SIZE)
    env.reset(seed=seed)
    played(env, actions(3))
    return env, env.snapshot()


@settings(max_examples=20, deadline=None)
@given(steps=st.sets(st.integers(0, 8), min_size=1), seed=st.integers(0, 50))
def test_nothing_changed_is_the_truth_bit_for_bit(steps: set[int], seed: int) -> None:
    env, state = start(seed)
    first, todo = env.restore(state)[0], actions(8, seed)
    truth = [first, *played(env, todo)]
    shown = replay(env, state, NOTHING, todo, sorted(steps))
    assert shown.shape == (1, len(steps), *SIZE, 3)
    assert np.array_equal(shown[0], np.stack([truth[s] for s in sorted(steps)]))


def test_a_change_at_the_start_and_one_later() -> None:
    env, state = start()
    pose = env.restore(state)[1].world_from_camera
    assert pose is not None
    x, _, z = pose[:3, 3] + 4.0 * pose[:3, 2]  # ahead
    todo, moved = actions(6), MoveObject(object_id=2, position=(float(x), 0.0, float(z)))
    expected = played(env, todo, {0: (RemoveObject(object_id=1),), 4: (moved,)})
    change = Intervention(
        description="both", change=EditSequence(edits=(RemoveObject(object_id=1),)), later=(moved,), later_at="hidden"
    )
    shown = replay(env, state, change, todo, [1, 3, 5, 6], later=4)[0]
    assert np.array_equal(shown, np.stack([expected[s - 1] for s in (1, 3, 5, 6)]))
    at_once = replay(env, state, change, todo, [4], later=4)[0]
    env.restore(state)
    played(env, todo[:4], {0: (RemoveObject(object_id=1),)})
    env.edit(moved)
    assert np.array_equal(at_once[0], env.render_from()[0]), "a frame of the same moment shows the later change"
    never = replay(env, state, change, todo, [6])[0]
    assert not np.array_equal(never[0], expected[5])


def test_the_start_itself_shows_the_change() -> None:
    env, state = start()
    red = Intervention(description="", change=RecolourObject(object_id=1, colour="yellow"))
    shown = replay(env, state, red, actions(1), [0])[0, 0]
    env.restore(state)
    env.edit(RecolourObject(object_id=1, colour="yellow"))
    assert np.array_equal(shown, env.render_from()[0])


def test_other_actions_take_the_place_of_the_truths() -> None:
    env, state = start()
    other = actions(5, seed=9)
    shown = replay(env, state, Intervention(description="", change=ActionChange(actions=other)), actions(5), [2, 5])[0]
    env.restore(state)
    expected = played(env, other)
    assert np.array_equal(shown, np.stack([expected[1], expected[4]]))
    with pytest.raises(ConfigError, match="needs 7 actions, got 5"):
        replay(env, state, NOTHING, other, [7])


def test_turned_cameras_see_what_a_turned_body_would() -> None:
    env, state = start()
    todo = actions(4)
    lattice = replay(env, state, GONE, todo, [2, 4], yaws=(10.0, -10.0))
    assert lattice.shape == (3, 2, *SIZE, 3)
    assert np.array_equal(lattice[0], replay(env, state, GONE, todo, [2, 4])[0]), "the first is the camera's own"
    env.restore(state)
    env.edit(RemoveObject(object_id=1))
    for column, steps in enumerate((2, 4)):
        env.restore(state)
        env.edit(RemoveObject(object_id=1))
        played(env, todo[:steps])
        still = env.snapshot()
        for row, key in ((1, 2), (2, 1)):  # 10 degrees are one key of the hall: 2 = right, 1 = left
            env.restore(still)
            pose = env.truth().world_from_camera
            env.step(key)
            after = env.truth().world_from_camera
            assert pose is not None and after is not None
            assert np.allclose(turned(pose, 10.0 if key == 2 else -10.0), after, atol=1e-9)
            env.restore(still)
            assert np.array_equal(lattice[row, column], env.render_from(after)[0])


def test_a_truth_that_can_play_without_drawing_gives_the_same() -> None:
    class Skipping(ToyEnv):
        skipped = 0

        def advance(self, todo: Any) -> Any:
            self.skipped += len(todo)
            for action in todo:
                frame, *rest = self.step(action)
            return (frame, *rest)

    env, state = start()
    todo = actions(8)
    skipping = Skipping(size=SIZE)
    skipping.reset(seed=5)
    shown = replay(skipping, state, GONE, todo, [3, 8], yaws=(5.0,))
    assert np.array_equal(shown, replay(env, state, GONE, todo, [3, 8], yaws=(5.0,)))
    assert skipping.skipped == 8


# --------------------------------------------------------------------------------------------------- whole episodes


def episode(scenario: Scenario, seed: int = 5, label: str = "") -> tuple[ToyEnv, Episode, dict[str, Any]]:
    """Ten steps with the marks `departure` 3, `hidden` 6 and `return` 9, and the snapshots that the scenario keeps."""
    env = ToyEnv(size=SIZE)
    frame, _ = env.reset(seed=seed)
    marks = {"departure": 3, "hidden": 6, "return": 9}
    todo = np.array([0, 0, 3, 2, 2, 2, 1, 1, 1, 3])  # a step ahead, then 30 degrees to the right and back
    frames, states, snapshots = [frame], [env.truth()], {}
    for t, action in enumerate(todo):
        for mark in [m for m, at in marks.items() if at == t and m in scenario.kept_marks]:
            snapshots[mark] = env.snapshot()
        frames.append(env.step(int(action))[0])
        states.append(env.truth())
    truth = Trajectory(frames=np.stack(frames), actions=todo, states=states)
    named = tuple(Mark(name=m, frame=at) for m, at in marks.items())
    return (
        env,
        Episode(
            id="hall-0",
            scenario=scenario.name,
            world_seed=seed,
            context_length=2,
            truth=truth,
            marks=named,
            label=label,
        ),
        snapshots,
    )


def scenario(**changes: Any) -> Scenario:
    return Scenario(name="hall", env="toy", controller="noop", context=2, horizon=9, **changes)


def test_alternatives_start_at_their_mark_and_are_drawn_at_the_judged_ones() -> None:
    point = BranchPoint(
        name="identity",
        at="departure",
        judge=("hidden", "return"),
        window=2,
        yaws=(-3.0, 3.0),
        alternatives={"present": {}, "absent": {"edit": "RemoveObject", "object_id": 1}},
    )
    asked = scenario(branches=(point,))
    env, e, snapshots = episode(asked)
    present, absent = render_episode(env, asked, e, snapshots, {})
    for branch in (present, absent):
        assert branch.at == 3
        assert branch.steps.tolist() == [6, 7, 9, 10]
        assert branch.lattice is not None and branch.lattice.shape == (3, 4, *SIZE, 3)
        assert np.array_equal(branch.lattice[0], branch.frames)
    assert np.array_equal(present.frames, np.asarray(e.truth.frames)[[6, 7, 9, 10]])
    assert present.changed is not None and not present.changed.any()
    assert absent.changed is not None
    seen = [e.truth.states[t].objects[0].visible_px for t in (6, 7, 9, 10)]  # type: ignore[index]
    assert [bool(c) for c in absent.changed.any((1, 2))] == [px > 0 for px in seen]


def test_a_later_edit_waits_for_its_mark_and_must_have_one() -> None:
    recipe = {
        "edits": [{"edit": "RecolourObject", "object_id": 1, "colour": "yellow"}],
        "then": [{"edit": "RemoveObject", "object_id": 1}],
        "then_at": "hidden",
    }
    lost = {**recipe, "then_at": "nowhere"}
    point = BranchPoint(
        name="e", at="departure", judge=("return",), window=1, alternatives={"present": {}, "then": recipe, "no": lost}
    )
    asked = scenario(branches=(point,))
    env, e, snapshots = episode(asked)
    drawn = {b.name: b for b in render_episode(env, asked, e, snapshots, {})}
    assert set(drawn) == {"present", "then"}, "what this world does not have is left out, the others are drawn"
    env.restore(snapshots["departure"])
    env.edit(RecolourObject(object_id=1, colour="yellow"))
    played(env, e.truth.actions[3:6])
    env.edit(RemoveObject(object_id=1))
    assert np.array_equal(drawn["then"].frames[0], played(env, e.truth.actions[6:9])[-1])


def test_marks_that_were_never_reached_are_not_drawn() -> None:
    alternatives: dict[str, Any] = {"present": {}, "absent": {"edit": "RemoveObject", "object_id": 1}}
    point = BranchPoint(name="e", at="nowhere", judge=("return",), alternatives=alternatives)
    late = BranchPoint(name="f", at="return", judge=("departure",), alternatives=alternatives)
    asked = scenario(branches=(point, late))
    env, e, snapshots = episode(asked)
    assert render_episode(env, asked, e, snapshots, {}) == []


def test_views_of_other_places() -> None:
    view = ViewPoint(name="place", judge=("hidden", "return"), places=("hidden", "return"), turns=4)
    asked = scenario(views=(view,))
    env, e, snapshots = episode(asked)
    views = render_episode(env, asked, e, snapshots, {})
    names = [b.name for b in views]
    assert names[0] == "hidden+0" and "return+0" in names
    assert len(names) == 8, "30 degrees lie between the two places"
    for mark, column in (("hidden", 0), ("return", 1)):
        (own,) = [b for b in views if b.name == f"{mark}+0"]
        assert own.steps.tolist() == [6, 9]
        assert np.array_equal(own.frames[column], e.truth.frames[int(own.steps[column])]), "the place itself"
    poses = [e.truth.states[t].world_from_camera for t in (6, 9)]  # type: ignore[index]
    for b in views:
        place, angle = b.name.split("+")
        pose = turned(poses[("hidden", "return").index(place)], float(angle))  # type: ignore[arg-type]
        env.restore(snapshots["return"])
        assert np.array_equal(b.frames[1], env.render_from(pose)[0]), "the world as it is then, from over there"


def test_the_same_place_is_drawn_once() -> None:
    view = ViewPoint(name="place", judge=("return",), places=("departure", "return"), turns=1)
    asked = scenario(views=(view,))
    env, e, snapshots = episode(asked)
    assert [b.name for b in render_episode(env, asked, e, snapshots, {})] == ["departure+0"]
    apart = ViewPoint(name="place", judge=("return",), places=("nowhere", "return"), turns=1)
    assert render_episode(env, scenario(views=(apart,)), e, snapshots, {}) == []
