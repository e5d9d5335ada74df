"""Path errors: known answers, what alignment removes, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.functional import trajectory


def walk(seed: int, n: int = 30) -> np.ndarray:
    """Poses (n, 4, 4) of a camera that walks and looks about."""
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (n, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(np.cumsum(rng.normal(0, 0.2, (n, 3)), axis=0)).as_matrix()
    poses[:, :3, 3] = np.cumsum(rng.normal(size=(n, 3)), axis=0)
    return poses


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 10))
def test_alignment_finds_the_motion_that_was_made(seed: int, scale: float) -> None:
    points = walk(seed)[:, :3, 3]
    rng = np.random.default_rng(seed)
    turn, shift = Rotation.from_rotvec(rng.normal(size=3)).as_matrix(), rng.normal(size=3) * 10
    moved = scale * points @ turn.T + shift
    found = trajectory.umeyama(points, moved, with_scale=True)
    assert found.unique and found.scale == pytest.approx(scale, rel=1e-9)
    assert found.rotation == pytest.approx(turn, abs=1e-8) and np.linalg.det(found.rotation) == pytest.approx(1)
    assert found(points) == pytest.approx(moved, abs=1e-7)
    assert trajectory.ate_rmse(points, moved, "sim3") < 1e-7


def test_each_alignment_removes_no_more_than_it_says() -> None:
    points = walk(0)[:, :3, 3]
    shifted, slower = points + np.array([3.0, 0.0, 4.0]), points * 0.5
    assert trajectory.ate_rmse(shifted, points) == pytest.approx(5.0)
    assert trajectory.ate_rmse(shifted, points, "se3") == pytest.approx(0.0, abs=1e-9)
    assert trajectory.ate_rmse(slower, points, "se3") > 0.1  # a wrong speed stays an error
    assert trajectory.ate_rmse(slower, points, "sim3") == pytest.approx(0.0, abs=1e-9)  # and here it is hidden


def test_no_reflection_even_where_it_would_fit_better() -> None:
    points = walk(1)[:, :3, 3]
    mirrored = points * [1, 1, -1]
    assert np.linalg.det(trajectory.umeyama(points, mirrored).rotation) == pytest.approx(1)
    assert trajectory.ate_rmse(points, mirrored, "se3") > 0.1


def test_a_straight_path_has_no_unique_turn_but_a_right_residual() -> None:
    line = np.outer(np.arange(10.0), [1.0, 2.0, 3.0])
    found = trajectory.umeyama(line, line[:, ::-1])
    assert not found.unique
    assert found(line) == pytest.approx(line[:, ::-1], abs=1e-9)


def test_a_motion_that_is_too_slow_by_a_tenth() -> None:
    true = np.tile(np.eye(4), (6, 1, 1))
    true[:, 2, 3] = np.arange(6)
    slow = true.copy()
    slow[:, 2, 3] *= 0.9
    errors = trajectory.relative_errors(slow, true)
    assert errors.translation == pytest.approx([0.1] * 5) and errors.rotation == pytest.approx([0.0] * 5)
    assert trajectory.relative_errors(slow, true, delta=3).translation == pytest.approx([0.3] * 3)


def test_a_yaw_drift_is_its_angle_at_each_step() -> None:
    true, drifted = walk(2), walk(2)
    for t in range(len(true)):
        drifted[t, :3, :3] = true[t, :3, :3] @ Rotation.from_euler("y", 2.0 * t, degrees=True).as_matrix()
    still = np.tile(np.eye(4), (10, 1, 1))
    turning = still.copy()
    turning[:, :3, :3] = Rotation.from_euler("y", 2.0 * np.arange(10)[:, None], degrees=True).as_matrix()
    assert trajectory.relative_errors(turning, still).rotation == pytest.approx([2.0] * 9)
    assert trajectory.relative_errors(turning, still, delta=4).rotation == pytest.approx([8.0] * 6)
    assert trajectory.relative_errors(drifted, true).rotation.min() > 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_relative_errors_do_not_see_where_the_world_lies(seed: int) -> None:
    p, q, elsewhere = walk(seed), walk(seed + 1), walk(seed + 2)[-1]
    errors, moved = trajectory.relative_errors(p, q), trajectory.relative_errors(elsewhere @ p, q)
    assert moved.translation == pytest.approx(errors.translation, abs=1e-9)
    assert moved.rotation == pytest.approx(errors.rotation, abs=1e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1.0, 90.0, 179.9999999, 180.0])
def test_angles_are_exact_at_both_ends(angle: float) -> None:
    rotation = Rotation.from_rotvec(np.radians(angle) * np.array([0.6, 0.0, 0.8])).as_matrix()
    assert trajectory.rotation_angle(rotation) == pytest.approx(angle, abs=1e-12, rel=1e-9)


def test_mistakes_are_explained() -> None:
    poses = walk(0)
    points = poses[:, :3, 3]
    with pytest.raises(ShapeError, match="same frames"):
        trajectory.ate_rmse(points, points[:5])
    with pytest.raises(ShapeError, match="finite"):
        trajectory.ate_rmse(points * np.nan, points)
    with pytest.raises(ShapeError, match="align must be"):
        trajectory.ate_rmse(points, points, "yaw")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="does not move"):
        trajectory.ate_rmse(np.ones((5, 3)), points[:5], "sim3")
    with pytest.raises(UnsupportedError, match="31 poses"):
        trajectory.relative_errors(poses, poses, delta=30)
    with pytest.raises(ShapeError, match="at least 1"):
        trajectory.relative_errors(poses, poses, delta=0)
    with pytest.raises(ShapeError, match="rotations"):
        trajectory.relative_errors(poses * 2, poses)
    with pytest.raises(ShapeError, match="T, 4, 4"):
        trajectory.relative_errors(points, points)
