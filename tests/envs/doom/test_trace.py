"""Exact depth: against a known room, and against small steps along each ray."""

import numpy as np
import pytest
from numpy.typing import NDArray

from worldsim.envs.blocks.camera import camera_pose
from worldsim.envs.doom.layout import HEIGHT, Layout, generate
from worldsim.envs.doom.trace import trace
from worldsim.envs.doom.units import EYE

Float = NDArray[np.float64]


def _cast(layout: Layout, ceilings: Float, pose: Float, focal: float, size: tuple[int, int]) -> tuple[Float, Float]:
    owners = np.zeros(len(layout.sectors), np.int32)
    for door in layout.doors:
        owners[door.sector] = door.id
    switches = np.array([[*s.cell, *s.front, s.id] for s in layout.switches], np.int64)
    depth, ids = trace(layout.cells, ceilings, owners, switches, pose, focal, HEIGHT - 1e-6, *size)
    return depth.astype(np.float64), ids.astype(np.float64)


def test_a_room_of_known_size() -> None:
    cells = np.full((7, 9), -1, np.int32)
    cells[1:6, 1:8] = 0
    owners, none = np.zeros(1, np.int32), np.zeros((0, 5), np.int64)
    pose = camera_pose((3.5, EYE, 2.0), 0.0, 0.0)  # looks along +z at the wall at z = 8
    depth, ids = trace(cells, np.array([3.0]), owners, none, pose, 100.0, 2.999, 9, 9)
    assert depth[4, 4] == pytest.approx(6.0)
    assert depth[:, 0] == pytest.approx(6.0)  # planar: the same along the wall
    steep = trace(cells, np.array([3.0]), owners, none, pose, 4.0, 2.999, 9, 9)[0]
    assert steep[8, 4] == pytest.approx(EYE)  # 45 degrees down: the floor is as far as the eye is high
    assert steep[0, 4] == pytest.approx(3.0 - EYE)
    assert not ids.any()


@pytest.mark.parametrize("seed", range(4))
def test_small_steps_along_each_ray_meet_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layout = generate("rooms", seed)
    ceilings = np.full(len(layout.sectors), HEIGHT)
    for door, height in zip(layout.doors, rng.permutation([0.0, 1.3, HEIGHT]), strict=True):
        ceilings[door.sector] = height
    x, z = layout.start
    size, focal, step = (11, 13), 7.0, 0.004
    pose = camera_pose((x, EYE, z), float(rng.uniform(-180, 180)), float(rng.uniform(-20, 20)))
    depth, ids = _cast(layout, ceilings, pose, focal, size)
    v, u = np.mgrid[: size[0], : size[1]] + 0.5
    rays = np.stack([(u - size[1] / 2) / focal, (v - size[0] / 2) / focal, np.ones_like(u)], -1) @ pose[:3, :3].T
    along = np.arange(step, 32.0, step)
    points = pose[:3, 3] + along[:, None, None, None] * rays
    cell = np.clip(np.floor(points[..., [0, 2]]).astype(int), 0, layout.cells.shape[0] - 1)
    sector = layout.cells[cell[..., 0], cell[..., 1]]
    height = points[..., 1]
    hit = (sector < 0) | (height < 0) | (height > np.where(sector < 0, 0.0, ceilings[sector]))
    expected = along[hit.argmax(0)]
    near = np.abs(depth - expected) < 2 * step
    assert near.mean() > 0.98  # a step may jump over the corner of a wall
    shut = {door.id for door in layout.doors if ceilings[door.sector] < HEIGHT}
    assert set(np.unique(ids).astype(int)) <= {0, *shut, *(s.id for s in layout.switches)}
