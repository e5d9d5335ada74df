"""Probes that keep or leave a view: look away, turn around, walk a loop, orbit, strafe, dolly, hide behind something.

Each is a generator of motions (see `motions`). It names its moments: `departure`, `hidden`, `return`, and the pose that
is judged lies more than 10 degrees or 0.5 m from every pose of the context. Angles are degrees, distances metres, times
steps.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.controllers.motions import (
    go_back_to,
    look_at,
    move,
    strafe_to,
    turn_by,
    wait,
    walk_to,
)
from worldsim.envs.controllers.pose import bearing, ground_distance, half_view, heading, yaw_to
from worldsim.envs.controllers.scene import Aborted, Motion, Scene
from worldsim.envs.controllers.sight import box_corners, box_in_view, clearance, covered, hiding_places
from worldsim.envs.controllers.survey import face_target, find_object, finish_context
from worldsim.envs.controllers.ways import ways_to_hide
from worldsim.truth import ObjectState

_KEEP_OFF = 0.8  # metres that a walk stays away from what stands before it
_LEAST_LEG = 0.75  # metres


def look_away_return(
    scene: Scene,
    *,
    angle: float = 100.0,
    hold: int = 4,
    kinds: Sequence[str] = (),
    near: float = 1.5,
    far: float = 9.0,
    leave: float = 0.0,
    change: bool = False,
    look_down: bool = False,
    window: int = 5,
) -> Motion:
    """Sees an instance, turns away (and walks `leave` metres off), holds, returns: is it still there, and the same?

    With `change` the mark `changed` names a frame of the context at which something may be made of the instance, in
    view; from then on the probe goes by where it stood, so that every outcome is left and looked at in the same way.
    `look_down` brings the floor around it into view before that (see `find_object`).
    """
    yield from find_object(scene, kinds, near=near, far=far, change=change, look_down=look_down)
    target = scene.focus["object_id"]
    item = _before(scene, target) if change else scene.object(target)
    yield from face_target(scene, item)
    yield from leave_and_return(
        scene,
        (lambda: _out_of_view(scene, item)) if change else (lambda: scene.pixels(target) == 0),
        angle=angle,
        hold=hold,
        leave=leave,
        window=window,
        away_from=float(np.mean([bearing(scene.truth, place) for place in _places(scene, item)])),
    )
    if not change and scene.pixels(target) < scene.min_px:
        scene.abort("the instance is not in view at the return")
    if change and not box_in_view(scene.truth, item.position, item.size):
        scene.abort("the place of the instance is not in view at the return")


def watch(
    scene: Scene,
    *,
    kinds: Sequence[str] = (),
    near: float = 1.5,
    far: float = 9.0,
    steps: int = 24,
    look_down: bool = False,
    window: int = 5,
) -> Motion:
    """The control of `look_away_return`: the same change in view, the same time, but it never leaves the view."""
    yield from find_object(scene, kinds, near=near, far=far, change=True, look_down=look_down)
    yield from face_target(scene, _before(scene, scene.focus["object_id"]))
    scene.mark("departure")
    home, first = scene.pose, scene.t
    side = 1.0 if bearing(scene.truth, _before(scene, scene.focus["object_id"]).position) > 0 else -1.0
    while scene.t < first + steps:  # glances, so that the picture is not still
        yield from turn_by(scene, 6.0 * side)
        yield from go_back_to(scene, home)
    scene.focus["unseen_steps"] = 0
    scene.mark("return")
    yield from wait(window - 1)


def _before(scene: Scene, target: int) -> ObjectState:
    """The instance as it was before the change, which may have removed or moved it."""
    return scene.first[target]


def _out_of_view(scene: Scene, item: ObjectState) -> bool:
    """Whether neither the place of an instance nor the other place where it could stand is in view."""
    return not any(box_in_view(scene.truth, place, item.size) for place in _places(scene, item))


def _places(scene: Scene, item: ObjectState) -> list[NDArray[np.float64]]:
    """Where an instance stands, and where else it could."""
    spot = scene.focus.get("moved_to")
    other = [] if spot is None else [np.asarray(spot) + np.array([0.0, item.size[1] / 2, 0.0])]
    return [item.position, *other]


def leave_and_return(
    scene: Scene,
    out_of_view: Callable[[], bool],
    *,
    angle: float,
    hold: int,
    leave: float,
    window: int,
    away_from: float | None = None,
) -> Motion:
    """From `departure` over `hidden` back to `return`, the same pose, and `window` frames there.

    Args:
        scene: The moment.
        out_of_view: Whether the thing in question cannot be seen now.
        angle: Of the turn; more if the thing would stay in view.
        hold: Steps to wait there.
        leave: Metres to walk off, less if the way ends sooner.
        window: Frames at the return.
        away_from: Bearing of the thing; None = that of the focused instance.
    """
    scene.mark("departure")
    home, first = scene.pose, scene.t
    beta = bearing(scene.truth, scene.object(scene.focus["object_id"]).position) if away_from is None else away_from
    side = -1.0 if beta > 0 else 1.0  # away from the thing, so that it leaves the view soonest
    yield from turn_by(scene, side * max(angle, half_view(scene.truth) + 20.0))
    for _ in range(6):  # something large or near needs a little more
        if out_of_view():
            break
        yield from turn_by(scene, side * 15.0)
    if not out_of_view():
        scene.abort("the thing cannot be turned out of view")
    scene.mark("hidden")
    if leave > 0:
        yield from move(scene, "forward", min(leave, clearance(scene.truth) - _KEEP_OFF))
    yield from wait(hold)
    yield from go_back_to(scene, home)
    scene.focus["unseen_steps"] = scene.t - first
    scene.mark("return")
    yield from wait(window - 1)


def full_turn(scene: Scene, *, turns: int = 1, direction: int = 1, window: int = 5) -> Motion:
    """Turns once around (`direction` 1 right, -1 left, 0 first right, then left): is home where it was?"""
    yield from finish_context(scene)
    yield from turn_by(scene, 15.0 * (direction or 1))
    scene.mark("departure")
    for way in (1, -1) if direction == 0 else (direction,):
        yield from turn_by(scene, way * 180.0)
        scene.mark("hidden" if way in (direction, 1) else "hidden_2")
        yield from turn_by(scene, way * (turns * 360.0 - 180.0))
        scene.mark("return" if way in (direction, 1) else "return_2")
    yield from wait(window - 1)


def a_b_a(scene: Scene, *, metres: float = 5.0, hold: int = 0, window: int = 5) -> Motion:
    """Walks to another place and back the same way."""
    yield from _start_walk(scene)
    home = scene.pose
    yield from move(scene, "forward", min(metres, clearance(scene.truth) - _KEEP_OFF))
    _require_a_walk(scene, home.eye, _LEAST_LEG)
    scene.mark("hidden")
    yield from wait(hold)
    yield from go_back_to(scene, home)
    scene.mark("return")
    yield from wait(window - 1)


def a_b_c_a(scene: Scene, *, metres: float = 5.0, spread: float = 50.0, window: int = 5) -> Motion:
    """Walks a triangle: away, across, and home by a way not walked before."""
    yield from _start_walk(scene, legs=(-spread / 2, spread / 2))
    home = scene.pose
    ways = [(min(metres, clearance(scene.truth, turn) - _KEEP_OFF), turn) for turn in (-spread / 2, spread / 2)]
    corners = [home.eye + length * heading(home.yaw + turn) for length, turn in ways]
    if min(length for length, _ in ways) < _LEAST_LEG:
        scene.abort("there is no room for a triangle")
    for name, corner in zip(("b", "hidden"), corners, strict=True):
        yield from walk_to(scene, corner, tolerance=0.2)
        scene.mark(name)
    yield from go_back_to(scene, home)
    scene.mark("return")
    yield from wait(window - 1)


def orbit(
    scene: Scene,
    *,
    degrees: float = 90.0,
    kinds: Sequence[str] = (),
    far: float = 9.0,
    radius: float = 3.5,
    step: float = 15.0,
) -> Motion:
    """Walks around an instance, which stays in the middle of the view: the same thing from several sides.

    It walks up to `radius` first. Where the way is blocked it goes the other way round, then nearer; half of `degrees`
    is the least.
    """
    yield from find_object(scene, kinds, far=far)
    target = scene.object(scene.focus["object_id"])
    centre = target.position
    gap = ground_distance(scene.pose.eye, centre) - radius
    if gap > 0.0:
        with contextlib.suppress(Aborted):  # where the way there is blocked it walks around from farther off
            yield from walk_to(scene, scene.pose.eye + gap * heading(yaw_to(scene.pose.eye, centre)), tolerance=0.25)
    yield from look_at(scene, centre)
    scene.mark("departure")
    start = around = yaw_to(centre, scene.pose.eye)
    length = ground_distance(scene.pose.eye, centre)
    for metres, side in itertools.product((length, 0.7 * length), (1, -1)):
        for _ in range(math.ceil(degrees / step)):
            goal = centre + metres * heading(around + side * step)
            try:
                yield from walk_to(scene, goal, tolerance=0.25, face=False)
            except Aborted:
                break
            around += side * step
            yield from look_at(scene, centre)
        if abs(around - start) >= degrees / 2:
            break
    if abs(around - start) < degrees / 2:
        scene.abort("the way around the instance is blocked on both sides")
    yield from look_at(scene, centre)
    scene.mark("return")


def strafe_back(scene: Scene, *, metres: float = 1.5, window: int = 5) -> Motion:
    """Steps aside and back without turning: pure translation, where a frozen picture cannot pass for geometry."""
    yield from _there_and_back(scene, ("left", "right"), metres, window)


def dolly(scene: Scene, *, metres: float = 2.0, window: int = 5) -> Motion:
    """Walks forward and back without turning."""
    ahead = clearance(scene.truth) > metres + 0.8
    yield from _there_and_back(scene, ("forward", "back") if ahead else ("back", "forward"), metres, window)


def occlude_reveal(
    scene: Scene,
    *,
    kinds: Sequence[str] = (),
    metres: float = 6.0,
    hold: int = 4,
    change: bool = False,
    go_around: bool = False,
    window: int = 5,
) -> Motion:
    """Walks to where something stands before the instance, and back: hidden without being out of view.

    `change` as in `look_away_return`. `go_around` keeps clear of the other instances: for worlds in which bodies cannot
    pass through them.
    """
    yield from find_object(scene, kinds, change=change)
    target = scene.focus["object_id"]
    item = _before(scene, target)
    scene.mapping = True  # a look all around: the script then knows where it could hide
    yield from turn_by(scene, 360.0)
    yield from face_target(scene, item)
    home, first = scene.pose, scene.t
    scene.mark("departure")

    def hidden() -> bool:
        return covered(scene.truth, item.position, item.size) if change else scene.pixels(target) == 0

    box = box_corners(item.position, item.size)
    ways: Iterable[list[NDArray[np.float64]]]
    if go_around:
        ways = itertools.islice(ways_to_hide(scene.solid, home.eye, box, metres, scene.obstacles()), 6)
    else:
        ways = [[place] for place in hiding_places(scene.solid, home.eye, box, metres)[:3]]
    walked: list[NDArray[np.float64]] = []  # corners of the way from home, for the way back
    for way in ways:
        yield from _walk_back(scene, walked, item.position)
        walked = []
        try:
            for corner in way:
                walked += [scene.pose.eye] if go_around else []
                yield from strafe_to(scene, corner, item.position)
        except Aborted:
            continue  # something that was not seen stands in the way; another place may do
        yield from look_at(scene, item.position)
        if hidden():
            break
    if not hidden():
        scene.abort("nothing hides the instance within reach")
    scene.mark("hidden")
    yield from wait(hold)
    yield from _walk_back(scene, walked, item.position)
    yield from strafe_to(scene, home.eye, item.position, tolerance=0.08)
    yield from go_back_to(scene, home, face=False)
    scene.focus["unseen_steps"] = scene.t - first
    scene.mark("return")
    yield from wait(window - 1)


def _walk_back(scene: Scene, walked: Sequence[NDArray[np.float64]], watch: NDArray[np.float64]) -> Motion:
    """Goes back over the corners of a way, the last first, with an eye on a point."""
    for corner in reversed(walked):
        yield from strafe_to(scene, corner, watch)


def noop_hold(scene: Scene, *, steps: int = 32) -> Motion:
    """Does nothing: whatever changes then, changes by itself."""
    yield from wait(max(0, scene.context - 1 - scene.t))
    scene.mark("departure")
    yield from wait(min(steps, scene.steps_left))
    scene.mark("return")


def _start_walk(scene: Scene, legs: Sequence[float] = ()) -> Motion:
    """Ends the survey, turns to where the way is clearest and at least 15 degrees aside, and marks the departure.

    Where one of the `legs`, ways that many degrees aside of it, has no room, it looks around for a better direction.
    """
    yield from finish_context(scene)
    ways = (15.0, -15.0, 30.0, -30.0)
    yield from turn_by(scene, max(ways, key=lambda turn: min(6.0, clearance(scene.truth, turn))))
    for _ in range(5):
        if min((clearance(scene.truth, leg) - _KEEP_OFF for leg in legs), default=_LEAST_LEG) >= _LEAST_LEG:
            break
        yield from turn_by(scene, 60.0)
    scene.mark("departure")


def _require_a_walk(scene: Scene, start: NDArray[np.float64], metres: float) -> None:
    gone = ground_distance(start, scene.pose.eye)
    if gone < metres:
        scene.abort(f"the way is blocked: {gone:.2f} m walked, {metres:g} m are the least")


def _there_and_back(scene: Scene, keys: tuple[str, str], metres: float, window: int) -> Motion:
    """Moves without turning, in the first direction that has room, and back to the spot."""
    yield from finish_context(scene)
    home = scene.pose
    scene.mark("departure")
    for key in keys:
        yield from move(scene, key, metres)
        if ground_distance(home.eye, scene.pose.eye) >= 0.6 * metres:
            break
    _require_a_walk(scene, home.eye, 0.5 * metres)
    scene.mark("turn")
    yield from go_back_to(scene, home, face=False)
    scene.mark("return")
    yield from wait(window - 1)
