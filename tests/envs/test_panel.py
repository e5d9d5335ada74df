"""The panel of policies: graded in Blocks, the same for every model, the same context for every policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.envs.court import Court
from worldsim import seeding, trees
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.envs.controllers.panel import Panel
from worldsim.errors import ConfigError, UnknownNameError
from worldsim.protocols import Controller

CONTEXT, HORIZON = 4, 40

#: As in the scenario `policy_panel`, from the best to the worst.
PANEL: dict[str, dict[str, Any]] = {
    "p0": {"policy": "greedy"},
    "p1": {"policy": "greedy", "noise": 0.35},
    "p2": {"policy": "greedy", "noise": 0.5},
    "p3": {"policy": "greedy", "noise": 0.65},
    "p4": {"policy": "greedy", "noise": 0.8},
    "p5": {"policy": "noop"},
    "p6": {"policy": "away", "noise": 0.5},
    "p7": {"policy": "away"},
}


def play(env: Any, options: dict[str, Any], index: int, run_seed: int = 1) -> tuple[float, list[Any]]:
    """Return over the predicted steps, and the actions."""
    seeds = seeding.episode_seeds(run_seed, "blocks", "policy_panel", index)
    frame, _ = env.reset(seed=seeds.world, options={"dynamics_seed": seeds.dynamics})
    panel = Panel(context=CONTEXT, **options)
    panel.reset(seed=seeds.controller, action_space=env.action_space, truth=env.truth())
    assert panel.aborted is None
    total, played = 0.0, []
    for t in range(CONTEXT - 1 + HORIZON):
        played.append(panel.act(frame, env.truth(), t))
        frame, reward, terminated, truncated, _ = env.step(played[-1])
        total += float(reward) if t >= CONTEXT - 1 else 0.0
        if terminated or truncated:
            break
    return total, played


@pytest.fixture(scope="module")
def env() -> Any:
    env = BlocksEnv(task="navigate", level=1, size=(16, 16))
    yield env
    env.close()


def test_the_policies_are_graded(env: Any) -> None:
    """Mean returns of 12 worlds fall from the first to the last policy, with room between most of them."""
    means = np.array([np.mean([play(env, options, i)[0] for i in range(12)]) for options in PANEL.values()])
    assert (np.diff(means) < 0).all(), means
    assert means[0] > 1.0 and means[-1] < -0.4 and means[5] == 0.0
    assert (np.diff(means) < -0.1).sum() >= 6, means


@pytest.mark.parametrize("name", ["p0", "p3", "p6"])
def test_actions_depend_on_the_truth_and_the_seed_alone(env: Any, name: str) -> None:
    one, two = play(env, PANEL[name], 3), play(env, PANEL[name], 3)
    assert one[0] == two[0] and all(trees.equal(a, b) for a, b in zip(one[1], two[1], strict=True))
    seeds = seeding.episode_seeds(1, "blocks", "policy_panel", 3)
    env.reset(seed=seeds.world, options={"dynamics_seed": seeds.dynamics})
    panel = Panel(context=CONTEXT, **PANEL[name])
    panel.reset(seed=seeds.controller, action_space=env.action_space, truth=env.truth())
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for t, action in enumerate(two[1]):  # what a model shows is not looked at
        assert trees.equal(panel.act(noise, env.truth(), t), action)
        env.step(action)


def test_all_policies_share_the_context(env: Any) -> None:
    for options in PANEL.values():
        _, played = play(env, options, 0)
        rest = Panel(policy="noop")
        rest.reset(seed=0, action_space=env.action_space, truth=env.truth())
        nothing = rest.act(np.zeros((16, 16, 3), np.uint8), env.truth(), 0)
        assert all(trees.equal(action, nothing) for action in played[: CONTEXT - 1])
        assert options["policy"] == "noop" or not trees.equal(played[CONTEXT - 1], nothing) or options.get("noise")


def test_random_steps_of_a_lower_noise_are_a_part_of_those_of_a_higher(env: Any) -> None:
    """Common random numbers: policies differ by their noise, not by their luck."""
    _, low = play(env, {"policy": "noop", "noise": 0.3}, 1)
    assert len({str(a) for a in low}) == 1  # a policy that does nothing is never noisy
    env.reset(seed=0)
    panels = [Panel(policy="random"), Panel(policy="greedy", noise=1.0)]
    for panel in panels:
        panel.reset(seed=5, action_space=env.action_space, truth=env.truth())
    for t in range(30):
        one, two = (panel.act(np.zeros((16, 16, 3), np.uint8), env.truth(), t) for panel in panels)
        assert trees.equal(one, two)


def test_it_is_a_controller_and_says_what_is_wrong() -> None:
    panel = Panel()
    assert isinstance(panel, Controller)
    with pytest.raises(UnknownNameError, match="greedy"):
        Panel(policy="gready")
    with pytest.raises(ConfigError, match=r"0\.\.1"):
        Panel(noise=1.5)
    court = Court(0, objects=2)
    panel = Panel(goal="unicorn")
    panel.reset(seed=0, action_space=court.action_space, truth=court.truth())
    assert panel.aborted == "no unicorn to go to" and panel.focus == {}
    panel.act(np.zeros((8, 8, 3), np.uint8), court.truth(), 0)  # still gives an action
    resting = Panel(policy="noop", goal="unicorn")
    resting.reset(seed=0, action_space=court.action_space, truth=court.truth())
    assert resting.aborted is None
