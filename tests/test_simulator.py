"""A world model as a Gymnasium environment: the checker passes, the oracle is the truth, worlds are independent."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from tests.toy_models import Shifter
from tests.toys import ToyEnv
from worldsim import trees
from worldsim.baselines import Frozen
from worldsim.errors import ConfigError, ContractError, UnsupportedError
from worldsim.simulator import ENV_ID, SimulatorEnv, SimulatorVectorEnv

TOY: dict[str, Any] = {"env": ToyEnv, "context": 4}


@pytest.mark.parametrize("model", ["worldsim/Frozen", "worldsim/Oracle", "worldsim/Noise", Shifter])
@pytest.mark.parametrize("actions", ["discrete", "dict", "box"])
def test_passes_the_checker_with_warnings_as_errors(model: Any, actions: str) -> None:
    if model is Shifter and actions != "discrete":
        pytest.skip("it has its own action space")
    env = gym.make(ENV_ID, model=model, env=ToyEnv, env_kwargs={"actions": actions}).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)


@pytest.mark.parametrize("open_future", [False, True])
def test_the_oracle_behind_gymnasium_is_the_truth(open_future: bool) -> None:
    env = SimulatorEnv(model="worldsim/Oracle", env_kwargs={"open_future": open_future, "terminate_at": 11}, **TOY)
    frame, info = env.reset(seed=5)
    assert info["world_seed"] == 5
    truth = ToyEnv(open_future=open_future, terminate_at=11)
    truth.restore(trees.unflatten(trees.flatten(env.snapshot()))["model"]["env"])
    np.testing.assert_array_equal(frame, truth.render())
    for action in (1, 2, 3, 0, 3, 2, 3, 1):
        got, want = env.step(action), truth.step(action)
        np.testing.assert_array_equal(got[0], want[0])
        assert got[1:4] == want[1:4]
    assert got[2]
    with pytest.raises(ContractError, match="ended"):
        env.step(0)
    env.close()


@pytest.mark.parametrize("model", ["worldsim/Oracle", Shifter])
def test_fork_and_restore_go_on_bit_for_bit(model: Any) -> None:
    env = SimulatorEnv(model=model, **TOY)
    env.reset(seed=2)
    env.step(1)
    state = trees.unflatten(trees.flatten(env.snapshot()))
    twin = env.fork()
    first = [env.step(a)[0] for a in (3, 3, 2)]
    np.testing.assert_array_equal([twin.step(a)[0] for a in (3, 3, 2)], first)
    env.step(1)
    env.restore(state)
    np.testing.assert_array_equal([env.step(a)[0] for a in (3, 3, 2)], first)
    cold = SimulatorEnv(model=model, **TOY)  # never reset
    cold.restore(state)
    np.testing.assert_array_equal([cold.step(a)[0] for a in (3, 3, 2)], first)


def test_fork_of_an_instance_does_not_share_it() -> None:
    env = SimulatorEnv(model=Shifter(), **TOY)
    env.reset(seed=0)
    twin = env.fork()
    np.testing.assert_array_equal([twin.step(1)[0] for _ in range(3)], [env.step(1)[0] for _ in range(3)])


def test_several_frames_a_step_take_one_action() -> None:
    env = SimulatorEnv(model=Shifter(n=4, rewards=True, ends_at=6), **TOY)
    env.reset(seed=0)
    frame, reward, terminated, _, info = env.step(3)
    assert info["frames"].shape == (4, 24, 32, 3) and info["age"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(frame, info["frames"][-1])
    assert (reward, terminated) == (4.0, False)
    frame, reward, terminated, _, info = env.step(3)
    assert (reward, terminated) == (2.0, True)  # frames 5 and 6; those after the end do not count
    np.testing.assert_array_equal(frame, info["frames"][1])


def test_max_steps_truncates() -> None:
    env = SimulatorEnv(model=Frozen, max_steps=3, **TOY)
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(3)] == [False, False, True]


def test_text_alone_starts_black_and_prompts_can_change() -> None:
    env = SimulatorEnv(model=Shifter(text=True), env=ToyEnv, context=0, prompt="a lake")
    frame, info = env.reset(seed=0)
    assert not frame.any() and info["prompt"] == "a lake"
    lake = env.step(0)[0]
    env.reset(seed=0, options={"prompt": "a desert"})
    desert = env.step(0)[0]
    assert not np.array_equal(lake, desert)
    env.set_prompt("a lake")
    assert not np.array_equal(env.step(0)[0], desert)
    with pytest.raises(UnsupportedError, match="Promptable"):
        SimulatorEnv(model=Frozen, **TOY).set_prompt("x")


MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "kwargs",
    [
        {"model": "worldsim/Oracle", "env_kwargs": {"terminate_at": 8}},
        {"model": "worldsim/Noise", "max_steps": 5},
        {"model": lambda: Shifter(n=2, rewards=True, ends_at=5), "max_steps": 9},
    ],
)
def test_the_batch_equals_gymnasiums_vector_of_single_ones(mode: AutoresetMode, kwargs: Any) -> None:
    """Row by row the same frames, rewards, ends and infos as SyncVectorEnv over SimulatorEnv, autoresets included."""
    ours = SimulatorVectorEnv(num_envs=3, autoreset_mode=mode, **TOY, **kwargs)
    theirs = gym.vector.SyncVectorEnv([lambda: SimulatorEnv(**TOY, **kwargs)] * 3, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] is mode
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    ours.action_space.seed(0)
    _same(ours.reset(seed=7), theirs.reset(seed=7))
    for _ in range(17):
        action = ours.action_space.sample()
        _same(ours.step(action), theirs.step(action))
    ours.close()


def _same(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for key in theirs:
            _same(ours[key], theirs[key])
    elif isinstance(theirs, tuple) or (isinstance(theirs, np.ndarray) and theirs.dtype == object):
        for a, b in zip(ours, theirs, strict=True):
            _same(a, b)
    else:
        np.testing.assert_array_equal(ours, theirs)


def test_ends_fall_at_different_steps_and_resets_are_independent() -> None:
    envs = SimulatorVectorEnv(num_envs=2, model="worldsim/Noise", max_steps=4, **TOY)
    alone = SimulatorVectorEnv(num_envs=2, model="worldsim/Noise", max_steps=4, **TOY)
    for e in (envs, alone):
        e.reset(seed=0)
        e.step([0, 0])
    envs.reset(seed=[None, 9], options={"reset_mask": np.array([False, True])})
    a, b = envs.step([0, 0]), alone.step([0, 0])
    np.testing.assert_array_equal(a[0][0], b[0][0])
    assert not np.array_equal(a[0][1], b[0][1])
    ends = [envs.step([0, 0])[3].tolist() for _ in range(4)]
    assert ends == [[False, False], [True, False], [False, True], [False, False]]


def test_disabled_autoreset_asks_for_a_reset() -> None:
    envs = SimulatorVectorEnv(num_envs=2, model=Frozen, max_steps=1, autoreset_mode=AutoresetMode.DISABLED, **TOY)
    envs.reset(seed=0)
    envs.step([0, 0])
    with pytest.raises(ContractError, match="reset_mask"):
        envs.step([0, 0])
    envs.reset(options={"reset_mask": np.array([True, True])})
    envs.step([0, 0])


def test_forking_inside_the_batch() -> None:
    envs = SimulatorVectorEnv(num_envs=3, model="worldsim/Oracle", **TOY)
    envs.reset(seed=0)
    envs.step(np.array([1, 2, 3]))
    envs.fork(0, 2)
    out = envs.step(np.array([3, 0, 3]))[0]
    np.testing.assert_array_equal(out[0], out[2])


def test_make_vec_builds_the_batched_form() -> None:
    envs = gym.make_vec(ENV_ID, num_envs=2, model="worldsim/Frozen", env=ToyEnv)
    assert isinstance(envs.unwrapped, SimulatorVectorEnv)
    assert envs.reset(seed=0)[0].shape == (2, 24, 32, 3)
    envs.close()


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"model": Shifter(sizes=((64, 64),))}, "env_kwargs"),
        ({"model": Shifter(context=5), "context": 2}, "at least 5"),
        ({"model": Frozen, "max_steps": 0}, "max_steps"),
        ({"model": Frozen(), "model_kwargs": {"k": 1}}, "built already"),
        ({"model": Shifter(), "env_kwargs": {"actions": "dict"}}, "no action map"),
    ],
)
def test_what_does_not_fit_is_refused(kwargs: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        SimulatorEnv(**{"env": ToyEnv, **kwargs})


def test_too_many_worlds_are_refused() -> None:
    with pytest.raises(ConfigError, match="at most 2"):
        SimulatorVectorEnv(num_envs=3, model=Shifter(max_batch=2), **TOY)
