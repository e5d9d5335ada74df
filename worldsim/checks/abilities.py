"""Clauses about what a world model may offer beside `reset` and `step`; those that it lacks are skipped."""

from __future__ import annotations

import time

import numpy as np

from worldsim import trees
from worldsim.checks.bench import PROMPTS, Bench, equal
from worldsim.checks.report import Broken, Clauses, Skip
from worldsim.errors import UnsupportedError
from worldsim.protocols import Closeable, Codec, Promptable, Snapshotable, Streaming

ABILITIES: Clauses[Bench] = Clauses()
_clause = ABILITIES.clause


@_clause(
    "set_prompt",
    expected="set_prompt(prompts, indices) changes the prompt of these worlds only, from the next step on",
    remedy="keep one prompt a row, and write only the rows in `indices`",
    needs=("same seed, same frames",),
)
def _set_prompt(b: Bench) -> None:
    if not isinstance(b.model, Promptable):
        raise Skip("the model has no set_prompt")
    start, actions = b.start(range(b.batch)), b.actions(b.batch)
    expected = b.run(start)
    b.reset(start)
    b.play(actions[:1])
    try:
        b.model.set_prompt([PROMPTS[0]], [0])
    except UnsupportedError as error:
        raise Skip(str(error)) from error
    got = b.play(actions[1:])
    equal(expected[1:, b.spec.frames_per_step :], got[1:], "worlds that were not named changed: ")


@_clause(
    "snapshot and restore",
    expected="snapshot(i) is a tree of plain values; after restore what follows is bit-equal, in any row of the batch",
    remedy="put the whole state of the row into the snapshot (caches, generator state, counters) and copy it both ways",
    needs=("same seed, same frames",),
)
def _snapshot(b: Bench) -> str:
    if not isinstance(b.model, Snapshotable):
        raise Skip("the model has no snapshot")
    b.reset(b.start(range(b.batch)))
    actions = b.actions(b.batch)
    b.play(actions[:1])
    try:
        state = b.model.snapshot(0)
    except UnsupportedError as error:
        raise Skip(str(error)) from error
    flat = trees.flatten(state)
    kept = {name: array.copy() for name, array in flat.items()}
    expected = b.play(actions[1:])
    if not trees.equal(kept, flat):
        raise Broken("the snapshot changed while the model stepped on")
    last = b.batch - 1
    for row in (0, last):
        b.model.restore(trees.unflatten(kept), row)
    alike = [trees.map_leaves(lambda x: np.repeat(x[:1], b.batch, axis=0), a) for a in actions[1:]]
    got = b.play(alike)
    equal(expected[:1], got[:1], "after restore into its own row ")
    if last:
        equal(expected[:1], got[last:], "after restore into another row ")
    return f"{sum(a.nbytes for a in kept.values()) / 1e3:.3g} kB"


@_clause(
    "stream",
    expected="stream(actions) yields Predictions whose frames, joined along n, are those of step(actions)",
    remedy="yield the frames of one step in order, each as (B, k, H, W, 3), and leave the state as step does",
    needs=("same seed, same frames",),
)
def _stream(b: Bench) -> None:
    if not isinstance(b.model, Streaming):
        raise Skip("the model has no stream")
    start, actions = b.start(range(b.batch)), b.actions(b.batch)
    expected = b.run(start)
    b.reset(start)
    parts = [np.array(part.frames) for action in actions for part in b.model.stream(trees.copy(action))]
    equal(expected, np.concatenate(parts, axis=1), "joined, ")


@_clause(
    "round_trip",
    expected="round_trip(frames (T, H, W, 3)) gives frames of the same shape, uint8, the same each time",
    remedy="encode and decode without predicting and without touching the state of the worlds",
    needs=("step",),
)
def _round_trip(b: Bench) -> str:
    if not isinstance(b.model, Codec):
        raise Skip("the model has no round_trip")
    frames = b.start([0], length=3)[0].frames[0]
    given = frames.copy()
    first, second = b.model.round_trip(frames), b.model.round_trip(frames)
    if not isinstance(first, np.ndarray) or first.shape != given.shape or first.dtype != np.uint8:
        raise Broken(
            f"{given.shape} gave {getattr(first, 'shape', type(first).__name__)} {getattr(first, 'dtype', '')}"
        )
    equal(given[None], frames[None], "the frames were written to: ")
    equal(first[None], second[None], "a second time ")
    return f"mean error {np.abs(first.astype(np.int16) - given).mean():.3g} levels"


@_clause(
    "speed",
    expected="a step takes a finite time (for your information)",
    remedy="see the traceback",
    needs=("step",),
)
def _speed(b: Bench) -> str:
    b.reset(b.start(range(b.batch)))
    actions = b.actions(b.batch)
    b.play(actions[:1])
    began = time.perf_counter()
    frames = b.play(actions[1:])
    seconds = (time.perf_counter() - began) / (frames.shape[0] * frames.shape[1])
    return f"{1e3 * seconds:.3g} ms a frame (batch {b.batch})"


@_clause(
    "close",
    expected="close() releases everything and may be called twice",
    remedy="make close() idempotent",
    needs=("spec",),
)
def _close(b: Bench) -> None:
    if not isinstance(b.model, Closeable):
        raise Skip("the model has no close")
    b.model.close()
    b.model.close()
