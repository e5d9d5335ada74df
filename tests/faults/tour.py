"""A tour of a world with everything in it that faults wait for: an edit, a walk sideways, a look away and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.toys import ToyEnv
from worldsim import trees
from worldsim.envs.actions import noop
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.oracle import Oracle
from worldsim.protocols import TruthEnv
from worldsim.starts import Start, binding, join

Make = Callable[[], TruthEnv]

CONTEXT = 3
#: Steps of `blocks_tour` at which something happens; frame t is what the t-th action of the rollout led to.
PLACED, AWAY, BACK, LENGTH = 1, 19, 27, 31


def toy() -> ToyEnv:
    return ToyEnv(actions="dict")


def blocks() -> BlocksEnv:
    return BlocksEnv(preset="arena", size=(48, 48))


def blocks_key(**keys: Any) -> dict[str, Any]:
    """One action of Blocks: the no-op but for `keys`; `camera` is (pitch, yaw) degrees."""
    nothing = noop(BlocksEnv().action_space)
    return nothing | {k: np.asarray(v, np.asarray(nothing[k]).dtype) for k, v in keys.items()}


def blocks_tour() -> list[dict[str, Any]]:
    """Looks down and places a block, looks up, steps right and left, turns away by 120 degrees, waits, turns back."""
    down, up = blocks_key(camera=(24.0, 0.0)), blocks_key(camera=(-12.0, 0.0))
    sides = [blocks_key(right=1)] * 3 + [blocks_key(left=1)] * 3
    away, back = [blocks_key(camera=(0.0, 15.0))] * 8, [blocks_key(camera=(0.0, -15.0))] * 8
    # The block is placed by the first action; the look down belongs to the context.
    out = [blocks_key(use=1), up, *sides, *[blocks_key()] * 3, *away, *back, *[blocks_key()] * 4]
    assert len(out) == LENGTH and down
    return out


def toy_tour() -> list[dict[str, Any]]:
    """Walks, turns away by 120 degrees, waits, turns back, walks on."""

    def key(turn: float, forward: int) -> dict[str, Any]:
        return {"turn": np.array([turn], np.float32), "forward": np.int64(forward)}

    return [key(0, 1)] * 4 + [key(1, 0)] * 12 + [key(0, 0)] * 2 + [key(-1, 0)] * 12 + [key(0, 1)]


def start(env: TruthEnv, seed: int, past: Sequence[Any]) -> Start:
    """A context of len(past) + 1 frames with these actions."""
    frames = [env.reset(seed=seed)[0], *(env.step(a)[0] for a in past)]
    return Start(frames=np.stack(frames), actions=trees.stack(list(past)), seed=seed, state=env.snapshot())


def begin(model: Oracle, make: Make, worlds: Sequence[int] = (0, 4), seed: int = 7) -> Any:
    """Starts the model on these worlds with seeds `seed`, `seed` + 1, ...; returns the starts."""
    env = make()
    past = [blocks_key(camera=(24.0, 0.0))] * 2 if isinstance(env, BlocksEnv) else toy_tour()[:2]
    starts = [start(env, w, past) for w in worlds]
    model.bind(binding(starts, make))
    model.reset(join(starts), seeds=[seed + i for i in range(len(worlds))])
    return starts


def play_on(model: Oracle, actions: Sequence[Any], batch: int) -> list[Any]:
    """The predictions of a batch in which all worlds get the same actions."""
    return [model.step(trees.map_leaves(lambda x: np.stack([[np.asarray(x)]] * batch), a)) for a in actions]


def show(model: Oracle, make: Make, worlds: Sequence[int] = (0, 4), seed: int = 7, actions: Any = None) -> np.ndarray:
    """(B, T, H, W, 3) the frames of the tour."""
    begin(model, make, worlds, seed)
    tour = actions if actions is not None else blocks_tour() if make is blocks else toy_tour()
    frames = np.concatenate([p.frames for p in play_on(model, tour, len(worlds))], axis=1)
    model.close()
    return frames


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference in levels of 255."""
    return float(np.abs(a.astype(np.int16) - b).mean())
