"""Probes that act on the world: place, break, carry, open, toggle; wait for a process; choose between actions.

Each acts after the context, leaves, and returns; its sham twin moves the same way and acts on nothing. Marks: `before`
(the frame before the deed), `acted` (the frame that shows it), then `departure`, `hidden`, `return`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.envs.controllers.motions import act, look_at, press, turn_by, turn_to, wait, walk_to
from worldsim.envs.controllers.pose import bearing, ground_distance, heading, pitch_to, wrap, yaw_to
from worldsim.envs.controllers.probes import leave_and_return
from worldsim.envs.controllers.scene import Aborted, Motion, Press, Scene
from worldsim.envs.controllers.sight import box_in_view, cell_box, free_cells, is_blocked
from worldsim.envs.controllers.survey import FRAMES_KNOWN, departure_yaw, find_floor, find_object, finish_context
from worldsim.envs.controllers.ways import explore_ground

Vector: TypeAlias = NDArray[np.float64]  # (3,) metres

REACH = 2.6  # metres to stand from what is used: large in the picture
ARM = 4.2  # metres along the ground from which the arm, 5 m from the eye, reaches the floor as well


def place_leave_return(
    scene: Scene,
    *,
    slot: int = 1,
    block: str = "",
    angle: float = 90.0,
    hold: int = 4,
    leave: float = 0.0,
    window: int = 5,
) -> Motion:
    """Puts a block down, leaves, returns: did it stay, where it was put, and as what it was?

    Args:
        scene: The moment.
        slot: Hotbar slot of the block.
        block: Kind of block in that slot; what was truly placed replaces it in the focus.
        angle: Degrees to turn away.
        hold: Steps to wait there.
        leave: Metres to walk off.
        window: Frames at the return.
    """
    yield from find_floor(scene)
    scene.focus["block"] = block
    yield from press({f"hotbar.{slot}": 1})
    yield from _aim_at_floor(scene)
    scene.mark("before")
    yield from act({"use": 1})
    _note_deed(scene)
    scene.mark("acted")
    yield from wait(1)
    yield from _leave_cell(scene, angle=angle, hold=hold, leave=leave, window=window)


def break_leave_return(
    scene: Scene,
    *,
    slot: int = 1,
    block: str = "",
    strokes: int = 1,
    angle: float = 90.0,
    hold: int = 4,
    leave: float = 0.0,
    window: int = 5,
) -> Motion:
    """Sees a block that was put down in the context, takes it away, leaves, returns: does it stay away?

    Both twins put the block down, for a fact of the context; only one takes it away.
    """
    yield from find_floor(scene, linger=False)
    scene.focus["block"] = block
    yield from press({f"hotbar.{slot}": 1})
    yield from _aim_at_floor(scene)
    yield from press({"use": 1})
    _note_deed(scene)
    if scene.t > scene.context - FRAMES_KNOWN:
        scene.abort("the block was put down too late to be seen in three frames of the context")
    yield from finish_context(scene)
    yield from look_at(scene, cell_box(scene.focus["cell"])[0])
    scene.mark("before")
    yield from act({"attack": 1}, strokes)
    if not scene.sham and not any(c.after == "air" and t >= scene.t - strokes for t, c in scene.changed):
        scene.abort("the block did not break")
    scene.mark("acted")
    here = scene.pose  # as the context saw it: what is judged must be another view
    yield from turn_to(scene, departure_yaw(scene, here.yaw), here.pitch)
    yield from _leave_cell(scene, angle=angle, hold=hold, leave=leave, window=window)


def use_leave_return(
    scene: Scene,
    *,
    kinds: Sequence[str] = ("door", "lever", "chest"),
    near: float = 1.0,
    far: float = 7.0,
    angle: float = 90.0,
    hold: int = 4,
    leave: float = 0.0,
    reach: float | None = None,
    window: int = 5,
) -> Motion:
    """Walks up to a door, lever or chest, uses it, leaves, returns: is it still as it was left?

    `reach` is how near it must go, metres from the middle of the thing. The focus gets `unused` and `used`, the values
    of its state before and after.
    """
    yield from find_object(scene, kinds, near=near, far=far)
    target = scene.focus["object_id"]
    yield from _approach(scene, target, reach)
    state = scene.object(target).attributes
    is_on = bool(next((state[name] for name in ("open", "on") if name in state), False))
    scene.focus |= {"unused": is_on, "used": not is_on}
    scene.mark("before")
    yield from act({"use": 1})
    state = scene.object(target).attributes
    if not scene.sham and is_on == bool(next((state[name] for name in ("open", "on") if name in state), is_on)):
        scene.abort("it did not respond to being used")
    scene.mark("acted")
    yield from wait(1)
    yield from leave_and_return(
        scene, lambda: scene.pixels(target) == 0, angle=angle, hold=hold, leave=leave, window=window
    )


def pick_up_put_down(
    scene: Scene,
    *,
    kinds: Sequence[str] = ("crate", "gem"),
    slot: int = 9,
    far: float = 7.0,
    angle: float = 90.0,
    hold: int = 4,
    leave: float = 0.0,
    window: int = 5,
) -> Motion:
    """Takes a thing and puts it down beside its place, leaves, returns: it must be in one of the two places only.

    Both places are in view at the mark `acted` and at the return. In the sham twin the thing is never taken.
    """
    yield from find_object(scene, kinds, near=1.0, far=far)
    target = scene.focus["object_id"]
    yield from _approach(scene, target)
    origin = scene.object(target).position.copy()
    scene.focus["taken_from"] = _base(scene, target)
    cell = yield from _beside(scene, origin)
    centre, size = cell_box(cell)
    scene.focus |= {"cell": list(cell), "put_at": [float(centre[0]), float(cell[1]), float(centre[2])]}
    yield from look_at(scene, origin)
    yield from press({f"hotbar.{slot}": 1})
    scene.mark("before")
    yield from act({"use": 1})
    yield from look_at(scene, centre - np.array([0.0, 0.5, 0.0]))
    yield from act({"use": 1})
    yield from wait(1)
    if not scene.sham and ground_distance(scene.object(target).position, centre) > 0.1:
        scene.abort("the thing could not be put down beside its place")
    yield from look_at(scene, (origin + centre) / 2)
    scene.mark("acted")
    item = scene.object(target)
    yield from leave_and_return(
        scene,
        lambda: not (box_in_view(scene.truth, origin, item.size) or box_in_view(scene.truth, centre, size)),
        angle=angle,
        hold=hold,
        leave=leave,
        window=window,
        away_from=bearing(scene.truth, (origin + centre) / 2),
    )


def evolve_unseen(
    scene: Scene, *, near: float = 7.0, angle: float = 100.0, hold: int = 24, leave: float = 0.0, window: int = 5
) -> Motion:
    """Sees where something changes by itself, turns away while it goes on, returns: did the world go on unseen?

    In the context it looks for a place where cells change, within sight of where it stands, and walks up to it.
    """
    cell: tuple[int, int, int] | None = None
    while scene.t < scene.context - 4:
        cell = _changing_cell(scene)
        eye = scene.pose.eye
        if cell is None:
            yield from wait(1)
            continue
        centre, size = cell_box(cell)
        turn = bearing(scene.truth, centre)
        if abs(turn) < 10.0 and ground_distance(eye, centre) < near and box_in_view(scene.truth, centre, size):
            break
        forward = {"forward": 1} if abs(turn) < 30.0 and ground_distance(eye, centre) > 0.6 * near else {}
        yield from press({"camera": (0.0, max(-15.0, min(15.0, turn))), **forward})
    if cell is None:
        scene.abort("nothing near changed by itself during the context")
    centre, size = cell_box(cell)
    if not box_in_view(scene.truth, centre, size):
        scene.abort("the place that changes was not in view during the context")
    yield from wait(max(0, scene.context - 1 - scene.t))
    scene.focus["cell"] = list(cell)
    scene.focus["initial"] = next(c.before for _, c in scene.changed if c.position == cell)
    yield from look_at(scene, centre)
    here = scene.pose  # as the context saw it: what is judged must be another view
    yield from turn_to(scene, departure_yaw(scene, here.yaw), here.pitch)
    yield from _leave_cell(scene, angle=angle, hold=hold, leave=leave, window=window)
    scene.focus["changes"] = sum(c.position == cell for _, c in scene.changed)


def process_unseen(
    scene: Scene, *, angle: float = 100.0, hold: int = 24, leave: float = 0.0, window: int = 5
) -> Motion:
    """Something is started on the floor in view, and stopped there or not; does it go on, or stand still, unseen?

    The mark `changed` names the frame of the context at which the process is to be started at the focused cell (by a
    balanced branch point, see `worldsim.types.BranchPoint`); the rest of the context shows how it goes on.
    """
    yield from find_floor(scene, linger=False)
    shown = 8  # frames after the start; water takes five steps a cell, so that four of them tell whether it goes on
    if scene.t > scene.context - 1 - shown:
        scene.abort("the floor came into view too late for a process in the context")
    yield from wait(scene.context - 1 - shown - scene.t)
    scene.mark("changed")
    yield from wait(max(0, scene.context - 1 - scene.t))
    eye, centre = scene.pose.eye, cell_box(scene.focus["cell"])[0]
    # In one turn: it must be out of view before it has come to its end, or "went on" and "stood still" were the same.
    yield from turn_to(scene, departure_yaw(scene, yaw_to(eye, centre)), pitch_to(eye, centre))
    yield from _leave_cell(scene, angle=angle, hold=hold, leave=leave, window=window)


def reveal(scene: Scene, *, angle: float = 90.0, window: int = 5) -> Motion:
    """Looks at a free place on the floor, away, and back: what stands there then was said, and never shown.

    The mark `told` names a frame of the context, with the place out of view, at which something is put there (by a
    balanced branch point that tells it, see `worldsim.types.BranchPoint`). The focus gets `spot`: where, on the floor.
    """
    yield from find_floor(scene, linger=False)
    yield from wait(FRAMES_KNOWN - 1)  # that the place is free is seen, too
    centre, size = cell_box(scene.focus["cell"])
    scene.focus["spot"] = [float(centre[0]), float(centre[1]) - 0.5, float(centre[2])]
    side = -1.0 if bearing(scene.truth, centre) > 0 else 1.0
    yield from turn_by(scene, side * angle)
    if box_in_view(scene.truth, centre, size):
        scene.abort("the place cannot be turned out of view")
    if scene.t > scene.context - 2:
        scene.abort("the floor came into view too late for a context that ends elsewhere")
    scene.mark("told")
    yield from wait(scene.context - 1 - scene.t)
    scene.mark("departure")
    yield from look_at(scene, centre)
    scene.mark("return")
    yield from wait(window - 1)


def counterfactual(
    scene: Scene,
    *,
    actions: Mapping[str, Mapping[str, Any]],
    played: str,
    steps: int = 8,
    window: int = 5,
) -> Motion:
    """One start, several actions: the truth plays one of them, the branches the others.

    Args:
        scene: The moment.
        actions: Name -> keys held for `steps` steps; the focus gets them as `actions.<name>`.
        played: The name of the one that the truth plays.
        steps: How long.
        window: Frames afterwards, without action.
    """
    yield from finish_context(scene)
    for name, keys in actions.items():
        whole = trees.stack([scene.keyboard(keys)] * steps + [scene.keyboard({})] * window)
        scene.focus.setdefault("actions", {})[name] = trees.map_leaves(lambda leaf: leaf.tolist(), whole)
    if played not in actions:
        scene.abort(f"the played action {played!r} is not among {sorted(actions)}")
    scene.mark("departure")
    yield from press(actions[played], steps)
    scene.mark("return")
    yield from wait(window)


# ------------------------------------------------------------------------------------------------------------ parts


def _aim_at_floor(scene: Scene) -> Motion:
    """Looks at the middle of the floor below the focused cell."""
    centre, _ = cell_box(scene.focus["cell"])
    yield from look_at(scene, centre - np.array([0.0, 0.5, 0.0]))


def _note_deed(scene: Scene) -> None:
    """What the last step truly placed is the focus from now on (in a sham nothing was)."""
    placed = [c for t, c in scene.changed if t == scene.t and c.after != "air"]
    if placed:
        scene.focus |= {"cell": list(placed[0].position), "block": placed[0].after}
    elif not scene.sham:
        scene.abort("no block was placed where one was meant to be")


def _leave_cell(scene: Scene, *, angle: float, hold: int, leave: float, window: int) -> Motion:
    centre, size = cell_box(scene.focus["cell"])
    yield from leave_and_return(
        scene,
        lambda: not box_in_view(scene.truth, centre, size),
        angle=angle,
        hold=hold,
        leave=leave,
        window=window,
        away_from=bearing(scene.truth, centre),
    )


def _approach(scene: Scene, target: int, reach: float | None = None) -> Motion:
    """Walks up to an instance until it is within reach, around what stands in the way, and looks at it.

    With a `reach` of its own it must be in the middle of the frame from there; else it is gone to from another side.
    """
    position = scene.object(target).position
    eye, near, far = scene.pose.eye, REACH if reach is None else reach, ARM if reach is None else reach + 0.35
    distance = ground_distance(eye, position)
    if distance > near:
        try:
            yield from walk_to(scene, eye + (distance - near) * heading(yaw_to(eye, position)), tolerance=0.3)
        except Aborted:
            if ground_distance(scene.pose.eye, position) > far:
                yield from _go_around(scene, target, near)
    yield from look_at(scene, scene.object(target).position)
    ids = scene.truth.segmentation
    if reach is not None and ids is not None and ids[ids.shape[0] // 2, ids.shape[1] // 2] != target:
        yield from _go_around(scene, target, near)
        yield from look_at(scene, scene.object(target).position)


def _go_around(scene: Scene, target: int, reach: float) -> Motion:
    """Looks all around, then walks the shortest way to where an instance is within reach and in the open."""
    scene.mapping = True
    yield from turn_by(scene, 360.0)
    position = scene.object(target).position
    ground = explore_ground(scene.solid, scene.pose.eye, 12.0, scene.obstacles(besides=target))
    for node in ground.nodes():
        place = ground.place(*node)
        near = -0.6 < ground_distance(place, position) - reach < 0.3
        # Half a metre before its middle is the face of the thing; a wall beside it must not be hit before that.
        if near and not is_blocked(scene.solid, place, position, before=0.55):
            for corner in ground.way(*node):
                yield from walk_to(scene, corner, tolerance=0.2)
            return
    scene.abort("the way is blocked, and no way around is known")


def _beside(scene: Scene, origin: Vector) -> Generator[Press, None, tuple[int, int, int]]:
    """Turns a little until a free cell is in view that stands well aside of a place, and can be seen with it."""
    home, eye = scene.pose, scene.pose.eye
    for turn in (0.0, 15.0, -15.0, 25.0, -25.0):
        yield from turn_to(scene, home.yaw + turn, home.pitch)
        for cell in free_cells(scene.truth, 1.8, 4.0):
            centre, _ = cell_box(cell)
            aside = abs(wrap(yaw_to(eye, centre) - yaw_to(eye, origin)))
            if 20.0 <= aside <= 40.0 and ground_distance(centre, origin) > 1.2:
                return cell
    scene.abort("no free floor beside the thing")


def _base(scene: Scene, target: int) -> list[float]:
    item = scene.object(target)
    return [float(v) for v in item.position - np.array([0.0, item.size[1] / 2, 0.0])]


def _changing_cell(scene: Scene, reach: float = 16.0) -> tuple[int, int, int] | None:
    """The cell near the body that changed first by itself and is not far off its level, or None."""
    eye, floor = scene.pose.eye, scene.pose.floor
    for _, change in scene.changed:
        cell: tuple[int, int, int] = change.position
        if ground_distance(eye, cell_box(cell)[0]) < reach and abs(cell[1] - floor) <= 3:
            return cell
    return None
