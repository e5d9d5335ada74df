"""Episodes -> rows of evidence in one process or several: the same rows in the same order, whatever the number.

A child gets one group of episodes at a time, so memory is bounded by the number of children. One that dies costs the
metric that killed it that group, with a reason in its rows; the others go on. Children are started by `spawn` and end
with their parent (their end of the pipe closes). Only our own children's messages are unpickled.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing as mp
import os
import pickle
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any, TypeAlias

from worldsim import registry
from worldsim.errors import ConfigError, WorldFailure, WorldsimError
from worldsim.nulls import NULLS
from worldsim.protocols import EpisodeGroup
from worldsim.scoring import observe_all
from worldsim.types import Observation

#: From `Task.data` to the episodes, with `Episode.other` where it is known. Picklable, for several processes.
Load: TypeAlias = Callable[[Any], EpisodeGroup]

_LOG = logging.getLogger(__name__)
_SOURCES = ("model", *(f"null:{name}" for name in NULLS), "ceiling", "ceiling_codec")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_MOST_DEATHS = 50  # then it is not this or that episode


@dataclass(frozen=True, kw_only=True)
class Task:
    """One group of episodes, twins together.

    Attributes:
        rows: One an episode, with `episode`, `scenario`, `world_seed`, `variant` and `pair_id`: what is known of it
            without reading it.
        data: What `Load` needs.
        skip: Names of metrics that are not run on it.
    """

    rows: tuple[Mapping[str, Any], ...]
    data: Any
    skip: frozenset[str] = frozenset()


def observe_tasks(
    load: Load,
    tasks: Sequence[Task],
    metrics: Sequence[type[Any]],
    *,
    workers: int = 1,
    advance: Callable[[int], None] = lambda episodes: None,
) -> list[Observation]:
    """Runs every metric on every source of every group.

    Args:
        load: Reads the episodes of a task.
        tasks: The groups; the rows come in their order.
        metrics: Classes.
        workers: 1 = in this process, else that many others.
        advance: Told how many episodes are done.

    Raises:
        ConfigError: If `workers` is below 1, or a metric cannot be sent to another process.
        WorldFailure: If the processes cannot start, or keep dying.
        WorldsimError: What `load` raises.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    if workers == 1 or len(tasks) < 2:
        instances = [metric() for metric in metrics]
        rows: list[Observation] = []
        for task in tasks:
            own = [metric for metric in instances if metric.spec.name not in task.skip]
            rows += observe_all(own, [load(task.data)]) if own else []
            advance(len(task.rows))
        return rows
    with contextlib.closing(_Pool(load, tasks, metrics, min(workers, len(tasks)), advance)) as pool:
        return pool.run()


# ------------------------------------------------------------------------------------------------------ the parent


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """A task and the metrics (by index) that are run on it: all of them, or one at a time after a death."""

    task: int
    metrics: tuple[int, ...]


@dataclass(kw_only=True, eq=False)
class _Child:
    process: Any
    pipe: Any
    ready: bool = False
    piece: _Piece | None = None


@dataclass(kw_only=True)
class _Found:
    """What is known of a task: rows by piece, and how many metrics are still out."""

    rows: list[Observation] = field(default_factory=list)
    missing: int
    split: bool = False


class _Pool:
    """Deals pieces to children one at a time and gathers their rows by task."""

    def __init__(
        self,
        load: Load,
        tasks: Sequence[Task],
        metrics: Sequence[type[Any]],
        workers: int,
        advance: Callable[[int], None],
    ) -> None:
        self._tasks, self._metrics, self._advance, self._workers = tasks, metrics, advance, workers
        self._job = _packed(load, metrics)
        chosen = [tuple(i for i, m in enumerate(metrics) if m.spec.name not in task.skip) for task in tasks]
        self._waiting = deque(_Piece(task=i, metrics=own) for i, own in enumerate(chosen) if own)
        self._found = [_Found(missing=len(own)) for own in chosen]
        self._children: list[_Child] = []
        self._deaths = 0

    def run(self) -> list[Observation]:
        """All rows, in the order that one process gives."""
        while self._waiting or any(child.piece for child in self._children):
            self._deal()
            for pipe in wait([child.pipe for child in self._children]):
                self._hear(next(child for child in self._children if child.pipe is pipe))
        return [row for found in self._found for row in found.rows]

    def close(self) -> None:
        """Ends the children: at once, for they only read."""
        for child in self._children:
            child.process.kill()
        for child in self._children:
            child.process.join(5.0)
            child.pipe.close()
        self._children = []

    def _deal(self) -> None:
        while len(self._children) < min(self._workers, len(self._waiting) + self._busy()):
            self._children.append(_start(self._job))
        for child in self._children:
            if child.ready and child.piece is None and self._waiting:
                child.piece = self._waiting.popleft()
                with contextlib.suppress(OSError):  # it is dead: its end of the pipe tells in the next round
                    child.pipe.send((self._tasks[child.piece.task].data, child.piece.metrics))

    def _busy(self) -> int:
        return sum(child.piece is not None for child in self._children)

    def _hear(self, child: _Child) -> None:
        try:
            error, rows = child.pipe.recv()
        except (EOFError, OSError):
            self._died(child)
            return
        if error is not None:
            raise error
        if child.piece is None:
            child.ready = True
            return
        piece, child.piece = child.piece, None
        self._keep(piece, rows)

    def _keep(self, piece: _Piece, rows: list[Observation]) -> None:
        found = self._found[piece.task]
        found.rows += rows
        found.missing -= len(piece.metrics)
        if found.missing == 0:
            if found.split:  # one process goes through the sources, and in each through the metrics
                order = {metric.spec.name: i for i, metric in enumerate(self._metrics)}
                found.rows.sort(key=lambda r: (_SOURCES.index(r.source), order[r.metric]))
            self._advance(len(self._tasks[piece.task].rows))

    def _died(self, child: _Child) -> None:
        """A death is found out by running the metrics of its group one by one; the guilty one is recorded."""
        child.process.join(5.0)
        how = cause(child.process.exitcode)
        child.pipe.close()
        self._children.remove(child)
        if not child.ready:
            raise WorldFailure(
                f"a scoring process {how} before it could begin. Score with workers=1; in a script of your own, the "
                'call that scores must stand under `if __name__ == "__main__":`'
            )
        piece = child.piece
        if piece is None:
            return
        task = self._tasks[piece.task]
        names = ", ".join(str(row["episode"]) for row in task.rows)
        self._deaths += 1
        if self._deaths >= _MOST_DEATHS:
            raise WorldFailure(f"{self._deaths} scoring processes died; the last one {how} at {names}")
        if len(piece.metrics) > 1:
            _LOG.warning("a scoring process %s at %s; its metrics are tried one by one", how, names)
            self._found[piece.task].split = True
            self._waiting.extendleft(_Piece(task=piece.task, metrics=(m,)) for m in reversed(piece.metrics))
            return
        name = self._metrics[piece.metrics[0]].spec.name
        reason = f"the metric failed: its process {how}"
        _LOG.warning("%s on episode %s: %s", name, names, reason)
        self._keep(piece, [_undefined(name, row, source, reason) for source in _SOURCES[:-1] for row in task.rows])


def _undefined(metric: str, row: Mapping[str, Any], source: str, reason: str) -> Observation:
    return Observation(
        metric=metric,
        episode=row["episode"],
        scenario=row["scenario"],
        world=row["world_seed"],
        source=source,
        variant=row["variant"],
        pair_id=row["pair_id"],
        reason=reason,
    )


def cause(code: int | None) -> str:
    """How a process ended, from its exit code."""
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _packed(load: Load, metrics: Sequence[type[Any]]) -> bytes:
    """What a child needs, once for all: the loader, and each metric by name where it came from a file."""
    named: list[Any] = []
    for metric in metrics:
        module = sys.modules.get(metric.__module__)
        from_file = metric.__module__.startswith("_worldsim_file_") and module is not None
        thing: Any = f"{module.__file__}:{metric.__qualname__}" if from_file and module is not None else metric
        try:
            pickle.dumps(thing)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"{metric.spec.name} cannot be sent to another process ({error}): score with workers=1, or define the "
                "class at the top level of a module"
            ) from error
        named.append(thing)
    return pickle.dumps((load, named))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Children that are started meanwhile count on one core each; libraries read it when they are imported.

    Interrupts from the terminal do not reach them from their first instruction on: a child that is interrupted while it
    imports would print where. The parent ends them.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    resource_tracker.ensure_running()  # its first start lets interrupts through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start(job: bytes) -> _Child:
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, job), daemon=True)
    with one_thread():
        process.start()
    theirs.close()
    return _Child(process=process, pipe=ours)


# ------------------------------------------------------------------------------------------------------- the child


def _serve(pipe: Any, job: bytes) -> None:
    """Answers each piece with (error, rows); the first answer says that it is ready."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends us
    import cv2

    cv2.setNumThreads(1)
    try:
        load, named = pickle.loads(job)
        instances = [(registry.METRICS.get(thing) if isinstance(thing, str) else thing)() for thing in named]
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        pipe.send((None, []))
    except Exception as error:
        pipe.send((_portable(error), []))
        return
    while True:
        try:
            data, chosen = pipe.recv()
        except (EOFError, OSError):
            return  # the parent is gone
        answer: tuple[WorldsimError | None, list[Observation]]
        try:
            answer = None, list(observe_all([instances[i] for i in chosen], [load(data)]))
        except Exception as error:
            answer = _portable(error), []
        try:
            pipe.send(answer)
        except OSError:
            return  # as above


def _portable(error: Exception) -> WorldsimError:
    """An exception that survives the pipe whatever it holds, with the child's traceback as its note."""
    if isinstance(error, WorldsimError):
        portable = type(error)(str(error))
    else:
        portable = WorldFailure(f"an episode could not be scored: {type(error).__name__}: {error}")
    portable.add_note("".join(traceback.format_exception(error)))
    return portable
