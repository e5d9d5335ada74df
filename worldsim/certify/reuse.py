"""Truths that are used again: a fault is a new simulator in old copies of the world.

A certification makes some hundred simulators, each with its own copies of the truth. Where a copy is a process (a game,
a server) starting it costs more than playing in it. A copy that was given back is whatever it last was, and everything
that takes one begins with `reset` or `restore`, after which, by the contract of a truth, nothing of that is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from worldsim.protocols import TruthEnv


class Truths:
    """Lends truths of one kind, that which waits longest first, so that worlds in turn find the copy they had before.

    A copy that is set back within its own world has less to do than one that must make another.
    """

    def __init__(self, make_env: Callable[[], TruthEnv]) -> None:
        """Makes none yet."""
        self._make, self._idle = make_env, list[TruthEnv]()

    def make(self) -> TruthEnv:
        """A truth whose `close` gives it back."""
        return cast("TruthEnv", _Lent(self._idle.pop(0) if self._idle else self._make(), self._idle))

    def close(self) -> None:
        """Closes those that were given back."""
        while self._idle:
            self._idle.pop().close()


class _Lent:
    """A truth that is not closed but given back."""

    def __init__(self, env: TruthEnv, idle: list[TruthEnv]) -> None:
        self._env: TruthEnv | None = env
        self._idle = idle

    def __getattr__(self, name: str) -> Any:
        env = self.__dict__["_env"]
        if env is None:
            raise RuntimeError("this truth was given back: it may be another's now")
        return getattr(env, name)

    def close(self) -> None:
        if self._env is not None:
            self._idle.append(self._env)
            self._env = None
