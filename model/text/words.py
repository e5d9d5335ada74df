"""A closed vocabulary of words for captions of the grammar, and captions as word numbers.

A few hundred words are all that `worldsim.captions` ever writes about a world. A word that is not among them is an
error with its name, never an "unknown" token: the model would draw something, and nobody would know why.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worldsim import captions
from worldsim.captions import Deed, Facts, Thing
from worldsim.errors import ConfigError, nearest
from worldsim.lexicon import KINDS, PLACES

PADDING: Final = 0  # what follows a caption, and all of no caption
END: Final = 1  # after the last word
RESERVED: Final = 2  # ids below it are no words
SCHEMA: Final = 1

_TOKEN: Final = re.compile(r"[0-9;.]|[^\s0-9;.]+")  # a number is spelled digit by digit, so any count can be said
_FALLBACKS: Final = ("block", "thing")  # what the captioner calls things without a name of their own
_FRAMES: Final = 64  # seeds, so that long captions come in each of their two or three frames: missed with 2/3 ** 64


def tokens(text: str) -> list[str]:
    """The words of a caption in lower case; each digit, semicolon and full stop is one, too."""
    return _TOKEN.findall(text.lower())


def fit(text: str, length: int) -> tuple[str, int]:
    """Drops whole clauses from the end of a caption until it fits.

    Args:
        text: A caption; its clauses end at ";" or ".".
        length: Tokens that there is room for, the end token included.

    Returns:
        The caption that is left ("" if not even the first clause fits), and how many clauses were dropped.
    """
    if length < 1:
        raise ConfigError(f"a caption needs room for at least 1 token, got {length}")
    if len(tokens(text)) + 1 <= length:
        return text, 0
    clauses = re.findall(r"[^;.]+[;.]?", text)
    for kept in range(len(clauses) - 1, 0, -1):
        short = "".join(clauses[:kept]).strip().removesuffix(";")
        if len(tokens(short)) + 1 <= length:
            return short, len(clauses) - kept
    return "", len(clauses)


@dataclass(frozen=True)
class Vocabulary:
    """Words and their ids: word k has id k + 2; 0 is padding, 1 is the end.

    Attributes:
        words: Lower-case words, single digits, ";" and ".", each once. A checkpoint's embedding has their order.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        for word in self.words:
            if tokens(word) != [word]:
                raise ConfigError(f"a word is lower-case and has no space, digit, ';' or '.' in it, got {word!r}")
        if len(set(self.words)) != len(self.words):
            twice = next(word for word in self.words if self.words.count(word) > 1)
            raise ConfigError(f"each word of a vocabulary comes once; {twice!r} comes twice")

    def __len__(self) -> int:
        """Ids that there are: rows of an embedding."""
        return RESERVED + len(self.words)

    @classmethod
    def from_captions(cls, texts: Iterable[str]) -> Vocabulary:
        """All words of some captions, sorted."""
        return cls(tuple(sorted({token for text in texts for token in tokens(text)})))

    @cached_property
    def _ids(self) -> Mapping[str, int]:
        return {word: RESERVED + k for k, word in enumerate(self.words)}

    def encode(self, text: str, length: int) -> NDArray[np.int64]:
        """A caption as ids.

        Args:
            text: A caption of either form; "" is no caption.
            length: Of the result. What does not fit is dropped in whole clauses, see `fit`.

        Returns:
            (length,) int64: the words, the end, padding. "" is all padding.

        Raises:
            ConfigError: If a word is not in the vocabulary, fitting or not.
        """
        for token in tokens(text):
            if token not in self._ids:
                raise ConfigError(
                    f"the model does not know the word {token!r} of {text!r}.{nearest(token, self.words)} Drop it, or "
                    "expand the prompt with the grammar (worldsim.prompts.expand, docs/prompts.md)."
                )
        short, _ = fit(text, length)
        ids = np.full(length, PADDING, np.int64)
        words = tokens(short)
        if words:
            ids[: len(words) + 1] = [*(self._ids[word] for word in words), END]
        return ids

    def encode_batch(self, texts: Sequence[str], length: int) -> NDArray[np.int64]:
        """(B, length) int64: `encode` of each text."""
        return np.stack([self.encode(text, length) for text in texts]) if texts else np.zeros((0, length), np.int64)

    def decode(self, ids: Sequence[int] | NDArray[np.int64]) -> str:
        """The caption behind ids up to its end, in lower case. Raises ConfigError for an id that is no word."""
        text = ""
        for k in map(int, ids):
            if k in (PADDING, END):
                break
            if not RESERVED <= k < len(self):
                raise ConfigError(f"ids of this vocabulary are 0..{len(self) - 1}, got {k}")
            word = self.words[k - RESERVED]
            joined = not text or word in ";." or (word.isdigit() and text[-1].isdigit())
            text += word if joined else f" {word}"
        return text

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's `config.json`."""
        return {"schema": SCHEMA, "words": list(self.words)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Vocabulary:
        """Inverse of `to_json`. Raises ConfigError for anything else."""
        words = plain.get("words")
        if plain.get("schema") != SCHEMA or not isinstance(words, list) or not all(isinstance(w, str) for w in words):
            raise ConfigError(f"expected schema {SCHEMA} and a list of words, got {dict(plain)!s:.200}")
        return cls(tuple(words))


def caption_vocabulary(kinds: Iterable[str], places: Iterable[str]) -> Vocabulary:
    """Every word that captions of a world can hold: the grammar writes each of its sentences, and they are taken apart.

    Args:
        kinds: Of things and blocks, as the truth calls them ("oak_log", "red_chest") or in words.
        places: Biomes or presets.
    """
    names = dict.fromkeys(captions.kind_and_colour(kind, "")[0] for kind in (*kinds, *_FALLBACKS))
    thing, deed = Thing(kind=_FALLBACKS[0]), Deed(what="open", kind=_FALLBACKS[0])
    things = (
        *(Thing(kind=name, count=count) for name in names for count in (1, 2)),
        *(replace(thing, colour=colour) for colour in captions.COLOURS),
        *(replace(thing, count=count) for count in range(1, len(captions.NUMBERS))),
        *(replace(thing, direction=direction) for direction in captions.DIRECTIONS),
        *(replace(thing, distance=distance) for distance in captions.DISTANCES),
    )
    deeds = tuple(replace(deed, what=what) for what in captions.DEEDS)
    short = [
        Facts(),
        Facts(things=things, deeds=deeds),
        *(Facts(place=place) for place in places),
        *(Facts(time=time) for time in captions.TIMES),
    ]
    frames = [Facts(place=thing.kind), Facts(time="day"), Facts(place=thing.kind, time="day")]
    frames += [Facts(things=(thing, replace(thing, count=2)), deeds=(deed,))]
    texts = [captions.describe(facts) for facts in short]
    texts += [captions.describe(facts, "long", seed=seed) for facts in frames for seed in range(_FRAMES)]
    return Vocabulary.from_captions([*texts, "0123456789"])


def extended(base: Vocabulary, texts: Iterable[str]) -> Vocabulary:
    """`base`, then what else captions of some data's world can hold, sorted: the words of `base` keep their ids.

    Args:
        base: Words that come first.
        texts: Captions of the data. A kind or place that one of them names can be said in every form of the grammar,
            in the plural, too, though the data may hold one form only.
    """
    kinds: set[str] = set()
    places: set[str] = set()
    seen: set[str] = set()
    for text in texts:
        seen.update(tokens(text))
        with contextlib.suppress(ConfigError):  # a caption of the user's own: its words only
            facts = captions.parse(text)
            kinds.update(thing.kind for thing in facts.things)
            kinds.update(deed.kind for deed in facts.deeds)
            places.update({facts.place} - {""})
    if kinds or places:
        seen.update(caption_vocabulary(sorted(kinds), sorted(places)).words)
    return Vocabulary((*base.words, *sorted(seen - set(base.words))))


CAPTION_WORDS: Final = caption_vocabulary(KINDS, PLACES)
