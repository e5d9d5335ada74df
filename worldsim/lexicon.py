"""What words the expander of prompts knows beyond the grammar of captions: kinds of things, places, other spellings.

The grammar takes any lower-case word as a kind. A typing mistake would be one, too, so a prompt that is not yet a
caption is read with a closed list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from worldsim import captions
from worldsim.errors import ConfigError

#: Kinds of the Blocks world as captions name them; blocks are named when they fall or when something is done to them.
KINDS: Final = (
    *("chest", "crate", "gem", "door", "lever", "lamp", "sheep", "pig", "zombie"),
    *("bedrock", "stone", "cobblestone", "mossy cobblestone", "stone bricks", "smooth stone", "bricks", "sandstone"),
    *("dirt", "grass block", "dirt path", "snow block", "ice", "terracotta", "sand", "gravel"),
    *("oak log", "oak leaves", "birch log", "birch leaves", "spruce log", "spruce leaves", "oak planks"),
    *("spruce planks", "bookshelf", "hay block", "cactus", "glass", "glowstone", "water", "wool", "farmland"),
    *("wheat", "short grass", "poppy", "dandelion", "cornflower", "dead bush"),
)
#: Presets of the Blocks world.
PLACES: Final = ("arena", "village", "open")
#: Kinds of other block worlds. They can be said; a model that never met the word refuses it by name.
ELSEWHERE: Final = (
    *("torch", "box", "tree", "bush", "flower", "house", "wall", "tower", "table", "bed", "furnace", "ladder"),
    *("fence", "gate", "well", "pumpkin", "melon", "cow", "chicken", "horse", "wolf", "villager", "skeleton"),
)
_COLOURS: Final = ("red", "yellow", "green", "blue", "purple", "white")  # in which Blocks has chests, crates and gems

#: Words -> (what they say, the value), beside the grammar's own.
_MORE: Final[dict[str, tuple[str, str]]] = {
    **dict.fromkeys(("left", "to your left", "on the left", "on your left"), ("direction", "left")),
    **dict.fromkeys(("right", "to your right", "on the right", "on your right"), ("direction", "right")),
    **dict.fromkeys(("ahead", "ahead of you", "in front", "in front of you"), ("direction", "ahead")),
    "behind": ("direction", "behind"),
    **dict.fromkeys(("near", "near you", "nearby", "close", "close to you"), ("distance", "near")),
    **dict.fromkeys(("far", "distant", "in the distance", "far from you"), ("distance", "far")),
    "gray": ("colour", "grey"),
    "some": ("count", ""),
}
#: Words that say nothing by themselves.
_GLUE: Final = (
    *("the", "there", "is", "are", "you", "see", "it", "at", "in", "in a", "in an", "this"),
    *("can be seen", "just now"),
    *("the scene is set", "it is the time of", "the light is that of", "you notice that"),  # frames of long captions
)


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """The words of a world.

    Attributes:
        kinds: What there can be, in the singular, without colours.
        places: Where a scene can be set.
        scenery: Kind -> the colours it comes in (none = it has none): what an empty prompt may show.
    """

    kinds: tuple[str, ...]
    places: tuple[str, ...]
    scenery: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ConfigError("a lexicon needs at least one kind, such as 'chest'")
        for kind in (*self.kinds, *self.scenery):
            captions.Thing(kind=kind)  # checks the words
        for place in self.places:
            captions.Facts(place=place)

    @cached_property
    def phrases(self) -> Mapping[tuple[str, ...], tuple[str, str]]:
        """Words -> (slot, value). Slots: count kind kinds colour direction distance time place deed glue."""
        table: dict[str, tuple[str, str]] = dict.fromkeys(_GLUE, ("glue", ""))
        table |= {place: ("place", place) for place in self.places}
        table |= {captions.plural(kind): ("kinds", kind) for kind in self.kinds}
        table |= {kind: ("kind", kind) for kind in self.kinds}  # after the plurals: "sheep" is one sheep
        table |= {colour: ("colour", colour) for colour in captions.COLOURS}
        table |= {time: ("time", time) for time in captions.TIMES}
        table |= {word: ("count", str(n)) for n, word in enumerate(captions.NUMBERS) if n}
        table |= {"a": ("count", "1"), "an": ("count", "1")}
        table |= {words: ("direction", key) for key, words in captions.DIRECTIONS.items()}
        table |= {words: ("distance", key) for key, words in captions.DISTANCES.items()}
        table |= {words: ("deed", key) for key, words in captions.DEEDS.items()}
        return {tuple(words.split()): says for words, says in (table | _MORE).items()}

    @cached_property
    def longest(self) -> int:
        """Words in the longest phrase."""
        return max(map(len, self.phrases))


#: The Blocks world, and what other block worlds have.
BLOCKS: Final = Lexicon(
    kinds=(*KINDS, *ELSEWHERE), places=PLACES, scenery=dict.fromkeys(("chest", "crate", "gem"), _COLOURS)
)
