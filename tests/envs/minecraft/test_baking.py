"""Tiles of known colours in, an atlas of known colours out; damaged inputs are named and leave nothing."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.envs.minecraft import art
from worldsim.envs.minecraft import textures
from worldsim.envs.minecraft.baking import COLUMNS, FOLIAGE, GRASS, HOLE, TINTS, Atlas, Picture, bake, over, tinted
from worldsim.errors import PrerequisiteError, WorldsimError

TOP, SIDE, BOTTOM = range(3)


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return bake(art.picture(), art.models())


def face(atlas: Atlas, name: str, surface: int) -> Picture:
    return art.tile(atlas.pixels, atlas.blocks[name][surface], COLUMNS)


def plain(tile: Picture) -> tuple[int, ...]:
    """The one colour of a tile."""
    assert (tile == tile[0, 0]).all()
    return tuple(map(int, tile[0, 0]))


def times(grey: int, tint: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(round(grey * v / 255) for v in tint)


def test_each_surface_has_the_tile_of_its_face(atlas: Atlas) -> None:
    assert plain(face(atlas, "stone", TOP)) == plain(face(atlas, "stone", BOTTOM)) == (90, 90, 96, 255)
    assert plain(face(atlas, "oak_log", TOP)) == (200, 160, 100, 255)
    assert plain(face(atlas, "oak_log", SIDE)) == (60, 40, 20, 255)
    assert plain(face(atlas, "oak_fence", SIDE)) == (60, 40, 20, 255)


def test_a_tint_multiplies_only_the_faces_that_ask_for_it(atlas: Atlas) -> None:
    assert plain(face(atlas, "grass_block", TOP)) == (*times(100, GRASS), 255)
    assert plain(face(atlas, "grass_block", BOTTOM)) == (120, 80, 40, 255)
    assert plain(face(atlas, "stonecutter", TOP)) == (250, 250, 250, 255)  # it asks, and no tint is known for it


def test_an_overlay_lies_on_top_of_the_side(atlas: Atlas) -> None:
    side = face(atlas, "grass_block", SIDE)
    assert plain(side[:4]) == (*times(200, GRASS), 255)
    assert plain(side[4:]) == (120, 80, 40, 255)


def test_what_has_no_elements_takes_its_particle_and_is_opaque(atlas: Atlas) -> None:
    for surface in (TOP, SIDE, BOTTOM):
        assert plain(face(atlas, "water", surface)) == (*times(200, TINTS["water"]), 255)


def test_holes_stay_where_one_can_see_through_and_nowhere_else(atlas: Atlas) -> None:
    glass = face(atlas, "glass", SIDE)
    assert (glass[0, :, 3] == 255).all() and (glass[1:, :, 3] == 0).all()  # alpha 128 is glass, to be seen through
    blades = face(atlas, "grass", SIDE)
    assert (blades[:, 8, 3] == 255).all() and np.count_nonzero(blades[..., 3]) == 16
    leaves = face(atlas, "oak_leaves", SIDE)
    colour = times(80, FOLIAGE)
    assert plain(leaves[::2]) == (*colour, 255)
    assert plain(leaves[1::2]) == (*(round(HOLE * v) for v in colour), 255)


def test_of_several_sides_the_largest_is_shown(atlas: Atlas) -> None:
    door = face(atlas, "oak_door", SIDE)
    assert np.count_nonzero(door[..., 3]) == 16  # the whole tile with its holes, not the narrow edge, which has none


def test_equal_tiles_are_kept_once_and_means_are_of_what_is_drawn(atlas: Atlas) -> None:
    assert atlas.blocks["dirt"] == (atlas.blocks["dirt"][TOP],) * 3
    assert atlas.blocks["grass_block"][BOTTOM] == atlas.blocks["dirt"][TOP]
    count = 1 + max(max(tiles) for tiles in atlas.blocks.values())
    assert atlas.means.shape == (count, 3)
    assert len({art.tile(atlas.pixels, k, COLUMNS).tobytes() for k in range(count)}) == count
    assert tuple(atlas.means[atlas.blocks["grass"][SIDE]]) == times(160, GRASS)
    assert tuple(atlas.means[atlas.blocks["glass"][SIDE]]) == (255, 255, 255)


def test_blocks_without_a_look_of_their_own_are_left_out(atlas: Atlas) -> None:
    assert "air" not in atlas.blocks and "white_bed" not in atlas.blocks


def test_tints_and_overlays_are_multiplication_and_the_over_operator() -> None:
    grey = np.full((16, 16, 4), 200, np.uint8)
    assert plain(tinted(grey, (255, 0, 51))) == (200, 0, 40, 200)
    half = np.broadcast_to(np.array([255, 0, 0, 51], np.uint8), (16, 16, 4))
    assert plain(over(half, np.full((16, 16, 4), 255, np.uint8))) == (255, 204, 204, 255)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({}, "none"),
        ({"stone": {"variants": {}}}, "block 'stone'"),
        ({"stone": {"variants": {"": {"model": {"textures": {}}}}}}, "'elements'"),
        ({"stone": "granite"}, "block 'stone'"),
        ({"stone": art.entry(art.element({"up": {"texture": {"u": 9, "v": 0, "su": 1, "sv": 1}}}))}, "lies outside"),
        ({"stone": art.entry(art.element({"up": {"texture": {"u": "a", "v": 0, "su": 1, "sv": 1}}}))}, "'stone'"),
        ({"stone": art.entry(art.element({"up": {"texture": {"u": 1e999, "v": 0, "su": 1, "sv": 1}}}))}, "'stone'"),
    ],
)
def test_a_damaged_model_is_named(broken: dict[str, Any], words: str) -> None:
    with pytest.raises(WorldsimError, match=words):
        bake(art.picture(), broken)


def test_a_picture_that_is_no_grid_is_refused() -> None:
    with pytest.raises(WorldsimError, match="RGBA picture"):
        bake(art.picture()[:30], art.models())


def test_a_png_comes_back_as_it_was() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 4), dtype=np.uint8)
    np.testing.assert_array_equal(textures.decode(art.png(noise)), noise)


@pytest.mark.parametrize("cut", [0, 7, 40, -13, -1])
def test_a_cut_png_is_damaged(cut: int) -> None:
    with pytest.raises(WorldsimError, match=r"damaged .*--textures"):
        textures.decode(art.png(art.picture())[:cut])


def test_any_changed_byte_of_a_png_is_seen() -> None:
    data = art.png(art.picture())
    for at in np.random.default_rng(1).integers(0, len(data), 40):
        with pytest.raises(WorldsimError):
            textures.decode(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])


def test_a_tarball_gives_its_two_files_and_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "in" / "p.tgz"
    file.parent.mkdir()
    evil = {"../../outside.txt": b"x", "/tmp/w-outside.txt": b"x", "package/../" + textures.MEMBERS[0]: b"x"}
    integrity = art.package(file, {**evil, **art.good_members()})
    textures.check_integrity(file, integrity)
    assert textures.unpack(file) == tuple(art.good_members().values())
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "p.tgz"]


def link(name: str, to: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, to
    return info


def test_a_link_or_a_huge_file_in_their_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "p.tgz"
    art.package(file, {textures.MEMBERS[0]: link(textures.MEMBERS[0], "/etc/passwd")})
    with pytest.raises(WorldsimError, match="a plain file"):
        textures.unpack(file)
    art.package(file)
    monkeypatch.setattr(textures, "LARGEST", 100)
    with pytest.raises(WorldsimError, match="at most 100 bytes"):
        textures.unpack(file)


def test_a_damaged_or_wrong_tarball_is_named(tmp_path: Path) -> None:
    file = tmp_path / "p.tgz"
    integrity = art.package(file)
    whole = file.read_bytes()
    with pytest.raises(WorldsimError, match="not the file that was checked"):
        textures.check_integrity(file, integrity[:-4] + "AA==")
    for broken in (whole[: len(whole) // 3], b"", whole[:40] + b"\0" * 200 + whole[240:]):
        file.write_bytes(broken)
        with pytest.raises(WorldsimError, match=r"(damaged|cut short).*--textures"):
            textures.unpack(file)
    art.package(file, {textures.MEMBERS[0]: b"x"})
    with pytest.raises(WorldsimError, match=r"lacks package/public/blocksStates/1\.16\.4\.json"):
        textures.unpack(file)


def test_what_is_written_is_found_and_half_of_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atlas: Atlas
) -> None:
    monkeypatch.setenv("WORLDSIM_HOME", str(tmp_path))
    place = textures.folder()
    assert place.parent == tmp_path / "minecraft" and place.name == "prismarine-viewer-1.33.0"
    with pytest.raises(PrerequisiteError, match="doctor minecraft --install --textures"):
        textures.find()
    textures.write(atlas, place)
    textures.write(atlas, place)  # over an older one
    assert textures.find() == place and [p.name for p in place.parent.iterdir()] == [place.name]
    about = json.loads((place / "atlas.json").read_text())
    assert about["source"] == "prismarine-viewer@1.33.0" and about["integrity"] == textures.INTEGRITY
    width, height = about["size"]
    data = np.frombuffer((place / "atlas.rgba").read_bytes(), np.uint8).reshape(height, width, 4)
    np.testing.assert_array_equal(data, atlas.pixels)
    (place / "atlas.rgba").write_bytes(data.tobytes()[:-4])
    with pytest.raises(PrerequisiteError):
        textures.find()


def test_a_full_disk_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atlas: Atlas) -> None:
    monkeypatch.setenv("WORLDSIM_HOME", str(tmp_path))
    textures.write(atlas, textures.folder())

    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            textures.write(atlas, textures.folder())
    assert textures.is_baked() and len(list(textures.folder().parent.iterdir())) == 1
