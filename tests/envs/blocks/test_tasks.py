from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.envs.blocks.helpers import action, random_actions
from worldsim import trees
from worldsim.envs.blocks import interact, tasks
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.envs.blocks.physics import CARRIED, EXISTS, HELD, HOSTILE

SIZE = (16, 16)


def turn_to(env: BlocksEnv, point: Any) -> tuple[float, float]:
    """The camera action that looks at a point."""
    eye = np.array(interact.eye(env.world))
    dx, dy, dz = np.asarray(point) - eye
    yaw, pitch = math.degrees(math.atan2(-dx, dz)), -math.degrees(math.atan2(dy, math.hypot(dx, dz)))
    return pitch - float(env.world.body[7]), (yaw - float(env.world.body[6]) + 180) % 360 - 180


def walk_path(env: BlocksEnv, goal: tuple[int, int]) -> list[tuple[int, int]]:
    """Columns from the body to a goal, by descending distance from it."""
    found = tasks.reachable(env.world)
    if goal not in found:
        goal = min(found, key=lambda c: abs(c[0] - goal[0]) + abs(c[1] - goal[1]))
    path = [goal]
    while found[path[-1]][1] > 0:
        x, z = path[-1]
        steps = found[x, z][1]
        path.append(
            next(c for c in ((x + 1, z), (x - 1, z), (x, z + 1), (x, z - 1)) if found.get(c, (0, -9))[1] == steps - 1)
        )
    return path[::-1]


class Player:
    """A scripted player that sees the state; adds up its reward."""

    def __init__(self, env: BlocksEnv) -> None:
        self.env, self.total, self.ended, self.steps, self.cut = env, 0.0, False, 0, False

    def do(self, **keys: Any) -> None:
        if self.ended or self.cut:
            return
        _, reward, self.ended, self.cut, _ = self.env.step(action(**keys))
        self.total += reward
        self.steps += 1

    def walk(self, goal: tuple[int, int], near: float = 0.3) -> None:
        found = tasks.reachable(self.env.world)
        for x, z in walk_path(self.env, goal):
            for _ in range(30):
                body = self.env.world.body
                gap = math.hypot(x + 0.5 - body[0], z + 0.5 - body[2])
                if gap < near or self.ended:
                    break
                _, yaw = turn_to(self.env, (x + 0.5, body[1] + 1.62, z + 0.5))
                up = found.get((x, z), (body[1], 0))[0] > body[1] + 0.5
                self.do(camera=(-float(body[7]), yaw), forward=1, jump=int(up), sneak=int(gap < 0.5))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_navigate_can_be_solved(level: int) -> None:
    env = BlocksEnv(task="navigate", level=level, size=SIZE)
    for seed in (1, 2):
        _, info = env.reset(seed=seed)
        assert "Go to the" in info["task"]
        player, goal = Player(env), env.world.place[env.world.task["goal"] - 1]
        start = -env.world.task["potential"]
        player.walk((math.floor(goal[0]), math.floor(goal[2])))
        assert player.ended and not player.cut
        assert player.total == pytest.approx(1.0 + start - tasks.PER_METRE * 1.6, abs=0.1)


@pytest.mark.parametrize("level", [1, 2])
def test_collect_can_be_solved(level: int) -> None:
    env = BlocksEnv(task="collect", level=level, size=SIZE)
    env.reset(seed=3)
    player, world = Player(env), env.world
    for row in reversed(range(len(world.table))):
        at = world.place[row].copy()
        around = [(math.floor(at[0]) + i, math.floor(at[2]) + k) for i, k in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        player.walk(next((c for c in around if c in tasks.reachable(world)), around[0]))
        player.do(camera=turn_to(env, at + np.array([0, 0.2, 0])))
        player.do(use=1, sneak=1)
        player.do(camera=(0.0, 180.0))
        player.do(drop=1)
    assert player.ended and player.total == level + 1.0


@pytest.mark.parametrize("level", [1, 2, 3])
def test_build_can_be_solved(level: int) -> None:
    env = BlocksEnv(task="build", level=level, size=SIZE)
    env.reset(seed=4)
    player, world = Player(env), env.world
    cells = world.task["cells"]
    steps = tasks.reachable(world)
    stand = min(
        (c for c in steps if min(math.dist(c, (i, k)) for i, _, k in cells) >= 1.6),
        key=lambda c: max(math.dist(c, (i, k)) for i, _, k in cells),
    )
    player.walk(stand)
    for i, j, k in sorted(cells, key=lambda c: (-math.dist((c[0], c[2]), stand), c[1])):
        player.do(camera=turn_to(env, (i + 0.5, j, k + 0.5)))
        player.do(use=1)
        player.do()
    assert world.task["potential"] == len(cells) and player.ended
    assert player.total == len(cells) + 1.0


def test_the_night_is_survived_by_running_and_lost_by_standing() -> None:
    env = BlocksEnv(task="survive-night", size=SIZE)
    assert env.abilities.open_future
    lost = survived = 0
    for seed in range(3):
        env.reset(seed=seed)
        player = Player(env)
        while not player.ended and player.steps < 400:
            player.do()
        lost += player.total < 2.5
        env.reset(seed=seed)
        player = Player(env)
        while not player.ended and player.steps < 400:
            world = env.world
            foe = world.place[np.flatnonzero(world.table[:, HOSTILE])[0]][[0, 2]]
            if math.dist(foe, world.body[[0, 2]]) > 6:
                player.do()
                continue
            found = tasks.reachable(world)
            away = max(found, key=lambda c: min(math.dist(c, foe), 12) - 0.4 * found[c][1])
            for x, z in walk_path(env, away)[:4]:
                _, yaw = turn_to(env, (x + 0.5, 4.62, z + 0.5))
                player.do(camera=(0.0, yaw), forward=1, sprint=1)
        survived += player.total > 3.5
        if player.total > 3.5:
            assert env.world.hour == pytest.approx(6.0, abs=0.1)
    assert lost >= 2 and survived >= 2, (lost, survived)


@pytest.mark.parametrize("name", sorted(tasks.TASKS))
@pytest.mark.parametrize("level", tasks.LEVELS)
def test_reward_is_a_function_of_the_state(name: str, level: int) -> None:
    env = BlocksEnv(task=name, level=level, size=SIZE)
    env.reset(seed=9)
    state, actions = env.snapshot(), random_actions(level, 40)
    assert trees.equal(trees.unflatten(trees.flatten(state)), state)
    runs = []
    for _ in range(2):
        env.restore(state)
        runs.append([env.step(trees.index(actions, t))[1:4] for t in range(40)])
    assert runs[0] == runs[1]
    if name in ("navigate", "survive-night"):
        assert len({round(r, 9) for r, *_ in runs[0]}) > 1 or name == "survive-night"


def test_the_time_limit_truncates() -> None:
    env = BlocksEnv(task="navigate", size=SIZE)
    env.reset(seed=2)
    ends = [env.step(action())[2:4] for _ in range(200)]
    assert ends[-2] == (False, False) and ends[-1] == (False, True)


def test_worlds_of_a_task_are_a_function_of_the_seed() -> None:
    a, b = (BlocksEnv(task="collect", level=2, size=SIZE) for _ in range(2))
    a.reset(seed=5)
    b.reset(seed=5)
    assert trees.equal(a.snapshot(), b.snapshot())
    assert a.world.table[:, EXISTS].all() and not a.world.table[:, HELD].any() and not a.world.flags[CARRIED]
