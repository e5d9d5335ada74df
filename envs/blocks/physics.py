"""How bodies move: gravity, walls, swimming, creatures, things that settle, and what a ray from the eye meets.

Twenty steps a second; velocities are metres a step. A move is clipped against everything solid, one axis at a time, so
that no speed passes through a wall. All compiled code of this file calls only itself, because numba's cache on disk
does not notice when a function of another file has changed.

The compiled functions share these arrays (see `state.World`): `cells` (X, Z, Y) uint8; `solid`, `liquid` (128,) bool by
kind; `place` (N, 3) and `rel` (N, 6) float64, base centres of the objects and their boxes relative to them, metres;
`table` (N, COLUMNS) int64; `body` (8,) float64 x y z (feet) vx vy vz yaw pitch; `flags` (FLAGS,) int64.
"""

# ruff: noqa: RUF046 - in compiled code floor and round give floats

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.jit import njit

# Columns of the table of objects.
KIND, COLOUR, FACING, STATE, EXISTS, HELD, LINK, SOLID, GRAVITY, HEALTH, HOSTILE, COLUMNS = range(12)
# Entries of the flags.
TICK, GROUND, SNEAK, SLOT, ATTACK_WAIT, USE_WAIT, CARRIED, SEED, STOPPED, HURT, WATER, FLAGS = range(12)
# Processes, as bits of flags[STOPPED].
CROP, SAND, FLOW, CREATURES, DAYLIGHT = 1, 2, 4, 8, 16

# Minecraft's own figures (wiki: Player, Transportation), metres and steps of 1/20 s.
HALF_WIDTH: Final = 0.3
HEIGHT: Final = 1.8
WALK, SPRINT, SNEAK_SPEED, SWIM = 4.317 / 20, 5.612 / 20, 1.295 / 20, 2.2 / 20
JUMP, GRAVITY_STEP, AIR_DRAG = 0.42, 0.08, 0.98
TOUCH: Final = 1e-7  # metres: boxes nearer than this touch and do not overlap


@njit(cache=True, nogil=True)
def _clip(cells: Any, solid: Any, place: Any, rel: Any, table: Any, me: int, box: Any, axis: int, d: float) -> float:
    """How far of `d` the box (6,) can go along `axis`. What it is inside of already does not hold it."""
    if d == 0.0:
        return 0.0
    nx, nz, ny = cells.shape
    a, b = (axis + 1) % 3, (axis + 2) % 3
    lo = np.empty(3, np.int64)
    hi = np.empty(3, np.int64)
    for i in range(3):
        lo[i] = int(math.floor(box[i] + (min(d, 0.0) if i == axis else 0.0) + TOUCH)) - (1 if i == axis else 0)
        hi[i] = int(math.floor(box[i + 3] + (max(d, 0.0) if i == axis else 0.0) - TOUCH)) + (1 if i == axis else 0)
    for x in range(lo[0], hi[0] + 1):
        for z in range(lo[2], hi[2] + 1):
            for y in range(lo[1], hi[1] + 1):
                outside = x < 0 or z < 0 or y < 0 or x >= nx or z >= nz  # the rim is a wall; above is open sky
                if not outside and (y >= ny or not solid[cells[x, z, y]]):
                    continue
                c = x if axis == 0 else y if axis == 1 else z
                if d > 0.0 and c >= box[axis + 3] - TOUCH:
                    d = max(min(d, c - box[axis + 3]), 0.0)
                elif d < 0.0 and c + 1 <= box[axis] + TOUCH:
                    d = min(max(d, c + 1 - box[axis]), 0.0)
    for o in range(table.shape[0]):
        if o == me or table[o, SOLID] == 0:
            continue
        if box[a] >= place[o, a] + rel[o, a + 3] - TOUCH or box[a + 3] <= place[o, a] + rel[o, a] + TOUCH:
            continue
        if box[b] >= place[o, b] + rel[o, b + 3] - TOUCH or box[b + 3] <= place[o, b] + rel[o, b] + TOUCH:
            continue
        low, high = place[o, axis] + rel[o, axis], place[o, axis] + rel[o, axis + 3]
        if d > 0.0 and low >= box[axis + 3] - TOUCH:
            d = max(min(d, low - box[axis + 3]), 0.0)
        elif d < 0.0 and high <= box[axis] + TOUCH:
            d = min(max(d, high - box[axis]), 0.0)
    return d


@njit(cache=True, nogil=True)
def _shift(box: Any, axis: int, d: float) -> None:
    box[axis] += d
    box[axis + 3] += d


@njit(cache=True, nogil=True)
def _cell_at(cells: Any, x: float, y: float, z: float) -> int:
    i, j, k = int(math.floor(x)), int(math.floor(y)), int(math.floor(z))
    if i < 0 or k < 0 or j < 0 or i >= cells.shape[0] or k >= cells.shape[1] or j >= cells.shape[2]:
        return 0
    return int(cells[i, k, j])


@njit(cache=True, nogil=True)
def move_body(
    cells: Any, solid: Any, liquid: Any, place: Any, rel: Any, table: Any, body: Any, flags: Any, keys: Any
) -> None:
    """One step of the body. `keys` (7,) float64: ahead, right (-1..1), jump, sneak, sprint, pitch and yaw in deg."""
    body[7] = min(max(body[7] + keys[5], -90.0), 90.0)
    body[6] = (body[6] + keys[6] + 180.0) % 360.0 - 180.0
    sneak = keys[3] > 0
    flags[SNEAK] = 1 if sneak else 0
    wet = liquid[_cell_at(cells, body[0], body[1] + 0.4, body[2])]
    flags[WATER] = 1 if wet else 0
    speed = SWIM if wet else SNEAK_SPEED if sneak else SPRINT if keys[4] > 0 and keys[0] > 0 else WALK
    n = speed / max(math.hypot(keys[0], keys[1]), 1.0)
    yaw = math.radians(body[6])
    # Feet stop at once: no sliding, so that an action means the same wherever it is taken.
    body[3] = (-math.sin(yaw) * keys[0] - math.cos(yaw) * keys[1]) * n
    body[5] = (math.cos(yaw) * keys[0] - math.sin(yaw) * keys[1]) * n
    if wet and keys[2] > 0:
        body[4] += 0.04
    elif keys[2] > 0 and flags[GROUND]:
        body[4] = JUMP
    box = np.array(
        [
            body[0] - HALF_WIDTH,
            body[1],
            body[2] - HALF_WIDTH,
            body[0] + HALF_WIDTH,
            body[1] + HEIGHT,
            body[2] + HALF_WIDTH,
        ]
    )
    careful = sneak and flags[GROUND] == 1 and body[4] <= 0.0
    aside = False
    for axis in (1, 0, 2):
        want = body[axis + 3]
        d = _clip(cells, solid, place, rel, table, -1, box, axis, want)
        if careful and axis != 1:  # a sneaking body does not step over an edge
            while d != 0.0:
                _shift(box, axis, d)
                drop = _clip(cells, solid, place, rel, table, -1, box, 1, -0.6)
                _shift(box, axis, -d)
                if drop > -0.6:
                    break
                d = 0.0 if abs(d) <= 0.02 else d - math.copysign(0.02, d)
        _shift(box, axis, d)
        body[axis] += d
        if axis == 1:
            flags[GROUND] = 1 if want < 0.0 and d > want else 0
        if d != want:
            body[axis + 3] = 0.0
            aside = aside or axis != 1
    if wet:
        body[4] = body[4] * 0.8 - 0.02
        if aside and keys[2] > 0:
            body[4] = 0.3  # climbs out of the water onto its bank
    else:
        body[4] = (body[4] - GRAVITY_STEP) * AIR_DRAG


@njit(cache=True, nogil=True)
def _random(seed: int, tick: int, who: int, salt: int) -> float:
    """0..1, a hash of its arguments (splitmix64), so that the randomness has no state but the seed and the clock."""
    h = np.uint64(seed)
    for part in (tick, who, salt):
        h = (h ^ np.uint64(part)) + np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = h ^ (h >> np.uint64(31))
    return float(h >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True, nogil=True)
def move_objects(cells: Any, solid: Any, place: Any, rel: Any, table: Any, motion: Any, body: Any, flags: Any) -> int:
    """One step of all that moves by itself: creatures walk, what hangs in the air comes down.

    `motion` is (N, 3) float64: vertical velocity, metres a step; heading, radians; speed, metres a step. Returns how
    many moves were made: 0 if everything stays where it is.
    """
    moved = 0
    stopped = flags[STOPPED] & CREATURES
    for o in range(table.shape[0]):
        if table[o, EXISTS] == 0 or table[o, HELD] == 1 or table[o, GRAVITY] == 0:
            continue
        alive = table[o, GRAVITY] == 2
        if alive and stopped:
            continue
        box = rel[o].copy()
        for i in range(3):
            box[i] += place[o, i]
            box[i + 3] += place[o, i]
        fall = motion[o, 0]
        d = _clip(cells, solid, place, rel, table, o, box, 1, fall)
        if d != 0.0:
            _shift(box, 1, d)
            place[o, 1] += d
            moved += 1
        landed = d > fall
        motion[o, 0] = -0.04 if landed else (fall - 0.04) * 0.98
        if alive:
            moved += _walk(cells, solid, place, rel, table, motion, body, flags, o, box, landed)
    return moved


@njit(cache=True, nogil=True)
def _walk(
    cells: Any,
    solid: Any,
    place: Any,
    rel: Any,
    table: Any,
    motion: Any,
    body: Any,
    flags: Any,
    o: int,
    box: Any,
    landed: bool,
) -> int:
    seed, tick = flags[SEED], flags[TICK]
    dx, dz = body[0] - place[o, 0], body[2] - place[o, 2]
    if table[o, HOSTILE] and dx * dx + dz * dz < 576.0:  # 24 m
        if _random(seed, tick, o, 6) < 0.06:
            table[o, STATE] = 0
        if table[o, STATE] == 0:  # comes straight on; after it has met a wall, it tries another way for a while
            motion[o, 1], motion[o, 2] = math.atan2(-dx, dz), 0.12
    elif _random(seed, tick, o, 1) < 0.04:  # a new mind every second or so
        motion[o, 1] = _random(seed, tick, o, 2) * 2 * math.pi
        motion[o, 2] = 0.06 if _random(seed, tick, o, 3) < 0.7 else 0.0
    if motion[o, 2] == 0.0:
        return 0
    stride = np.array([-math.sin(motion[o, 1]), 0.0, math.cos(motion[o, 1])]) * motion[o, 2]
    bumped = False
    for axis in (0, 2):
        d = _clip(cells, solid, place, rel, table, o, box, axis, stride[axis])
        d = _keep_off(box, body, axis, d)
        if d != stride[axis]:
            bumped = True
        _shift(box, axis, d)
        if landed and d != 0.0 and _clip(cells, solid, place, rel, table, o, box, 1, -1.2) <= -1.2:
            _shift(box, axis, -d)  # no creature walks over a cliff
            bumped = True
            continue
        place[o, axis] += d
    table[o, FACING] = int(round(motion[o, 1] / (math.pi / 2))) % 4
    if bumped and landed:
        step = _clip(cells, solid, place, rel, table, o, box, 1, 1.1)
        if step == 1.1 and _random(seed, tick, o, 4) < 0.3:
            motion[o, 0] = 0.3  # hops: 1.1 m high
        elif table[o, HOSTILE] == 0 or dx * dx + dz * dz > 4.0:
            motion[o, 1] = _random(seed, tick, o, 5) * 2 * math.pi
            table[o, STATE] = table[o, HOSTILE]
    return 1


@njit(cache=True, nogil=True)
def _keep_off(box: Any, body: Any, axis: int, d: float) -> float:
    """Clips a creature's move against the body."""
    other = 2 - axis
    if box[other] >= body[other] + HALF_WIDTH or box[other + 3] <= body[other] - HALF_WIDTH:
        return d
    if box[1] >= body[1] + HEIGHT or box[4] <= body[1]:
        return d
    if d > 0.0 and body[axis] - HALF_WIDTH >= box[axis + 3] - TOUCH:
        d = max(min(d, body[axis] - HALF_WIDTH - box[axis + 3]), 0.0)
    if d < 0.0 and body[axis] + HALF_WIDTH <= box[axis] + TOUCH:
        d = min(max(d, body[axis] + HALF_WIDTH - box[axis]), 0.0)
    return d


@njit(cache=True, nogil=True)
def raycast(
    cells: Any, target: Any, place: Any, rel: Any, table: Any, eye: Any, way: Any, reach: float, hit: Any
) -> int:
    """What a ray meets first: 0 nothing, 1 a cell, 2 an object.

    `target` (128,) bool by kind are cells that it stops at; `eye` (3,) metres, `way` (3,) unit vector, `reach` metres;
    `hit` (7,) int64 receives the cell x y z, the outward normal nx ny nz of its face, and the row of the object.
    """
    nx, nz, ny = cells.shape
    found, best = 0, reach
    at = np.empty(3, np.int64)
    step = np.empty(3, np.int64)
    nxt = np.empty(3)
    gap = np.empty(3)
    for i in range(3):
        at[i] = int(math.floor(eye[i]))
        step[i] = 1 if way[i] > 0 else -1
        gap[i] = 1.0 / max(abs(way[i]), 1e-12)
        nxt[i] = ((at[i] + 1 - eye[i]) if way[i] > 0 else (eye[i] - at[i])) * gap[i]
    while True:
        axis = 0
        if nxt[1] < nxt[axis]:
            axis = 1
        if nxt[2] < nxt[axis]:
            axis = 2
        t = nxt[axis]
        if t > reach:
            break
        at[axis] += step[axis]
        nxt[axis] += gap[axis]
        if at[0] < 0 or at[2] < 0 or at[1] < 0 or at[0] >= nx or at[2] >= nz or (at[1] >= ny and step[1] > 0):
            break
        if at[1] < ny and target[cells[at[0], at[2], at[1]]]:
            found, best = 1, t
            hit[:6] = 0
            hit[0], hit[1], hit[2] = at[0], at[1], at[2]
            hit[3 + axis] = -step[axis]
            hit[6] = -1
            break
    for o in range(table.shape[0]):
        if table[o, EXISTS] == 0 or table[o, HELD] == 1:
            continue
        near, far, axis = 0.0, best, -1
        for i in range(3):
            inv = 1.0 / way[i] if way[i] != 0.0 else 1e12
            t0, t1 = (place[o, i] + rel[o, i] - eye[i]) * inv, (place[o, i] + rel[o, i + 3] - eye[i]) * inv
            if min(t0, t1) > near:
                near, axis = min(t0, t1), i
            far = min(far, max(t0, t1))
        if axis >= 0 and near <= far and near < best:
            found, best = 2, near
            hit[:6] = 0
            for i in range(3):
                hit[i] = int(math.floor(place[o, i] + (0.5 * (rel[o, 1] + rel[o, 4]) if i == 1 else 0.0)))
            hit[3 + axis] = -1 if way[axis] > 0 else 1
            hit[6] = o
    return found


def overlaps(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two boxes (6,) share volume."""
    return bool((a[:3] < b[3:] - TOUCH).all() and (b[:3] < a[3:] - TOUCH).all())


def body_box(body: NDArray[np.float64]) -> NDArray[np.float64]:
    """(6,) float64: the body's box, metres."""
    x, y, z = body[:3]
    return np.array([x - HALF_WIDTH, y, z - HALF_WIDTH, x + HALF_WIDTH, y + HEIGHT, z + HALF_WIDTH])
