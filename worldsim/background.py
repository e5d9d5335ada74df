"""Two small helpers that let truth, model and encoding overlap: an ordered background queue, and calls with a time-out.

Both use daemon threads: the heavy parts (ray casting, matrix products, compression) release the interpreter lock, and a
thread that is stuck in foreign code must not keep the process from ending.
"""

from __future__ import annotations

import queue
import threading
import time
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
    """One daemon thread in which a model lives, and a watch over the calls into it.

    `supervise` runs a whole loop in that thread; within it `caller(f, x)` is a plain call whose duration is watched
    from outside. So the loop pays for no change of threads, and a call that never returns is still noticed.
    """

    def __init__(self, what: str, timeout: float) -> None:
        """`what` names the thing that is called, for the message; `timeout` in seconds for one call."""
        self.what, self.timeout = what, timeout
        self._in: queue.SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._out: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._since: float | None = None  # when the call began that is going on now
        self._lost: HungError | None = None  # set once the thread is given up
        self._stop = False
        self._thread = threading.Thread(target=self._run, name=f"worldsim-{what}", daemon=True)
        self._thread.start()

    def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)` in the thread, its exceptions included; raises HungError when it takes too long."""
        if threading.current_thread() is not self._thread:
            result: T = self.supervise(self.__call__, function, *args)
            return result
        if self._stop:
            raise HungError("stopped")
        self._since = time.monotonic()
        try:
            return function(*args)
        finally:
            self._since = None
            if self._lost is not None:  # nobody waits any more: unwind what is around this call
                raise self._lost

    def supervise(self, function: Callable[..., T], *args: Any) -> T:
        """Runs `function(*args)` in the thread; it makes its watched calls through this object.

        Raises:
            HungError: If one of those calls does not return within the time-out, and at every later use.
        """
        if self._lost is not None:
            raise HungError(f"{self.what} hung before and cannot be used again in this process")
        self._in.put((function, args))
        try:
            value, error = self._wait()
        except HungError:
            raise
        except BaseException:  # Ctrl-C: let the thread unwind before anything that it uses is closed
            self._stop = True
            try:
                self._out.get(timeout=5.0)
            except queue.Empty:
                self._lost = HungError(f"{self.what} was interrupted and did not stop")
            self._stop = False
            raise
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends the thread if it is idle."""
        self._in.put(None)

    def _wait(self) -> tuple[Any, BaseException | None]:
        while True:
            try:
                return self._out.get(timeout=min(0.25, self.timeout / 4))
            except queue.Empty:
                since = self._since
                if since is not None and time.monotonic() - since > self.timeout:
                    patience = f"within {self.timeout:g} s; if it is only slow, raise --step-timeout"
                    self._lost = HungError(f"{self.what} did not answer {patience}")
                    raise self._lost from None

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
