"""What an environment can do, found out by playing it: every ability is proved by a replay that agrees to the bit.

The tests are short. What parts later than they look is noticed when a snapshot is restored (`Session.load` compares the
frame), and then refused with a reason.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim import trees
from worldsim.envs.gymnasium_adapter.session import COPY, REPLAY, Session
from worldsim.types import Frames

SEED = 7
Step = tuple[bytes, float, bool, bool]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found.

    Attributes:
        deterministic: The same seed and actions gave the same frames, rewards and ends: again, in a fresh copy, and
            whatever the global generators hold.
        way: How it goes back to an earlier moment: "clone state", "set state", "deep copy", "replay", or None.
        refused: Way or ability -> why not, in words.
        seeds: Another seed gives another first frame.
    """

    deterministic: bool
    way: str | None
    refused: Mapping[str, str] = field(default_factory=dict)
    seeds: bool = True


def find(make: Callable[[], Session], space: gym.Space[Any], steps: int) -> Findings:
    """Plays fresh copies of an environment and says what holds. Raises nothing that the environment raises.

    Args:
        make: Makes a session of a fresh environment.
        space: Its action space.
        steps: Length of the runs that are compared.
    """
    refused: dict[str, str] = {}
    sessions: list[Session] = []

    def fresh() -> Session:
        sessions.append(make())
        return sessions[-1]

    try:
        actions = _actions(space, steps)
        session = fresh()
        deterministic = _tried(refused, "deterministic", lambda: _deterministic(session, fresh(), actions))
        seeds = _tried(refused, "seeds", lambda: _seeds(session))
        way = None
        for candidate in filter(None, (session.backend.way, COPY, REPLAY)):
            if candidate in (COPY, REPLAY) and not deterministic:
                refused[candidate] = "needs an environment that is deterministic"
            elif way is not None:
                continue
            elif _tried(refused, candidate, partial(_goes_back, fresh(), fresh(), candidate, actions)):
                way = candidate
        return Findings(deterministic=deterministic, way=way, refused=refused, seeds=seeds)
    except Exception as error:  # it cannot even be made twice
        return Findings(deterministic=False, way=None, refused={**refused, "": _words(error)})
    finally:
        for session in sessions:
            session.close()


def _deterministic(first: Session, second: Session, actions: Sequence[Any]) -> str:
    with _global_generators() as shake:
        shake(1)
        run = list(_run(first, actions))
        shake(2)
        for what, other in (("run twice", first), ("in a fresh copy", second)):
            for t, (a, b) in enumerate(zip(run, _run(other, actions), strict=True)):
                if a != b:
                    return f"{what}, step {t} differs in {_where(a, b)}"
    return ""


def _seeds(session: Session) -> str:
    frames = [session.reset(SEED + k).tobytes() for k in range(5)]
    return "" if len(set(frames)) > 1 else "five seeds gave the same first frame"


def _goes_back(session: Session, other: Session, way: str, actions: Sequence[Any]) -> str:
    """Whether a moment can be set back in place, and in a copy that was never reset; after storage in either case."""
    part = max(len(actions) // 3, 1)
    for at in (0, part):
        session.reset(SEED)
        before = _play(session, actions[:at])
        if before and (before[-1][2] or before[-1][3]):  # too long: half-way to the end there is something left
            at = len(before) // 2
            session.reset(SEED)
            _play(session, actions[:at])
        frame, kept = session.frame, session.save(way)
        if not trees.equal(trees.flatten(kept), trees.flatten(session.save(way))):
            return "two snapshots of one moment differ"
        stored = trees.unflatten({key: value.copy() for key, value in trees.flatten(kept).items()})
        future = _play(session, actions[at : at + part])
        for what, where in (("in place", session), ("again", session), ("in a fresh copy", other)):
            back: Frames = where.load(stored)
            if not np.array_equal(back, frame):
                return f"{what}: another frame than that of the snapshot"
            for t, (a, b) in enumerate(zip(future, _play(where, actions[at : at + part]), strict=True)):
                if a != b:
                    return f"{what}: step {t} of the future differs in {_where(a, b)}"
    return ""


def _play(session: Session, actions: Sequence[Any]) -> list[Step]:
    """Up to an end."""
    out: list[Step] = []
    for action in actions:
        frame, reward, terminated, truncated = session.step(copy.deepcopy(action))
        out.append((frame.tobytes(), reward, terminated, truncated))
        if terminated or truncated:
            break
    return out


def _run(session: Session, actions: Sequence[Any]) -> Iterator[Step]:
    """All actions; after an end the next world begins."""
    seed = SEED
    yield session.reset(seed).tobytes(), 0.0, False, False
    left = list(actions)
    while left:
        played = _play(session, left)
        yield from played
        left = left[len(played) :]
        seed += 1
        if left:
            yield session.reset(seed).tobytes(), 0.0, False, False


def _actions(space: gym.Space[Any], steps: int) -> list[Any]:
    own = copy.deepcopy(space)
    own.seed(SEED)
    return [trees.map_leaves(np.asarray, own.sample()) for _ in range(max(steps, 3))]


def _tried(refused: dict[str, str], what: str, test: Callable[[], str]) -> bool:
    """Whether a test found nothing; what it found, or what was raised in it, becomes the reason."""
    try:
        reason = test()
    except Exception as error:
        reason = _words(error)
    if reason:
        refused[what] = reason
    return not reason


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200] if text else f"it raised {type(error).__name__}"


def _where(a: Step, b: Step) -> str:
    names = ("the frame", "the reward", "the end", "the truncation")
    return next(n for n, x, y in zip(names, a, b, strict=True) if x != y)


@contextmanager
def _global_generators() -> Iterator[Callable[[int], None]]:
    """Shakes the global generators, which no world may depend on, and puts them back."""
    kept, kept_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the very thing that is looked at

    def shake(seed: int) -> None:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002

    try:
        yield shake
    finally:
        random.setstate(kept)
        np.random.set_state(kept_numpy)  # noqa: NPY002
