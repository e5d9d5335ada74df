"""The lockstep engine: truth and world model get the same actions at the same steps, and everything is recorded.

One call of `roll_group` carries a batch of episodes of one scenario from reset to commit. Three things overlap: the
truths are stepped ahead in a thread (when the controller acts on the truth's frames), the model predicts, and a
background thread encodes. Memory does not depend on the horizon: only the context's length of frames is kept.

Rows. A batch of B episodes with K samples and A arms gives B x A x K rows of the model's batch. Where the model takes
fewer rows at once, the rows are split into passes; later passes step the (deterministic) truths again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldsim import seeding, trees
from worldsim.background import Ahead, Background, TimedCaller
from worldsim.episode_io import EpisodeWriter, RolloutKey
from worldsim.errors import StoreError, WorldFailure, WorldsimError
from worldsim.lane import TruthFrame, TruthLane, check_truth_frame, guard
from worldsim.protocols import Bindable, Codec, Promptable, TruthBinding, TruthEnv, WorldModel
from worldsim.store import RunStore, writing
from worldsim.truth import State
from worldsim.types import Context, Frames, Prediction, Scenario

_QUEUE_BYTES = 64_000_000  # frames that may wait to be encoded

FREE, REANCHORED, TEACHER_FORCED = "free", "reanchored", "teacher-forced"


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
class TruthStep:
    """One frame of every lane, with what re-anchoring needs: snapshots of the truths, if a model looks at them."""

    frames: tuple[TruthFrame, ...]
    states: tuple[State, ...] | None = None


def rows_of(lanes: Sequence[TruthLane], settings: Settings, limit: int | None) -> list[list[Row]]:
    """The rows of a batch, split into passes of at most `limit` rows (None = no limit)."""
    rows = [
        Row(lane=i, key=RolloutKey(arm=arm, sample=k, seed=seeding.hash_seed("sample", lane.planned.model_seed, k)))
        for arm in settings.arms
        for k in range(settings.samples)
        for i, lane in enumerate(lanes)
    ]
    size = limit or len(rows)
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def roll_group(
    lanes: Sequence[TruthLane],
    model: WorldModel,
    scenario: Scenario,
    store: RunStore,
    settings: Settings,
    *,
    make_env: Callable[[], TruthEnv],
    prompts: Callable[[TruthLane], tuple[tuple[int, str], ...]],
    call: TimedCaller,
    progress: Callable[[int], None] = lambda steps: None,
    committed: AbstractSet[str] = frozenset(),
) -> None:
    """Rolls out and commits a batch of episodes of one scenario.

    Args:
        lanes: One a planned episode; their environments may be reused between calls.
        model: The world model; called only through `call`.
        scenario: Context length and horizon.
        store: Where episodes are committed.
        settings: See `Settings`.
        make_env: Builds another truth, for models that look at it.
        prompts: The prompt timeline of a lane that was reset: (step, text) pairs, the first at step 0.
        call: The model's thread.
        progress: Called with the number of episode steps that were done.
        committed: Episodes that are part of the run already: rolled out again with their batch, but not written again.

    Raises:
        WorldFailure: If a world raised, hung, or broke its contract; nothing of the batch is committed.
        StoreError: If the disk is full or not writable.
    """
    started = time.perf_counter()
    pixels = settings.size[0] * settings.size[1]
    encoder = Background(limit=min(max(_QUEUE_BYTES // (11 * pixels), 16), 512))  # RGB, depth and ids: 11 bytes a pixel
    writers: list[EpisodeWriter] = []
    passes = rows_of(lanes, settings, model.spec.max_batch)
    if len(passes) > 1 and not lanes[0].env.abilities.deterministic:
        raise WorldFailure(
            f"{model.spec.name} takes {model.spec.max_batch} worlds at once, and this truth cannot be repeated for the "
            f"other {len(passes[0])} rows: lower --batch and --samples so that one pass is enough"
        )
    try:
        keys = [[row.key for rows in passes for row in rows if row.lane == i] for i in range(len(lanes))]
        for lane, lane_keys in zip(lanes, keys, strict=True):
            provenance = {
                **settings.provenance,
                "scenario": scenario.name,
                "world_seed": lane.planned.world_seed,
                "prompt": scenario.prompts[0][1] if scenario.prompts else "",
                "seed": lane_keys[0].seed,
            }
            writers.append(
                store.begin(
                    lane.planned.episode,
                    size=settings.size,
                    fps=settings.fps,
                    rollouts=lane_keys,
                    provenance=provenance,
                )
            )
        timelines: list[tuple[tuple[int, str], ...]] = []
        for number, rows in enumerate(passes):
            roll = _Pass(lanes, rows, model, scenario, settings, encoder, writers, make_env, prompts, call, number == 0)
            roll.run(progress if number == 0 else lambda steps: None)
            timelines = roll.timelines
        for writer, lane in zip(writers, lanes, strict=True):
            encoder.submit(writer.finish, lane.snapshots)
        with writing(store.path):
            encoder.flush()
        seconds = (time.perf_counter() - started) / len(lanes)
        for lane, writer, lane_keys, timeline in zip(lanes, writers, keys, timelines, strict=True):
            if lane.planned.episode in committed:
                store.discard(writer)
            else:
                _commit(store, lane, writer, lane_keys, timeline, settings, seconds)
    except BaseException as error:
        encoder.close()
        for writer in writers:
            store.discard(writer)
        if isinstance(error, OSError):
            with writing(store.path):
                raise
        raise
    encoder.close()


def _commit(
    store: RunStore,
    lane: TruthLane,
    writer: EpisodeWriter,
    keys: Sequence[RolloutKey],
    timeline: tuple[tuple[int, str], ...],
    settings: Settings,
    seconds: float,
) -> None:
    p = lane.planned
    reason = lane.controller.aborted
    row = {
        **episode_row(lane, "aborted" if reason else "done", reason),
        "steps": lane.t,
        "fps": settings.fps,
        "size": list(settings.size),
        "rollouts": [{"arm": k.arm, "sample": k.sample, "seed": k.seed} for k in keys],
        "marks": [{"name": m.name, "frame": m.frame} for m in lane.marks],
        "focus": lane.focus,
        "ended": lane.ended,
        "end_reason": lane.end_reason,
        "prompts": [[t, text] for t, text in timeline],
        "dynamics_seed": p.dynamics_seed,
        "seconds": round(seconds, 3),
    }
    if reason:
        store.discard(writer)
        store.commit(row, None)
    else:
        store.commit(row, writer)


def episode_row(lane: TruthLane, status: str, reason: str | None) -> dict[str, Any]:
    """The keys that every committed line has, whatever became of the episode."""
    p = lane.planned
    return {
        "episode": p.episode,
        "scenario": p.scenario,
        "variant": p.variant,
        "pair_id": p.pair_id,
        "world_seed": p.world_seed,
        "status": status,
        "reason": reason,
        "context": lane.scenario.context,
        "horizon": lane.scenario.horizon,
    }


class _Pass:
    """One pass over the horizon with as many rows as the model takes."""

    def __init__(
        self,
        lanes: Sequence[TruthLane],
        rows: Sequence[Row],
        model: WorldModel,
        scenario: Scenario,
        settings: Settings,
        encoder: Background,
        writers: Sequence[EpisodeWriter],
        make_env: Callable[[], TruthEnv],
        prompts: Callable[[TruthLane], tuple[tuple[int, str], ...]],
        call: TimedCaller,
        record_truth: bool,
    ) -> None:
        self.lanes, self.rows, self.model, self.scenario, self.settings = lanes, rows, model, scenario, settings
        self.encoder, self.writers, self.make_env, self.prompts = encoder, writers, make_env, prompts
        self.call, self.record_truth = call, record_truth
        self.n = model.spec.frames_per_step
        self.context_steps = max(scenario.context - 1, 0)
        self.horizon = scenario.horizon  # frames to predict
        self.steps = -(-self.horizon // self.n)  # model steps; the last may predict frames that are not recorded
        self.bindable = isinstance(model, Bindable)
        self.codec = model if isinstance(model, Codec) else None
        self.promptable = model if isinstance(model, Promptable) else None
        lanes_of_rows = [row.lane for row in rows]
        self.picked = None if lanes_of_rows == list(range(len(lanes))) else np.asarray(lanes_of_rows)
        self.timelines: list[tuple[tuple[int, str], ...]] = []
        self.recent: list[deque[TruthFrame]] = [deque(maxlen=max(scenario.context, 1)) for _ in lanes]
        self.actions: list[deque[Any]] = [deque(maxlen=max(scenario.context - 1, 1)) for _ in lanes]
        self.played = 0  # actions since the reset
        replayed = self.bindable and not lanes[0].env.abilities.snapshot
        self.history: list[list[Any]] | None = [[] for _ in lanes] if replayed else None
        self.predicted = 0  # frames predicted so far
        self.pool = ThreadPoolExecutor(settings.threads) if settings.threads > 1 and len(lanes) > 1 else None

    # ------------------------------------------------------------------------------------------------------- truth

    def _each(self, function: Callable[..., TruthFrame], *columns: Sequence[Any]) -> tuple[TruthFrame, ...]:
        """One call a lane, in threads if there are several; the order of the results is that of the lanes."""
        results = (self.pool.map if self.pool else map)(function, *columns)
        frames = tuple(results)
        for lane, given in zip(self.lanes, frames, strict=True):
            check_truth_frame(given.frame, self.settings.size, lane.planned.episode)
        return frames

    def _with_states(self, frames: tuple[TruthFrame, ...], anchor: bool) -> TruthStep:
        if not (anchor and self.bindable):
            return TruthStep(frames=frames)
        states = tuple(lane.snapshot() for lane in self.lanes)
        return TruthStep(frames=frames, states=None if None in states else states)  # type: ignore[arg-type]

    def truth_steps(self) -> Iterator[TruthStep]:
        """The reset, the context, and as many steps as the model will predict, driven by the truth's frames."""
        yield self._with_states(self._each(TruthLane.reset, self.lanes), anchor=self.context_steps == 0)
        for t in range(self.context_steps + self.steps * self.n):
            frames = self._each(lambda lane: lane.step(lane.choose()), self.lanes)
            h = t + 1 - self.context_steps  # horizon of this frame; 0 = the last of the context
            yield self._with_states(frames, anchor=h == 0 or self._is_anchor(h))
        for lane in self.lanes:
            lane.finish()

    def _is_anchor(self, h: int) -> bool:
        k = self.settings.reanchor_every
        return bool(k) and h > 0 and h % k == 0 and h < self.horizon

    # ------------------------------------------------------------------------------------------------------- model

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
            if self.pool:
                self.pool.shutdown(wait=False)

    def _open_loop(self, progress: Callable[[int], None]) -> None:
        # A step of all lanes may take each lane's own time-out; truths in processes notice it first.
        patience = self.settings.step_timeout * len(self.lanes) + 5.0
        ahead = Ahead(self.truth_steps(), "truth", patience, depth=2 * self.n)
        try:
            steps = iter(ahead)
            last = self._context(steps)
            for _ in range(self.steps):
                chunk = [next(steps) for _ in range(self.n)]
                self._predict([[f.frames[i].action for f in chunk] for i in range(len(self.lanes))])
                for step in chunk:
                    last = step
                    self._saw_truth(step)
                self._reanchor(last)
                progress(self.n * len(self.lanes))
            for _ in steps:
                pass  # let the producer finish: marks of the last frame
        finally:
            ahead.close()

    def _closed_loop(self, progress: Callable[[int], None]) -> None:
        """The controller acts on the model's newest frame; n actions are chosen from the same one."""
        last = self._context(self.truth_steps())
        seen: list[Frames] = [frame.frame for frame in last.frames]
        for _ in range(self.steps):
            chunk = []
            for _ in range(self.n):
                frames = self._each(lambda lane, frame: lane.step(lane.choose(frame)), self.lanes, seen)
                chunk.append(TruthStep(frames=frames))
            prediction = self._predict([[f.frames[i].action for f in chunk] for i in range(len(self.lanes))])
            for row, frames in zip(self.rows, prediction.frames, strict=True):
                seen[row.lane] = frames[-1]
            for step in chunk:
                self._saw_truth(step)
            progress(self.n * len(self.lanes))
        for lane in self.lanes:
            lane.finish()

    def _context(self, steps: Iterator[TruthStep]) -> TruthStep:
        """Plays the context, records it, and starts the model on it."""
        last = next(steps)
        self._saw_truth(last)
        self.timelines = [self.prompts(lane) for lane in self.lanes]
        for _ in range(self.context_steps):
            last = next(steps)
            self._saw_truth(last)
        self._reset(range(len(self.rows)), last, None)
        return last

    def _saw_truth(self, step: TruthStep) -> None:
        for i, frame in enumerate(step.frames):
            self.recent[i].append(frame)
            if frame.action is not None:
                self.actions[i].append(frame.action)
                if self.history is not None:
                    self.history[i].append(frame.action)
        t = self.played = self.played + (step.frames[0].action is not None)
        if t > self.context_steps + self.horizon:
            return
        for i, frame in enumerate(step.frames):
            if self.record_truth:
                self._record_truth(self.writers[i], frame)
            if t <= self.context_steps:  # the context is shared by both sides
                shown = frame.frame if self.scenario.context else np.full_like(frame.frame, 127)
                for row in self.rows:
                    if row.lane == i:
                        self.encoder.submit(self.writers[i].generated, row.key, shown, {})

    def _record_truth(self, writer: EpisodeWriter, frame: TruthFrame) -> None:
        self.encoder.submit(writer.truth, frame.frame, frame.state, frame.action, frame.reward)
        if self.lanes[0].rerun_env is not None:
            self.encoder.submit(writer.side, "rerun", frame.frame if frame.rerun is None else frame.rerun)
        if self.codec is not None:
            passed = self.call(guard, "model", self.codec.round_trip, frame.frame[None])
            self.encoder.submit(writer.side, "codec", passed[0])

    def _reset(self, picked: Sequence[int], last: TruthStep, indices: Sequence[int] | None) -> None:
        rows = [self.rows[r] for r in picked]
        c = self.scenario.context
        frames = np.stack([np.stack([f.frame for f in self.recent[row.lane]]) for row in rows])  # (R, C, H, W, 3)
        if c == 0:
            frames = frames[:, :0]
        if c > 1:
            sequences = [trees.stack(list(self.actions[row.lane])) for row in rows]
            actions = self.settings.to_model(trees.stack(sequences))
        else:
            one = self.settings.to_model(trees.stack([trees.stack([self.settings.noop])] * len(rows)))
            actions = trees.index(one, (slice(None), slice(0)))
        t = self.played - self.context_steps
        texts = tuple(_prompt_at(self.timelines[row.lane], t) for row in rows)
        seeds = [seeding.hash_seed("anchor", row.key.seed, t) if t else row.key.seed for row in rows]
        if self.bindable:
            binding = TruthBinding(
                make_env=self.make_env,
                seeds=tuple(self.lanes[row.lane].planned.world_seed for row in rows),
                states=None if last.states is None else tuple(last.states[row.lane] for row in rows),
                history=self._history(rows),
                dynamics=tuple(self.lanes[row.lane].planned.dynamics_seed for row in rows),
            )
            self.call(guard, "model", self.model.bind, binding, indices)  # type: ignore[attr-defined]
        context = Context(frames=frames, actions=actions, prompts=texts)
        self.call(lambda: guard("model", self.model.reset, context, seeds=seeds, indices=indices))

    def _history(self, rows: Sequence[Row]) -> Any:
        """The actions since the reset, (R, t, ...), for truths that can only be replayed; t = 0 for the others."""
        if self.history is None or not self.played:
            return trees.index(trees.stack([trees.stack([self.settings.noop])] * len(rows)), (slice(None), slice(0)))
        return trees.stack([trees.stack(self.history[row.lane]) for row in rows])

    def _reanchor(self, last: TruthStep) -> None:
        if self._is_anchor(self.predicted):
            picked = [r for r, row in enumerate(self.rows) if row.key.arm != FREE]
            if picked:
                self._reset(picked, last, picked)

    def _predict(self, actions: list[list[Any]]) -> Prediction:
        """One model step of n frames for every row; `actions` holds n a lane."""
        self._change_prompts()
        batch = self.settings.to_model(trees.stack([trees.stack(a) for a in actions]))  # (lanes, n, ...)
        if self.picked is not None:
            batch = trees.index(batch, self.picked)  # (rows, n, ...)
        prediction: Prediction = self.call(guard, "model", self.model.step, batch)
        check_prediction(prediction, len(self.rows), self.n, self.settings.size, self.model.spec.name)
        keep = min(self.n, self.horizon - self.predicted)
        for r, row in enumerate(self.rows):
            for j in range(keep):
                given = {name: values[r, j] for name, values in _beside(prediction).items()}
                self.encoder.submit(self.writers[row.lane].generated, row.key, prediction.frames[r, j].copy(), given)
        self.predicted += self.n
        return prediction

    def _change_prompts(self) -> None:
        if self.predicted == 0 or self.promptable is None:
            return
        window = range(self.predicted, self.predicted + self.n)
        due = [r for r, row in enumerate(self.rows) if any(t in window for t, _ in self.timelines[row.lane])]
        if due:
            texts = [_prompt_at(self.timelines[self.rows[r].lane], window[-1]) for r in due]
            self.call(guard, "model", self.promptable.set_prompt, texts, due)


def _prompt_at(timeline: Sequence[tuple[int, str]], t: int) -> str:
    """The text in force at step t."""
    return next((text for start, text in reversed(timeline) if start <= max(t, 0)), "")


def _beside(prediction: Prediction) -> dict[str, Any]:
    """What a prediction holds beside its frames: named arrays with leading (B, n)."""
    named = {"rewards": prediction.rewards, "terminated": prediction.terminated, "truncated": prediction.truncated}
    return {name: values for name, values in named.items() if values is not None}


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
    for what, values in _beside(prediction).items():
        if np.shape(values)[:2] != (rows, n):
            raise WorldFailure(
                f"{name}: Prediction.{what} must start with (B, n) = {(rows, n)}, got {np.shape(values)}"
            )


__all__ = ["Settings", "StoreError", "WorldsimError", "check_prediction", "episode_row", "roll_group", "rows_of"]
