"""Each fault touches only what it claims to touch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.faults.tour import Make, begin, blocks, blocks_key, blocks_tour, distance, play_on, show, toy, toy_tour
from worldsim import trees
from worldsim.baselines import CopyContext, Frozen
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.faults import FAULTS, make_fault
from worldsim.faults.sets import mode_world
from worldsim.oracle import Oracle
from worldsim.starts import binding, join
from worldsim.truth import MoveObject, RecolourObject, RemoveObject

SHAM = [{**a, "use": np.zeros_like(a["use"])} for a in blocks_tour()]
TURN = [blocks_key(camera=(0.0, 15.0))] * 5


def true_run(make: Make, world: int, actions: Any = None) -> tuple[np.ndarray, list[Any]]:
    """The true frames (T, H, W, 3), and the T + 1 true states from the last context frame on."""
    oracle = Oracle()
    begin(oracle, make, (world,))
    env = oracle._worlds[0].env
    states, frames = [env.truth()], []
    for action in actions if actions is not None else blocks_tour() if make is blocks else toy_tour():
        frames.append(env.step(action)[0])
        states.append(env.truth())
    return np.stack(frames), states


@pytest.mark.parametrize("make", [toy, blocks])
@pytest.mark.parametrize("name", ["vanish", "swap", "teleport"])
@pytest.mark.parametrize("world", [0, 6])
def test_only_what_was_out_of_view_is_struck(name: str, world: int, make: Make) -> None:
    true, states = true_run(make, world)
    shown = show(make_fault(name, 1), make, (world,))[0]
    hidden: set[int] = set()
    touched = 0
    for t, frame in enumerate(shown):
        hidden |= {o.id for o in states[t].objects if o.visible_px == 0}
        changed = (frame != true[t]).any(-1)
        touched += int(changed.sum())
        if not hidden:
            assert not changed.any()  # everything has been in view up to now
        elif name != "teleport":
            assert np.isin(states[t + 1].segmentation[changed], list(hidden)).all()
    assert touched or make is blocks


def test_a_teleport_is_never_seen_to_happen() -> None:
    """In the step in which a thing is struck, the world with it elsewhere gives the same frame."""
    fault = make_fault("teleport", 2)
    begin(fault, toy, (1,))
    done: list[int] = []
    for action in toy_tour():
        (step,) = play_on(fault, [action], 1)
        if fault._notes[0]["done"] != done:
            done = fault._notes[0]["done"]
            np.testing.assert_array_equal(step.frames[0, 0], fault._worlds[0].env.render_from()[0])
    assert done


def test_nothing_stops_in_sight() -> None:
    """Five turns of 15 degrees leave the view of 70; until then, and without them, the world goes on as it does."""

    def village() -> BlocksEnv:
        return BlocksEnv(preset="village", size=(32, 32))

    wait, there, back = ([blocks_key(camera=(0.0, yaw))] * n for yaw, n in ((0.0, 40), (15.0, 8), (-15.0, 8)))
    tour = there + wait + back + wait[:3]
    runs = [show(m, village, (1, 2), actions=tour) for m in (Oracle(), make_fault("standstill", 1))]
    np.testing.assert_array_equal(runs[0][:, :5], runs[1][:, :5])
    assert all((a[5:] != b[5:]).any() for a, b in zip(*runs, strict=True))
    still = [show(m, village, (1, 2), actions=wait) for m in (Oracle(), make_fault("standstill", 1))]
    np.testing.assert_array_equal(*still)
    assert not np.array_equal(still[0][:, 0], still[0][:, -1])


def test_an_ignored_edit_was_never_made() -> None:
    np.testing.assert_array_equal(show(make_fault("edit-ignored", 1), blocks), show(Oracle(), blocks, actions=SHAM))


@pytest.mark.parametrize("world", [0, 4])
def test_an_edit_reverts_when_it_is_out_of_view_and_not_before(world: int) -> None:
    made, sham = (show(Oracle(), blocks, (world,), actions=a)[0] for a in (blocks_tour(), SHAM))
    unseen = [t for t in range(len(made)) if np.array_equal(made[t], sham[t])]
    first = unseen[0]
    assert 8 < first < 27 and not np.array_equal(made[-1], sham[-1])  # it is seen, left, and looked for again
    shown = show(make_fault("edit-reverts", 1), blocks, (world,))[0]
    np.testing.assert_array_equal(shown[: first + 1], made[: first + 1])
    np.testing.assert_array_equal(shown[first:], sham[first:])


def test_an_edit_in_the_wrong_cell_is_one_cell_off() -> None:
    right, wrong, never = Oracle(), make_fault("edit-wrong-cell", 1), Oracle()
    for model, actions in ((right, blocks_tour()), (wrong, blocks_tour()), (never, SHAM)):
        begin(model, blocks, (0, 4))
        play_on(model, actions[:2], 2)
    for row in range(2):
        cells = [m._worlds[row].env.snapshot()["cells"] for m in (right, wrong, never)]
        (at,), (off,) = (np.argwhere(c != cells[2]) for c in cells[:2])
        assert np.abs(at - off).tolist() in ([1, 0, 0], [0, 1, 0])  # x, z, y: beside it, at the same height
        assert cells[0][tuple(at)] == cells[1][tuple(off)]


@pytest.mark.parametrize("name", ["flattened-parallax", "sliding-layer"])
def test_turning_on_the_spot_has_no_parallax_to_lose(name: str) -> None:
    np.testing.assert_array_equal(show(make_fault(name, 1), blocks, actions=TURN), show(Oracle(), blocks, actions=TURN))
    moved = [show(m, blocks, actions=blocks_tour()[:6]) for m in (make_fault(name, 1), Oracle())]
    changed = (moved[0] != moved[1]).any(-1).mean()
    assert 0 < changed < 1


def test_all_of_a_flattened_world_moves_alike() -> None:
    """At severity 1, what is near and what is far goes the same way: the view from the start, moved as one plane."""
    import cv2

    side = [{"turn": np.zeros(1, np.float32), "forward": np.int64(1)}] * 3
    fault = make_fault("flattened-parallax", 1)
    starts = begin(fault, toy, (3,))
    shown = np.concatenate([p.frames[0] for p in play_on(fault, side, 1)])
    _, states = true_run(toy, 3, side)
    env = toy()
    env.restore(starts[0].state)
    k = np.array(states[0].intrinsics)
    plane = float(np.clip(np.median(states[0].depth), 3, 12))
    for t, frame in enumerate(shown):
        env.step(side[t])  # things that move by themselves still do
        anchor = env.render_from(states[0].world_from_camera)[0]
        ahead = 0.25 * (t + 1)  # metres, straight on: the plane grows by plane / (plane - ahead)... about the middle
        c = k[:2, 2] - 0.5
        zoom = (plane + ahead) / plane
        matrix = np.array([[1 / zoom, 0, c[0] * (1 - 1 / zoom)], [0, 1 / zoom, c[1] * (1 - 1 / zoom)]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        expected = cv2.warpAffine(anchor, matrix, anchor.shape[1::-1], flags=flags)
        assert distance(frame[2:-2, 2:-2], expected[2:-2, 2:-2]) < 1.5, t


def test_a_drifting_view_turns_as_the_body_would() -> None:
    """Ten degrees a step are what the action `turn` = 1 does."""
    rest = {"turn": np.zeros(1, np.float32), "forward": np.int64(0)}
    right = rest | {"turn": np.ones(1, np.float32)}
    drifted = show(make_fault("yaw-drift", 10), toy, actions=[rest] * 9)
    turned = show(Oracle(), toy, actions=[right] * 9)
    assert distance(drifted, turned) < 0.5 < distance(turned, show(Oracle(), toy, actions=[rest] * 9))


def test_what_stays_in_view_is_not_reseeded() -> None:
    still = [{"turn": np.zeros(1, np.float32), "forward": np.int64(0)}] * 6
    np.testing.assert_array_equal(show(make_fault("reseed", 1), toy, actions=still), show(Oracle(), toy, actions=still))


def test_actions_late_lost_mirrored_and_weak() -> None:
    true = show(Oracle(), toy)
    np.testing.assert_array_equal(show(make_fault("lag", 4), toy)[:, 4:], true[:, :-4])

    def changed(turn: float, forward: int) -> np.ndarray:
        return show(
            Oracle(), toy, actions=[{"turn": a["turn"] * turn, "forward": a["forward"] * forward} for a in toy_tour()]
        )

    np.testing.assert_array_equal(show(make_fault("drop", 1), toy), changed(0, 0))
    np.testing.assert_array_equal(show(make_fault("flip", 1), toy), changed(-1, 1))
    np.testing.assert_array_equal(show(make_fault("gain", 1), toy), changed(0, 0))
    np.testing.assert_array_equal(show(make_fault("ignore-camera", 1), toy), changed(0, 1))
    turns = toy_tour()[4:10]
    half = [{"turn": a["turn"] * np.float32(0.5), "forward": a["forward"]} for a in turns]
    np.testing.assert_array_equal(show(make_fault("gain", 0.5), toy, actions=turns), show(Oracle(), toy, actions=half))


def test_shuffled_frames_are_recent_true_ones() -> None:
    true, shown = show(Oracle(), toy), show(make_fault("frame-shuffle", 4), toy)
    for row in range(2):
        for t in range(4, len(shown[row])):
            assert any(np.array_equal(shown[row, t], true[row, t - back]) for back in range(5))


def test_collapsed_worlds_are_one() -> None:
    a, b = show(make_fault("mode-collapse", 1), toy, (1, 5))
    np.testing.assert_array_equal(a, b)
    assert mode_world(1) == mode_world(5)


def test_an_optimistic_reward_changes_no_pixel() -> None:
    told = []
    for model in (Oracle(), make_fault("optimistic-reward", 0.25)):
        begin(model, toy, (0, 2))
        told.append(play_on(model, toy_tour(), 2))
    for true, shown in zip(*told, strict=True):
        np.testing.assert_array_equal(true.frames, shown.frames)
        np.testing.assert_allclose(shown.rewards, 0.75 * true.rewards + 0.25)
    assert {float(p.rewards[0, 0]) for p in told[0]} == {0.0, 1.0}


@pytest.mark.parametrize("name", ["blur", "noise", "tint", "jpeg", "colour-fade"])
def test_a_worse_picture_is_of_the_right_world(name: str) -> None:
    true, shown = show(Oracle(), blocks, (0,)), show(make_fault(name, FAULTS[name].full[2]), blocks, (0,))
    for a, b in zip(true[0], shown[0], strict=True):
        assert np.corrcoef(a.mean(-1).ravel(), b.mean(-1).ravel())[0, 1] > 0.8


def test_cheats_are_what_they_are_called() -> None:
    """Those that know nothing but the context equal the null that knows nothing but the context."""
    for name, null in (("freeze", Frozen), ("replay-context", CopyContext)):
        model = null()
        starts = begin(Oracle(), toy)
        model.reset(join(starts), seeds=[7, 8])
        expected = np.concatenate([p.frames for p in play_on(model, toy_tour(), 2)], axis=1)  # type: ignore[arg-type]
        np.testing.assert_array_equal(show(make_fault(name, 1), toy), expected)
    last = begin(Oracle(), toy, (0,))[0].frames[-1]
    np.testing.assert_array_equal(show(make_fault("pan-by-itself", 1), toy, (0,))[0, 4], np.roll(last, -5, axis=1))
    faded = show(make_fault("fade-to-mean", 0.4), toy, (0,))[0]
    mean = begin(Oracle(), toy, (0,))[0].frames.mean(0)
    assert np.abs(faded[-1] - mean).max() <= 1.0


def test_a_cheat_cheats_in_its_share_of_worlds() -> None:
    worlds = tuple(range(8))
    true, half, full = (show(m, toy, worlds) for m in (Oracle(), make_fault("freeze", 0.4), make_fault("freeze", 1)))
    which = [np.array_equal(half[i], full[i]) for i in worlds]
    assert all(np.array_equal(half[i], full[i] if which[i] else true[i]) for i in worlds)
    assert 0 < sum(which) < 8


def test_the_object_is_always_there() -> None:
    """Though it was removed, moved or recoloured in the context: the picture is that of the untouched world."""
    expected = show(Oracle(), blocks, (0,))
    oracle = Oracle()
    (start,) = begin(oracle, blocks, (0,))
    env = oracle._worlds[0].env
    for change in (
        RemoveObject(object_id=1),
        MoveObject(object_id=1, position=(15.5, 4.0, 15.5)),
        RecolourObject(object_id=1, colour="green"),
    ):
        env.restore(start.state)
        env.edit(change)
        fault = make_fault("always-the-object", 1)
        fault.bind(binding([type(start)(**{**vars(start), "state": env.snapshot()})], blocks))
        fault.reset(join([start]), seeds=[7])
        got = np.concatenate([p.frames for p in play_on(fault, blocks_tour(), 1)], axis=1)
        np.testing.assert_array_equal(got, expected)


def test_the_edit_is_always_there() -> None:
    rest, use = blocks_key(), blocks_key(use=1)
    cheat = make_fault("always-the-edit", 1)
    np.testing.assert_array_equal(
        show(cheat, blocks, actions=[rest, rest, rest, rest]), show(Oracle(), blocks, actions=[use, rest, rest, rest])
    )
    np.testing.assert_array_equal(show(cheat, blocks, actions=blocks_tour()), show(Oracle(), blocks))


@pytest.mark.parametrize(
    ("name", "make"),
    [("vanish", toy), ("reseed", toy), ("frame-shuffle", toy), ("flattened-parallax", toy), ("edit-reverts", blocks)],
)
def test_a_fork_in_the_middle_goes_on_alike(name: str, make: Make) -> None:
    fault, tour = make_fault(name, FAULTS[name].full[3]), blocks_tour() if make is blocks else toy_tour()
    begin(fault, make)
    play_on(fault, tour[:9], 2)
    kept = trees.unflatten(trees.flatten(fault.snapshot(0)))
    first = [p.frames[0] for p in play_on(fault, tour[9:], 2)]
    fault.restore(kept, 1)
    fault.restore(kept, 0)
    for a, b in zip(first, play_on(fault, tour[9:], 2), strict=True):
        np.testing.assert_array_equal(a, b.frames[0])
        np.testing.assert_array_equal(a, b.frames[1])
