from __future__ import annotations

import multiprocessing
import os
import time
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.envs.blocks.helpers import random_actions
from worldsim import trees
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.envs.vector import TruthVector
from worldsim.errors import ConfigError, WorldFailure
from worldsim.truth import SetTime
from worldsim.worker_env import WorkerEnv

MAKE = partial(BlocksEnv, preset="arena", size=(16, 24))


class Faulty(BlocksEnv):
    """Raises, hangs or dies in its first step."""

    def __init__(self, fault: str) -> None:
        super().__init__(size=(16, 24))
        self.fault = fault

    def step(self, action: Any) -> Any:
        if self.fault == "raise":
            raise ValueError("the floor is gone")
        if self.fault == "die":
            os._exit(7)
        time.sleep(600)


def actions(n: int, steps: int) -> list[Any]:
    """Trees with leaves (n, ...), one a step."""
    each = [random_actions(i, steps) for i in range(n)]
    return [trees.stack([trees.index(a, t) for a in each]) for t in range(steps)]


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_a_loop_give_the_same(threads: int) -> None:
    with TruthVector([MAKE] * 3, threads=threads) as vector:
        frames = [vector.reset([1, 2, 3], [4, 5, 6])]
        frames += [vector.step(a)[0] for a in actions(3, 5)]
        truths, states = vector.truth(), vector.snapshot()
    for i, seed in enumerate((1, 2, 3)):
        env = MAKE()
        alone = [env.reset(seed=seed, options={"dynamics_seed": 4 + i})[0]]
        alone += [env.step(trees.index(a, i))[0] for a in actions(3, 5)]
        np.testing.assert_array_equal(np.stack(alone), np.stack(frames)[:, i])
        assert trees.equal(env.snapshot(), states[i]) and env.truth().time == truths[i].time == 0.25


def processes(makers: list[Any], timeout: float = 60.0) -> TruthVector:
    """Each truth in a process of its own."""
    return TruthVector([partial(WorkerEnv, make, timeout=timeout) for make in makers], threads=len(makers))


def test_processes_give_the_same_and_leave_none_behind() -> None:
    before = multiprocessing.active_children()
    with TruthVector([MAKE] * 2) as near, processes([MAKE] * 2) as far:
        np.testing.assert_array_equal(near.reset([1, 2]), far.reset([1, 2]))
        for a in actions(2, 3):
            for x, y in zip(near.step(a)[:4], far.step(a)[:4], strict=True):
                np.testing.assert_array_equal(x, y)
        states = near.snapshot()
        assert all(trees.equal(x, y) for x, y in zip(states, far.snapshot(), strict=True))
        for vector in (near, far):
            vector.edit([SetTime(hour=22.0)] * 2)
        for x, y in zip(near.truth(), far.truth(), strict=True):
            np.testing.assert_array_equal(x.depth, y.depth)
        for dynamics in (None, [8, 9]):
            np.testing.assert_array_equal(near.restore(states, dynamics), far.restore(states, dynamics))
        assert len(multiprocessing.active_children()) == len(before) + 2
    assert multiprocessing.active_children() == before


@pytest.mark.parametrize(
    ("fault", "reason"), [("raise", "the floor is gone"), ("die", "exit code 7"), ("hang", "did not return from step")]
)
def test_a_broken_world_is_an_error_with_its_reason_and_no_orphans(fault: str, reason: str) -> None:
    before = multiprocessing.active_children()
    with processes([MAKE, partial(Faulty, fault)], timeout=2.0 if fault == "hang" else 60.0) as vector:
        vector.reset([1, 2])
        with pytest.raises(WorldFailure, match=reason) as caught:
            vector.step(actions(2, 1)[0])
        notes = "".join(caught.value.__notes__)
        assert "in world 1 of 2, step()" in notes
        assert ('raise ValueError("the floor is gone")' in notes) == (fault == "raise"), "the child's traceback"
    assert multiprocessing.active_children() == before


def refuse() -> Any:
    raise ConfigError("no such world")


def test_one_that_cannot_be_made_takes_the_others_with_it() -> None:
    before = multiprocessing.active_children()
    with pytest.raises(ConfigError, match="no such world"):
        processes([refuse, MAKE])
    assert multiprocessing.active_children() == before


def test_counts_must_fit() -> None:
    with pytest.raises(ConfigError, match="at least one world"):
        TruthVector([])
    with TruthVector([MAKE] * 2) as vector, pytest.raises(ConfigError, match="expected 2 seeds"):
        vector.reset([1])
