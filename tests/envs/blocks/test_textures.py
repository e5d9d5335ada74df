"""The atlas: complete, stable, and with the contrast where it survives."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.envs.blocks.kinds import COLOURS, CUTOUT, KINDS, RENDER_FLAGS, cell_id, kind_id
from worldsim.envs.blocks.shapes import OBJECT_KINDS, PROPS, bounds, object_boxes
from worldsim.envs.blocks.textures import atlas
from worldsim.errors import UnknownNameError


def test_every_kind_has_a_texture_of_its_own():
    seen = {}
    for kind in KINDS[1:]:
        key = atlas()[kind.id].tobytes()
        assert key not in seen, f"{kind.name} looks like {seen[key]}"
        seen[key] = kind.name
        assert atlas()[kind.id, :, :256, :3].std() > 1


def test_only_cutouts_have_holes():
    for kind in KINDS[1:]:
        holes = (atlas()[kind.id, 0, :256, 3] < 128).any()
        assert holes == bool(RENDER_FLAGS[kind.id] & CUTOUT), kind.name


def test_mip_levels_are_means():
    texture = atlas()[kind_id("bricks"), 0, :, :3].astype(float)
    full = texture[:256].reshape(8, 2, 8, 2, 3).mean((1, 3)).reshape(64, 3)
    assert abs(texture[256:320] - full).max() <= 1.01
    assert abs(texture[340] - texture[:256].mean(0)).max() <= 1.01


def test_colours_are_far_apart():
    for part in ("chest", "crate", "gem", "wool"):
        means = [atlas()[kind_id(f"{colour}_{part}"), 0, 340, :3].astype(float) for colour in COLOURS]
        gaps = [np.linalg.norm(a - b) for i, a in enumerate(means) for b in means[:i]]
        assert min(gaps) > 25, part


def test_quarter_turns_keep_the_size():
    for kind in OBJECT_KINDS:
        colour = "red" if kind in PROPS else ""
        sizes = [np.diff(bounds(object_boxes(kind, colour, f)).reshape(2, 3), axis=0)[0] for f in range(4)]
        np.testing.assert_allclose(sizes[0], sizes[2])
        np.testing.assert_allclose(sizes[0], sizes[1][[2, 1, 0]])


def test_open_door_leaves_the_way():
    closed, opened = (bounds(object_boxes("door", attributes={"open": state})) for state in (False, True))
    assert closed[3] - closed[0] == pytest.approx(1.0)
    assert opened[3] - opened[0] < 0.2


def test_names_that_do_not_exist():
    with pytest.raises(UnknownNameError, match="'red_wool'"):
        cell_id("red_wol")
    with pytest.raises(UnknownNameError, match="part of an object"):
        cell_id("red_chest")
    with pytest.raises(UnknownNameError, match="colours"):
        object_boxes("chest", "pink")
