"""Captions of the built-in world: what is written of its true states is read back as the same facts."""

from __future__ import annotations

import pytest

from tests.envs.blocks.helpers import FLOOR, action, env_of, flat, random_actions
from worldsim import trees
from worldsim.captions import Deed, Facts, Thing, caption, describe, facts_from_truth, parse
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.envs.blocks.kinds import KINDS
from worldsim.envs.blocks.layout import ObjectSpec
from worldsim.envs.blocks.objects import KIND_NAMES
from worldsim.envs.blocks.presets import PRESETS
from worldsim.truth import Event, TruthState


@pytest.mark.parametrize("preset", PRESETS)
def test_captions_of_every_preset_are_read_back(preset: str) -> None:
    env = BlocksEnv(preset=preset, size=(32, 32))
    things = 0
    for seed in range(4):
        env.reset(seed=seed)
        actions = random_actions(seed, 25, turn=60.0)
        for t in range(25):
            *_, info = env.step(trees.index(actions, t))
            about = {"preset": preset, "hour": info["hour"]}
            facts = facts_from_truth(env.truth(), about)
            assert facts.place == preset and facts.time
            assert parse(caption(env.truth(), about)) == facts
            assert parse(caption(env.truth(), about, form="long", seed=t)) == facts
            seen = sum(o.exists and o.visible_px > 0 for o in env.truth().objects)
            assert sum(thing.count for thing in facts.things) == seen, (
                "no instance in view is left out or counted twice"
            )
            things += seen
    assert things, "something was in view"


def test_deeds_are_told() -> None:
    world = flat(ObjectSpec(kind="crate", colour="red", position=(8.5, float(FLOOR), 10.5)))
    env = env_of(world)
    told = []
    for pressed in (
        {"camera": (35.0, 0.0), "use": 1},
        {},
        {"camera": (0.0, 60.0), "drop": 1},
        {"hotbar_3": 1, "camera": (0.0, 60.0)},
        {"use": 1},
    ):
        env.step(action(**pressed))
        told += parse(caption(env.truth())).deeds
    assert told == [
        Deed(what="pick_up", kind="crate", colour="red"),
        Deed(what="drop", kind="crate", colour="red"),
        Deed(what="place", kind="wool", colour="red"),
    ]


@pytest.mark.parametrize("count", [1, 2, 13])
def test_every_kind_of_block_and_object_can_be_named(count: int) -> None:
    for name in (*(kind.name for kind in KINDS if kind), *KIND_NAMES):
        event = Event(kind="place", details={"kind": name})
        (deed,) = facts_from_truth(TruthState(time=0.0, events=(event,))).deeds
        facts = Facts(things=(Thing(kind=deed.kind, colour=deed.colour, count=count),), deeds=(deed,))
        for form in ("short", "long"):
            assert parse(describe(facts, form)) == facts, name
