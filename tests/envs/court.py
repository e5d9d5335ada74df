"""A walled court without dynamics, in plain numpy: enough truth to test controllers on, and no other part of the code.

The body moves 0.2 m a step (0.06 m sneaking) unless a box is in the way; `use` puts a block on the floor cell that the
camera looks at, `attack` takes one away. Everything is a box; depth and ids come from slab tests on all rays.
"""

from __future__ import annotations

import math

import numpy as np

from worldsim.envs.actions import minerl_space
from worldsim.truth import CellChange, ObjectState, TruthState

SIDE = 20.0
WALLS = [(-1, 0, -1, 0, 3, 21), (20, 0, -1, 21, 3, 21), (-1, 0, -1, 21, 3, 0), (-1, 0, 20, 21, 3, 21)]


class Court:
    def __init__(self, seed: int = 0, size: tuple[int, int] = (64, 64), objects: int = 4, pillars: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.action_space = minerl_space()
        self.size = size
        self.feet = np.array([rng.uniform(8, 12), 0.0, rng.uniform(8, 12)])
        self.yaw, self.pitch, self.time = float(rng.uniform(-180, 180)), 0.0, 0.0
        self.cells: tuple[CellChange, ...] = ()
        self.blocks: dict[tuple[int, int, int], str] = {}
        spots = [(x + 0.5, z + 0.5) for x in range(2, 18) for z in range(2, 18)]
        spots = [s for s in spots if math.hypot(s[0] - self.feet[0], s[1] - self.feet[2]) > 3.0]
        picks = rng.choice(len(spots), objects + pillars, replace=False)
        self.objects = {
            i + 1: ("red_chest", np.array([spots[p][0], 0.0, spots[p][1]])) for i, p in enumerate(picks[:objects])
        }
        self.pillars = [(spots[p][0] - 0.5, 0, spots[p][1] - 0.5) for p in picks[objects:]]

    def boxes(self) -> list[tuple[tuple[float, ...], int]]:
        found = [((float(a), b, c, d, e, f), 0) for a, b, c, d, e, f in WALLS]
        found += [((x, y, z, x + 1, y + 2, z + 1), 0) for x, y, z in self.pillars]
        found += [((x, y, z, x + 1, y + 1, z + 1), 0) for x, y, z in self.blocks]
        for i, (_, p) in self.objects.items():
            found.append(((p[0] - 0.45, p[1], p[2] - 0.45, p[0] + 0.45, p[1] + 0.9, p[2] + 0.45), i))
        return found

    def matrix(self) -> np.ndarray:
        a, b = math.radians(self.yaw), math.radians(self.pitch)
        forward = np.array([-math.sin(a) * math.cos(b), -math.sin(b), math.cos(a) * math.cos(b)])
        right = np.array([-math.cos(a), 0.0, -math.sin(a)])
        pose = np.eye(4)
        pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, np.cross(forward, right), forward
        pose[:3, 3] = self.feet + np.array([0.0, 1.62, 0.0])
        return pose

    def cast(self, rays: np.ndarray, eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances in units of the rays, and instance ids."""
        with np.errstate(divide="ignore", invalid="ignore"):
            best = np.where(rays[..., 1] < 0, -eye[1] / rays[..., 1], np.inf)
            ids = np.zeros(best.shape, np.int32)
            for box, i in self.boxes():
                low, high = (np.array(box[:3]) - eye) / rays, (np.array(box[3:]) - eye) / rays
                enter, leave = np.minimum(low, high).max(-1), np.maximum(low, high).min(-1)
                hit = (enter <= leave) & (enter > 0) & (enter < best)
                best, ids = np.where(hit, enter, best), np.where(hit, i, ids).astype(np.int32)
        return best, ids

    def truth(self) -> TruthState:
        h, w = self.size
        f = h / 2 / math.tan(math.radians(35))
        u, v = np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5)
        pose = self.matrix()
        local = np.stack([(u - w / 2) / f, (v - h / 2) / f, np.ones_like(u)], -1)
        depth, ids = self.cast(local @ pose[:3, :3].T, pose[:3, 3])
        return TruthState(
            time=self.time,
            world_from_camera=pose,
            intrinsics=np.array([[f, 0, w / 2], [0, f, h / 2], [0, 0, 1.0]]),
            depth=depth.astype(np.float32),
            segmentation=ids,
            objects=tuple(
                ObjectState(
                    id=i,
                    kind=kind,
                    position=p + np.array([0.0, 0.45, 0.0]),
                    size=np.array([0.9, 0.9, 0.9]),
                    visible_px=int((ids == i).sum()),
                    attributes={"colour": "red"},
                )
                for i, (kind, p) in self.objects.items()
            ),
            cells=self.cells,
        )

    def step(self, action: dict) -> None:
        assert self.action_space.contains(action), action
        self.time += 0.05
        self.cells = ()
        self.pitch = float(np.clip(self.pitch + float(action["camera"][0]), -90, 90))
        self.yaw = (self.yaw + float(action["camera"][1]) + 180) % 360 - 180
        a = math.radians(self.yaw)
        ahead, right = np.array([-math.sin(a), 0, math.cos(a)]), np.array([-math.cos(a), 0, -math.sin(a)])
        way = ahead * (int(action["forward"]) - int(action["back"])) + right * (
            int(action["right"]) - int(action["left"])
        )
        goal = self.feet + (0.06 if action["sneak"] else 0.2) * way
        clear = all(
            not (b[0] - 0.3 < goal[0] < b[3] + 0.3 and b[2] - 0.3 < goal[2] < b[5] + 0.3) for b, _ in self.boxes()
        )
        if clear:
            self.feet = goal
        forward, eye = self.matrix()[:3, 2], self.feet + np.array([0.0, 1.62, 0.0])
        distance = min(100.0, float(self.cast(forward[None], eye)[0][0]))
        before, after = eye + forward * (distance - 1e-6), eye + forward * (distance + 1e-6)
        if action["use"] and distance < 5:
            cell = tuple(int(np.floor(x)) for x in before)
            self.blocks[cell] = "red_wool"
            self.cells = (CellChange(position=cell, before="air", after="red_wool"),)
        cell = tuple(int(np.floor(x)) for x in after)
        if action["attack"] and distance < 5 and cell in self.blocks:
            self.cells = (CellChange(position=cell, before=self.blocks.pop(cell), after="air"),)
