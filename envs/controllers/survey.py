"""What a probe does during the context: it makes its facts knowable, and chooses what it will ask about."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from worldsim.envs.controllers.motions import MAX_TURN, press, turn_to, wait
from worldsim.envs.controllers.pose import bearing, ground_distance, half_view, pitch_to, wrap, yaw_to
from worldsim.envs.controllers.scene import Motion, Press, Scene
from worldsim.envs.controllers.sight import cell_box, clearance, free_cells, is_free, is_open_floor, on_floor, seen
from worldsim.truth import ObjectState

FRAMES_KNOWN = 3  # a fact is scored only if it was visible in that many context frames
_STEPS_A_WAY = 3  # that `_make_room` takes in one direction before it tries the next
FREEZE_PROOF = 10.5  # degrees between the judged pose and each pose of the context: a frozen frame must not pass


def finish_context(scene: Scene, glance: float = 4.0) -> Motion:
    """Uses what is left of the context for small glances `glance` degrees aside and back."""
    home = scene.pose
    while scene.context - 1 - scene.t >= 2:
        yield from turn_to(scene, home.yaw + glance, home.pitch)
        yield from turn_to(scene, home.yaw, home.pitch)
    yield from wait(max(0, scene.context - 1 - scene.t))


def find_object(
    scene: Scene,
    kinds: Sequence[str] = (),
    near: float = 1.5,
    far: float = 9.0,
    change: bool = False,
    look_down: bool = False,
) -> Motion:
    """Turns until an instance is well in view and stays for the rest of the context; its id goes into the focus.

    Args:
        scene: The moment.
        kinds: Parts of the names of the kinds that will do; none = any.
        near: Metres.
        far: Metres; at 64x64 a chest is recognisable up to about 8 m.
        change: Names the frame `changed`, after three that show the instance and before three more of the context:
            what is made of it there, in view, can be known.
        look_down: Before that it looks down at the instance, so that the floor around it is in view as well, to which
            it could be moved: for rooms in which things are near.

    Raises:
        Aborted: If none is visible in three frames of the context.
    """
    candidates = _candidates(scene, kinds, near, far)
    if not candidates:
        scene.abort(f"no {' or '.join(kinds) or 'instance'} between {near:g} and {far:g} m")
    target = yield from _bring_into_view(scene, kinds, near, far)
    scene.focus |= {"object_id": target.id, "kind": target.kind}
    if change:
        if look_down:
            yield from turn_to(scene, scene.pose.yaw, _pitch_onto(scene, target))
            target = yield from _make_room(scene, target, kinds, near, far)
            scene.focus |= {"object_id": target.id, "kind": target.kind}
        yield from _announce_change(scene, target, careful=look_down)
        return
    side = 1.0 if bearing(scene.truth, target.position) >= 0 else -1.0
    yield from finish_context(scene, glance=-4.0 * side)
    if scene.seen.get(target.id, 0) < min(FRAMES_KNOWN, scene.context):
        scene.abort("the instance was visible in fewer than three frames of the context")


def _bring_into_view(
    scene: Scene, kinds: Sequence[str], near: float, far: float
) -> Generator[Press, None, ObjectState]:
    """Turns to the nearest candidate and walks up to it, around what it stands behind, until one is well in view."""
    edge = half_view(scene.truth) - 12.0
    chosen: int | None = None
    hidden: set[int] = set()
    while True:
        candidates = _candidates(scene, kinds, near, far)
        target = next((o for o in candidates if _well_in_view(scene, o, edge)), None)
        if target is not None:
            return target
        if scene.t > scene.context - FRAMES_KNOWN:
            scene.abort("no instance came into view during the context")
        if not candidates:
            scene.abort("no instance is near enough to be recognised during the context")
        # What should be in view and is not stands behind something; what is small is far.
        behind = {o.id for o in candidates if not o.visible_px and abs(bearing(scene.truth, o.position)) <= edge}
        hidden |= behind & {chosen}
        if chosen in hidden or chosen not in {o.id for o in candidates}:
            open_ones = [o.id for o in candidates if o.id not in behind | hidden]  # the nearest direction first
            chosen = open_ones[0] if open_ones else None
        if chosen is None:
            yield from _walk_around(scene, candidates[0])
            hidden.clear()
            continue
        item, eye = next(o for o in candidates if o.id == chosen), scene.pose.eye
        turn = bearing(scene.truth, item.position)
        nearer = {"forward": 1} if abs(turn) <= edge else {}
        yield from press({"camera": (0.0, float(np.clip(turn, -MAX_TURN, MAX_TURN))), **nearer})
        if nearer and scene.t > 2 and ground_distance(eye, scene.pose.eye) < 0.02:
            yield from _walk_around(scene, item)


def _walk_around(scene: Scene, item: ObjectState, steps: int = 8) -> Motion:
    """Walks a few steps aside of an instance that something stands before, to where the way is clearer."""
    way, before = bearing(scene.truth, item.position), scene.pixels(item.id)
    side = max((60.0, -60.0), key=lambda turn: min(4.0, clearance(scene.truth, way + turn)))
    for _ in range(steps):
        if scene.pixels(item.id) > before or scene.t > scene.context - FRAMES_KNOWN:
            return
        turn = wrap(bearing(scene.truth, item.position) + side)
        yield from press({"camera": (0.0, float(np.clip(turn, -MAX_TURN, MAX_TURN))), "forward": 1, "jump": 1})


def _make_room(
    scene: Scene, target: ObjectState, kinds: Sequence[str], near: float, far: float
) -> Generator[Press, None, ObjectState]:
    """Steps back from an instance, or aside, until there is floor in view to which it, or another, could be moved."""
    ways = ["back", "left", "right"] if target.visible_px >= 2 * scene.min_px else ["forward", "left", "right"]
    edge, tried = half_view(scene.truth) - 12.0, 0
    while True:
        others = [o for o in _candidates(scene, kinds, near, far) if o.id != target.id]
        for item in (scene.object(target.id), *(o for o in others if _well_in_view(scene, o, edge))):
            late = scene.t + max(0, FRAMES_KNOWN - scene.seen.get(item.id, 0)) > scene.context - 1 - FRAMES_KNOWN
            if _well_in_view(scene, item, 180.0) and not late and _other_place(scene, item, careful=True) is not None:
                return item
        if scene.t >= scene.context - 1 - FRAMES_KNOWN:
            return scene.object(target.id)
        item, before = scene.object(target.id), scene.pose.eye
        turns = _pitch_onto(scene, item) - scene.pose.pitch, bearing(scene.truth, item.position)
        yield from press({ways[0]: 1, "camera": tuple(float(np.clip(v, -MAX_TURN, MAX_TURN)) for v in turns)})
        tried += 1
        if tried == _STEPS_A_WAY or ground_distance(before, scene.pose.eye) < 0.02:
            ways, tried = [*ways[1:], ways[0]], 0


def _announce_change(scene: Scene, target: ObjectState, *, careful: bool) -> Motion:
    yield from wait(max(0, FRAMES_KNOWN - scene.seen.get(target.id, 0)))
    if scene.seen.get(target.id, 0) < FRAMES_KNOWN:
        scene.abort("the instance was visible in fewer than three frames of the context")
    if scene.t > scene.context - 1 - FRAMES_KNOWN:
        scene.abort("the instance came into view too late for a change in the context")
    spot = _other_place(scene, scene.object(target.id), careful=careful)
    if spot is not None:
        scene.focus["moved_to"] = spot
    scene.mark("changed")
    yield from wait(max(0, scene.context - 1 - scene.t))  # no glances: the change itself stays in view


def departure_yaw(scene: Scene, yaw: float) -> float:
    """The yaw nearest to `yaw` (that which faces the target) that lies outside the context's poses, degrees."""
    here = scene.pose
    standing = [p for p in scene.poses if ground_distance(p.eye, here.eye) <= 0.5]
    for aside in (0.0, 4.0, 8.0, 12.0, 14.0, 16.0, 18.0, 20.0):
        options = [yaw + aside, yaw - aside]
        fair = [y for y in options if all(abs(wrap(y - p.yaw)) > FREEZE_PROOF for p in standing)]
        if fair:
            return min(fair, key=lambda y: abs(wrap(y - here.yaw)))
    return yaw + 20.0 if abs(wrap(yaw + 20.0 - here.yaw)) > abs(wrap(yaw - 20.0 - here.yaw)) else yaw - 20.0


def face_target(scene: Scene, target: ObjectState) -> Motion:
    """Turns to the departure pose of a probe about an instance, and notes where else it could stand."""
    eye = scene.pose.eye
    yield from turn_to(scene, departure_yaw(scene, yaw_to(eye, target.position)), _pitch_onto(scene, target))
    if "moved_to" in scene.focus:
        return
    spot = _other_place(scene, target)
    if spot is not None:
        scene.focus["moved_to"] = spot


def _pitch_onto(scene: Scene, target: ObjectState) -> float:
    return min(20.0, max(-10.0, pitch_to(scene.pose.eye, target.position)))


def find_floor(scene: Scene, near: float = 2.4, far: float = 4.2, *, linger: bool = True) -> Motion:
    """Looks for a free cell on the floor with a free neighbour, both in view; the focus gets `cell` and `neighbour`.

    `linger` stays for the rest of the context.

    Raises:
        Aborted: If none comes into view during the context.
    """
    for _ in range(max(1, scene.context - FRAMES_KNOWN)):
        for x, y, z in free_cells(scene.truth, near, far):
            around = [(x + 1, y, z), (x - 1, y, z), (x, y, z + 1), (x, y, z - 1)]
            beside = [c for c in around if is_free(scene.truth, c)]
            if beside:
                # The neighbour farthest to the side: the two cells then differ most in the picture.
                side = max(beside, key=lambda c: abs(bearing(scene.truth, cell_box(c)[0])))
                scene.focus |= {"cell": [x, y, z], "neighbour": list(side)}
                if linger:
                    yield from finish_context(scene)
                return
        yield from press({"camera": (0.0, MAX_TURN)})
    scene.abort("no free floor came into view during the context")


def _candidates(scene: Scene, kinds: Sequence[str], near: float, far: float) -> list[ObjectState]:
    eye = scene.pose.eye
    fitting = [
        o
        for o in scene.truth.objects
        if o.exists
        and near <= ground_distance(eye, o.position) <= far
        and _apparent_px(scene, o, 0.2 * max(0, scene.context - 4 - scene.t)) >= scene.min_px
        and (not kinds or any(kind in o.kind for kind in kinds))
    ]
    # Large enough and within the turns that are left before all others, then the nearest direction.
    turns = MAX_TURN * max(0, scene.context - FRAMES_KNOWN - scene.t) + half_view(scene.truth) - 12.0

    def order(item: ObjectState) -> tuple[bool, float, int]:
        aside = abs(bearing(scene.truth, item.position))
        return (aside > turns or _apparent_px(scene, item) < 2 * scene.min_px, aside, item.id)

    return sorted(fitting, key=order)


def _apparent_px(scene: Scene, item: ObjectState, approach: float = 0.0) -> float:
    """About how many pixels an instance has, seen from a corner and in the open, `approach` metres nearer than now."""
    k = scene.truth.intrinsics
    if k is None:
        return np.inf
    distance = max(1.0, ground_distance(scene.pose.eye, item.position) - approach)
    return float(1.4 * k[0, 0] * k[1, 1] * max(item.size[0], item.size[2]) * item.size[1] / distance**2)


def _well_in_view(scene: Scene, item: ObjectState, edge: float) -> bool:
    # A margin of a quarter: at the departure it stands at the side of the frame and may lose a few pixels.
    return item.visible_px >= 1.25 * scene.min_px and abs(bearing(scene.truth, item.position)) <= edge


def _other_place(scene: Scene, target: ObjectState, *, careful: bool = False) -> list[float] | None:
    """A place on the same floor 1 to 2.8 m from the instance where it could be seen as well, or None.

    `careful` looks in three times as many directions, and wants the floor around it seen so far that no wall can stand
    in it: for worlds that refuse a place in a wall.
    """
    base = target.position - np.array([0.0, target.size[1] / 2, 0.0])
    eye = scene.pose.eye
    view = departure_yaw(scene, yaw_to(eye, target.position))  # from where it will be looked at, before and after
    edge = half_view(scene.truth) - 12.0
    places = []
    for distance in (1.5, 2.0, 1.2, 2.4, 1.0, 2.8):
        for angle in np.arange(0.0, 2 * np.pi, np.pi / (12 if careful else 4)):
            place = base + distance * np.array([np.cos(angle), 0.0, np.sin(angle)])
            away, wanted = ground_distance(eye, place), 1.1 * scene.min_px
            if away < 1.0 or abs(wrap(yaw_to(eye, place) - view)) > edge:
                continue  # too near the body, or at the side of the frame
            if target.visible_px * (ground_distance(eye, target.position) / away) ** 2 < wanted:
                continue  # too small there
            near = [o for o in scene.truth.objects if o.exists and o.id != target.id]
            if any(ground_distance(place, o.position) < 1.0 for o in near):
                continue
            half = target.size[0] / 2
            floor = place + np.array([[dx, 0.0, dz] for dx in (-half, 0, half) for dz in (-half, 0, half)])
            body = place + np.array([[0.0, target.size[1] * f, 0.0] for f in (0.3, 0.6, 0.95)])
            if not (on_floor(scene.truth, floor).all() and seen(scene.truth, body).all()):
                continue
            if not careful or is_open_floor(scene.truth, place, half):
                aside = abs(bearing(scene.truth, place) - bearing(scene.truth, target.position))
                places.append((-aside, [float(v) for v in place]))
        if places:  # as far aside as the first distance that works allows
            return min(places)[1]
    return None
