"""Short prompts become captions: what was said stays, what was not is drawn; and other expanders may take over."""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.captions import (
    COLOURS,
    DEEDS,
    DIRECTIONS,
    DISTANCES,
    NUMBERS,
    TIMES,
    Deed,
    Facts,
    Thing,
    describe,
    kind_and_colour,
    parse,
    plural,
)
from worldsim.envs.blocks.kinds import CELL_NAMES
from worldsim.envs.blocks.objects import KIND_NAMES
from worldsim.envs.blocks.presets import PRESETS
from worldsim.errors import ConfigError, PrerequisiteError
from worldsim.lexicon import BLOCKS, KINDS, PLACES, Lexicon
from worldsim.model.text.words import tokens
from worldsim.prompts import CommandExpander, complete, expand, expander, understand
from worldsim.reading import Mention, Said, read, readable

DOCS = Path(__file__).parents[1] / "docs" / "prompts.md"
MENTIONS = st.builds(
    Mention,
    kind=st.sampled_from(BLOCKS.kinds),
    colour=st.sampled_from(["", *COLOURS]),
    count=st.one_of(st.none(), st.integers(1, 20)),
    direction=st.sampled_from([None, *DIRECTIONS]),
    distance=st.sampled_from([None, *DISTANCES]),
)
SAID = st.builds(
    Said,
    place=st.sampled_from(["", *PLACES]),
    time=st.sampled_from(["", *TIMES]),
    things=st.lists(MENTIONS, max_size=4).map(tuple),
    deeds=st.lists(st.builds(Deed, what=st.sampled_from(list(DEEDS)), kind=st.sampled_from(KINDS)), max_size=2).map(
        tuple
    ),
)
LOOSE = {"left": "on your left", "ahead": "in front of you", "right": "right", "behind": "behind"}


def loosely(said: Said, comma: bool) -> str:
    """The words of a person; `read` is not asked."""
    parts = []
    for m in said.things:
        number = "some" if m.count is None else NUMBERS[m.count] if m.count < len(NUMBERS) else str(m.count)
        noun = m.kind if m.count == 1 else plural(m.kind)
        where = [
            *([LOOSE[m.direction]] if m.direction else []),
            *(["far away" if m.distance == "far" else "near"] if m.distance else []),
        ]
        parts.append((", " if comma else " ").join([" ".join(filter(None, (number, m.colour, noun))), *where]))
    parts += [f"the {d.kind} is {DEEDS[d.what]}" for d in said.deeds]
    setting = " ".join(
        filter(None, (f"in the {said.place}" if said.place else "", f"at {said.time}" if said.time else ""))
    )
    return (" and " if not comma else "; ").join([*parts, *([setting] if setting else [])])


def holds(facts: Facts, said: Said) -> bool:
    """Whether the facts contain all that was said, in its order."""
    if (said.place or facts.place, said.time or facts.time, said.deeds) != (facts.place, facts.time, facts.deeds):
        return False
    return all(
        (m.kind, m.colour) == (t.kind, t.colour)
        and (m.count == t.count if m.count is not None else 2 <= t.count <= 4)
        and m.direction in (None, t.direction)
        and m.distance in (None, t.distance)
        for m, t in zip(said.things, facts.things, strict=bool(said.things))
    )


@settings(deadline=None)
@given(SAID, st.booleans(), st.integers(0, 1000))
def test_what_was_said_is_read_and_kept(said: Said, comma: bool, seed: int) -> None:
    prompt = loosely(said, comma)
    assert read(prompt) == said
    full = expand(prompt, seed=seed, times=TIMES)
    assert holds(parse(full), said)
    facts = parse(full)
    assert facts.place and facts.time and (facts.things or facts.deeds)
    assert expand(prompt, seed=seed, times=TIMES) == full
    assert expand(full, seed=seed + 1, times=TIMES) == full, "a full caption lacks nothing"


FACTS = st.builds(
    Facts,
    place=st.sampled_from(["", "arena", "snowy forest"]),
    time=st.sampled_from(["", *TIMES]),
    things=st.lists(
        st.builds(
            Thing,
            kind=st.sampled_from(["chest", "dragon", "oak planks"]),
            count=st.integers(1, 30),
            direction=st.sampled_from(list(DIRECTIONS)),
            distance=st.sampled_from(list(DISTANCES)),
        ),
        max_size=3,
    ).map(tuple),
)


@settings(deadline=None)
@given(FACTS, st.sampled_from(["short", "long"]), st.integers(0, 99))
def test_a_caption_only_gets_what_it_lacks(facts: Facts, form: Any, seed: int) -> None:
    caption = describe(facts, form, seed=seed)
    full = expand(caption, seed=seed, place="village", times=TIMES)
    found = parse(full)
    assert found.things[: len(facts.things)] == facts.things and (
        not facts.things or len(found.things) == len(facts.things)
    )
    assert found.place == (facts.place or "village") and found.time in ([facts.time] if facts.time else TIMES)
    assert full.endswith(".") == (form == "long" and facts != Facts())
    if facts.place and facts.time and facts.things:
        assert full == caption


def test_known_expansions() -> None:
    facts = parse(expand("a red chest behind you and two torches left", seed=0))
    assert [(t.count, t.colour, t.kind, t.direction) for t in facts.things] == [
        (1, "red", "chest", "behind"),
        (2, "", "torch", "left"),
    ]
    assert facts.place == "arena"
    assert understand("gray sheep in the distance") == Said(
        things=(Mention(kind="sheep", colour="grey", distance="far"),)
    )
    assert read("village at night with three sheep") == Said(
        place="village", time="night", things=(Mention(kind="sheep", count=3),)
    )
    assert read("in a village, an opened chest") == Said(place="village", deeds=(Deed(what="open", kind="chest"),))
    assert read("a red chest behind you is opened") == Said(
        things=(Mention(kind="chest", colour="red", direction="behind"),),
        deeds=(Deed(what="open", kind="chest", colour="red"),),
    )
    assert read("left red chest") == read("red chest, left") == read("RED chest on the left.")
    assert read("far away a pig") == read("a pig; far away")
    assert read("in the open") == Said(place="open")
    assert read("") == read(" .; ") == Said()


def test_seeds_choose() -> None:
    many = {expand("red chest", seed=seed, times=TIMES) for seed in range(60)}
    found = [parse(text) for text in many]
    assert {f.time for f in found} == set(TIMES)
    assert {f.things[0].direction for f in found} == set(DIRECTIONS)
    assert {f.things[0].distance for f in found} == set(DISTANCES)
    shown = [t for seed in range(60) for t in parse(expand("", seed=seed)).things]
    assert {t.kind for t in shown} == {"chest", "crate", "gem"} and all(t.colour for t in shown)
    assert parse(expand("nothing in particular", seed=4)).things
    assert not any(parse(expand("a pig", seed=seed)).time for seed in range(9)), "time stays unsaid"


def test_only_words_of_the_model_are_drawn() -> None:
    """But what the prompt says is kept."""
    captions = [
        "in the arena; a red chest close by to the left; a blue gem close by straight ahead",
        "in the arena; two gems close by behind you",
        "a red gem is opened",
    ]
    words = {word for text in captions for word in tokens(text)}
    for seed in range(60):
        for prompt in ("", "chest", "some gems", "nothing in particular"):
            full = expand(prompt, seed=seed, times=TIMES, words=words)
            assert set(tokens(full)) <= words, full
            assert parse(full).place == "arena" and parse(full).things
        some = parse(expand("some gems", seed=seed, times=TIMES, words=words)).things
        assert some[0].count == 2 and some[0].distance == "near" and some[0].direction != "right"
    said = parse(expand("three yellow pigs far away at night", seed=0, words=words))
    assert said.time == "night" and (said.things[0].count, said.things[0].kind) == (3, "pig")
    assert parse(expand("", seed=0, words=words | {"night"}, times=TIMES)).time == "night"
    nothing = parse(expand("chest", seed=0, place="village", words=set()))
    assert nothing.place == nothing.time == "" and nothing.things[0].direction in DIRECTIONS
    assert parse(expand("", seed=0, words=set())) == Facts()


def test_saying_more_changes_nothing_else() -> None:
    for seed in range(20):
        free, said = (
            complete(read(prompt), np.random.default_rng(seed)) for prompt in ("a chest", "a chest on the left")
        )
        assert replace(free, things=(replace(free.things[0], direction="left"),)) == said


def test_the_scene_before_goes_on() -> None:
    before = Facts(place="village", time="dusk", things=(Thing(kind="pig"),))
    assert parse(expand("it is night", seed=0, after=before)) == Facts(
        place="village", time="night", things=before.things
    )
    assert parse(expand("", seed=0, after=before)) == before
    assert parse(expand("a gem ahead near", seed=0, after=before)).things == (Thing(kind="gem"),)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("red chezt", r"'chezt' .*Did you mean 'chest'\?"),
        ("an open chest", r"'open' .*Did you mean 'opened'\?"),
        ("a spooky chest", "'spooky'"),
        ("a pig in the villge", r"'villge' .*'village'"),
        ("0 pigs", "'0'"),
        ("a chest & a pig", "'&'"),
        ("red", "names no thing"),
        ("behind you", "names no thing"),
        ("a pig and two", "names no thing"),
        ("chest left right", "two of direction .*'left' and 'right'"),
        ("a pig left, right", "two of direction"),
        ("at night, at day", "two of time"),
        ("two chests are opened", "one thing at a time"),
        ("two chests, opened", "one thing at a time"),
        ("9" * 5000 + " pigs", "cannot read"),
    ],
)
def test_what_cannot_be_read_is_named(prompt: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        expand(prompt, seed=0)


WORDS = ("a", "red", "chest", "left", "two", "night", "day", "the", "in", "open", "opened", ",", ";", "x", ".", "and")


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    kept, dropped = readable(text)
    try:
        read(text)
    except ConfigError:
        assert dropped
    else:
        assert not dropped and read(kept) == read(text)
    parse(expand(kept, seed=0))


def test_the_kinds_are_those_of_the_blocks_world() -> None:
    names = [name for name in (*CELL_NAMES, *KIND_NAMES) if name != "air"]
    assert set(KINDS) == {kind_and_colour(name, "")[0] for name in names}
    assert list(PLACES) == list(PRESETS)
    coloured = {kind_and_colour(name, "") for name in KIND_NAMES}
    assert {(kind, c) for kind, colours in BLOCKS.scenery.items() for c in colours} == {
        pair for pair in coloured if pair[1]
    }


def test_a_lexicon_of_ones_own() -> None:
    mine = Lexicon(kinds=("dragon", "tea pot"), places=("dark cave",))
    facts = parse(expand("two tea pots ahead in the dark cave", seed=0, lexicon=mine))
    assert facts.place == "dark cave" and facts.things[0].kind == "tea pot" and facts.things[0].count == 2
    assert {t.kind for seed in range(20) for t in parse(expand("", seed=seed, lexicon=mine)).things} == {
        "dragon",
        "tea pot",
    }
    with pytest.raises(ConfigError, match="'chest'"):
        expand("chest", seed=0, lexicon=mine)
    for wrong in ({"kinds": ()}, {"kinds": ("red chest",)}, {"kinds": ("a",), "places": ("Cave",)}):
        with pytest.raises(ConfigError):
            Lexicon(**{"places": (), **wrong})  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------- expanders

GOOD = "in the village at night; a white sheep close by straight ahead"


class Stub:
    """Gives its answers in turn; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), list[tuple[str, int]]()

    def __call__(self, prompt: str, seed: int) -> str:
        self.asked.append((prompt, seed))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


def test_an_expander_is_asked_first() -> None:
    stub = Stub(f"  {GOOD}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert expand("something fluffy", seed=7, with_=stub) == GOOD
    assert stub.asked == [("something fluffy", 7)]


def test_an_expander_has_a_second_attempt() -> None:
    stub = Stub("Sure! Here is a caption.", GOOD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert expand("x", seed=7, with_=stub) == GOOD
    assert stub.asked == [("x", 7), ("x", 8)]


@pytest.mark.parametrize("bad", ["no caption", "", None, RuntimeError("no weights"), ConfigError("?")])
def test_then_the_grammar_takes_over(bad: Any) -> None:
    stub = Stub(bad, bad)
    with pytest.warns(UserWarning, match="no caption of the grammar for 'red chest'"):
        assert expand("red chest", seed=7, with_=stub) == expand("red chest", seed=7)
    assert len(stub.asked) == 2
    with pytest.warns(UserWarning, match="it cannot read 'something fluffy'"):
        full = expand("something fluffy, a pig behind you", seed=7, with_=Stub(bad, bad))
    assert parse(full).things[0].kind == "pig"
    with pytest.warns(UserWarning, match="cannot read"):
        parse(expand("?!* #", seed=7, with_=Stub(bad, bad)))


def program(code: str, timeout: float = 60.0) -> CommandExpander:
    return CommandExpander([sys.executable, "-S", "-c", code], timeout)


def test_a_command_expands() -> None:
    echo = program("import os; print(); print(input(), os.environ['WORLDSIM_SEED']); print('more')")
    assert echo("a pig", 5) == "a pig 5"
    assert echo("a\npig", 5) == "a pig 5"
    assert program(f"print('{GOOD}')")("not read", 0) == GOOD
    assert expand("x", seed=0, with_=program(f"print('{GOOD}')")) == GOOD


@pytest.mark.parametrize("code", ["", "import sys; sys.exit(3)", "print(' ')"])
def test_a_command_without_an_answer(code: str) -> None:
    with pytest.raises(ConfigError, match="printed no line"):
        program(code)("a pig", 0)


def test_a_command_is_ended_with_all_that_it_started() -> None:
    """A child that holds the pipe open would keep the reader for an hour."""
    hang = program("import subprocess, sys, time; subprocess.Popen(['sleep', '3600']); time.sleep(3600)", timeout=0.5)
    with pytest.raises(ConfigError, match=r"within 0\.5 s"):
        hang("a pig", 0)
    endless = program("import sys\nwhile True: sys.stdout.write('x' * 1000)")
    assert len(endless("a pig", 0)) == 10_000


def test_commands_that_cannot_be() -> None:
    with pytest.raises(PrerequisiteError, match="cannot start 'no-such-program'"):
        CommandExpander(["no-such-program"])("a pig", 0)
    for command in ("echo", []):
        with pytest.raises(ConfigError, match="list of program"):
            CommandExpander(command)
    with pytest.raises(ConfigError, match="timeout"):
        CommandExpander(["echo"], 0)
    assert expander("grammar") is expander("") is None
    assert expander("my-model --size 'very small'") == CommandExpander(["my-model", "--size", "very small"])
    with pytest.raises(ConfigError, match="grammar"):
        expander("my-model 'open")


@pytest.mark.skipif(not DOCS.is_file(), reason="not a checkout")
def test_the_page_names_all_words() -> None:
    text = DOCS.read_text(encoding="utf-8")
    rows = {match[1]: match[2] for match in re.finditer(r"^\| ([A-Z]+) \| (.*) \|$", text, re.MULTILINE)}
    assert rows["TIME"] == ", ".join(TIMES)
    assert rows["COLOUR"] == ", ".join(COLOURS)
    assert rows["DONE"] == ", ".join(DEEDS.values())
    assert rows["DIRECTION"] == ", ".join(DIRECTIONS.values())
    assert [word.split(" (")[0] for word in rows["DISTANCE"].split(", ")] == list(DISTANCES.values())
    assert rows["PLACE"].endswith(": " + ", ".join(PLACES))
