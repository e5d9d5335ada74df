"""Regions of a true frame: a plane seen by a moving camera has a known border between old and new."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.worlds import toy_episode
from worldsim.errors import ShapeError, UnsupportedError
from worldsim.metrics import masks as episode_masks
from worldsim.metrics.functional import masks
from worldsim.truth import TruthState

H, W, F = 20, 32, 16.0  # at 4 m a pixel is 0.25 m wide
K = np.array([[F, 0, W / 2], [0, F, H / 2], [0, 0, 1]])


def wall(*, x: float = 0.0, yaw: float = 0.0, z: float = 4.0, sky_above: int = 0) -> TruthState:
    """A camera at (x, 0, 0) turned by `yaw` degrees before a wall at z = 4 m (exact depth of every pixel)."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    pose = np.eye(4)
    pose[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    pose[0, 3] = x
    v, u = np.mgrid[0:H, 0:W] + 0.5
    rays = np.stack([(u - W / 2) / F, (v - H / 2) / F, np.ones_like(u)], -1)
    depth = (z / (rays @ pose[:3, :3].T)[..., 2]).astype(np.float32)
    depth[:sky_above] = np.inf
    return TruthState(
        time=0.0,
        world_from_camera=pose,
        intrinsics=K,
        depth=depth,
        segmentation=np.zeros((H, W), np.int32),
    )


def test_a_step_aside_reveals_exactly_the_columns_that_came_in() -> None:
    seen = masks.seen_before(wall(x=1.0), [wall()])  # 1 m = 4 px to the right
    assert seen[:, : W - 4].all() and not seen[:, W - 4 :].any()


def test_any_context_frame_is_enough() -> None:
    seen = masks.seen_before(wall(x=1.0), [wall(), wall(x=2.0)])
    assert seen.all()
    assert not masks.seen_before(wall(x=1.0), []).any()


def test_turning_on_the_spot_sees_a_slanted_wall_again() -> None:
    """Depth changes by more than the tolerance from pixel to pixel here: the inverse depth still matches."""
    seen = masks.seen_before(wall(yaw=20.0), [wall(yaw=10.0)])
    angle = np.degrees(np.arctan((np.arange(W) + 0.5 - W / 2) / F))
    inside = np.abs(angle + 10.0) < np.degrees(np.arctan((W / 2 - 0.5) / F))
    middle = slice(H // 2 - 3, H // 2 + 3)  # rows that stay in the picture at both angles
    assert seen[middle][:, inside].all() and not seen[middle][:, angle > 36].any()


def test_what_an_object_hid_is_new_when_it_has_gone() -> None:
    hidden = wall()
    depth = hidden.depth.copy() if hidden.depth is not None else np.empty(0)
    depth[5:10, 8:12] = 2.0
    ids = np.zeros((H, W), np.int32)
    ids[5:10, 8:12] = 7
    before = replace(hidden, depth=depth, segmentation=ids)
    new = ~masks.seen_before(wall(), [before])
    assert new[5:10, 8:12].all() and new.sum() == 20
    assert masks.object_mask(before).sum() == 20


def test_sky_is_seen_by_direction() -> None:
    assert masks.seen_before(wall(x=50.0, sky_above=6), [wall(sky_above=6)])[:6].all()  # far away, same sky
    assert not masks.seen_before(wall(yaw=120.0, sky_above=6), [wall(sky_above=6)])[:6].any()
    assert not masks.seen_before(wall(sky_above=6), [wall()])[:6].any()  # a wall stood there


def test_regions_cover_the_picture_once() -> None:
    episode = toy_episode(3, horizon=16)
    assert episode.truth.states is not None
    states = episode.truth.states
    for frame in (4, 8, 19):
        parts = masks.regions(states[frame], states[:4])
        assert (sum(part.astype(int) for part in parts.values()) == 1).all()
        for name, part in parts.items():
            assert np.array_equal(episode_masks.region(episode, name, frame), part)
    assert not masks.regions(states[2], states[:4])["revealed"].any()  # a context frame reveals nothing


def test_missing_truth_is_named() -> None:
    bare = replace(wall(), depth=None)
    with pytest.raises(UnsupportedError, match="no depth"):
        masks.seen_before(bare, [wall()])
    with pytest.raises(UnsupportedError, match="no camera pose"):
        masks.seen_before(wall(), [replace(wall(), intrinsics=None)])
    with pytest.raises(UnsupportedError, match="no segmentation"):
        masks.object_mask(replace(wall(), segmentation=None))
    with pytest.raises(ShapeError, match="context depth"):
        masks.seen_before(wall(), [replace(wall(), depth=np.ones((4, 4), np.float32))])
