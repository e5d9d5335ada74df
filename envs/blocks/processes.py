"""What goes on by itself, seen or not: crops grow, sand falls, water spreads.

Every cell that will change has an entry in a queue with the step at which it is due, so that a step costs only what
happens in it, in the whole world. Changing a cell wakes its neighbours, as in Minecraft. All compiled code of this file
calls only itself, because numba's cache on disk does not notice when a function of another file has changed.

Simplifications against Minecraft: water has no levels and never dries up, a spring reaches four cells on level ground;
sand moves a cell every two steps (10 m/s), water one every five; crops need no light and take 120 steps a stage on
average, so that probes of a few seconds see them grow.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from worldsim.envs.blocks.jit import njit
from worldsim.envs.blocks.kinds import CROPS, FALLS, KINDS, LIQUID, OPAQUE, REPLACEABLE, SOLID
from worldsim.envs.blocks.physics import SEED, STOPPED, TICK

QUEUE_ROOM: Final = 4096
LOG_ROOM: Final = 512

#: (128,) uint8 bits by kind: how a cell behaves. Passed to the kernels as an argument.
_FALLS, _LIQUID, _OPAQUE, _YIELDS, _SOLID, _CROP, _RIPE, _PLANT = 1, 2, 4, 8, 16, 32, 64, 128
NATURE: Final = (
    _FALLS * FALLS.astype(np.uint8)
    + _LIQUID * LIQUID.astype(np.uint8)
    + _OPAQUE * OPAQUE.astype(np.uint8)
    + _YIELDS * REPLACEABLE.astype(np.uint8)
    + _SOLID * SOLID.astype(np.uint8)
).astype(np.uint8)
for _kind in KINDS:
    NATURE[_kind.id] |= _PLANT if _kind.shape == "cross" else 0
for _crop in CROPS:
    NATURE[_crop] |= _CROP
NATURE[CROPS[-1]] |= _RIPE
NATURE.setflags(write=False)


@njit(cache=True, nogil=True)
def _growth(seed: int, tick: int, place: int, mean: float) -> int:
    """Steps until a crop's next stage: geometric, a hash of the arguments (splitmix64)."""
    h = np.uint64(seed)
    for part in (tick, place):
        h = (h ^ np.uint64(part)) + np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = h ^ (h >> np.uint64(31))
    u = (float(h >> np.uint64(11)) + 0.5) / 9007199254740992.0
    return 1 + int(math.log(u) / math.log(1.0 - 1.0 / mean))


@njit(cache=True, nogil=True)
def _push(queue: Any, counts: Any, x: int, y: int, z: int, due: int, reach: int) -> None:
    n = counts[0]
    for i in range(n):
        if queue[i, 0] == x and queue[i, 1] == y and queue[i, 2] == z:
            queue[i, 3] = min(queue[i, 3], due)
            queue[i, 4] = max(queue[i, 4], reach)
            return
    if n < queue.shape[0]:
        queue[n, 0], queue[n, 1], queue[n, 2], queue[n, 3], queue[n, 4] = x, y, z, due, reach
        counts[0] = n + 1


@njit(cache=True, nogil=True)
def _wake(cells: Any, nature: Any, queue: Any, counts: Any, flags: Any, x: int, y: int, z: int, reach: int) -> None:
    """Enters a cell into the queue if it is of a kind that changes by itself."""
    if x < 0 or y < 0 or z < 0 or x >= cells.shape[0] or z >= cells.shape[1] or y >= cells.shape[2]:
        return
    what, tick = nature[cells[x, z, y]], flags[TICK]
    if what & 1:
        _push(queue, counts, x, y, z, tick + 2, 0)
    elif what & 2:
        _push(queue, counts, x, y, z, tick + 5, reach)
    elif what & 32 and not what & 64:
        at = (x * cells.shape[1] + z) * cells.shape[2] + y
        _push(queue, counts, x, y, z, tick + _growth(flags[SEED], tick, at, 120.0), 0)


@njit(cache=True, nogil=True)
def set_cell(
    cells: Any,
    tops: Any,
    nature: Any,
    queue: Any,
    counts: Any,
    log: Any,
    flags: Any,
    x: int,
    y: int,
    z: int,
    kind: int,
    reach: int,
) -> None:
    """Changes a cell, notes it in the log, and wakes the cell and its neighbours.

    Args:
        cells: (X, Z, Y) uint8 kinds.
        tops: (X, Z) uint8, one above the highest opaque cell.
        nature: `NATURE`.
        queue: (QUEUE_ROOM, 5) int32 rows x y z due reach, of which counts[0] are in use.
        counts: (2,) int64: rows in use of the queue and of the log.
        log: (LOG_ROOM, 5) int32 rows x y z before after, of which counts[1] are in use.
        flags: See `physics`.
        x: The cell, with y and z.
        y: See x.
        z: See x.
        kind: What it is from now on.
        reach: Cells that water flows on from here.
    """
    before = cells[x, z, y]
    if before == kind:
        return
    cells[x, z, y] = kind
    if counts[1] < log.shape[0]:
        n = counts[1]
        log[n, 0], log[n, 1], log[n, 2], log[n, 3], log[n, 4] = x, y, z, before, kind
        counts[1] = n + 1
    if nature[kind] & 4:
        tops[x, z] = max(int(tops[x, z]), y + 1)
    elif tops[x, z] == y + 1:
        top = y
        while top > 0 and not nature[cells[x, z, top - 1]] & 4:
            top -= 1
        tops[x, z] = top
    _wake(cells, nature, queue, counts, flags, x, y, z, reach)
    for dx, dy, dz in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)):
        i, j, k = x + dx, y + dy, z + dz
        if i < 0 or j < 0 or k < 0 or i >= cells.shape[0] or k >= cells.shape[1] or j >= cells.shape[2]:
            continue
        what = nature[cells[i, k, j]]
        if what & 1 or (what & 2 and kind != cells[i, k, j]):
            _wake(cells, nature, queue, counts, flags, i, j, k, 3)
        elif dy == 1 and what & 128 and not nature[kind] & 16:
            _push(queue, counts, i, j, k, flags[TICK] + 1, 0)  # a plant without ground


@njit(cache=True, nogil=True)
def run_processes(cells: Any, tops: Any, nature: Any, queue: Any, counts: Any, log: Any, flags: Any) -> None:
    """Does what is due in this step. Arguments as for `set_cell`."""
    tick, stopped = flags[TICK], flags[STOPPED]
    due = 0
    for i in range(counts[0]):
        if queue[i, 3] <= tick:
            due += 1
    while due > 0:
        due -= 1
        i = 0
        while queue[i, 3] > tick:
            i += 1
        x, y, z, reach = queue[i, 0], queue[i, 1], queue[i, 2], queue[i, 4]
        for j in range(i, counts[0] - 1):  # the order of the queue is the order of events: keep it
            queue[j] = queue[j + 1]
        counts[0] -= 1
        if reach < 0:  # a spring opens
            if not stopped & 4:
                set_cell(cells, tops, nature, queue, counts, log, flags, x, y, z, -reach, 4)
            continue
        kind = cells[x, z, y]
        what = nature[kind]
        below = nature[cells[x, z, y - 1]] if y > 0 else 16
        if what & 1:
            if not stopped & 2 and below & 8:
                set_cell(cells, tops, nature, queue, counts, log, flags, x, y, z, 0, 0)
                set_cell(cells, tops, nature, queue, counts, log, flags, x, y - 1, z, kind, 0)
        elif what & 2:
            if not stopped & 4:
                _spread(cells, tops, nature, queue, counts, log, flags, x, y, z, kind, reach, below)
        elif what & 128 and not below & 16:
            set_cell(cells, tops, nature, queue, counts, log, flags, x, y, z, 0, 0)
        elif what & 32 and not what & 64 and not stopped & 1:
            set_cell(cells, tops, nature, queue, counts, log, flags, x, y, z, kind + 1, 0)


@njit(cache=True, nogil=True)
def _spread(
    cells: Any,
    tops: Any,
    nature: Any,
    queue: Any,
    counts: Any,
    log: Any,
    flags: Any,
    x: int,
    y: int,
    z: int,
    kind: int,
    reach: int,
    below: int,
) -> None:
    """Water falls if it can, else it flows to the sides."""
    if below & 8 and not below & 2:
        set_cell(cells, tops, nature, queue, counts, log, flags, x, y - 1, z, kind, 4)
    elif below & 16 and reach > 0:
        for dx, dz in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            i, k = x + dx, z + dz
            if i < 0 or k < 0 or i >= cells.shape[0] or k >= cells.shape[1]:
                continue
            what = nature[cells[i, k, y]]
            if what & 8 and not what & 2:
                set_cell(cells, tops, nature, queue, counts, log, flags, i, y, k, kind, reach - 1)


@njit(cache=True, nogil=True)
def plant_all(cells: Any, nature: Any, queue: Any, counts: Any, flags: Any) -> None:
    """Draws the next stage of every crop from now on: at the start, and when another future begins."""
    kept = 0
    for i in range(counts[0]):
        if not nature[cells[queue[i, 0], queue[i, 2], queue[i, 1]]] & 32:
            queue[kept] = queue[i]
            kept += 1
    counts[0] = kept
    for x in range(cells.shape[0]):
        for z in range(cells.shape[1]):
            for y in range(cells.shape[2]):
                if nature[cells[x, z, y]] & 32:
                    _wake(cells, nature, queue, counts, flags, x, y, z, 0)
