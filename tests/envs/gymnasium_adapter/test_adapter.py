"""The adapter on environments whose habits are known: frames, actions, abilities, faults."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.envs.gymnasium_adapter import worlds  # registers the environments
from worldsim import trees
from worldsim.checks import check_truth_env
from worldsim.envs.gymnasium_adapter import gl
from worldsim.envs.gymnasium_adapter.actions import playable
from worldsim.envs.gymnasium_adapter.env import GymEnv
from worldsim.envs.gymnasium_adapter.frames import picture_in, to_frame
from worldsim.errors import (
    ConfigError,
    ContractError,
    PrerequisiteError,
    ShapeError,
    UnknownNameError,
    UnsupportedError,
    WorldFailure,
)
from worldsim.registry import ENVS
from worldsim.spaces import NamedDiscrete
from worldsim.truth import RemoveObject

DOT = "worldsim_tests/Dot-v0"


def dot(**kwargs: Any) -> GymEnv:
    return GymEnv(DOT, **{"size": (40, 48), **kwargs})


def played(env: Any, actions: list[int], seed: int = 3) -> list[bytes]:
    env.reset(seed=seed)
    return [env.step(a)[0].tobytes() for a in actions]


# -------------------------------------------------------------------------------------------------------- names


def test_a_name_of_the_family_is_known_and_leads_to_the_environment() -> None:
    name = f"gym:{DOT}"
    assert name in ENVS and "gym:" not in ENVS and "gm:X" not in ENVS
    assert name not in ENVS.names(), "a family has no list"
    make = pickle.loads(pickle.dumps(ENVS.get(name)))  # worker processes get it by pickle
    env = make(size=(20, 24))
    assert env.reset(seed=1)[0].shape == (20, 24, 3)
    assert ENVS.target(name).endswith(":GymEnv")


@pytest.mark.parametrize(
    ("env_id", "error", "words"),
    [
        ("CartPol-v1", UnknownNameError, "Did you mean 'CartPole-v1'"),
        ("no_such_module_here:X-v0", UnknownNameError, "no_such_module_here"),
        ("worldsim_tests/Blind-v0", ConfigError, "has no pixels"),
    ],
)
def test_what_cannot_be_made_says_why(env_id: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        GymEnv(env_id)


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ale_py", None)
    with pytest.raises(PrerequisiteError, match=r"pip install 'worldsim\[atari\]'"):
        GymEnv("ALE/Pong-v5")


@pytest.mark.parametrize("kwargs", [{"size": (4, 4)}, {"starts": -1}, {"probe_steps": 0}, {"pixels": "x"}, {"no": 1}])
def test_arguments_that_do_not_fit(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        dot(**kwargs)


# ------------------------------------------------------------------------------------------------------- frames


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_shrinking_by_whole_numbers_is_the_mean_over_the_area(kh: int, kw: int, seed: int) -> None:
    raw = np.random.default_rng(seed).integers(0, 256, (8 * kh, 9 * kw, 3), np.uint8)
    mean = raw.reshape(8, kh, 9, kw, 3).astype(float).mean((1, 3))
    assert np.abs(to_frame(raw, (8, 9), None, "x") - mean).max() <= 0.5 + 1e-6


def test_frames_of_the_right_size_are_copied_and_grey_ones_get_three_channels() -> None:
    raw = np.arange(12, dtype=np.uint8).reshape(3, 4)
    out = to_frame(raw, (3, 4), None, "x")
    assert out.shape == (3, 4, 3) and (out == raw[..., None]).all()
    colour = np.zeros((3, 4, 3), np.uint8)
    copied = to_frame(colour, (3, 4), None, "x")
    copied[:] = 9
    assert not colour.any()


@pytest.mark.parametrize(
    ("raw", "native", "words"),
    [
        (np.zeros((4, 4, 3)), None, "uint8 frames, got float64"),
        (np.zeros((4, 4, 2), np.uint8), None, r"\(4, 4, 2\)"),
        (np.zeros((4, 4, 3), np.uint8), (5, 4, 3), "may not change its frame's shape"),
        (None, None, "shows nothing"),
    ],
)
def test_what_is_no_frame_is_refused(raw: Any, native: Any, words: str) -> None:
    with pytest.raises(WorldFailure, match=words):
        to_frame(raw, (4, 4), native, "gym:X")


def test_a_small_encoding_is_no_picture() -> None:
    assert picture_in(gym.spaces.Box(0, 255, (210, 160, 3), np.uint8))
    assert picture_in(gym.spaces.Box(0, 255, (84, 84), np.uint8))
    assert not picture_in(gym.spaces.Box(0, 255, (7, 7, 3), np.uint8)), "MiniGrid's cells"
    assert not picture_in(gym.spaces.Box(0, 1, (84, 84, 3), np.float32))
    assert not picture_in(gym.spaces.Dict({}))


@pytest.mark.parametrize("picture", [True, False])
def test_the_picture_is_the_observation_or_what_is_drawn(picture: bool) -> None:
    env = dot(picture=picture)
    frame, _ = env.reset(seed=3)
    inner = worlds.Dot()
    assert np.array_equal(frame, inner.reset(seed=3)[0])


# ------------------------------------------------------------------------------------------------------ actions


def test_names_and_bounds_of_actions() -> None:
    space, convert = playable(gym.spaces.Discrete(2), names=("left", "right"))
    assert isinstance(space, NamedDiscrete) and convert(np.int64(1)) == 1
    with pytest.raises(ShapeError, match=r"0\.\.1"):
        convert(2)
    box, clip = playable(gym.spaces.Box(-np.inf, 1.0, (2,), np.float32), bound=3.0)
    assert box == gym.spaces.Box(np.float32([-3, -3]), np.float32([1, 1]), dtype=np.float32)
    assert clip([-9.0, 0.5]).tolist() == [-3.0, 0.5]
    with pytest.raises(ShapeError, match="finite"):
        clip([np.nan, 0.0])


def test_actions_without_bounds_need_one_and_other_spaces_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"bound=1\.0"):
        GymEnv("worldsim_tests/Steered-v0")
    assert GymEnv("worldsim_tests/Steered-v0", bound=2.0).action_space.high.tolist() == [2.0, 2.0]
    with pytest.raises(ConfigError, match="no actions can be recorded"):
        GymEnv("worldsim_tests/Steered-v0", form="text")


def test_a_tuple_is_seen_as_a_dict_and_arrives_as_a_tuple() -> None:
    env = GymEnv("worldsim_tests/Steered-v0", form="tuple")
    assert set(env.action_space.spaces) == {"0", "1"}
    env.reset(seed=0)
    env.step({"0": np.int64(1), "1": np.float32([0.5])})
    got = env._session.backend.core.got[-1]
    assert isinstance(got, tuple) and got[0] == 1 and got[1].tolist() == [0.5]
    with pytest.raises(ShapeError, match="keys"):
        env.step({"0": 1})


# ---------------------------------------------------------------------------------------------------- abilities


def test_a_sound_environment_keeps_the_contract() -> None:
    report = check_truth_env(lambda: dot(size=(16, 24)))
    assert report.ok, str(report)


def test_what_can_be_copied_goes_back_by_copy_and_what_cannot_by_replay() -> None:
    assert dot().findings.way == "deep copy"
    other = dot(habit="no copy")
    assert other.findings.way == "replay" and "generator" in other.findings.refused["deep copy"]
    assert other.abilities.snapshot and other.abilities.deterministic


@pytest.mark.parametrize("habit", ["global", "global start"])
def test_who_draws_from_the_global_generator_is_found_out(habit: str) -> None:
    env = dot(habit=habit)
    assert not env.abilities.deterministic and not env.abilities.snapshot
    assert "differs in the frame" in env.findings.refused["deterministic"]
    env.reset(seed=0)
    for refused in (env.snapshot, lambda: env.restore({})):
        with pytest.raises(UnsupportedError, match="differs in the frame"):
            refused()


def test_what_parts_after_the_tests_have_ended_is_noticed_at_the_restore() -> None:
    env = dot(habit="global", at=60, probe_steps=24)
    assert env.findings.way == "deep copy", "24 steps cannot know"
    other = dot(habit="global", at=60, probe_steps=24)
    np.random.seed(1)  # noqa: NPY002
    played(env, [2] * 70)
    state = trees.unflatten(trees.flatten(env.snapshot()))
    np.random.seed(2)  # noqa: NPY002
    state["way"] = "replay"  # as in another process, which has no copy
    with pytest.raises(WorldFailure, match="did not come back to the frame"):
        other.restore(state)


def test_seeds_that_make_no_difference_are_reported_and_starts_make_one() -> None:
    assert "same first frame" in dot(habit="same start").findings.refused["seeds"]
    env = dot(habit="same start", starts=12)
    assert "seeds" not in env.findings.refused
    assert len({env.reset(seed=s)[0].tobytes() for s in range(8)}) > 2


@pytest.mark.parametrize("habit", ["", "no copy"])
@pytest.mark.parametrize("starts", [0, 5])
def test_a_restored_moment_has_the_same_future_wherever_it_is_restored(habit: str, starts: int) -> None:
    env, other = (dot(habit=habit, starts=starts, size=(20, 24)) for _ in range(2))
    played(env, [0, 2, 2, 1])
    state = env.snapshot()
    assert trees.equal(state, env.snapshot())
    time = env.truth().time
    future = [env.step(a)[0].tobytes() for a in (2, 2, 0)]
    for where in (env, other, env):
        _, truth = where.restore(trees.unflatten(trees.flatten(state)))
        assert truth.time == time == 0.4
        assert [where.step(a)[0].tobytes() for a in (2, 2, 0)] == future


def test_a_foreign_snapshot_and_what_comes_too_early_are_refused() -> None:
    env = dot()
    for early in (env.truth, env.snapshot, env.render, lambda: env.step(0)):
        with pytest.raises(ContractError, match="no world yet"):
            early()
    env.reset(seed=0)
    with pytest.raises(ContractError, match="not taken by"):
        env.restore({**env.snapshot(), "core": {}})
    with pytest.raises(UnsupportedError, match="no edits"):
        env.edit(RemoveObject(object_id=1))
    with pytest.raises(UnsupportedError, match="own camera"):
        env.render_from()


@pytest.mark.parametrize(
    ("habit", "words"),
    [("shape", "may not change its frame's shape"), ("float", "must give uint8"), ("raises", "fell over")],
)
def test_an_environment_that_breaks_is_no_reason_to_refuse_it_before(habit: str, words: str) -> None:
    env = dot(habit=habit, at=10)
    assert not env.abilities.snapshot and words in env.findings.refused["deterministic"]
    env.reset(seed=0)
    for _ in range(9):
        env.step(1)
    with pytest.raises(Exception, match=words):
        env.step(1)


@pytest.mark.parametrize("habit", ["copy is itself", "copy forgets", "copy lies"])
def test_a_copy_that_is_none_is_refused_and_a_replay_takes_its_place(habit: str) -> None:
    env = dot(habit=habit, at=0)
    assert env.findings.way == "replay" and "deep copy" in env.findings.refused, env.findings
    check_truth_env(lambda: dot(habit=habit, at=0)).raise_for_status()


def test_a_copy_that_lies_later_than_the_tests_look_is_seen_through_where_it_can_be_drawn() -> None:
    env = dot(habit="copy lies", at=30, probe_steps=12, picture=False)
    assert env.findings.way == "deep copy"
    env.reset(seed=3)
    for _ in range(32):
        env.step(2)
    frame, state = env.render(), env.snapshot()
    future = [env.step(2)[0] for _ in range(4)]
    back, _ = env.restore(state)
    assert np.array_equal(back, frame)
    assert all(np.array_equal(env.step(2)[0], f) for f in future)


def test_environments_that_may_share_a_canvas_take_turns_and_a_hung_one_is_named() -> None:
    turns = gl.Turns(patience=0.2)
    inside, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        go_on.wait(10)

    thread = threading.Thread(target=turns, args=(hang,))
    thread.start()
    assert inside.wait(5)
    with pytest.raises(WorldFailure, match=r"take turns.*--isolate-envs"):
        turns(int)
    go_on.set()
    thread.join(5)
    assert turns(lambda: turns(int)) == 0, "free again, and a call within a call does not wait for itself"


@pytest.mark.parametrize(
    ("habit", "words"),
    [
        ("shape", "may not change its frame's shape"),
        ("float", "must give uint8"),
        ("raises", "fell over"),
    ],
)
def test_broken_episodes_are_marked_and_the_run_goes_on_with_the_others(habit: str, words: str, tmp_path: Path) -> None:
    from worldsim.config import EvalConfig
    from worldsim.evaluate import evaluate
    from worldsim.store import RunStore

    config = EvalConfig(
        model="worldsim/Frozen",
        env=f"gym:{DOT}",
        env_args={"habit": habit, "at": 12, "odd": True},
        scenarios="quick",
        metrics=("fidelity.l1",),
        episodes=3,
        out=tmp_path / "run",
        quiet=True,
    )
    evaluate(config)
    rows = list(RunStore.open(tmp_path / "run").committed().values())
    odd = [row for row in rows if row["world_seed"] % 2]
    assert len(rows) == 15 and 0 < len(odd) < 15
    for row in rows:
        broken = bool(row["world_seed"] % 2)
        assert row["status"] == ("failed" if broken else "done"), row
        assert not broken or words in row["reason"]
