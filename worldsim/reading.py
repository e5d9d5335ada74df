"""Reads a prompt in loose words: "red chest", "a pig on your left and two torches far away, at night".

Every word must be known (`worldsim.lexicon`), so that nothing of a prompt is lost unnoticed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from worldsim.captions import Deed
from worldsim.errors import ConfigError, nearest
from worldsim.lexicon import BLOCKS, Lexicon

_Slots: TypeAlias = dict[str, str]  # what is said of one thing: kind, several, colour, count, direction, distance, deed


@dataclass(frozen=True, kw_only=True)
class Mention:
    """A thing as a prompt says it: None is what it leaves open. Attributes as in `captions.Thing`."""

    kind: str
    colour: str = ""
    count: int | None = 1
    direction: str | None = None
    distance: str | None = None


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a prompt says; attributes as in `captions.Facts`."""

    place: str = ""
    time: str = ""
    things: tuple[Mention, ...] = ()
    deeds: tuple[Deed, ...] = ()


def read(prompt: str, lexicon: Lexicon = BLOCKS) -> Said:
    """What a prompt says. Clauses end at a comma, semicolon or full stop, and before "and" or "with".

    Raises:
        ConfigError: If a word is not known, or contradicts another; with the word and what is near to it.
    """
    reader = _Reader(prompt, lexicon)
    for clause in clauses(prompt):
        reader.clause(clause)
    return reader.said()


def readable(prompt: str, lexicon: Lexicon = BLOCKS) -> tuple[str, tuple[str, ...]]:
    """The part of a prompt that `read` takes, and the clauses that it does not take."""
    kept: list[str] = []
    dropped: list[str] = []
    for clause in clauses(prompt):
        try:
            read("; ".join([*kept, clause]), lexicon)
        except ConfigError:
            dropped.append(clause)
        else:
            kept.append(clause)
    return "; ".join(kept), tuple(dropped)


def clauses(prompt: str) -> list[str]:
    """The clauses of a prompt in lower case."""
    parts = re.split(r"[.,;!?\n]+|\b(?:and|with)\b", prompt.lower())
    return [clause for part in parts if (clause := " ".join(part.split()))]


class _Reader:
    def __init__(self, prompt: str, lexicon: Lexicon) -> None:
        self.prompt, self.lexicon = prompt, lexicon
        self.setting: _Slots = {}
        self.things: list[_Slots] = []

    def said(self) -> Said:
        return Said(
            place=self.setting.get("place", ""),
            time=self.setting.get("time", ""),
            things=tuple(_mention(t) for t in self.things if "deed" not in t or t.keys() & {"direction", "distance"}),
            deeds=tuple(
                Deed(what=t["deed"], kind=t["kind"], colour=t.get("colour", "")) for t in self.things if "deed" in t
            ),
        )

    def clause(self, clause: str) -> None:
        """Words before the first kind belong to it; then a count, a colour or another kind starts the next thing."""
        words = re.findall(r"[a-z]+|[0-9]+|[^a-z0-9\s]", clause)
        things: list[_Slots] = [{}]
        at = 0
        while at < len(words):
            length, slot, value = self._phrase(words, at)
            if slot in ("kind", "kinds", "count", "colour") and "kind" in things[-1]:
                things.append({})
            if slot in ("kind", "kinds"):
                things[-1] |= {"kind": value} | ({"several": "yes"} if slot == "kinds" else {})
            elif slot in ("place", "time"):
                self._set(self.setting, slot, value, "the scene")
            elif slot != "glue":
                self._set(things[-1], slot, value, "one thing")
            at += length
        for thing in things:
            self._add(thing, clause)

    def _add(self, thing: _Slots, clause: str) -> None:
        if "kind" in thing:
            self.things.append(thing)
        elif thing and thing.keys() <= {"direction", "distance", "deed"} and self.things:  # "a chest, far away"
            for slot, value in thing.items():
                self._set(self.things[-1], slot, value, "one thing")
        elif thing:
            raise ConfigError(
                f"{clause!r} in the prompt {self.prompt!r} names no thing; say of what, as in 'a red chest behind you'"
            )
        if self.things and "deed" in self.things[-1] and self.things[-1].get("count", "1") != "1":
            raise ConfigError(f"{clause!r} in the prompt {self.prompt!r}: a deed is done to one thing at a time")

    def _set(self, slots: _Slots, slot: str, value: str, what: str) -> None:
        if slots.get(slot, value) != value:
            raise ConfigError(
                f"the prompt {self.prompt!r} says two of {slot} about {what}: {slots[slot]!r} and {value!r}; say one, "
                "or name the second thing"
            )
        slots[slot] = value

    def _phrase(self, words: list[str], at: int) -> tuple[int, str, str]:
        """How many words the longest known phrase has, its slot, its value."""
        for length in range(min(self.lexicon.longest, len(words) - at), 0, -1):
            slot, value = self.lexicon.phrases.get(tuple(words[at : at + length]), ("", ""))
            if slot and (slot != "place" or self._is_place(words, at, at + length)):
                return length, slot, value
        word = words[at]
        if re.fullmatch(r"[1-9][0-9]{0,5}", word):
            return 1, "count", word
        known = {part for phrase in self.lexicon.phrases for part in phrase} - {word}
        raise ConfigError(
            f"cannot read {word!r} in the prompt {self.prompt!r}.{nearest(word, known)} Leave it out, or say what is "
            "there, where and when, as in 'two sheep to the left and a red chest behind you, at night'. Known are "
            f"{', '.join(self.lexicon.kinds[:9])}, ... (docs/prompts.md); free words need an expander of your own"
        )

    def _is_place(self, words: list[str], start: int, end: int) -> bool:
        """Whether a place is meant: "in the open", "village at night"; not "an open chest"."""
        leads = (
            start == 0 or words[start - 1] in ("in", "the", "this") or words[max(start - 2, 0) : start] == ["in", "a"]
        )
        follows = words[end] if end < len(words) else ""
        return leads and self.lexicon.phrases.get((follows,), ("",))[0] not in ("kind", "kinds", "colour", "count")


def _mention(thing: _Slots) -> Mention:
    return Mention(
        kind=thing["kind"],
        colour=thing.get("colour", ""),
        count=int(thing["count"]) if thing.get("count") else None if "several" in thing or "count" in thing else 1,
        direction=thing.get("direction"),
        distance=thing.get("distance"),
    )
