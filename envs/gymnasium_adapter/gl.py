"""In which thread an environment is called, and beside whom.

A context of OpenGL belongs to the thread that made it, so whatever draws with it is called from one thread.

Whatever may draw with pygame is called one at a time: `pygame.gfxdraw` fills polygons in a buffer that all threads
share (SDL_gfx: `gfxPrimitivesPolyIntsGlobal`), and pictures of CarRacing drawn at the same time had other edges.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from worldsim.errors import WorldFailure

T = TypeVar("T")
PATIENCE = 5.0  # seconds that a finalizer waits
STUCK = 300.0  # seconds after which another environment of the process counts as hung


class Thread:
    """Runs calls one after another in a thread of its own, which ends with the process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __call__(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """The function's result, or what it raised. A call from within the thread runs at once."""
        if threading.current_thread() is self._thread:
            return function(*args, **kwargs)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._thread.start()
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._calls.put((function, args, kwargs, answer))
        value, error = answer.get()
        if error is not None:
            raise error
        out: T = value
        return out

    def leave(self, function: Callable[[], object]) -> None:
        """For finalizers: runs a call that may fail, and waits a little only, for the thread may hang."""
        if threading.current_thread() is self._thread:
            function()
            return
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._calls.put((function, (), {}, answer))
        with contextlib.suppress(queue.Empty):
            answer.get(timeout=PATIENCE)

    def _serve(self) -> None:
        while True:
            function, args, kwargs, answer = self._calls.get()
            try:
                answer.put((function(*args, **kwargs), None))
            except BaseException as error:
                answer.put((None, error))
            function = args = kwargs = answer = None  # nothing of a call is kept until the next one


drawing = Thread("worldsim-gl")


def here(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The same without a thread, for what draws on the CPU."""
    return function(*args, **kwargs)


class Turns:
    """Runs calls in the caller's thread, one at a time for the whole process."""

    def __init__(self, patience: float = STUCK) -> None:
        self._patience = patience
        self._lock = threading.RLock()

    def __call__(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """The function's result. Raises WorldFailure if another call does not end."""
        if not self._lock.acquire(timeout=self._patience):
            raise WorldFailure(
                f"another environment of this process has not answered for {self._patience:g} s, and environments that "
                "may draw with pygame take turns; run each in a process of its own with --isolate-envs"
            )
        try:
            return function(*args, **kwargs)
        finally:
            self._lock.release()


turns = Turns()
