"""From a few words to a full caption of the grammar, so that a model gets prompts like those it was trained on.

`understand` takes what a prompt says, `complete` draws what it leaves open, `captions.describe` writes both. A
language model can take their place (`Expander`); what it answers must be of the grammar, or it is not taken.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np

from worldsim import seeding
from worldsim.captions import DIRECTIONS, DISTANCES, NUMBERS, Facts, Thing, describe, parse
from worldsim.errors import ConfigError, PrerequisiteError
from worldsim.lexicon import BLOCKS, Lexicon
from worldsim.reading import Mention, Said, read, readable

T = TypeVar("T")

SOME: Final = (2, 4)  # how many "some chests" are, both included
_ANSWER: Final = 10_000  # characters of an answer that are read; a caption has a few hundred


class Expander(Protocol):
    """Whatever writes a caption of the grammar from a prompt: a local language model, a table, a person."""

    def __call__(self, prompt: str, seed: int) -> str:
        """The caption. The same prompt and seed should give the same one."""
        ...


# ------------------------------------------------------------------------------------------------------ with a grammar


def expand(
    prompt: str,
    *,
    seed: int,
    place: str = "arena",
    times: Sequence[str] = (),
    after: Facts | None = None,
    lexicon: Lexicon = BLOCKS,
    words: Collection[str] | None = None,
    with_: Expander | None = None,
) -> str:
    """A full caption: place, things with distance and direction, and a time if there are times to draw from.

    What the prompt says is kept; the rest is drawn from the seed. A caption that lacks nothing comes back as it is, and
    a long one stays long.

    Args:
        prompt: "red chest", "a red chest behind you and two torches left", "", or a caption.
        seed: The same seed and prompt give the same caption.
        place: Where, if the prompt does not say it.
        times: The times to draw from, some of `captions.TIMES`; none = the time stays unsaid, as in the captions of
            `worldsim collect`.
        after: The scene before this one: its place and time go on, and its things if the prompt names none.
        lexicon: The words that prompts may use if they are not captions yet.
        words: What is drawn has these words only, those of the captions that the model was trained on; None = any.
            A direction, a distance and a number that must be said are drawn from all if none has its words there.
        with_: Asked first, and once more with `seed + 1`. If neither answer is of the grammar, a warning says so, and
            the grammar expands as much of the prompt as it can read.

    Raises:
        ConfigError: If a word cannot be read, or two contradict each other; never with `with_`.
    """
    if with_ is not None:
        answer, why = _ask(with_, prompt, seed)
        if not why:
            return answer
        prompt = _fall_back(prompt, why, lexicon)
    prompt = prompt.strip()
    known = _parsed(prompt)
    rng = seeding.generator("expand", prompt, seed)
    facts = complete(
        understand(prompt, lexicon), rng, place=place, times=times, after=after, lexicon=lexicon, words=words
    )
    if facts == known:
        return prompt
    return describe(facts, "long" if known is not None and prompt.endswith(".") else "short", seed=seed)


def understand(prompt: str, lexicon: Lexicon = BLOCKS) -> Said:
    """What a prompt says, be it a caption (with any words) or loose words (of the lexicon).

    Raises:
        ConfigError: If it is neither.
    """
    known = _parsed(prompt)
    if known is None:
        return read(prompt, lexicon)
    things = tuple(Mention(**vars(thing)) for thing in known.things)
    return Said(place=known.place, time=known.time, things=things, deeds=known.deeds)


def complete(
    said: Said,
    rng: np.random.Generator,
    *,
    place: str = "arena",
    times: Sequence[str] = (),
    after: Facts | None = None,
    lexicon: Lexicon = BLOCKS,
    words: Collection[str] | None = None,
) -> Facts:
    """Adds what is not said; arguments as in `expand`."""
    after = after or Facts()
    times = _heard(times, words)
    drawn = str(rng.choice(times)) if times else ""
    things = tuple(_thing(mention, rng, words) for mention in said.things)
    if not things and not said.deeds:
        things = after.things or _scenery(lexicon, rng, words)
    return Facts(
        place=said.place or after.place or "".join(_heard([place], words)),
        time=said.time or after.time or drawn,
        things=things,
        deeds=said.deeds,
    )


def _heard(options: Iterable[T], words: Collection[str] | None, text: Callable[[T], str] = str) -> list[T]:
    """The options whose every word is among some words; `text` gives the words of an option."""
    return [option for option in options if words is None or all(word in words for word in text(option).split())]


def _thing(mention: Mention, rng: np.random.Generator, words: Collection[str] | None) -> Thing:
    # All is drawn, so that saying one does not change the others.
    some = range(SOME[0], SOME[1] + 1)
    counts = _heard(some, words, lambda n: NUMBERS[n]) or some
    count = counts[int(rng.integers(len(counts)))]
    direction = str(rng.choice(_heard(DIRECTIONS, words, lambda key: DIRECTIONS[key]) or list(DIRECTIONS)))
    distance = str(rng.choice(_heard(DISTANCES, words, lambda key: DISTANCES[key]) or list(DISTANCES)))
    return Thing(
        kind=mention.kind,
        colour=mention.colour,
        count=count if mention.count is None else mention.count,
        direction=mention.direction or direction,
        distance=mention.distance or distance,
    )


def _scenery(lexicon: Lexicon, rng: np.random.Generator, words: Collection[str] | None) -> tuple[Thing, ...]:
    """One or two things to look at, of different kinds; none if the words name none."""
    out = []
    kinds = _heard(lexicon.scenery, words) or _heard(lexicon.kinds, words)
    for kind in rng.permutation(kinds)[: int(rng.integers(1, 3))]:
        colours = _heard(lexicon.scenery.get(str(kind), ()), words)
        colour = str(rng.choice(colours)) if colours else ""
        out.append(_thing(Mention(kind=str(kind), colour=colour), rng, words))
    return tuple(out)


def _parsed(prompt: str) -> Facts | None:
    """The facts of a caption; None if it is none."""
    try:
        return parse(prompt)
    except (ConfigError, ValueError):  # a number of thousands of digits is Python's ValueError
        return None


# ------------------------------------------------------------------------------------------------ with something else


def _ask(expander: Expander, prompt: str, seed: int) -> tuple[str, str]:
    """The expander's caption and "", or "" and why there is none after two attempts."""
    why = ""
    for attempt in range(2):
        try:
            answer = expander(prompt, seed + attempt).strip()
            parse(answer)
        except Exception as error:  # whatever a plug-in does must not end a rollout
            why = f"{type(error).__name__}: {error}"
        else:
            return answer, ""
    return "", why


def _fall_back(prompt: str, why: str, lexicon: Lexicon) -> str:
    """The part of the prompt that the grammar can expand, with a warning."""
    kept, dropped = (prompt, ()) if _parsed(prompt.strip()) is not None else readable(prompt, lexicon)
    lost = f"; it cannot read {', '.join(map(repr, dropped))}" if dropped else ""
    warnings.warn(
        f"the expander gave no caption of the grammar for {prompt!r} in two attempts ({why}); "
        f"the grammar expands the prompt instead{lost}",
        stacklevel=3,
    )
    return kept


@dataclass(frozen=True)
class CommandExpander:
    """A command on this machine: it reads the prompt, one line, from its standard input and prints one line.

    `WORLDSIM_SEED` in its environment is the seed. Its errors go to the terminal. worldsim itself opens no connection.

    Attributes:
        command: Program and arguments; no shell reads them.
        timeout: Seconds until the command, and what it started, is ended.
    """

    command: Sequence[str]
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if isinstance(self.command, str) or not self.command:
            raise ConfigError(f"a command is a list of program and arguments, got {self.command!r}")
        if not self.timeout > 0:
            raise ConfigError(f"the timeout must be above 0 seconds, got {self.timeout}")

    def __call__(self, prompt: str, seed: int) -> str:
        """The first line that is not empty.

        Raises:
            PrerequisiteError: If the command cannot be started.
            ConfigError: If it prints no line in time.
        """
        try:
            process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=os.environ | {"WORLDSIM_SEED": str(seed)},
                start_new_session=True,  # a group of its own, so that what it started ends with it
            )
        except OSError as error:
            raise PrerequisiteError(f"cannot start {self.command[0]!r} to expand prompts: {error}") from error
        timer = threading.Timer(self.timeout, _end, (process,))
        timer.start()
        try:
            line = _one_line(process, prompt)
        finally:
            timer.cancel()
            _end(process)
            process.wait()
        if not line:
            raise ConfigError(
                f"{shlex.join(self.command)} printed no line within {self.timeout:g} s; it reads the prompt from its "
                "standard input and prints a caption"
            )
        return line


def expander(words: str, *, timeout: float = 60.0) -> Expander | None:
    """The expander behind a setting: "grammar" or "" is none, anything else a command with its arguments.

    Raises:
        ConfigError: If the quotes of the command do not match.
    """
    if words.strip() in ("", "grammar"):
        return None
    try:
        return CommandExpander(shlex.split(words), timeout)
    except ValueError as error:
        raise ConfigError(f"expected 'grammar' or a command that expands prompts, got {words!r}: {error}") from error


def _one_line(process: subprocess.Popen[str], prompt: str) -> str:
    """Says the prompt; returns the first line that is not empty, "" if there is none."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process was started without pipes")
    with process.stdout:
        with contextlib.suppress(BrokenPipeError), process.stdin:  # it need not read
            process.stdin.write(" ".join(prompt.splitlines()) + "\n")
        for _ in range(100):  # blank lines before the answer, at most
            line = process.stdout.readline(_ANSWER)
            if not line or line.strip():
                return line.strip()
    return ""


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a command and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
