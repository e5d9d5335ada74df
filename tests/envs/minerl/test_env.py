"""MineRLEnv against the stand-in: the contract, the frames, the ends, the pose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.envs.minerl.conftest import FAKE
from worldsim.checks import check_truth_env
from worldsim.envs.actions import minerl_space, noop
from worldsim.envs.controllers.pose import pose_of
from worldsim.envs.minerl.env import MineRLEnv
from worldsim.errors import ConfigError, ContractError, PrerequisiteError, ShapeError, UnknownNameError, WorldFailure
from worldsim.registry import ENVS


def make(task: str = "MineRLTreechop-v0", **kwargs: Any) -> MineRLEnv:
    return MineRLEnv(python=FAKE, task=task, **kwargs)


@pytest.fixture
def env() -> Iterator[MineRLEnv]:
    env = make("MineRLBasaltFindCave-v0", size=(45, 80), pose=True)
    yield env
    env.close()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"task": "MineRLTreechop-v0"},
        {"task": "MineRLObtainDiamond-v0", "actions": "native"},
        {"task": "MineRLObtainDiamond-v0", "size": (32, 48)},
        {"task": "MineRLBasaltFindCave-v0", "size": (36, 64), "pose": True},
    ],
    ids=str,
)
def test_it_keeps_the_contract(kwargs: dict[str, Any]) -> None:
    report = check_truth_env(lambda: make(**kwargs))
    assert report.ok, str(report)


def test_it_is_registered_and_promises_little() -> None:
    env = ENVS.get("worldsim/MineRL-v0")(python=FAKE)
    able = env.abilities
    assert not (able.snapshot or able.deterministic or able.render_from or able.open_future or able.edit or able.truth)
    env.close()
    assert ENVS.get("minerl") is MineRLEnv


def test_frames_are_the_tasks_own_or_resampled() -> None:
    own, half = make(), make(size=(32, 32))
    frame, small = own.reset(seed=4)[0], half.reset(seed=4)[0]
    assert frame.shape == (64, 64, 3) and small.shape == (32, 32, 3)
    blocks = frame.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(blocks - small).max() <= 1  # the mean of 2 x 2 pixels, rounded
    own.close()
    half.close()


def test_the_seed_is_given_before_every_reset_and_folded() -> None:
    env = make()
    first = env.reset(seed=11)[0]
    assert not np.array_equal(first, env.reset(seed=12)[0])
    assert np.array_equal(first, env.reset(seed=11)[0])
    assert np.array_equal(first, env.reset(seed=11 + 2**31)[0])
    env.reset()  # no seed: one of the generator's; the stand-in fails where none is given
    env.close()


def test_1_0_has_exactly_our_keys(env: MineRLEnv) -> None:
    assert env.action_space == minerl_space()
    assert env.left_out == ("chat",)


def test_pose_and_location(env: MineRLEnv) -> None:
    _, info = env.reset(seed=1)
    assert info["location"]["ypos"] == 64.0  # of the first frame, too
    action = {**noop(env.action_space), "forward": 1, "camera": np.array([10.0, 30.0], np.float32)}
    env.step(action)
    pose = pose_of(env.truth())
    assert np.allclose(pose.eye, (1.0, 65.62, 2.2)) and np.allclose((pose.yaw, pose.pitch), (30, 10))
    focal = 0.5 * 45 / np.tan(np.radians(35))
    assert np.allclose(env.truth().intrinsics, [[focal, 0, 40], [0, focal, 22.5], [0, 0, 1]])  # 80 = 45 * 640 / 360


def test_a_squeezed_picture_has_two_focal_lengths() -> None:
    env = make("MineRLBasaltFindCave-v0", size=(90, 80), pose=True)
    env.reset(seed=0)
    k = env.truth().intrinsics
    assert k is not None and np.isclose(k[1, 1] / k[0, 0], 2.0)
    env.close()


def test_info_holds_what_minerl_tells() -> None:
    env = make("MineRLNavigate-v0")
    env.reset(seed=0)
    _, reward, *_, info = env.step({**noop(env.action_space), "use": 1})  # in hand is what can be placed: dirt
    assert reward == 1.5 and info["observation"] == {"inventory": {"dirt": 1}} and info["time"] == 0.05
    env.close()


@pytest.mark.parametrize(
    ("task", "steps", "end"),
    [("MineRLShort-v0", 4, (False, True)), ("MineRLFault-ends-v0", 5, (True, False))],
)
def test_done_becomes_terminated_or_truncated(task: str, steps: int, end: tuple[bool, bool]) -> None:
    env = make(task)
    env.reset(seed=0)
    seen = [env.step(noop(env.action_space))[2:4] for _ in range(steps)]
    assert seen == [(False, False)] * (steps - 1) + [end]
    with pytest.raises(ContractError, match="reset"):
        env.step(noop(env.action_space))
    env.reset(seed=1)
    env.step(noop(env.action_space))
    env.close()


def test_esc_ends_the_episode(env: MineRLEnv) -> None:
    env.reset(seed=0)
    assert env.step({**noop(env.action_space), "ESC": 1})[2:4] == (True, False)


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"task": "MineRLTreechp-v0"}, UnknownNameError, "Did you mean 'MineRLTreechop-v0'"),
        ({"task": "MineRLTreechopVectorObf-v0"}, ConfigError, "no keys and no camera"),
        ({"actions": "discrete"}, ConfigError, "minerl, native"),
        ({"pose": True}, ConfigError, "does not tell where it is"),
        ({"size": (0, 64)}, ConfigError, "size"),
        ({"step_timeout": 0.0}, ConfigError, "step_timeout"),
        ({"hotbar": ["dirt"]}, ConfigError, "this one has none"),
    ],
)
def test_arguments_that_do_not_fit(kwargs: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(**kwargs)


@pytest.mark.parametrize("python", [None, "no-such-python", "/etc/hostname"])
def test_a_python_that_is_none_is_a_prerequisite(python: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLDSIM_MINERL_PYTHON", raising=False)
    with pytest.raises(PrerequisiteError, match=r"pip install minerl==0\.4\.4") as raised:
        MineRLEnv(python=python)
    assert raised.value.exit_code == 3


def test_a_python_without_minerl_is_a_prerequisite(tmp_path: Any) -> None:
    (tmp_path / "gym.py").write_text("raise AttributeError('numpy has no bool')\n")
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec "$WORLDSIM_FAKE_PYTHON" "$@"\n')
    script.chmod(0o755)
    with pytest.raises(PrerequisiteError, match="numpy has no bool"):
        MineRLEnv(python=str(script))


@pytest.mark.parametrize(
    "action", [3, {"forward": 1}, "camera", "nan", "two"], ids=["number", "missing", "extra", "nan", "range"]
)
def test_actions_that_are_none(action: Any) -> None:
    env = make()
    env.reset(seed=0)
    usual = noop(env.action_space)
    wrong = {
        "camera": {**usual, "hotbar.1": 1},
        "nan": {**usual, "camera": np.array([np.nan, 0.0], np.float32)},
        "two": {**usual, "forward": 2},
    }
    with pytest.raises(ShapeError):
        env.step(wrong[action] if isinstance(action, str) else action)
    env.step(usual)  # the episode goes on
    env.close()


def test_a_step_or_a_picture_before_the_reset() -> None:
    env = make()
    for call in (lambda: env.step(noop(env.action_space)), env.render, env.truth):
        with pytest.raises(ContractError):
            call()
    env.close()
    env.close()


def test_an_env_that_was_closed_starts_again() -> None:
    env = make()
    first = env.reset(seed=3)[0]
    env.close()
    assert np.array_equal(first, env.reset(seed=3)[0])
    env.close()


@pytest.mark.parametrize(("task", "words"), [("float", "64x64x3 float32"), ("shape", "63x64x3 uint8")])
def test_frames_of_another_kind_cost_the_episode_only(task: str, words: str) -> None:
    env = make(f"MineRLFault-{task}-v0")
    env.reset(seed=0)
    worker = env._worker
    env.step(noop(env.action_space))
    env.step(noop(env.action_space))
    with pytest.raises(WorldFailure, match=rf"{words}, expected 64x64x3 uint8"):
        env.step(noop(env.action_space))
    with pytest.raises(ContractError):
        env.step(noop(env.action_space))
    env.reset(seed=1)
    assert env._worker is worker  # a game that takes minutes to start is not thrown away for it
    env.close()


def test_a_slow_answer_counts_as_hung() -> None:
    env = make("MineRLFault-hang-v0", step_timeout=0.5)
    env.reset(seed=0)
    with pytest.raises(WorldFailure, match=r"did not return from step within 0\.5 s"):
        for _ in range(3):
            env.step(noop(env.action_space))
    env.reset(seed=0)
    env.close()
