"""When to leave: a cap on the wall clock, and signals that ask a process to end. A training saves before it leaves."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class OutOfTime(KeyboardInterrupt):
    """Raised within `Stop.interrupting` when it is time to leave; like an interrupt, no `except Exception` stops it."""


class Stop:
    """Says when it is time to leave: `with Stop(seconds) as stop: ... if stop.over(): ...`.

    The clock runs from the moment the object is made, over everything that is done with it. Signals are noted from
    `__enter__` to `__exit__`, on the main thread; elsewhere only the clock counts. A second signal ends the process at
    once, as if there were no `Stop`.
    """

    def __init__(self, seconds: float | None = None) -> None:
        """`seconds` is the cap; None = none."""
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds
        self._asked = self._by_clock = False
        self._raising = False
        self._before: dict[signal.Signals, Any] = {}

    def over(self) -> bool:
        """Whether it is time to leave."""
        return self._asked or (self._end is not None and time.monotonic() >= self._end)

    @property
    def asked(self) -> bool:
        """Whether a signal came from outside."""
        return self._asked and not self._by_clock

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._restore()

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Within the block the end of the time raises `OutOfTime` instead of being noted.

        For work that keeps what it finished whenever it is cut off, and never asks `over`.
        """
        if self.over():
            raise OutOfTime
        timer = None
        if self._before:
            self._raising = True
            if self._end is not None:
                timer = threading.Timer(max(0.0, self._end - time.monotonic()), self._ring)
                timer.daemon = True
                timer.start()
        try:
            yield
        finally:
            self._raising = False
            if timer is not None:
                timer.cancel()

    def _ring(self) -> None:
        self._by_clock = True
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            self._restore()
            signal.raise_signal(number)
            return
        self._asked = True
        if self._raising:
            self._raising = False
            raise OutOfTime

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
