"""`textures="game"` with a baked atlas made up for the tests: over the fake bridge, and over the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.envs.minecraft import art
from tests.envs.minecraft.test_real_bridge import digest
from tests.envs.minecraft.worlds import fake_env, needs_bridge
from worldsim import trees
from worldsim.checks import check_truth_env
from worldsim.envs.actions import noop
from worldsim.envs.minecraft import textures
from worldsim.envs.minecraft.baking import COLUMNS, Atlas, bake
from worldsim.envs.minecraft.child import Bridge
from worldsim.envs.minecraft.env import MinecraftEnv
from worldsim.errors import PrerequisiteError, UnknownNameError, WorldFailure
from worldsim.truth import SetCell, SetPose

FRONT = 196 / 255  # light of the side that looks to -z, which is what yaw 0 sees of a block
SIZE = (48, 64)


@pytest.fixture
def baked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Atlas:
    """The atlas of the made-up package, where the user's would lie."""
    atlas = bake(art.picture(), art.models())
    monkeypatch.setattr(textures, "folder", lambda: tmp_path / "atlas")
    textures.write(atlas, textures.folder())
    return atlas


@pytest.fixture
def pair(baked: Atlas) -> Iterator[dict[str, MinecraftEnv]]:
    made = {t: MinecraftEnv(preset="flat", creatures=0, size=SIZE, textures=t) for t in ("own", "game")}
    yield made
    for env in made.values():
        env.close()


def started(monkeypatch: pytest.MonkeyPatch, **kwargs: Any) -> Any:
    """What the bridge is told at its start."""
    told: list[Any] = []
    call = Bridge.call

    def listen(self: Bridge, op: str, **fields: Any) -> Any:
        if op == "start":
            told.append(fields["atlas"])
        return call(self, op, **fields)

    with monkeypatch.context() as ear:
        ear.setattr(Bridge, "call", listen)
        env = fake_env(**kwargs)
        env.reset(seed=0)
        env.close()
    return told


def test_the_choice_is_checked_and_told_to_the_bridge(baked: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    assert started(monkeypatch) == started(monkeypatch, textures="own") == [None]
    assert started(monkeypatch, textures="game") == [str(textures.folder())]
    with pytest.raises(UnknownNameError, match="own, game"):
        fake_env(textures="mine")


def test_without_the_files_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDSIM_HOME", str(tmp_path))
    with pytest.raises(PrerequisiteError, match="worldsim doctor minecraft --install --textures") as error:
        fake_env(textures="game")
    assert error.value.exit_code == 3
    fake_env().close()


def test_a_snapshot_does_not_know_the_textures(baked: Atlas) -> None:
    own, game = fake_env(wander=True), fake_env(wander=True, textures="game")
    own.reset(seed=2)
    own.step(noop(own.action_space))
    state = own.snapshot()
    game.restore(state)
    assert trees.equal(game.snapshot(), state)
    own.close()
    game.close()


def build(env: MinecraftEnv, kind: str, distance: int, half: int = 2) -> None:
    """A wall of blocks before the eye, `distance` m away, on a plain with nothing else."""
    env.reset(seed=1)
    env.edit(SetPose(position=(8.5, 5.0, 8.5), yaw=0.0, pitch=0.0))
    for x in range(8 - half, 9 + half):
        for y in range(5, 8 + half):
            env.edit(SetCell(position=(x, y, 8 + distance), kind=kind))


def lit(colour: Any) -> list[int]:
    return [round(float(v) * FRONT) for v in colour]


MIDDLE = (SIZE[0] // 2, SIZE[1] // 2)


@needs_bridge
def test_a_tile_has_its_own_colour_near_and_its_mean_far(pair: dict[str, MinecraftEnv], baked: Atlas) -> None:
    env = pair["game"]
    build(env, "stone", 3)
    np.testing.assert_allclose(env.render()[MIDDLE], lit((90, 90, 96)), atol=1)
    build(env, "oak_leaves", 3)
    near = env.render()[8:31, 32].astype(int)  # above the row that the ground darkens
    two = [lit(art.tile(baked.pixels, baked.blocks["oak_leaves"][1], COLUMNS)[row, 0, :3]) for row in (0, 1)]
    apart = np.abs(near[:, None] - np.array(two)).max(2)  # (pixels, colours)
    assert (apart.min(1) <= 1).all() and set(apart.argmin(1)) == {0, 1}
    build(env, "oak_leaves", 32, half=4)  # beyond 28 m there is nothing but the mean
    np.testing.assert_allclose(env.render()[MIDDLE], lit(baked.means[baked.blocks["oak_leaves"][1]]), atol=1)


@needs_bridge
def test_one_sees_through_the_holes_of_glass_and_depth_says_so(pair: dict[str, MinecraftEnv]) -> None:
    env = pair["game"]
    build(env, "stone", 5)
    for y in (5, 6, 7):
        env.edit(SetCell(position=(8, y, 11), kind="glass"))
    depth = env.truth().depth
    assert depth is not None and depth[MIDDLE] == pytest.approx(13 - 8.5, abs=1e-4)
    np.testing.assert_allclose(env.render()[MIDDLE], lit((90, 90, 96)), atol=1)
    top = np.flatnonzero(np.isclose(depth[:, 32], 11 - 8.5, atol=1e-3))
    assert len(top) > 0  # the uppermost row of texels is glass
    np.testing.assert_allclose(env.render()[top, 32], [lit((255, 255, 255))] * len(top), atol=1)


@needs_bridge
def test_blocks_without_a_tile_look_as_with_own_textures(pair: dict[str, MinecraftEnv]) -> None:
    for env in pair.values():
        build(env, "red_wool", 2)
    own, game = (pair[t].render()[10:38, 16:48] for t in ("own", "game"))
    np.testing.assert_array_equal(own, game)


@needs_bridge
def test_depth_ids_and_creatures_are_the_same_to_the_bit(baked: Atlas) -> None:
    """In the court there is nothing with holes."""
    envs = [MinecraftEnv(preset="court", wander=True, size=SIZE, textures=t) for t in ("own", "game")]
    for env in envs:
        env.reset(seed=3)
    differ, seen = 0, 0
    for t in range(40):
        action = noop(envs[0].action_space) | {"forward": t % 2, "camera": np.array([0.3, 9.0], np.float32)}
        own, game = (env.step(action)[0] for env in envs)
        a, b = (env.truth() for env in envs)
        assert a.depth is not None and a.segmentation is not None
        np.testing.assert_array_equal(a.depth, b.depth)
        np.testing.assert_array_equal(a.segmentation, b.segmentation)
        shown = a.segmentation > 0
        np.testing.assert_array_equal(own[shown], game[shown])
        seen += int(shown.sum())
        differ += int((own != game).any(2).sum())
    assert seen > 100 and differ > 1000
    for env in envs:
        env.close()


@needs_bridge
def test_a_tile_is_read_to_its_edge_and_no_further(baked: Atlas) -> None:
    """Far away a pixel at the edge of a face reads beyond it; here there is nothing but holes around the one tile."""
    textures.write(
        bake(art.picture(), {"grass_block": art.entry(art.cube(art.GREY, art.GREY, art.GREY))}), textures.folder()
    )
    envs = [MinecraftEnv(preset="flat", creatures=0, size=(96, 128), textures=t) for t in ("own", "game")]
    for env in envs:
        env.reset(seed=1)
    for yaw in range(0, 90, 3):
        depths = []
        for env in envs:
            env.edit(SetPose(position=(8.3, 5.0, 8.6), yaw=float(yaw), pitch=4.0))
            depths.append(env.truth().depth)
        np.testing.assert_array_equal(*depths)
    for env in envs:
        env.close()


@needs_bridge
def test_a_snapshot_of_one_goes_on_in_the_other(pair: dict[str, MinecraftEnv]) -> None:
    own, game = pair["own"], pair["game"]
    own.reset(seed=4)
    for t in range(10):
        own.step(noop(own.action_space) | {"forward": 1, "use": int(t == 5), "hotbar.3": 1})
    state = own.snapshot()
    game.restore(state)
    assert trees.equal(game.snapshot(), state)
    first = digest(game, 15)
    game.restore(state)
    assert digest(game, 15) == first
    back = game.snapshot()
    frame, _ = own.restore(back)
    assert trees.equal(own.snapshot(), back)
    game.restore(back)
    assert (frame != game.render()).any()


@needs_bridge
def test_an_atlas_that_breaks_later_is_an_error_in_words(pair: dict[str, MinecraftEnv]) -> None:
    file = textures.folder() / "atlas.rgba"
    file.write_bytes(file.read_bytes()[4:])
    with pytest.raises(WorldFailure, match="--install --textures"):
        pair["game"].reset(seed=0)
    pair["own"].reset(seed=0)


@needs_bridge
@pytest.mark.slow
def test_it_keeps_the_contract(baked: Atlas) -> None:
    report = check_truth_env(lambda: MinecraftEnv(preset="hills", size=(32, 48), textures="game"))
    assert report.ok, str(report)
