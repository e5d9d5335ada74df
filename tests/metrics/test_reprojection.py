"""Reprojection: the warp against a homography, the windows against numpy, what moves the score and what does not."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from tests.metrics.solid import PATHS, flattened, place, sliding, walk
from worldsim.envs.blocks.camera import intrinsics
from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics.functional import epipolar, geometry, reprojection
from worldsim.truth import TruthState
from worldsim.types import Frames

Scene = tuple[Frames, list[TruthState]]
GAP = 6


@pytest.fixture(scope="module")
def strafe() -> Scene:
    return walk(3, PATHS["strafe"], GAP)


@pytest.fixture(scope="module")
def curve() -> Scene:
    return walk(0, PATHS["curve"], GAP)


def skill_of(scene: Scene, shown: Frames) -> float:
    frames, states = scene
    result = reprojection.reprojection(frames[[0, GAP]], shown[[0, GAP]], geometry.pair_view(states[0], states[GAP]))
    assert not isinstance(result, str), result
    return result.skill


def facing_plane(move: np.ndarray, distance: float = 4.0) -> tuple[TruthState, TruthState]:
    """Two views of a wall z = distance in the first camera's axes."""
    size = (48, 48)
    lens = intrinsics(size)
    to_first = np.linalg.inv(move)
    v, u = np.mgrid[0:48, 0:48] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(lens).T
    depth = (distance - to_first[2, 3]) / (rays @ to_first[:3, :3].T)[..., 2]
    common = {"time": 0.0, "intrinsics": lens, "segmentation": np.zeros(size, np.int32)}
    first = TruthState(world_from_camera=np.eye(4), depth=np.full(size, distance, np.float32), **common)
    return first, TruthState(world_from_camera=to_first, depth=depth.astype(np.float32), **common)


def test_the_warp_of_a_plane_is_the_textbooks_homography() -> None:
    move = np.linalg.inv(place(1.0, 0.4, 0.3, 5.0))
    first, second = facing_plane(move)
    view = geometry.pair_view(first, second)
    lens = first.intrinsics
    assert lens is not None
    # H = K (R + t n^T / d) K^-1 of the plane n^T X = d, here n = (0, 0, 1), d = 4 (Hartley and Zisserman, 13.1).
    plane = lens @ (move[:3, :3] + np.outer(move[:3, 3], [0, 0, 0.25])) @ np.linalg.inv(lens)
    v, u = np.mgrid[0:48, 0:48] + 0.5
    expected = cv2.perspectiveTransform(np.stack([u, v], -1), plane)
    np.testing.assert_allclose(view.maps[1.0, 1.0], expected, atol=1e-5)
    assert view.kept.sum() > 500, "all of the wall that both frames see, but the lattice's border"
    turn = cv2.perspectiveTransform(np.stack([u, v], -1), epipolar.infinite_homography(move, lens, lens))
    parallax = np.median(np.linalg.norm(expected - turn, axis=-1)[view.kept])
    assert view.parallax == pytest.approx(parallax, rel=1e-6)
    assert view.rotation == pytest.approx(5.0)


def test_planes_have_no_depth_edges_and_steps_do() -> None:
    _, second = facing_plane(np.linalg.inv(place(1.0, 0.0, 0.0, 40.0)))  # grazing
    depth = second.depth
    assert depth is not None and not geometry.depth_edges(depth).any()
    step = depth.copy()
    step[:, 20:] *= 1.2
    edges = geometry.depth_edges(step)
    assert edges[:, 18:22].all() and not edges[:, :16].any() and not edges[:, 24:].any()


def test_windows_agree_with_plain_numpy() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(0, 255, (20, 20)).astype(np.float32) for _ in range(2))
    kept = rng.uniform(size=(20, 20)) < 0.8
    own = reprojection.zncc_error(a, b, kept)
    for y, x in ((3, 3), (9, 12), (16, 5)):
        inside = np.s_[y - 3 : y + 4, x - 3 : x + 4]
        m = kept[inside]
        assert own[y, x] == pytest.approx((1 - np.corrcoef(a[inside][m], b[inside][m])[0, 1]) / 2, abs=1e-9)
        assert reprojection.local_std(a, kept)[y, x] == pytest.approx(a[inside][m].std() if m.sum() >= 25 else 0.0)
    np.testing.assert_allclose(reprojection.zncc_error(a, 0.3 * a + 40, kept)[3:-3, 3:-3], 0.0, atol=1e-6)
    np.testing.assert_array_equal(reprojection.zncc_error(a, np.full_like(a, 7), kept), 0.5)


def test_the_oracle_has_exactly_one_grey_zero_and_frozen_less(strafe: Scene, curve: Scene) -> None:
    for scene in (strafe, curve):
        frames = scene[0]
        assert skill_of(scene, frames) == 1.0
        assert skill_of(scene, np.repeat(frames[2:3], GAP + 1, 0)) < 0.0
        assert skill_of(scene, np.full_like(frames, 128)) == 0.0


def test_white_noise_is_no_better_than_frozen(strafe: Scene) -> None:
    values = [
        skill_of(strafe, np.random.default_rng(seed).integers(0, 256, strafe[0].shape, np.uint8)) for seed in range(6)
    ]
    assert max(values) < 0.0


def test_tint_brightness_and_mild_blur_change_nothing(strafe: Scene, curve: Scene) -> None:
    for scene in (strafe, curve):
        frames = scene[0]
        tinted = np.clip(frames * np.array([0.8, 1.0, 1.1]) + 10, 0, 255).astype(np.uint8)
        blurred = np.stack([cv2.GaussianBlur(f, (0, 0), 1.0) for f in frames])
        assert skill_of(scene, tinted) == pytest.approx(1.0, abs=0.03)
        assert skill_of(scene, blurred) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("fault", [flattened, sliding])
def test_the_more_parallax_is_wrong_the_lower_the_score(fault: object, strafe: Scene) -> None:
    assert callable(fault)
    shares = (0.0, 0.15, 0.3, 0.6, 1.0)
    worlds = [strafe, walk(1, PATHS["strafe"], GAP), walk(2, PATHS["strafe"], GAP)]
    values = [np.mean([skill_of(w, fault(*w, share)) for w in worlds]) for share in shares]
    assert values[0] == 1.0
    assert all(b < a for a, b in pairwise(values)), values
    assert values[0] - values[-1] > 0.3


def test_a_solid_world_that_moves_too_slowly_stays_solid(curve: Scene) -> None:
    """The control: wrong speed is an error of control. Jitter of the camera is not absorbed by the fit."""
    frames, states = curve
    slow = np.mean([skill_of(curve, walk(0, PATHS["curve"], GAP, speed=s)[0]) for s in (0.95, 0.85, 0.75)])
    assert slow > 0.85
    shaken = walk(0, PATHS["curve"], GAP, jitter=3.0)[0]
    pairs = [
        reprojection.reprojection(frames[[0, j]], shaken[[0, j]], geometry.pair_view(states[0], states[j]))
        for j in range(2, GAP + 1)
    ]
    assert np.mean([p.skill for p in pairs if not isinstance(p, str)]) < 0.6


def test_objects_are_masked(strafe: Scene) -> None:
    frames, states = strafe
    marked = []
    for state in states:
        ids = np.zeros_like(state.segmentation)
        ids[20:50, 20:50] = 1
        marked.append(replace(state, segmentation=ids))
    shown = np.array(frames)
    shown[:, 22:48, 22:48] = np.random.default_rng(0).integers(0, 256, shown[:, 22:48, 22:48].shape)
    shown[:, 22:48, 22:48] //= 4
    view = geometry.pair_view(marked[0], marked[GAP])
    assert not view.kept[20:50, 20:50].any()
    result = reprojection.reprojection(frames[[0, GAP]], shown[[0, GAP]], view)
    assert isinstance(result, str) or result.skill > 0.9


def test_matched_sharpness_finds_the_blur() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (64, 64)).astype(np.float32)
    for sigma in (0.0, 0.5, 1.0, 2.0):
        found = reprojection.matching_sigma((image,), (reprojection.blurred(image, sigma) * 0.7 + 20,))
        assert found == pytest.approx(sigma, abs=0.1)


def test_what_the_truth_cannot_decide_has_a_reason(strafe: Scene) -> None:
    frames, states = strafe
    same = geometry.pair_view(states[0], states[0])
    assert "px of parallax" in str(reprojection.undecidable(frames[[0, 0]], same))
    assert "bland" in str(reprojection.undecidable(frames[[0, 0]], geometry.pair_view(states[0], states[GAP])))
    grey = np.full_like(frames[[0, GAP]], 90)
    view = geometry.pair_view(states[0], states[GAP])
    assert "textured" in str(reprojection.reprojection(grey, frames[[0, GAP]], view))
    away, there = walk(0, (0.0, 0.0, 60.0), 1)
    assert "45 degrees" in str(reprojection.reprojection(away, away, geometry.pair_view(*there)))
    with pytest.raises(ShapeError, match="shown must be"):
        reprojection.reprojection(frames[[0, GAP]], frames[[0]], view)
    for missing in ("depth", "segmentation", "world_from_camera", "intrinsics"):
        with pytest.raises(UnsupportedError, match="no "):
            geometry.pair_view(replace(states[0], **{missing: None}), states[GAP])


def test_slower_motion_is_a_share_of_way_and_angle() -> None:
    move = np.linalg.inv(place(1.0, 0.4, 0.2, 12.0))
    np.testing.assert_allclose(geometry.scaled_motion(move, 1.0, 1.0), move, atol=1e-12)
    half = geometry.scaled_motion(move, 0.5, 0.5)
    assert geometry.rotation_angle(half[:3, :3]) == pytest.approx(6.0)
    np.testing.assert_allclose(np.linalg.inv(half)[:3, 3], 0.5 * np.linalg.inv(move)[:3, 3], atol=1e-12)


def test_the_bland_world_is_a_turn_over_level_ground(curve: Scene) -> None:
    """On true ground its map is the true one; elsewhere that of an infinitely distant wall."""
    first, second = curve[1][0], curve[1][GAP]
    view = geometry.pair_view(first, second)
    ground = geometry.level_ground(first, second)
    pose, lens = first.world_from_camera, first.intrinsics
    assert ground is not None and pose is not None and lens is not None and first.depth is not None
    points = geometry.back_project(first.depth, lens)
    height = points @ pose[1, :3] + pose[1, 3]
    v, u = np.mgrid[0:64, 0:64] + 0.5
    moved = np.linalg.norm(view.bland[1.0, 1.0] - np.stack([u, v], -1), axis=-1)
    on_ground = view.kept & (np.abs(height - ground) < 0.01)
    wall = view.kept & (np.abs(height - ground) > 1.0)
    assert on_ground.sum() > 100 and np.nanmax(moved[on_ground]) < 1e-3
    assert wall.sum() > 50 and np.nanmedian(moved[wall]) > 1.0


def test_matched_grain_finds_the_noise(strafe: Scene) -> None:
    rng = np.random.default_rng(0)
    image = strafe[0][0].mean(axis=-1).astype(np.float32)
    for sd in (0.0, 2.0, 8.0):
        noisy = (0.8 * image + rng.normal(0, sd, image.shape)).astype(np.float32)
        assert reprojection.matching_grain((image,), (noisy,)) == pytest.approx(sd, rel=0.15, abs=0.3)
    wild = (image + rng.normal(0, 99, image.shape)).astype(np.float32)
    assert reprojection.matching_grain((image,), (wild,)) == reprojection.MAX_GRAIN
    assert skill_of(strafe, np.clip(strafe[0] + rng.normal(0, 8, strafe[0].shape), 0, 255).astype(np.uint8)) > 0.9
