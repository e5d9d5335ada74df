"""What is known of a true clip beside its frames, as states: poses, intrinsics, depth, ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import StoreError
from worldsim.folders import FIELDS, Place, header, read_array, read_text
from worldsim.truth import TruthState


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Where the fields of a true clip lie, and what they must fit.

    Attributes:
        name: The clip's stem.
        count: Frames of the true clip: the T of its arrays.
        size: (H, W).
        length: Frames that are scored, at most `count`.
        fps: Frames a second.
        fields: Field -> place.
        static: Where there is no segmentation, it is 0 everywhere.
    """

    name: str
    count: int
    size: tuple[int, int]
    length: int
    fps: float
    fields: Mapping[str, Place] = field(default_factory=dict)
    static: bool = False

    @property
    def known(self) -> frozenset[str]:
        """What metrics may require: the fields, and "worlds", for each clip is one of several."""
        return frozenset(self.fields) | {"worlds"} | ({"segmentation"} if self.static else set())


def check(clip: Beside) -> list[str]:
    """Notes on entries that cannot be used. Raises StoreError for arrays that do not fit the true clip."""
    count, (h, w) = clip.count, clip.size
    shapes = {
        "world_from_camera": ("f", ((count, 4, 4),)),
        "intrinsics": ("f", ((3, 3), (count, 3, 3))),
        "depth": ("f", ((count, h, w),)),
        "segmentation": ("iu", ((count, h, w),)),
    }
    for name, place in clip.fields.items():
        if name == "prompts":
            read_text(place)
            continue
        shape, dtype = header(place)
        if name == "actions":
            if not shape or shape[0] != count - 1:
                raise StoreError(f"{place[0]}: actions must be (T - 1 = {count - 1}, ...), got {shape}")
            continue
        kinds, fitting = shapes[name]
        if shape not in fitting or dtype.kind not in kinds:
            raise StoreError(
                f"{place[0]}: {name} must be {FIELDS[name]}; T, H, W = {count}, {h}, {w}; got {shape} {dtype.name}"
            )
    states = ClipStates(clip)
    notes = []
    for name in ("world_from_camera", "intrinsics", "depth"):
        if name in clip.fields:
            unusable = [t for t in range(clip.length) if getattr(states[t], name) is None]
            if unusable:
                why = "not everywhere a positive number (inf = no surface)" if name == "depth" else "not finite"
                notes.append(
                    f"{clip.name}: {name} is {why} in {len(unusable)} of {clip.length} frames, the first is "
                    f"{unusable[0]}: what needs it is undefined there"
                )
    return notes


class ClipStates(Sequence[TruthState]):
    """The states of a true clip, from the arrays beside it; what is not finite is not known.

    A frame's state is made once: metrics keep what they derive from it as long as it is the same object.
    """

    def __init__(self, clip: Beside) -> None:
        """Reads poses and intrinsics, and raises StoreError where they are none."""
        self._clip, self._count = clip, clip.count
        self._made: dict[int, TruthState] = {}
        self._arrays: dict[str, NDArray[Any]] = {}
        if "world_from_camera" in clip.fields:
            self._arrays["world_from_camera"] = poses = np.asarray(self._read("world_from_camera"), np.float64)
            _check_poses(poses, clip.fields["world_from_camera"][0])
        if "intrinsics" in clip.fields:
            lenses = np.asarray(self._read("intrinsics"), np.float64)
            self._arrays["intrinsics"] = np.broadcast_to(lenses, (self._count, 3, 3))
            _check_intrinsics(lenses.reshape(-1, 3, 3), clip.fields["intrinsics"][0])

    def __len__(self) -> int:
        return self._clip.length

    @overload
    def __getitem__(self, key: int) -> TruthState: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[TruthState, ...]: ...
    def __getitem__(self, key: int | slice) -> TruthState | tuple[TruthState, ...]:
        if isinstance(key, slice):
            return tuple(self[i] for i in range(*key.indices(len(self))))
        t = range(len(self))[key]
        if t not in self._made:
            self._made[t] = self._state(t)
        return self._made[t]

    def _read(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            self._arrays[name] = read_array(self._clip.fields[name])
        return self._arrays[name]

    def _matrix(self, name: str, t: int) -> NDArray[np.float64] | None:
        if name not in self._arrays or not np.isfinite(self._arrays[name][t]).all():
            return None
        return np.array(self._arrays[name][t], np.float64)

    def _state(self, t: int) -> TruthState:
        depth = segmentation = None
        if "depth" in self._clip.fields:
            values = np.array(self._read("depth")[t], np.float32)
            depth = values if (values > 0).all() else None  # NaN is not above 0 either
        if "segmentation" in self._clip.fields:
            segmentation = np.array(self._read("segmentation")[t], np.int32)
        elif self._clip.static:
            segmentation = np.zeros(self._clip.size, np.int32)
        return TruthState(
            time=t / self._clip.fps,
            world_from_camera=self._matrix("world_from_camera", t),
            intrinsics=self._matrix("intrinsics", t),
            depth=depth,
            segmentation=segmentation,
        )


def _check_poses(poses: NDArray[np.float64], path: Path) -> None:
    """Matrices that are not finite pass: they are not known, which is no mistake."""
    known = np.asarray(np.isfinite(poses).all((1, 2)))
    given = np.where(known[:, None, None], poses, np.eye(4))
    rotation = given[:, :3, :3]
    apart = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    right = (apart < 1e-2) & (np.linalg.det(rotation) > 0) & (np.abs(given[:, 3] - (0, 0, 0, 1)).max(1) < 1e-6)
    if not right.all():
        raise StoreError(
            f"{path}: world_from_camera must hold rigid motions (a rotation, the position in the last column, last "
            f"row 0 0 0 1); the matrix of frame {int(np.argmin(right))} is none"
        )


def _check_intrinsics(lenses: NDArray[np.float64], path: Path) -> None:
    """As above."""
    given = lenses[np.isfinite(lenses).all((1, 2))]
    focal = given[:, [0, 1], [0, 1]]
    if (focal <= 0).any() or (np.abs(given[:, 2] - (0, 0, 1)) > 1e-6).any():
        raise StoreError(f"{path}: intrinsics must be [[fx 0 cx] [0 fy cy] [0 0 1]] with fx, fy > 0")
    if (focal < 4).any():
        raise StoreError(
            f"{path}: focal lengths of {focal.min():g} pixels; intrinsics are in pixels of the frames, not in shares "
            "of their width"
        )
