"""The measures of TAP-Vid against its own code's recorded numbers, cases worked by hand, and its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.functional.tracking import THRESHOLDS, Mode, scale_to, tapvid

NONE = np.zeros((1, 5), bool)
STILL = np.full((1, 5, 2), 100.0)
FIRST = np.array([0])


# What `compute_tapvid_metrics` of github.com/google-deepmind/tapnet (Apache-2.0, commit c2cbab8) gives for
# `random_tracks`: OA, the five Jaccards and the five shares within the thresholds.
TAPNET: dict[Mode, tuple[float, list[float], list[float]]] = {
    "first": (
        0.588607595,
        [0.017621145, 0.040540541, 0.178571429, 0.443750000, 0.560810811],
        [0.043103448, 0.103448276, 0.396551724, 0.853448276, 1.0],
    ),
    "strided": (
        0.62,
        [0.009009009, 0.039443155, 0.151670951, 0.449838188, 0.594306050],
        [0.022123894, 0.106194690, 0.362831858, 0.840707965, 1.0],
    ),
}


def random_tracks() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(11)
    true = rng.uniform(0, 256, (20, 16, 2))
    tracks = true + rng.normal(0, 4, true.shape)
    hidden = rng.random((20, 16)) < 0.25
    said = rng.random((20, 16)) < 0.25
    return true, hidden, tracks, said, rng.integers(0, 15, 20)


@pytest.mark.parametrize("mode", TAPNET)
def test_the_numbers_of_tapnet(mode: Mode) -> None:
    result = tapvid(*random_tracks(), mode)
    occlusion, jaccard, within = TAPNET[mode]
    assert result.occlusion == pytest.approx(occlusion, abs=1e-9)
    assert result.jaccard == pytest.approx(jaccard, abs=1e-9)
    assert result.within == pytest.approx(within, abs=1e-9)
    assert result.average_jaccard == pytest.approx(np.mean(jaccard), abs=1e-9)


def test_a_perfect_track_is_perfect() -> None:
    result = tapvid(STILL, NONE, STILL, NONE, FIRST)
    assert (result.average_jaccard, result.position, result.occlusion) == (1.0, 1.0, 1.0)
    assert (result.scored, result.visible) == (4, 4)


def test_three_pixels_off_worked_by_hand() -> None:
    """4 visible points, all 3 px off: wrong at 1 and 2 px, right at 4, 8, 16. Wrong: 0 hits / (4 + 4 false) = 0."""
    result = tapvid(STILL, NONE, STILL + np.array([3.0, 0.0]), NONE, FIRST)
    assert result.within.tolist() == result.jaccard.tolist() == [0, 0, 1, 1, 1]
    assert result.average_jaccard == result.position == 0.6 and result.occlusion == 1.0


def test_exactly_the_threshold_is_too_far() -> None:
    assert tapvid(STILL, NONE, STILL + np.array([0.0, 4.0]), NONE, FIRST).within.tolist() == [0, 0, 0, 1, 1]


def test_a_misplaced_point_counts_twice() -> None:
    """4 visible points, one 100 px off: 3 hits / (4 visible + 1 false) = 0.6 at each threshold."""
    tracks = STILL.copy()
    tracks[0, 2] += 100.0
    result = tapvid(STILL, NONE, tracks, NONE, FIRST)
    assert result.jaccard == pytest.approx([0.6] * 5) and result.position == 0.75


def test_occlusion_worked_by_hand() -> None:
    """Frames 1 to 4, hidden in 3 and 4, said to be hidden in 2 and 3: hit, miss, quiet, false = 1 / (2 + 1)."""
    hidden, said = np.array([[0, 0, 0, 1, 1]], bool), np.array([[0, 0, 1, 1, 0]], bool)
    result = tapvid(STILL, hidden, STILL, said, FIRST)
    assert result.average_jaccard == pytest.approx(1 / 3)
    assert result.position == 1.0  # positions count whether or not the point is said to be visible
    assert result.occlusion == 0.5


def test_the_frames_before_the_query_count_only_when_strided() -> None:
    tracks = STILL.copy()
    tracks[0, 0] += 100.0
    query = np.array([2])
    assert tapvid(STILL, NONE, tracks, NONE, query).average_jaccard == 1.0
    strided = tapvid(STILL, NONE, tracks, NONE, query, "strided")
    assert strided.average_jaccard == pytest.approx(3 / 5) and strided.scored == 4


@pytest.mark.parametrize("mode", ["first", "strided"])
def test_it_is_its_definition_point_by_point(mode: Mode) -> None:
    rng = np.random.default_rng(5)
    true = rng.uniform(0, 256, (12, 9, 2))
    tracks = true + rng.normal(0, 5, true.shape)
    hidden, said = rng.random((2, 12, 9)) < 0.3
    query = rng.integers(0, 8, 12)
    jaccard, within, right, scored = [], [], 0, 0
    for threshold in THRESHOLDS:
        hits = misses = false = close_visible = visible = right = scored = 0
        for i in range(12):
            for t in range(9):
                if t == query[i] or (mode == "first" and t < query[i]):
                    continue
                close = math.dist(tracks[i, t], true[i, t]) < threshold
                scored += 1
                right += hidden[i, t] == said[i, t]
                visible += not hidden[i, t]
                close_visible += not hidden[i, t] and close
                hits += not hidden[i, t] and not said[i, t] and close
                misses += not hidden[i, t] and not (not said[i, t] and close)
                false += not said[i, t] and (hidden[i, t] or not close)
        jaccard.append(hits / (hits + misses + false))
        within.append(close_visible / visible)
    result = tapvid(true, hidden, tracks, said, query, mode)
    assert result.jaccard == pytest.approx(jaccard) and result.within == pytest.approx(within)
    assert result.occlusion == pytest.approx(right / scored)
    assert result.average_jaccard == pytest.approx(np.mean(jaccard))


def test_what_is_never_visible_is_undefined_not_perfect() -> None:
    result = tapvid(STILL, ~NONE, STILL, ~NONE, FIRST)
    assert math.isnan(result.average_jaccard) and math.isnan(result.position) and result.occlusion == 1.0
    assert tapvid(STILL, ~NONE, STILL, NONE, FIRST).average_jaccard == 0.0


def test_tracks_of_another_size_are_scaled() -> None:
    assert scale_to([[32.0, 16.0]], height=64, width=128).tolist() == [[64.0, 64.0]]


def test_mistakes_are_explained() -> None:
    with pytest.raises(UnsupportedError, match="last frame"):
        tapvid(STILL, NONE, STILL, NONE, np.array([4]))
    with pytest.raises(ShapeError, match="bool"):
        tapvid(STILL, NONE, STILL, NONE.astype(float), FIRST)
    with pytest.raises(ShapeError, match=r"0\.\.4"):
        tapvid(STILL, NONE, STILL, NONE, np.array([5]))
    with pytest.raises(ShapeError, match="finite"):
        tapvid(STILL, NONE, STILL * np.nan, NONE, FIRST)
    with pytest.raises(ShapeError, match=r"\(N, T, 2\)"):
        tapvid(STILL, NONE, STILL[:, :3], NONE, FIRST)
