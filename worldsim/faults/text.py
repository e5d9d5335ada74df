"""The words are not followed: what the prompt says comes out as something else."""

from __future__ import annotations

from worldsim.captions import parse
from worldsim.errors import WorldsimError
from worldsim.faults.base import Fault, Notes
from worldsim.faults.unseen import COLOURS
from worldsim.oracle import World
from worldsim.truth import ObjectState, RecolourObject
from worldsim.types import Frames


class PromptSwap(Fault):
    """With probability `severity` a world follows another prompt than its own: one that names another colour.

    Struck is the newest object out of view of which the prompt tells kind and colour; where there is none, nothing is.
    """

    name = "prompt-swap"
    strikes = "prompts that tell the colour of a thing out of view"
    random = True
    needs = frozenset({"RecolourObject", "objects"})

    def _begin(self, world: World, context: Frames, world_seed: int) -> Notes:
        thing = _named(world, self._prompt)
        if thing is not None and self._happens(world):
            others = [c for c in COLOURS if c != thing.attributes.get("colour")]
            chosen = others[int(self._draw(world, "colour").integers(len(others)))]
            world.env.edit(RecolourObject(object_id=thing.id, colour=chosen))
        return {}


def _named(world: World, prompt: str) -> ObjectState | None:
    """The newest object out of view that a prompt is about, or None."""
    try:
        told = parse(prompt).things
    except WorldsimError:
        return None  # not the grammar's words: nothing can be swapped
    fitting = [
        o
        for o in world.env.truth().objects
        if o.exists
        and o.visible_px == 0
        and any(t.kind in o.kind and t.colour and t.colour == o.attributes.get("colour") for t in told)
    ]
    return max(fitting, key=lambda o: o.id, default=None)
