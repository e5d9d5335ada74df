"""The fault that follows another prompt: it strikes the told thing out of view, in its colour, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.faults.tour import blocks, blocks_key, play_on, start
from worldsim.captions import Facts, Thing, describe, parse
from worldsim.faults import make_fault
from worldsim.faults.unseen import COLOURS
from worldsim.oracle import Oracle
from worldsim.starts import Start, binding, join
from worldsim.truth import AddObject, ObjectState
from worldsim.types import Context, Frames

AROUND = [blocks_key(camera=(0.0, 20.0))] * 9  # what lies behind comes into view
PAST = [blocks_key(camera=(0.0, 0.0))] * 2
BEHIND = describe(Facts(things=(Thing(kind="chest", colour="red", direction="behind"),)))


def told_start(world: int, *, kind: str = "red_chest") -> tuple[Start, ObjectState]:
    """A context that looks away from a chest which was put down out of view, and that chest."""
    env = blocks()
    first = start(env, world, PAST)
    state = env.truth()
    assert state.world_from_camera is not None
    pose = state.world_from_camera
    ahead = pose[:3, 2] * (1.0, 0.0, 1.0)
    floor = min(o.position[1] - o.size[1] / 2 for o in state.objects)
    spot = pose[:3, 3] - 2.0 * ahead / np.linalg.norm(ahead)
    env.edit(AddObject(kind=kind, position=(float(spot[0]), float(floor), float(spot[2]))))
    added = max(env.truth().objects, key=lambda o: o.id)
    assert added.visible_px == 0 and added.kind == kind
    return Start(**{**vars(first), "state": env.snapshot()}), added


def shown(model: Oracle, starts: Sequence[Start], prompts: Sequence[str], seed: int = 7) -> Frames:
    """(B, T, H, W, 3) while the camera turns around."""
    begin(model, starts, prompts, seed)
    frames = np.concatenate([p.frames for p in play_on(model, AROUND, len(starts))], axis=1)
    model.close()
    return np.asarray(frames)


def begin(model: Oracle, starts: Sequence[Start], prompts: Sequence[str], seed: int = 7) -> None:
    model.bind(binding(list(starts), blocks))
    plain = join(list(starts))
    context = Context(frames=plain.frames, actions=plain.actions, prompts=tuple(prompts))
    model.reset(context, seeds=[seed + i for i in range(len(starts))])


def things(model: Oracle, row: int = 0) -> dict[int, ObjectState]:
    return {o.id: o for o in model._worlds[row].env.truth().objects}


def test_the_prompt_is_of_the_grammar() -> None:
    assert parse(BEHIND).things[0].colour == "red"


def test_the_told_thing_has_another_colour_and_nothing_else_changes() -> None:
    worlds = [told_start(w) for w in range(4)]
    starts = [s for s, _ in worlds]
    chosen = set()
    for seed in range(0, 24, 4):
        true, fault = Oracle(), make_fault("prompt-swap", 1)
        for model in (true, fault):
            begin(model, starts, [BEHIND] * 4, seed)
        for row, (_, told) in enumerate(worlds):
            before, after = things(true, row), things(fault, row)
            assert set(before) == set(after)
            changed = [i for i in before if before[i].attributes.get("colour") != after[i].attributes.get("colour")]
            assert changed == [told.id] and before[told.id].attributes["colour"] == "red"
            chosen.add(after[told.id].attributes["colour"])
            np.testing.assert_array_equal(before[told.id].position, after[told.id].position)
        true.close()
        fault.close()
    assert chosen == set(COLOURS) - {"red"}


def test_it_is_seen_when_the_thing_comes_into_view_and_only_there() -> None:
    begun, told = told_start(0)
    oracle = Oracle()
    begin(oracle, [begun], [BEHIND])
    env = oracle._worlds[0].env
    ids = []
    for action in AROUND:
        env.step(action)
        ids.append(np.asarray(env.truth().segmentation))
    oracle.close()
    true = shown(Oracle(), [begun], [BEHIND])[0]
    wrong = shown(make_fault("prompt-swap", 1), [begun], [BEHIND])[0]
    seen = [(segmentation == told.id).sum() for segmentation in ids]
    assert seen[0] == 0 and max(seen) > 20
    for t, segmentation in enumerate(ids):
        changed = (true[t] != wrong[t]).any(axis=-1)
        assert not changed[segmentation != told.id].any()
        assert changed.any() == (seen[t] > 0)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "nothing in particular",
        "please put a red chest somewhere behind me",  # not the grammar's words
        describe(Facts(things=(Thing(kind="chest", colour="blue", direction="behind"),))),
        describe(Facts(things=(Thing(kind="sheep", colour="red", direction="behind"),))),
        describe(Facts(things=(Thing(kind="chest", direction="behind"),))),  # no colour is told
    ],
)
def test_what_the_prompt_does_not_tell_stays_as_it_is(prompt: str) -> None:
    begun, _ = told_start(0)
    np.testing.assert_array_equal(
        shown(make_fault("prompt-swap", 1), [begun], [prompt]), shown(Oracle(), [begun], [prompt])
    )


def test_what_is_in_view_is_not_struck() -> None:
    """A prompt about a thing that everybody sees: to change it would be no matter of words."""
    env = blocks()
    for world in range(20):
        begun = start(env, world, PAST)
        seen = [o for o in env.truth().objects if o.visible_px and o.attributes.get("colour")]
        if seen:
            break
    told = seen[0]
    hidden = [o for o in env.truth().objects if o.visible_px == 0 and o.kind == told.kind]
    assert not hidden
    words = told.kind.split("_", 1)[1].replace("_", " ")
    prompt = describe(Facts(things=(Thing(kind=words, colour=str(told.attributes["colour"])),)))
    fault = make_fault("prompt-swap", 1)
    begin(fault, [begun], [prompt])
    assert things(fault)[told.id].attributes["colour"] == told.attributes["colour"]
    fault.close()


def test_of_two_that_fit_the_newest_is_meant() -> None:
    """An older chest of the same colour elsewhere out of view is left alone."""
    begun, first = told_start(1)
    env = blocks()
    env.reset(seed=1)
    assert begun.state is not None
    env.restore(begun.state)
    x, y, z = first.position - np.array([0.0, first.size[1] / 2, 0.0])
    env.edit(AddObject(kind="red_chest", position=(float(x) + 1.5, float(y), float(z))))
    second = max(env.truth().objects, key=lambda o: o.id)
    assert second.id != first.id and second.visible_px == 0
    fault = make_fault("prompt-swap", 1)
    begin(fault, [Start(**{**vars(begun), "state": env.snapshot()})], [BEHIND])
    after = things(fault)
    fault.close()
    assert after[first.id].attributes["colour"] == "red" and after[second.id].attributes["colour"] != "red"


def test_worlds_are_struck_in_their_share_and_more_with_the_severity() -> None:
    """Who is struck at 0.2 is struck at 0.6 too, and in the same colour."""
    starts = [told_start(0)[0]] * 24
    colours: dict[float, list[Any]] = {}
    for severity in (0.0, 0.2, 0.6, 1.0):
        fault = make_fault("prompt-swap", severity)
        begin(fault, starts, [BEHIND] * len(starts))
        newest = [max(things(fault, row).items())[1].attributes["colour"] for row in range(len(starts))]
        colours[severity] = newest
        fault.close()
    struck = {s: {i for i, c in enumerate(found) if c != "red"} for s, found in colours.items()}
    assert struck[0.0] == set() and len(struck[1.0]) == 24
    assert 0 < len(struck[0.2]) < len(struck[0.6]) < 24 and struck[0.2] < struck[0.6]
    assert all(colours[0.6][i] == colours[1.0][i] for i in struck[0.6])
