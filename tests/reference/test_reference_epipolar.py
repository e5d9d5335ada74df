"""Symmetric epipolar distance and the verdict on a pair against the code of PhotoNVS.

Reference: github.com/YorkUCVIL/Photoconsistent-NVS, commit 81e07c1. Recipe of data/photonvs_sed.json: pairs of frames
of a Blocks world at 256x256 (paths of tests/metrics/solid.py, two steps apart), up to 16 of our SIFT matches rounded to
0.01 px, and the same with noise of 6 px, with the first frame's points on both sides (a frozen video), and with none.
Each match goes through `get_essential_matrix` and `get_min_dist` of src/scripts/compute_sed.py both ways, as its loop
does, and each pair's median and count through `compute_consistency` of eval_consistency.py at 2 px and 10 matches. Its
poses have camera axes with y up and z backwards: ours (OpenCV: y down, z ahead) times diag(1, -1, -1, 1). Pixel centres
lie at half-integers in both.

Tolerance: 1e-9 px; verdicts are equal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldsim.metrics.functional import epipolar

RECORDED = json.loads((Path(__file__).parent / "data" / "photonvs_sed.json").read_text())
LENS = np.array([[RECORDED["focal"], 0.0, 128.0], [0.0, RECORDED["focal"], 128.0], [0.0, 0.0, 1.0]])
PAIRS = {pair["name"]: pair for pair in RECORDED["pairs"]}
Y_UP = np.diag([1.0, -1.0, -1.0, 1.0])


def inputs(pair: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matches in both frames and `second_from_first`."""
    points = [np.array(pair[side], dtype=np.float64).reshape(-1, 2) for side in ("first", "second")]
    move = np.linalg.inv(np.array(pair["world_from_second"])) @ np.array(pair["world_from_first"])
    return points[0], points[1], move


@pytest.mark.parametrize("name", PAIRS)
def test_the_distance_of_each_match_is_theirs(name: str) -> None:
    a, b, move = inputs(PAIRS[name])
    own = epipolar.symmetric_epipolar_distance(a, b, epipolar.fundamental(move, LENS, LENS))
    np.testing.assert_allclose(own, PAIRS[name]["sed"], atol=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_the_verdict_on_each_pair_is_theirs(name: str) -> None:
    a, b, move = inputs(PAIRS[name])
    verdict = epipolar.tsed_pair((a, b), move, (LENS, LENS), (256, 256))
    assert verdict.consistent == PAIRS[name]["consistent"]
    assert verdict.matches == PAIRS[name]["n_matches"]
    expected = PAIRS[name]["median"]  # theirs is 99999999999 without a match, recorded as null
    assert verdict.median == (pytest.approx(expected, abs=1e-9) if expected is not None else float("inf"))


def test_the_vectors_hold_both_verdicts_and_distances_worth_comparing() -> None:
    assert {pair["consistent"] for pair in PAIRS.values()} == {True, False}
    assert max(max(pair["sed"], default=0.0) for pair in PAIRS.values()) > 5.0


def test_their_verdict_on_a_frozen_pair_is_consistent_and_ours_is_no_power() -> None:
    """What our gate is for: under their rule a video that stands still passes, exactly so under a translation."""
    for name in ("frozen, translated", "frozen, turned"):
        a, b, move = inputs(PAIRS[name])
        assert PAIRS[name]["consistent"]
        assert not epipolar.tsed_pair((a, b), move, (LENS, LENS), (256, 256)).powerful
    assert max(PAIRS["frozen, translated"]["sed"]) < 1e-10


def test_the_two_conventions_of_axes_do_differ() -> None:
    """Taken for OpenCV's, poses with y up give other distances: the recipe's change of axes is needed."""
    a, b, move = inputs(PAIRS["noisy"])
    wrong = epipolar.fundamental(Y_UP @ move @ Y_UP, LENS, LENS)
    own = epipolar.symmetric_epipolar_distance(a, b, wrong)
    assert np.abs(own - PAIRS["noisy"]["sed"]).max() > 0.1
