from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.captions import COLOURS, DEEDS, DIRECTIONS, DISTANCES, TIMES, Deed, Facts, Thing, describe, parse
from worldsim.envs.blocks.kinds import CELL_NAMES
from worldsim.envs.blocks.objects import KIND_NAMES
from worldsim.envs.blocks.presets import PRESETS
from worldsim.errors import ConfigError
from worldsim.lexicon import KINDS, PLACES
from worldsim.model.text import CAPTION_WORDS, Vocabulary, caption_vocabulary, extended, fit
from worldsim.model.text.words import tokens

COLOUR = st.sampled_from(["", *COLOURS])
THINGS = st.builds(
    Thing,
    kind=st.sampled_from(KINDS),
    colour=COLOUR,
    count=st.integers(1, 40),
    direction=st.sampled_from(list(DIRECTIONS)),
    distance=st.sampled_from(list(DISTANCES)),
)
FACTS = st.builds(
    Facts,
    place=st.sampled_from(["", *PLACES]),
    time=st.sampled_from(["", *TIMES]),
    things=st.lists(THINGS, max_size=4).map(tuple),
    deeds=st.lists(
        st.builds(Deed, what=st.sampled_from(list(DEEDS)), kind=st.sampled_from(KINDS), colour=COLOUR), max_size=2
    ).map(tuple),
)
SMALL = Vocabulary(("a", "chest", "pig", "red", ";", "."))


def test_known_ids() -> None:
    assert SMALL.encode("a red chest", 6).tolist() == [2, 5, 3, 1, 0, 0]
    assert SMALL.encode("A red chest. A pig.", 9).tolist() == [2, 5, 3, 7, 2, 4, 7, 1, 0]
    assert SMALL.encode("", 3).tolist() == [0, 0, 0]
    batch = SMALL.encode_batch(["a pig", ""], 4)
    assert batch.dtype == np.int64 and batch.tolist() == [[2, 4, 1, 0], [0, 0, 0, 0]]
    assert SMALL.encode_batch([], 4).shape == (0, 4)
    assert len(SMALL) == 8


@settings(deadline=None)
@given(FACTS, st.integers(0, 1000))
def test_every_caption_of_blocks_can_be_said_and_read_back(facts: Facts, seed: int) -> None:
    short, long = describe(facts), describe(facts, "long", seed=seed)
    assert CAPTION_WORDS.decode(CAPTION_WORDS.encode(short, 200)) == short
    if facts != Facts():
        assert parse(CAPTION_WORDS.decode(CAPTION_WORDS.encode(short, 200))) == facts
    assert CAPTION_WORDS.decode(CAPTION_WORDS.encode(long, 200)) == long.lower()


def test_the_default_words_are_those_of_the_blocks_world() -> None:
    names = [name for name in (*CELL_NAMES, *KIND_NAMES) if name != "air"]
    assert caption_vocabulary(names, PRESETS) == CAPTION_WORDS
    assert {"torch", "torches", "apple"}.isdisjoint(CAPTION_WORDS.words)
    assert "torches" in caption_vocabulary(["torch"], ()).words


@settings(deadline=None)
@given(FACTS, st.integers(0, 50), st.integers(1, 60), st.booleans())
def test_what_does_not_fit_is_dropped_in_whole_clauses(facts: Facts, seed: int, length: int, long: bool) -> None:
    text = describe(facts, "long" if long else "short", seed=seed)
    short, dropped = fit(text, length)
    assert len(tokens(short)) + 1 <= length or short == ""
    assert np.array_equal(CAPTION_WORDS.encode(text, length), CAPTION_WORDS.encode(short, length))
    whole = text.split(". ") if long else text.split("; ")
    kept = whole[: len(whole) - dropped]
    assert short.removesuffix(".").split(". " if long else "; ") == (
        [*kept[:-1], kept[-1].removesuffix(".")] if kept else [""]
    )
    if dropped:  # one clause more would be too long
        more = whole[: len(kept) + 1]
        ends = len(more) if long else len(more) - 1
        assert sum(len(tokens(clause.removesuffix("."))) for clause in more) + ends + 1 > length


def test_known_fits() -> None:
    text = "in the arena at day; a red chest close by behind you; a pig far away to the left"
    assert fit(text, 100) == (text, 0)
    assert fit(text, 14) == ("in the arena at day; a red chest close by behind you", 1)
    assert fit(text, 13) == ("in the arena at day", 2)
    assert fit(text, 5) == ("", 3)
    assert fit("This is the arena. It is the time of day.", 6) == ("This is the arena.", 1)
    with pytest.raises(ConfigError, match="at least 1"):
        fit(text, 0)


def test_a_word_that_is_not_known_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'chezt' of 'a red chezt'\. Did you mean 'chest'\?.*Drop it, or"):
        CAPTION_WORDS.encode("a red chezt", 8)
    with pytest.raises(ConfigError, match="'chest,'"):
        CAPTION_WORDS.encode("a chest, a pig", 8)
    with pytest.raises(ConfigError, match="'dragon'"):  # also where it would have been dropped
        SMALL.encode("a pig; a dragon", 4)


def test_vocabularies_are_plain_values() -> None:
    texts = ["a red chest; a pig", "A pig."]
    assert Vocabulary.from_captions(texts).words == (".", ";", "a", "chest", "pig", "red")
    assert Vocabulary.from_json(json.loads(json.dumps(CAPTION_WORDS.to_json()))) == CAPTION_WORDS
    for wrong in ({}, {"schema": 2, "words": []}, {"schema": 1, "words": "a pig"}, {"schema": 1, "words": [3]}):
        with pytest.raises(ConfigError, match="expected schema 1"):
            Vocabulary.from_json(wrong)


@pytest.mark.parametrize("words", [("a", "a"), ("A",), ("red chest",), ("",), ("12",), ("a;",)])
def test_words_that_could_not_be_read_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        Vocabulary(words)


def test_ids_that_are_no_words_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"0\.\.7, got 8"):
        SMALL.decode([2, 8])
    assert SMALL.decode([2, 4, 1, 99]) == "a pig"


def test_words_of_other_worlds_come_after_those_of_blocks_in_every_form() -> None:
    texts = ["in the court; two pigs close by behind you; a lime cow far away to the left", "a stranger", ""]
    found = extended(CAPTION_WORDS, texts)
    assert found.words == (*CAPTION_WORDS.words, "court", "cow", "cows", "lime", "stranger")
    assert extended(CAPTION_WORDS, ["", "a red chest close by behind you"]) == CAPTION_WORDS
    assert extended(Vocabulary(("a",)), ()).words == ("a",)
