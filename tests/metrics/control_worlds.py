"""Rollouts of Blocks with known control: a drive, and the variants of one world, by the oracle or a fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from tests.faults.tour import blocks_key, start
from worldsim import trees
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.faults import make_fault
from worldsim.nulls import NullFrames
from worldsim.seeding import generator
from worldsim.starts import Start, binding, join
from worldsim.truth import TruthState
from worldsim.types import Episode, Frames, Mark, Rollout, Trajectory

CONTEXT, HOLD, REST = 4, 6, 3
VARIANTS: dict[str, dict[str, Any]] = {
    "noop": {},
    "wait": {},
    "forward": {"forward": 1},
    "back": {"back": 1},
    "left": {"left": 1},
    "right": {"right": 1},
    "turn_left": {"camera": (0.0, -8.0)},
    "turn_right": {"camera": (0.0, 8.0)},
    "look_up": {"camera": (-4.0, 0.0)},
    "look_down": {"camera": (4.0, 0.0)},
}


def make() -> BlocksEnv:
    """The world of these tests."""
    return BlocksEnv(preset="arena", size=(64, 64))


def drive(seed: int, steps: int) -> list[dict[str, Any]]:
    """Short stretches of turning, looking, walking and stepping aside, and of rest, in random order."""
    rng = generator("control-drive", seed)
    out: list[dict[str, Any]] = []
    pitch = 0.0
    while len(out) < steps:
        kind = rng.choice(["yaw", "yaw", "pitch", "forward", "back", "side", "side", "rest"])
        size = int(rng.integers(2, 6))
        if kind == "yaw":
            keys: dict[str, Any] = {"camera": (0.0, float(rng.choice([-12.0, -8.0, 8.0, 12.0])))}
        elif kind == "pitch":
            way = float(rng.choice([-5.0, 5.0])) if abs(pitch) < 12 else -5.0 * np.sign(pitch)
            size = 3
            pitch += way * size
            keys = {"camera": (way, 0.0)}
        elif kind == "side":
            keys = {str(rng.choice(["left", "right"])): 1}
        else:
            keys = {} if kind == "rest" else {str(kind): 1}
        out += [blocks_key(**keys)] * size
    return out[:steps]


@lru_cache(maxsize=32)
def begin(seed: int) -> Start:
    """A context of still and slightly turning frames."""
    env = make()
    past = [blocks_key(camera=(0.0, 3.0))] * (CONTEXT - 1)
    return start(env, seed, past)


def truth(seed: int, actions: Sequence[Any]) -> tuple[Frames, list[TruthState]]:
    """Frames and states of the context and after the actions."""
    env = make()
    first = begin(seed)
    frames, states = [env.reset(seed=seed)[0]], []
    states.append(env.truth())
    for t in range(CONTEXT - 1):
        frames.append(env.step(trees.index(first.actions, t))[0])
        states.append(env.truth())
    for action in actions:
        frames.append(env.step(action)[0])
        states.append(env.truth())
    return np.stack(frames), states


def shown(seed: int, actions: Sequence[Any], fault: str, severity: float, model_seed: int) -> Frames:
    """What a fault shows after the context."""
    model = make_fault(fault, severity)
    first = begin(seed)
    model.bind(binding([first], make))
    model.reset(join([first]), seeds=[model_seed])
    out = [model.step(trees.map_leaves(lambda x: np.asarray(x)[None, None], a)).frames[0, 0] for a in actions]
    model.close()
    return np.concatenate([first.frames, np.stack(out)])


def episode(
    seed: int,
    actions: Sequence[Any],
    *,
    fault: str = "lag",
    severity: float = 0.0,
    variant: str = "main",
    pair_id: str = "",
    marks: tuple[Mark, ...] = (),
) -> Episode:
    """One episode; severity 0 is the oracle."""
    frames, states = truth(seed, actions)
    video = shown(seed, actions, fault, severity, 7 + seed) if severity else frames
    steps = len(frames) - 1
    played = trees.stack([*(trees.index(begin(seed).actions, t) for t in range(CONTEXT - 1)), *actions])
    assert trees.length(played) == steps
    return Episode(
        id=f"control-{seed:04d}-{variant}",
        scenario="control",
        world_seed=seed,
        context_length=CONTEXT,
        truth=Trajectory(frames=frames, actions=played, states=states),
        generated=(Rollout(trajectory=Trajectory(frames=video, actions=played)),),
        pair_id=pair_id,
        variant=variant,
        marks=marks,
    )


@lru_cache(maxsize=64)
def driven(seed: int, steps: int = 48, fault: str = "lag", severity: float = 0.0) -> Episode:
    """An episode of the drive."""
    return episode(seed, drive(seed, steps), fault=fault, severity=severity)


@lru_cache(maxsize=64)
def group(seed: int, fault: str = "lag", severity: float = 0.0) -> tuple[Episode, ...]:
    """All variants of one world: the action is held for `HOLD` steps, then nothing for `REST`."""
    marks = (Mark(name="departure", frame=CONTEXT - 1), Mark(name="return", frame=CONTEXT - 1 + HOLD))
    return tuple(
        episode(
            seed,
            [blocks_key(**keys)] * HOLD + [blocks_key()] * REST,
            fault=fault,
            severity=severity,
            variant=name,
            pair_id=f"control-{seed:04d}",
            marks=marks,
        )
        for name, keys in VARIANTS.items()
    )


def with_shown(e: Episode, frames: Any) -> Episode:
    """The same episode with other generated frames."""
    trajectory = replace(e.generated[0].trajectory, frames=frames)
    return replace(e, generated=(replace(e.generated[0], trajectory=trajectory),))


def null(e: Episode, name: str, other: Frames | None = None) -> Episode:
    """The same episode as a null shows it; the same for all variants of a world."""
    frames = np.asarray(e.truth.frames)
    return with_shown(e, NullFrames(name, frames[: e.context_length], len(frames), e.world_seed, other)[:])
