"""From one long prompt to a storyboard: "A red chest ahead. 3 seconds later it is night, then a pig behind you"."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worldsim import seeding
from worldsim.captions import NUMBERS, Facts, parse
from worldsim.errors import ConfigError
from worldsim.lexicon import BLOCKS, Lexicon
from worldsim.prompts import Expander, expand, understand
from worldsim.storyboard.scenes import FPS, Scene, Storyboard

SECONDS: Final = 4.0  # of a scene whose prompt does not say how long it is

_NUMBER: Final = rf"(?:\d+(?:\.\d+)?|an?|{'|'.join(NUMBERS[1:])})"
_LATER: Final = re.compile(rf"\b(?:({_NUMBER}) seconds? later|after ({_NUMBER}) seconds?)\b", re.IGNORECASE)
_FOR: Final = re.compile(rf",?\s*\bfor ({_NUMBER}) seconds?\b", re.IGNORECASE)
#: What ends a scene: a way to say "later", or the end of a sentence or clause.
_BREAK: Final = re.compile(
    rf"(?P<later>{_LATER.pattern}|\b(?:(?:and )?then|after that|next(?! to\b))\b)|(?P<stop>[.!?](?=\s|$)|[;\n])",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """A stretch of the prompt.

    Attributes:
        text: With the full stop at its end, if it has one: it makes a sentence of a long caption.
        gap: Seconds after the start of the piece before it; None = not said.
        told: "then", "later", ...: it comes after the piece before, whatever that says.
    """

    text: str
    gap: float | None = None
    told: bool = False


def split(
    prompt: str,
    *,
    seed: int,
    fps: float = FPS,
    name: str = "storyboard",
    place: str = "arena",
    times: Sequence[str] = (),
    lexicon: Lexicon = BLOCKS,
    words: Collection[str] | None = None,
    with_: Expander | None = None,
) -> Storyboard:
    """Splits a long prompt into timed scenes, each with a full caption.

    A scene ends at the end of a sentence, at ";" and a line's end, and before "then", "after that", "next", "N seconds
    later" and "after N seconds"; the last two also say how long it was. "for N seconds" says how long the scene is.
    Without either it takes `SECONDS`. A sentence that says only where or when belongs to the scene that follows.

    Args:
        prompt: Words.
        seed: Of what the words leave open.
        fps: Frames a second of simulated time.
        name: Of the storyboard.
        place: As in `worldsim.prompts.expand`, and so are the others.
        times: Times to draw from.
        lexicon: Words that may be used.
        words: Words that may be drawn.
        with_: Asked first.

    Raises:
        ConfigError: If a scene cannot be read (see `expand`), or a length does not fit.
    """
    texts: list[str] = []
    lengths: list[float | None] = []
    for piece in _settings_joined(_pieces(prompt), lexicon):
        if piece.gap is not None:
            if not texts:
                raise ConfigError(f"the prompt {prompt!r} says how much later, but nothing comes before")
            lengths[-1] = _one_length(texts[-1], lengths[-1], piece.gap)
        own = [_seconds(match[1]) for match in _FOR.finditer(piece.text)]
        lengths.append(_one_length(piece.text, *own) if own else None)
        texts.append(_FOR.sub("", piece.text).strip(" ,"))
    scenes = tuple(
        Scene(prompt=text, seconds=SECONDS if seconds is None else seconds)
        for text, seconds in zip(texts or [""], lengths or [None], strict=True)
    )
    board = Storyboard(name=name, fps=fps, scenes=scenes)
    return expanded(board, seed=seed, place=place, times=times, lexicon=lexicon, words=words, with_=with_)


def expanded(
    storyboard: Storyboard,
    *,
    seed: int,
    place: str = "arena",
    times: Sequence[str] = (),
    lexicon: Lexicon = BLOCKS,
    words: Collection[str] | None = None,
    with_: Expander | None = None,
) -> Storyboard:
    """The storyboard with a full caption for each prompt; arguments as in `worldsim.prompts.expand`.

    Place and time go on from scene to scene until a prompt or a cut changes them; where a prompt names nothing, so does
    what is there.

    Raises:
        ConfigError: If a prompt cannot be read; with the number of its scene.
    """
    before: Facts | None = None
    scenes = []
    for k, scene in enumerate(storyboard.scenes):
        try:
            caption = expand(
                scene.prompt,
                seed=seeding.hash_seed("scene", seed, k),
                place=place,
                times=times,
                after=None if scene.cut else before,
                lexicon=lexicon,
                words=words,
                with_=with_,
            )
        except ConfigError as error:
            raise ConfigError(f"scene {k + 1}: {error}") from error
        before = parse(caption)
        scenes.append(replace(scene, prompt=caption))
    return replace(storyboard, scenes=tuple(scenes))


def _pieces(prompt: str) -> list[_Piece]:
    """The prompt taken apart, empty stretches left out."""
    pieces: list[_Piece] = []
    gap, told, at = None, False, 0
    for match in (*_BREAK.finditer(prompt), None):
        end = len(prompt) if match is None else match.start()
        text = prompt[at:end].strip(" ,\t\n")
        if text:
            stop = "." if match is not None and match["stop"] == "." else ""
            pieces.append(_Piece(text=text + stop, gap=gap, told=told))
            gap, told = None, False
        if match is not None:
            at = match.end()
            if match["later"]:
                told = True
                if number := _LATER.fullmatch(match["later"]):
                    gap = (gap or 0.0) + _seconds(number[1] or number[2])
    return pieces


def _settings_joined(pieces: list[_Piece], lexicon: Lexicon) -> list[_Piece]:
    """Puts a piece that says only where or when, "At night.", before the next one unless that is told to come later."""
    joined: list[_Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and not piece.told and _is_setting(last.text, lexicon):
            between = " " if last.text.endswith(".") else "; "
            joined[-1] = replace(last, text=f"{last.text}{between}{piece.text}")
        else:
            joined.append(piece)
    return joined


def _is_setting(text: str, lexicon: Lexicon) -> bool:
    try:
        said = understand(text, lexicon)
    except ConfigError:
        return False
    return bool(said.place or said.time) and not said.things and not said.deeds


def _seconds(number: str) -> float:
    word = number.lower()
    return 1.0 if word in ("a", "an") else float(NUMBERS.index(word)) if word in NUMBERS else float(word)


def _one_length(text: str, *seconds: float | None) -> float:
    """The length that is said; ConfigError if two differ."""
    first, *rest = dict.fromkeys(length for length in seconds if length is not None)
    if rest:
        raise ConfigError(f"the scene {text!r} is said to last {first:g} and {rest[0]:g} seconds; say one")
    return first
