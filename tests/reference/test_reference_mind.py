"""Sim(3) alignment and relative pose errors against the helpers of MIND.

Reference: github.com/CSU-JPG/MIND (MIT), commit 8f9c59c. Recipe of data/mind_rpe.json: `evo_paths` of
test_reference_trajectory.py; `umeyama_sim3` of src/utils/vipe_utils.py on the positions, `apply_sim3_to_poses` on the
estimated poses, `compute_rpe` at delta 1. (evo's own numbers for the unaligned paths are in that file.)

Tolerances: scale 1e-9 of its size (theirs adds 1e-12 to a variance), all else 1e-8 m and 1e-5 degrees (theirs takes an
arc cosine, which is inexact near 0).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.reference.test_reference_trajectory import evo_paths
from worldsim.metrics.functional import trajectory

RECORDED = json.loads((Path(__file__).parent / "data" / "mind_rpe.json").read_text())


def test_the_similarity_is_theirs() -> None:
    estimated, true = evo_paths()
    own = trajectory.umeyama(estimated[:, :3, 3], true[:, :3, 3], with_scale=True)
    assert own.scale == pytest.approx(RECORDED["scale"], rel=1e-9)
    np.testing.assert_allclose(own.rotation, RECORDED["rotation"], atol=1e-9)
    np.testing.assert_allclose(own.translation, RECORDED["translation"], atol=1e-8)


def test_the_relative_errors_after_alignment_are_theirs() -> None:
    estimated, true = evo_paths()
    fit = trajectory.umeyama(estimated[:, :3, 3], true[:, :3, 3], with_scale=True)
    aligned = estimated.copy()
    aligned[:, :3, :3] = fit.rotation @ estimated[:, :3, :3]
    aligned[:, :3, 3] = fit(estimated[:, :3, 3])
    errors = trajectory.relative_errors(aligned, true)
    np.testing.assert_allclose(errors.translation, RECORDED["translation_errors"], atol=1e-8)
    np.testing.assert_allclose(errors.rotation, RECORDED["rotation_errors"], atol=1e-5)


def test_their_alignment_hides_a_wrong_speed() -> None:
    """Why no score of ours aligns with a scale: at half the speed nothing is wrong after their fit."""
    _, true = evo_paths()
    slow = true.copy()
    slow[:, :3, 3] *= 0.5
    assert trajectory.ate_rmse(slow[:, :3, 3], true[:, :3, 3], "sim3") == pytest.approx(0.0, abs=1e-9)
    assert trajectory.relative_errors(slow, true).translation.mean() > 0.5
