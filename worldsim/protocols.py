"""What others implement: structural types, nothing to inherit.

A model or environment from outside satisfies these by having the methods; `worldsim check` says which clause it breaks.
Randomness comes only from the seeds that are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from worldsim.trees import ArrayTree, Tree
from worldsim.truth import Abilities, Edit, State, TruthState
from worldsim.types import Context, Episode, Frames, Mark, MetricSpec, ModelSpec, Observation, Prediction, Score

# --------------------------------------------------------------------------------------------------------- models


@runtime_checkable
class WorldModel(Protocol):
    """Anything that predicts frames from context and actions: ours, yours, a server's, the truth itself."""

    @property
    def spec(self) -> ModelSpec:
        """What it accepts and gives; constant over its life."""
        ...

    def reset(self, context: Context, *, seeds: Sequence[int], indices: Sequence[int] | None = None) -> None:
        """Starts worlds.

        Args:
            context: One row for each world that is started.
            seeds: One seed for each row; all randomness of that world comes from it.
            indices: Which worlds of the current batch are started anew; None = a new batch of `context.batch` worlds.
        """
        ...

    def step(self, actions: ArrayTree) -> Prediction:
        """Predicts the next n frames of every world of the batch.

        Args:
            actions: Tree with leaves (B, n, ...), n = `spec.frames_per_step`.
        """
        ...


@runtime_checkable
class Snapshotable(Protocol):
    """A model whose state is a value: it can be kept, set back, and forked."""

    def snapshot(self, index: int) -> Tree:
        """The whole state of one world, as a tree of plain values."""
        ...

    def restore(self, state: Tree, index: int) -> None:
        """Sets one world of the batch to a kept state; what follows is bit-equal."""
        ...


@runtime_checkable
class Promptable(Protocol):
    """A model whose prompt can change during a rollout."""

    def set_prompt(self, prompts: Sequence[str], indices: Sequence[int] | None = None) -> None:
        """From the next step on, these worlds follow these prompts."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """A model that can hand out the frames of one step as they are decoded."""

    def stream(self, actions: ArrayTree) -> Any:
        """Yields `Prediction`s whose frames, joined along n, equal those of `step`."""
        ...


@runtime_checkable
class Closeable(Protocol):
    """Something that holds processes, files or device memory."""

    def close(self) -> None:
        """Releases them; may be called twice."""
        ...


@runtime_checkable
class Codec(Protocol):
    """A model whose frames pass through a lossy codec: its round trip of the truth is a ceiling for pixel scores."""

    def round_trip(self, frames: Frames) -> Frames:
        """Encodes and decodes (T, H, W, 3) frames without predicting anything."""
        ...


@dataclass(frozen=True, kw_only=True)
class TruthBinding:
    """What privileged models (the oracle and its faults) are given before `reset`, one entry a row of the context.

    Attributes:
        make_env: Builds another copy of the truth environment.
        seeds: World seed of each row.
        states: Snapshot at the last context frame of each row, or None when the truth has none.
        history: Tree with leaves (B, t, ...): the actions since the reset; may be empty (t = 0) with `states`.
        dynamics: Dynamics seed of each row's reset, or None where the truth's default was used.
    """

    make_env: Callable[[], TruthEnv]
    seeds: tuple[int, ...]
    states: tuple[State, ...] | None
    history: ArrayTree
    dynamics: tuple[int, ...] | None = None


@runtime_checkable
class Bindable(Protocol):
    """A model that looks at the truth (`spec.privileged` must be True, unless it looks at other worlds only)."""

    def bind(self, truth: TruthBinding, indices: Sequence[int] | None = None) -> None:
        """Called right before the `reset` with the same rows."""
        ...


# --------------------------------------------------------------------------------------------------------- truths


@runtime_checkable
class TruthEnv(Protocol):
    """A Gymnasium 1.x environment whose observation is its frame, and which knows its own state.

    `reset(seed=..., options=...)`: `seed` decides the world; `options={"dynamics_seed": int}` the randomness of what
    happens in it (default: derived from the seed). The observation is (H, W, 3) uint8 RGB.
    """

    observation_space: Any
    action_space: Any
    metadata: Mapping[str, Any]

    @property
    def abilities(self) -> Abilities:
        """What it can do."""
        ...

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Starts a world: its first frame and info."""
        ...

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Gymnasium's five: frame, reward, terminated, truncated, info."""
        ...

    def truth(self) -> TruthState:
        """The state behind the last frame."""
        ...

    def snapshot(self) -> State:
        """The whole state as a tree of plain values. UnsupportedError if `abilities.snapshot` is False."""
        ...

    def restore(self, state: State, dynamics_seed: int | None = None) -> tuple[Frames, TruthState]:
        """Sets the state back and returns its frame; with a `dynamics_seed`, another possible future begins."""
        ...

    def edit(self, change: Edit) -> None:
        """Changes one fact of the current state. UnsupportedError for edits not in `abilities.edit`."""
        ...

    def render_from(
        self, world_from_camera: NDArray[np.float64] | None = None, *, supersample: int = 1
    ) -> tuple[Frames, TruthState]:
        """Draws the current state from any pose (None = its own), without changing it.

        Args:
            world_from_camera: (4, 4) float64, OpenCV camera axes.
            supersample: k: RGB is the mean of k x k rays a pixel; depth and ids stay single-sample.
        """
        ...

    def close(self) -> None:
        """Releases processes and files; may be called twice."""
        ...


# ----------------------------------------------------------------------------------------------------- controllers


@runtime_checkable
class Controller(Protocol):
    """Whatever chooses the actions of one world: a script, a walk, a recording, a policy, a person.

    A scripted probe names its moments as `marks`, and the instance that it looks at as `focus`; both are decided by the
    truth's state, never by a model's output. `edits` says which steps act on the world, for the sham twin.
    """

    def reset(self, *, seed: int, action_space: Any, truth: TruthState, sham: bool = False) -> None:
        """Starts a new episode; `sham` replaces every acting step by a no-op of the same length."""
        ...

    def act(self, frame: Frames, truth: TruthState, t: int) -> Any:
        """The action after frame t; `frame` is the truth's or the model's, as `drive_from` says."""
        ...

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The named moments so far."""
        ...

    @property
    def focus(self) -> Mapping[str, Any]:
        """Plain values that branch recipes may refer to: {"object_id": 3}, {"cell": [x, y, z]}, ..."""
        ...

    @property
    def aborted(self) -> str | None:
        """Why the probe cannot be carried out in this world, or None."""
        ...


# ----------------------------------------------------------------------------------------------------------- metrics

#: Twins first: the episodes of one `pair_id`, in order of variant ("main" first).
EpisodeGroup: TypeAlias = tuple[Episode, ...]


@runtime_checkable
class Metric(Protocol):
    """A score: `observe` turns recorded episodes into rows, `reduce` turns rows into one number.

    The bootstrap resamples rows by world and calls `reduce` again; floor and ceiling go through the same two methods.
    """

    spec: ClassVar[MetricSpec]

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """One row an event for every rollout in `group`; undefined events are rows with a reason, never dropped."""
        ...

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """The score of these rows; `value` None with a reason if they do not decide it."""
        ...


@runtime_checkable
class Averaging(Protocol):
    """A metric whose score is a function of means: the bootstrap then works on one table instead of calling `reduce`.

    The K numbers of a row are its outcome and the entries of its details that `columns` names. They are averaged first
    within each world, then over worlds, at each horizon. `reduce` must agree with `finish` of these means.
    """

    columns: ClassVar[tuple[str, ...]]

    def pointwise(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """The value at each horizon: (..., K) -> (...); NaN where it is not defined."""
        ...

    def finish(self, means: NDArray[np.float64], horizons: NDArray[np.int64]) -> NDArray[np.float64]:
        """The score: (..., H, K) means at the H horizons (NaN: no world has one) -> (...); NaN = undefined."""
        ...


@runtime_checkable
class Guessing(Protocol):
    """A metric at which a simulator can score without knowing anything, by always showing the same."""

    def chance(self, rows: Sequence[Observation]) -> float | None:
        """The score of the best constant answer on the questions that these rows hold; None if they hold none.

        It is a floor beside the null battery: the row "chance".
        """
        ...
