"""Whatever is done to the rows of a batch, each of them goes on as if it were alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toy_models import Shifter
from tests.toys import ToyEnv
from worldsim import trees
from worldsim.baselines import ContextMean, CopyContext, Frozen, Noise
from worldsim.oracle import Lagged, Oracle, OracleOtherFuture, OtherEpisode, ShuffledAction
from worldsim.starts import binding, join, record_start

ROWS, C = 3, 4


def make() -> ToyEnv:
    return ToyEnv(size=(8, 12), open_future=True)


STARTS = [record_start(make(), seed=s, context=C) for s in range(6)]
MODELS: list[Any] = [
    *(Frozen, CopyContext, ContextMean, Noise, Oracle, OracleOtherFuture, OtherEpisode),
    *(lambda: Lagged(k=2), lambda: ShuffledAction(window=3), lambda: Shifter(noise=7)),
]

row = st.integers(0, ROWS - 1)
operation = st.one_of(
    st.tuples(st.just("step"), st.lists(st.integers(0, 3), min_size=ROWS, max_size=ROWS)),
    st.tuples(st.just("reset"), row, st.integers(0, 5), st.integers(0, 9)),
    st.tuples(st.just("copy"), row, row),
)


def start(model: Any, worlds: list[int], seeds: list[int], indices: list[int] | None = None) -> None:
    picked = [STARTS[w] for w in worlds]
    if hasattr(model, "bind"):
        model.bind(binding(picked, make), indices)
    model.reset(join(picked), seeds=seeds, indices=indices)


@pytest.mark.parametrize("build", MODELS, ids=lambda m: getattr(m, "__name__", "m"))
@given(operations=st.lists(operation, min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_a_batch_is_its_rows(build: Any, operations: list[Any]) -> None:
    batch, alone = build(), [build() for _ in range(ROWS)]
    start(batch, [0, 1, 2], [0, 1, 2])
    for i, single in enumerate(alone):
        start(single, [i], [i])
    for kind, *args in [*operations, ("step", [1, 2, 3])]:
        if kind == "step":
            actions = np.array(args[0])[:, None]
            frames = batch.step(actions).frames
            for i, single in enumerate(alone):
                np.testing.assert_array_equal(frames[i : i + 1], single.step(actions[i : i + 1]).frames)
        elif kind == "reset":
            i, world, seed = args
            start(batch, [world], [seed], [i])
            start(alone[i], [world], [seed])
        else:
            source, target = args
            state = trees.unflatten(trees.flatten(batch.snapshot(source)))
            assert trees.equal(trees.flatten(state), trees.flatten(alone[source].snapshot(0)))
            batch.restore(state, target)
            alone[target].restore(state, 0)
