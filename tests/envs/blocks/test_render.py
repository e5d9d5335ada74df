"""The renderer against geometry that can be worked out by hand."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.envs.blocks.camera import EYE_HEIGHT, camera_pose, focal_length, intrinsics
from worldsim.envs.blocks.kinds import cell_id, column_tops, kind_id
from worldsim.envs.blocks.presets import generate
from worldsim.envs.blocks.render import NO_BOXES, render_view
from worldsim.envs.blocks.shapes import layout_boxes

FLOOR = 4


def plain(size=32, height=16):
    cells = np.zeros((size, size, height), np.uint8)
    cells[:, :, :FLOOR] = cell_id("stone")
    return cells


def draw(cells, pose, *, boxes=NO_BOXES, size=(64, 64), hour=12.0, **rest):
    return render_view(cells, column_tops(cells), boxes, pose, hour, size, **rest)


def ground_depth(pose, size, height):
    """Depth along camera z of the plane y = height, worked out with the intrinsics; inf where the ray goes up."""
    v, u = np.mgrid[: size[0], : size[1]] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(intrinsics(size)).T
    down = rays @ pose[1, :3]
    return np.where(down < 0, (height - pose[1, 3]) / np.where(down < 0, down, 1), np.inf)


@settings(max_examples=25, deadline=None)
@given(
    yaw=st.floats(-180, 180),
    pitch=st.floats(-10, 89),
    x=st.floats(10, 22),
    y=st.floats(FLOOR + 0.5, 11),
    puddle=st.booleans(),
)
def test_depth_is_that_of_the_plane(yaw, pitch, x, y, puddle):
    cells = plain()
    if puddle:  # a row with water in it must not disturb the rows below
        cells[3:29:5, 3:29:5, FLOOR - 1] = cell_id("water")
    pose = camera_pose((x, y, 15.7), yaw, pitch)
    view = draw(cells, pose, size=(48, 40), view_distance=30.0)
    expected = ground_depth(pose, (48, 40), FLOOR)
    stone = (view.kind == cell_id("stone")) & (expected < 30)
    right = abs(view.depth[stone] - expected[stone]) <= 1e-6 * expected[stone]
    assert right.mean() >= (0.6 if puddle else 1.0)  # the sides of puddles lie deeper
    assert np.isinf(view.depth[view.kind == 0]).all()


def test_depth_of_water_is_that_of_its_surface():
    cells = plain()
    cells[:, :, FLOOR - 1] = cell_id("water")
    pose = camera_pose((16.2, 7.0, 8.3), 20, 40)
    view = draw(cells, pose, view_distance=12.0)
    expected = ground_depth(pose, (64, 64), FLOOR - 0.125)
    near = expected < 12
    assert near.sum() > 1000
    np.testing.assert_allclose(view.depth[near], expected[near], rtol=1e-6)


def test_box_projects_to_known_pixels():
    """A box 1 m wide whose face is 5 m ahead, seen by an eye on its axis: f / 5 pixels wide and high."""
    eye = (16.5, 8.5, 5.0)
    box = np.array([[16.0, 8.0, 10.0, 17.0, 9.0, 11.0, kind_id("red_crate"), 7, 1]])
    view = draw(plain(), camera_pose(eye, 0, 0), boxes=box, size=(100, 120))
    side = focal_length(100) / 5
    seen = view.instance == 7
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    for lines, middle in ((rows, 50), (columns, 60)):
        assert lines[0] == math.ceil(middle - side / 2 - 0.5)
        assert lines[-1] == math.floor(middle + side / 2 - 0.5)
    np.testing.assert_allclose(view.depth[seen], 5.0, rtol=1e-6)
    assert seen.sum() == len(rows) * len(columns)
    assert (view.kind[seen] == kind_id("red_crate")).all()


def test_box_that_does_not_exist_is_not_drawn():
    box = np.array([[16.0, 8.0, 10.0, 17.0, 9.0, 11.0, kind_id("red_crate"), 7, 0]])
    pose = camera_pose((16.5, 8.5, 5.0), 0, 0)
    assert np.array_equal(draw(plain(), pose, boxes=box).rgb, draw(plain(), pose).rgb)


@settings(max_examples=20, deadline=None)
@given(yaw=st.floats(-180, 180), pitch=st.floats(-60, 60), shift=st.floats(-3, 3))
def test_rectangles_lose_no_pixel_of_a_box(yaw, pitch, shift):
    """A box drawn as a box and as the same cell cover the same pixels, wherever the eye is."""
    cells = np.zeros((32, 32, 16), np.uint8)
    pose = camera_pose((16.3 + shift, 8.4, 13.1 + shift / 3), yaw, pitch)
    box = np.array([[16.0, 8.0, 16.0, 17.0, 9.0, 17.0, cell_id("bricks"), 3, 1]])
    as_box = draw(cells, pose, boxes=box)
    cells[16, 16, 8] = cell_id("bricks")
    as_cell = draw(cells, pose)
    assert ((as_box.instance == 3) == (as_cell.kind == cell_id("bricks"))).mean() > 0.9995


def test_yaw_turns_right_and_pitch_looks_down():
    cells = plain()
    cells[12, 20, FLOOR:8] = cell_id("red_wool")  # ahead at -x: to the right of an eye that looks along +z
    right = draw(cells, camera_pose((16.5, 5.6, 14.5), 0, 0)).kind == cell_id("red_wool")
    assert np.flatnonzero(right.any(0)).min() > 32
    turned = draw(cells, camera_pose((16.5, 5.6, 14.5), 34, 0)).kind == cell_id("red_wool")
    assert abs(np.flatnonzero(turned.any(0)).mean() - 31.5) < 3
    down = draw(cells, camera_pose((16.5, 5.6, 14.5), 0, 30)).kind
    assert (down[32:] == cell_id("stone")).all()


def test_front_is_drawn_on_the_side_it_faces():
    for facing, (dx, dz) in enumerate(((0, 1), (-1, 0), (0, -1), (1, 0))):
        code = kind_id("red_chest") + 128 * facing
        box = np.array([[16.0, 8.0, 16.0, 17.0, 9.0, 17.0, code, 1, 1]])
        seen = {}
        for side, (ex, ez) in enumerate(((0, 1), (-1, 0), (0, -1), (1, 0))):
            yaw = math.degrees(math.atan2(ex, -ez))
            pose = camera_pose((16.5 + 2 * ex, 8.5, 16.5 + 2 * ez), yaw, 0)
            rgb = draw(plain(), pose, boxes=box).rgb.astype(int)
            seen[side] = rgb[24:40, 24:40, 1].max()  # the bright latch
        assert max(seen, key=lambda side: seen[side]) == facing, (facing, (dx, dz), seen)


def test_supersampling_averages_colours_and_leaves_the_rest():
    layout = generate("arena", 5)
    pose = camera_pose(np.add(layout.spawn, (0, EYE_HEIGHT, 0)), layout.yaw, 0)
    boxes = layout_boxes(layout)
    one = draw(layout.cells, pose, boxes=boxes)
    two = draw(layout.cells, pose, boxes=boxes, supersample=2)
    fine = draw(layout.cells, pose, boxes=boxes, size=(128, 128))
    for name in ("depth", "kind", "instance"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    mean = fine.rgb.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert abs(two.rgb - mean).max() <= 0.51


@pytest.mark.parametrize("preset", ["arena", "village", "open"])
def test_night_is_dim_and_readable(preset):
    layout = generate(preset, 2)
    pose = camera_pose(np.add(layout.spawn, (0, EYE_HEIGHT, 0)), layout.yaw, 10)
    noon = draw(layout.cells, pose, hour=12.0, horizon=layout.horizon).rgb.mean()
    night = draw(layout.cells, pose, hour=0.0, horizon=layout.horizon).rgb
    assert 25 < night.mean() < 0.75 * noon
    assert night.std() > 8


def test_lamp_lights_its_room_and_not_behind_the_wall():
    cells = plain()
    cells[8:24, 16, FLOOR:9] = cell_id("stone")  # a wall across z = 16
    lamp = np.array([[15.8, 6.0, 13.0, 16.4, 6.6, 13.6, kind_id("lamp_on"), 1, 1]])
    before = camera_pose((16.5, 6.5, 11.0), 0, 35)
    behind = camera_pose((16.5, 6.5, 21.0), 180, 35)
    gain = [
        draw(cells, pose, boxes=lamp, hour=0.0).rgb.mean() - draw(cells, pose, hour=0.0).rgb.mean()
        for pose in (before, behind)
    ]
    assert gain[0] > 10
    assert abs(gain[1]) < 0.5


def test_glass_and_plants_have_holes():
    cells = plain()
    cells[16, 12, FLOOR : FLOOR + 3] = cell_id("glass")
    cells[16, 20, FLOOR : FLOOR + 3] = cell_id("red_wool")
    view = draw(cells, camera_pose((16.5, 5.6, 9.0), 0, 0), size=(128, 128))
    assert (view.kind == cell_id("red_wool")).sum() > 50
    assert (view.kind == cell_id("glass")).sum() > 50


SCRIPT = """
from tests.envs.blocks.test_render import frames_hash
print(frames_hash())
"""


def frames_hash() -> str:
    digest = hashlib.sha256()
    for preset in ("arena", "village", "open"):
        layout = generate(preset, 11)
        boxes = layout_boxes(layout)
        for turn in range(4):
            pose = camera_pose(np.add(layout.spawn, (0, EYE_HEIGHT, 0)), layout.yaw + 90 * turn, 5)
            view = draw(layout.cells, pose, boxes=boxes, hour=layout.hour, horizon=layout.horizon, supersample=2)
            for array in (view.rgb, view.depth, view.kind, view.instance):
                digest.update(array.tobytes())
    return digest.hexdigest()


def test_equal_bytes_in_another_process(pytestconfig):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=pytestconfig.rootpath, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == frames_hash() == frames_hash()
