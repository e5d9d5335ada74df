"""What one family of environments knows beyond pixels. The class here knows nothing, and serves all the others."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from worldsim.errors import ContractError
from worldsim.truth import State


class Backend:
    """Looks into one environment; subclasses for families that tell more.

    Attributes:
        family: Name, for tables.
        way: How `save` and `load` set a state back ("clone state", "set state"), or None: they do not.
        fields: The fields of `TruthState` that `facts` fills.
        draws: It draws with OpenGL, so that all calls come from one thread.
        alone: Not called while another such environment of the process is: true of all that may draw with pygame.
        has_picture: Observations that look like pictures are pictures.
        own_picture: Frames come from `picture`, at the size asked for, whatever the observation is.
        starts: Up to how many steps are played at a reset, so that seeds give different first frames.
    """

    family: ClassVar[str] = "gymnasium"
    way: ClassVar[str | None] = None
    fields: ClassVar[frozenset[str]] = frozenset()
    draws: ClassVar[bool] = False
    alone: ClassVar[bool] = True  # of an unknown environment nobody knows better
    has_picture: ClassVar[bool] = True
    own_picture: ClassVar[bool] = False
    starts: ClassVar[int] = 0

    def __init__(self, inner: gym.Env[Any, Any], size: tuple[int, int]) -> None:
        self.inner, self.size = inner, size

    @property
    def core(self) -> Any:
        """The environment below its wrappers."""
        return self.inner.unwrapped

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions of a Discrete space, or ()."""
        return ()

    @property
    def fps(self) -> float:
        """Frames per second of simulated time: what the environment says, else 30."""
        return float(self.inner.metadata.get("render_fps") or 30.0)

    def attach(self, inner: gym.Env[Any, Any]) -> None:
        """Another copy of the environment takes the place of the old one."""
        self.inner = inner

    def before_reset(self) -> None:
        """Called before every reset of the environment."""

    def begin(self) -> None:
        """Called after every reset of the environment, before anything is drawn."""

    def start_action(self, rng: np.random.Generator) -> Any:
        """What is played at a reset to make worlds differ: a random action."""
        space = copy.deepcopy(self.inner.action_space)
        space.seed(int(rng.integers(2**31)))
        action = space.sample()
        return int(action) if isinstance(action, np.integer) else action

    def before_step(self, action: Any) -> None:
        """Called before every step."""

    def picture(self) -> Any:
        """The current picture, where `own_picture` is set."""
        raise ContractError(f"{type(self).__name__} draws nothing itself")

    def save(self) -> State:
        """The state of the core as a tree of plain values."""
        raise ContractError(f"{type(self).__name__} cannot save a state")

    def load(self, state: State) -> Any:
        """Sets the core back; returns the observation if it is the picture, else None."""
        raise ContractError(f"{type(self).__name__} cannot load a state")

    def facts(self) -> dict[str, Any]:
        """The fields of `TruthState` named in `fields`, for the current moment."""
        return {}

    def close(self) -> None:
        """Releases what this object itself opened."""

    @property
    def mission(self) -> str:
        """What the agent is told to do, or ""."""
        return ""


# ------------------------------------------------------------------------------------ what lies around every core


def random_state(core: Any) -> dict[str, Any]:
    """The state of an environment's generator as plain values."""
    state: dict[str, Any] = _plain(core.np_random.bit_generator.state)
    return state


def set_random_state(core: Any, state: Mapping[str, Any]) -> None:
    """Sets the generator back."""
    bits = core.np_random.bit_generator
    bits.state = copy.deepcopy(dict(state))


def elapsed(inner: gym.Env[Any, Any]) -> list[int]:
    """The step counters of the wrappers, from the outside in; -1 where one has not begun."""
    return [-1 if w._elapsed_steps is None else int(w._elapsed_steps) for w in _limits(inner)]


def set_elapsed(inner: gym.Env[Any, Any], counts: list[int]) -> None:
    """Sets the counters back."""
    for wrapper, count in zip(_limits(inner), counts, strict=True):
        wrapper._elapsed_steps = None if count < 0 else int(count)


def _limits(inner: Any) -> list[Any]:
    found = []
    while isinstance(inner, gym.Wrapper):
        if isinstance(inner, gym.wrappers.TimeLimit):
            found.append(inner)
        inner = inner.env
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return value.copy()
    return value.item() if isinstance(value, np.generic) else value
