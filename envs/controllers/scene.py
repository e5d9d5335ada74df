"""What a script sees and writes while it runs: the state of the moment, its marks, its focus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.controllers.pose import Pose, find_object, pose_of
from worldsim.envs.controllers.sight import surface_cells
from worldsim.truth import ObjectState, TruthState
from worldsim.types import Mark


class Aborted(Exception):
    """The probe cannot be carried out in this world; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Press:
    """What is pressed in one step.

    Attributes:
        keys: MineRL names that differ from the no-op; `camera` is (pitch, yaw) in degrees.
        acting: It changes the world; the sham twin does nothing in its place.
    """

    keys: Mapping[str, Any] = field(default_factory=dict)
    acting: bool = False


#: A motion yields one `Press` a step and reads the scene again after each.
Motion: TypeAlias = Iterator[Press]


@dataclass(kw_only=True)
class Scene:
    """The moment, as a script sees it. `truth` and `t` are renewed before each step.

    Attributes:
        truth: State behind frame t.
        t: Frame index.
        keyboard: Makes an action of the environment's space from pressed keys.
        context: C; the survey ends at frame C - 1.
        horizon: Predicted frames, None = not known.
        rng: All random choices of the script.
        sham: Acting steps are replaced by no-ops.
        min_px: Pixels from which an instance counts as visible.
        marks, focus: See `Controller`.
        poses: Of the context.
        seen: Instance id -> frames of the context in which it was visible.
        mapping: Keep `solid` up to date.
        solid: Cells whose surface was in a frame while mapping.
        changed: (frame, change) of every cell so far.
        first: Each instance as it was in the first frame.
    """

    truth: TruthState
    keyboard: Callable[[Mapping[str, Any]], Any]
    context: int
    horizon: int | None
    rng: np.random.Generator
    sham: bool = False
    min_px: int = 24
    t: int = 0
    marks: list[Mark] = field(default_factory=list)
    focus: dict[str, Any] = field(default_factory=dict)
    poses: list[Pose] = field(default_factory=list)
    seen: dict[int, int] = field(default_factory=dict)
    mapping: bool = False
    solid: set[tuple[int, int, int]] = field(default_factory=set)
    changed: list[tuple[int, Any]] = field(default_factory=list)
    first: dict[int, ObjectState] = field(default_factory=dict)

    def renew(self, truth: TruthState, t: int) -> None:
        """Moves on to frame t; keeps what a later choice needs: poses of the context, what was visible in it."""
        self.truth, self.t = truth, t
        self.changed += [(t, change) for change in truth.cells]
        if t == 0:
            self.first = {item.id: item for item in truth.objects}
        if self.mapping:
            self.solid |= surface_cells(truth)
        if t < self.context:
            self.poses.append(pose_of(truth))
            for item in truth.objects:
                if item.exists and item.visible_px >= self.min_px:
                    self.seen[item.id] = self.seen.get(item.id, 0) + 1

    @property
    def pose(self) -> Pose:
        """Where the camera is."""
        return pose_of(self.truth)

    @property
    def steps_left(self) -> int:
        """Actions that still fit into the episode (a million if the horizon is not known)."""
        return 10**6 if self.horizon is None else max(self.context, 1) + self.horizon - 1 - self.t

    def object(self, object_id: int) -> ObjectState:
        """The instance, or the end of the probe if it is gone."""
        return find_object(self.truth, object_id) or self.abort(f"instance {object_id} is gone")

    def pixels(self, object_id: int) -> int:
        """Its pixels in the frame of the moment."""
        item = find_object(self.truth, object_id)
        return item.visible_px if item is not None else 0

    def obstacles(self, besides: int = 0) -> list[tuple[NDArray[np.float64], float]]:
        """Place (3,) and radius in metres of each instance that stands in a body's way, `besides` left out."""
        return [(o.position, o.size[0] / 2) for o in self.truth.objects if o.exists and o.id != besides]

    def mark(self, name: str) -> None:
        """Names the frame of the moment."""
        self.marks.append(Mark(name=name, frame=self.t))

    def abort(self, reason: str) -> NoReturn:
        """Ends the probe."""
        raise Aborted(reason)
