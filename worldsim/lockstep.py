"""One pass in lockstep: the truth side runs ahead in its thread, the model side follows, both feed the encoder.

While the model computes, the truth side steps the next frames, stacks their actions, and takes what a re-anchoring will
need. What is left between two model steps is short: take a chunk, call the model, check and hand over its frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldsim import seeding, trees
from worldsim.background import Ahead, Background, TimedCaller
from worldsim.episode_io import EpisodeWriter, RolloutKey
from worldsim.errors import WorldFailure
from worldsim.lane import TruthFrame, TruthLane, check_truth_frame, guard
from worldsim.protocols import Bindable, Codec, Promptable, TruthBinding, TruthEnv, WorldModel
from worldsim.trees import ArrayTree
from worldsim.truth import State
from worldsim.types import Context, Frames, Prediction, Scenario

FREE, REANCHORED, TEACHER_FORCED = "free", "reanchored", "teacher-forced"

Timeline = tuple[tuple[int, str], ...]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the engine needs to know of a run's configuration.

    Attributes:
        size: (H, W) of all frames.
        fps: Frames per second of simulated time.
        samples: K.
        reanchor_every: Steps between re-anchorings of the extra arm; 0 = no extra arm.
        drive_from_model: The controller acts on the model's frames.
        step_timeout: Seconds.
        threads: Threads that step the truths of a batch.
        noop: An action of the truth that does nothing; gives the form of actions where there are none yet.
        to_model: Maps actions of the truth (trees with any leading axes) to the model's action space.
        provenance: What every generated file says of its origin.
    """

    size: tuple[int, int]
    fps: float
    samples: int = 1
    reanchor_every: int = 0
    drive_from_model: bool = False
    step_timeout: float = 300.0
    threads: int = 1
    noop: Any = 0
    to_model: Callable[[Any], Any] = field(default=lambda actions: actions)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms of every episode; the first is the one shown to people."""
        if not self.reanchor_every:
            return (FREE,)
        return (FREE, TEACHER_FORCED if self.reanchor_every == 1 else REANCHORED)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the model's batch: a lane, an arm, a sample."""

    lane: int
    key: RolloutKey


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """What a model is started on at one moment, one entry a lane.

    Attributes:
        h: Frames predicted so far; 0 = the end of the context.
        frames: (C, H, W, 3) uint8 of each lane, newest last.
        actions: Tree with leaves (lanes, max(C - 1, 0), ...), in the model's action space.
        states: The truths' snapshots, for models that look at the truth.
        history: Tree with leaves (lanes, t, ...): actions of the truth since the reset, where there are no snapshots.
    """

    h: int
    frames: tuple[Frames, ...]
    actions: ArrayTree
    states: tuple[State, ...] | None
    history: ArrayTree


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """n steps of the truth.

    Attributes:
        actions: Tree with leaves (lanes, n, ...), in the model's action space.
        last: The newest frame of each lane.
        frames: (lanes, n, H, W, 3) uint8 where the model's codec must see them, else None.
        anchor: Given where the model is set back on the truth after these steps.
    """

    actions: ArrayTree
    last: tuple[TruthFrame, ...]
    frames: Frames | None
    anchor: Anchor | None


class TruthSide:
    """Steps the truths of a batch and records them."""

    def __init__(
        self,
        lanes: Sequence[TruthLane],
        scenario: Scenario,
        settings: Settings,
        model: WorldModel,
        prompts: Callable[[TruthLane], Timeline],
        record: Callable[..., None] | None,
    ) -> None:
        """`record(lane index, TruthFrame)` is called for every frame that belongs to the episode, or None."""
        self.prompts, self.timelines = prompts, list[Timeline]()
        self.lanes, self.scenario, self.settings, self.record = lanes, scenario, settings, record
        self.n = model.spec.frames_per_step
        self.bindable, self.codec = isinstance(model, Bindable), isinstance(model, Codec)
        self.played = 0  # actions since the reset
        self.context_steps = max(scenario.context - 1, 0)
        self.recent: list[deque[TruthFrame]] = [deque(maxlen=max(scenario.context, 1)) for _ in lanes]
        replayed = self.bindable and not lanes[0].env.abilities.snapshot
        self.history: list[list[Any]] | None = [[] for _ in lanes] if replayed else None
        self.pool = ThreadPoolExecutor(settings.threads) if settings.threads > 1 and len(lanes) > 1 else None

    def start(self) -> Anchor:
        """The reset and the context."""
        self._saw(self._each(TruthLane.reset, self.lanes))
        self.timelines = [self.prompts(lane) for lane in self.lanes]
        for _ in range(self.context_steps):
            self._step(None)
        return self._anchor()

    def advance(self, shown: Sequence[Frames] | None = None) -> Chunk:
        """N steps; `shown` are the frames that the controllers act on instead of the truth's own."""
        steps = [self._step(shown) for _ in range(self.n)]
        actions = trees.stack_grid([[step[i].action for step in steps] for i in range(len(self.lanes))])
        frames = None
        if self.codec:
            frames = np.stack([np.stack([step[i].frame for step in steps]) for i in range(len(self.lanes))])
        h, k = self.played - self.context_steps, self.settings.reanchor_every
        anchored = bool(k) and h % k == 0 and h < self.scenario.horizon
        return Chunk(
            actions=self.settings.to_model(actions),
            last=steps[-1],
            frames=frames,
            anchor=self._anchor() if anchored else None,
        )

    def chunks(self, count: int) -> Iterator[Anchor | Chunk]:
        """The start, then `count` chunks, driven by the truth's own frames."""
        yield self.start()
        for _ in range(count):
            yield self.advance()
        self.finish()

    def finish(self) -> None:
        """Lets the controllers name the marks of the last frame."""
        for lane in self.lanes:
            lane.finish()

    def close(self) -> None:
        """Ends the threads."""
        if self.pool:
            self.pool.shutdown(wait=False)

    def _each(self, function: Callable[..., TruthFrame], *columns: Sequence[Any]) -> tuple[TruthFrame, ...]:
        """One call a lane, in threads if there are several; the order of the results is that of the lanes."""
        frames = tuple((self.pool.map if self.pool else map)(function, *columns))
        for lane, given in zip(self.lanes, frames, strict=True):
            check_truth_frame(given.frame, self.settings.size, lane.planned.episode)
        return frames

    def _step(self, shown: Sequence[Frames] | None) -> tuple[TruthFrame, ...]:
        seen = shown if shown is not None else [None] * len(self.lanes)
        frames = self._each(lambda lane, frame: lane.step(lane.choose(frame)), self.lanes, seen)
        self.played += 1
        self._saw(frames)
        return frames

    def _saw(self, frames: tuple[TruthFrame, ...]) -> None:
        for i, frame in enumerate(frames):
            self.recent[i].append(frame)
            if self.history is not None and frame.action is not None:
                self.history[i].append(frame.action)
        if self.record is not None and self.played <= self.context_steps + self.scenario.horizon:
            for i, frame in enumerate(frames):
                self.record(i, frame)

    def _anchor(self) -> Anchor:
        c = self.scenario.context
        states = tuple(lane.snapshot() for lane in self.lanes) if self.bindable else None
        return Anchor(
            h=self.played - self.context_steps,
            frames=tuple(np.stack([f.frame for f in recent])[: c or 0] for recent in self.recent),
            actions=self.settings.to_model(self._stacked([[f.action for f in list(r)[1:]] for r in self.recent])),
            states=None if states is None or None in states else states,  # type: ignore[arg-type]
            history=self._stacked(self.history or [[] for _ in self.lanes]),
        )

    def _stacked(self, actions: Sequence[Sequence[Any]]) -> ArrayTree:
        """(lanes, t, ...); the no-op gives the form where t = 0."""
        if actions[0]:
            return trees.stack_grid(actions)
        return trees.index(trees.stack_grid([[self.settings.noop]] * len(actions)), (slice(None), slice(0)))


class Pass:
    """One pass over the horizon with as many rows as the model takes at once."""

    def __init__(
        self,
        lanes: Sequence[TruthLane],
        rows: Sequence[Row],
        model: WorldModel,
        scenario: Scenario,
        settings: Settings,
        *,
        encoder: Background,
        writers: Sequence[EpisodeWriter],
        make_env: Callable[[], TruthEnv],
        prompts: Callable[[TruthLane], Timeline],
        call: TimedCaller,
        record_truth: bool,
    ) -> None:
        self.lanes, self.rows, self.model, self.scenario, self.settings = lanes, rows, model, scenario, settings
        self.encoder, self.writers, self.make_env, self.call = encoder, writers, make_env, call
        self.record_truth = record_truth
        self.n, self.horizon = model.spec.frames_per_step, scenario.horizon
        self.steps = -(-self.horizon // self.n)  # model steps; the last may predict frames that are not recorded
        self.codec = model if isinstance(model, Codec) else None
        self.promptable = model if isinstance(model, Promptable) else None
        of_rows = [row.lane for row in rows]
        self.picked = None if of_rows == list(range(len(lanes))) else np.asarray(of_rows)
        self.predicted = 0  # frames predicted so far
        self.truth = TruthSide(lanes, scenario, settings, model, prompts, self._record if record_truth else None)

    @property
    def timelines(self) -> list[Timeline]:
        """The prompts of each lane, known once the context was played."""
        return self.truth.timelines

    def run(self, progress: Callable[[int], None]) -> None:
        """Rolls out the horizon."""
        if self.settings.reanchor_every % self.n:
            raise WorldFailure(
                f"{self.model.spec.name} predicts {self.n} frames a step: --reanchor-every must be a multiple of that, "
                f"got {self.settings.reanchor_every}"
            )
        try:
            if self.settings.drive_from_model:
                self._closed_loop(progress)
            else:
                self._open_loop(progress)
        finally:
            self.truth.close()

    def _open_loop(self, progress: Callable[[int], None]) -> None:
        # A step of all lanes may take each lane's own time-out; truths in processes notice it first.
        patience = self.settings.step_timeout * len(self.lanes) * self.n + 5.0
        ahead = Ahead(self.truth.chunks(self.steps), "truth", patience, depth=2)
        try:
            items = iter(ahead)
            self._begin(next(items))  # type: ignore[arg-type]
            for item in items:
                assert isinstance(item, Chunk)  # the first item alone is an anchor
                self._predict(item)
                progress(self.n * len(self.lanes))
        finally:
            ahead.close()

    def _closed_loop(self, progress: Callable[[int], None]) -> None:
        """The controllers act on the model's newest frames; the n actions of a step are chosen from the same one."""
        start = self.truth.start()
        self._begin(start)
        shown = [recent[-1].frame for recent in self.truth.recent]
        for _ in range(self.steps):
            prediction = self._predict(self.truth.advance(shown))
            for row, frames in zip(self.rows, prediction.frames, strict=True):
                shown[row.lane] = frames[-1]
            progress(self.n * len(self.lanes))
        self.truth.finish()

    # -------------------------------------------------------------------------------------------------- the model

    def _begin(self, anchor: Anchor) -> None:
        # The context is shared by both sides; where there is text alone, frame 0 stays grey. It is never scored.
        grey = np.full((1, *self.settings.size, 3), 127, np.uint8)
        shared = np.stack([frames if len(frames) else grey for frames in anchor.frames])
        for row in self.rows:
            self.encoder.submit(self._write, row, shared[row.lane], None)
        if self.codec is not None and self.record_truth:
            self._record_codec(shared)
        self._reset(anchor, range(len(self.rows)), None)

    def _reset(self, anchor: Anchor, picked: Sequence[int], indices: Sequence[int] | None) -> None:
        rows = [self.rows[r] for r in picked]
        lanes = np.asarray([row.lane for row in rows])
        seeds = [seeding.hash_seed("anchor", row.key.seed, anchor.h) if anchor.h else row.key.seed for row in rows]
        if isinstance(self.model, Bindable):
            binding = TruthBinding(
                make_env=self.make_env,
                seeds=tuple(self.lanes[i].planned.world_seed for i in lanes),
                states=None if anchor.states is None else tuple(anchor.states[i] for i in lanes),
                history=trees.index(anchor.history, lanes),
                dynamics=tuple(self.lanes[i].planned.dynamics_seed for i in lanes),
            )
            self.call(guard, "model", self.model.bind, binding, indices)
        context = Context(
            frames=np.stack([anchor.frames[i] for i in lanes]),
            actions=trees.index(anchor.actions, lanes),
            prompts=tuple(_prompt_at(self.timelines[i], anchor.h) for i in lanes),
        )
        self.call(lambda: guard("model", self.model.reset, context, seeds=seeds, indices=indices))

    def _predict(self, chunk: Chunk) -> Prediction:
        """One model step of n frames for every row, and the re-anchoring that follows it."""
        self._change_prompts()
        actions = chunk.actions if self.picked is None else trees.index(chunk.actions, self.picked)
        prediction: Prediction = self.call(guard, "model", self.model.step, actions)
        check_prediction(prediction, len(self.rows), self.n, self.settings.size, self.model.spec.name)
        keep = min(self.n, self.horizon - self.predicted)
        self.encoder.submit(self._write_prediction, prediction.frames[:, :keep].copy(), _beside(prediction, keep))
        if self.codec is not None and self.record_truth and chunk.frames is not None:
            self._record_codec(chunk.frames[:, :keep])
        self.predicted += self.n
        if chunk.anchor is not None:
            picked = [r for r, row in enumerate(self.rows) if row.key.arm != FREE]
            if picked:
                self._reset(chunk.anchor, picked, picked)
        return prediction

    def _change_prompts(self) -> None:
        if self.predicted == 0 or self.promptable is None:
            return
        window = range(self.predicted, self.predicted + self.n)
        due = [r for r, row in enumerate(self.rows) if any(t in window for t, _ in self.timelines[row.lane])]
        if due:
            texts = [_prompt_at(self.timelines[self.rows[r].lane], window[-1]) for r in due]
            self.call(guard, "model", self.promptable.set_prompt, texts, due)

    # ------------------------------------------------------------------------------------------------- recording

    def _record(self, lane: int, frame: TruthFrame) -> None:
        """Called by the truth side, from its thread."""
        writer = self.writers[lane]
        self.encoder.submit(writer.truth, frame.frame, frame.state, frame.action, frame.reward)
        if self.lanes[lane].rerun_env is not None:
            self.encoder.submit(writer.side, "rerun", frame.frame if frame.rerun is None else frame.rerun)

    def _record_codec(self, frames: Frames) -> None:
        """(lanes, n, H, W, 3) frames of the truth, after a round trip through the model's codec."""
        for writer, stack in zip(self.writers, frames, strict=True):
            if len(stack) and self.codec is not None:
                passed = self.call(guard, "model", self.codec.round_trip, stack)
                for frame in passed:
                    self.encoder.submit(writer.side, "codec", frame)

    def _write_prediction(self, frames: Frames, beside: Mapping[str, Any]) -> None:
        """Runs in the encoder's thread: (rows, n, H, W, 3) frames and what came beside them."""
        for r, row in enumerate(self.rows):
            self._write(row, frames[r], {name: values[r] for name, values in beside.items()})

    def _write(self, row: Row, frames: Frames, beside: Mapping[str, Any] | None) -> None:
        for j, frame in enumerate(frames):
            given = {} if beside is None else {name: values[j] for name, values in beside.items()}
            self.writers[row.lane].generated(row.key, frame, given)


def _prompt_at(timeline: Timeline, t: int) -> str:
    """The text in force at step t."""
    return next((text for start, text in reversed(timeline) if start <= max(t, 0)), "")


def _beside(prediction: Prediction, keep: int) -> dict[str, Any]:
    """What a prediction holds beside its frames: named arrays with leading (rows, keep)."""
    named = {"rewards": prediction.rewards, "terminated": prediction.terminated, "truncated": prediction.truncated}
    return {name: np.array(values)[:, :keep] for name, values in named.items() if values is not None}


def check_prediction(prediction: Any, rows: int, n: int, size: tuple[int, int], name: str) -> None:
    """Raises WorldFailure unless a prediction has the promised shape and type."""
    frames = getattr(prediction, "frames", None)
    want = (rows, n, *size, 3)
    if not isinstance(frames, np.ndarray) or frames.shape != want or frames.dtype != np.uint8:
        came = f"{frames.shape} {frames.dtype}" if isinstance(frames, np.ndarray) else type(prediction).__name__
        raise WorldFailure(
            f"{name}.step must return a Prediction with frames {want} uint8 (B, n, H, W, 3), got {came}; "
            "`worldsim check model` names every broken clause"
        )
    for what in ("rewards", "terminated", "truncated"):
        values = getattr(prediction, what)
        if values is not None and np.shape(values)[:2] != (rows, n):
            came = str(np.shape(values))
            raise WorldFailure(f"{name}: Prediction.{what} must start with (B, n) = {(rows, n)}, got {came}")
