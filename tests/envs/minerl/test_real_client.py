"""The real `minerl` client, both versions, against the stub that speaks the game's protocol: the game itself never ran.

Needs $WORLDSIM_MINERL_PYTHON: the script `client_env.sh` makes such a Python without the game. Tasks that its version
does not have are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.envs.minerl.stub import StubGame
from worldsim.checks import check_truth_env
from worldsim.envs.actions import minerl_space, noop
from worldsim.envs.minerl.env import MineRLEnv
from worldsim.errors import UnknownNameError, WorldFailure

SKY = (120, 170, 230)


@dataclass(frozen=True)
class Task:
    """A task of one version: the size of its frames, and what our keys become on the wire."""

    name: str
    size: tuple[int, int]
    modern: bool
    pressed: tuple[str, ...]
    wire: frozenset[str]


TASKS = (
    Task("MineRLTreechop-v0", (64, 64), False, ("jump",), frozenset({"jump 1"})),
    Task("MineRLNavigateDense-v0", (64, 64), False, ("use",), frozenset({"place dirt"})),
    Task("MineRLObtainDiamond-v0", (64, 64), False, ("hotbar.2",), frozenset({"equip iron_axe", "craft none"})),
    Task("MineRLBasaltCreatePlainsAnimalPen-v0", (64, 64), False, ("use",), frozenset({"use 1", "equip none"})),
    Task("MineRLBasaltFindCave-v0", (360, 640), True, ("hotbar.7", "ESC"), frozenset({"hotbar.7 1", "ESC 1"})),
    Task("MineRLEquipWeapon-v0", (360, 640), True, ("inventory",), frozenset({"inventory 1", "use 0"})),
)


@pytest.fixture(params=TASKS, ids=lambda task: f"{task.name}-{task.size[0]}")
def task(request: pytest.FixtureRequest) -> Task:
    chosen: Task = request.param
    return chosen


def make(real: str, task: Task, game: StubGame, **kwargs: Any) -> MineRLEnv:
    try:
        env = MineRLEnv(python=real, task=task.name, port=game.port, **kwargs)
    except UnknownNameError:
        pytest.skip(f"this minerl has no {task.name}")
    if env.facts["pov"] != [*task.size, 3]:
        env.close()
        pytest.skip(f"{task.name} of this minerl is another task: frames of {env.facts['pov']}")
    return env


@pytest.fixture
def played(real: str, task: Task) -> Iterator[tuple[MineRLEnv, StubGame, Task]]:
    with StubGame(size=task.size, modern=task.modern, busy=1) as game:
        env = make(real, task, game)
        yield env, game, task
        env.close()


def test_reset_and_step_over_the_wire(played: tuple[MineRLEnv, StubGame, Task]) -> None:
    env, game, task = played
    frame, info = env.reset(seed=0x123456)
    assert frame.shape == (*task.size, 3) and frame.flags.c_contiguous
    assert tuple(frame[0, 0]) == SKY and tuple(frame[-1, 0]) == (0x56, 0x34, 0x12)  # the right way up, RGB
    assert info["versions"]["gym"]
    assert game.seeds == [0x123456]  # after one refusal ("busy")
    before = len(game.steps)  # 0.4.4's BASALT tasks rest 30 steps in a reset
    action = {**noop(env.action_space), "forward": 1, "camera": np.array([3.0, -5.0], np.float32)}
    for key in task.pressed:
        action[key] = 1
    frame, reward, terminated, truncated, _ = env.step(action)
    assert len(game.steps) == before + 1
    assert {"forward 1", "camera 3.0 -5.0", "back 0", *task.wire} <= set(game.steps[-1])
    assert tuple(frame[0, task.size[1] // 2 + 5]) == (255, 255, 255)  # the post moved by 5 to the right
    assert (reward, terminated, truncated) == (1.5, "ESC" in task.pressed, False)


def test_the_seed_precedes_each_reset(played: tuple[MineRLEnv, StubGame, Task]) -> None:
    env, game, _ = played
    for seed in (5, 6, 5):
        env.reset(seed=seed)
    assert game.seeds == [5, 6, 5]
    assert "Quit" in game.heard and "Peek" in game.heard


def test_what_minerl_tells_arrives(played: tuple[MineRLEnv, StubGame, Task]) -> None:
    env, _, task = played
    _, info = env.reset(seed=0)
    told = {**info["observation"], **info["monitor"]}
    assert set(env.facts["observations"]) <= set(told)
    if "inventory" in env.facts["observations"] and "snowball" in told["inventory"]:
        assert told["inventory"]["snowball"] == 1
    if "location_stats" in env.facts["monitors"]:
        assert info["location"]["ypos"] == 64.0
    if task.modern:
        assert env.action_space == minerl_space()


@pytest.mark.parametrize(
    ("fault", "words"),
    [("drop", "lost the game in step"), ("short", "cannot reshape"), ("hang", "did not return from step within 3 s")],
)
def test_a_broken_wire_ends_the_episode_not_the_run(real: str, task: Task, fault: str, words: str) -> None:
    if "Basalt" in task.name and not task.modern:
        pytest.skip("its reset steps, too")
    faults = {2: fault}
    with StubGame(size=task.size, modern=task.modern, faults=faults) as game:
        env = make(real, task, game, step_timeout=3.0 if fault == "hang" else 60.0)
        env.reset(seed=1)
        rest = noop(env.action_space)
        env.step(rest)
        with pytest.raises(WorldFailure, match=words):
            env.step(rest)
        faults.clear()
        env.reset(seed=2)
        env.step(rest)
        assert game.seeds == [1, 2]
        env.close()


def test_done_on_the_wire_ends_the_episode(real: str) -> None:
    task = TASKS[0]
    with StubGame(size=task.size, faults={3: "done"}) as game:
        env = make(real, task, game)
        env.reset(seed=1)
        ends = [env.step(noop(env.action_space))[2:4] for _ in range(3)]
        assert ends == [(False, False), (False, False), (True, False)]
        env.close()


def test_it_keeps_the_contract(real: str) -> None:
    games = []

    def factory() -> MineRLEnv:
        games.append(StubGame())
        return make(real, TASKS[0], games[-1])

    report = check_truth_env(factory)
    for game in games:
        game.close()
    assert report.ok, str(report)
