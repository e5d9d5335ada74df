"""One environment at play: frames, the log of what was done, and the ways back to an earlier moment."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim import seeding, trees
from worldsim.envs.gymnasium_adapter.backend import Backend, elapsed, random_state, set_elapsed, set_random_state
from worldsim.envs.gymnasium_adapter.frames import to_frame
from worldsim.errors import ContractError, WorldFailure
from worldsim.truth import State, TruthState
from worldsim.types import Frames

COPY, REPLAY = "deep copy", "replay"
KEPT = 8  # deep copies that a process keeps


class Session:
    """Plays one environment. Nothing here decides what it can do: see `proof`."""

    def __init__(
        self,
        inner: gym.Env[Any, Any],
        backend: Backend,
        *,
        who: str,
        key: str,
        size: tuple[int, int],
        source: str,
        convert: Callable[[Any], Any],
        starts: int,
        fps: float,
    ) -> None:
        """Takes a fresh environment; the first call is `reset` or `load`.

        Args:
            inner: With its wrappers.
            backend: What looks into it.
            who: Name for messages.
            key: Says which environments are equal, so that they may share deep copies.
            size: (H, W) of the frames.
            source: "observation" or "render".
            convert: From a recorded action to the environment's own.
            starts: Up to how many steps are played at a reset.
            fps: Frames per second of simulated time.
        """
        self.inner, self.backend = inner, backend
        self._who, self._key, self._size, self._source, self._fps = who, key, size, source, fps
        self._convert, self._starts = convert, starts
        self._native: tuple[int, ...] | None = None
        self._seed: int | None = None
        self._actions: list[Any] = []
        self._trail = ""  # a digest of seed and actions
        self._frame: Frames | None = None

    # --------------------------------------------------------------------------------------------------------- play

    @property
    def frame(self) -> Frames:
        """The current frame, a copy. Raises ContractError before the first reset."""
        if self._frame is None:
            raise ContractError("there is no world yet: call reset(seed=...) or restore(state) first")
        return self._frame.copy()

    def reset(self, seed: int) -> Frames:
        """Starts the world of a seed."""
        obs = self._reset(seed)
        self._draw(obs)
        return self.frame

    def step(self, action: Any) -> tuple[Frames, float, bool, bool]:
        """One step; frame, reward, terminated, truncated."""
        if self._seed is None:
            raise ContractError("there is no world yet: call reset(seed=...) or restore(state) first")
        obs, reward, terminated, truncated = self._step(action)
        self._draw(obs)
        return self.frame, reward, terminated, truncated

    def truth(self) -> TruthState:
        """The state behind the current frame."""
        if self._seed is None:
            raise ContractError("there is no world yet: call reset(seed=...) or restore(state) first")
        return TruthState(time=len(self._actions) / self._fps, **self.backend.facts())

    def close(self) -> None:
        """Releases the environment."""
        self.backend.close()
        self.inner.close()

    # ---------------------------------------------------------------------------------------------------- ways back

    def save(self, way: str) -> State:
        """This moment as a tree of plain values; with the way `COPY` a copy is kept beside it in this process."""
        head = {"way": way, "seed": self._known(), "steps": len(self._actions)}
        head |= {"trail": self._trail, "frame": _digest(self.frame)}
        if way == self.backend.way:
            around = {"rng": random_state(self.backend.core), "elapsed": elapsed(self.inner)}
            return {**head, "core": self.backend.save(), **around, "picture": self.frame}
        if way == COPY:
            _KEPT.put((self._key, self._trail), (self.inner, self._frame))
        played = {"actions": trees.stack(self._actions)} if self._actions else {}
        return {**head, **played}

    def load(self, state: State) -> Frames:
        """Goes back to a saved moment, of this session or of another one.

        Raises:
            WorldFailure: If the environment did not come back to the frame of that moment.
        """
        if "core" in state:
            self._set(state)
        elif state["way"] != COPY or not self._take_copy(state):
            self._replay(state)
        frame = self.frame
        if _digest(frame) != state["frame"]:
            raise WorldFailure(
                f"{self._who} did not come back to the frame of its snapshot: it is not deterministic, although "
                "short tests said so. Raise --env-args probe_steps, or evaluate it without branches."
            )
        return frame

    def _set(self, state: State) -> None:
        if self._seed != int(state["seed"]):  # the layout follows from the seed
            self._reset(int(state["seed"]))
        obs = self.backend.load(state["core"])
        set_random_state(self.backend.core, state["rng"])
        set_elapsed(self.inner, list(state["elapsed"]))
        # The steps between are not known; their number keeps the time.
        self._actions = [None] * int(state["steps"])
        self._trail = str(state["trail"])
        if self.backend.own_picture or obs is not None:
            self._draw(obs)
        else:
            self._frame = np.array(state["picture"], np.uint8)

    def _replay(self, state: State) -> None:
        obs = self._reset(int(state["seed"]))
        for t in range(int(state["steps"])):
            obs, *_ = self._step(trees.index(state["actions"], t))
        self._draw(obs)

    def _take_copy(self, state: State) -> bool:
        """Whether a kept copy was there and can be trusted; else nothing has changed."""
        kept = _KEPT.get((self._key, str(state["trail"])))
        if kept is None:
            return False
        inner, frame = kept
        if self._source == "render":  # an observation can be asked for by a step only, a picture again
            frame = to_frame(inner.render(), self._size, self._native, self._who)
            if _digest(frame) != state["frame"]:
                return False
        self.inner, self._frame = inner, frame
        self.backend.attach(self.inner)
        self._seed, self._trail = int(state["seed"]), str(state["trail"])
        steps = int(state["steps"])
        self._actions = [trees.index(state["actions"], t) for t in range(steps)]
        return True

    # ------------------------------------------------------------------------------------------------------- private

    def _known(self) -> int:
        if self._seed is None:
            raise ContractError("there is no world yet: call reset(seed=...) or restore(state) first")
        return self._seed

    def _reset(self, seed: int) -> Any:
        obs = self._begin(seed)
        rng = seeding.generator("gym-start", seed)
        for _ in range(int(rng.integers(self._starts + 1)) if self._starts else 0):
            action = self.backend.start_action(rng)
            self.backend.before_step(action)
            obs, _, terminated, truncated, _ = self.inner.step(action)
            if terminated or truncated:
                obs = self._begin(seed)
        self._seed, self._actions = seed, []
        self._trail = _digest(np.int64(seed))
        return obs

    def _begin(self, seed: int) -> Any:
        self.backend.before_reset()
        obs, _ = self.inner.reset(seed=seed)
        self.backend.begin()
        return obs

    def _step(self, action: Any) -> tuple[Any, float, bool, bool]:
        own = self._convert(action)
        self.backend.before_step(own)
        obs, reward, terminated, truncated, _ = self.inner.step(own)
        self._actions.append(action)
        self._trail = _digest(self._trail, *trees.flatten(trees.map_leaves(np.asarray, action)).values())
        return obs, float(reward), bool(terminated), bool(truncated)

    def _draw(self, obs: Any) -> None:
        if self.backend.own_picture:
            raw = self.backend.picture()
        else:
            raw = obs if self._source == "observation" else self.inner.render()
        self._frame = to_frame(raw, self._size, self._native, self._who)
        self._native = np.shape(raw)


class _Copies:
    """Deep copies of environments, the newest few of a process: only ever a faster way to what a replay gives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def put(self, key: tuple[str, str], value: Any) -> None:
        with self._lock:
            if key not in self._table:
                self._table[key] = copy.deepcopy(value)
            self._table.move_to_end(key)
            while len(self._table) > KEPT:
                self._table.popitem(last=False)

    def get(self, key: tuple[str, str]) -> Any:
        with self._lock:
            return copy.deepcopy(self._table[key]) if key in self._table else None


_KEPT = _Copies()


def _digest(*parts: Any) -> str:
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            found.update(part.encode())
        else:
            array = np.ascontiguousarray(part)
            found.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return found.hexdigest()[:32]
