from __future__ import annotations

import numpy as np
import pytest

from tests.envs.blocks.helpers import FLOOR, action, env_of, flat, play
from worldsim.envs.blocks import edits
from worldsim.envs.blocks.kinds import CROPS, NAMES, cell_id, column_tops
from worldsim.envs.blocks.layout import ObjectSpec
from worldsim.envs.blocks.physics import SEED
from worldsim.envs.blocks.presets import generate
from worldsim.envs.blocks.start import start
from worldsim.truth import StopProcess

SAND, WATER = cell_id("sand"), cell_id("water")


def crop_field(preset: str = "village"):  # type: ignore[no-untyped-def]
    world = flat(preset=preset)
    world.cells[2:6, 2:12, FLOOR - 1] = cell_id("farmland")
    for x in range(2, 6):
        for z in range(2, 12):
            world.set(x, FLOOR, z, CROPS[0])
    return world


def test_sand_falls_a_cell_every_two_steps_and_then_lies() -> None:
    world = flat()
    world.set(4, 9, 4, SAND)
    heights = []
    for _ in range(20):
        play(world, 1)
        heights.append(int(np.flatnonzero(world.cells[4, 4] == SAND)[0]))
    assert heights == [max(9 - (t // 2), FLOOR) for t in range(1, 21)]
    assert not world.counts[0], "what lies costs nothing"


def test_a_column_of_sand_comes_down_when_its_support_goes() -> None:
    world = flat()
    world.set(4, 6, 4, cell_id("stone"))
    for y in (7, 8, 9):
        world.set(4, y, 4, SAND)
    play(world, 20)
    assert (world.cells[4, 4, 7:10] == SAND).all()
    world.set(4, 6, 4, 0)
    play(world, 30)
    assert (world.cells[4, 4, FLOOR : FLOOR + 3] == SAND).all() and (world.cells == SAND).sum() == 3


def test_hanging_sand_waits_for_its_moment() -> None:
    cells = flat().cells
    world = flat(sand=((4, 9, 4, 10),))
    world.cells[4, 4, 9] = SAND
    play(world, 8)  # flat() has played one
    assert world.cells[4, 4, 9] == SAND
    play(world, 1)
    assert world.cells[4, 4, 8] == SAND
    assert (cells == SAND).sum() == 0


def test_water_spreads_over_the_floor_and_no_farther_than_it_may() -> None:
    world = flat(springs=((5, FLOOR, 5, 3),))
    play(world, 1)
    assert (world.cells == WATER).sum() == 0
    play(world, 60)
    wet = np.argwhere(world.cells[:, :, FLOOR] == WATER)
    distance = np.abs(wet - 5).sum(1)
    assert len(wet) == 41 and distance.max() == 4  # the diamond of radius 4: 2 * 4 * 5 + 1 cells
    np.testing.assert_array_equal(world.tops, column_tops(world.cells))


def test_water_falls_before_it_spreads_and_walls_hold_it() -> None:
    world = flat(springs=((5, FLOOR, 5, 1),))
    for x, z in ((4, 5), (6, 5), (5, 4), (5, 6)):
        world.set(x, FLOOR, z, cell_id("stone"))
    play(world, 40)
    assert (world.cells == WATER).sum() == 1
    world.set(5, FLOOR - 1, 5, 0)
    play(world, 40)
    assert world.cells[5, 5, FLOOR - 1] == WATER and (world.cells == WATER).sum() == 2
    world.set(4, FLOOR, 5, 0)
    play(world, 40)
    assert (world.cells == WATER).sum() == 2, "over water it does not run to the side"


def test_crops_grow_at_the_stated_pace_out_of_sight_too() -> None:
    world = crop_field()
    play(world, 120)
    stages = world.cells[2:6, 2:12, FLOOR].astype(int) - CROPS[0]
    # 40 crops, mean 1 stage in 120 steps (at most 3): the mean of 40 lies in 0.5..1.5 but for 1 in 100 seeds.
    assert 0.5 < stages.mean() < 1.5 and len(np.unique(stages)) > 1
    play(world, 3000)
    assert (world.cells[2:6, 2:12, FLOOR] == CROPS[-1]).all()


@pytest.mark.parametrize("process", ["crop", "sand", "water", "creatures", "daylight", "all"])
def test_a_stopped_process_stands_still_and_the_others_go_on(process: str) -> None:
    sheep = ObjectSpec(kind="sheep", position=(13.5, float(FLOOR), 3.5))
    world = flat(sheep, preset="village", springs=((10, FLOOR, 12, 3),))
    for x, z in ((3, 3), (3, 4), (4, 3), (4, 4)):
        world.set(x, FLOOR - 1, z, cell_id("farmland"))
        world.set(x, FLOOR, z, CROPS[0])
    world.set(8, 9, 2, SAND)
    env = env_of(world)
    env.edit(StopProcess(process=process))

    kinds, places, hours = set(), set(), set()
    for _ in range(400):
        *_, info = env.step(action())
        truth = env.truth()
        kinds |= {change.after for change in truth.cells}
        places.add(tuple(truth.objects[0].position))
        hours.add(info["hour"])
    went_on = {
        "crop": bool(kinds & {NAMES[kind] for kind in CROPS}),
        "sand": "sand" in kinds,
        "water": "water" in kinds,
        "creatures": len(places) > 1,
        "daylight": len(hours) > 1,
    }
    assert {name for name, on in went_on.items() if not on} == (set(went_on) if process == "all" else {process})


def test_a_crop_without_soil_is_gone() -> None:
    world = crop_field()
    world.set(3, FLOOR - 1, 3, 0)
    play(world, 2)
    assert world.cells[3, 3, FLOOR] == 0


def test_creatures_walk_within_their_world_and_not_through_walls() -> None:
    pen = flat(ObjectSpec(kind="sheep", position=(4.5, float(FLOOR), 4.5)), preset="village")
    for i in range(1, 8):
        for x, z in ((1, i), (8, i), (i, 1), (i, 8)):
            for y in (FLOOR, FLOOR + 1):
                pen.set(x, y, z, cell_id("stone"))
    places = []
    for _ in range(600):
        play(pen, 1)
        places.append(pen.place[0].copy())
    walked = np.abs(np.diff(places, axis=0)).sum()
    low, high = np.min(places, 0), np.max(places, 0)
    assert walked > 5.0
    assert low[0] >= 2.6 - 1e-6 and low[2] >= 2.6 - 1e-6 and high[0] <= 7.4 + 1e-6 and high[2] <= 7.4 + 1e-6
    other = flat(ObjectSpec(kind="sheep", position=(4.5, float(FLOOR), 4.5)), preset="village")
    edits.apply(other, StopProcess(process="creatures"))
    at = other.place.copy()
    play(other, 100)
    np.testing.assert_array_equal(other.place, at)


def test_a_village_goes_on_by_itself() -> None:
    world = start(generate("village", 3), 5)
    before, places = world.cells.copy(), world.place.copy()
    play(world, 300)
    assert (world.cells != before).sum() > 5, "crops, sand or water"
    assert np.abs(world.place - places).max() > 0.5, "creatures"
    other = start(generate("village", 3), 6)
    assert other.flags[SEED] != world.flags[SEED]
    play(other, 300)
    assert (other.cells != world.cells).any()
    np.testing.assert_array_equal(world.tops, column_tops(world.cells))
