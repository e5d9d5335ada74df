"""A truth that was given back is lent again, and shows nothing of what was done in it before."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from worldsim.certify.reuse import Truths
from worldsim.envs.actions import noop
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.truth import SetPose


def test_the_same_truth_is_lent_again_and_closed_at_the_end() -> None:
    made: list[Any] = []

    class Counted(BlocksEnv):
        closed = 0

        def close(self) -> None:
            Counted.closed += 1
            super().close()

    def make() -> Any:
        made.append(Counted(preset="arena", size=(16, 16)))
        return made[-1]

    truths = Truths(make)
    assert truths.make == truths.make  # the oracle keeps its copies only while this holds
    first, second = truths.make(), truths.make()
    first.close()
    first.close()  # twice is once: it must not be lent to two
    third, fourth = truths.make(), truths.make()
    assert len(made) == 3 and Counted.closed == 0
    for env in (second, third, fourth):
        env.close()
    with pytest.raises(RuntimeError, match="given back"):
        second.truth()
    truths.close()
    assert Counted.closed == 3


def test_nothing_is_left_of_the_last_use() -> None:
    make: Any = partial(BlocksEnv, preset="arena", size=(32, 32))
    truths = Truths(make)
    env = truths.make()
    before, _ = env.reset(seed=3)
    state = env.snapshot()
    for _ in range(3):
        after = env.step(noop(env.action_space) | {"forward": 1, "use": 1})[0]
    env.edit(SetPose(position=(4.0, 8.0, 4.0), yaw=77.0))
    env.close()
    again = truths.make()
    np.testing.assert_array_equal(again.restore(state)[0], before)
    for _ in range(3):
        frame = again.step(noop(again.action_space) | {"forward": 1, "use": 1})[0]
    np.testing.assert_array_equal(frame, after)
    again.close()
    truths.close()
