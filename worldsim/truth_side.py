"""The truth side of a batch: steps the truths and records them, and prepares what the model will take.

It runs ahead of the model in a thread of its own, so that stacking actions and taking snapshots cost the model nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.lane import TruthFrame, TruthLane, check_truth_frame
from worldsim.protocols import Bindable, Codec, WorldModel
from worldsim.trees import ArrayTree
from worldsim.truth import State
from worldsim.types import Frames, Scenario

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
