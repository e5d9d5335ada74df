"""Fixed scales of two suites, WorldScore and VBench: our skill with anchors that never move, clipped.

References: github.com/haoyi-duan/WorldScore (MIT), commit 344983c; github.com/Vchitect/VBench (Apache-2.0), commit
45e79ec. Recipe of data/worldscore.json: `get_cameras_accuracy` and `compare_rotations` of camera_error_metrics.py on
`evo_paths` of test_reference_trajectory.py (cvxpy 1.9.3), `normalize_score` of helpers/evaluator.py on four values of
each metric with the constants of utils/utils.py, which are recorded beside them. VBench: `cal_score` of
temporal_flickering.py on clips of test_reference_physics_iq.py with `get_frames` giving them unencoded; constants and
weights of scripts/constant.py; the published row is the leaderboard's VideoCrafter-2.0, totals 82.20, 73.42 and 80.44.

Tolerances: angles 1e-5 degrees (theirs takes an arc cosine); translation 1e-5 of its size (theirs is a solver's);
scales 1e-12; flicker 1e-6 (theirs is float32); published totals half of their last digit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from tests.reference.test_reference_physics_iq import clip
from tests.reference.test_reference_trajectory import evo_paths
from worldsim.metrics.functional import fidelity, trajectory

WORLDSCORE = json.loads((Path(__file__).parent / "data" / "worldscore.json").read_text())
METRICS: dict[str, Any] = {row["metric"]: row for row in WORLDSCORE["metrics"]}


def skill(value: float, floor: float, ceiling: float) -> float:
    """Ours, docs/metrics.md: 0 at the floor, 1 at the ceiling; not clipped."""
    return (value - floor) / (ceiling - floor)


def scaled(value: float, worst: float, best: float) -> float:
    return min(max(skill(value, worst, best), 0.0), 1.0)


def worldscore(value: Any, constants: dict[str, Any]) -> float:
    """A raw value on WorldScore's scale of 0..1."""
    if "avg" in constants:  # between two z-scores: 1/4 and 3/4
        mean, spread = constants["avg"], constants["std"]
        part = skill(value, mean + constants["z_min"] * spread, mean + constants["z_max"] * spread)
        return min(max(0.25 + 0.5 * part, 0.0), 1.0)
    ends = [constants[k] for k in ("empirical_min", "empirical_max", "higher_is_better")]
    if not isinstance(value, list):
        return scaled(value, *(ends[:2] if ends[2] else ends[1::-1]))
    parts = [scaled(v, *((low, high) if up else (high, low))) for v, low, high, up in zip(value, *ends, strict=True)]
    return float(np.mean(parts) if len(parts) == 3 else np.prod(parts) ** (1 / len(parts)))


def test_the_rotation_error_of_worldscore_is_our_angle() -> None:
    estimated, true = evo_paths()
    own = trajectory.rotation_angle(estimated[:, :3, :3] @ true[:, :3, :3].swapaxes(1, 2))
    np.testing.assert_allclose(own, WORLDSCORE["angles"], atol=1e-5)
    assert own.mean() == pytest.approx(WORLDSCORE["rotation"], abs=1e-5)


def test_the_translation_error_of_worldscore_is_ours_at_its_best_scale() -> None:
    estimated, true = (path[:, :3, 3] for path in evo_paths())
    best = minimize_scalar(lambda c: trajectory.position_errors(c * estimated, true).mean(), options={"xtol": 1e-10})
    assert best.fun == pytest.approx(WORLDSCORE["translation"], rel=1e-5)


@pytest.mark.parametrize("name", METRICS)
def test_the_scales_of_worldscore(name: str) -> None:
    row = METRICS[name]
    own = [worldscore(value, row["constants"]) for value in row["values"]]
    assert own == pytest.approx(row["normalised"], abs=1e-12)


def test_camera_control_of_worldscore_is_zero_when_either_half_is() -> None:
    """The path is 4.0 degrees and 4.2 m off: beyond 0.5 m nothing else counts, for its mean is geometric."""
    constants = METRICS["camera_error"]["constants"]
    assert (constants["empirical_max"], constants["empirical_min"]) == ([15, 0.5], [0, 0])
    own = worldscore([WORLDSCORE["rotation"], WORLDSCORE["translation"]], constants)
    assert own == WORLDSCORE["camera_normalised"] == 0.0
    assert worldscore([7.5, 0.125], constants) == pytest.approx((0.5 * 0.75) ** 0.5)


CLIPS = {
    "moving": (clip(0, 0, 3, 6, 1), 0.9810477481168859),
    "still": (np.repeat(clip(0, 0, 3, 6, 1)[:1], 20, axis=0), 1.0),
    "cuts": (np.concatenate([clip(s, v, 3, 6, 1)[:1] for s in (0, 1) for v in (0, 1, 2)]), 0.8414324592141544),
}


@pytest.mark.parametrize("name", CLIPS)
def test_the_flicker_of_vbench_is_one_less_our_l1(name: str) -> None:
    frames, theirs = CLIPS[name]
    assert 1 - fidelity.l1(frames[:-1], frames[1:]).mean() == pytest.approx(theirs, abs=1e-6)


QUALITY = {  # score of VideoCrafter-2.0 in per cent, worst and best anchor, weight
    "subject consistency": (96.85, 0.1462, 1.0, 1.0),
    "background consistency": (98.22, 0.2615, 1.0, 1.0),
    "temporal flickering": (98.41, 0.6293, 1.0, 1.0),
    "motion smoothness": (97.73, 0.706, 0.9975, 1.0),
    "aesthetic quality": (63.13, 0.0, 1.0, 1.0),
    "imaging quality": (67.22, 0.0, 1.0, 1.0),
    "dynamic degree": (42.50, 0.0, 1.0, 0.5),
}
SEMANTIC = {
    "object class": (92.55, 0.0, 1.0, 1.0),
    "multiple objects": (40.66, 0.0, 1.0, 1.0),
    "human action": (95.00, 0.0, 1.0, 1.0),
    "color": (92.92, 0.0, 1.0, 1.0),
    "spatial relationship": (35.86, 0.0, 1.0, 1.0),
    "scene": (55.29, 0.0, 0.8222, 1.0),
    "appearance style": (25.13, 0.0009, 0.2855, 1.0),
    "temporal style": (25.84, 0.0, 0.364, 1.0),
    "overall consistency": (28.23, 0.0, 0.364, 1.0),
}


def test_the_totals_of_vbench_follow_from_a_published_row() -> None:
    parts = []
    for table in (QUALITY, SEMANTIC):
        skills = [skill(value / 100, low, high) for value, low, high, _ in table.values()]
        parts.append(float(np.average(skills, weights=[row[3] for row in table.values()])))
    quality, semantic = parts
    assert 100 * quality == pytest.approx(82.20, abs=5e-3)
    assert 100 * semantic == pytest.approx(73.42, abs=5e-3)
    assert 100 * (4 * quality + semantic) / 5 == pytest.approx(80.44, abs=5e-3)
    # What `cal_final_score.py` gives for the row.
    assert parts == pytest.approx([0.8219714823488953, 0.7341816692584651], abs=1e-12)


def test_a_still_video_is_perfect_by_flicker() -> None:
    """A floor above every real clip, which is why no score of ours rewards what does not change."""
    assert CLIPS["still"][1] == 1.0 > CLIPS["moving"][1]
