"""What changes while nobody looks: objects vanish, move or become others once no pixel of them is in view.

The edit is made in the fault's own copy of the truth after the first frame in which the object has no pixel, and never
changes a frame that shows it: what is in view stays as it was. An object that is hidden when the context ends counts as
hidden from then on. Each object is struck at most once; carried ones and those that the truth holds for a part of the
building (it refuses to remove a door) never.

Limits: "no pixel" is the truth's single-sample count, so that a thing far away may be struck while it stands in the
open, smaller than a pixel; and with supersampled frames its last trace of colour may go with it. A teleported thing
keeps its height: over uneven ground it may stand in the air.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ConfigError, UnsupportedError
from worldsim.faults.base import Fault, Notes
from worldsim.faults.views import camera, draw, level
from worldsim.oracle import World
from worldsim.trees import ArrayTree
from worldsim.truth import MoveObject, ObjectState, RecolourObject, RemoveObject, StopProcess
from worldsim.types import Frames

#: Colours that a swapped object can take; every truth with colours has these.
COLOURS = ("red", "green", "blue", "yellow")


class Unseen(Fault):
    """Strikes objects when they leave the view."""

    random = True

    def _begin(self, world: World, context: Frames, world_seed: int) -> Notes:
        notes: Notes = {"done": []}
        self._look(world, notes)
        return notes

    def _turn(self, world: World, notes: Notes, action: ArrayTree) -> tuple[Frames, float]:
        shown = super()._turn(world, notes, action)
        self._look(world, notes)
        return shown

    def _look(self, world: World, notes: Notes) -> None:
        if world.ended:
            return
        for thing in world.env.truth().objects:
            hidden = thing.exists and thing.visible_px == 0 and not thing.attributes.get("held", False)
            if hidden and thing.id not in notes["done"] and self._strike(world, thing):
                notes["done"] = [*notes["done"], thing.id]

    def _strike(self, world: World, thing: ObjectState) -> bool:
        """Strikes a hidden object; False = not now, try again in the next step."""
        raise NotImplementedError


class Vanish(Unseen):
    """Each object that leaves the view is gone for good with probability `severity`."""

    name = "vanish"
    needs = frozenset({"RemoveObject", "objects"})

    def _strike(self, world: World, thing: ObjectState) -> bool:
        if self._happens(world, thing.id):
            _removed(world, thing)
        return True


class Swap(Unseen):
    """Each object that leaves the view comes back in another colour with probability `severity`."""

    name = "swap"
    needs = frozenset({"RecolourObject", "objects"})

    def _strike(self, world: World, thing: ObjectState) -> bool:
        colour = thing.attributes.get("colour")
        if colour is not None and self._happens(world, thing.id):
            others = [c for c in COLOURS if c != colour]
            chosen = others[int(self._draw(world, "colour", thing.id).integers(len(others)))]
            world.env.edit(RecolourObject(object_id=thing.id, colour=chosen))
        return True


class Teleport(Unseen):
    """Each object that leaves the view stands `severity` metres further on, at the same height.

    The first of eight bearings, from a drawn one on, in which nothing is in the way and the new place is out of view as
    well. Where none is free the object stays; where all free ones are in view it waits. A truth that draws from the
    body's own height only is looked through at that height; what stands lower it refuses to put a thing into.
    """

    name = "teleport"
    limit = 16.0
    needs = frozenset({"RemoveObject", "MoveObject", "objects", "render_from", "snapshot"})

    def _strike(self, world: World, thing: ObjectState) -> bool:
        env, first = world.env, float(self._draw(world, thing.id).uniform(0, 360))
        kept = env.snapshot()
        if not _removed(world, thing):  # else it would stand in its own way
            return True
        base = thing.position - np.array([0.0, thing.size[1] / 2, 0.0])
        room = self.severity + float(max(thing.size[0], thing.size[2])) / 2
        places = []
        for k in range(8):
            pose, depth = _looks(world, thing, first + 45.0 * k)
            if depth is not None and depth[depth.shape[0] // 2, depth.shape[1] // 2] >= room:
                places.append(base + self.severity * pose[:3, 2])
        env.restore(kept)
        for place in places:
            try:
                env.edit(MoveObject(object_id=thing.id, position=(float(place[0]), float(place[1]), float(place[2]))))
            except ConfigError:  # something stands there
                continue
            if np.array_equal(draw(env)[0], world.frame):
                return True
            env.restore(kept)
        return not places


def _removed(world: World, thing: ObjectState) -> bool:
    """Removes a thing; False where the truth refuses: a door belongs to its wall."""
    try:
        world.env.edit(RemoveObject(object_id=thing.id))
    except ConfigError:
        return False
    return True


def _looks(world: World, thing: ObjectState, degrees: float) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
    """A level pose where a thing is, and the depth (H, W) from there; from the eye's height where no other is drawn."""
    pose = level(thing.position, degrees)
    try:
        return pose, draw(world.env, pose)[1].depth
    except UnsupportedError:
        pose[1, 3] = camera(world.env)[1, 3]
        return pose, draw(world.env, pose)[1].depth


class Standstill(Fault):
    """All that goes on by itself stops for good, in a share `severity` of worlds, once the view has turned away.

    Turned away is: by more than the width of the picture from where the camera looked when the context ended. The step
    in which that happens is still the truth's.
    """

    name = "standstill"
    random = True
    needs = frozenset({"StopProcess", "world_from_camera", "intrinsics"})

    def _begin(self, world: World, context: Frames, world_seed: int) -> Notes:
        return {"ahead": camera(world.env)[:3, 2].copy(), "done": not self._happens(world)}

    def _turn(self, world: World, notes: Notes, action: ArrayTree) -> tuple[Frames, float]:
        shown = super()._turn(world, notes, action)
        k = cast("NDArray[np.float64]", world.env.truth().intrinsics)
        width = 2 * math.atan(world.frame.shape[1] / 2 / k[0, 0])
        a, b = notes["ahead"], camera(world.env)[:3, 2]
        turned = abs(math.atan2(a[0] * b[2] - a[2] * b[0], a[0] * b[0] + a[2] * b[2]))
        if not notes["done"] and turned > width:
            world.env.edit(StopProcess(process="all"))
            notes["done"] = True
        return shown
