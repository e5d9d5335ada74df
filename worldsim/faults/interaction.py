"""What becomes of an edit: it is not made, it reverts when nobody looks, it lands in the wrong cell.

Edits are found in the truth's own account of a step: an event "place" or "break" with the `CellChange` at its cell; for
"ignored" and "reverts" also the switching of objects ("open", "close", "toggle"), for "ignored" their picking up.
Cells that nature changed (sand, water, crops) are left alone, and a thing put down out of the arms stays where it is.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldsim.errors import ConfigError
from worldsim.faults.base import Fault, Notes
from worldsim.faults.views import camera, draw
from worldsim.oracle import World
from worldsim.trees import ArrayTree
from worldsim.truth import CellChange, Edit, MoveObject, SetCell, SetObjectState, TruthState
from worldsim.types import Frames

SWITCHED = ("open", "on", "lit")  # attributes that "open", "close" and "toggle" change


def cell_deeds(truth: TruthState) -> list[CellChange]:
    """The cells that the body changed in this step."""
    acted = {e.position for e in truth.events if e.kind in ("place", "break") and e.position is not None}
    return [c for c in truth.cells if tuple(float(v) for v in c.position) in acted]


def undo_objects(truth: TruthState) -> list[Edit]:
    """The edits that take back what the body did to objects in this step."""
    things, out = {o.id: o for o in truth.objects}, list[Edit]()
    for event in truth.events:
        thing = things.get(event.object_id)
        if thing is None:
            continue
        if event.kind in ("open", "close", "toggle"):
            name = next((a for a in SWITCHED if a in thing.attributes), None)
            if name is not None:
                value = not thing.attributes[name]
                out.append(SetObjectState(object_id=thing.id, attribute=name, value=value))
        elif event.kind == "pick_up" and event.position is not None:
            out.append(MoveObject(object_id=thing.id, position=event.position))
    return out


CELLS = frozenset({"SetCell", "cells"})
SWITCHES = frozenset({"SetObjectState", "objects"})


class _EditFault(Fault):
    """Meets every edit of a cell right after it was made; `_n` counts them."""

    random = True
    needs = frozenset({"events", "render_from"})
    any_of: ClassVar[tuple[frozenset[str], ...]] = (CELLS, SWITCHES)

    def _begin(self, world: World, context: Frames, world_seed: int) -> Notes:
        return {"edits": 0}

    def _turn(self, world: World, notes: Notes, action: ArrayTree) -> tuple[Frames, float]:
        shown, reward = super()._turn(world, notes, action)
        truth = world.env.truth()
        changed = False
        for deed in cell_deeds(truth):
            changed |= self._meet(world, notes, deed)
            notes["edits"] += 1
        changed |= self._after(world, notes, truth)
        if changed:
            world.frame = draw(world.env)[0]
            shown = self._picture(world, notes)
        return shown, reward

    def _meet(self, world: World, notes: Notes, deed: CellChange) -> bool:
        """Whether it changed the world."""
        return False

    def _after(self, world: World, notes: Notes, truth: TruthState) -> bool:
        """Whether it changed what is in view."""
        return False


class EditIgnored(_EditFault):
    """Each edit is not made with probability `severity`."""

    name = "edit-ignored"

    def _meet(self, world: World, notes: Notes, deed: CellChange) -> bool:
        if not self._happens(world, notes["edits"]):
            return False
        world.env.edit(SetCell(position=deed.position, kind=deed.before))
        return True

    def _after(self, world: World, notes: Notes, truth: TruthState) -> bool:
        edits = undo_objects(truth)
        if not edits or not self._happens(world, "objects", world.t):
            return False
        for edit in edits:
            world.env.edit(edit)
        return True


class EditReverts(_EditFault):
    """Each edited cell goes back to what it held, with probability `severity`, in the first step that cannot show it.

    So does what was switched: a door, a lever. Unseen is meant exactly: the frame with it set back is, bit for bit, the
    frame without.
    """

    name = "edit-reverts"
    needs = _EditFault.needs | {"snapshot"}

    def _begin(self, world: World, context: Frames, world_seed: int) -> Notes:
        return {"edits": 0, "waiting": [], "switched": []}

    def _meet(self, world: World, notes: Notes, deed: CellChange) -> bool:
        notes["waiting"] = [w for w in notes["waiting"] if tuple(w[0]) != deed.position]
        if self._happens(world, notes["edits"]):
            notes["waiting"].append([list(deed.position), deed.before])
        return False

    def _after(self, world: World, notes: Notes, truth: TruthState) -> bool:
        for edit in undo_objects(truth):
            if isinstance(edit, SetObjectState):
                notes["switched"] = [w for w in notes["switched"] if w[0] != edit.object_id]
                if self._happens(world, "objects", world.t):
                    notes["switched"].append([edit.object_id, edit.attribute, bool(edit.value)])
        notes["waiting"] = [
            [cell, before]
            for cell, before in notes["waiting"]
            if not _unseen(world, SetCell(position=(cell[0], cell[1], cell[2]), kind=before))
        ]
        notes["switched"] = [
            [which, name, value]
            for which, name, value in notes["switched"]
            if not _unseen(world, SetObjectState(object_id=which, attribute=name, value=value))
        ]
        return False


def _unseen(world: World, edit: Edit) -> bool:
    """Makes an edit, and takes it back if the frame shows it."""
    kept = world.env.snapshot()
    world.env.edit(edit)
    if np.array_equal(draw(world.env)[0], world.frame):
        return True
    world.env.restore(kept)
    return False


class EditWrongCell(_EditFault):
    """Each edit lands in a neighbouring cell, with probability `severity`: beside it, never where the body stands."""

    name = "edit-wrong-cell"
    any_of = (CELLS,)

    def _meet(self, world: World, notes: Notes, deed: CellChange) -> bool:
        if not self._happens(world, notes["edits"]):
            return False
        world.env.edit(SetCell(position=deed.position, kind=deed.before))
        x, y, z = deed.position
        eye = camera(world.env)[:3, 3]
        sides = [(x + 1, y, z), (x - 1, y, z), (x, y, z + 1), (x, y, z - 1)]
        turn = int(self._draw(world, "side", notes["edits"]).integers(4))
        for cell in sides[turn:] + sides[:turn]:
            if max(abs(cell[0] + 0.5 - eye[0]), abs(cell[2] + 0.5 - eye[2])) < 1.0:
                continue
            try:
                world.env.edit(SetCell(position=cell, kind=deed.after))
            except ConfigError:  # outside the world
                continue
            break
        return True
