"""Captions: a small grammar that writes what is true of a scene, and reads it back exactly.

`facts_from_truth` takes the facts from a state, `describe` writes them (short: one line; long: sentences whose frames a
seed chooses), `parse` returns the same facts. Text metrics compare facts, never strings; a minimal pair is
`dataclasses.replace` of one fact.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from worldsim import seeding
from worldsim.errors import ConfigError
from worldsim.truth import Event, ObjectState, TruthState

Form: TypeAlias = Literal["short", "long"]

NEAR: Final = 5.0  # metres: an arm's reach in block worlds; beyond it things are "far away"
AHEAD: Final = 15.0  # degrees to either side that count as "ahead": the middle third of a 70 to 90 degree view

COLOURS: Final = (
    "red",
    "orange",
    "yellow",
    "green",
    "cyan",
    "blue",
    "purple",
    "pink",
    "brown",
    "white",
    "grey",
    "black",
)
TIMES: Final = ("dawn", "day", "dusk", "night")
DIRECTIONS: Final[Mapping[str, str]] = {
    "left": "to the left",
    "ahead": "straight ahead",
    "right": "to the right",
    "behind": "behind you",
}
DISTANCES: Final[Mapping[str, str]] = {"near": "close by", "far": "far away"}
DEEDS: Final[Mapping[str, str]] = {
    "place": "put down",
    "break": "broken",
    "open": "opened",
    "close": "closed",
    "toggle": "switched",
    "pick_up": "picked up",
    "drop": "dropped",
    "collect": "collected",
}
NUMBERS: Final = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_PLURALS: Final = {"sheep": "sheep", "torch": "torches", "bush": "bushes", "box": "boxes"}  # others add an s


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Some equal things in one direction.

    Attributes:
        kind: Lower-case words in the singular: "chest", "oak log".
        colour: One of `COLOURS`, or "".
        count: At least 1.
        direction: A key of `DIRECTIONS`.
        distance: A key of `DISTANCES`.
    """

    kind: str
    colour: str = ""
    count: int = 1
    direction: str = "ahead"
    distance: str = "near"

    def __post_init__(self) -> None:
        _require(bool(_WORDS.fullmatch(self.kind)), f"a kind must be lower-case words, got {self.kind!r}")
        first = self.kind.split()[0]
        _require(first not in COLOURS, f"the colour of {self.kind!r} belongs into `colour`")
        _require(
            self.colour in ("", *COLOURS), f"a colour must be one of {', '.join(COLOURS)} or '', got {self.colour!r}"
        )
        _require(self.count >= 1, f"a count must be at least 1, got {self.count}")
        _require(self.direction in DIRECTIONS, f"a direction must be one of {list(DIRECTIONS)}, got {self.direction!r}")
        _require(self.distance in DISTANCES, f"a distance must be one of {list(DISTANCES)}, got {self.distance!r}")


@dataclass(frozen=True, kw_only=True)
class Deed:
    """Something that was done: `what` is a key of `DEEDS`, `kind` and `colour` say to what."""

    what: str
    kind: str
    colour: str = ""

    def __post_init__(self) -> None:
        _require(self.what in DEEDS, f"a deed must be one of {', '.join(DEEDS)}, got {self.what!r}")
        Thing(kind=self.kind, colour=self.colour)  # the same words


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a caption says.

    Attributes:
        place: Biome or preset in lower-case words, or "".
        time: One of `TIMES`, or "".
        things: What can be seen, in order.
        deeds: What just happened, in order.
    """

    place: str = ""
    time: str = ""
    things: tuple[Thing, ...] = ()
    deeds: tuple[Deed, ...] = ()

    def __post_init__(self) -> None:
        _require(
            not self.place or bool(_WORDS.fullmatch(self.place)), f"a place is lower-case words, got {self.place!r}"
        )
        _require(self.time in ("", *TIMES), f"a time must be one of {', '.join(TIMES)} or '', got {self.time!r}")


# ---------------------------------------------------------------------------------------------- from the true state


def facts_from_truth(
    state: TruthState, about: Mapping[str, Any] | None = None, *, only_visible: bool = True, min_px: int = 1
) -> Facts:
    """The facts of a state.

    Args:
        state: The truth; without a pose no things are named, for their direction is not known.
        about: What the state does not hold: "place" (or "biome", "preset") and "time" (or "hour", 0..24).
        only_visible: Name only instances with at least `min_px` pixels in the frame.
        min_px: Pixels.
    """
    about = about or {}
    place = str(about.get("place") or about.get("biome") or about.get("preset") or "")
    time = str(about["time"]) if about.get("time") else time_of_day(float(about["hour"])) if "hour" in about else ""
    shown = [o for o in state.objects if o.exists and (o.visible_px >= min_px or not only_visible)]
    by_id = {o.id: o for o in state.objects}
    deeds = (_deed(event, by_id) for event in state.events)
    return Facts(
        place=_plain(place), time=time, things=_things(state, shown), deeds=tuple(d for d in deeds if d is not None)
    )


def caption(state: TruthState, about: Mapping[str, Any] | None = None, *, form: Form = "short", seed: int = 0) -> str:
    """The caption of what a state shows: `describe(facts_from_truth(state, about))`."""
    return describe(facts_from_truth(state, about), form, seed=seed)


def time_of_day(hour: float) -> str:
    """The word for an hour: dawn 5-7, day 7-18, dusk 18-20, night."""
    hour %= 24.0
    return "dawn" if 5 <= hour < 7 else "day" if 7 <= hour < 18 else "dusk" if 18 <= hour < 20 else "night"


def _things(state: TruthState, shown: Iterable[ObjectState]) -> tuple[Thing, ...]:
    """Equal things counted together, nearest first."""
    if state.world_from_camera is None:
        return ()
    pose = state.world_from_camera
    nearest: dict[Thing, float] = {}
    counts: Counter[Thing] = Counter()
    for item in shown:
        x, _, z = (item.position - pose[:3, 3]) @ pose[:3, :3]
        distance = float(np.hypot(x, z))
        angle = math.degrees(math.atan2(x, z))
        direction = (
            "ahead" if abs(angle) <= AHEAD else "behind" if abs(angle) > 90 else "left" if angle < 0 else "right"
        )
        kind, colour = kind_and_colour(item.kind, item.attributes.get("colour", ""))
        thing = Thing(kind=kind, colour=colour, direction=direction, distance="near" if distance < NEAR else "far")
        counts[thing] += 1
        nearest[thing] = min(distance, nearest.get(thing, math.inf))
    order = sorted(counts, key=lambda t: (nearest[t], t.kind, t.colour, t.direction))
    return tuple(
        Thing(kind=t.kind, colour=t.colour, count=counts[t], direction=t.direction, distance=t.distance) for t in order
    )


def _deed(event: Event, by_id: Mapping[int, ObjectState]) -> Deed | None:
    if event.kind not in DEEDS:
        return None
    item = by_id.get(event.object_id)
    name = item.kind if item is not None else str(event.details.get("kind", "block"))
    kind, colour = kind_and_colour(name, item.attributes.get("colour", "") if item is not None else "")
    return Deed(what=event.kind, kind=kind, colour=colour)


def kind_and_colour(name: str, colour: Any) -> tuple[str, str]:
    """("chest", "red") from "red_chest", or from "chest" and the attribute."""
    words = _plain(name).split()
    own = words[0] if len(words) > 1 and words[0] in COLOURS else ""
    kind = " ".join(words[1:] if own else words) or "thing"
    return kind, own or (colour if colour in COLOURS else "")


# ------------------------------------------------------------------------------------------------- from facts to text


def describe(facts: Facts, form: Form = "short", *, seed: int = 0) -> str:
    """The caption. "short" is one line without choices; in "long" the seed chooses the frame of each sentence."""
    if facts == Facts():
        return "nothing in particular"
    if form == "short":
        parts = [*_setting_short(facts), *(f"{_noun(t)} {_where(t)}" for t in facts.things)]
        return "; ".join([*parts, *(_deed_clause(d) for d in facts.deeds)])
    if form != "long":
        raise ConfigError(f"a caption is 'short' or 'long', got {form!r}")
    rng = seeding.generator("caption", seed)
    sentences = []
    for setting in _setting_long(facts):
        sentences.append(setting[int(rng.integers(len(setting)))])
    for thing in facts.things:
        verb = "are" if thing.count > 1 else "is"
        frames = (
            f"there {verb} {_noun(thing)} {_where(thing)}",
            f"you see {_noun(thing)} {_where(thing)}",
            f"{_noun(thing)} can be seen {_where(thing)}",
        )
        sentences.append(frames[int(rng.integers(len(frames)))])
    for deed in facts.deeds:
        frames = (_deed_clause(deed), f"just now {_deed_clause(deed)}", f"you notice that {_deed_clause(deed)}")
        sentences.append(frames[int(rng.integers(len(frames)))])
    return " ".join(s[0].upper() + s[1:] + "." for s in sentences)


def _setting_short(facts: Facts) -> list[str]:
    if facts.place and facts.time:
        return [f"in the {facts.place} at {facts.time}"]
    return [f"in the {facts.place}"] if facts.place else [f"at {facts.time}"] if facts.time else []


def _setting_long(facts: Facts) -> list[tuple[str, ...]]:
    place, time = facts.place, facts.time
    if place and time:
        return [(f"this is the {place} at {time}", f"the scene is set in the {place} at {time}")]
    if place:
        return [(f"this is the {place}", f"the scene is set in the {place}")]
    return [(f"it is the time of {time}", f"the light is that of {time}")] if time else []


def _noun(thing: Thing) -> str:
    words = f"{thing.colour} " if thing.colour else ""
    if thing.count == 1:
        return f"{_article(words + thing.kind)} {words}{thing.kind}"
    number = NUMBERS[thing.count] if thing.count < len(NUMBERS) else str(thing.count)
    return f"{number} {words}{plural(thing.kind)}"


def _where(thing: Thing) -> str:
    return f"{DISTANCES[thing.distance]} {DIRECTIONS[thing.direction]}"


def _deed_clause(deed: Deed) -> str:
    words = f"{deed.colour} {deed.kind}" if deed.colour else deed.kind
    return f"{_article(words)} {words} is {DEEDS[deed.what]}"


# ------------------------------------------------------------------------------------------------- from text to facts

_WORDS = re.compile(r"[a-z]+( [a-z]+)*")
_WHERE = rf"(?P<distance>{'|'.join(DISTANCES.values())}) (?P<direction>{'|'.join(DIRECTIONS.values())})"
_COUNT = rf"(?P<count>an?|{'|'.join(NUMBERS[2:])}|\d+)"
_THING = re.compile(rf"(?:there (?:is|are) |you see )?{_COUNT} (?P<noun>.+?)(?: can be seen)? {_WHERE}")
_DEED = re.compile(rf"(?:just now |you notice that )?an? (?P<noun>.+) is (?P<deed>{'|'.join(DEEDS.values())})")
_SETTING = re.compile(
    rf"(?:in the |this is the |the scene is set in the )(?P<place>.+) at (?P<time>{'|'.join(TIMES)})"
    rf"|(?:at |it is the time of |the light is that of )(?P<only_time>{'|'.join(TIMES)})"
    r"|(?:in the |this is the |the scene is set in the )(?P<only_place>.+)"
)


def parse(text: str) -> Facts:
    """The facts behind a caption of either form.

    Raises:
        ConfigError: If a part of it is not of this grammar.
    """
    if text == "nothing in particular":
        return Facts()
    long = text.endswith(".")
    parts = text[:-1].split(". ") if long else text.split("; ")
    place = time = ""
    things: list[Thing] = []
    deeds: list[Deed] = []
    for number, part in enumerate(parts):
        clause = part[:1].lower() + part[1:] if long else part
        if match := _THING.fullmatch(clause):
            things.append(_parse_thing(match))
        elif match := _DEED.fullmatch(clause):
            colour, kind = _split_colour(match["noun"])
            deeds.append(Deed(what=_key(DEEDS, match["deed"]), kind=kind, colour=colour))
        elif number == 0 and (match := _SETTING.fullmatch(clause)) and _WORDS.fullmatch(clause):
            place = match["place"] or match["only_place"] or ""
            time = match["time"] or match["only_time"] or ""
        else:
            raise ConfigError(
                f"{part!r} is not of the caption grammar; expected what worldsim.captions.describe writes"
            )
    return Facts(place=place, time=time, things=tuple(things), deeds=tuple(deeds))


def _parse_thing(match: re.Match[str]) -> Thing:
    number = match["count"]
    colour, kind = _split_colour(match["noun"])
    one = number in ("a", "an")
    return Thing(
        kind=kind if one else _singular(kind),
        colour=colour,
        count=1 if one else int(number) if number.isdigit() else NUMBERS.index(number),
        direction=_key(DIRECTIONS, match["direction"]),
        distance=_key(DISTANCES, match["distance"]),
    )


def _split_colour(noun: str) -> tuple[str, str]:
    first, _, rest = noun.partition(" ")
    return (first, rest) if rest and first in COLOURS else ("", noun)


def _key(table: Mapping[str, str], value: str) -> str:
    return next(key for key, words in table.items() if words == value)


def _article(words: str) -> str:
    return "an" if words[:1] in "aeiou" else "a"


def plural(kind: str) -> str:
    """Several of a kind: "chests", "torches", "blocks of oak planks"."""
    if kind.endswith("s"):  # "oak planks": a plural s could not be read back
        return f"blocks of {kind}"
    *rest, last = kind.split(" ")
    return " ".join([*rest, _PLURALS.get(last, last + "s")])


def _singular(words: str) -> str:
    if words.startswith("blocks of "):
        return words.removeprefix("blocks of ")
    *rest, last = words.split(" ")
    return " ".join([*rest, next((s for s, p in _PLURALS.items() if p == last), last.removesuffix("s"))])


def _plain(name: str) -> str:
    """Lower-case words of letters: "oak_log" -> "oak log", "wheat_3" -> "wheat"."""
    return " ".join(re.findall(r"[a-z]+", name.lower()))


def _require(fine: bool, message: str) -> None:
    if not fine:
        raise ConfigError(message)
