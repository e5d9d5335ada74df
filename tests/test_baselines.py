"""The null models show exactly what the null battery draws, per world and per seed."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.baselines import ContextMean, CopyContext, Frozen, Noise, NullModel
from worldsim.errors import ContractError, ShapeError
from worldsim.nulls import NullFrames
from worldsim.protocols import Snapshotable, WorldModel
from worldsim.types import Context

ALL = [Frozen, CopyContext, ContextMean, Noise]
NOTHING = np.zeros((3, 1), np.int64)


def context(b: int = 3, c: int = 4, seed: int = 0) -> Context:
    frames = np.random.default_rng(seed).integers(0, 256, (b, c, 5, 7, 3), dtype=np.uint8)
    return Context(frames=frames, actions=np.zeros((b, max(c - 1, 0)), np.int64), prompts=("",) * b)


def roll(model: NullModel, steps: int, b: int = 3) -> np.ndarray:
    return np.concatenate([model.step(NOTHING[:b]).frames for _ in range(steps)], axis=1)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("c", [1, 4])
def test_equal_to_the_null_battery(cls: type[NullModel], c: int) -> None:
    start, model = context(c=c), cls()
    assert isinstance(model, WorldModel) and isinstance(model, Snapshotable)
    model.reset(start, seeds=[1, 2, 3])
    out = roll(model, 9)
    for row in range(3):
        drawn = NullFrames(cls.null, start.frames[row], c + 9, seed=row + 1)
        np.testing.assert_array_equal(out[row], drawn[c:])


def test_copy_context_walks_back_and_forth() -> None:
    model = CopyContext()
    start = context()
    model.reset(start, seeds=[0, 0, 0])
    np.testing.assert_array_equal(roll(model, 7), start.frames[:, [2, 1, 0, 1, 2, 3, 2]])


@pytest.mark.parametrize("cls", ALL)
def test_reset_of_some_worlds_leaves_the_others(cls: type[NullModel]) -> None:
    model, undisturbed, fresh = cls(), cls(), cls()
    for m in (model, undisturbed):
        m.reset(context(), seeds=[1, 2, 3])
        roll(m, 2)
    model.reset(context(b=1, seed=9), seeds=[8], indices=[1])
    fresh.reset(context(b=1, seed=9), seeds=[8])
    out = roll(model, 3)
    np.testing.assert_array_equal(out[[0, 2]], roll(undisturbed, 3)[[0, 2]])
    np.testing.assert_array_equal(out[1:2], roll(fresh, 3, b=1))


@pytest.mark.parametrize("cls", ALL)
def test_snapshots_go_on_bit_for_bit(cls: type[NullModel]) -> None:
    model = cls()
    model.reset(context(), seeds=[1, 2, 3])
    roll(model, 2)
    kept = model.snapshot(2)
    later = roll(model, 4)
    model.restore(kept, 0)
    np.testing.assert_array_equal(roll(model, 4)[0], later[2])


def test_the_context_may_be_overwritten_after_the_reset() -> None:
    start, model = context(), Frozen()
    model.reset(start, seeds=[0, 0, 0])
    expected = start.frames[:, -1].copy()
    start.frames[:] = 0
    np.testing.assert_array_equal(roll(model, 1)[:, 0], expected)


def test_mistakes_are_answered() -> None:
    with pytest.raises(ContractError, match="reset"):
        Frozen().step(NOTHING)
    with pytest.raises(ShapeError, match="C = 0"):
        Frozen().reset(context(c=0), seeds=[0, 0, 0])
    model = Frozen()
    with pytest.raises(ShapeError, match="seeds"):
        model.reset(context(), seeds=[0])
    model.reset(context(), seeds=[0, 0, 0])
    with pytest.raises(ShapeError, match=r"\(B, n"):
        model.step(NOTHING[:2])
    with pytest.raises(ContractError, match="indices"):
        model.reset(context(b=1), seeds=[0], indices=[3])
    with pytest.raises(ContractError, match="indices"):
        model.reset(context(b=2), seeds=[0, 0], indices=[1, 1])
