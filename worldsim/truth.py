"""What a ground truth can know about a moment, and the changes that can be made to it.

Axes: world x, y, z in metres with y up; camera axes are OpenCV's (x right, y down, z forward). Every field of
`TruthState` but `time` is optional; metrics declare what they need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError

#: A snapshot of a truth: a tree of plain values (see `worldsim.trees`), so that it copies, pickles, compares and is
#: stored without pickle. What the keys mean is the environment's own business.
State: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ObjectState:
    """One instance: a chest, a creature, a prop.

    Attributes:
        id: Stable instance id, > 0, the value in `TruthState.segmentation`.
        kind: Class name, for example "red_chest".
        position: (3,) float64, centre, metres, world axes.
        size: (3,) float64, full extents, metres.
        exists: False once it was removed, collected or eaten.
        visible_px: Pixels of it in the current frame.
        attributes: Plain values: colour, open, lit, held, ...
    """

    id: int
    kind: str
    position: NDArray[np.float64]
    size: NDArray[np.float64]
    exists: bool = True
    visible_px: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CellChange:
    """One block that changed in this step. `position` in cells (x, y, z); `before` and `after` are kind names."""

    position: tuple[int, int, int]
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in this step: "place", "break", "open", "close", "toggle", "pick_up", "drop", ...

    Attributes:
        kind: One of the names above or the environment's own.
        object_id: The instance it happened to, or 0.
        position: Cell or point it happened at, or None.
        details: Plain values.
    """

    kind: str
    object_id: int = 0
    position: tuple[float, float, float] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TruthState:
    """The truth at one moment, belonging to one frame of (H, W).

    Attributes:
        time: Seconds since the reset.
        world_from_camera: (4, 4) float64, metres, OpenCV camera axes.
        intrinsics: (3, 3) float64, pixels; pixel centres lie at half-integers (u + 0.5).
        depth: (H, W) float32, metres along camera z; inf where there is no surface.
        segmentation: (H, W) int32 instance id; 0 is the static world.
        objects: All instances, also those out of sight.
        cells: Blocks that changed in the step that led here.
        events: What happened in the step that led here.
    """

    time: float
    world_from_camera: NDArray[np.float64] | None = None
    intrinsics: NDArray[np.float64] | None = None
    depth: NDArray[np.float32] | None = None
    segmentation: NDArray[np.int32] | None = None
    objects: tuple[ObjectState, ...] = ()
    cells: tuple[CellChange, ...] = ()
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        for name, shape, dtype in (
            ("world_from_camera", (4, 4), np.float64),
            ("intrinsics", (3, 3), np.float64),
            ("depth", None, np.float32),
            ("segmentation", None, np.int32),
        ):
            value = getattr(self, name)
            if value is None:
                continue
            if value.dtype != dtype or (shape is not None and value.shape != shape) or value.ndim != 2:
                want = shape if shape is not None else "(H, W)"
                raise ShapeError(
                    f"TruthState.{name} must be {want} {np.dtype(dtype).name}, got {value.shape} {value.dtype.name}"
                )


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a truth environment can do; declared, and checked by `check_truth_env`.

    Attributes:
        snapshot: `snapshot` and `restore` work and are exact.
        edit: The names of the `Edit`s that `edit` accepts.
        render_from: `render_from(pose)` draws the current state from any pose.
        deterministic: Same seed and same actions give the same bytes.
        open_future: The dynamics draw random numbers: another `dynamics_seed` can give another future.
        truth: The optional fields of `TruthState` that are filled.
    """

    snapshot: bool = False
    edit: frozenset[str] = frozenset()
    render_from: bool = False
    deterministic: bool = False
    open_future: bool = False
    truth: frozenset[str] = frozenset()


# ------------------------------------------------------------------------------------------- edits: one changed fact


@dataclass(frozen=True, kw_only=True)
class RemoveObject:
    """The instance is no longer there."""

    object_id: int


@dataclass(frozen=True, kw_only=True)
class AddObject:
    """A new instance of `kind` stands at `position` (metres, centre of its base)."""

    kind: str
    position: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class MoveObject:
    """The instance stands somewhere else: `position` in metres, centre of its base."""

    object_id: int
    position: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class RecolourObject:
    """The instance has another colour (a name, for example "red")."""

    object_id: int
    colour: str


@dataclass(frozen=True, kw_only=True)
class ReplaceObject:
    """The instance is of another kind, at the same place."""

    object_id: int
    kind: str


@dataclass(frozen=True, kw_only=True)
class SetObjectState:
    """One attribute has another value: a door "open", a lamp "lit", ..."""

    object_id: int
    attribute: str
    value: Any


@dataclass(frozen=True, kw_only=True)
class SetCell:
    """The cell at `position` (x, y, z) holds a block of `kind` ("air" removes it)."""

    position: tuple[int, int, int]
    kind: str


@dataclass(frozen=True, kw_only=True)
class SetTime:
    """The time of day, in hours 0..24."""

    hour: float


@dataclass(frozen=True, kw_only=True)
class StopProcess:
    """A process that goes on by itself stands still: "crop", "sand", "water", "creatures", "daylight" or "all"."""

    process: str = "all"


@dataclass(frozen=True, kw_only=True)
class SetPose:
    """The body stands elsewhere: feet position in metres, yaw and pitch in degrees (yaw 0 = +z, positive right)."""

    position: tuple[float, float, float]
    yaw: float
    pitch: float = 0.0


Edit: TypeAlias = (
    RemoveObject
    | AddObject
    | MoveObject
    | RecolourObject
    | ReplaceObject
    | SetObjectState
    | SetCell
    | SetTime
    | StopProcess
    | SetPose
)

#: Edits by the name that `Abilities.edit` and scenario files use.
EDITS: Mapping[str, type[Any]] = {
    edit.__name__: edit
    for edit in (
        RemoveObject,
        AddObject,
        MoveObject,
        RecolourObject,
        ReplaceObject,
        SetObjectState,
        SetCell,
        SetTime,
        StopProcess,
        SetPose,
    )
}


@dataclass(frozen=True, kw_only=True)
class EditSequence:
    """One fact that takes several edits, made in order: a block stands one cell further on = air here, block there."""

    edits: tuple[Edit, ...]


@dataclass(frozen=True, kw_only=True)
class ActionChange:
    """From the branch point on, `actions` (a tree with leading axis T) are played instead of the recorded ones."""

    actions: Any


@dataclass(frozen=True, kw_only=True)
class PromptChange:
    """From the branch point on, the prompt is another."""

    prompt: str


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """One changed fact, described in words for the report. `change` None is the truth itself.

    Attributes:
        description: For people.
        change: Made at the branch point.
        later: Edits that follow at a later mark, as when a process that was started stops again.
        later_at: That mark.
    """

    description: str
    change: Edit | EditSequence | ActionChange | PromptChange | None = None
    later: tuple[Edit, ...] = ()
    later_at: str = ""
