"""MiniGrid: a world of cells seen from above, with doors, keys, boxes and balls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.gymnasium_adapter.backend import Backend
from worldsim.truth import ObjectState

THINGS = frozenset({"door", "key", "ball", "box", "goal"})  # walls, floor and lava are the static world
AGENT = 1


class MiniGridBackend(Backend):
    """Instances and their ids. World axes: x along the rows, z down the columns, y towards the viewer; a cell is 1 m.

    The view is a map, not a pinhole camera, so no pose is told.
    """

    family: ClassVar[str] = "minigrid"
    fields: ClassVar[frozenset[str]] = frozenset({"segmentation", "objects"})
    alone: ClassVar[bool] = False  # drawn with numpy
    has_picture: ClassVar[bool] = False  # its observations are encodings of cells

    @property
    def action_names(self) -> tuple[str, ...]:
        """left, right, forward, pickup, drop, toggle, done."""
        return tuple(a.name for a in self.core.actions)

    @property
    def mission(self) -> str:
        """What the agent is told to do."""
        return str(self.core.mission)

    def begin(self) -> None:
        """Numbers the instances in the order of the cells, what is in a box after the box."""
        self._things = [thing for thing, _ in self._scan()]
        for number, thing in enumerate(self._things):
            thing.worldsim_id = AGENT + 1 + number  # on the thing itself, so that a deep copy keeps it
        self.core.worldsim_things = self._things

    def facts(self) -> dict[str, Any]:
        """Ids a pixel and all instances, the agent first."""
        core = self.core
        places = {thing.worldsim_id: cell for thing, cell in self._scan() if hasattr(thing, "worldsim_id")}
        ids = self._ids(places)
        seen = np.bincount(ids.ravel(), minlength=AGENT + 1 + len(core.worldsim_things))
        agent = ObjectState(
            id=AGENT,
            kind="agent",
            position=_centre(core.agent_pos),
            size=np.ones(3),
            visible_px=int(seen[AGENT]),
            attributes={"direction": ("right", "down", "left", "up")[int(core.agent_dir)]},
        )
        things = tuple(
            self._thing(t, places.get(t.worldsim_id), int(seen[t.worldsim_id])) for t in core.worldsim_things
        )
        return {"segmentation": ids, "objects": (agent, *things)}

    def _thing(self, thing: Any, cell: Any, seen: int) -> ObjectState:
        held = thing is self.core.carrying
        told = {"colour": str(thing.color), "held": held}
        if thing.type == "door":
            told |= {"open": bool(thing.is_open), "locked": bool(thing.is_locked)}
        return ObjectState(
            id=thing.worldsim_id,
            kind=str(thing.type),
            position=_centre(self.core.agent_pos if held or cell is None else cell),
            size=np.ones(3),
            exists=held or cell is not None,
            visible_px=seen,
            attributes=told,
        )

    def _scan(self) -> Iterator[tuple[Any, tuple[int, int]]]:
        grid = self.core.grid
        for y in range(grid.height):
            for x in range(grid.width):
                thing = grid.get(x, y)
                if thing is not None and thing.type in THINGS:
                    yield thing, (x, y)
                    inside = getattr(thing, "contains", None)
                    if inside is not None and inside.type in THINGS:
                        yield inside, (x, y)

    def _ids(self, places: dict[int, tuple[int, int]]) -> NDArray[np.int32]:
        grid, (h, w) = self.core.grid, self.size
        cells = np.zeros((grid.height, grid.width), np.int32)
        for number, (x, y) in sorted(places.items(), reverse=True):  # a box hides what is in it
            cells[y, x] = number
        x, y = self.core.agent_pos
        cells[y, x] = AGENT
        rows = ((np.arange(h) + 0.5) * grid.height / h).astype(int)
        columns = ((np.arange(w) + 0.5) * grid.width / w).astype(int)
        return cells[np.ix_(rows, columns)]


def _centre(cell: Any) -> NDArray[np.float64]:
    return np.array([float(cell[0]) + 0.5, 0.5, float(cell[1]) + 0.5])
