"""Where a rollout begins: context frames recorded from a truth, and what a privileged model may know of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.errors import ConfigError
from worldsim.protocols import TruthBinding, TruthEnv
from worldsim.seeding import hash_seed
from worldsim.trees import ArrayTree
from worldsim.truth import State
from worldsim.types import Context, Frames


@dataclass(frozen=True, kw_only=True)
class Start:
    """One world at the end of its context.

    Attributes:
        frames: (C, H, W, 3) uint8.
        actions: Tree with leaves (max(C - 1, 0), ...).
        seed: World seed.
        state: The truth's snapshot at the last frame, or None if it has none.
        dynamics: The dynamics seed, or None for the default.
    """

    frames: Frames
    actions: ArrayTree
    seed: int
    state: State | None
    dynamics: int | None = None


def sampler(space: Any, seed: int) -> Callable[[], ArrayTree]:
    """A seeded stream of actions of a Gymnasium space as array trees; the space itself is left alone."""
    own = copy.deepcopy(space)
    own.seed(seed)
    return lambda: trees.map_leaves(np.asarray, own.sample())


def action_batch(space: Any, seed: int, *leading: int) -> ArrayTree:
    """Random actions of `space` as a tree with leaves (*leading, ...); a leading axis may be 0."""
    draw = sampler(space, seed)
    count = int(np.prod(leading))
    flat = trees.stack([draw() for _ in range(max(count, 1))])
    return trees.map_leaves(lambda x: x[:count].reshape(*leading, *x.shape[1:]), flat)


def record_start(
    env: TruthEnv, *, seed: int, context: int, action_seed: int | None = None, dynamics: int | None = None
) -> Start:
    """Plays C - 1 random actions from a reset and keeps the C frames.

    Args:
        env: The truth; it is reset.
        seed: World seed.
        context: C; 0 gives no frames, and the state of the reset.
        action_seed: Default derived from `seed`.
        dynamics: Dynamics seed passed to the reset, or None for the environment's default.

    Raises:
        ConfigError: If the episode ends within the context.
    """
    options = None if dynamics is None else {"dynamics_seed": dynamics}
    frame, _ = env.reset(seed=seed, options=options)
    chosen = hash_seed("start/actions", seed) if action_seed is None else action_seed
    actions = action_batch(env.action_space, chosen, max(context - 1, 0))
    frames = [frame]
    for t in range(context - 1):
        frame, _, terminated, truncated, _ = env.step(trees.index(actions, t))
        frames.append(frame)
        if (terminated or truncated) and t < context - 2:
            raise ConfigError(
                f"world {seed} ended after {t + 1} steps, before its context of {context} frames was full: "
                "take a shorter context, another seed or an environment that lasts longer"
            )
    return Start(
        frames=np.stack(frames)[:context],
        actions=actions,
        seed=seed,
        state=env.snapshot() if env.abilities.snapshot else None,
        dynamics=dynamics,
    )


def join(starts: Sequence[Start], prompts: Sequence[str] | None = None) -> Context:
    """The context of a batch: one row a start."""
    return Context(
        frames=np.stack([s.frames for s in starts]),
        actions=trees.stack([s.actions for s in starts]),
        prompts=tuple(prompts) if prompts is not None else ("",) * len(starts),
    )


def binding(starts: Sequence[Start], make_env: Callable[[], TruthEnv]) -> TruthBinding:
    """What a privileged model is told about these rows."""
    states = tuple(s.state for s in starts if s.state is not None)
    dynamics = tuple(s.dynamics for s in starts if s.dynamics is not None)
    return TruthBinding(
        make_env=make_env,
        seeds=tuple(s.seed for s in starts),
        states=states if len(states) == len(starts) else None,
        history=trees.stack([s.actions for s in starts]),
        dynamics=dynamics if len(dynamics) == len(starts) else None,
    )
