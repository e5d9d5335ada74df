from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.envs.blocks.helpers import FLOOR, action, env_of, flat, play
from worldsim.envs.blocks import edits
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.envs.blocks.layout import ObjectSpec
from worldsim.errors import ConfigError, UnknownNameError, UnsupportedError
from worldsim.truth import (
    EDITS,
    AddObject,
    Edit,
    MoveObject,
    ObjectState,
    RecolourObject,
    RemoveObject,
    ReplaceObject,
    SetCell,
    SetObjectState,
    SetPose,
    SetTime,
    StopProcess,
)


def scene() -> BlocksEnv:
    """A red chest ahead, a door to the left, a lever behind that switches a lamp to the right."""
    f = float(FLOOR)
    return env_of(
        flat(
            ObjectSpec(kind="chest", colour="red", position=(8.5, f, 11.5)),
            ObjectSpec(kind="door", position=(10.5, f, 11.5), attributes={"open": False}),
            ObjectSpec(kind="lamp", position=(6.5, f, 11.5), attributes={"lit": False}),
            ObjectSpec(kind="lever", position=(8.5, f, 4.5), attributes={"on": False, "linked_to": 2}),
        )
    )


def test_every_edit_is_declared() -> None:
    assert scene().abilities.edit == set(EDITS) == edits.NAMES


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (RemoveObject(object_id=1), lambda o: not o[1].exists and o[1].visible_px == 0),
        (MoveObject(object_id=1, position=(7.5, 3.0, 10.5)), lambda o: np.allclose(o[1].position, (7.5, 3.44, 10.5))),
        (RecolourObject(object_id=1, colour="blue"), lambda o: o[1].kind == "blue_chest"),
        (ReplaceObject(object_id=1, kind="green_crate"), lambda o: o[1].kind == "green_crate"),
        (SetObjectState(object_id=1, attribute="open", value=True), lambda o: o[1].attributes["open"]),
        (SetObjectState(object_id=4, attribute="on", value=True), lambda o: o[3].attributes["lit"]),
        (AddObject(kind="pig", position=(7.5, 3.0, 10.5)), lambda o: o[5].kind == "pig" and o[5].visible_px > 0),
    ],
)
def test_an_edit_of_an_object_is_seen_in_truth_and_frame(
    change: Edit, holds: Callable[[dict[int, ObjectState]], bool]
) -> None:
    env = scene()
    frame = env.render()
    env.edit(change)
    assert holds({o.id: o for o in env.truth().objects})
    assert (env.render() != frame).any()


def test_edits_of_cells_time_and_pose() -> None:
    env = scene()
    frame, state = env.render(), env.snapshot()
    env.edit(SetCell(position=(8, FLOOR, 10), kind="glowstone"))
    assert [(c.position, c.before, c.after) for c in env.truth().cells] == [((8, FLOOR, 10), "air", "glowstone")]
    assert (env.render() != frame).any()
    env.restore(state)
    env.edit(SetTime(hour=22.0))
    assert env.render().mean() < 0.8 * frame.mean()
    env.edit(SetPose(position=(4.5, 3.0, 4.5), yaw=-90.0, pitch=10.0))
    pose = env.truth().world_from_camera
    assert pose is not None
    np.testing.assert_allclose(pose[:3, 3], (4.5, 4.62, 4.5))
    np.testing.assert_allclose(pose[:3, 2], (np.cos(np.radians(10)), -np.sin(np.radians(10)), 0), atol=1e-12)


def test_an_edit_changes_one_fact_and_nothing_else() -> None:
    env = scene()
    before = env.truth()
    env.edit(RecolourObject(object_id=1, colour="green"))
    after = env.truth()
    for a, b in zip(before.objects[1:], after.objects[1:], strict=True):
        assert a.kind == b.kind and np.array_equal(a.position, b.position) and a.attributes == b.attributes
    np.testing.assert_array_equal(before.depth, after.depth)
    np.testing.assert_array_equal(before.segmentation, after.segmentation)


def test_carried_things_can_be_edited() -> None:
    world = flat(ObjectSpec(kind="crate", colour="red", position=(8.5, float(FLOOR), 10.5)))
    play(world, 1, camera=(35.0, 0.0), use=1)
    env = env_of(world)
    assert env.truth().objects[0].attributes["held"]
    env.edit(MoveObject(object_id=1, position=(8.5, 3.0, 12.5)))
    assert not env.truth().objects[0].attributes["held"]
    _, *_ = env.step(action(drop=1))
    assert env.truth().events == ()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (RemoveObject(object_id=9), ConfigError, "1..4"),
        (RecolourObject(object_id=1, colour="rde"), ConfigError, "Did you mean 'red'"),
        (RecolourObject(object_id=2, colour="red"), ConfigError, "no colour"),
        (ReplaceObject(object_id=1, kind="red_chset"), UnknownNameError, "Did you mean 'red_chest'"),
        (SetObjectState(object_id=2, attribute="lit", value=True), ConfigError, "open"),
        (SetCell(position=(99, 0, 0), kind="stone"), ConfigError, "0..15"),
        (SetCell(position=(5, 5, 5), kind="stoen"), UnknownNameError, "Did you mean 'stone'"),
        (SetTime(hour=30.0), ConfigError, "0..24"),
        (StopProcess(process="sands"), ConfigError, "Did you mean 'sand'"),
        (SetPose(position=(-1.0, 3.0, 3.0), yaw=0.0), ConfigError, "metres"),
    ],
)
def test_a_wrong_edit_is_explained_and_changes_nothing(change: Edit, error: type[Exception], words: str) -> None:
    env = scene()
    frame = env.render()
    with pytest.raises(error, match=words):
        env.edit(change)
    np.testing.assert_array_equal(env.render(), frame)


def test_unknown_edits_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="RemoveObject"):
        scene().edit(object())  # type: ignore[arg-type]
