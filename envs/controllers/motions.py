"""The words of probes: turn, look at, walk, wait, act. Closed-loop on the true pose, so that they are exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.controllers.pose import Pose, ground_distance, heading, pitch_to, wrap, yaw_to
from worldsim.envs.controllers.scene import Motion, Press, Scene

MAX_TURN = 15.0  # degrees a step: one discrete turn; faster turns leave a model no overlap between frames
WALK_STEP = 0.22  # metres a step at a walk, 4.317 m/s at 20 steps/s; nearer than that it sneaks
_EIGHT = (
    ("forward",),
    ("forward", "right"),
    ("right",),
    ("back", "right"),
    ("back",),
    ("back", "left"),
    ("left",),
    ("forward", "left"),
)
AT_EASE = 1e-3  # degrees: float32 camera actions cannot do better


def wait(steps: int) -> Motion:
    """Does nothing for some steps."""
    for _ in range(steps):
        yield Press()


def turn_to(scene: Scene, yaw: float, pitch: float | None = None) -> Motion:
    """Turns the short way round until the camera looks there, to 0.001 degrees, or as far up or down as it can."""
    before, still = scene.pose.pitch, 0
    while True:
        pose = scene.pose
        left, down = wrap(yaw - pose.yaw), 0.0 if pitch is None else pitch - pose.pitch
        if abs(left) < AT_EASE and (abs(down) < AT_EASE or still > 2):
            return
        before, still = pose.pitch, still + 1 if pose.pitch == before else 0
        yield Press(keys={"camera": (_clip(down), _clip(left))})


def turn_by(scene: Scene, degrees: float) -> Motion:
    """Turns by any angle, to the right if positive; more than 180 degrees are possible."""
    steps = max(1, math.ceil(abs(degrees) / MAX_TURN - 1e-9)) if degrees else 0
    start = scene.pose.yaw
    for step in range(1, steps + 1):
        # Towards the ideal yaw of this step: what one step missed, the next makes good.
        goal = start + math.copysign(min(step * MAX_TURN, abs(degrees)), degrees)
        yield Press(keys={"camera": (0.0, _clip(wrap(goal - scene.pose.yaw)))})
    yield from turn_to(scene, start + degrees)


def look_at(scene: Scene, point: NDArray[np.float64]) -> Motion:
    """Turns until a point is in the middle of the frame."""
    eye = scene.pose.eye
    yield from turn_to(scene, yaw_to(eye, point), pitch_to(eye, point))


def act(keys: Mapping[str, Any], steps: int = 1) -> Motion:
    """Presses keys that change the world."""
    for _ in range(steps):
        yield Press(keys=keys, acting=True)


def press(keys: Mapping[str, Any], steps: int = 1) -> Motion:
    """Holds keys down that move the body."""
    for _ in range(steps):
        yield Press(keys=keys)


def come_to_rest(scene: Scene, limit: int = 20) -> Motion:
    """Waits until the body no longer slides."""
    for _ in range(limit):
        before = scene.pose.eye
        yield Press()
        if float(np.abs(scene.pose.eye - before).max()) < 1e-3:
            return


def move(scene: Scene, key: str, metres: float, *, steps: int = 200) -> Motion:
    """Holds one of forward, back, left, right until the body has moved that far or is blocked; then rests."""
    start = scene.pose.eye.copy()
    stuck, speed = 0, 0.0
    for _ in range(steps):
        gone = ground_distance(start, scene.pose.eye)
        if gone + speed / 2 >= metres or stuck >= 3:
            break
        yield Press(keys={key: 1})
        now = ground_distance(start, scene.pose.eye)
        speed = now - gone
        stuck = stuck + 1 if speed < 0.01 else 0
    yield from come_to_rest(scene)


def walk_to(scene: Scene, goal: NDArray[np.float64], *, tolerance: float = 0.08, face: bool = True) -> Motion:
    """Walks straight to a point on the ground.

    Far away it turns to the goal and walks; near it, it sneaks with whichever key shortens the way, without turning.

    Args:
        scene: The moment.
        goal: (3,) metres; its height is ignored.
        tolerance: Metres.
        face: Turn to the goal on the way; otherwise the view is kept.

    Raises:
        Aborted: If something is in the way.
    """
    nearest, stuck = math.inf, 0
    for _ in range(int(60 * (ground_distance(scene.pose.eye, goal) + 1))):
        pose = scene.pose
        gap = ground_distance(pose.eye, goal)
        if gap <= tolerance:
            yield from come_to_rest(scene)
            if ground_distance(scene.pose.eye, goal) <= tolerance:
                return
            continue
        turn = wrap(yaw_to(pose.eye, goal) - pose.yaw)
        if face and gap > 0.6 and abs(turn) > MAX_TURN:
            yield Press(keys={"camera": (_clip(-pose.pitch / 4), _clip(turn))})
            continue
        keys = _keys_towards(pose, goal)
        if face and gap > 0.6:
            keys = {"forward": 1, "camera": (0.0, _clip(turn))}
        if gap < WALK_STEP:
            keys["sneak"] = 1
        yield Press(keys=keys)
        left = ground_distance(scene.pose.eye, goal)
        nearest, stuck = (left, 0) if left < nearest - 0.01 else (nearest, stuck + 1)
        if stuck > 8:
            scene.abort("the way is blocked")
    scene.abort("the goal was not reached")


def strafe_to(scene: Scene, goal: NDArray[np.float64], watch: NDArray[np.float64], *, tolerance: float = 0.1) -> Motion:
    """Walks straight to a point on the ground while another point stays within 22.5 degrees of the middle of the view.

    The view is turned so that the goal lies along one of the eight directions that keys can walk.

    Raises:
        Aborted: If something is in the way.
    """
    nearest, stuck = math.inf, 0
    while ground_distance(scene.pose.eye, goal) > tolerance:
        pose = scene.pose
        way, gap = yaw_to(pose.eye, goal), ground_distance(pose.eye, goal)
        eighth = round(wrap(way - yaw_to(pose.eye, watch)) / 45.0)
        turn = wrap(way - 45.0 * eighth - pose.yaw)
        keys: dict[str, Any] = {"camera": (0.0, _clip(turn))}
        if abs(turn) <= MAX_TURN:
            keys |= dict.fromkeys(_EIGHT[eighth % 8], 1) | ({"sneak": 1} if gap < WALK_STEP else {})
        yield Press(keys=keys)
        left = ground_distance(scene.pose.eye, goal)
        nearest, stuck = (left, 0) if left < nearest - 0.01 else (nearest, stuck + 1)
        if stuck > 12:
            scene.abort("the way is blocked")
    yield from come_to_rest(scene)


def go_back_to(scene: Scene, pose: Pose, *, face: bool = True) -> Motion:
    """Returns to a pose: to 0.08 m, then to 0.001 degrees."""
    if ground_distance(scene.pose.eye, pose.eye) > 0.08:
        yield from walk_to(scene, pose.eye, face=face)
    yield from turn_to(scene, pose.yaw, pose.pitch)


def until(scene: Scene, condition: Callable[[], bool], limit: int) -> Motion:
    """Waits for something, at most `limit` steps."""
    for _ in range(limit):
        if condition():
            return
        yield Press()


def _keys_towards(pose: Pose, goal: NDArray[np.float64]) -> dict[str, Any]:
    """The key that shortens the way most."""
    gap = goal - pose.eye
    ahead, right = float(gap @ heading(pose.yaw)), float(gap @ heading(pose.yaw + 90.0))
    if abs(ahead) >= abs(right):
        return {"forward" if ahead > 0 else "back": 1}
    return {"right" if right > 0 else "left": 1}


def _clip(degrees: float) -> float:
    return max(-MAX_TURN, min(MAX_TURN, degrees))
