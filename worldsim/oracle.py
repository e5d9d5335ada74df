"""The truth behind the `WorldModel` interface: the perfect simulator, and truths that are wrong in one way.

- `Oracle`: the truth itself; the ceiling of every score.
- `OracleOtherFuture`: the same world and past, another possible future.
- `OracleCodec`: the truth seen through a lossy codec; the ceiling of pixel scores.
- `Lagged`: the truth, k steps late. `ShuffledAction`: the truth under permuted actions. Both are faults, not nulls.
- `OtherEpisode`: the same actions in another world; the one null that needs an environment.

All are given the truth by `bind` right before `reset`, and play in their own copies of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from worldsim import trees
from worldsim.baselines import check_actions, check_indices
from worldsim.errors import ConfigError, ContractError, ShapeError, UnsupportedError
from worldsim.protocols import TruthBinding, TruthEnv
from worldsim.seeding import generator, hash_seed, split_of
from worldsim.trees import ArrayTree, Tree
from worldsim.truth import State
from worldsim.types import Context, Frames, ModelSpec, Prediction


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the truth says about one row of a reset.

    Attributes:
        seed: World seed.
        state: Snapshot at the last context frame, or None.
        history: Tree with leaves (t, ...), the actions since the reset; empty where `state` makes them needless.
        past: Tree with leaves (C - 1, ...), the actions between the context's frames.
        dynamics: Dynamics seed of the reset, or None for the default.
    """

    seed: int
    state: State | None
    history: ArrayTree
    past: ArrayTree
    dynamics: int | None


@dataclass(kw_only=True)
class World:
    """One world of the batch; `env` is reused from reset to reset."""

    env: TruthEnv
    seed: int  # the model's seed
    frame: Frames  # the last frame shown, (H, W, 3)
    ended: str = ""  # "terminated" or "truncated"; from then on the last frame stands
    t: int = 0  # steps taken
    queue: tuple[ArrayTree, ...] = ()  # actions that wait (lagged and shuffled truths)


class Oracle:
    """The truth: bit-equal frames, rewards and ends. Needs `bind` before every `reset`."""

    label: ClassVar[str] = "worldsim/Oracle"
    privileged: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    def __init__(self) -> None:
        self._worlds: list[World] = []
        self._make: Callable[[], TruthEnv] | None = None
        self._bound: tuple[TruthBinding, list[int] | None] | None = None

    # ------------------------------------------------------------------------------------------------ the interface

    @property
    def spec(self) -> ModelSpec:
        """Any size and actions: those of the truth."""
        return ModelSpec(name=self.label, privileged=self.privileged, stochastic=self.stochastic)

    def bind(self, truth: TruthBinding, indices: Sequence[int] | None = None) -> None:
        """Keeps what the next `reset` with the same rows needs."""
        self._bound = (truth, None if indices is None else [int(i) for i in indices])

    def reset(self, context: Context, *, seeds: Sequence[int], indices: Sequence[int] | None = None) -> None:
        """Starts worlds from the bound truth.

        Raises:
            ContractError: Without a `bind` of the same rows right before.
            ShapeError: If the truth's frames have another size than the context's.
        """
        rows = None if indices is None else [int(i) for i in indices]
        if self._bound is None or self._bound[1] != rows or len(self._bound[0].seeds) != context.batch:
            raise ContractError(
                f"{self.label} looks at the truth: call bind(TruthBinding(...), indices) with the same "
                f"{context.batch} rows right before reset"
            )
        truth, self._bound = self._bound[0], None
        if len(seeds) != context.batch:
            raise ShapeError(f"reset needs {context.batch} seeds, one a row, got {len(seeds)}")
        if rows is None:
            self._fit(truth.make_env, context.batch)
        else:
            check_indices(rows, len(self._worlds))
        for row, i in enumerate(range(context.batch) if rows is None else rows):
            env = self._worlds[i].env
            frame, ended = self._start(env, _row(truth, context, row), int(seeds[row]))
            if frame.shape != context.frames.shape[2:]:
                raise ShapeError(
                    f"the truth's frames are {frame.shape} but the context's {context.frames.shape[2:]}: "
                    "make_env must build the environment that the context came from"
                )
            self._worlds[i] = World(env=env, seed=int(seeds[row]), frame=frame, ended=ended)

    def step(self, actions: ArrayTree) -> Prediction:
        """Steps every truth with its action; a world that has ended shows its last frame."""
        check_actions(actions, len(self._worlds), 1)
        rewards = [self._advance(w, trees.index(actions, (i, 0))) for i, w in enumerate(self._worlds)]
        shapes = {w.frame.shape for w in self._worlds}
        if len(shapes) > 1:
            raise ShapeError(f"all worlds of a batch must have one size, got {sorted(shapes)}")
        return Prediction(
            frames=np.stack([self._show(w.frame) for w in self._worlds])[:, None],
            rewards=np.asarray(rewards, np.float32)[:, None],
            terminated=np.array([w.ended == "terminated" for w in self._worlds])[:, None],
            truncated=np.array([w.ended == "truncated" for w in self._worlds])[:, None],
        )

    def snapshot(self, index: int) -> Tree:
        """The state of one world. Raises UnsupportedError if the truth has no snapshots."""
        w = self._worlds[index]
        if not w.env.abilities.snapshot:
            raise UnsupportedError("this truth has no snapshots, so neither has its oracle")
        return {
            "env": w.env.snapshot(),
            "seed": w.seed,
            "frame": w.frame.copy(),
            "ended": w.ended,
            "t": w.t,
            "queue": {str(i): trees.copy(a) for i, a in enumerate(w.queue)},
        }

    def restore(self, state: Tree, index: int) -> None:
        """Sets one world back; the truth's frames go on bit for bit."""
        check_indices([index], len(self._worlds))
        env = self._worlds[index].env
        env.restore(state["env"])
        queue = state["queue"]
        self._worlds[index] = World(
            env=env,
            seed=int(state["seed"]),
            frame=np.array(state["frame"]),
            ended=str(state["ended"]),
            t=int(state["t"]),
            queue=tuple(queue[str(i)] for i in range(len(queue))),
        )

    def close(self) -> None:
        """Closes the copies of the truth."""
        for world in self._worlds:
            world.env.close()
        self._worlds, self._make, self._bound = [], None, None

    # ------------------------------------------------------------------------------------------ what faults override

    def _start(self, env: TruthEnv, row: Row, seed: int) -> tuple[Frames, str]:
        """Puts `env` at the last context frame; returns that frame, and how it ended if it has."""
        if row.state is not None:
            return env.restore(row.state)[0], ""
        return replay(env, row.seed, row.history, row.dynamics)

    def _advance(self, world: World, action: ArrayTree) -> float:
        """Gives the world one action; returns the reward."""
        return play(world, action)

    def _show(self, frame: Frames) -> Frames:
        return frame

    def _fit(self, make: Callable[[], TruthEnv], batch: int) -> None:
        """Keeps the copies of the truth that still fit, makes those that are missing."""
        if make != self._make:  # equal, not identical: a bound method is a new object each time it is asked for
            self.close()
            self._make = make
        for world in self._worlds[batch:]:
            world.env.close()
        missing = batch - len(self._worlds)
        nothing = np.zeros((0, 0, 3), np.uint8)
        self._worlds = self._worlds[:batch] + [World(env=make(), seed=0, frame=nothing) for _ in range(missing)]


class OracleOtherFuture(Oracle):
    """The same world and the same past, with dynamics drawn from the model's seed: right, but not the same.

    In a truth whose future is closed it equals the oracle.
    """

    label, stochastic = "worldsim/OracleOtherFuture", True

    def _start(self, env: TruthEnv, row: Row, seed: int) -> tuple[Frames, str]:
        if row.state is not None:
            return env.restore(row.state, dynamics_seed=hash_seed("other-future", seed))[0], ""
        if env.abilities.open_future:
            raise UnsupportedError(
                "another future needs a truth with snapshots: a replay with other dynamics would have another past"
            )
        return super()._start(env, row, seed)


class OracleCodec(Oracle):
    """The truth seen through a lossy codec: what remains to a model whose frames must pass through one."""

    label = "worldsim/OracleCodec"

    def __init__(self, codec: str = "jpeg:75") -> None:
        """Chooses the codec: "jpeg:Q" or "webp:Q" with quality Q in 1..100, or "area:K", K x K means scaled back."""
        super().__init__()
        self.codec = codec
        self._code = lossy_codec(codec)

    def round_trip(self, frames: Frames) -> Frames:
        """Encodes and decodes (T, H, W, 3) frames."""
        return np.stack([self._code(f) for f in frames]) if len(frames) else frames.copy()

    def _show(self, frame: Frames) -> Frames:
        return self._code(frame)


class Lagged(Oracle):
    """The truth `k` steps late: the last context frame stands for k steps, then every action has its effect."""

    label = "worldsim/Lagged"

    def __init__(self, k: int = 2) -> None:
        """Sets the lag in steps, k >= 0; frame h of it is frame h - k of the oracle."""
        super().__init__()
        if int(k) < 0:
            raise ConfigError(f"the lag k must be at least 0 steps, got {k}")
        self.k = int(k)

    def _advance(self, world: World, action: ArrayTree) -> float:
        world.queue = (*world.queue, action)
        if len(world.queue) <= self.k:
            return 0.0
        first, *rest = world.queue
        world.queue = tuple(rest)
        return play(world, first)


class ShuffledAction(Oracle):
    """The truth under permuted actions: each action waits in a window and a seeded draw decides which one is played.

    Nothing from the future is needed, so it works in lockstep. Once the window is full every action is played once, so
    that their frequencies are kept while their times are lost.
    """

    label, stochastic = "worldsim/ShuffledAction", True

    def __init__(self, window: int = 16) -> None:
        """Sets the window in steps, >= 1; 1 is the oracle.

        It starts with the last actions of the context. Where these are too few, it grows by keeping what was played, so
        some of the first actions are played twice.
        """
        super().__init__()
        if int(window) < 1:
            raise ConfigError(f"the window must be at least 1 step, got {window}")
        self.window = int(window)

    def reset(self, context: Context, *, seeds: Sequence[int], indices: Sequence[int] | None = None) -> None:
        """Starts worlds; the window is filled with the last actions of the context, so that it plays at once."""
        super().reset(context, seeds=seeds, indices=indices)
        count = max(context.frames.shape[1] - 1, 0)
        first = max(0, count - (self.window - 1))
        for row, i in enumerate(range(context.batch) if indices is None else indices):
            self._worlds[int(i)].queue = tuple(trees.index(context.actions, (row, t)) for t in range(first, count))

    def _advance(self, world: World, action: ArrayTree) -> float:
        waiting = [*world.queue, action]
        chosen = int(generator("shuffled-action", world.seed, world.t).integers(len(waiting)))
        played = waiting.pop(chosen)
        world.queue = tuple(waiting) if len(waiting) >= self.window - 1 else (*waiting, played)
        return play(world, played)


class OtherEpisode(Oracle):
    """The same actions in another world: a perfect look at the wrong place. Knows nothing of this one."""

    label, privileged, stochastic = "worldsim/OtherEpisode", False, True

    def _start(self, env: TruthEnv, row: Row, seed: int) -> tuple[Frames, str]:
        known = row.history if trees.length(row.history) else row.past
        return replay(env, other_world(row.seed, seed), known, None)


def other_world(world: int, seed: int) -> int:
    """A world seed other than `world`, of the same split, decided by the model's seed."""
    attempt = 0
    while True:
        other = hash_seed("other-episode", world, seed, attempt)
        if other != world and split_of(other) == split_of(world):
            return other
        attempt += 1


def play(world: World, action: ArrayTree) -> float:
    """One step of the truth; nothing happens once it has ended. Returns the reward."""
    if world.ended:
        return 0.0
    world.frame, reward, terminated, truncated, _ = world.env.step(action)
    world.ended = "terminated" if terminated else "truncated" if truncated else ""
    world.t += 1
    return float(reward)


def replay(env: TruthEnv, seed: int, history: ArrayTree, dynamics: int | None) -> tuple[Frames, str]:
    """Resets and plays the recorded actions, up to an end; returns the last frame and how it ended, or ""."""
    frame, _ = env.reset(seed=seed, options=None if dynamics is None else {"dynamics_seed": dynamics})
    for t in range(trees.length(history)):
        frame, _, terminated, truncated, _ = env.step(trees.index(history, t))
        if terminated or truncated:
            return frame, "terminated" if terminated else "truncated"
    return frame, ""


def lossy_codec(name: str) -> Callable[[Frames], Frames]:
    """A function from (H, W, 3) uint8 to (H, W, 3) uint8 by name; see `OracleCodec`. Raises ConfigError."""
    import cv2

    kind, _, text = name.partition(":")
    value = int(text) if text.isdecimal() else -1
    if kind in ("jpeg", "webp") and 1 <= value <= 100:
        suffix, flag = (".jpg", cv2.IMWRITE_JPEG_QUALITY) if kind == "jpeg" else (".webp", cv2.IMWRITE_WEBP_QUALITY)

        def code(frame: Frames) -> Frames:
            _, data = cv2.imencode(suffix, np.ascontiguousarray(frame[..., ::-1]), [flag, value])
            decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
            return np.ascontiguousarray(decoded[..., ::-1])

        return code
    if kind == "area" and value >= 1:

        def shrink(frame: Frames) -> Frames:
            h, w = frame.shape[:2]
            small = cv2.resize(frame, (max(w // value, 1), max(h // value, 1)), interpolation=cv2.INTER_AREA)
            return np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR), np.uint8)

        return shrink
    raise ConfigError(f'codec must be "jpeg:Q" or "webp:Q" with Q in 1..100, or "area:K" with K >= 1, got {name!r}')


def _row(truth: TruthBinding, context: Context, i: int) -> Row:
    return Row(
        seed=truth.seeds[i],
        state=None if truth.states is None else truth.states[i],
        history=trees.index(truth.history, i),
        past=trees.index(context.actions, i),
        dynamics=None if truth.dynamics is None else truth.dynamics[i],
    )
