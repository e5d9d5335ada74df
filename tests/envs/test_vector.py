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
from worldsim.envs.vector import ProcessVector, TruthVector
from worldsim.errors import ConfigError, WorldFailure
from worldsim.truth import SetTime

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


def test_processes_give_the_same_and_leave_none_behind() -> None:
    with TruthVector([MAKE] * 2) as near, ProcessVector([MAKE] * 2) as far:
        np.testing.assert_array_equal(near.reset([1, 2]), far.reset([1, 2]))
        for a in actions(2, 3):
            for x, y in zip(near.step(a)[:4], far.step(a)[:4], strict=True):
                np.testing.assert_array_equal(x, y)
        assert all(trees.equal(x, y) for x, y in zip(near.snapshot(), far.snapshot(), strict=True))
        far.edit([SetTime(hour=22.0)] * 2)
        assert far.truth()[0].depth is not None
        np.testing.assert_array_equal(far.restore(near.snapshot()), near.restore(far.snapshot() and near.snapshot()))
    assert not [p for p in multiprocessing.active_children() if p.name.startswith("truth-")]
    with pytest.raises(ConfigError, match="closed"):
        far.truth()


@pytest.mark.parametrize(
    ("fault", "reason"), [("raise", "the floor is gone"), ("die", "exit code 7"), ("hang", "did not answer within")]
)
def test_a_broken_world_is_an_error_with_its_reason_and_no_orphans(fault: str, reason: str) -> None:
    vector = ProcessVector([MAKE, partial(Faulty, fault)])
    vector.reset([1, 2])
    vector.timeout = 1.0 if fault == "hang" else 60.0
    with pytest.raises(WorldFailure, match=reason) as caught:
        vector.step(actions(2, 1)[0])
    assert "world 1 of 2" in str(caught.value)
    assert not [p for p in multiprocessing.active_children() if p.name.startswith("truth-")]
    vector.close()


def test_counts_must_fit() -> None:
    with TruthVector([MAKE] * 2) as vector, pytest.raises(ConfigError, match="expected 2 seeds"):
        vector.reset([1])
