"""The vocabulary: frozen values that flow from worlds to disk, from disk to scores, and from scores to the page.

Shapes: B batch, T time, H, W, channels last; frames are uint8 RGB (..., H, W, 3) with values 0..255. Tensors live only
inside `worldsim.model`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.errors import ShapeError
from worldsim.scenario import BranchPoint as BranchPoint
from worldsim.scenario import Scenario as Scenario
from worldsim.scenario import ViewPoint as ViewPoint
from worldsim.trees import ArrayTree
from worldsim.truth import Intervention, TruthState

if TYPE_CHECKING:
    import gymnasium as gym

Frames: TypeAlias = NDArray[np.uint8]  # (..., H, W, 3) RGB, 0..255


@runtime_checkable
class FrameSource(Protocol):
    """A (T, H, W, 3) uint8 stack that may lie on disk. A numpy array is one; so is what `worldsim.video` returns.

    Indexing with an int gives (H, W, 3), with a slice (t, H, W, 3). Slices are read chunk by chunk, so that a rollout
    of any horizon is scored in bounded memory.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W, 3)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Frames: ...


def check_frames(frames: Any, *, ndim: int, what: str) -> None:
    """Raises ShapeError unless `frames` is uint8 RGB with `ndim` axes, the last of size 3."""
    array = np.asarray(frames)
    if array.dtype == np.uint8 and array.ndim == ndim and array.shape[-1] == 3:
        return
    letters = {3: "(H, W, 3)", 4: "(T, H, W, 3)", 5: "(B, T, H, W, 3)"}[ndim]
    hint = ""
    if array.ndim == ndim and array.shape[-3] == 3 and array.shape[-1] != 3:
        hint = " Did you pass channels first? Use numpy.moveaxis(frames, -3, -1)."
    elif array.dtype.kind == "f":
        hint = " Did you pass floats? Scale to 0..255, round, and convert with .astype(numpy.uint8)."
    raise ShapeError(f"{what} must be {letters} uint8 RGB, got {array.shape} {array.dtype.name}.{hint}")


# ------------------------------------------------------------------------------------------------- at the model's door


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a world model accepts and gives.

    Attributes:
        name: Shown in reports.
        sizes: Supported (H, W); None = any. The size of a rollout is that of the context's frames.
        fps: Simulated frames per second; None = as the truth.
        frames_per_step: n, frames predicted by one `step`, which takes n actions.
        action_space: Gymnasium space of one action; None = takes any (it may ignore them).
        context_length: Frames needed before the first prediction; a minimum, longer contexts are offered.
        max_batch: The engine never sends more worlds than this; None = any.
        accepts_text: Prompts change the prediction; and C = 0 frames of context are allowed.
        stochastic: Another seed may give another prediction.
        privileged: Uses the truth's state or pose; listed apart in reports.
    """

    name: str
    sizes: tuple[tuple[int, int], ...] | None = None
    fps: float | None = None
    frames_per_step: int = 1
    action_space: gym.Space[Any] | None = None
    context_length: int = 1
    max_batch: int | None = None
    accepts_text: bool = False
    stochastic: bool = False
    privileged: bool = False

    def __post_init__(self) -> None:
        if self.frames_per_step < 1 or self.context_length < 0:
            raise ShapeError(
                "ModelSpec needs frames_per_step >= 1 and context_length >= 0, got "
                f"{self.frames_per_step} and {self.context_length}"
            )
        if self.max_batch is not None and self.max_batch < 1:
            raise ShapeError(f"ModelSpec.max_batch must be at least 1 or None, got {self.max_batch}")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a model sees before it predicts.

    Attributes:
        frames: (B, C, H, W, 3) uint8, oldest first; C may be 0 for models that accept text.
        actions: Tree with leaves (B, max(C - 1, 0), ...): the action between consecutive frames.
        prompts: B strings, "" if none.
    """

    frames: Frames
    actions: ArrayTree
    prompts: tuple[str, ...]

    def __post_init__(self) -> None:
        check_frames(self.frames, ndim=5, what="Context.frames")
        b, c = self.frames.shape[:2]
        if len(self.prompts) != b:
            raise ShapeError(f"Context.prompts must hold {b} strings (one a world), got {len(self.prompts)}")
        for leaf in trees.leaves(self.actions):
            if np.shape(leaf)[:2] != (b, max(c - 1, 0)):
                raise ShapeError(
                    f"Context.actions leaves must start with (B, C-1) = {(b, max(c - 1, 0))}, got {np.shape(leaf)}"
                )

    @property
    def batch(self) -> int:
        """B, the number of worlds."""
        return int(self.frames.shape[0])

    def rows(self, indices: Sequence[int]) -> Context:
        """The context of some worlds only."""
        pick = np.asarray(indices, dtype=np.intp)
        return Context(
            frames=self.frames[pick],
            actions=trees.index(self.actions, pick),
            prompts=tuple(self.prompts[i] for i in indices),
        )


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model predicts for one step of n frames.

    Attributes:
        frames: (B, n, H, W, 3) uint8.
        rewards: (B, n) float32, optional.
        terminated, truncated: (B, n) bool, optional.
        extras: Named arrays with leading (B, n): uncertainty, depth, ... Shown, never required.
    """

    frames: Frames
    rewards: NDArray[np.float32] | None = None
    terminated: NDArray[np.bool_] | None = None
    truncated: NDArray[np.bool_] | None = None
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------ what was recorded


EndReason: TypeAlias = Literal["", "terminated", "truncated"]


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One world's account of one episode: T+1 frames around T actions.

    `frames[0]` is the state before `actions[0]`; `frames[t + 1]` is what followed `actions[t]`.

    Attributes:
        frames: (T+1, H, W, 3) uint8, possibly on disk.
        actions: Tree with leaves (T, ...).
        rewards: (T,) float32 or None.
        states: T+1 entries, possibly on disk, or None for a generated trajectory.
        fps: Frames per second of simulated time.
        ended: The step t whose action ended the episode (frames after t + 1 are masked), or None.
        end_reason: Why it ended: "terminated" or "truncated"; "" if it did not.
        extras: Named arrays with leading T that a model gave beside its frames.
    """

    frames: FrameSource
    actions: ArrayTree
    rewards: NDArray[np.float32] | None = None
    states: Sequence[TruthState] | None = None
    fps: float = 20.0
    ended: int | None = None
    end_reason: EndReason = ""
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.frames.shape) != 4 or self.frames.shape[-1] != 3:
            raise ShapeError(f"Trajectory.frames must be (T+1, H, W, 3), got {tuple(self.frames.shape)}")
        steps = len(self.frames) - 1
        if steps < 0:
            raise ShapeError("Trajectory.frames needs at least one frame, got none")
        for what, size in (
            *(("actions", int(np.shape(leaf)[0]) if np.ndim(leaf) else -1) for leaf in trees.leaves(self.actions)),
            *((("rewards", len(self.rewards)),) if self.rewards is not None else ()),
        ):
            if size != steps:
                raise ShapeError(
                    f"Trajectory.{what} must have T = {steps} entries for T+1 = {steps + 1} frames, got {size}. "
                    "frames[0] is the state before actions[0]."
                )
        if self.states is not None and len(self.states) != steps + 1:
            raise ShapeError(f"Trajectory.states must have T+1 = {steps + 1} entries, got {len(self.states)}")
        if self.ended is not None and not 0 <= self.ended < steps:
            raise ShapeError(f"Trajectory.ended must be a step in 0..{steps - 1} or None, got {self.ended}")

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.frames.shape))
        end = f", {self.end_reason} at {self.ended}" if self.ended is not None else ""
        return f"Trajectory({len(self)} steps, frames {shape} uint8, {self.fps:g} fps{end})"

    def __len__(self) -> int:
        """T, the number of steps."""
        return len(self.frames) - 1

    @property
    def last_valid_frame(self) -> int:
        """The index of the last frame that belongs to the episode."""
        return len(self) if self.ended is None else self.ended + 1


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One generated trajectory of an episode.

    Attributes:
        trajectory: T+1 frames; those of the context are copied from the truth and never scored.
        arm: "free" (own frames fed back), "reanchored" (set back on the truth every k steps), ...
        sample: 0..K-1; samples differ in the model's seed only.
        seed: The model's seed.
        prompts: (step, text) pairs; the prompt in force from that step on.
    """

    trajectory: Trajectory
    arm: str = "free"
    sample: int = 0
    seed: int = 0
    prompts: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A named moment of a probe: the frame index at which, say, "departure", "hidden" or "return" happened."""

    name: str
    frame: int


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One rendered alternative: the truth with one fact changed, drawn at the frames that matter.

    Attributes:
        name: "present", "absent", ...; unique within an event.
        event: The name of the scenario's branch point it belongs to.
        intervention: What was changed, with words for the report.
        at: Frame index of the truth at which the fact was changed.
        steps: (n,) frame indices that were drawn.
        frames: (n, H, W, 3) uint8.
        changed: (n, H, W) bool, where it differs from the truth by more than 8/255, or None.
        lattice: (P, n, H, W, 3) uint8, the same from P candidate camera poses, the meant one first; None = only that.
    """

    name: str
    event: str
    intervention: Intervention
    at: int
    steps: NDArray[np.int64]
    frames: Frames
    changed: NDArray[np.bool_] | None = None
    lattice: Frames | None = None


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What a metric receives: the truth, what was generated beside it, and the alternatives.

    Attributes:
        id: Unique in its run, stable under resume and sharding.
        scenario: Name of the scenario.
        world_seed: The seed of the world: the unit of all statistics.
        context_length: C; frames 0..C-1 are shared by both sides and never scored. Horizon h is frame C - 1 + h.
        truth: The true trajectory, with states.
        generated: K samples of each arm.
        rerun: The truth run again from the end of the context with other dynamics; None when the future is closed.
        codec: The truth's frames after a round trip through the model's codec, or None if it has none.
        branches: Rendered alternatives.
        marks: Named moments of the probe.
        pair_id: Episodes with the same pair_id are twins (an edit and its sham).
        variant: "main", "sham", or a name among the scenario's variants.
        label: The alternative that was made the truth, where a branch point balances them; "" = the truth as it was.
        focus: What the probe is about, as plain values: `object_id`, `cell`, ...
        prompt: The prompt of the first frame.
        other: The truth's frames in another world of the same scenario, for the null "other-episode"; None = not known.
    """

    id: str
    scenario: str
    world_seed: int
    context_length: int
    truth: Trajectory
    generated: tuple[Rollout, ...] = ()
    rerun: Trajectory | None = None
    codec: FrameSource | None = None
    branches: tuple[Branch, ...] = ()
    marks: tuple[Mark, ...] = ()
    pair_id: str = ""
    variant: str = "main"
    label: str = ""
    focus: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""
    other: FrameSource | None = None

    def __post_init__(self) -> None:
        if self.context_length < 0 or self.context_length > len(self.truth.frames):
            raise ShapeError(f"Episode.context_length must be 0..{len(self.truth.frames)}, got {self.context_length}")
        for rollout in self.generated:
            if tuple(rollout.trajectory.frames.shape) != tuple(self.truth.frames.shape):
                raise ShapeError(
                    f"episode {self.id}: generated frames {tuple(rollout.trajectory.frames.shape)} must have the "
                    f"truth's shape {tuple(self.truth.frames.shape)}"
                )

    @property
    def horizon(self) -> int:
        """The number of predicted frames."""
        return len(self.truth.frames) - max(self.context_length, 1)


# ------------------------------------------------------------------------------------------------------ scores


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """The contract of a metric.

    Attributes:
        name: "family.metric", for example "fidelity.ssim".
        version: Raised whenever a number could change.
        unit: "dB", "px", "deg", "1", ...
        range: Lowest and highest possible value (may be infinite).
        higher_is_better: Direction.
        floor: The null model that does best at it, measured over all scenarios: skill 0 ("frozen", "copy-context",
            "context-mean", "noise", "other-episode"). Where another null lies above it, that one is the row's floor.
        requires: What an episode must have: fields of TruthState ("depth", ...), "branches", "rewards", "pairs", ...
        undefined: When the metric is undefined, in words.
        sensitive: Faults that must move it.
        invariant: Faults that must not.
        source: Paper and equation.
        summary: One sentence: the question it answers.
        headline: Shown in the headline table; the others are diagnostics.
        pixel: A pixel score: its ceiling is the codec round trip where the model has a codec.
        power: The least |ceiling - floor| for which a skill is computed; below it the skill is undefined: no power.
    """

    name: str
    version: int
    unit: str
    range: tuple[float, float]
    higher_is_better: bool
    floor: str
    requires: frozenset[str] = frozenset()
    undefined: tuple[str, ...] = ()
    sensitive: frozenset[str] = frozenset()
    invariant: frozenset[str] = frozenset()
    source: str = ""
    summary: str = ""
    headline: bool = True
    pixel: bool = False
    power: float = 1e-9

    @property
    def family(self) -> str:
        """The part of the name before the dot."""
        return self.name.split(".")[0]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One row of evidence: what a metric saw in one event. `reduce` turns rows into a score.

    Attributes:
        metric: Name of the metric.
        episode: Episode id.
        scenario: Scenario name.
        world: World seed, the unit that the bootstrap resamples.
        source: Whose frames were observed: "model", "null:<name>", "ceiling", "ceiling_codec".
        arm, sample, variant, pair_id: As in the episode and its rollout.
        event: Name of the event within the episode, "" if the episode is the event.
        delay: Steps: the horizon, or how long the thing was unseen; None if that has no meaning.
        outcome: Plain number(s) that `reduce` understands, or None = undefined.
        reason: Why it is undefined.
        weight: Number of pixels, frames, ... behind it, for reduce.
    """

    metric: str
    episode: str
    scenario: str
    world: int
    source: str
    arm: str = "free"
    sample: int = 0
    variant: str = "main"
    pair_id: str = ""
    event: str = ""
    delay: int | None = None
    outcome: float | None = None
    reason: str | None = None
    weight: float = 1.0
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A metric's value over some observations.

    Attributes:
        value: None = could not be measured; then `reason` is a sentence.
        unit: As in the spec.
        curve: {horizon or delay: value}, or None.
        details: Plain values for the report.
    """

    value: float | None
    unit: str
    reason: str | None = None
    curve: Mapping[int, float | None] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
