"""One pass in lockstep: the truth side runs ahead in its thread, the model side follows, both feed the encoder.

While the model computes, the truth side steps the next frames, stacks their actions, and takes what a re-anchoring will
need. What is left between two model steps is short: take a chunk, call the model, check and hand over its frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim import seeding, trees
from worldsim.background import Ahead, Background, TimedCaller
from worldsim.episode_io import EpisodeWriter, RolloutKey
from worldsim.errors import WorldFailure
from worldsim.lane import TruthFrame, TruthLane, guard
from worldsim.protocols import Bindable, Codec, Promptable, TruthBinding, TruthEnv, WorldModel
from worldsim.truth_side import FREE, Anchor, Chunk, Settings, Timeline, TruthSide
from worldsim.types import Context, Frames, Prediction, Scenario


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the model's batch: a lane, an arm, a sample."""

    lane: int
    key: RolloutKey


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
        self._begin(self.call(self.truth.start))  # watched: no thread of its own would notice a truth that hangs
        shown = [recent[-1].frame for recent in self.truth.recent]
        for _ in range(self.steps):
            prediction = self._predict(self.call(self.truth.advance, shown))
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
