"""A truth environment in a process of its own: what hangs or crashes in it is killed, named, and replaced.

The child is started by `spawn`, so it inherits no locks, and ends with its parent (its end of the pipe closes). Only
our own child's messages are unpickled.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim import registry
from worldsim.errors import WorldFailure, WorldsimError
from worldsim.truth import Abilities, Edit, State, TruthState
from worldsim.types import Frames

_START = 120.0  # seconds in which a child must have imported and built its environment


class WorkerEnv:
    """`TruthEnv` by remote calls; after a failure the next `reset` starts a fresh process."""

    def __init__(self, build: Callable[[], Any], *, timeout: float) -> None:
        """Starts the process.

        Args:
            build: Makes the environment; must be picklable (a module-level function or a `functools.partial` of one).
            timeout: Seconds after which a call that has not returned is killed.
        """
        self._build, self._timeout = build, timeout
        self._process: Any = None
        self._truth: TruthState | None = None
        self._start()

    @property
    def abilities(self) -> Abilities:
        """As the environment says."""
        able: Abilities = self._abilities
        return able

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Starts a world; in a fresh process if the last one failed."""
        if self._process is None:
            self._start()
        frame, info = self._call("reset", seed=seed, options=options)
        return frame, info

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Gymnasium's five; the state comes along in the same message."""
        frame, reward, terminated, truncated, info = self._call("step", action)
        return frame, reward, terminated, truncated, info

    def truth(self) -> TruthState:
        """The state behind the last frame, already here."""
        if self._truth is None:
            self._truth = self._call("truth")
        return self._truth

    def snapshot(self) -> State:
        """The whole state."""
        state: State = self._call("snapshot")
        return state

    def restore(self, state: State, dynamics_seed: int | None = None) -> tuple[Frames, TruthState]:
        """Sets the state back."""
        if self._process is None:
            self._start()
        frame, self._truth = self._call("restore", state, dynamics_seed)
        return frame, self._truth

    def edit(self, change: Edit) -> None:
        """Changes one fact."""
        self._call("edit", change)
        self._truth = None

    def render_from(
        self, world_from_camera: NDArray[np.float64] | None = None, *, supersample: int = 1
    ) -> tuple[Frames, TruthState]:
        """Draws from any pose."""
        frame, state = self._call("render_from", world_from_camera, supersample=supersample)
        return frame, state

    def close(self) -> None:
        """Ends the process; may be called twice."""
        if self._process is not None:
            try:
                self._pipe.send(("close", (), {}))
                self._process.join(2.0)
            except OSError:
                pass  # it is gone already
            self._kill()

    def _start(self) -> None:
        context = mp.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._build, os.getpid()), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self._abilities, self.action_space, self.observation_space, self.metadata = self._receive("start", _START)
        except BaseException:
            self._kill()  # a child that could not make its truth is ending by itself: do not leave it to be found
            raise

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self._process is None:
            raise WorldFailure("the truth's process ended before; reset it first")
        try:
            self._pipe.send((method, args, kwargs))
        except OSError as error:
            self._kill()
            raise WorldFailure(f"the truth's process ended before {method}") from error
        return self._receive(method, self._timeout)

    def _receive(self, method: str, timeout: float) -> Any:
        try:
            if not self._pipe.poll(timeout):
                self._kill()
                raise WorldFailure(
                    f"the truth did not return from {method} within {timeout:g} s and was killed; "
                    "if it is only slow, raise --step-timeout"
                )
            error, value, truth = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join(2.0)  # the exit code is known only then
            code = self._process.exitcode
            self._kill()
            raise WorldFailure(f"the truth's process died in {method} (exit code {code})") from error
        self._truth = truth
        if error is not None:
            raise error
        return value

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(5.0)
            self._pipe.close()
        self._process, self._truth = None, None


def _serve(pipe: Any, build: Callable[[], Any], parent: int) -> None:
    """The child: answers each call with (error, value, truth)."""
    try:
        env = build()
        pipe.send((None, (env.abilities, env.action_space, env.observation_space, dict(env.metadata)), None))
    except Exception as error:
        pipe.send((_portable(error), None, None))
        return
    while os.getppid() == parent:
        try:
            method, args, kwargs = pipe.recv()
        except (EOFError, OSError):
            break
        if method == "close":
            break
        try:
            value = getattr(env, method)(*args, **kwargs)
            pipe.send((None, value, env.truth() if method in ("reset", "step") else None))
        except Exception as error:
            pipe.send((_portable(error), None, None))
    env.close()


def _portable(error: Exception) -> WorldsimError:
    """An exception that survives the pipe whatever it holds, with the child's traceback as its note."""
    if isinstance(error, WorldsimError):
        portable = type(error)(str(error))
    else:
        portable = WorldFailure(f"the truth raised {type(error).__name__}: {error}")
    portable.add_note("".join(traceback.format_exception(error)))
    return portable


def in_worker(name: str, kwargs: Mapping[str, Any], timeout: float) -> WorkerEnv:
    """The registered environment `name` (or path/to/file.py:Name) in a process of its own."""
    return WorkerEnv(partial(_by_name, name, dict(kwargs)), timeout=timeout)


def _by_name(name: str, kwargs: dict[str, Any]) -> Any:
    return registry.ENVS.get(name)(**kwargs)
