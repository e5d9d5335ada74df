"""Tasks with reward and an end, for policies: navigate, collect, build, survive the night; levels 1 to 3.

The reward of a step is the gain of a potential that depends on the state only, +1 on success and -1 on failure; both
end the episode, as does the time limit. What a task knows lies in `World.task`, so it is in every snapshot.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from worldsim.envs.blocks import objects
from worldsim.envs.blocks.kinds import COLOURS, LIQUID, SOLID, cell_id
from worldsim.envs.blocks.physics import HURT, TICK
from worldsim.envs.blocks.state import World
from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.seeding import generator

LEVELS: Final = (1, 2, 3)
NEAR: Final = 1.8  # metres from the middle of the goal: arrived
PER_METRE: Final = 0.1
NIGHT, DAWN = 21.0, 6.0  # hours


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task.

    Attributes:
        name: As in `BlocksEnv(task=...)`.
        presets: Preset of each level.
        steps: Time limit of each level.
        prepare: Changes the world at the start and returns what the task has to know; "say" is the task in words.
        potential: Of a state; the reward is what it gains.
        outcome: True = success, False = failure, None = not yet.
        hour: Time of day at the start, None = the preset's.
        open: Has hostile creatures, and with them more than one future.
    """

    name: str
    presets: tuple[str, str, str]
    steps: tuple[int, int, int]
    prepare: Callable[[World, int, np.random.Generator], dict[str, Any]]
    potential: Callable[[World], float]
    outcome: Callable[[World], bool | None]
    hour: float | None = None
    open: bool = False


def get(name: str, level: int) -> Task:
    """The task of a name.

    Raises:
        UnknownNameError: With the nearest name.
        ConfigError: If it has no such level.
    """
    if name not in TASKS:
        raise UnknownNameError(f"Blocks has no task {name!r}.{nearest(name, TASKS)} Known: {', '.join(TASKS)}.")
    if level not in LEVELS:
        raise ConfigError(f"tasks have the levels 1, 2 and 3, got {level!r}")
    return TASKS[name]


def begin(world: World, task: Task, level: int) -> None:
    """Makes the world ready for the task, a pure function of the world's seed."""
    rng = generator("blocks/task", task.name, level, world.world_seed)
    world.task = {"name": task.name, "level": level, "limit": task.steps[level - 1]}
    world.task |= task.prepare(world, level, rng)
    world.counts[1] = 0  # what was built for the task is no change that the first step made
    world.task["potential"] = task.potential(world)


def judge(world: World) -> tuple[float, bool, bool]:
    """(reward, terminated, truncated) of the step that was just made."""
    state = world.task
    task = TASKS[state["name"]]
    if "picked" in state:
        ids = [e.object_id for e in world.events if e.kind == "pick_up"]
        state["picked"] = sorted({*state["picked"], *ids})
    now = task.potential(world)
    reward, state["potential"] = now - state["potential"], now
    result = task.outcome(world)
    truncated = result is None and int(world.flags[TICK]) >= state["limit"]
    return reward + (0.0 if result is None else 1.0 if result else -1.0), result is not None, truncated


# --------------------------------------------------------------------------------------------------- where one can go


def reachable(world: World) -> dict[tuple[int, int], tuple[int, int]]:
    """Columns (x, z) that can be walked to: (height of the feet, steps from the body), in order of distance.

    A step goes one cell to the side, at most one up (a jump) or three down, never through water or objects.
    """
    x, y, z = (math.floor(v) for v in world.body[:3])
    nx, nz, ny = world.cells.shape
    taken = {(math.floor(p[0]), math.floor(p[2])) for p in world.place}
    found = {(x, z): (y, 0)}
    queue = deque([(x, z)])
    while queue:
        x, z = queue.popleft()
        y, steps = found[x, z]
        for i, k in ((x + 1, z), (x - 1, z), (x, z + 1), (x, z - 1)):
            if (i, k) in found or (i, k) in taken or not (0 < i < nx - 1 and 0 < k < nz - 1):
                continue
            column = world.cells[i, k]
            for feet in range(min(y + 1, ny - 3), max(y - 4, 0), -1):
                if SOLID[column[feet : feet + 2]].any() or LIQUID[column[feet]]:
                    break
                if SOLID[column[feet - 1]]:
                    found[i, k] = (feet, steps + 1)
                    queue.append((i, k))
                    break
    return found


def _spot(world: World, rng: np.random.Generator, near: int, far: int) -> tuple[int, int, int]:
    """A free cell (x, y, z) on level ground, `near` to `far` steps away, or as near to that as there is one."""
    places = [(x, y, z, steps) for (x, z), (y, steps) in reachable(world).items() if steps > 1]  # the nearest first
    if not places:
        raise ConfigError(f"world {world.world_seed} of {world.preset!r} has no free place near its start for a task")
    level = [p for p in places if p[1] == places[0][1] and near <= p[3] <= far]
    wanted = level or [p for p in places if near <= p[3] <= far]
    x, y, z, _ = wanted[int(rng.integers(len(wanted)))] if wanted else max(places, key=lambda p: -abs(p[3] - near))
    return x, y, z


# ------------------------------------------------------------------------------------------------------- the tasks


def _navigate(world: World, level: int, rng: np.random.Generator) -> dict[str, Any]:
    x, y, z = _spot(world, rng, *((3, 6), (8, 14), (14, 40))[level - 1])
    colour = COLOURS[int(rng.integers(len(COLOURS)))]
    taken = {objects.kind_name(world, row) for row in range(len(world.table))}
    colour = next((c for c in (colour, *COLOURS) if f"{c}_crate" not in taken), colour)  # the only one of its kind
    goal = objects.add(world, f"{colour}_crate", (x + 0.5, float(y), z + 0.5))
    return {"goal": goal, "say": f"Go to the {colour} crate."}


def _to_goal(world: World) -> float:
    return -PER_METRE * objects.distance(world, world.task["goal"] - 1)


def _arrived(world: World) -> bool | None:
    return True if objects.distance(world, world.task["goal"] - 1) <= NEAR else None


def _collect(world: World, level: int, rng: np.random.Generator) -> dict[str, Any]:
    for _ in range(level + 1):
        x, y, z = _spot(world, rng, 2, 6 * level)
        colour = COLOURS[int(rng.integers(len(COLOURS)))]
        objects.add(world, f"{colour}_gem", (x + 0.5, float(y), z + 0.5))
    what = "a thing" if level == 1 else f"{level} different things"
    return {"number": level, "picked": [], "say": f"Pick up {what}; put one down before you pick up the next."}


def _picked(world: World) -> float:
    return float(len(world.task["picked"]))


def _collected(world: World) -> bool | None:
    return True if _picked(world) >= world.task["number"] else None


def _build(world: World, level: int, rng: np.random.Generator) -> dict[str, Any]:
    x, y, z = _spot(world, rng, 3, 5 + level)
    ground = reachable(world)
    row = [(x + i, z) for i in range(3) if ground.get((x + i, z), (-1, 0))[0] == y] if level == 3 else [(x, z)]
    for i, k in row:
        world.set(i, y - 1, k, cell_id("orange_wool"))
    high = 1 if level == 1 else 2
    cells = [[i, y + up, k] for i, k in row for up in range(high)]
    what = "a block" if level == 1 else f"blocks {high} high"
    return {"cells": cells, "say": f"Place {what} on each of the {len(row)} orange cells of the floor."}


def _built(world: World) -> float:
    return float(sum(bool(SOLID[world.cells[x, z, y]]) for x, y, z in world.task["cells"]))


def _all_built(world: World) -> bool | None:
    return True if _built(world) == len(world.task["cells"]) else None


def _night(world: World, level: int, rng: np.random.Generator) -> dict[str, Any]:
    for _ in range((1, 2, 4)[level - 1]):
        x, y, z = _spot(world, rng, 9, 16)
        objects.add(world, "zombie", (x + 0.5, float(y), z + 0.5))
    world.day = (24.0 - NIGHT + DAWN) / world.task["limit"]  # dawn comes when the time is over
    return {"say": "Do not let a zombie touch you until dawn."}


def _survived(world: World) -> float:
    return 0.01 * int(world.flags[TICK])


def _dawn(world: World) -> bool | None:
    if world.flags[HURT]:
        return False
    return True if int(world.flags[TICK]) >= world.task["limit"] else None


TASKS: Final[Mapping[str, Task]] = {
    task.name: task
    for task in (
        Task(
            name="navigate",
            presets=("arena", "arena", "village"),
            steps=(200, 400, 1200),
            prepare=_navigate,
            potential=_to_goal,
            outcome=_arrived,
        ),
        Task(
            name="collect",
            presets=("arena", "arena", "village"),
            steps=(400, 800, 2400),
            prepare=_collect,
            potential=_picked,
            outcome=_collected,
        ),
        Task(
            name="build",
            presets=("arena", "arena", "arena"),
            steps=(400, 600, 1200),
            prepare=_build,
            potential=_built,
            outcome=_all_built,
        ),
        Task(
            name="survive-night",
            presets=("arena", "arena", "village"),
            steps=(300, 600, 1200),
            prepare=_night,
            potential=_survived,
            outcome=_dawn,
            hour=NIGHT,
            open=True,
        ),
    )
}
