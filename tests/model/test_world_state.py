"""The state of a world is one value: kept, set back, forked, written to a file, and played on in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.model.small import actions_of, frames, small_checkpoint
from worldsim import trees
from worldsim.errors import ContractError
from worldsim.model.simulator import LatentSimulator
from worldsim.types import Context

VILLAGE, ARENA = "in the village at day", "in the arena at night"
FUSED = pytest.mark.parametrize("fused", [False, True])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("state") / "small")


def context(seed: int, b: int, c: int = 3, size: tuple[int, int] = (32, 48), prompt: str = "") -> Context:
    return Context(frames=frames(seed, b, c, *size), actions=actions_of(seed, b, max(c - 1, 0)), prompts=(prompt,) * b)


def begun(folder: Path, b: int = 3, c: int = 3, **settings: Any) -> LatentSimulator:
    model = LatentSimulator(folder, **settings)
    model.reset(context(0, b, c), seeds=range(b))
    return model


def play(model: LatentSimulator, steps: int, key: int = 0, alike: bool = False) -> np.ndarray[Any, Any]:
    """(steps, B, H, W, 3) frames; `alike`: every row does what row 0 does. Actions do not depend on the batch."""
    b, out = model._running()[0].batch, []
    for t in range(steps):
        a = trees.map_leaves(lambda x: x[:1].repeat(b, axis=0) if alike else x[:b], actions_of(1000 * key + t, 8, 1))
        out.append(model.step(a).frames[:, 0])
    return np.stack(out) if out else np.zeros(0)


@FUSED
@pytest.mark.parametrize("lived", [0, 1, 6])
def test_a_kept_world_goes_on_bit_by_bit_anywhere_in_the_batch(folder: Path, fused: bool, lived: int) -> None:
    """In its own row, in another, in another phase of the ring, and with a frame that waits to be committed."""
    model = begun(folder, fused=fused)
    play(model, lived)
    model.set_prompt([VILLAGE], [0])  # holds from the next frame on: a frame that waits was drawn without
    kept = model.snapshot(0)
    copy = trees.copy(kept)
    expected = play(model, 9, key=1, alike=True)[:, 0]
    assert trees.equal(kept, copy)  # the snapshot is a value
    for row in (0, 2):
        model.restore(kept, row)
    both = play(model, 9, key=1, alike=True)
    assert np.array_equal(both[:, 0], expected)
    assert np.array_equal(both[:, 2], expected)
    other = begun(folder, fused=fused)
    play(other, 3, key=2)
    other.restore(kept, 1)
    assert np.array_equal(play(other, 9, key=1, alike=True)[:, 1], expected)


@FUSED
def test_another_batch_size_is_equal_to_rounding(folder: Path, fused: bool) -> None:
    """Matrix products of other sizes round differently: equal to a level of 255, bit for bit only at one size."""
    model, alone = begun(folder, fused=fused), begun(folder, b=1, fused=fused)
    play(model, 5)
    alone.restore(model.snapshot(1), 0)
    model.restore(model.snapshot(1), 0)
    a, b = play(model, 6, key=1)[:, 0], play(alone, 6, key=1)[:, 0]
    assert np.abs(a.astype(int) - b).max() <= 1


@FUSED
def test_forks_part_with_their_actions_and_their_prompts(folder: Path, fused: bool) -> None:
    model = begun(folder, fused=fused)
    play(model, 4)
    kept = model.snapshot(0)
    for row in (1, 2):
        model.restore(kept, row)
    same = play(model, 2, key=1, alike=True)
    assert np.array_equal(same[:, 0], same[:, 1]) and np.array_equal(same[:, 0], same[:, 2])
    for row in (1, 2):
        model.restore(kept, row)
    model.restore(kept, 0)
    model.set_prompt([VILLAGE], [2])
    moved = play(model, 2, key=1)  # each row acts on its own
    assert not np.array_equal(moved[:, 0], moved[:, 1])
    assert np.array_equal(moved[:, 0], same[:, 0])
    for row in range(3):
        model.restore(kept, row)
    model.set_prompt([VILLAGE], [2])
    told = play(model, 2, key=1, alike=True)
    assert np.array_equal(told[:, 0], same[:, 0]) and not np.array_equal(told[:, 2], same[:, 2])


@FUSED
def test_a_state_goes_through_a_file(folder: Path, fused: bool, tmp_path: Path) -> None:
    model = begun(folder, fused=fused)
    model.set_prompt([ARENA], [1])
    play(model, 5)
    kept = model.snapshot(1)
    np.savez(tmp_path / "world.npz", **trees.flatten(kept))
    with np.load(tmp_path / "world.npz", allow_pickle=False) as file:
        read = trees.unflatten(dict(file))
    assert trees.equal(read, kept)
    expected = play(model, 4, key=1)[:, 1]
    model.restore(read, 1)
    assert np.array_equal(play(model, 4, key=1)[:, 1], expected)


REPLAY = """
import sys
import numpy as np
from pathlib import Path
from tests.model.test_world_state import begun, play
from worldsim import trees

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
model = begun(folder, fused=True)
first = play(model, 5)
with np.load(out / "world.npz", allow_pickle=False) as file:
    model.restore(trees.unflatten(dict(file)), 2)
rest = play(model, 5, key=1)
np.savez(out / "replay.npz", first=first, rest=rest)
np.savez(out / "end.npz", **trees.flatten(model.snapshot(2)))
"""


@pytest.mark.timeout(1200)  # the other process may have to wait long for its turn to import torch
def test_another_process_draws_the_same_bits(folder: Path, tmp_path: Path) -> None:
    model = begun(folder, fused=True)
    first = play(model, 5)
    np.savez(tmp_path / "world.npz", **trees.flatten(model.snapshot(2)))
    rest = play(model, 5, key=1)
    end = trees.flatten(model.snapshot(2))
    done = subprocess.run([sys.executable, "-c", REPLAY, str(folder), str(tmp_path)], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "replay.npz") as replay:
        assert np.array_equal(replay["first"], first)
        assert np.array_equal(replay["rest"], rest)
    with np.load(tmp_path / "end.npz", allow_pickle=False) as file:  # frames hide what is less than a level
        assert trees.equal(trees.unflatten(dict(file)), trees.unflatten(end))


def test_a_world_kept_apart_goes_on_in_the_fused_form_but_not_the_other_way_round(folder: Path) -> None:
    apart, fused = begun(folder), begun(folder, fused=True)
    play(apart, 5), play(fused, 5)
    kept, waiting = apart.snapshot(0), fused.snapshot(0)
    fused.restore(kept, 0)
    a, b = play(apart, 6, key=1)[:, 0], play(fused, 6, key=1)[:, 0]
    assert np.abs(a.astype(int) - b).max() <= 1
    with pytest.raises(ContractError, match="fused=True"):
        apart.restore(waiting, 0)


def test_what_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    model = begun(folder)
    kept = model.snapshot(0)
    other = LatentSimulator(small_checkpoint(tmp_path / "other", dit={"seed": 9}))
    other.reset(context(0, 1), seeds=[0])
    with pytest.raises(ContractError, match="other weights"):
        other.restore(kept, 0)
    model.reset(context(0, 1, size=(32, 32)), seeds=[0])
    with pytest.raises(ContractError, match="frames of 32x48, the batch 32x32"):
        model.restore(kept, 0)
    for broken in ({}, 3, {**kept, "schema": 2}, {k: v for k, v in kept.items() if k != "keys"}):
        with pytest.raises(ContractError, match="not a snapshot of this simulator"):
            model.restore(broken, 0)
    for row in (-1, 1):
        with pytest.raises(ContractError, match=r"worlds of the batch, 0\.\.0"):
            model.snapshot(row)
    model.close()
    with pytest.raises(ContractError, match="call reset"):
        model.snapshot(0)
