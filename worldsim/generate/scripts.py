"""Actions in a line of text: `forward*20 turn_left*6 camera:0,5+forward*4`.

A word is what is done in a step, and after `*` for how many steps. Keys that are held together are joined by `+`: names
of the discrete actions (`turn_left`), of MineRL's keys (`sprint`), and `camera:PITCH,YAW` in degrees. `noop` holds
nothing. In an unnamed discrete space a word is the number of an action.
"""

from __future__ import annotations

import copy
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
import numpy as np

from worldsim import seeding, spaces, trees
from worldsim.arrays import missing
from worldsim.envs.actions import DISCRETE, KEYS, find_map, minerl_space, noop
from worldsim.envs.controllers.keyboard import Keyboard
from worldsim.errors import ConfigError, ShapeError, StoreError, nearest
from worldsim.trees import ArrayTree

#: What a walker does in one step, as scripts: tried where nobody knows the actions.
MOVES: Final = (
    *("noop", "forward", "turn_left", "turn_right", "camera:0,-10", "camera:0,10", "camera:0,-5", "camera:0,5"),
    *("back", "left", "right", "camera:-5,0", "camera:5,0"),
)
MOST: Final = 100_000  # steps of a script: a slip such as *1000000 is an error, and not a day of work
_WORD: Final = re.compile(r"([^*]+)(?:\*([1-9][0-9]{0,8}))?")
_SAMPLES: Final = 16  # actions drawn from a space that no key can be mapped to


def parse_script(text: str, space: gym.Space[Any]) -> ArrayTree:
    """The actions of a script: leaves (n, ...) in the structure of the space.

    Raises:
        ConfigError: If a word cannot be read, or the space cannot express it; the message names the word.
    """
    steps: list[Any] = []
    keyboard = None if _is_plain(space) else Keyboard(space)
    for word in text.split():
        match = _WORD.fullmatch(word)
        if match is None:
            raise ConfigError(f"{word!r} must be what is done and for how many steps, for example forward*20")
        said, count = match[1], int(match[2] or 1)
        if len(steps) + count > MOST:
            raise ConfigError(f"a script has {MOST:,} steps at most, {word!r} goes beyond")
        action = _number(said, space) if keyboard is None else _press(keyboard, said, word)
        steps += [action] * count
    if not steps:
        raise ConfigError("a script needs a word at least, for example noop*8")
    return trees.stack(steps)


def format_script(actions: ArrayTree, space: gym.Space[Any]) -> str | None:
    """The script of actions with leaves (n, ...); None if the space is none that words exist for.

    `parse_script` gives the same actions again, in the continuous space up to rounding.
    """
    if _is_plain(space):
        words = [str(int(number)) for number in np.asarray(actions)]
    else:
        try:
            full = find_map(space, minerl_space())(actions)
        except ConfigError:
            return None
        words = [_words(trees.index(full, t)) for t in range(trees.length(full))]
    runs = ((word, len(list(group))) for word, group in groupby(words))
    return " ".join(word if count == 1 else f"{word}*{count}" for word, count in runs)


def load_actions(path: Path, space: gym.Space[Any]) -> ArrayTree:
    """Actions from an .npz as `worldsim.trees.flatten` makes it: a member a leaf ("forward", "camera"), or one, ".".

    Raises:
        StoreError: If there is no such file, or it is none.
        ConfigError: If the actions are not of the space.
    """
    if not path.is_file():
        raise missing(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            flat = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path} cannot be read as .npz of actions ({error}); numpy.savez makes one") from error
    tree = trees.unflatten(flat)
    wrong = list(spaces.misfits(spaces.describe(space), tree, lead=1))
    if wrong:
        raise ConfigError(f"{path}: {'; '.join(wrong[:3])}")
    try:
        trees.length(tree)
    except ShapeError as error:
        raise ConfigError(f"{path}: {error}") from error
    return tree


def filled(actions: ArrayTree | None, steps: int, space: gym.Space[Any]) -> ArrayTree:
    """Actions of exactly so many steps: after those that are given nothing is done.

    Raises:
        ConfigError: If more are given.
    """
    given = 0 if actions is None else trees.length(actions)
    if given > steps:
        raise ConfigError(
            f"the actions have {given} steps, the clip has room for {steps}: shorten them, or ask for more frames"
        )
    idle = trees.map_leaves(lambda leaf: np.repeat(np.asarray(leaf)[None], steps - given, axis=0), noop(space))
    return idle if actions is None else trees.concatenate([actions, idle])


def moves(space: gym.Space[Any], *, seed: int) -> ArrayTree:
    """Single actions worth trying, leaves (S, ...); the first does nothing."""
    if _is_plain(space):
        return np.arange(space.start, space.start + min(int(space.n), _SAMPLES), dtype=np.int64)  # type: ignore[attr-defined]
    try:
        keyboard = Keyboard(space)
    except ConfigError:
        own = copy.deepcopy(space)
        own.seed(seed)
        return trees.stack([noop(space), *(own.sample() for _ in range(_SAMPLES - 1))])
    return trees.stack(list(_pressable(keyboard)))


def candidates(space: gym.Space[Any], steps: int, count: int, *, seed: int) -> ArrayTree:
    """`count` sequences of so many steps, leaves (count, steps, ...): one move held, or two after each other.

    The first does nothing, then come the single moves, then pairs that are drawn from the seed.
    """
    single = moves(space, seed=seed)
    n = trees.length(single)
    rng = seeding.generator("candidates", seed, steps, count)
    index = np.zeros((count, steps), np.int64)
    for row in range(1, count):
        if row < n:
            index[row] = row
            continue
        first, second = rng.choice(n, size=2, replace=n < 2)
        index[row], index[row, int(rng.integers(1, max(steps, 2))) :] = first, second
    return trees.index(single, index)


def _is_plain(space: gym.Space[Any]) -> bool:
    return isinstance(space, gym.spaces.Discrete) and not isinstance(space, spaces.NamedDiscrete)


def _pressable(keyboard: Keyboard) -> Iterator[Any]:
    """The moves that the space can express."""
    for said in MOVES:
        try:
            yield _press(keyboard, said, said)
        except ConfigError:
            continue


def _number(said: str, space: gym.Space[Any]) -> np.int64:
    low, high = int(space.start), int(space.start + space.n) - 1  # type: ignore[attr-defined]
    if not said.lstrip("-").isdigit() or not low <= int(said) <= high:
        raise ConfigError(f"the model's actions are the numbers {low}..{high}, got {said!r}")
    return np.int64(said)


def _press(keyboard: Keyboard, said: str, word: str) -> Any:
    keys: dict[str, Any] = {}
    camera = np.zeros(2, np.float32)
    for name in said.split("+"):
        if name.startswith("camera:"):
            camera += _camera(name, word)
            continue
        if name in DISCRETE:
            held: Mapping[str, Any] = DISCRETE[name]
        elif name in KEYS:
            held = {name: 1}
        else:
            known = dict.fromkeys((*DISCRETE, *KEYS, "camera:0,5"))
            raise ConfigError(
                f"no action is called {name!r} in {word!r}.{nearest(name, known)} Known: {', '.join(known)}."
            )
        keys |= {key: value for key, value in held.items() if key != "camera"}
        camera += np.asarray(held.get("camera", (0.0, 0.0)), np.float32)
    try:
        return keyboard(keys | {"camera": camera})
    except ShapeError as error:
        raise ConfigError(f"{word!r}: {error}") from error


def _camera(name: str, word: str) -> Any:
    parts = name.removeprefix("camera:").split(",")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if len(values) != 2 or not all(math.isfinite(value) and abs(value) <= 180 for value in values):
        raise ConfigError(f"{word!r}: the camera turns by pitch and yaw in degrees within 180, for example camera:0,5")
    return np.asarray(values, np.float32)


def _words(action: Mapping[str, Any]) -> str:
    pressed = [key for key in KEYS if action[key]]
    pitch, yaw = (float(value) for value in np.asarray(action["camera"]))
    if pitch or yaw:
        pressed.append(f"camera:{pitch:.9g},{yaw:.9g}")  # nine digits give a float32 again
    return "+".join(pressed) or "noop"
