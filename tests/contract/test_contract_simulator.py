"""The built-in world behind the simulator: Gymnasium's checker passes, and the oracle is the truth to the last bit."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldsim.checks import check_world_model
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.registry import MODELS
from worldsim.simulator import ENV_ID, SimulatorEnv

SIZE = (32, 32)


@pytest.mark.parametrize("model", ["worldsim/Frozen", "worldsim/Oracle"])
@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_passes_the_checker_with_warnings_as_errors(model: str, actions: str) -> None:
    env = gym.make(ENV_ID, model=model, env="blocks", env_kwargs={"size": SIZE, "actions": actions})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


@pytest.mark.parametrize("kwargs", [{}, {"task": "navigate"}, {"preset": "village", "actions": "continuous"}], ids=str)
def test_the_oracle_of_the_built_in_world_is_the_truth(kwargs: dict[str, Any]) -> None:
    given = {"size": SIZE, "actions": "discrete", **kwargs}
    env = SimulatorEnv(model="worldsim/Oracle", env="blocks", env_kwargs=given)
    frame, _ = env.reset(seed=3)
    truth = BlocksEnv(**given)
    truth.restore(env.snapshot()["model"]["env"])
    np.testing.assert_array_equal(frame, truth.render())
    env.action_space.seed(0)
    for _ in range(60):
        action = env.action_space.sample()
        got, want = env.step(action), truth.step(action)
        np.testing.assert_array_equal(got[0], want[0])
        assert got[1] == np.float32(want[1]) and got[2:4] == want[2:4]
        if got[2] or got[3]:
            break
    env.close()


@pytest.mark.parametrize("name", ["worldsim/Oracle", "worldsim/OtherEpisode", "worldsim/OracleOtherFuture"])
def test_models_that_play_the_truth_keep_the_contract_in_the_built_in_world(name: str) -> None:
    report = check_world_model(MODELS.get(name), env=lambda: BlocksEnv(size=SIZE))
    assert report.ok, str(report)
