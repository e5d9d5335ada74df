"""The generated worlds: what each promises, over many seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.envs.blocks.camera import EYE_HEIGHT, camera_pose
from worldsim.envs.blocks.kinds import BREAKABLE, CROPS, SOLID, cell_id, column_tops
from worldsim.envs.blocks.presets import PRESETS, generate, layout_hash
from worldsim.envs.blocks.render import render_view
from worldsim.envs.blocks.shapes import layout_boxes
from worldsim.errors import UnknownNameError

SEEDS = range(25)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_world_is_a_function_of_its_seed(preset):
    hashes = [layout_hash(generate(preset, seed)) for seed in range(12)]
    assert len(set(hashes)) == 12
    assert hashes[3] == layout_hash(generate(preset, 3))


@pytest.mark.parametrize("preset", PRESETS)
def test_start_is_free_open_and_on_ground(preset):
    for seed in SEEDS:
        layout = generate(preset, seed)
        x, y, z = layout.spawn
        column = layout.cells[math.floor(x), math.floor(z)]
        assert not SOLID[column[int(y) : int(y) + 2]].any(), seed
        assert SOLID[column[int(y) - 1]], seed
        pose = camera_pose((x, y + EYE_HEIGHT, z), layout.yaw, 0)
        view = render_view(
            layout.cells, column_tops(layout.cells), layout_boxes(layout), pose, 12.0, (48, 48), horizon=layout.horizon
        )
        assert np.median(view.depth) > 2.0, f"seed {seed} starts in front of something"


@pytest.mark.parametrize("preset", PRESETS)
def test_lowest_layer_holds_for_ever(preset):
    for seed in range(5):
        bottom = generate(preset, seed).cells[:, :, 0]
        assert not BREAKABLE[bottom].any()
        assert SOLID[bottom].all()


@pytest.mark.parametrize("preset", PRESETS)
def test_objects_stand_free_and_links_lead_to_lamps(preset):
    for seed in SEEDS:
        layout = generate(preset, seed)
        for thing in layout.objects:
            x, y, z = thing.position
            assert not SOLID[layout.cells[math.floor(x), math.floor(z), math.floor(y + 0.01)]], (seed, thing)
            if thing.kind == "lever":
                assert layout.objects[thing.attributes["linked_to"]].kind == "lamp"


def test_arena_is_small_closed_and_still():
    names = set()
    for seed in SEEDS:
        layout = generate("arena", seed)
        things = [thing.kind for thing in layout.objects]
        assert 2 <= len(things) <= 4
        assert set(things) <= {"chest", "crate", "gem"}
        assert not (layout.crops or layout.sand or layout.springs)
        assert 8 <= layout.hour <= 16
        names.add((tuple(things), layout.spawn))
        for x in range(5, 27):  # three metres of wall all round
            for edge in ((x, 5), (x, 26), (5, x), (26, x)):
                assert SOLID[layout.cells[edge][4:7]].all()
    assert len(names) == len(SEEDS)


def test_arena_shows_something_to_remember():
    visible = 0
    for seed in SEEDS:
        layout = generate("arena", seed)
        pose = camera_pose(np.add(layout.spawn, (0, EYE_HEIGHT, 0)), layout.yaw, 0)
        view = render_view(layout.cells, column_tops(layout.cells), layout_boxes(layout), pose, 12.0, (64, 64))
        visible += bool((view.instance > 0).sum() >= 12)
    assert visible >= 0.9 * len(SEEDS)


def test_village_has_what_goes_on_unseen():
    for seed in SEEDS:
        layout = generate("village", seed)
        kinds = [thing.kind for thing in layout.objects]
        assert kinds.count("door") == kinds.count("lamp") == kinds.count("lever") == 3
        assert len(layout.crops) == 28
        assert all(layout.cells[x, z, y] in CROPS for x, y, z in layout.crops)
        for x, y, z, _ in layout.sand:
            assert layout.cells[x, z, y] in (cell_id("sand"), cell_id("gravel"))
        for x, y, z, _ in layout.springs:
            assert layout.cells[x, z, y] == 0
        for lever in (thing for thing in layout.objects if thing.kind == "lever"):
            lamp = layout.objects[lever.attributes["linked_to"]]
            assert math.dist(lever.position, lamp.position) > 6, "cause and effect must be out of sight"
    assert any(generate("village", seed).sand for seed in SEEDS)
    assert any(generate("village", seed).springs for seed in SEEDS)


def test_open_has_several_biomes_and_caves():
    for seed in range(8):
        layout = generate("open", seed)
        kinds = set(np.unique(layout.cells))
        for name in ("grass_block", "sand", "snow_block", "water", "stone", "oak_log", "spruce_log"):
            assert cell_id(name) in kinds, (seed, name)
    for seed in range(4):
        cells = generate("open", seed).cells
        y = np.arange(9, 20)
        roofed = (cells[:, :, 9:20] == 0) & (column_tops(cells)[..., None] > y)
        assert roofed.sum() > 100, seed


def test_unknown_preset_names_the_nearest():
    with pytest.raises(UnknownNameError, match="'village'"):
        generate("vilage", 0)
