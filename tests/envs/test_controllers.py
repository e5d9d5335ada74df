"""Controllers on a court without dynamics, whose truth is computed by other code than theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.envs.court import Court
from worldsim import trees
from worldsim.envs import actions
from worldsim.envs.controllers import PROBES, Explore, Human, NoOp, Policy, Replay, Script
from worldsim.envs.controllers.pose import bearing, ground_distance, pose_of, wrap
from worldsim.envs.controllers.sight import box_in_view
from worldsim.errors import ConfigError, UnknownNameError
from worldsim.protocols import Controller
from worldsim.truth import TruthState
from worldsim.types import Frames

FRAME = np.zeros((64, 64, 3), np.uint8)


def play(
    controller: Any, env: Any, steps: int, *, seed: int = 0, sham: bool = False
) -> tuple[list[TruthState], list[Any]]:
    states, played = [env.truth()], []
    controller.reset(seed=seed, action_space=env.action_space, truth=states[0], sham=sham)
    for t in range(steps):
        played.append(controller.act(FRAME, states[-1], t))
        env.step(played[-1])
        states.append(env.truth())
    controller.act(FRAME, states[-1], steps)
    return states, played


def marks_of(controller: Any) -> dict[str, int]:
    return {mark.name: mark.frame for mark in controller.marks}


def pose_error(states: list[TruthState], a: int, b: int) -> tuple[float, float]:
    p, q = pose_of(states[a]), pose_of(states[b])
    return max(abs(wrap(p.yaw - q.yaw)), abs(p.pitch - q.pitch)), ground_distance(p.eye, q.eye)


@pytest.mark.parametrize("seed", range(4))
def test_look_away_return(seed: int) -> None:
    script = Script("look_away_return", context=8, horizon=32, angle=90, hold=4)
    states, played = play(script, Court(seed, objects=6), 39)
    assert script.aborted is None
    assert script.finished
    at, target = marks_of(script), script.focus["object_id"]
    pixels = [next(o.visible_px for o in s.objects if o.id == target) for s in states]
    assert sum(px >= 24 for px in pixels[:8]) >= 3, "knowable: in view for three frames of the context"
    assert pixels[at["hidden"]] == 0
    assert not any(pixels[at["hidden"] : at["hidden"] + 5])
    assert min(pixels[at["return"] : at["return"] + 5]) >= 24
    angle, distance = pose_error(states, at["departure"], at["return"])
    assert angle < 1.0
    assert distance < 0.1
    assert all(max(abs(a["camera"])) <= 15.0 for a in played)
    # Freeze-proof: no frame of the context shows the view that is judged.
    assert all(pose_error(states, f, at["return"])[0] > 10.0 for f in range(8))


def test_a_change_is_announced_between_what_was_seen_before_and_after() -> None:
    for probe, options in (("look_away_return", {"angle": 90, "hold": 2}), ("watch", {"steps": 12})):
        change = {"change": True} if probe == "look_away_return" else {}
        script = Script(probe, context=12, horizon=40, **options, **change)
        states, _ = play(script, Court(1, objects=6), 51)
        assert script.aborted is None
        at, target = marks_of(script), script.focus["object_id"]
        pixels = [next(o.visible_px for o in s.objects if o.id == target) for s in states]
        assert sum(px >= 24 for px in pixels[: at["changed"] + 1]) >= 3
        assert min(pixels[at["changed"] : 12]) >= 24
        assert 12 - 1 - at["changed"] >= 3
        assert pose_error(states, at["changed"], 11) == (0.0, 0.0), "the change itself stays in view"
        assert len(script.focus["moved_to"]) == 3
        assert ("hidden" in at) == (probe == "look_away_return")
        if probe == "watch":
            assert min(pixels) >= 24 or min(pixels[at["changed"] :]) > 0
            assert script.focus["unseen_steps"] == 0


def test_what_is_removed_in_view_is_left_and_looked_at_in_the_same_way() -> None:
    """The probe goes by where the instance stood, so that its way does not tell what became of it."""
    ways = []
    for removed in (False, True):
        script, env = Script("look_away_return", context=12, horizon=40, change=True), Court(1, objects=6)
        script.reset(seed=0, action_space=env.action_space, truth=env.truth())
        poses = []
        for t in range(51):
            action = script.act(FRAME, env.truth(), t)
            if removed and t == marks_of(script).get("changed"):
                env.objects.pop(script.focus["object_id"])
            env.step(action)
            poses.append(env.matrix())
        assert script.aborted is None and "return" in marks_of(script)
        ways.append(np.stack(poses))
    assert np.array_equal(ways[0], ways[1])


def test_the_place_where_it_could_stand_is_seen_as_well_as_the_thing() -> None:
    known = 0
    for seed in range(12):
        script = Script("look_away_return", context=12, horizon=40, change=True)
        states, _ = play(script, Court(seed, objects=5), 51)
        if script.aborted:
            continue
        known += 1
        back, (x, _, z) = states[marks_of(script)["return"]], script.focus["moved_to"]
        item = next(o for o in back.objects if o.id == script.focus["object_id"])
        eye = pose_of(back).eye
        ratio = ground_distance(eye, item.position) / ground_distance(eye, np.array([x, 0.0, z]))
        assert item.visible_px * ratio**2 > 20
        assert abs(bearing(back, np.array([x, 0.0, z]))) <= 35.0 - 11.0
        assert ground_distance(item.position, np.array([x, 0.0, z])) > 0.95
    assert known >= 8


def test_reveal_and_process_name_a_frame_of_the_context() -> None:
    script = Script("reveal", context=18, horizon=16, angle=150)
    states, _ = play(script, Court(2), 33)
    at, (x, y, z) = marks_of(script), script.focus["spot"]
    assert script.finished and script.aborted is None
    assert 2 < at["told"] < 17 == at["departure"] < at["return"]
    place = np.array([x, y + 0.5, z])
    assert not any(box_in_view(s, place, (1.0, 1.0, 1.0)) for s in states[at["told"] : at["departure"] + 1])
    assert sum(abs(bearing(s, place)) < 25.0 for s in states[: at["told"]]) >= 3
    assert abs(bearing(states[at["return"]], place)) < 0.1
    script = Script("process_unseen", context=18, horizon=48, hold=4)
    states, _ = play(script, Court(2), 65)
    at, cell = marks_of(script), script.focus["cell"]
    assert 17 - at["changed"] >= 8, "long enough to tell whether it goes on"
    assert not box_in_view(states[at["hidden"]], np.array(cell) + 0.5, (1.0, 1.0, 1.0))
    assert max(pose_error(states, at["departure"], at["return"])) < 0.1


def test_orbit_keeps_the_thing_in_the_middle() -> None:
    done = 0
    for seed in range(6):
        script = Script("orbit", context=16, horizon=128)
        states, _ = play(script, Court(seed, objects=5), 143)
        if script.aborted:
            assert "blocked" in script.aborted or "instance" in script.aborted
            continue
        done += 1
        at = marks_of(script)
        centre = next(o.position for o in states[0].objects if o.id == script.focus["object_id"])
        for mark in ("departure", "return"):
            assert abs(bearing(states[at[mark]], centre)) < 0.1
        a, b = (pose_of(states[at[mark]]).eye for mark in ("departure", "return"))
        assert ground_distance(a, centre) <= 3.9
        assert abs(ground_distance(a, centre) - ground_distance(b, centre)) < 0.5
        assert ground_distance(a, b) > 1.5
    assert done >= 4


def test_a_thing_behind_another_is_walked_around() -> None:
    """One chest, right behind a pillar: turning does not show it, walking aside does."""
    env = Court(0, objects=1, pillars=0)
    env.feet, env.yaw = np.array([10.0, 0.0, 4.0]), 0.0
    env.objects = {1: ("red_chest", np.array([10.0, 0.0, 10.0]))}
    env.pillars = [(9.5, 0, 7.0)]
    assert env.truth().objects[0].visible_px == 0
    script = Script("use_leave_return", context=32, horizon=64, kinds=["chest"], far=12.0)
    play(script, env, 40)
    assert script.focus.get("object_id") == 1
    script = Script("use_leave_return", context=6, horizon=64, kinds=["chest"], far=12.0)
    env.feet, env.yaw = np.array([10.0, 0.0, 4.0]), 0.0
    play(script, env, 20)
    assert "came into view" in str(script.aborted)


@pytest.mark.parametrize(
    ("probe", "horizon", "options"),
    [
        ("place_leave_return", 32, {"angle": 75, "hold": 3}),
        ("break_leave_return", 40, {}),
    ],
)
def test_deeds_and_their_shams(probe: str, horizon: int, options: dict[str, Any]) -> None:
    runs = {}
    for sham in (False, True):
        script, env = Script(probe, horizon=horizon, block="red_wool", **options), Court(3)
        states, played = play(script, env, 7 + horizon, sham=sham)
        assert script.aborted is None
        runs[sham] = script, env, states, played
    (main, env, states, played), (twin, twin_env, twin_states, twin_played) = runs[False], runs[True]
    assert marks_of(main) == marks_of(twin), "the twin moves in the same way"
    assert main.focus["cell"] == twin.focus["cell"]
    assert [s.world_from_camera.tolist() for s in states] == [s.world_from_camera.tolist() for s in twin_states]
    different = [t for t, (a, b) in enumerate(zip(played, twin_played, strict=True)) if not trees.equal(a, b)]
    assert different == [marks_of(main)["before"]], "only the deed differs"
    placed = probe == "place_leave_return"
    cell = tuple(main.focus["cell"])
    assert (cell in env.blocks) == placed
    assert (cell in twin_env.blocks) == (not placed)
    assert abs(np.array(cell) - main.focus["neighbour"]).sum() == 1
    angle, distance = pose_error(states, marks_of(main)["departure"], marks_of(main)["return"])
    assert max(angle, distance) < 0.1


@pytest.mark.parametrize(
    ("probe", "horizon", "options"),
    [
        ("full_turn", 40, {}),
        ("full_turn", 64, {"direction": 0}),
        ("strafe_back", 32, {}),
        ("dolly", 48, {}),
        ("a_b_a", 128, {}),
        ("a_b_c_a", 160, {}),
    ],
)
def test_there_and_back(probe: str, horizon: int, options: dict[str, Any]) -> None:
    script = Script(probe, horizon=horizon, **options)
    states, _ = play(script, Court(1), 7 + horizon)
    assert script.aborted is None
    assert script.finished
    at = marks_of(script)
    angle, distance = pose_error(states, at["departure"], at["return"])
    assert angle < 1.0
    assert distance < 0.1
    middle = at.get("hidden", at.get("turn"))
    away = pose_error(states, at["departure"], middle)
    assert away[0] > 90 or away[1] > 0.7


def test_translations_do_not_turn() -> None:
    for probe in ("strafe_back", "dolly"):
        script = Script(probe, horizon=48)
        states, _ = play(script, Court(2), 55)
        start, end = marks_of(script)["departure"], marks_of(script)["return"]
        yaws = [pose_of(s).yaw for s in states[start : end + 1]]
        assert max(yaws) - min(yaws) < 1e-6


def test_counterfactual_offers_whole_actions() -> None:
    choices = {"forward": {"forward": 1}, "left": {"camera": (0, -10)}}
    script = Script("counterfactual", horizon=24, actions=choices, played="forward", steps=8, window=5)
    env = Court(0)
    _, played = play(script, env, 31)
    at = marks_of(script)
    truth = trees.stack(played[at["departure"] : at["return"] + 5])
    offered = trees.map_leaves(np.asarray, script.focus["actions"]["forward"])
    assert trees.length(offered) == 13
    assert all(np.array_equal(truth[key], offered[key]) for key in truth)
    assert np.asarray(script.focus["actions"]["left"]["camera"])[:8, 1].tolist() == [-10.0] * 8


def test_a_probe_that_does_not_fit_says_so() -> None:
    script = Script("a_b_a", horizon=16)
    play(script, Court(0), 23)
    assert "more than 16 steps" in str(script.aborted)
    script = Script("look_away_return", kinds=["unicorn"], horizon=32)
    _, played = play(script, Court(0), 39)
    assert "unicorn" in str(script.aborted)
    assert trees.equal(played[-1], actions.noop(Court(0).action_space)), "an aborted probe rests"


def test_typos_in_scripts() -> None:
    with pytest.raises(UnknownNameError, match="look_away_return"):
        Script("look_away_retrun")
    with pytest.raises(ConfigError, match="Did you mean 'angle'"):
        Script("look_away_return", angel=3)
    with pytest.raises(ConfigError, match="reset before"):
        Script("full_turn").act(FRAME, Court(0).truth(), 0)


def test_explore_is_seeded_moves_and_revisits() -> None:
    runs = [play(Explore(), Court(5), 400, seed=seed) for seed in (1, 1, 2)]
    assert trees.equal(trees.stack(runs[0][1]), trees.stack(runs[1][1]))
    assert not trees.equal(trees.stack(runs[0][1]), trees.stack(runs[2][1]))
    walk = Explore()
    states, _ = play(walk, Court(5), 400, seed=1)
    assert len(walk.marks) >= 2
    eyes = np.array([pose_of(s).eye for s in states])
    assert np.ptp(eyes[:, 0]) + np.ptp(eyes[:, 2]) > 5.0
    for mark in walk.marks:
        earlier = [pose_error(states, mark.frame, f) for f in range(0, mark.frame - 10, 20)]
        assert any(angle < 0.1 and distance <= 0.3 for angle, distance in earlier)


def test_simple_controllers() -> None:
    env = Court(0)
    _, played = play(NoOp(), env, 3)
    assert trees.equal(trees.stack(played), trees.stack([actions.noop(env.action_space)] * 3))
    env.action_space.seed(0)
    recorded = trees.stack([env.action_space.sample() for _ in range(4)])
    _, again = play(Replay(recorded), Court(0), 6)
    assert trees.equal(trees.stack(again[:4]), recorded)
    assert trees.equal(again[5], actions.noop(env.action_space))


def test_replay_from_a_file(tmp_path: Any) -> None:
    recorded = trees.stack([actions.noop(actions.minerl_space())] * 2)
    np.savez(tmp_path / "actions.npz", **trees.flatten(recorded))
    assert trees.equal(Replay(tmp_path / "actions.npz").actions, recorded)
    with pytest.raises(ConfigError, match="no recorded actions"):
        Replay(tmp_path / "none.npz")


def test_policy_sees_the_frame_that_it_is_given() -> None:
    class Bright:
        def reset(self, seed: int) -> None:
            self.seed = seed

        def __call__(self, frame: Frames) -> int:
            return 1 if frame.mean() > 100 else 0

    env, inner = Court(0), Bright()
    policy = Policy(inner, actions=actions.discrete_space())
    policy.reset(seed=7, action_space=env.action_space, truth=env.truth())
    assert inner.seed == 7
    assert policy.act(FRAME + 200, env.truth(), 0)["forward"] == 1
    assert policy.act(FRAME, env.truth(), 1)["forward"] == 0


def test_a_persons_camera_moves_once_while_keys_stay_down() -> None:
    env, person = Court(0), Human()
    person.reset(seed=0, action_space=env.action_space, truth=env.truth())
    person.press({"forward": 1, "camera": (0, 5)})
    first, second = (person.act(FRAME, env.truth(), t) for t in range(2))
    assert first["forward"] == second["forward"] == 1
    assert first["camera"].tolist() == [0, 5]
    assert second["camera"].tolist() == [0, 0]
    person.press({"fly": 1})
    with pytest.raises(ConfigError, match="no key is called 'fly'"):
        person.act(FRAME, env.truth(), 2)


def test_all_satisfy_the_protocol() -> None:
    controllers = (NoOp(), Explore(), Script("full_turn"), Human(), Policy(lambda frame: 0), Replay({"a": np.zeros(2)}))
    assert all(isinstance(controller, Controller) for controller in controllers)
    assert len(PROBES) >= 15
