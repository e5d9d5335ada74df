"""From the engine's picture to ours: colours, exact depth and instance ids of one view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.doom.camera import camera_pose, cut_labels, cut_picture, homography
from worldsim.envs.doom.game import Game
from worldsim.envs.doom.layout import HEIGHT, Layout
from worldsim.envs.doom.trace import trace
from worldsim.envs.doom.units import UNITS, to_metres, yaw_of
from worldsim.types import Frames

_WALL, _PLANE = 0, 1  # labels of the static world
_NEAREST: Final = 0.05  # metres: no sprite is nearer


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One view: (H, W, 3) uint8, (H, W) float32 metres along camera z, (H, W) int32 ids, and its pose."""

    rgb: Frames
    depth: NDArray[np.float32]
    ids: NDArray[np.int32]
    pose: NDArray[np.float64]


class Scenery:
    """What of a layout the ray caster needs."""

    def __init__(self, layout: Layout) -> None:
        self._cells = layout.cells
        self._owners = np.zeros(len(layout.sectors), np.int32)
        for door in layout.doors:
            self._owners[door.sector] = door.id
        self._switches = np.array([[*s.cell, *s.front, s.id] for s in layout.switches], np.int64).reshape(-1, 5)

    def draw(
        self, game: Game, pose: NDArray[np.float64], matrix: NDArray[np.float64], size: tuple[int, int], fine: int = 1
    ) -> Drawn:
        """The view of a pose, at which the engine stands.

        Args:
            game: With a reading.
            pose: (4, 4) world_from_camera.
            matrix: (3, 3) intrinsics.
            size: (H, W) pixels.
            fine: As many times more samples a pixel, in each direction.
        """
        reading = game.reading
        map_ = homography(reading, pose, matrix)
        ceilings = np.array(reading.ceilings) / UNITS
        depth, ids = trace(
            self._cells, ceilings, self._owners, self._switches, pose, matrix[0, 0], HEIGHT - 1e-6, *size
        )
        self._sprites(game, cut_labels(reading.labels, map_, size), depth, ids, pose, matrix)
        return Drawn(rgb=cut_picture(reading.rgb, map_, size, fine), depth=depth, ids=ids, pose=pose)

    def _sprites(
        self,
        game: Game,
        labels: NDArray[np.uint8],
        depth: NDArray[np.float32],
        ids: NDArray[np.int32],
        pose: NDArray[np.float64],
        matrix: NDArray[np.float64],
    ) -> None:
        """Writes the things, which the engine draws as upright planes across its level line of sight."""
        reading = game.reading
        places = {thing.number: thing.place for thing in reading.things}
        level = camera_pose((0.0, 0.0, 0.0), yaw_of(reading.angle), 0.0)[:3, 2]
        ahead = pose[:3, :3].T @ level  # the level line of sight in axes of our camera
        for label in np.unique(labels[labels > _PLANE]):
            number = reading.label_numbers.get(int(label), -1)
            if number not in game.numbers or number not in places:
                continue  # smoke, blood: of a moment
            far = float((to_metres(*places[number]) - pose[:3, 3]) @ level)
            v, u = np.nonzero(labels == label)
            slope = (u + 0.5 - matrix[0, 2]) / matrix[0, 0] * ahead[0] + ahead[2]
            slope += (v + 0.5 - matrix[1, 2]) / matrix[1, 1] * ahead[1]
            along = far / np.maximum(slope, 1e-6)
            ids[v, u] = game.numbers[number]
            depth[v, u] = np.clip(along, _NEAREST, np.maximum(depth[v, u], _NEAREST))
