"""Probes in small rooms: what stands near can be moved in view only if the floor around it is in view."""

from __future__ import annotations

from typing import Any

from tests.envs.doom.helpers import DoomEnv
from worldsim import registry, seeding

WORLDS, CONTEXT = 8, 16


def known(env: DoomEnv, world: int, **options: Any) -> bool:
    """Whether the probe knows another place for its instance when the context ends."""
    seeds = seeding.episode_seeds(0, "doom", "watch", world, "test")
    kinds = ["barrel", "column", "chest"]
    probe = registry.CONTROLLERS.get("script")(probe="watch", kinds=kinds, context=CONTEXT, **options)
    frame, _ = env.reset(seed=seeds.world)
    probe.reset(seed=seeds.controller, action_space=env.action_space, truth=env.truth())
    for t in range(CONTEXT - 1):
        frame = env.step(probe.act(frame, env.truth(), t))[0]
    return "moved_to" in probe.focus


def test_looking_down_finds_where_a_thing_could_be_moved() -> None:
    env = DoomEnv(preset="arena", size=(64, 64))
    level = [known(env, i) for i in range(WORLDS)]
    down = [known(env, i, near=2.0, look_down=True) for i in range(WORLDS)]
    env.close()
    assert sum(down) >= WORLDS - 2
    assert sum(down) >= sum(level) + 2
