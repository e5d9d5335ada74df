"""Shards played in one process or several: the same bytes, whatever the number.

A child plays and packs one shard at a time and sends it; only the parent writes. So memory is bounded by the number of
children, and a child that outlives a killed parent (until its next message fails) can spoil nothing on disk. Only our
own children's messages are unpickled.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, TypeAlias

from worldsim.dataset import pack
from worldsim.errors import ConfigError, WorldFailure, WorldsimError
from worldsim.recording import Recording, join
from worldsim.score_workers import cause, one_thread

#: Plays one episode: (settings, index, ways to play).
Record: TypeAlias = Callable[[Any, int, Any], Recording]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The episodes start..start+count-1, which go into the shard `name`."""

    name: str
    start: int
    count: int


def record_batches(
    record: Record,
    config: Any,
    scripts: Any,
    batches: Sequence[Batch],
    workers: int = 1,
    advance: Callable[[int], None] = lambda episodes: None,
) -> Generator[tuple[Batch, bytes]]:
    """Plays the batches.

    Args:
        record: Plays one episode.
        config: Its first argument.
        scripts: Its third.
        batches: What is wanted.
        workers: 1 = in this process, else that many others.
        advance: Told when an episode is done.

    Yields:
        Each batch with the bytes of its shard, in the order in which they are finished.

    Raises:
        ConfigError: If `workers` is below 1, or `record` cannot be sent to another process.
        WorldFailure: If an episode fails, or a process dies.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    if workers == 1 or len(batches) < 2:
        for batch in batches:
            yield batch, _packed(record, config, scripts, batch, advance)
        return
    try:
        job = pickle.dumps((record, config, scripts))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(f"what plays cannot be sent to another process ({error}): use workers=1") from error
    with contextlib.ExitStack() as stack:
        children = [_Child(job) for _ in range(min(workers, len(batches)))]
        for child in children:
            stack.callback(child.end)
        yield from _gather(children, deque(batches), advance)


def play(
    record: Record, config: Any, scripts: Any, indices: Iterable[int], advance: Callable[[int], None]
) -> Recording:
    """Plays some episodes; `advance` is told when one is done.

    Raises:
        WorldFailure: If one fails.
    """
    episodes = []
    for index in indices:
        try:
            episodes.append(record(config, index, scripts))
        except WorldsimError:
            raise
        except Exception as error:
            raise WorldFailure(f"episode {index} could not be played: {type(error).__name__}: {error}") from error
        advance(1)
    return join(episodes)


def _packed(record: Record, config: Any, scripts: Any, batch: Batch, advance: Callable[[int], None]) -> bytes:
    return pack(play(record, config, scripts, range(batch.start, batch.start + batch.count), advance))


# ------------------------------------------------------------------------------------------------------ the parent


class _Child:
    """A process and the batch it plays."""

    def __init__(self, job: bytes) -> None:
        context = mp.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, job), daemon=True)
        self.batch: Batch | None = None
        with one_thread():
            self.process.start()
        theirs.close()

    def give(self, batch: Batch | None) -> None:
        """The next batch; None = no more."""
        self.batch = batch
        with contextlib.suppress(OSError):  # it is dead: its end of the pipe tells
            self.pipe.send(batch)

    def end(self) -> None:
        """At once: what it was playing is played again another time."""
        self.process.kill()
        self.process.join(5.0)
        self.pipe.close()


def _gather(
    children: list[_Child], waiting: deque[Batch], advance: Callable[[int], None]
) -> Generator[tuple[Batch, bytes]]:
    for child in children:
        child.give(waiting.popleft())
    while busy := [(child, child.batch) for child in children if child.batch is not None]:
        heard = wait([child.pipe for child, _ in busy])
        for child, batch in busy:
            if child.pipe not in heard:
                continue
            try:
                error, packed = child.pipe.recv()
            except (EOFError, OSError) as end:
                child.process.join(5.0)  # the exit code is known only then
                raise WorldFailure(
                    f"a process that played the episodes {batch.start}..{batch.start + batch.count - 1} "
                    f"{cause(child.process.exitcode)}. What was finished is kept: run the same command again, with "
                    "fewer --workers if memory is short. In a script of your own, the call must stand under "
                    '`if __name__ == "__main__":`'
                ) from end
            if error is not None:
                raise error
            if packed is None:
                advance(1)
            else:
                child.give(waiting.popleft() if waiting else None)
                yield batch, packed


# ------------------------------------------------------------------------------------------------------- the child


def _serve(pipe: Any, job: bytes) -> None:
    """Answers each batch with (error, bytes), and before that each episode with (None, None)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends us
    try:
        record, config, scripts = pickle.loads(job)
        while (batch := pipe.recv()) is not None:
            pipe.send((None, _packed(record, config, scripts, batch, lambda episodes: pipe.send((None, None)))))
    except (EOFError, OSError):
        return  # the parent is gone
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send((portable(error), None))


def portable(error: Exception) -> WorldsimError:
    """An exception that survives the pipe whatever it holds, with the child's traceback as its note."""
    portable = type(error)(str(error)) if isinstance(error, WorldsimError) else WorldFailure(f"playing failed: {error}")
    portable.add_note("".join(traceback.format_exception(error)))
    return portable
