from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import worldsim.envs
from tests.envs.blocks.helpers import action, digest, env_of, flat, random_actions
from worldsim import trees
from worldsim.checks import check_truth_env
from worldsim.envs.blocks.camera import camera_pose
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.envs.blocks.layout import ObjectSpec
from worldsim.errors import ConfigError, ContractError, ShapeError, UnknownNameError

OPEN = "village"


@pytest.mark.parametrize("actions", ["minerl", "discrete", "continuous"])
def test_gymnasiums_checker_has_nothing_to_say(actions: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if actions == "minerl":  # a recommendation to learners; MineRL's camera is in degrees
            warnings.filterwarnings("ignore", message=".*symmetric and normalized space.*")
        check_env(gym.make("worldsim/Blocks-v0", size=(16, 24), actions=actions).unwrapped)


@pytest.mark.parametrize("task", ["Navigate", "Collect", "Build", "SurviveNight"])
def test_the_tasks_pass_the_checker_too(task: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(f"worldsim/Blocks-{task}-v0", size=(16, 16), actions="discrete").unwrapped)


@pytest.mark.parametrize("preset", ["arena", "village", "open"])
def test_the_contract_of_a_truth_is_kept(preset: str) -> None:
    check_truth_env(partial(BlocksEnv, preset=preset, size=(32, 32))).raise_for_status()


def test_same_seed_and_actions_give_the_same_bytes_here_and_in_another_process() -> None:
    code = (
        "from tests.envs.blocks.helpers import digest, random_actions\n"
        "from worldsim.envs.blocks.env import BlocksEnv\n"
        "env = BlocksEnv(preset='village', size=(24, 32))\n"
        "env.reset(seed=11)\n"
        "print(digest(env, random_actions(3, 60)))\n"
    )
    env = BlocksEnv(preset=OPEN, size=(24, 32))
    here = set()
    for _ in range(2):
        env.reset(seed=11)
        here.add(digest(env, random_actions(3, 60)))
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert here == {there}
    env.reset(seed=12)
    assert digest(env, random_actions(3, 60)) != there


def test_restore_is_exact_through_disk_and_pickle() -> None:
    env = BlocksEnv(preset=OPEN, size=(24, 24))
    env.reset(seed=4)
    env.advance(random_actions(1, 40))
    state = env.snapshot()
    assert trees.equal(trees.unflatten(trees.flatten(state)), state)
    kept = pickle.loads(pickle.dumps(trees.unflatten(trees.flatten(trees.copy(state)))))
    frame, before = env.render(), env.truth()
    first = digest(env, random_actions(2, 40))
    for other in (env, BlocksEnv(preset=OPEN, size=(24, 24))):
        again, truth = other.restore(kept)
        np.testing.assert_array_equal(again, frame)
        assert truth.events == before.events and truth.cells == before.cells and truth.time == before.time
        assert digest(other, random_actions(2, 40)) == first
    assert trees.equal(kept, state), "restore shares arrays with its argument"


def test_advance_equals_steps() -> None:
    env = BlocksEnv(preset=OPEN, size=(24, 24))
    env.reset(seed=2)
    state, actions = env.snapshot(), random_actions(9, 50)
    for t in range(50):
        frame, *_ = env.step(trees.index(actions, t))
    end, truth = env.snapshot(), env.truth()
    env.restore(state)
    frame2, truth2 = env.advance(actions)
    np.testing.assert_array_equal(frame, frame2)
    assert trees.equal(env.snapshot(), end)
    assert truth.cells == truth2.cells and truth.events == truth2.events


def test_another_dynamics_seed_is_another_future_only_where_there_is_one() -> None:
    for preset, differs in ((OPEN, True), ("arena", False)):
        env = BlocksEnv(preset=preset, size=(16, 16))
        assert env.abilities.open_future is differs
        env.reset(seed=8, options={"dynamics_seed": 1})
        state = env.snapshot()
        ends = []
        for seed in (1, 1, 2):
            env.restore(state, dynamics_seed=seed)
            env.advance(random_actions(5, 40))
            ends.append(env.snapshot())
        assert trees.equal(ends[0], ends[1])
        assert trees.equal(ends[0], ends[2]) is not differs
        env.reset(seed=8, options={"dynamics_seed": 2})
        assert trees.equal(
            {k: v for k, v in env.snapshot().items() if k in ("cells", "place", "body")},
            {k: v for k, v in state.items() if k in ("cells", "place", "body")},
        )


def test_render_from_draws_any_pose_and_changes_nothing() -> None:
    env = BlocksEnv(size=(32, 32))
    frame, _ = env.reset(seed=6)
    state = env.snapshot()
    own, truth = env.render_from()
    np.testing.assert_array_equal(own, frame)
    pose = env.truth().world_from_camera
    np.testing.assert_array_equal(env.render_from(pose)[0], frame)
    x, y, z = env.world.body[:3]
    turned, _ = env.render_from(camera_pose((x, y + 1.62, z), float(env.world.body[6]) + 90, 0.0))
    assert (turned != frame).mean() > 0.3
    np.testing.assert_array_equal(env.render(), frame)
    assert trees.equal(env.snapshot(), state)
    fine, fine_truth = env.render_from(supersample=3)
    assert (fine != frame).any()
    np.testing.assert_array_equal(fine_truth.depth, truth.depth)
    with pytest.raises(ContractError, match="4, 4"):
        env.render_from(np.eye(3))


def test_the_truth_counts_pixels_and_is_not_the_callers_to_spoil() -> None:
    world = flat(ObjectSpec(kind="chest", colour="red", position=(8.5, 3.0, 11.5)))
    env = env_of(world)
    truth = env.truth()
    assert truth.segmentation is not None
    assert truth.objects[0].visible_px == (truth.segmentation == 1).sum() > 10
    np.testing.assert_allclose(truth.objects[0].position - [8.5, 3.44, 11.5], 0, atol=1e-9)
    assert dict(truth.objects[0].attributes) == {"facing": 0, "colour": "red", "open": False, "held": False}
    frame = env.render()
    frame[:] = 0
    assert env.render().any()


def test_wrong_use_is_explained() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'arena'"):
        BlocksEnv(preset="arenas")
    with pytest.raises(UnknownNameError, match="navigate"):
        BlocksEnv(task="navigat")
    with pytest.raises(ConfigError, match="levels"):
        BlocksEnv(task="navigate", level=4)
    with pytest.raises(ConfigError, match="size"):
        BlocksEnv(size=(4, 64))
    env = BlocksEnv(size=(16, 16))
    with pytest.raises(ContractError, match="reset"):
        env.step(action())
    env.reset(seed=1)
    with pytest.raises(ShapeError, match="MineRL"):
        env.step(3)
    with pytest.raises(ShapeError, match="finite"):
        env.step(action(camera=(float("nan"), 0.0)))
    with pytest.raises(ContractError, match="snapshot"):
        env.restore({"cells": np.zeros((2, 2, 2), np.uint8)})


def test_other_action_spaces_mean_the_same() -> None:
    ends = []
    for form, forward, turn in (
        ("minerl", action(forward=1), action(camera=(0, 15))),
        ("discrete", np.int64(1), np.int64(8)),
        ("continuous", np.eye(8, dtype=np.float32)[0], np.eye(8, dtype=np.float32)[2]),
    ):
        env = BlocksEnv(size=(16, 16), actions=form)
        env.reset(seed=5)
        for a in (turn, forward, forward):
            env.step(a)
        ends.append(env.snapshot()["body"])
    np.testing.assert_allclose(ends[1], ends[0])
    np.testing.assert_allclose(ends[2], ends[0])


def test_gymnasium_makes_one_and_many() -> None:
    assert set(worldsim.envs.BLOCKS_IDS) <= set(gym.registry)
    disabled = {"autoreset_mode": gym.vector.AutoresetMode.DISABLED}
    many = gym.make_vec(
        "worldsim/Blocks-v0", num_envs=2, vectorization_mode="sync", vector_kwargs=disabled, size=(16, 16)
    )
    frames, _ = many.reset(seed=[3, 4])
    one = gym.make("worldsim/Blocks-v0", size=(16, 16))
    np.testing.assert_array_equal(one.reset(seed=4)[0], frames[1])
    frames, rewards, *_ = many.step(many.action_space.sample())
    assert frames.shape == (2, 16, 16, 3) and rewards.shape == (2,)
    many.close()
