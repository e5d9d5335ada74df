"""Simulators that cheat: each games one metric, and must not beat the floor of the metric that should catch it.

`severity` is the share of worlds in which the model cheats (in the others it is the oracle), but for `fade-to-mean`,
where it is the speed. Share 1 is the cheat itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.faults.base import Fault, Notes
from worldsim.faults.keys import is_nothing, with_use, without_camera
from worldsim.faults.picture import to_bytes
from worldsim.faults.views import draw
from worldsim.nulls import context_mean, null_frame
from worldsim.oracle import World
from worldsim.protocols import TruthEnv
from worldsim.trees import ArrayTree
from worldsim.truth import AddObject, Edit, MoveObject, ObjectState, RecolourObject, ReplaceObject
from worldsim.types import Frames

REACH = 5.0  # metres of an arm
DEEDS = ("place", "break", "open", "close", "toggle")  # events


class Cheat(Fault):
    """Cheats in the share `severity` of all worlds."""

    random = True

    def _begin(self, world: World, context: Frames, world_seed: int) -> Notes:
        on = self._happens(world)
        return {"on": on} | (self._prepare(world, context, world_seed) if on else {})

    def _prepare(self, world: World, context: Frames, world_seed: int) -> Notes:
        return {}


class Freeze(Cheat):
    """The last context frame for ever."""

    name = "freeze"

    def _prepare(self, world: World, context: Frames, world_seed: int) -> Notes:
        return {"frame": context[-1].copy()}

    def _picture(self, world: World, notes: Notes) -> Frames:
        return notes["frame"].copy() if notes["on"] else world.frame


class ReplayContext(Cheat):
    """The context's frames, back and forth."""

    name = "replay-context"

    def _prepare(self, world: World, context: Frames, world_seed: int) -> Notes:
        return {"context": context.copy()}

    def _picture(self, world: World, notes: Notes) -> Frames:
        if not notes["on"]:
            return world.frame
        return null_frame("copy-context", notes["context"], max(world.t, 1), seed=world.seed).copy()


class PanByItself(Cheat):
    """The last context frame slides by a fortieth of its width a step, round and round: motion without a cause."""

    name = "pan-by-itself"

    def _prepare(self, world: World, context: Frames, world_seed: int) -> Notes:
        return {"frame": context[-1].copy()}

    def _picture(self, world: World, notes: Notes) -> Frames:
        if not notes["on"]:
            return world.frame
        return np.roll(notes["frame"], -max(1, world.frame.shape[1] // 40) * world.t, axis=1)


class IgnoreCamera(Cheat):
    """Turns have no effect; everything else has."""

    name = "ignore-camera"

    def _act(self, world: World, notes: Notes, action: ArrayTree) -> ArrayTree:
        return without_camera(world.env.action_space, action) if notes["on"] else action


class FadeToMean(Fault):
    """The picture goes over into the mean of the context: by the share `severity` of what is left at every step."""

    name = "fade-to-mean"

    def _begin(self, world: World, context: Frames, world_seed: int) -> Notes:
        return {"mean": context_mean(context)}

    def _picture(self, world: World, notes: Notes) -> Frames:
        left = math.pow(1.0 - self.severity, world.t)
        return to_bytes(left * world.frame + (1.0 - left) * notes["mean"])


class AlwaysTheEdit(Cheat):
    """Shows a deed of the body whether or not there was one: presses `use` in the first pause with something in reach.

    A pause is a no-op. Once the body has acted, nothing is added. In the sham twin of a block that is placed, the pause
    is where the placing would be. A breaking it does not fake.
    """

    name = "always-the-edit"
    needs = frozenset({"events", "depth"})

    def _prepare(self, world: World, context: Frames, world_seed: int) -> Notes:
        return {"acted": False}

    def _act(self, world: World, notes: Notes, action: ArrayTree) -> ArrayTree:
        if not notes["on"] or notes["acted"]:
            return action
        depth, space = world.env.truth().depth, world.env.action_space
        near = depth is not None and depth[depth.shape[0] // 2, depth.shape[1] // 2] <= REACH
        if near and is_nothing(space, action):
            return with_use(space, action)
        return action

    def _turn(self, world: World, notes: Notes, action: ArrayTree) -> tuple[Frames, float]:
        shown = super()._turn(world, notes, action)
        if notes["on"] and any(e.kind in DEEDS for e in world.env.truth().events):
            notes["acted"] = True
        return shown


class AlwaysTheObject(Cheat):
    """Shows every object as it stood when the world was made, though it was removed, moved, altered or carried off.

    Creatures (objects with "health") are left alone. Nothing but the picture changes.
    """

    name = "always-the-object"
    strikes = "objects that are no creatures"
    needs = frozenset({"snapshot", "render_from", "MoveObject", "objects"})

    def _prepare(self, world: World, context: Frames, world_seed: int) -> Notes:
        first = cast("Callable[[], TruthEnv]", self._make)()
        try:
            first.reset(seed=world_seed)
            things = [o for o in first.truth().objects if o.exists and "health" not in o.attributes]
        finally:
            first.close()
        return {"things": {str(o.id): _plain(o) for o in things}}

    def _picture(self, world: World, notes: Notes) -> Frames:
        if not notes["on"] or not notes["things"]:
            return world.frame
        env = world.env
        now = {o.id: o for o in env.truth().objects}
        edits = [e for key, was in notes["things"].items() for e in _put_back(int(key), was, now.get(int(key)))]
        if not edits:
            return world.frame
        kept = env.snapshot()
        for edit in edits:
            _try(env, edit)
        lacking = [
            (key, was)
            for key, was in notes["things"].items()
            if not any(o.id == int(key) and o.exists for o in env.truth().objects)
        ]
        for _, was in lacking:  # where moving does not bring back what was removed
            _try(env, AddObject(kind=was["kind"], position=_triple(was["base"])))
        shown = draw(env)[0]
        env.restore(kept)
        return shown


def _plain(thing: ObjectState) -> Notes:
    base = thing.position - np.array([0.0, thing.size[1] / 2, 0.0])
    return {"base": base, "kind": thing.kind, "colour": str(thing.attributes.get("colour", ""))}


def _put_back(object_id: int, was: Notes, now: ObjectState | None) -> list[Edit]:
    """The edits that make an instance what it was; none if it is."""
    if now is None:
        return []
    out: list[Edit] = []
    base = now.position - np.array([0.0, now.size[1] / 2, 0.0])
    gone = not now.exists or bool(now.attributes.get("held", False))
    if now.kind != was["kind"]:
        out.append(ReplaceObject(object_id=object_id, kind=was["kind"]))
    elif was["colour"] and now.attributes.get("colour") != was["colour"]:
        out.append(RecolourObject(object_id=object_id, colour=was["colour"]))
    if gone or not np.allclose(base, was["base"], atol=1e-6):
        out.append(MoveObject(object_id=object_id, position=_triple(was["base"])))
    return out


def _try(env: TruthEnv, edit: Edit) -> None:
    """Makes an edit where the truth can: what it cannot put back stays away."""
    if type(edit).__name__ not in env.abilities.edit:
        return
    try:
        env.edit(edit)
    except WorldsimError:
        return


def _triple(values: object) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in np.asarray(values))
    return x, y, z
