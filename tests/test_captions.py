from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worldsim.captions import (
    COLOURS,
    DEEDS,
    DIRECTIONS,
    DISTANCES,
    TIMES,
    Deed,
    Facts,
    Thing,
    describe,
    facts_from_truth,
    parse,
    time_of_day,
)
from worldsim.errors import ConfigError
from worldsim.truth import Event, ObjectState, TruthState

WORDS = st.sampled_from(
    [
        "chest",
        "crate",
        "gem",
        "oak log",
        "oak planks",
        "glass",
        "sheep",
        "torch",
        "lever",
        "ice",
        "box",
        "lamp at dusk",
        "is",
        "a",
        "there is",
    ]
)
THINGS = st.builds(
    Thing,
    kind=WORDS,
    colour=st.sampled_from(["", *COLOURS]),
    count=st.integers(1, 40),
    direction=st.sampled_from(list(DIRECTIONS)),
    distance=st.sampled_from(list(DISTANCES)),
)
DEED_LISTS = st.lists(
    st.builds(Deed, what=st.sampled_from(list(DEEDS)), kind=WORDS, colour=st.sampled_from(["", *COLOURS])), max_size=3
)
FACTS = st.builds(
    Facts,
    place=st.sampled_from(["", "arena", "village", "open", "snowy forest"]),
    time=st.sampled_from(["", *TIMES]),
    things=st.lists(THINGS, max_size=5).map(tuple),
    deeds=DEED_LISTS.map(tuple),
)


@settings(deadline=None)  # no timed tests
@given(FACTS, st.integers(0, 50))
@example(Facts(), 0)
@example(Facts(time="night"), 0)
def test_what_is_written_is_read_back(facts: Facts, seed: int) -> None:
    assert parse(describe(facts)) == facts
    assert parse(describe(facts, "long", seed=seed)) == facts
    assert describe(facts, "long", seed=seed) == describe(facts, "long", seed=seed)


def test_known_captions() -> None:
    facts = Facts(
        place="arena",
        time="day",
        things=(
            Thing(kind="chest", colour="red"),
            Thing(kind="sheep", count=2, direction="left", distance="far"),
        ),
        deeds=(Deed(what="open", kind="chest", colour="red"),),
    )
    assert describe(facts) == (
        "in the arena at day; a red chest close by straight ahead; two sheep far away to the left; "
        "a red chest is opened"
    )
    long = {describe(facts, "long", seed=seed) for seed in range(40)}
    assert len(long) > 10, "the seed chooses the frames"
    assert any(text.startswith("This is the arena at day. There is a red chest") for text in long)
    other = replace(facts, things=(replace(facts.things[0], colour="blue"), *facts.things[1:]))
    assert describe(other) == describe(facts).replace("a red chest close", "a blue chest close")


@pytest.mark.parametrize(
    "text",
    [
        "The chest dances.",
        "arena; seven chest",
        "a red chest close by to the moon",
        "This is. A b",
        "ä",
        "",
        "arena",
        "In the arena. In the arena.",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "red chest"},
        {"kind": "Chest"},
        {"kind": "chest", "colour": "mauve"},
        {"kind": "chest", "count": 0},
        {"kind": "chest", "direction": "up"},
    ],
)
def test_facts_that_cannot_be_written_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Thing(**wrong)  # type: ignore[arg-type]


def thing(id: int, kind: str, x: float, z: float, **more: object) -> ObjectState:
    return ObjectState(id=id, kind=kind, position=np.array([x, 1.0, z]), size=np.ones(3), visible_px=50, **more)  # type: ignore[arg-type]


def test_facts_from_truth() -> None:
    pose = np.diag([-1.0, -1.0, 1.0, 1.0])  # looks along +z, so that right is -x
    state = TruthState(
        time=0.0,
        world_from_camera=pose,
        objects=(
            thing(1, "red_chest", 0.2, 4.0),
            thing(2, "crate", -5.0, 6.0, attributes={"colour": "blue"}),
            thing(3, "crate", -5.5, 6.0, attributes={"colour": "blue"}),
            thing(4, "sheep", 4.0, 3.0, exists=False),
            replace(thing(5, "pig", 3.0, 3.0), visible_px=0),
            thing(6, "lamp", 3.0, -3.0),
        ),
        events=(Event(kind="open", object_id=1), Event(kind="place", details={"kind": "oak_planks"}), Event(kind="?")),
    )
    facts = facts_from_truth(state, {"preset": "arena", "hour": 22.0})
    assert facts == Facts(
        place="arena",
        time="night",
        things=(
            Thing(kind="chest", colour="red"),
            Thing(kind="lamp", direction="behind"),
            Thing(kind="crate", colour="blue", count=2, direction="right", distance="far"),
        ),
        deeds=(Deed(what="open", kind="chest", colour="red"), Deed(what="place", kind="oak planks")),
    )
    assert any(t.kind == "pig" and t.direction == "left" for t in facts_from_truth(state, only_visible=False).things)
    assert facts_from_truth(TruthState(time=0.0)) == Facts()


@pytest.mark.parametrize(("hour", "word"), [(6, "dawn"), (12, "day"), (19, "dusk"), (0, "night"), (30, "dawn")])
def test_time_of_day(hour: float, word: str) -> None:
    assert time_of_day(hour) == word
