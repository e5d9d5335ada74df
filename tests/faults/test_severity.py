"""Severity 0 is the oracle, and more of a fault is further from the truth."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.faults.tour import Make, begin, blocks, blocks_tour, distance, play_on, show, toy, toy_tour
from worldsim.errors import UnsupportedError
from worldsim.faults import FAULTS, make_fault
from worldsim.oracle import Oracle

WORLDS = tuple(range(3))
CELLS = {"edit-ignored", "edit-reverts", "edit-wrong-cell", "always-the-edit"}
#: Draws of a lower severity are a part of those of a higher one, and each adds to the distance.
NESTED = ("vanish", "swap", "reseed", "gain", "drop", "mode-collapse", "ignore-camera", "always-the-object")


@cache
def told(make: Make) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return record(Oracle(), make)


def record(model: Oracle, make: Make) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    worlds = (4,) if make is blocks else (0, 4)
    begin(model, make, worlds)
    steps = play_on(model, blocks_tour()[:6] if make is blocks else toy_tour()[:20], len(worlds))
    model.close()
    ends = [[p.terminated, p.truncated] for p in steps]
    return np.stack([p.frames for p in steps]), np.stack([p.rewards for p in steps]), np.array(ends)


@pytest.mark.parametrize("make", [toy, blocks])
@pytest.mark.parametrize("name", FAULTS)
def test_severity_0_is_the_oracle_bit_for_bit(name: str, make: Make) -> None:
    for expected, got in zip(told(make), record(make_fault(name), make), strict=True):
        np.testing.assert_array_equal(expected, got)


@cache
def truth() -> np.ndarray:
    return show(Oracle(), toy, WORLDS)


@pytest.mark.parametrize("name", [*(n for n, s in FAULTS.items() if s.seen), *NESTED])
def test_the_distance_to_the_truth_grows(name: str) -> None:
    """On three halls, at the severities of ci; where whole worlds are struck, two severities may strike the same."""
    found = [0.0, *(distance(show(make_fault(name, s), toy, WORLDS), truth()) for s in FAULTS[name].ci)]
    steps = np.diff(found)
    assert (steps >= 0).all() and found[3] > max(found[1], 0.5), found
    if FAULTS[name].seen and not FAULTS[name].cheat:
        assert (steps > 0).all(), found


@pytest.mark.parametrize("name", sorted(CELLS - {"always-the-edit"}))
def test_edits_go_wrong_more_often(name: str) -> None:
    def mean(severity: float) -> float:
        return distance(show(make_fault(name, severity), blocks, (0, 4)), true)

    true = show(Oracle(), blocks, (0, 4))
    found = [mean(s) for s in FAULTS[name].ci]
    assert 0 <= found[0] <= found[1] <= found[2] and found[2] > 0.5, found


@pytest.mark.parametrize("name", ["flattened-parallax", "sliding-layer"])
def test_geometry_faults_grow_with_the_share_of_parallax(name: str) -> None:
    true = show(Oracle(), blocks, (4,), actions=blocks_tour()[:9])
    found = [distance(show(make_fault(name, s), blocks, (4,), actions=blocks_tour()[:9]), true) for s in (0.2, 0.6, 1)]
    assert 0 < found[0] < found[1] < found[2], found


@pytest.mark.parametrize("name", ["teleport", "flip"])
def test_what_need_not_grow_is_seen(name: str) -> None:
    for severity in FAULTS[name].ci:
        assert distance(show(make_fault(name, severity), toy, WORLDS), truth()) > 0.5


def test_the_seed_decides() -> None:
    def frames(seed: int) -> Any:
        return show(make_fault("noise", 8), toy, (0, 4), seed=seed)

    a, b = frames(7), frames(9)
    np.testing.assert_array_equal(a, frames(7))
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(  # row 1 is world 4 with seed 8, alone as in the batch
        show(make_fault("noise", 8), toy, (4,), seed=8)[0], a[1]
    )
    with pytest.raises(UnsupportedError):
        show(make_fault("edit-reverts", 1), toy)
