"""One picture of every planted fault: the truth, and the fault at the three severities of ci, in one frame of a tour.

python benchmarks/fault_sheet.py --out docs/images/faults.png

The tour places a block, steps to the right and back, turns away by 120 degrees and returns, in the arena; where
something must go on by itself, in the village. Of each fault the frame is shown in which its largest severity is
furthest from the truth; where none is, the last one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worldsim import trees
from worldsim.envs.actions import noop
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.faults import FAULTS, make_fault
from worldsim.oracle import Oracle
from worldsim.starts import Start, binding, join
from worldsim.truth import RemoveObject

CONTEXT = 4
LABEL = 30  # pixels above a row
NOTHING = noop(BlocksEnv().action_space)


def key(**keys: Any) -> dict[str, Any]:
    return NOTHING | {k: np.asarray(v, np.asarray(NOTHING[k]).dtype) for k, v in keys.items()}


def tour(sham: bool) -> list[dict[str, Any]]:
    deed = [key()] * 3 if sham else [key(use=1), key(), key()]
    sides = [key(right=1)] * 5 + [key(left=1)] * 5
    away, back = [key(camera=(0.0, 15.0))] * 8, [key(camera=(0.0, -15.0))] * 8
    return [*deed, key(camera=(-14.0, 0.0)), *sides, *away, key(), key(), *back, key(), key()]


def context(env: BlocksEnv, seed: int, lacking: int = 0) -> Start:
    """Looks down; `lacking`: an instance that is removed at the end of the context, or 0."""
    past = [key(camera=(10.0, 0.0))] * (CONTEXT - 1)
    frames = [env.reset(seed=seed)[0], *(env.step(a)[0] for a in past)]
    if lacking:
        env.edit(RemoveObject(object_id=lacking))
    return Start(frames=np.stack(frames), actions=trees.stack(past), seed=seed, state=env.snapshot())


def show(model: Oracle, make: Callable[[], BlocksEnv], start: Start, actions: list[Any], seed: int) -> np.ndarray:
    model.bind(binding([start], make))
    model.reset(join([start]), seeds=[seed])
    frames = [model.step(trees.map_leaves(lambda x: np.asarray(x)[None, None], a)).frames[0, 0] for a in actions]
    model.close()
    return np.stack(frames)


def row(name: str, size: int, world: int, seed: int, scale: int) -> np.ndarray:
    """Label, and four pictures side by side."""
    spec = FAULTS[name]
    goes_on = "StopProcess" in spec.needs
    make = partial(BlocksEnv, preset="village" if goes_on else "arena", size=(size, size))
    start = context(make(), 2 if goes_on else world, 1 if name == "always-the-object" else 0)
    actions = tour(sham=name == "always-the-edit")
    true = show(Oracle(), make, start, actions, seed)
    shown = [show(make_fault(name, s), make, start, actions, seed) for s in spec.ci]
    far = np.abs(shown[-1].astype(np.int16) - true).mean((1, 2, 3))
    t = int(far.argmax()) if far.any() else len(true) - 1
    cells = [f[t].repeat(scale, 0).repeat(scale, 1) for f in (true, *shown)]
    cells = [np.pad(c, ((0, 4), (0, 4), (0, 0)), constant_values=255) for c in cells]
    strip = np.pad(np.concatenate(cells, axis=1), ((LABEL, 0), (0, 8), (0, 0)), constant_values=255)
    words = f"{name}: truth, then {', '.join(f'{s:g}' for s in spec.ci)} ({spec.unit})"
    cv2.putText(strip, words, (0, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    plants = f"{spec.plants} - frame {t + 1}"
    cv2.putText(strip, plants, (0, 26), cv2.FONT_HERSHEY_SIMPLEX, 0.34, (110, 110, 110), 1, cv2.LINE_AA)
    return strip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("faults.png"))
    parser.add_argument("--size", type=int, default=42)
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--world", type=int, default=5)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--columns", type=int, default=3)
    options = parser.parse_args()
    strips = [row(name, options.size, options.world, options.seed, options.scale) for name in FAULTS]
    while len(strips) % options.columns:
        strips.append(np.full_like(strips[0], 255))
    per = len(strips) // options.columns
    columns = [np.concatenate(strips[i * per : (i + 1) * per]) for i in range(options.columns)]
    sheet = np.pad(np.concatenate(columns, axis=1), ((8, 8), (8, 0), (0, 0)), constant_values=255)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.where(sheet < 250, sheet & 0xF8 | sheet >> 5, sheet)  # 5 bits a channel: a third of the bytes
    cv2.imwrite(str(options.out), np.ascontiguousarray(coarse[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{options.out}: {sheet.shape[1]} x {sheet.shape[0]}, {options.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
