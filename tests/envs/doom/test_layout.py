"""Plans: a pure function of the seed, with a way everywhere, and borders that close around every sector."""

from collections import defaultdict, deque

import numpy as np
import pytest

from worldsim.envs.doom.kinds import KINDS
from worldsim.envs.doom.layout import PRESETS, ROOM, ROOMS, Layout, generate
from worldsim.envs.doom.udmf import _lines, text_map
from worldsim.errors import UnknownNameError

SEEDS = range(12)


def _reached(layout: Layout, *, through_doors: bool) -> set[int]:
    """Sectors that can be walked to from the start."""
    shut = set() if through_doors else {door.sector for door in layout.doors}
    first = int(layout.start[0]), int(layout.start[1])
    seen, queue = {first}, deque([first])
    while queue:
        x, z = queue.popleft()
        for cell in ((x + 1, z), (x - 1, z), (x, z + 1), (x, z - 1)):
            sector = int(layout.cells[cell])
            if cell not in seen and sector >= 0 and sector not in shut:
                seen.add(cell)
                queue.append(cell)
    return {int(layout.cells[cell]) for cell in seen}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_seed_gives_one_plan(preset: str) -> None:
    one, same, other = generate(preset, 5), generate(preset, 5), generate(preset, 6)
    assert text_map(one) == text_map(same)
    assert text_map(one) != text_map(other)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_room_can_be_reached_with_and_without_doors(seed: int) -> None:
    layout = generate("rooms", seed)
    assert set(range(len(ROOMS))) <= _reached(layout, through_doors=False)
    assert _reached(layout, through_doors=True) == set(range(len(layout.sectors)))
    assert [door.kind for door in layout.doors].count("shutter") == 1
    assert {door.kind for door in layout.doors} == {"door", "gate", "shutter"}


@pytest.mark.parametrize("seed", SEEDS)
def test_things_stand_apart_on_open_floor(seed: int) -> None:
    layout = generate("rooms", seed)
    places = [layout.start, *(thing.place for thing in layout.things)]
    for x, z in places:
        assert 0 <= layout.cells[int(x), int(z)] < len(ROOMS)
    gaps = [np.hypot(a - c, b - d) for i, (a, b) in enumerate(places) for c, d in places[:i]]
    assert min(gaps) > 0.9
    ids = [door.id for door in layout.doors] + [s.id for s in layout.switches] + [t.id for t in layout.things]
    assert ids == list(range(1, len(ids) + 1))
    assert {thing.kind for thing in layout.things} <= set(KINDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_borders_of_a_sector_close_around_its_cells(seed: int) -> None:
    """Each sector lies to the right of its lines: their signed area, in Doom's axes, is that of its cells."""
    layout = generate("rooms", seed)
    area: dict[int, float] = defaultdict(float)
    degree: dict[tuple[int, tuple[int, int]], int] = defaultdict(int)
    for (a, b), front, back, _ in _lines(layout):
        for sector, (p, q) in ((front, (a, b)), (back, (b, a))):
            if sector < 0:
                continue
            degree[sector, p] += 1
            degree[sector, q] -= 1
            # x grows to the west, so that going clockwise on Doom's map has a positive area in (x, z).
            area[sector] += (p[0] * q[1] - q[0] * p[1]) / 2
    assert not any(degree.values())
    counts = np.bincount(layout.cells[layout.cells >= 0])
    assert {sector: round(value) for sector, value in area.items()} == dict(enumerate(counts.tolist()))
    assert counts[: len(ROOMS)].min() >= ROOM * ROOM - 2


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'rooms'"):
        generate("room", 0)
