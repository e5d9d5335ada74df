"""The sets `quick` and `core` in the world they are made for: probes complete, hide what they hide, and come back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.envs.test_controllers import marks_of, play, pose_error
from worldsim import recipes, seeding
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.envs.scenarios import load_set
from worldsim.registry import CONTROLLERS
from worldsim.truth import TruthState

WORLDS = 20
QUICK, CORE = ({scenario.name: scenario for scenario in load_set(name).scenarios} for name in ("quick", "core"))


class Stepper:
    """Blocks in the form that `play` knows."""

    def __init__(self, env: BlocksEnv, seed: int) -> None:
        self.env, self.action_space = env, env.action_space
        env.reset(seed=seed)

    def truth(self) -> TruthState:
        return self.env.truth()

    def step(self, action: Any) -> None:
        self.env.step(action)


@pytest.mark.parametrize("name", QUICK)
def test_nine_of_ten_worlds_carry_the_probe(name: str) -> None:
    scenario = QUICK[name]
    env = BlocksEnv(**scenario.env_kwargs)
    reasons = []
    for i in range(WORLDS):
        seed = seeding.world_seed(1, "blocks", name, i)
        for sham in (False, True)[: 1 + scenario.sham]:
            controller = CONTROLLERS.get(scenario.controller)(**scenario.controller_kwargs)
            states, _ = play(controller, Stepper(env, seed), scenario.context - 1 + scenario.horizon, sham=sham)
            if controller.aborted:
                reasons.append(f"world {i}: {controller.aborted}")
                continue
            check(name, controller, states)
            at = marks_of(controller)
            for point in scenario.branches:
                assert at[point.judge[0]] + point.window <= len(states), "the judged window fits"
                for alternative, recipe in point.alternatives.items():
                    if alternative == "moved" and "moved_to" not in controller.focus:
                        continue  # no other free place in view
                    change = recipes.resolve_alternative(recipe, controller.focus, states[at[point.at]])
                    snapshot = env.snapshot()
                    for edit in recipes.edits_of(change):
                        env.edit(edit)
                    env.restore(snapshot)
    assert len(reasons) <= WORLDS // 10, reasons


@pytest.mark.parametrize("name", [name for name, scenario in CORE.items() if scenario.branches])
def test_what_is_judged_is_a_view_that_no_context_frame_shows(name: str) -> None:
    """10 degrees or 0.5 m from each of them: a frozen picture cannot pass, in any probe."""
    scenario = CORE[name]
    env = BlocksEnv(**scenario.env_kwargs, size=(64, 64))
    carried_out = 0
    for i in range(3):
        controller = CONTROLLERS.get(scenario.controller)(**scenario.controller_kwargs)
        seed = seeding.world_seed(1, "blocks", name, i)
        states, _ = play(controller, Stepper(env, seed), scenario.context - 1 + scenario.horizon)
        if controller.aborted:
            continue
        carried_out += 1
        at = marks_of(controller)
        for point in scenario.branches:
            assert at[point.judge[-1]] + point.window <= len(states), "the judged window fits"
            if name == "counterfactual":
                continue  # its alternatives differ from frozen by what the actions do
            errors = [pose_error(states, f, at[point.judge[-1]]) for f in range(scenario.context)]
            assert all(angle > 10.0 or metres > 0.5 for angle, metres in errors), errors
    assert carried_out, "three worlds, and in none of them could it be carried out"


def check(name: str, controller: Any, states: list[TruthState]) -> None:
    at = marks_of(controller)
    if "departure" in at:
        angle, distance = pose_error(states, at["departure"], at["return"])
        assert angle < 1.0
        assert distance < 0.1
    if name == "look_away":
        pixels = [next(o.visible_px for o in s.objects if o.id == controller.focus["object_id"]) for s in states]
        assert sum(px >= 24 for px in pixels[:8]) >= 3
        assert max(pixels[at["hidden"] : at["hidden"] + 4]) == 0
        assert min(pixels[at["return"] : at["return"] + 5]) >= 24
        assert all(pose_error(states, f, at["return"])[0] > 10.0 for f in range(8))


def test_the_body_puts_down_the_block_that_the_file_names() -> None:
    scenario = QUICK["place"]
    controller = CONTROLLERS.get("script")(**scenario.controller_kwargs)
    env = BlocksEnv(**scenario.env_kwargs)
    states, _ = play(controller, Stepper(env, seeding.world_seed(1, "blocks", "place", 0)), 39)
    (change,) = states[marks_of(controller)["acted"]].cells
    assert change.before == "air"
    assert change.after == scenario.controller_kwargs["block"] == controller.focus["block"]
    assert list(change.position) == controller.focus["cell"]
