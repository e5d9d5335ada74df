"""The Python side of `worldsim/Minecraft-v0`, over a child that speaks the bridge's frames."""

from __future__ import annotations

import os
import pickle
import time
from typing import Any

import numpy as np
import pytest

from tests.envs.minecraft.worlds import fake_bridge, fake_env
from worldsim import trees
from worldsim.checks import check_truth_env
from worldsim.envs.actions import noop
from worldsim.errors import ConfigError, ContractError, ShapeError, UnknownNameError, UnsupportedError, WorldFailure
from worldsim.truth import SetCell, SetTime, StopProcess


@pytest.mark.parametrize("kwargs", [{"wander": False}, {"wander": True, "actions": "discrete"}], ids=str)
def test_it_keeps_the_contract(kwargs: dict[str, Any]) -> None:
    report = check_truth_env(lambda: fake_env(**kwargs))
    assert report.ok, str(report)


def test_advance_is_equal_to_steps() -> None:
    a, b = fake_env(wander=True), fake_env(wander=True)
    a.reset(seed=5)
    b.reset(seed=5)
    actions = [noop(a.action_space) | {"forward": 1, "camera": np.array([1.0, 7.0 * t], np.float32)} for t in range(6)]
    for action in actions:
        frame = a.step(action)[0]
    skipped, truth = b.advance(trees.stack(actions))
    np.testing.assert_array_equal(frame, skipped)
    assert truth.time == a.truth().time == pytest.approx(0.3)
    assert trees.equal(a.snapshot(), b.snapshot())
    a.close()
    b.close()


def test_what_changed_is_told() -> None:
    env = fake_env()
    env.reset(seed=1)
    env.step(noop(env.action_space) | {"use": 1})
    truth = env.truth()
    assert [(c.position, c.before, c.after) for c in truth.cells] == [((0, 5, 1), "air", "red_wool")]
    assert truth.events[0].kind == "place" and truth.events[0].position == (0.0, 5.0, 1.0)
    env.close()


def test_depth_and_ids_come_along_only_while_somebody_looks_at_them() -> None:
    env = fake_env()
    env.reset(seed=1)
    action = noop(env.action_space)
    env.step(action)
    assert len(env._seen()[1]) == 1
    env.truth()
    env.step(action)
    assert len(env._seen()[1]) == 2
    env.step(action)
    env.step(action)
    assert len(env._seen()[1]) == 1
    env.close()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("dies", r"ended during 'step' \(exit 7\).*a last word"),
        ("hangs", "did not answer 'step' in 0.7 s"),
        ("babbles", "lost its place"),
        ("fails", "something inside broke"),
        ("short", "expected 16x24 pixels"),
    ],
)
def test_a_broken_bridge_is_an_error_in_words_and_the_next_reset_goes_on(fault: str, words: str) -> None:
    env = fake_env(fault, timeout=0.7)
    env.reset(seed=1)
    child = env._running().pid
    with pytest.raises(WorldFailure, match=words):
        for _ in range(4):
            env.step(noop(env.action_space))
    with pytest.raises((WorldFailure, ContractError), match="reset"):
        env.step(noop(env.action_space))
    assert gone(child)
    frame, _ = env.reset(seed=1)
    assert frame.shape == (16, 24, 3)
    env.close()


def test_a_killed_child_is_replaced() -> None:
    env = fake_env()
    first, _ = env.reset(seed=3)
    os.kill(env._running().pid, 9)
    with pytest.raises(WorldFailure, match="ended"):
        for _ in range(2):
            env.step(noop(env.action_space))
    again, _ = env.reset(seed=3)
    np.testing.assert_array_equal(first, again)
    env.close()


def test_a_child_that_does_not_end_is_killed() -> None:
    bridge = fake_bridge("lingers")
    bridge.call("start", height=8, width=8, survival=False)
    began = time.monotonic()
    bridge.close()
    bridge.close()
    assert gone(bridge.pid) and time.monotonic() - began < 8.0


def test_no_child_outlives_an_environment_that_was_forgotten() -> None:
    env = fake_env()
    env.reset(seed=0)
    child = env._running().pid
    del env
    assert gone(child)


def test_snapshots_survive_storage_and_bad_ones_are_refused() -> None:
    env = fake_env(wander=True)
    env.reset(seed=4)
    env.edit(SetCell(position=(1, 5, 2), kind="stone"))
    state = env.snapshot()
    assert state["cells"].tolist() == [[1, 5, 2, 1]] and state["cells"].dtype == np.int32
    back = trees.unflatten(trees.flatten(pickle.loads(pickle.dumps(state))))
    frame, _ = env.restore(back)
    np.testing.assert_array_equal(frame, env.render())
    for broken, words in (
        ({}, "tree with"),
        ({**state, "cells": np.zeros((2, 3), np.int32)}, "cells"),
        ({**state, "agent": {**state["agent"], "body": np.full(8, np.nan)}}, "body"),
        ({**state, "agent": {}}, "agent"),
        ({**state, "creatures": [{"x": 1}]}, "creature"),
    ):
        with pytest.raises(ContractError, match=words):
            env.restore(broken)
    np.testing.assert_array_equal(env.step(noop(env.action_space))[0].shape, (16, 24, 3))
    env.close()


def test_bad_settings_and_requests_say_what_is_wrong() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'hills'"):
        fake_env(preset="hill")
    with pytest.raises(UnknownNameError, match="creative, survival"):
        fake_env(mode="adventure")
    with pytest.raises(ConfigError, match="size"):
        fake_env(size=(4, 4))
    with pytest.raises(ConfigError, match="view_distance"):
        fake_env(view_distance=0)
    env = fake_env()
    with pytest.raises(ContractError, match="reset"):
        env.step(noop(env.action_space))
    env.reset(seed=0)
    with pytest.raises(ShapeError, match="MineRL's keys"):
        env.step({"forward": 1})
    with pytest.raises(ShapeError, match="finite"):
        env.step(noop(env.action_space) | {"camera": np.array([np.nan, 0.0])})
    with pytest.raises(UnsupportedError, match="SetTime"):
        env.edit(SetTime(hour=3.0))
    with pytest.raises(ConfigError, match="no block is called lava_cake"):
        env.edit(SetCell(position=(0, 5, 0), kind="lava_cake"))
    with pytest.raises(ConfigError, match="finite"):
        env.edit(SetCell(position=(0, 5, float("nan")), kind="stone"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="processes"):
        env.edit(StopProcess(process="crop"))
    with pytest.raises(ContractError, match="finite"):
        env.render_from(np.zeros((3, 3)))
    with pytest.raises(ConfigError, match="supersample"):
        env.render_from(supersample=99)
    env.step(noop(env.action_space))  # what was refused broke nothing
    env.close()


def gone(pid: int) -> bool:
    """Whether a process has ended (or is about to: half a second)."""
    for _ in range(50):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False
