"""How often is the counterfactual hypothesis test wrong? Measured on Blocks, where the answer is known.

    python benchmarks/cht_error.py [--size 64] [--events 60] [--calibration 60]

Events: an object of an arena, seen from 2 to 12 m (64x64) or 16 m; the alternatives are drawn from the same snapshot:
present, absent, moved by 1 m, of another colour, another kind (several, one label), elsewhere in view (several, one
label). Each label but the last two is the truth equally often. Thresholds are calibrated on other worlds. Prints

1. the truth's error: the true render, clean and degraded, and with the camera 2 to 4 degrees off;
2. floors: noise, grey, the frame before a turn (of 40 to 120, 10 to 20, 4 to 8 degrees), another world: the picks;
3. frame right, region wrong: what each wrong thing is called, in clean and in degraded frames.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.camera import EYE_HEIGHT, camera_pose
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.envs.blocks.kinds import COLOURS
from worldsim.metrics.functional.calibration import DEGRADATIONS, calibrate
from worldsim.metrics.functional.hypothesis import MIN_PAIR, Evidence, Thresholds, judge, measure, region
from worldsim.seeding import generator
from worldsim.truth import Edit, MoveObject, RemoveObject, ReplaceObject
from worldsim.types import Frames

LABELS = ("present", "absent", "moved", "altered", "other kind", "elsewhere")
BASE = 4  # the first labels, each the truth equally often
LATTICE = (0.0, -2.0, 2.0, -4.0, 4.0)  # degrees of yaw of the candidate poses
FAR = {64: 12.0, 128: 16.0}
KINDS = ("chest", "crate", "gem")
OTHERS = 3  # renders of "other kind"
PLACES = 8  # renders of "elsewhere"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One question, its renders, and pictures that show none of the alternatives.

    Attributes:
        lattice: (P, m, H, W, 3); names: m labels; turned: the four base alternatives with the camera off the lattice.
        wrong: Name -> (H, W, 3): the present alternative with something else in its region.
        floors: Name -> (H, W, 3): frames that should be called none of the alternatives.
    """

    distance: float
    lattice: Frames
    names: tuple[int, ...]
    turned: Frames
    wrong: dict[str, Frames]
    floors: dict[str, Frames]


class Studio:
    """One world, drawn from any pose with any edit; every picture starts from the same snapshot."""

    def __init__(self, env: BlocksEnv, seed: int) -> None:
        self.env = env
        env.reset(seed=seed)
        self.state = env.snapshot()

    def draw(self, edits: Sequence[Edit], poses: Sequence[NDArray[np.float64]]) -> list[tuple[Frames, Any]]:
        self.env.restore(self.state)
        for edit in edits:
            self.env.edit(edit)
        return [self.env.render_from(pose) for pose in poses]


def free(cells: NDArray[np.uint8], x: float, y: float, z: float) -> bool:
    """Whether an object can stand with its base's centre there."""
    i, j, k = math.floor(x), math.floor(z), round(y)
    inside = 6 < x < 26 and 6 < z < 26
    return inside and cells[i, j, k] == 0 and cells[i, j, k + 1] == 0 and cells[i, j, k - 1] != 0


def event(studio: Studio, other: Frames, far: float, rng: np.random.Generator) -> Event | None:
    """One event of a world, or None where the draw gives nothing to see or too little difference."""
    world, truth = studio.env.world, studio.env.truth()
    things = [o for o in truth.objects if o.exists]
    if not things:
        return None
    thing = things[int(rng.integers(len(things)))]
    base = world.place[thing.id - 1].copy()
    distance = float(np.exp(rng.uniform(math.log(2.0), math.log(far))))
    angle = float(rng.uniform(0, 2 * math.pi))
    feet = base + distance * np.array([math.cos(angle), 0.0, math.sin(angle)])
    if not free(world.cells, *feet):
        return None
    eye = feet + np.array([0.0, EYE_HEIGHT, 0.0])
    straight = math.degrees(math.atan2(eye[0] - base[0], base[2] - eye[2]))
    yaw, pitch = straight + float(rng.uniform(-20, 20)), float(rng.uniform(2, 14))

    def pose(turn: float) -> NDArray[np.float64]:
        return camera_pose(eye, yaw + turn, pitch)

    ((_, seen),) = studio.draw([], [pose(0.0)])
    if int((seen.segmentation == thing.id).sum()) < 24:
        return None
    colour, kind = thing.kind.split("_")
    colours = [str(c) for c in rng.permutation([c for c in COLOURS if c != colour])]
    kinds = [k for k in KINDS if k != kind]
    side = rng.choice([-1.0, 1.0]) * np.array([math.sin(angle), 0.0, -math.cos(angle)])
    moved = base + side
    ring = [
        base + r * np.array([math.cos(a), 0.0, math.sin(a)])
        for r in (2.0, 3.0, 4.0)
        for a in rng.uniform(0, 2 * math.pi) + np.arange(8) * math.pi / 4
    ]
    spots = [p for p in ring if free(world.cells, *p) and math.hypot(*(p - eye)[[0, 2]]) > 1.5]
    if not free(world.cells, *moved) or len(spots) < 4:
        return None

    def place(p: NDArray[np.float64]) -> MoveObject:
        return MoveObject(object_id=thing.id, position=(float(p[0]), float(p[1]), float(p[2])))

    changes: list[tuple[int, list[Edit]]] = [
        (0, []),
        (1, [RemoveObject(object_id=thing.id)]),
        (2, [place(moved)]),
        (3, [ReplaceObject(object_id=thing.id, kind=f"{colours[0]}_{kind}")]),
    ]
    held_out = f"{colours[-1]}_{kinds[1]}"  # the wrong kind that is shown is not among those that are drawn
    others = [f"{colour}_{kinds[0]}", f"{colours[1]}_{kinds[0]}", f"{colours[2]}_{kinds[1]}"][:OTHERS]
    changes += [(4, [ReplaceObject(object_id=thing.id, kind=k)]) for k in others]
    order = [spots[i] for i in rng.permutation(len(spots))]
    poses = [pose(turn) for turn in LATTICE]
    absent = studio.draw([RemoveObject(object_id=thing.id)], poses[:1])[0][0]
    stray = None
    for spot in order:
        picture = studio.draw([place(spot)], poses[:1])[0][0]
        if int((np.abs(picture.astype(np.int16) - absent).max(-1) > 8).sum()) < 24:
            continue
        away = math.hypot(*(spot - base)[[0, 2]])
        if stray is None and 2.5 < away < 3.5:
            stray = picture  # moved by 3 m, to a place that no alternative knows
            taken = spot
        elif len(changes) < BASE + OTHERS + PLACES and (stray is None or math.hypot(*(spot - taken)[[0, 2]]) > 1.0):
            changes.append((5, [place(spot)]))
    if stray is None or changes[-1][0] != 5:
        return None
    drift = float(rng.choice([-1, 1]) * rng.uniform(2, 4))
    drawn = [[f for f, _ in studio.draw(edits, [*poses, pose(drift)])] for _, edits in changes]
    lattice = np.stack([np.stack([d[p] for d in drawn]) for p in range(len(poses))])
    names = tuple(name for name, _ in changes)
    if any(region(drawn_at[:BASE]).pair < MIN_PAIR for drawn_at in lattice):
        return None
    kept = list(range(BASE))
    for i in range(BASE, len(names)):  # what a pose does not show is no alternative; a label needs one that is
        rivals = [j for j in kept if names[j] != names[i]]
        if all(region(drawn_at[[i, j]]).pair >= MIN_PAIR for drawn_at in lattice for j in rivals):
            kept.append(i)
    lattice, names = lattice[:, kept], tuple(names[i] for i in kept)
    if set(names) != set(range(len(LABELS))):
        return None

    present = lattice[0, 0]
    core = region(lattice[0, :2]).core
    grown = cv2.dilate(core.astype(np.uint8), np.ones((5, 5), np.uint8))[..., None] > 0
    rows, columns = np.flatnonzero(core.any(1)), np.flatnonzero(core.any(0))
    size = present.shape[0]
    dy, dx = (int(q) for q in rng.integers(size // 4, 3 * size // 4, 2))
    patch = np.roll(present, (dy, dx), (0, 1))
    smear = cv2.GaussianBlur(present, (0, 0), max(len(rows), len(columns)) / 2)
    wrong = {
        "ghost 50 %": ((present.astype(np.uint16) + lattice[0, 1]) // 2).astype(np.uint8),
        "wrong kind": studio.draw([ReplaceObject(object_id=thing.id, kind=held_out)], poses[:1])[0][0],
        "moved 3 m": stray,
        "smear": np.where(grown, smear, present),
        "flat blob": np.where(grown, np.uint8(present[core].mean(axis=0).round()), present).astype(np.uint8),
        "wrong patch": np.where(grown, patch, present),
    }
    turns = [float(rng.choice([-1, 1]) * rng.uniform(*span)) for span in ((40, 120), (10, 20), (4, 8))]
    frozen = [f for f, _ in studio.draw([], [pose(t) for t in turns])]
    floors = {
        "noise": rng.integers(0, 256, present.shape, dtype=np.uint8),
        "grey": np.full_like(present, 128),
        "frozen 40-120 deg": frozen[0],
        "frozen 10-20 deg": frozen[1],
        "frozen 4-8 deg": frozen[2],
        "other world": other,
    }
    return Event(
        distance=distance,
        lattice=lattice,
        names=names,
        turned=np.stack([d[-1] for d in drawn[:BASE]]),
        wrong=wrong,
        floors=floors,
    )


def collect(size: int, count: int, salt: str) -> tuple[list[Event], int]:
    """Events of as many worlds, and how many draws were refused by the gates."""
    env = BlocksEnv(preset="arena", size=(size, size))
    out: list[Event] = []
    other: Frames | None = None
    seed = refused = 0
    while len(out) < count:
        seed += 1
        rng = generator("cht-error", salt, seed)
        studio = Studio(env, int(rng.integers(2**31)))
        picture = studio.draw([], [np.asarray(env.truth().world_from_camera)])[0][0]
        for _ in range(40):
            found = None if other is None else event(studio, other, FAR.get(size, 16.0), rng)
            if found is not None:
                out.append(found)
                break
            refused += 1
        other = picture
    return out, refused


def evidence(frame: Frames, e: Event) -> Evidence:
    return measure(frame, e.lattice, labels=e.names)


Truths = dict[str, list[tuple[Evidence, int]]]


def truths(events: Sequence[Event], salt: str) -> Truths:
    """Evidence of the true frames, by degradation; the i-th event's truth is alternative i mod 4."""
    out: Truths = {}
    for i, e in enumerate(events):
        label = i % BASE
        for name, degrade in DEGRADATIONS.items():
            rng = generator("cht-degrade", salt, i, name)
            out.setdefault(name, []).append((evidence(degrade(e.lattice[0, label], rng), e), label))
        for name, base in (("yaw 2-4 deg", "clean"), ("yaw and all", "all")):
            rng = generator("cht-degrade", salt, i, name)
            out.setdefault(name, []).append((evidence(DEGRADATIONS[base](e.turned[label], rng), e), label))
    return out


def picks(found: Sequence[Evidence], thresholds: Thresholds) -> Counter[str]:
    out: Counter[str] = Counter()
    for e in found:
        verdict = judge(e, thresholds)
        out[verdict.outcome if verdict.label is None else LABELS[verdict.label]] += 1
        out[FLAG] += verdict.label == 1 and verdict.elsewhere
    return out


FLAG = "absent, and something elsewhere"  # a part of "absent"
COLUMNS = (*LABELS, "lost the place", "something else", "undefined")


def table(rows: dict[str, Counter[str]]) -> None:
    print(f"| % | {' | '.join((*COLUMNS, FLAG))} |\n|---|{'---|' * (len(COLUMNS) + 1)}")
    for name, count in rows.items():
        total = max(sum(count[c] for c in COLUMNS), 1)
        print(f"| {name} | {' | '.join(f'{100 * count[c] / total:.0f}' for c in (*COLUMNS, FLAG))} |")


def report(size: int, count: int, calibration: int) -> None:
    fit, _ = collect(size, calibration, "calibration")
    events, refused = collect(size, count, "test")
    known = [(e, t, name) for name, rows in truths(fit, "calibration").items() for e, t in rows]
    thresholds = calibrate([e for e, _, _ in known], [t for _, t, _ in known], [name for _, _, name in known])
    print(
        f"\n## {size}x{size}: {count} events of as many worlds ({refused} draws refused), calibrated on {calibration}"
    )
    print(thresholds)
    print("\n| the truth, % | right | wrong | lost the place | something else | p > 0.9 | ZNCC agrees |")
    print("|---|---|---|---|---|---|---|")
    tests = truths(events, "test")
    for name, rows in tests.items():
        verdicts = [(judge(e, thresholds), t) for e, t in rows]
        parts = (
            [v.label == t for v, t in verdicts],
            [v.label not in (t, None) for v, t in verdicts],
            [v.outcome == "lost the place" for v, _ in verdicts],
            [v.outcome == "something else" for v, _ in verdicts],
            [v.label == t and v.posterior.max() > 0.9 for v, t in verdicts],
            [v.evidence.second == v.evidence.nearest for v, _ in verdicts],
        )
        print(f"| {name} | {' | '.join(f'{100 * np.mean(p):.1f}' for p in parts)} |")
    print("\nFloors: frames that show none of the alternatives")
    table({n: picks([evidence(e.floors[n], e) for e in events], thresholds) for n in events[0].floors})
    for base in ("clean", "blur 1", "jpeg 50", "all"):
        degrade: Callable[..., Frames] = DEGRADATIONS[base]
        print(f"\nFrame right, region wrong ({base})")
        histogram = {}
        for name in events[0].wrong:
            rng = generator("cht-wrong", base, name)
            histogram[name] = picks([evidence(degrade(e.wrong[name], rng), e) for e in events], thresholds)
        table(histogram)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="*", default=[64, 128])
    parser.add_argument("--events", type=int, default=60)
    parser.add_argument("--calibration", type=int, default=60)
    arguments = parser.parse_args()
    for size in arguments.size:
        report(size, arguments.events, arguments.calibration)


if __name__ == "__main__":
    main()
