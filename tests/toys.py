"""A tiny ground truth in numpy, so that the engine, the oracle, the store and the checkers are tested in milliseconds.

The world is a round hall (a textured cylinder of radius 8 m) seen by a level camera near its middle, with upright
columns standing in it. Every promise of `TruthEnv` is kept: pose, depth, segmentation, snapshots, edits, any pose.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.errors import ContractError, UnsupportedError
from worldsim.seeding import generator, hash_seed
from worldsim.truth import (
    Abilities,
    Edit,
    Event,
    MoveObject,
    ObjectState,
    RecolourObject,
    RemoveObject,
    State,
    TruthState,
)
from worldsim.types import Frames

FPS = 20.0
HALL_RADIUS = 8.0  # metres
EYE = 1.6  # metres above the floor
COLUMN_RADIUS, COLUMN_HEIGHT = 0.6, 2.2
WALK_RADIUS = 1.5  # the body stays this near to the middle, so that it never meets a column
TURN, STRIDE = 10.0, 0.25  # degrees and metres a step
COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 230), "yellow": (230, 210, 40)}
KINDS = ("red", "green", "blue")  # of the columns 1, 2, 3; the last one moves by itself


class ToyEnv(gym.Env[Frames, Any]):
    """A round hall with columns; the last column walks round (all of them at random where `open_future`).

    Actions: "discrete" Discrete(4) no-op, left, right, forward; "dict" {"turn": Box(-1..1, (1,)), "forward":
    Discrete(2)}; "box" Box(-1..1, (2,)) turn and forward. Reward 1 where column 1 is in view, else 0.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] = (24, 32),
        actions: str = "discrete",
        objects: int = 3,
        open_future: bool = False,
        terminate_at: int | None = None,
        truncate_at: int | None = None,
        snapshots: bool = True,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Makes the hall. `terminate_at` / `truncate_at` end the episode at that step (counted from 1)."""
        self.size, self.render_mode = (int(size[0]), int(size[1])), render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}
        self.observation_space = gym.spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self._kind, self._open = actions, open_future
        self.action_space = {
            "discrete": lambda: gym.spaces.Discrete(4),
            "dict": lambda: gym.spaces.Dict(
                {"turn": gym.spaces.Box(-1, 1, (1,), np.float32), "forward": gym.spaces.Discrete(2)}
            ),
            "box": lambda: gym.spaces.Box(-1, 1, (2,), np.float32),
        }[actions]()
        self._ends = (terminate_at, truncate_at)
        self._objects = min(objects, len(KINDS))
        self.abilities = Abilities(
            snapshot=snapshots,
            edit=frozenset({"RemoveObject", "MoveObject", "RecolourObject"}),
            render_from=True,
            deterministic=True,
            open_future=open_future,
            truth=frozenset({"world_from_camera", "intrinsics", "depth", "segmentation", "objects", "events"}),
        )
        h, w = self.size
        focal = w / 2.0  # 90 degrees across
        self._k = np.array([[focal, 0, w / 2], [0, focal, h / 2], [0, 0, 1.0]])
        self._u = (np.arange(w) + 0.5 - w / 2) / focal
        self._v = (np.arange(h) + 0.5 - h / 2) / focal
        self._s: dict[str, Any] = {}
        self._events: tuple[Event, ...] = ()

    # ------------------------------------------------------------------------------------------------- gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        super().reset(seed=seed)
        world = int(seed) if seed is not None else int(self.np_random.integers(2**31))
        rng = generator("toy-layout", world)
        n = self._objects
        angle = rng.uniform(0, 2 * np.pi) + np.arange(n) * 2 * np.pi / max(n, 1) * 0.6
        self._s = {
            "world": world,
            "dynamics": int((options or {}).get("dynamics_seed", hash_seed("dynamics", world))),
            "t": 0,
            "body": np.array([0.0, 0.0, rng.uniform(0, 360.0)]),  # x, z metres, yaw degrees
            "place": np.stack([4.0 * np.sin(angle), np.zeros(n), 4.0 * np.cos(angle)], 1),  # (n, 3) base centres
            "exists": np.ones(n, np.bool_),
            "colour": list(KINDS[:n]),
        }
        self._events = ()
        self._wall = _texture(world)
        self._draw()
        return self._frame.copy(), {}

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        if not self._s:
            raise ContractError("step before reset: call reset(seed=...) first")
        s, body = self._s, self._s["body"].copy()
        turn, forward = self._decode(action)
        body[2] = (body[2] + TURN * turn) % 360.0
        yaw = np.deg2rad(body[2])
        body[:2] += STRIDE * forward * np.array([-np.sin(yaw), np.cos(yaw)])
        body[:2] *= min(1.0, WALK_RADIUS / max(float(np.hypot(body[0], body[1])), 1e-9))
        s["body"] = body
        s["t"] += 1
        if self._objects:  # the last column walks round the middle, at an even pace if the future is closed
            speed = np.zeros(self._objects)
            speed[-1] = 0.05  # radians a step
            if self._open:  # else all of them, at random
                speed = generator("toy-step", s["dynamics"], s["t"]).normal(0.0, 0.15, self._objects)
            c, d, (x, y, z) = np.cos(speed), np.sin(speed), s["place"].T
            s["place"] = np.stack([c * x + d * z, y, c * z - d * x], 1)
        self._events = (Event(kind="step"),) if forward else ()
        self._draw()
        terminated, truncated = (end is not None and s["t"] >= end for end in self._ends)
        return self._frame.copy(), float(np.any(self._ids == 1)), terminated, truncated, {}

    def render(self) -> Any:
        return self._frame.copy()

    def _decode(self, action: Any) -> tuple[float, float]:
        if self._kind == "discrete":
            a = int(action)
            return (float(a == 2) - float(a == 1)), float(a == 3)
        if self._kind == "dict":
            return float(np.ravel(action["turn"])[0]), float(action["forward"])
        return float(action[0]), float(action[1])

    # ------------------------------------------------------------------------------------------------------ truth

    def truth(self) -> TruthState:
        return self._state(self._pose(), self._depth, self._ids)

    def snapshot(self) -> State:
        if not self.abilities.snapshot:
            raise UnsupportedError("this hall was made with snapshots=False; replay the actions from reset instead")
        state: State = trees.copy(self._s)
        return state

    def restore(self, state: State, dynamics_seed: int | None = None) -> tuple[Frames, TruthState]:
        if not self.abilities.snapshot:
            raise UnsupportedError("this hall was made with snapshots=False; replay the actions from reset instead")
        self._s = trees.copy(dict(state))
        if dynamics_seed is not None:
            self._s["dynamics"] = int(dynamics_seed)
        self._events = ()
        self._wall = _texture(self._s["world"])
        self._draw()
        return self._frame.copy(), self.truth()

    def edit(self, change: Edit) -> None:
        name = type(change).__name__
        if name not in self.abilities.edit:
            raise UnsupportedError(f"the hall accepts {sorted(self.abilities.edit)}, got {name}")
        i = change.object_id - 1  # type: ignore[union-attr]
        if not 0 <= i < self._objects:
            raise ContractError(f"objects are numbered 1..{self._objects}, got {i + 1}")
        if isinstance(change, RemoveObject):
            self._s["exists"] = self._s["exists"].copy()
            self._s["exists"][i] = False
        elif isinstance(change, MoveObject):
            self._s["place"] = self._s["place"].copy()
            self._s["place"][i] = change.position
        elif isinstance(change, RecolourObject):
            if change.colour not in COLOURS:
                raise ContractError(f"colours are {sorted(COLOURS)}, got {change.colour!r}")
            self._s["colour"] = [change.colour if j == i else c for j, c in enumerate(self._s["colour"])]
        self._draw()

    def render_from(
        self, world_from_camera: NDArray[np.float64] | None = None, *, supersample: int = 1
    ) -> tuple[Frames, TruthState]:
        pose = self._pose() if world_from_camera is None else np.asarray(world_from_camera, np.float64)
        frame, depth, ids = self._cast(pose, self._u, self._v)
        if supersample > 1:
            h, w = self.size
            k, focal = supersample, w / 2.0
            u = ((np.arange(w * k) + 0.5) / k - w / 2) / focal
            v = ((np.arange(h * k) + 0.5) / k - h / 2) / focal
            fine = self._cast(pose, u, v)[0].reshape(h, k, w, k, 3)
            frame = np.rint(fine.mean((1, 3))).astype(np.uint8)
        return frame, self._state(pose, depth, ids)

    def close(self) -> None:
        """Nothing to release."""

    # ------------------------------------------------------------------------------------------------------ inside

    def _pose(self) -> NDArray[np.float64]:
        x, z, yaw = self._s["body"]
        c, s = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
        # Camera right, down, forward in world axes. With y up, whoever looks along +z has -x at the right hand, so a
        # positive yaw (to the right) turns towards -x; right x down = forward keeps it right-handed.
        right, down, forward = np.array([-c, 0, -s]), np.array([0, -1.0, 0]), np.array([-s, 0, c])
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, down, forward], 1)
        pose[:3, 3] = (x, EYE, z)
        return pose

    def _draw(self) -> None:
        self._frame, self._depth, self._ids = self._cast(self._pose(), self._u, self._v)

    def _cast(
        self, pose: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]
    ) -> tuple[Frames, NDArray[np.float32], NDArray[np.int32]]:
        """Casts one ray a pixel: colours, depth along camera z and ids. A level camera has one hit a column."""
        r, (ox, oy, oz) = pose[:3, :3], pose[:3, 3]
        h, w = len(v), len(u)
        level = abs(r[0, 1]) + abs(r[2, 1]) < 1e-12
        vv = np.zeros((1, 1)) if level else v[:, None]
        dx = r[0, 0] * u + r[0, 1] * vv + r[0, 2]  # (1, W) if level, else (H, W)
        dz = r[2, 0] * u + r[2, 1] * vv + r[2, 2]
        dy = r[1, 0] * u + r[1, 1] * v[:, None] + r[1, 2]  # (H, W)
        a = np.maximum(dx * dx + dz * dz, 1e-12)

        b = ox * dx + oz * dz
        s = (-b + np.sqrt(np.maximum(b * b - a * (ox * ox + oz * oz - HALL_RADIUS**2), 0.0))) / a
        rows, cols = self._wall.shape[:2]
        col = ((np.arctan2(ox + s * dx, oz + s * dz) / (2 * np.pi) % 1.0) * cols).astype(np.intp) % cols
        row = np.clip(((oy + s * dy) * 2).astype(np.intp) + rows // 2, 0, rows - 1)
        rgb = self._wall.reshape(-1, 3).take(row * cols + col, axis=0)
        depth = np.broadcast_to(s, (h, w)).astype(np.float32)
        ids = np.zeros((h, w), np.int32)
        for i in np.flatnonzero(self._s["exists"]):
            px, py, pz = self._s["place"][i]
            qx, qz = ox - px, oz - pz
            b = qx * dx + qz * dz
            disc = b * b - a * (qx * qx + qz * qz - COLUMN_RADIUS**2)
            if not np.any(disc > 0):
                continue
            s = (-b - np.sqrt(np.maximum(disc, 0.0))) / a
            height = oy + s * dy - py
            hit = (disc > 0) & (s > 0) & (s < depth) & (height >= 0) & (height <= COLUMN_HEIGHT)
            band = (height * 4).astype(np.intp) % 2  # stripes, so that the column has texture
            colour = np.array([COLOURS[self._s["colour"][i]]] * 2, np.uint8)
            colour[1] //= 2
            rgb[hit] = colour[band[hit]]
            depth[hit] = np.broadcast_to(s, hit.shape)[hit]
            ids[hit] = i + 1
        return rgb, depth, ids

    def _state(self, pose: NDArray[np.float64], depth: NDArray[np.float32], ids: NDArray[np.int32]) -> TruthState:
        seen = np.bincount(ids.ravel(), minlength=self._objects + 1)
        size = np.array([2 * COLUMN_RADIUS, COLUMN_HEIGHT, 2 * COLUMN_RADIUS])
        return TruthState(
            time=self._s["t"] / FPS,
            world_from_camera=pose,
            intrinsics=self._k.copy(),
            depth=depth.copy(),
            segmentation=ids.copy(),
            objects=tuple(
                ObjectState(
                    id=i + 1,
                    kind="column",
                    position=self._s["place"][i] + np.array([0, COLUMN_HEIGHT / 2, 0]),
                    size=size,
                    exists=bool(self._s["exists"][i]),
                    visible_px=int(seen[i + 1]),
                    attributes={"colour": self._s["colour"][i]},
                )
                for i in range(self._objects)
            ),
            events=self._events,
        )


def _texture(world: int) -> NDArray[np.uint8]:
    """(24, 96, 3) wall of coloured tiles, a pure function of the world's seed; 3.75 degrees and 0.5 m a tile."""
    rng = generator("toy-wall", world)
    base = rng.integers(60, 200, (6, 12, 3)).repeat(4, 0).repeat(8, 1)
    return np.clip(base + rng.integers(-25, 26, (24, 96, 3)), 0, 255).astype(np.uint8)
