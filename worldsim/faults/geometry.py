"""A picture that does not move as a solid world must: flattened parallax, a layer that slides, a camera that trembles.

Flattening and sliding are drawn from a camera that stays behind the true one, on a rope: its tip is where the context
ended, and is dragged along once the body is more than `ROPE` metres away; where a truth draws nothing from there (it is
in a wall), the rope is shorter for that frame. So both are faults of baselines up to that length; on a steady straight
walk the parallax beyond it is the truth's. Where the camera only turns, nothing changes.

Limit: the plane's homography samples the picture once more (bilinearly), so that a flattened frame is a little softer
than a true one as soon as the body has moved, whatever the severity: compare at like sharpness.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ConfigError
from worldsim.faults.base import Fault, Notes
from worldsim.faults.views import camera, draw, moved, rotation
from worldsim.oracle import World
from worldsim.types import Frames

ROPE = 2.0  # metres; less than what a body is usually away from the walls, so that the camera behind is in the open
NEAR = 6.0  # metres: where the near layer ends
PLANE = (3.0, 12.0)  # metres: the flat world stands at the median depth of the first frame, within these


class PoseJitter(Fault):
    """Each frame is drawn from a pose turned by normal noise of `severity` degrees about each axis of the camera."""

    name = "pose-jitter"
    limit = 20.0
    random = True
    needs = frozenset({"render_from", "world_from_camera"})

    def _picture(self, world: World, notes: Notes) -> Frames:
        axis = self._draw(world, world.t).normal(size=3) * self.severity
        angle = float(np.linalg.norm(axis))
        pose = camera(world.env).copy()
        x, y, z = (float(v) for v in axis / angle)
        pose[:3, :3] = pose[:3, :3] @ rotation((x, y, z), angle)
        return draw(world.env, pose)[0]


class _Rope(Fault):
    """Keeps the camera that stays behind."""

    needs = frozenset({"render_from", "world_from_camera", "intrinsics", "depth"})

    def _begin(self, world: World, context: Frames, world_seed: int) -> Notes:
        truth = world.env.truth()
        depth = cast("NDArray[np.float32]", truth.depth)
        seen = depth[np.isfinite(depth)]
        plane = float(np.clip(np.median(seen) if seen.size else PLANE[1], *PLANE))
        return {"tip": camera(world.env)[:3, 3].copy(), "plane": plane}

    def _picture(self, world: World, notes: Notes) -> Frames:
        eye = camera(world.env)[:3, 3]
        back = notes["tip"] - eye
        length = float(np.linalg.norm(back))
        if length > ROPE:
            back = back * (ROPE / length)
            notes["tip"] = eye + back
        if length < 1e-9:
            return world.frame
        for share in (1.0, 0.75, 0.5, 0.25):
            try:
                return self._warp(world, notes, self.severity * share * back)
            except ConfigError:  # a truth that draws no view from within a wall
                continue
        return world.frame

    def _warp(self, world: World, notes: Notes, offset: NDArray[np.float64]) -> Frames:
        """The frame for a camera that is off by `offset` (3,) metres, world axes."""
        raise NotImplementedError


class FlattenedParallax(_Rope):
    """The share `severity` of all parallax is lost: to that share the world is painted on a plane.

    A pixel of depth z moves by f T ((1 - s) / z + s / plane) instead of f T / z. Drawn from where 1 - s of the way is
    made, then moved by the plane's homography K (I - o n^T / plane) K^-1 for the rest (Hartley and Zisserman, Multiple
    View Geometry, eq. 13.2); what the homography takes from outside the picture is filled from the true frame.
    """

    name = "flattened-parallax"

    def _warp(self, world: World, notes: Notes, offset: NDArray[np.float64]) -> Frames:
        import cv2

        pose = camera(world.env)
        k = np.array(world.env.truth().intrinsics)
        k[:2, 2] -= 0.5  # OpenCV counts from the middle of the first pixel
        inside = pose[:3, :3].T @ offset  # in camera axes
        source_from_shown = k @ (np.eye(3) - np.outer(inside, (0, 0, 1.0)) / notes["plane"]) @ np.linalg.inv(k)
        behind = draw(world.env, moved(pose, offset))[0]
        out: Any = cv2.warpPerspective(
            behind,
            source_from_shown,
            (behind.shape[1], behind.shape[0]),
            dst=world.frame.copy(),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_TRANSPARENT,
        )
        return np.asarray(out, np.uint8)


class SlidingLayer(_Rope):
    """All that is nearer than 6 m lags behind by the share `severity` of the way: a cut-out that slides."""

    name = "sliding-layer"

    def _warp(self, world: World, notes: Notes, offset: NDArray[np.float64]) -> Frames:
        depth = cast("NDArray[np.float32]", world.env.truth().depth)
        behind, state = draw(world.env, moved(camera(world.env), offset))
        near = (depth < NEAR) | (cast("NDArray[np.float32]", state.depth) < NEAR)
        return np.where(near[..., None], behind, world.frame)
