"""Two small helpers that let truth, model and encoding overlap: an ordered background queue, and calls with a time-out.

Both use daemon threads: the heavy parts (ray casting, matrix products, compression) release the interpreter lock, and a
thread that is stuck in foreign code must not keep the process from ending.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from worldsim.errors import WorldFailure

T = TypeVar("T")


class HungError(WorldFailure):
    """A model or environment that did not answer in time; its thread cannot be used again."""


class Background:
    """Runs submitted calls one after another in one thread; the queue is bounded, so memory is too.

    The first exception is kept and raised by the next `submit`, `flush` or `close`.
    """

    def __init__(self, limit: int = 64) -> None:
        self._queue: queue.Queue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = queue.Queue(limit)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="worldsim-encoder", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., Any], *args: Any) -> None:
        """Queues `function(*args)`; waits while the queue is full."""
        self._raise()
        self._queue.put((function, args))

    def flush(self) -> None:
        """Waits until everything submitted so far has run."""
        self._queue.join()
        self._raise()

    def close(self) -> None:
        """Runs what is queued and ends the thread; an exception that was kept is not raised any more."""
        self._queue.put(None)
        self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                if self._error is None:  # after a failure the rest of the episode is worthless: drain the queue
                    job[0](*job[1])
            except BaseException as error:
                self._error = error
            finally:
                self._queue.task_done()
        self._queue.task_done()


class TimedCaller:
    """Calls functions in one daemon thread and gives up waiting after a time-out."""

    def __init__(self, what: str, timeout: float) -> None:
        """`what` names the thing that is called, for the message; `timeout` in seconds."""
        self.what, self.timeout = what, timeout
        self._in: queue.SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._out: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._hung = False
        threading.Thread(target=self._run, name=f"worldsim-{what}", daemon=True).start()

    def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)`, its exceptions included.

        Raises:
            HungError: If it does not return within the time-out, and at every later call.
        """
        if self._hung:
            raise HungError(f"{self.what} hung before and cannot be used again in this process")
        self._in.put((function, args))
        try:
            value, error = self._out.get(timeout=self.timeout)
        except queue.Empty:
            self._hung = True
            raise HungError(
                f"{self.what} did not answer within {self.timeout:g} s; if it is only slow, raise --step-timeout"
            ) from None
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends the thread if it is idle."""
        self._in.put(None)

    def _run(self) -> None:
        while (job := self._in.get()) is not None:
            try:
                self._out.put((job[0](*job[1]), None))
            except BaseException as error:
                self._out.put((None, error))


class Ahead(Generic[T]):
    """Iterates over `items` in a thread, up to `depth` items ahead of the consumer.

    Waiting for an item longer than `timeout` seconds raises HungError. `close` stops the producer at its next item.
    """

    def __init__(self, items: Iterable[T], what: str, timeout: float, depth: int = 2) -> None:
        self._queue: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(depth)
        self._what, self._timeout = what, timeout
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(items,), name=f"worldsim-{what}", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                item, error, more = self._queue.get(timeout=self._timeout)
            except queue.Empty:
                raise HungError(
                    f"{self._what} did not answer within {self._timeout:g} s; if it is only slow, raise --step-timeout"
                ) from None
            if error is not None:
                raise error
            if not more:
                return
            yield item  # type: ignore[misc]

    def close(self) -> None:
        """Stops the producer and waits shortly for it, so that its environments can be used again."""
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                self._thread.join(timeout=0.05)
                self._timeout -= 0.1
                if self._timeout < 0:
                    return

    def _put(self, entry: tuple[T | None, BaseException | None, bool]) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def _run(self, items: Iterable[T]) -> None:
        try:
            for item in items:
                self._put((item, None, True))
                if self._stop.is_set():
                    return
            self._put((None, None, False))
        except BaseException as error:
            self._put((None, error, False))
