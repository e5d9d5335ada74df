"""Camera paths through Blocks, and worlds that are not solid: faults made by warping true frames with true depth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.env import BlocksEnv
from worldsim.metrics.functional import geometry
from worldsim.truth import TruthState
from worldsim.types import Episode, Frames, Rollout, Trajectory

#: Metres to the right and ahead, degrees to the right, a step.
PATHS = {
    "strafe": (0.1, 0.0, 0.0),
    "dolly": (0.0, 0.12, 0.0),
    "turn": (0.0, 0.0, 2.0),
    "curve": (0.06, 0.06, 1.0),
    "arc": (0.15, 0.0, -1.5),
}


def place(t: float, side: float, ahead: float, turn: float) -> NDArray[np.float64]:
    """The camera after t steps in the axes of the first one, (4, 4)."""
    out = np.eye(4)
    out[:3, :3] = cv2.Rodrigues(np.array([0.0, np.radians(turn * t), 0.0]))[0]
    out[:3, 3] = [side * t, 0.0, ahead * t]
    return out


def walk(
    seed: int,
    path: tuple[float, float, float],
    steps: int,
    *,
    size: int = 64,
    speed: float = 1.0,
    jitter: float = 0.0,
    preset: str = "arena",
) -> tuple[Frames, list[TruthState]]:
    """Frames (steps + 1, H, W, 3) and states along a path through one standing world.

    `speed` is a factor on the path, `jitter` the spread in degrees of an independent turn of each frame but the first.
    """
    env = BlocksEnv(size=(size, size), preset=preset)
    env.reset(seed=seed)
    start = env.truth().world_from_camera
    assert start is not None
    rng = np.random.default_rng(seed)
    frames, states = [], []
    for t in range(steps + 1):
        shake = np.eye(4)
        if jitter and t:
            shake[:3, :3] = cv2.Rodrigues(np.radians(rng.normal(0.0, jitter, 3)))[0]
        frame, state = env.render_from(start @ place(speed * t, *path) @ shake)
        frames.append(frame)
        states.append(state)
    return np.stack(frames), states


def _moved(frame: Frames, by: NDArray[np.float64]) -> Frames:
    """The frame whose pixel p shows what was at p - by(p)."""
    height, width = frame.shape[:2]
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = u - by[..., 0].astype(np.float32), v - by[..., 1].astype(np.float32)
    return np.asarray(cv2.remap(frame, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _parallax(first: TruthState, state: TruthState) -> tuple[NDArray[np.float64], ...]:
    """For each pixel of `state`: itself, where it would be had the camera only turned, and had it one common depth."""
    assert state.depth is not None and state.intrinsics is not None
    depth = np.minimum(state.depth, 1000.0)
    points = geometry.back_project(depth, state.intrinsics)
    own, _ = geometry.project(points, np.eye(4), state.intrinsics)
    back = geometry.relative_pose(state, first)
    at_first = points @ back[:3, :3].T + back[:3, 3]
    turned, _ = geometry.project(at_first, geometry.scaled_motion(np.linalg.inv(back), 0.0, 1.0), state.intrinsics)
    plane = 1.0 / np.mean(1.0 / depth)
    flat = at_first * (plane / np.maximum(at_first[..., 2:], 1e-3))
    common, _ = geometry.project(flat, np.linalg.inv(back), state.intrinsics)
    return own, turned, np.where(np.isfinite(common), common, own)


def flattened(frames: Frames, states: Sequence[TruthState], share: float) -> Frames:
    """`share` of the parallax between near and far is gone: at 1 the first frame's scene is a billboard."""
    out = [frames[0]]
    for frame, state in zip(frames[1:], states[1:], strict=True):
        own, _, common = _parallax(states[0], state)
        out.append(_moved(frame, share * (common - own)) if share else frame)
    return np.stack(out)


def sliding(frames: Frames, states: Sequence[TruthState], share: float) -> Frames:
    """The near half of each picture has lost `share` of its parallax: a cut-out layer that slides on the ground."""
    out = [frames[0]]
    for frame, state in zip(frames[1:], states[1:], strict=True):
        own, turned, _ = _parallax(states[0], state)
        assert state.depth is not None
        near = state.depth < np.median(state.depth)
        by = np.where(near[..., None] & np.isfinite(turned), share * (turned - own), 0.0)
        out.append(_moved(frame, by) if share else frame)
    return np.stack(out)


def episode(
    frames: Frames, states: Sequence[TruthState] | None, shown: Frames, *, seed: int = 0, context: int = 1
) -> Episode:
    """An episode whose model shows `shown` after `context` frames."""
    steps = len(frames) - 1
    actions = np.zeros(steps, np.int64)
    truth = Trajectory(frames=frames, actions=actions, states=states)
    rollout = Rollout(trajectory=Trajectory(frames=shown, actions=actions))
    return Episode(
        id=f"solid-{seed:04d}",
        scenario="solid",
        world_seed=seed,
        context_length=context,
        truth=truth,
        generated=(rollout,),
    )
