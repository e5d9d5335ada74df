"""Alignment and path errors against scipy's rotations, scikit-image's Umeyama, and evo's recorded numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from skimage.transform import SimilarityTransform

from worldsim.metrics.functional import trajectory

# What evo 1.38.1 (GPL-3; run apart, from PyPI) gives for `evo_paths`: APE and RPE of `evo.core.metrics` over all pairs.
EVO_ATE = {"none": 5.949810408391532, "se3": 1.420224304723228, "sim3": 0.5916890022251253}
EVO_RPE = {  # frames: (number of pairs, RMSE in metres, RMSE in degrees)
    1: (39, 0.7941393963949577, 6.703676132394326),
    5: (35, 1.1493544138411995, 6.279291202616183),
}


def evo_paths() -> tuple[np.ndarray, np.ndarray]:
    """Estimated and true poses (40, 4, 4): a random walk, and the same shrunk, moved and shaken."""
    rng = np.random.default_rng(7)
    true = np.cumsum(rng.normal(size=(40, 3)), axis=0)
    rng.normal(0, 0.2, (40, 3))  # drawn by the recipe and not used
    estimated = 0.8 * true + rng.normal(0, 0.3, (40, 3)) + np.array([1.0, -2.0, 3.0])
    turn, shake = rng.normal(0, 0.6, (40, 3)), rng.normal(0, 0.05, (40, 3))
    poses = np.tile(np.eye(4), (2, 40, 1, 1))
    for side, position, rotation in zip(poses, (estimated, true), (turn + shake, turn), strict=True):
        side[:, :3, :3], side[:, :3, 3] = Rotation.from_rotvec(rotation).as_matrix(), position
    return poses[0], poses[1]


@pytest.mark.parametrize("align", ["none", "se3", "sim3"])
def test_the_absolute_error_is_evos(align: trajectory.Alignment) -> None:
    estimated, true = evo_paths()
    assert trajectory.ate_rmse(estimated[:, :3, 3], true[:, :3, 3], align) == pytest.approx(EVO_ATE[align], rel=1e-9)


@pytest.mark.parametrize("delta", [1, 5])
def test_the_relative_errors_are_evos(delta: int) -> None:
    errors = trajectory.relative_errors(*evo_paths(), delta=delta)
    pairs, metres, degrees = EVO_RPE[delta]
    assert len(errors.translation) == len(errors.rotation) == pairs
    assert np.sqrt(np.square(errors.translation).mean()) == pytest.approx(metres, rel=1e-9)
    assert np.sqrt(np.square(errors.rotation).mean()) == pytest.approx(degrees, rel=1e-9)


def path(n: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth walk, and the same turned, shrunk, moved and shaken."""
    rng = np.random.default_rng(seed)
    true = np.cumsum(rng.normal(size=(n, 3)), axis=0)
    turn = Rotation.from_rotvec(rng.normal(size=3)).as_matrix()
    return (true @ turn.T) * 0.7 + rng.normal(size=3) + rng.normal(0, 0.1, (n, 3)), true


@pytest.mark.parametrize("seed", range(5))
def test_rigid_alignment_is_scipys(seed: int) -> None:
    source, target = path(seed=seed)
    x, y = source - source.mean(axis=0), target - target.mean(axis=0)
    rotation, distance = Rotation.align_vectors(y, x)  # its second value is the root of the summed squares
    ours = trajectory.umeyama(source, target)
    assert ours.rotation == pytest.approx(rotation.as_matrix(), abs=1e-9)
    assert trajectory.ate_rmse(source, target, "se3") == pytest.approx(distance / np.sqrt(len(x)), rel=1e-9)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # its new name is younger than the version we ask for
@pytest.mark.parametrize("seed", range(5))
def test_similarity_is_scikit_images(seed: int) -> None:
    source, target = path(seed=seed)
    theirs = SimilarityTransform(dimensionality=3)
    assert theirs.estimate(source, target)
    ours = trajectory.umeyama(source, target, with_scale=True)
    assert ours.scale == pytest.approx(theirs.scale, rel=1e-9)
    assert ours.rotation * ours.scale == pytest.approx(theirs.params[:3, :3], abs=1e-9)
    assert ours.translation == pytest.approx(theirs.translation, abs=1e-9)


def test_relative_rotations_are_scipys() -> None:
    rng = np.random.default_rng(1)
    poses = np.tile(np.eye(4), (2, 20, 1, 1))
    turns = [Rotation.from_rotvec(rng.normal(size=(20, 3))) for _ in range(2)]
    for side, turn in zip(poses, turns, strict=True):
        side[:, :3, :3], side[:, :3, 3] = turn.as_matrix(), rng.normal(size=(20, 3))
    errors = trajectory.relative_errors(poses[0], poses[1], delta=3)
    steps = [turn[:-3].inv() * turn[3:] for turn in turns]
    assert errors.rotation == pytest.approx(np.degrees((steps[1].inv() * steps[0]).magnitude()), abs=1e-9)
    moves = [turn[:-3].inv().apply(side[3:, :3, 3] - side[:-3, :3, 3]) for turn, side in zip(turns, poses, strict=True)]
    assert errors.translation == pytest.approx(np.linalg.norm(moves[0] - moves[1], axis=1), abs=1e-9)
