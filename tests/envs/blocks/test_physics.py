from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.envs.blocks.helpers import FLOOR, flat, play, random_actions
from worldsim.envs.blocks import dynamics, interact
from worldsim.envs.blocks.kinds import SOLID, cell_id
from worldsim.envs.blocks.layout import ObjectSpec
from worldsim.envs.blocks.physics import GROUND, HALF_WIDTH, HEIGHT, SAND, STOPPED
from worldsim.envs.blocks.presets import PRESETS, generate
from worldsim.envs.blocks.start import start
from worldsim.envs.blocks.state import World


def test_walk_goes_where_the_eye_looks_at_the_known_speed() -> None:
    for yaw, (dx, dz) in {0.0: (0, 1), 90.0: (-1, 0), 180.0: (0, -1), -90.0: (1, 0)}.items():
        world = flat()
        world.body[6] = yaw
        before = world.body[:3].copy()
        play(world, 10, forward=1)
        np.testing.assert_allclose(world.body[:3] - before, [dx * 2.1585, 0, dz * 2.1585], atol=1e-9)  # 4.317 m/s


@pytest.mark.parametrize(("keys", "metres"), [({"sneak": 1}, 0.6475), ({"sprint": 1}, 2.806), ({"right": 1}, 2.1585)])
def test_speeds(keys: dict[str, int], metres: float) -> None:
    world = flat()
    start_at = world.body[:3].copy()
    play(world, 10, forward=1, **keys)
    assert math.dist(world.body[:3], start_at) == pytest.approx(metres, abs=1e-9)


def test_the_body_stops_at_once() -> None:
    world = flat()
    play(world, 3, forward=1)
    at = world.body[:3].copy()
    play(world, 3)
    np.testing.assert_array_equal(world.body[:3], at)


def test_a_jump_is_as_high_as_minecrafts_and_lands_where_it_began() -> None:
    world = flat()
    heights = []
    for _ in range(14):
        play(world, 1, jump=1 if not heights else 0)
        heights.append(world.body[1] - FLOOR)
    assert max(heights) == pytest.approx(1.2522, abs=1e-3)  # Minecraft wiki: 1.2522 blocks
    assert heights[-1] == 0.0 and world.flags[GROUND] == 1


def test_a_wall_stops_the_body_at_its_face_and_a_jump_climbs_one_block() -> None:
    world = flat()
    x, z = 8, 11
    world.set(x, FLOOR, z, cell_id("stone"))
    play(world, 40, forward=1)
    assert world.body[2] == pytest.approx(z - HALF_WIDTH, abs=1e-9)
    play(world, 12, forward=1, jump=1)
    assert world.body[1] >= FLOOR + 1 - 1e-9


def test_a_sneaking_body_does_not_fall_off_an_edge_but_a_walking_one_does() -> None:
    for sneak, height in ((1, FLOOR), (0, FLOOR - 1)):
        world = flat()
        world.cells[:, 10:, FLOOR - 1] = 0
        play(world, 120, forward=1, sneak=sneak)
        assert world.body[1] == pytest.approx(height, abs=1e-9)


def test_water_carries_a_swimmer_up_and_lets_others_sink() -> None:
    world = flat()
    world.cells[5:12, 5:12, FLOOR:9] = cell_id("water")
    play(world, 60, jump=1)
    assert world.body[1] > 8.0
    play(world, 200)
    assert world.body[1] == FLOOR


def test_things_block_the_body_and_come_down_when_they_hang() -> None:
    world = flat(ObjectSpec(kind="chest", colour="red", position=(8.5, 6.0, 11.5)))
    play(world, 40)
    np.testing.assert_allclose(world.place[0], [8.5, FLOOR, 11.5], atol=1e-9)
    play(world, 40, forward=1)
    assert world.body[2] == pytest.approx(11.5 - 0.44 - HALF_WIDTH, abs=1e-9)


def test_the_ray_meets_the_nearer_of_cell_and_object() -> None:
    world = flat(ObjectSpec(kind="chest", colour="red", position=(8.5, float(FLOOR), 11.5)))
    world.body[7] = 20.0  # down, at the chest 3 m away
    assert interact.aim(world)[0] == 2
    world.set(8, FLOOR, 10, cell_id("stone"))
    found, (*cell, nx, ny, nz, _) = interact.aim(world)
    assert (found, cell, (nx, ny, nz)) == (1, [8, FLOOR, 10], (0, 1, 0))
    world.body[7] = -60.0
    assert interact.aim(world)[0] == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), yaw=st.floats(-180, 180), pitch=st.floats(-89, 89))
def test_the_ray_agrees_with_small_steps_along_it(seed: int, yaw: float, pitch: float) -> None:
    rng = np.random.default_rng(seed)
    world = flat()
    block = rng.random((16, 16, 12)) < 0.08
    block[7:10, 7:10] = False
    world.cells[block] = cell_id("stone")
    world.body[6:] = yaw, pitch
    found, (x, y, z, *_) = interact.aim(world)
    eye, way = np.array(interact.eye(world)), interact.look(world)
    for t in np.arange(0, 5, 0.002):
        i, j, k = np.floor(eye + way * t).astype(int)
        if not world.inside(i, j, k):
            break
        if world.cells[i, k, j]:
            # A sample may miss a corner that the ray cuts by less than 2 mm, never the other way round.
            assert found == 1 and np.linalg.norm(np.array([x, y, z]) + 0.5 - eye) <= t + 1.0
            return
    assert found == 0 or np.abs(np.array([x, y, z]) + 0.5 - eye).max() < 6


def _inside_something(world: World) -> bool:
    x, y, z = world.body[:3]
    e = 1e-6
    columns = world.cells[
        math.floor(x - HALF_WIDTH + e) : math.floor(x + HALF_WIDTH - e) + 1,
        math.floor(z - HALF_WIDTH + e) : math.floor(z + HALF_WIDTH - e) + 1,
        max(math.floor(y + e), 0) : math.floor(y + HEIGHT - e) + 1,
    ]
    return bool(SOLID[columns].any())


@pytest.mark.parametrize("preset", sorted(PRESETS))
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), sprint=st.booleans())
def test_nobody_leaves_the_world_or_enters_a_wall(preset: str, seed: int, sprint: bool) -> None:
    world = start(generate(preset, seed % 5), seed)
    world.flags[STOPPED] = SAND  # sand may come down on the body; it then stands in it until it walks out
    keys = dynamics.read_keys(random_actions(seed, 150))
    keys.move[:, 0] = np.where(np.arange(150) % 50 < 40, 1, keys.move[:, 0])  # goes somewhere
    keys.move[:, 4] = sprint
    nx, nz, _ = world.cells.shape
    for i in range(150):
        dynamics.step(world, keys, i)
        x, y, z = world.body[:3]
        assert HALF_WIDTH - 1e-6 <= x <= nx - HALF_WIDTH + 1e-6 and HALF_WIDTH - 1e-6 <= z <= nz - HALF_WIDTH + 1e-6
        assert y >= 1.0 - 1e-9  # bedrock cannot be broken
        assert not _inside_something(world)
    assert np.isfinite(world.body).all() and np.isfinite(world.place).all()
    assert (world.place[:, 1] >= 0.99).all()


def test_a_fast_fall_does_not_pass_through_a_floor_of_one_cell() -> None:
    world = flat()
    world.cells[:, :, 1 : FLOOR - 1] = 0
    world.body[1], world.body[4] = 11.0, -50.0
    play(world, 2)
    assert world.body[1] == FLOOR
