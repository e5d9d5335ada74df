"""N ground truths at once, stepped by a few threads.

Threads do for truths that release the GIL, as Blocks does to draw. Those that do not, or that may crash or hang, each
get a process of their own, on which the threads then wait:

    vector = TruthVector([partial(WorkerEnv, make, timeout=60.0)] * 8, threads=8)  # worldsim.worker_env

No episode is ended here (Gymnasium's `AutoresetMode.DISABLED`): who steps a truth past its end gets what that truth
does then. `gymnasium.make_vec("worldsim/Blocks-v0", num_envs=N)` gives Gymnasium's own vector environment instead,
without `truth` and `snapshot`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.errors import ConfigError
from worldsim.protocols import TruthEnv
from worldsim.truth import Edit, State, TruthState
from worldsim.types import Frames

#: frames (N, H, W, 3), rewards (N,), terminated (N,), truncated (N,), infos.
Steps = tuple[Frames, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], list[dict[str, Any]]]


class TruthVector:
    """Truths stepped side by side; every method is one call on each of them."""

    def __init__(self, makers: Sequence[Callable[[], TruthEnv]], *, threads: int = 1) -> None:
        """Makes the truths. `threads` 1 = one after the other."""
        if not makers:
            raise ConfigError("a vector needs at least one world, got none")
        self.count = len(makers)
        self._pool = ThreadPoolExecutor(threads, "truth") if threads > 1 else None
        made: dict[int, TruthEnv] = {}
        try:
            list(self._map(lambda i: made.update({i: makers[i]()})))
        except BaseException:
            self._end(made)
            raise
        self.envs = [made[i] for i in range(self.count)]

    def call(self, method: str, arguments: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
        """Calls a method of every truth; an exception names the world it comes from.

        Args:
            method: Of `TruthEnv`.
            arguments: Positional and keyword arguments for each truth.
        """

        def one(i: int) -> Any:
            args, kwargs = arguments[i]
            try:
                return getattr(self.envs[i], method)(*args, **kwargs)
            except Exception as error:
                error.add_note(f"in world {i} of {self.count}, {method}()")
                raise

        return list(self._map(one))

    def _end(self, envs: Mapping[int, TruthEnv]) -> None:
        if self._pool is not None:
            self._pool.shutdown()  # waits for what is under way, so that a truth that is being made is closed, too
        for env in envs.values():
            env.close()

    def _map(self, one: Callable[[int], Any]) -> Iterable[Any]:
        return (map if self._pool is None else self._pool.map)(one, range(self.count))

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
        """Closes the truths and ends the threads; may be called twice."""
        self._end(dict(enumerate(self.envs)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _no_arguments(self) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [((), {})] * self.count

    def _fits(self, what: str, got: int) -> None:
        if got != self.count:
            raise ConfigError(f"expected {self.count} {what}, one for each world, got {got}")
