"""The controllers that need no script: nothing, a recording, a policy, a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.envs.actions import find_map, noop
from worldsim.envs.controllers.keyboard import Keyboard
from worldsim.errors import ConfigError
from worldsim.trees import ArrayTree
from worldsim.truth import TruthState
from worldsim.types import Frames, Mark


class _Plain:
    """A controller without marks, focus or reasons to stop."""

    marks: tuple[Mark, ...] = ()
    aborted: str | None = None

    def __init__(self) -> None:
        self.focus: Mapping[str, Any] = {}
        self._space: Any = None

    def reset(self, *, seed: int, action_space: Any, truth: TruthState, sham: bool = False) -> None:
        """Starts a new episode."""
        self._space = action_space


class NoOp(_Plain):
    """Does nothing, for ever: what changes then is the world's doing, or the model's."""

    def reset(self, *, seed: int, action_space: Any, truth: TruthState, sham: bool = False) -> None:
        """Starts a new episode."""
        super().reset(seed=seed, action_space=action_space, truth=truth, sham=sham)
        self._noop = noop(action_space)

    def act(self, frame: Frames, truth: TruthState, t: int) -> Any:
        """The no-op of the action space."""
        return trees.copy(self._noop)


class Replay(_Plain):
    """Plays recorded actions, then does nothing."""

    def __init__(self, actions: ArrayTree | str | Path) -> None:
        """Takes the recording.

        Args:
            actions: Tree with leaves (T, ...), or the path of an `.npz` that holds a flattened one.
        """
        super().__init__()
        if isinstance(actions, str | Path):
            path = Path(actions)
            if not path.is_file():
                raise ConfigError(f"no recorded actions at {path}; expected an .npz written with trees.flatten")
            with np.load(path, allow_pickle=False) as file:
                actions = trees.unflatten(dict(file))
        self.actions = actions
        self._length = trees.length(actions)

    def act(self, frame: Frames, truth: TruthState, t: int) -> Any:
        """The action recorded at t."""
        return trees.index(self.actions, t) if t < self._length else noop(self._space)


class Policy(_Plain):
    """Any callable from a frame to an action; the only controller that looks at the frame.

    With `drive_from` generated the frames are the model's, so the policy plays inside the model.
    """

    def __init__(self, policy: Callable[[Frames], Any], actions: Any = None) -> None:
        """Takes the policy.

        Args:
            policy: (H, W, 3) uint8 frame -> action. If it has a method `reset(seed)`, that is called at each start.
            actions: Gymnasium space of what it returns; None = the environment's own.
        """
        super().__init__()
        self._policy, self._from = policy, actions
        self._map: Callable[[Any], Any] = lambda action: action

    def reset(self, *, seed: int, action_space: Any, truth: TruthState, sham: bool = False) -> None:
        """Starts a new episode; the policy's own memory, if it has one, too."""
        super().reset(seed=seed, action_space=action_space, truth=truth, sham=sham)
        if self._from is not None:
            self._map = find_map(self._from, action_space)
        start = getattr(self._policy, "reset", None)
        if start is not None:
            start(seed)

    def act(self, frame: Frames, truth: TruthState, t: int) -> Any:
        """The policy's answer to the frame."""
        return self._map(self._policy(frame))


class Human(_Plain):
    """A person: whoever draws the window calls `press` with the keys that are down."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: Mapping[str, Any] = {}

    def press(self, keys: Mapping[str, Any]) -> None:
        """Sets what is held down from now on: MineRL names; the camera moves once, then rests."""
        self._keys = dict(keys)

    def act(self, frame: Frames, truth: TruthState, t: int) -> Any:
        """What is pressed now."""
        keys = self._keys
        self._keys = {key: value for key, value in keys.items() if key != "camera"}
        return Keyboard(self._space)(keys)
