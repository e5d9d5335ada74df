"""N ground truths at once: in threads of this process, or each in a process of its own.

Both forms have the same methods and end no episode by themselves (Gymnasium's `AutoresetMode.DISABLED`): who steps a
truth past its end gets what that truth does then. `gymnasium.make_vec("worldsim/Blocks-v0", num_envs=N)` gives
Gymnasium's own vector environment instead, without `truth` and `snapshot`.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.errors import ConfigError, WorldFailure
from worldsim.protocols import TruthEnv
from worldsim.truth import Edit, State, TruthState
from worldsim.types import Frames

#: frames (N, H, W, 3), rewards (N,), terminated (N,), truncated (N,), infos.
Steps = tuple[Frames, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], list[dict[str, Any]]]


class _Vector:
    """What both forms share: every method is one call on each truth."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ConfigError(f"a vector needs at least one world, got {count}")
        self.count = count

    def call(self, method: str, arguments: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
        """Calls a method of every truth; `arguments` holds positional and keyword arguments for each."""
        raise NotImplementedError

    def reset(self, seeds: Sequence[int], dynamics_seeds: Sequence[int] | None = None) -> Frames:
        """Starts all worlds: (N, H, W, 3) uint8, the first frames."""
        self._fits("seeds", len(seeds))
        options = [None if dynamics_seeds is None else {"dynamics_seed": d} for d in dynamics_seeds or seeds]
        rows = self.call("reset", [((), {"seed": s, "options": o}) for s, o in zip(seeds, options, strict=True)])
        return np.stack([frame for frame, _ in rows])

    def step(self, actions: Any) -> Steps:
        """One step of all worlds. `actions` is a tree with leaves (N, ...)."""
        self._fits("actions", trees.length(actions))
        rows = self.call("step", [((trees.index(actions, i),), {}) for i in range(self.count)])
        frames, rewards, terminated, truncated, infos = zip(*rows, strict=True)
        return np.stack(frames), np.array(rewards, np.float64), np.array(terminated), np.array(truncated), list(infos)

    def truth(self) -> tuple[TruthState, ...]:
        """The state of each world."""
        return tuple(self.call("truth", self._no_arguments()))

    def snapshot(self) -> tuple[State, ...]:
        """The whole state of each world."""
        return tuple(self.call("snapshot", self._no_arguments()))

    def restore(self, states: Sequence[State], dynamics_seeds: Sequence[int | None] | None = None) -> Frames:
        """Sets all worlds back: (N, H, W, 3) uint8, their frames."""
        self._fits("states", len(states))
        seeds = dynamics_seeds or [None] * self.count
        rows = self.call("restore", [((state, seed), {}) for state, seed in zip(states, seeds, strict=True)])
        return np.stack([frame for frame, _ in rows])

    def edit(self, changes: Sequence[Edit]) -> None:
        """Changes one fact in each world."""
        self._fits("changes", len(changes))
        self.call("edit", [((change,), {}) for change in changes])

    def close(self) -> None:
        """Releases threads, processes and truths; may be called twice."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _no_arguments(self) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [((), {})] * self.count

    def _fits(self, what: str, got: int) -> None:
        if got != self.count:
            raise ConfigError(f"expected {self.count} {what}, one for each world, got {got}")


class TruthVector(_Vector):
    """Truths in this process, stepped by a few threads: for those that release the GIL, as Blocks does to draw."""

    def __init__(self, makers: Sequence[Callable[[], TruthEnv]], *, threads: int = 1) -> None:
        """Makes the truths. `threads` 1 = one after the other."""
        super().__init__(len(makers))
        self.envs = [make() for make in makers]
        self._pool = ThreadPoolExecutor(threads, "truth") if threads > 1 else None

    def call(self, method: str, arguments: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
        """Calls a method of every truth; an exception names the world it comes from."""

        def one(i: int) -> Any:
            args, kwargs = arguments[i]
            try:
                return getattr(self.envs[i], method)(*args, **kwargs)
            except Exception as error:
                error.add_note(f"in world {i} of {self.count}, {method}()")
                raise

        return (
            [one(i) for i in range(self.count)] if self._pool is None else list(self._pool.map(one, range(self.count)))
        )

    def close(self) -> None:
        """Closes the truths and ends the threads."""
        for env in self.envs:
            env.close()
        if self._pool is not None:
            self._pool.shutdown()


class ProcessVector(_Vector):
    """Truths in processes of their own: one that crashes or hangs is an error with its reason, and leaves no orphan."""

    def __init__(self, makers: Sequence[Callable[[], TruthEnv]], *, timeout: float = 120.0) -> None:
        """Starts the processes.

        Args:
            makers: One for each world; they are pickled, so they must be functions or classes of a module, or
                `functools.partial`s of such.
            timeout: Seconds after which a truth that has not answered counts as hanging.
        """
        super().__init__(len(makers))
        self.timeout = timeout
        context = multiprocessing.get_context("spawn")  # threads and locks of this process are not copied
        self._workers: list[tuple[Any, Connection]] = []
        for i, make in enumerate(makers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(make, theirs), name=f"truth-{i}", daemon=True)
            process.start()
            theirs.close()  # so that its end is seen when the process dies
            self._workers.append((process, ours))
        self._gather("its start", [True] * self.count)

    def call(self, method: str, arguments: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
        """Calls a method of every truth at the same time.

        Raises:
            WorldFailure: If one raises, dies or does not answer in time; all processes are ended then.
        """
        if not self._workers:
            raise ConfigError("this vector is closed; make a new one")
        sent = []
        for (_, pipe), (args, kwargs) in zip(self._workers, arguments, strict=True):
            try:
                pipe.send((method, args, kwargs))
                sent.append(True)
            except OSError:
                sent.append(False)
        return self._gather(f"{method}()", sent)

    def _gather(self, what: str, sent: Sequence[bool]) -> list[Any]:
        deadline = time.monotonic() + self.timeout
        results = []
        for i, (process, pipe) in enumerate(self._workers):
            reason = ""
            try:
                if sent[i] and not pipe.poll(max(0.0, deadline - time.monotonic())):
                    reason = f"did not answer within {self.timeout:g} s"
                else:
                    ok, value = pipe.recv()
                    results.append(value)
                    reason = "" if ok else f"raised\n{value}"
            except (EOFError, OSError):
                process.join(5.0)
                reason = f"died with exit code {process.exitcode}"
            if reason:
                self.close()
                raise WorldFailure(f"world {i} of {self.count}: {what} {reason}")
        return results

    def close(self) -> None:
        """Ends the processes; those that do not listen are killed."""
        workers, self._workers = self._workers, []
        for _, pipe in workers:
            pipe.close()  # a worker that listens ends at the end of its pipe, also when this process dies
        for process, _ in workers:
            process.join(1.0)
            if process.is_alive():
                process.kill()
                process.join()


def _serve(make: Callable[[], TruthEnv], pipe: Connection) -> None:
    """The worker: answers calls until the pipe ends."""
    env: TruthEnv | None = None
    try:
        env = make()
        pipe.send((True, None))
        while True:
            method, args, kwargs = pipe.recv()
            pipe.send((True, getattr(env, method)(*args, **kwargs)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass
    except BaseException:
        pipe.send((False, traceback.format_exc()))
    finally:
        if env is not None:
            env.close()
