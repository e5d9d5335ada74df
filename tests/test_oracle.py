"""The oracle is the truth bit for bit; each fault is wrong in its own way only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.toys import ToyEnv
from worldsim import trees
from worldsim.errors import ConfigError, ContractError, ShapeError, UnsupportedError
from worldsim.oracle import (
    Lagged,
    Oracle,
    OracleCodec,
    OracleOtherFuture,
    OtherEpisode,
    ShuffledAction,
    lossy_codec,
    other_world,
)
from worldsim.protocols import Bindable, Closeable, Codec, Snapshotable, WorldModel
from worldsim.seeding import split_of
from worldsim.starts import action_batch, binding, join, record_start

C, T = 5, 12


def begin(model: Any, make: Callable[[], ToyEnv], worlds: tuple[int, ...] = (3, 4), seeds: Any = None) -> Any:
    """Starts `model` on these worlds; returns the starts and T actions (B, T, ...)."""
    starts = [record_start(make(), seed=s, context=C) for s in worlds]
    model.bind(binding(starts, make))
    model.reset(join(starts), seeds=seeds or [7] * len(worlds))
    return starts, action_batch(make().action_space, 11, len(worlds), T)


def roll(model: Any, actions: Any, steps: range = range(T)) -> np.ndarray:
    return np.concatenate([model.step(trees.index(actions, np.s_[:, t : t + 1])).frames for t in steps], axis=1)


def truth_frames(make: Callable[[], ToyEnv], start: Any, actions: Any, row: int) -> tuple[np.ndarray, list[Any]]:
    env = make()
    env.reset(seed=start.seed)
    for t in range(C - 1):
        env.step(trees.index(start.actions, t))
    out = [env.step(trees.index(actions, (row, t))) for t in range(T)]
    return np.stack([o[0] for o in out]), out


@pytest.mark.parametrize("kwargs", [{}, {"actions": "dict"}, {"actions": "box", "open_future": True}])
@pytest.mark.parametrize("snapshots", [True, False])
def test_oracle_is_the_truth_bit_for_bit(kwargs: Any, snapshots: bool) -> None:
    def make() -> ToyEnv:
        return ToyEnv(snapshots=snapshots, **kwargs)

    model = Oracle()
    starts, actions = begin(model, make)
    predictions = [model.step(trees.index(actions, np.s_[:, t : t + 1])) for t in range(T)]
    for row in range(2):
        frames, outs = truth_frames(make, starts[row], actions, row)
        np.testing.assert_array_equal(np.stack([p.frames[row, 0] for p in predictions]), frames)
        assert [float(p.rewards[row, 0]) for p in predictions] == [o[1] for o in outs]
    assert isinstance(model, WorldModel | Bindable | Snapshotable | Closeable)


def test_replay_uses_the_dynamics_seed_of_the_reset() -> None:
    def make() -> ToyEnv:
        return ToyEnv(snapshots=False, open_future=True)

    start = record_start(make(), seed=1, context=C, dynamics=99)
    model = Oracle()
    model.bind(binding([start], make))
    model.reset(join([start]), seeds=[0])
    actions = action_batch(make().action_space, 1, 1, T)
    env = make()
    env.reset(seed=1, options={"dynamics_seed": 99})
    for t in range(C - 1):
        env.step(trees.index(start.actions, t))
    expected = np.stack([env.step(trees.index(actions, (0, t)))[0] for t in range(T)])
    np.testing.assert_array_equal(roll(model, actions)[0], expected)


@pytest.mark.parametrize("end", ["terminate_at", "truncate_at"])
def test_an_ended_truth_stands_still(end: str) -> None:
    model = Oracle()
    _, actions = begin(model, lambda: ToyEnv(**{end: C - 1 + 3}))
    predictions = [model.step(trees.index(actions, np.s_[:, t : t + 1])) for t in range(6)]
    flag = "terminated" if end == "terminate_at" else "truncated"
    assert [bool(getattr(p, flag)[0, 0]) for p in predictions] == [False, False, True, True, True, True]
    np.testing.assert_array_equal(predictions[2].frames, predictions[5].frames)
    assert predictions[5].rewards is not None and predictions[5].rewards[0, 0] == 0


def test_snapshots_fork_into_another_row() -> None:
    for model in (Oracle(), Lagged(k=3), ShuffledAction(window=4)):
        _, actions = begin(model, ToyEnv)
        roll(model, actions, range(4))
        kept = trees.unflatten(trees.flatten(model.snapshot(0)))
        first = roll(model, actions, range(4, T))
        model.restore(kept, 0)
        model.restore(kept, 1)
        twice = trees.map_leaves(lambda a: np.repeat(a[:1], 2, axis=0), actions)
        again = roll(model, twice, range(4, T))
        np.testing.assert_array_equal(again[0], first[0])
        np.testing.assert_array_equal(again[1], first[0])


def test_other_future_differs_only_where_the_future_is_open() -> None:
    for open_future in (True, False):
        truth, other, third = Oracle(), OracleOtherFuture(), OracleOtherFuture()
        for model, seed in ((truth, 1), (other, 1), (third, 2)):
            _, actions = begin(model, lambda o=open_future: ToyEnv(open_future=o), seeds=[seed, seed])
        a, b, c = (roll(m, actions) for m in (truth, other, third))
        assert np.array_equal(a, b) is not open_future
        assert np.array_equal(b, c) is not open_future
    with pytest.raises(UnsupportedError, match="snapshots"):
        begin(OracleOtherFuture(), lambda: ToyEnv(open_future=True, snapshots=False))


def test_lag_shifts_the_truth_by_k() -> None:
    oracle, late = Oracle(), Lagged(k=3)
    starts, actions = begin(oracle, ToyEnv)
    begin(late, ToyEnv)
    truth, shown = roll(oracle, actions), roll(late, actions)
    np.testing.assert_array_equal(shown[:, 3:], truth[:, :-3])
    for row in range(2):
        np.testing.assert_array_equal(shown[row, :3], np.repeat(starts[row].frames[-1:], 3, axis=0))


def test_shuffled_actions_keep_their_counts_and_lose_their_times() -> None:
    played: list[list[int]] = [[], []]

    class Spy(ToyEnv):
        def __init__(self) -> None:
            super().__init__()
            self.log: list[int] = []

        def step(self, action: Any) -> Any:
            self.log.append(int(action))
            return super().step(action)

    model = ShuffledAction(window=4)
    starts, actions = begin(model, Spy)
    roll(model, actions)
    for row in range(2):
        played[row] = model._worlds[row].env.log  # type: ignore[attr-defined]
        given = [*starts[row].actions[-3:].tolist(), *actions[row].tolist()]
        left = [int(a) for a in model._worlds[row].queue]
        assert sorted(played[row] + left) == sorted(given)
        assert played[row] != actions[row].tolist()
    exact = ShuffledAction(window=1)
    oracle = Oracle()
    begin(exact, ToyEnv)
    _, actions = begin(oracle, ToyEnv)
    np.testing.assert_array_equal(roll(exact, actions), roll(oracle, actions))


def test_other_episode_is_another_world_of_the_same_split() -> None:
    for world in range(20):
        other = other_world(world, 5)
        assert other != world and split_of(other) == split_of(world)
    model = OtherEpisode()
    starts, actions = begin(model, ToyEnv, seeds=[5, 5])
    env = ToyEnv()
    env.reset(seed=other_world(3, 5))
    for t in range(C - 1):
        env.step(trees.index(starts[0].actions, t))
    expected = np.stack([env.step(trees.index(actions, (0, t)))[0] for t in range(T)])
    np.testing.assert_array_equal(roll(model, actions)[0], expected)
    assert not model.spec.privileged
    bound = binding(starts, ToyEnv)
    model.bind(replace(bound, history=trees.index(bound.history, np.s_[:, :0])))  # the context alone tells enough
    model.reset(join(starts), seeds=[5, 5])
    np.testing.assert_array_equal(roll(model, actions)[0], expected)


def test_codec_passes_every_frame_through_its_round_trip() -> None:
    for name in ("jpeg:30", "webp:40", "area:2"):
        oracle, coded = Oracle(), OracleCodec(codec=name)
        _, actions = begin(oracle, ToyEnv)
        begin(coded, ToyEnv)
        truth, seen = roll(oracle, actions), roll(coded, actions)
        assert isinstance(coded, Codec)
        np.testing.assert_array_equal(seen[0], coded.round_trip(truth[0]))
        error = np.abs(seen.astype(int) - truth).mean()
        assert 0 < error < 40
    assert coded.round_trip(truth[0, :0]).shape == (0, 24, 32, 3)


def test_a_fine_codec_keeps_the_channels_in_order() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    for name in ("jpeg:95", "webp:95", "area:2"):
        assert np.abs(lossy_codec(name)(red).astype(int) - red).max() < 12


@pytest.mark.parametrize("bad", ["jpeg", "jpeg:0", "jpeg:101", "area:0", "mp9:3", ""])
def test_unknown_codecs_are_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="codec must be"):
        OracleCodec(codec=bad)


def test_mistakes_are_answered() -> None:
    start = record_start(ToyEnv(), seed=0, context=C)
    with pytest.raises(ContractError, match="bind"):
        Oracle().reset(join([start]), seeds=[0])
    with pytest.raises(ContractError, match="reset"):
        Oracle().step(np.zeros((1, 1), np.int64))
    model = Oracle()
    model.bind(binding([start], lambda: ToyEnv(size=(10, 10))))
    with pytest.raises(ShapeError, match="make_env"):
        model.reset(join([start]), seeds=[0])
    model.bind(binding([start], ToyEnv))
    model.reset(join([start]), seeds=[0])
    with pytest.raises(ShapeError, match=r"\(B, n"):
        model.step(np.zeros((1, 2), np.int64))
    model.bind(binding([start], ToyEnv), [3])
    with pytest.raises(ContractError, match="indices"):
        model.reset(join([start]), seeds=[0], indices=[3])
    with pytest.raises(ConfigError, match="lag"):
        Lagged(k=-1)
    with pytest.raises(ConfigError, match="window"):
        ShuffledAction(window=0)
