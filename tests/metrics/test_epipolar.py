"""Epipolar distances against OpenCV's and textbook algebra; the frozen video's zero; poses from known matches."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.metrics.solid import place, walk
from worldsim.envs.blocks.camera import intrinsics
from worldsim.errors import ShapeError
from worldsim.metrics.functional import epipolar, geometry

SIZE = (256, 256)
LENS = intrinsics(SIZE)
Points = NDArray[np.float64]


def motion(side: float, ahead: float, turn: float) -> NDArray[np.float64]:
    return np.linalg.inv(place(1.0, side, ahead, turn))


def cloud(move: NDArray[np.float64], n: int = 60, seed: int = 0) -> tuple[Points, Points]:
    """Exact matches of n points 3 to 20 m away."""
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(-0.4, 0.4, (n, 2)), np.ones((n, 1))], 1) * rng.uniform(3, 20, (n, 1))
    a, _ = geometry.project(points, np.eye(4), LENS)
    b, _ = geometry.project(points, move, LENS)
    return a, b


@settings(max_examples=30, deadline=None)
@given(st.floats(-1, 1), st.floats(0.05, 1), st.floats(-20, 20))
def test_true_matches_lie_on_their_epipolar_lines(side: float, ahead: float, turn: float) -> None:
    move = motion(side, ahead, turn)
    matrix = epipolar.fundamental(move, LENS, LENS)
    assert epipolar.symmetric_epipolar_distance(*cloud(move), matrix).max() < 1e-6


def test_sed_is_the_mean_of_opencvs_distances_to_both_lines() -> None:
    move = motion(0.4, 0.1, 6.0)
    a, b = cloud(move)
    b = b + np.random.default_rng(1).normal(0, 3, b.shape)
    matrix = epipolar.fundamental(move, LENS, LENS)
    own = epipolar.symmetric_epipolar_distance(a, b, matrix)
    # OpenCV normalises each line to a^2 + b^2 = 1, so that the product with a point is its distance.
    in_second = cv2.computeCorrespondEpilines(a.reshape(-1, 1, 2), 1, matrix).reshape(-1, 3)
    in_first = cv2.computeCorrespondEpilines(b.reshape(-1, 1, 2), 2, matrix).reshape(-1, 3)
    forth = np.abs((in_second[:, :2] * b).sum(1) + in_second[:, 2])
    back = np.abs((in_first[:, :2] * a).sum(1) + in_first[:, 2])
    np.testing.assert_allclose(own, (forth + back) / 2, atol=1e-4)
    assert own.mean() > 1.0


def test_the_essential_matrix_has_two_equal_singular_values_and_a_zero() -> None:
    essential = LENS.T @ epipolar.fundamental(motion(0.3, 0.2, 9.0), LENS, LENS) @ LENS
    values = np.linalg.svd(essential)[1]
    np.testing.assert_allclose(values, [np.hypot(0.3, 0.2)] * 2 + [0.0], atol=1e-12)


def test_a_turn_is_opencvs_homography() -> None:
    move = motion(0.0, 0.0, 12.0)
    a, b = cloud(move)
    own = epipolar.infinite_homography(move, LENS, LENS)
    fitted, _ = cv2.findHomography(a, b)
    np.testing.assert_allclose(own / own[2, 2], fitted, atol=1e-6)
    assert epipolar.pair_distance(a, b, move, LENS, LENS).max() < 1e-6
    moved = epipolar.symmetric_transfer_distance(a, b + np.array([3.0, 4.0]), own)
    assert moved == pytest.approx(5.0, rel=0.2)


@pytest.mark.parametrize(("side", "ahead"), [(0.5, 0.0), (0.0, 0.5), (0.3, 0.4)])
def test_a_frozen_video_passes_published_tsed_under_a_pure_translation(side: float, ahead: float) -> None:
    """The published score calls it perfect: SED is 0 for a picture that does not move. The gate keeps it out."""
    move = motion(side, ahead, 0.0)
    frozen = cloud(move)[0]
    verdict = epipolar.tsed_pair((frozen, frozen), move, (LENS, LENS), SIZE)
    assert verdict.median == pytest.approx(0.0, abs=1e-10) and verdict.consistent
    assert verdict.frozen == pytest.approx(0.0, abs=1e-10) and not verdict.powerful


def test_a_frozen_video_fails_where_the_gate_is_open() -> None:
    for move in (motion(0.0, 0.0, 8.0), motion(0.05, 0.5, 8.0)):
        a, b = cloud(move)
        still, right = (epipolar.tsed_pair((a, x), move, (LENS, LENS), SIZE) for x in (a, b))
        assert still.powerful and not still.consistent and still.median > 4.0
        assert right.powerful and right.consistent and right.median < 1e-6


def test_too_few_matches_are_inconsistent_however_good() -> None:
    move = motion(0.0, 0.0, 8.0)
    a, b = cloud(move, n=9)
    assert not epipolar.tsed_pair((a, b), move, (LENS, LENS), SIZE).consistent
    none = epipolar.tsed_pair((a[:0], b[:0]), move, (LENS, LENS), SIZE)
    assert none.median == float("inf") and not none.consistent
    with pytest.raises(ShapeError, match=r"\(n, 2\) twice"):
        epipolar.pair_distance(a, b[:3], move, LENS, LENS)


def test_the_implied_pose_is_the_true_one() -> None:
    move = motion(0.8, 0.2, 7.0)
    pose = epipolar.implied_pose(cloud(move), LENS, SIZE)
    assert pose is not None and pose.inliers == 1.0
    assert geometry.rotation_angle(pose.rotation @ move[:3, :3].T) < 0.1
    assert pose.direction @ move[:3, 3] / np.linalg.norm(move[:3, 3]) > 0.999


def test_self_pose_counts_failures_as_zero_and_drops_only_what_the_truth_cannot_decide() -> None:
    truth = cloud(motion(0.8, 0.2, 7.0))
    a, b = truth
    none = (a[:0], a[:0])
    same = epipolar.self_pose(truth, truth, LENS, SIZE)
    assert not isinstance(same, str) and same.score == 1.0 and same.angle == pytest.approx(0.0, abs=1e-6)
    for shown in (none, (a[:5], b[:5]), (a, a)):
        failed = epipolar.self_pose(truth, shown, LENS, SIZE)
        assert not isinstance(failed, str) and failed.score == 0.0
    scores = []
    for turn in (7.0, 9.0, 12.0, 20.0):
        other = epipolar.self_pose(truth, cloud(motion(0.8, 0.2, turn)), LENS, SIZE)
        assert not isinstance(other, str)
        assert other.angle == pytest.approx(turn - 7.0, abs=0.1)
        scores.append(other.score)
    assert scores == pytest.approx([1.0, 0.8, 0.5, 0.0], abs=0.02)
    assert epipolar.self_pose((a, a), truth, LENS, SIZE) == "no power: the true picture hardly moves"
    assert epipolar.self_pose((a[:12], b[:12]), truth, LENS, SIZE) == "the true frames imply no pose"


def test_sift_finds_the_true_motion_in_blocks() -> None:
    """Half-pixel centres: with OpenCV's own integer centres the median would grow by what half a pixel makes."""
    frames, states = walk(0, (0.06, 0.06, 1.0), 8, size=128)
    lens, move = states[0].intrinsics, geometry.relative_pose(states[0], states[8])
    assert lens is not None
    points = epipolar.sift_matches(frames[0], frames[8])
    verdict = epipolar.tsed_pair(points, move, (lens, lens), (128, 128))
    assert verdict.consistent and verdict.median < 0.5
    again = epipolar.sift_matches(frames[0], frames[8])
    np.testing.assert_array_equal(points, again)
    grey = np.full_like(frames[0], 128)
    assert [len(p) for p in epipolar.sift_matches(grey, frames[0])] == [0, 0]


def test_matches_on_instances_are_left_out() -> None:
    ids = np.zeros((10, 10), np.int32)
    ids[5:, :] = 3
    a, b = np.array([[1.5, 1.5], [2.5, 7.5], [3.5, 2.5]]), np.array([[1.5, 1.5], [2.5, 1.5], [3.5, 9.9]])
    kept = epipolar.off_instances((a, b), (ids, ids))
    np.testing.assert_array_equal(kept[0], [[1.5, 1.5]])
