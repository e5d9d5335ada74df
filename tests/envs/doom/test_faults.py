"""Planted faults in a truth that refuses much: doors stay, and no view is drawn from a wall or another height."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.envs.doom.helpers import DoomEnv, find, press, stand_before
from tests.faults.tour import play_on
from worldsim import trees
from worldsim.errors import UnsupportedError
from worldsim.faults import FAULTS, make_fault
from worldsim.faults.base import missing_of
from worldsim.oracle import Oracle
from worldsim.starts import Start, binding, join

SEED = 4
AWAY, BACK = [press(camera=(0.0, 15.0))] * 8, [press(camera=(0.0, -15.0))] * 8
USED = [press(), press(use=1), press(), press(), *AWAY, *BACK]
SHAM = [press(), press(), press(), press(), *AWAY, *BACK]


def make() -> DoomEnv:
    return DoomEnv(preset="arena", size=(48, 48))


def before_the_door() -> Start:
    env = make()
    env.reset(seed=SEED)
    stand_before(env, find(env.truth(), "door"), 2.2)
    frames = [env.render(), env.step(press())[0]]
    start = Start(frames=np.stack(frames), actions=trees.stack([press()]), seed=SEED, state=env.snapshot())
    env.close()
    return start


@pytest.fixture(scope="module")
def start() -> Start:
    return before_the_door()


def show(model: Oracle, start: Start, actions: Sequence[Any]) -> np.ndarray:
    """Frames (T, H, W, 3)."""
    model.bind(binding([start], make))
    model.reset(join([start]), seeds=[7])
    frames = np.concatenate([p.frames[0] for p in play_on(model, actions, 1)])
    model.close()
    return frames


def test_a_used_door_stays_shut_where_deeds_are_ignored(start: Start) -> None:
    true, sham = show(Oracle(), start, USED), show(Oracle(), start, SHAM)
    assert (true[-1] != sham[-1]).any()  # it is open at the return
    np.testing.assert_array_equal(show(make_fault("edit-ignored", 1), start, USED), sham)


def test_a_used_door_is_shut_again_once_nobody_looks(start: Start) -> None:
    true, sham = show(Oracle(), start, USED), show(Oracle(), start, SHAM)
    shown = show(make_fault("edit-reverts", 1), start, USED)
    unseen = [t for t in range(len(true)) if t > 3 and np.array_equal(true[t], sham[t])]
    np.testing.assert_array_equal(shown[: unseen[0]], true[: unseen[0]])
    np.testing.assert_array_equal(shown[unseen[0] :], sham[unseen[0] :])


def test_the_cheat_uses_the_door_that_the_sham_twin_leaves_alone(start: Start) -> None:
    shown, true, sham = (
        show(make_fault("always-the-edit", 1), start, SHAM),
        show(Oracle(), start, USED),
        show(Oracle(), start, SHAM),
    )
    assert (shown[-1] != sham[-1]).any()
    np.testing.assert_array_equal(shown[-1], true[-1])


@pytest.mark.parametrize("name", ["vanish", "swap", "teleport"])
def test_what_is_unseen_is_struck_but_for_doors_and_switches(name: str, start: Start) -> None:
    fault = make_fault(name, 1)
    fault.bind(binding([start], make))
    fault.reset(join([start]), seeds=[7])
    env = fault._worlds[0].env
    reference = make()
    reference.restore(start.state)
    before = {o.id: o for o in reference.truth().objects}
    play_on(fault, AWAY, 1)
    after = {o.id: o for o in env.truth().objects}
    fault.close()
    reference.close()
    struck = {
        i
        for i, o in after.items()
        if o.exists != before[i].exists or o.kind != before[i].kind or (o.position != before[i].position).any()
    }
    assert struck
    assert all("colour" in before[i].attributes for i in struck)
    if name == "teleport":
        gone = [np.linalg.norm(after[i].position - before[i].position) for i in struck]
        np.testing.assert_allclose(gone, 1.0, atol=0.01)


@pytest.mark.parametrize("name", ["flattened-parallax", "sliding-layer", "reseed", "pose-jitter", "always-the-object"])
def test_faults_that_look_from_elsewhere_go_round_walls(name: str, start: Start) -> None:
    """Along the wall and through the door: the rope's end, and the place in another world, may lie in a wall."""
    walk = [press(use=1), press(), *[press(forward=1)] * 8, *[press(camera=(0.0, 15.0))] * 6, *[press(right=1)] * 8]
    true, shown = show(Oracle(), start, walk), show(make_fault(name, 1), start, walk)
    assert shown.shape == true.shape
    assert name == "always-the-object" or (shown != true).any()


def test_what_doom_lacks_is_said() -> None:
    able = make().abilities
    lacks = {n: missing_of(able, spec.needs, spec.any_of) for n, spec in FAULTS.items()}
    assert {n: words for n, words in lacks.items() if words} == {"edit-wrong-cell": ["SetCell, cells"]}


def test_a_fault_without_what_it_needs_is_refused(start: Start) -> None:
    with pytest.raises(UnsupportedError, match="'edit-wrong-cell' needs a truth with SetCell, cells"):
        show(make_fault("edit-wrong-cell", 1), start, USED)
