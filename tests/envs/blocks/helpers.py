"""Small worlds built by hand, and actions by name."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.envs.actions import minerl_space, noop
from worldsim.envs.blocks import dynamics
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.envs.blocks.kinds import cell_id
from worldsim.envs.blocks.layout import Layout, ObjectSpec
from worldsim.envs.blocks.start import start
from worldsim.envs.blocks.state import World

FLOOR = 3  # where feet stand


def flat(*objects: ObjectSpec, size: int = 16, preset: str = "arena", **rest: Any) -> World:
    """A stone floor under an open sky, the body in the middle looking along +z."""
    cells = np.zeros((size, size, 12), np.uint8)
    cells[:, :, 0] = cell_id("bedrock")
    cells[:, :, 1:FLOOR] = cell_id("stone")
    middle = size / 2 + 0.5
    layout = Layout(
        preset=preset, seed=1, cells=cells, spawn=(middle, float(FLOOR), middle), yaw=0.0, objects=objects, **rest
    )
    world = start(layout, 7)
    play(world, 1)  # comes to rest on the floor
    return world


def env_of(world: World, **kwargs: Any) -> BlocksEnv:
    """An environment in the state of a world built by hand."""
    env = BlocksEnv(preset=world.preset, size=(32, 32), **kwargs)
    env.restore(world.to_tree())
    return env


def action(camera: tuple[float, float] = (0.0, 0.0), **keys: int) -> dict[str, Any]:
    """An action of the MineRL space: `hotbar_1` stands for "hotbar.1"."""
    a = noop(minerl_space()) | {"camera": np.array(camera, np.float32)}
    return a | {k.replace("hotbar_", "hotbar."): np.int64(v) for k, v in keys.items()}


def play(world: World, steps: int, camera: tuple[float, float] = (0.0, 0.0), **keys: int) -> list[Any]:
    """Plays the same keys for some steps; returns all events."""
    pressed = dynamics.read_key(action(camera, **keys))
    events = []
    for _ in range(steps):
        dynamics.step(world, pressed, 0)
        events += world.events
    return events


def random_actions(seed: int, steps: int, turn: float = 12.0) -> Any:
    """A tree of random actions: every key at times, small turns."""
    space = minerl_space()
    space.seed(seed)
    actions = [space.sample() for _ in range(steps)]
    for a in actions:
        a["camera"] = (a["camera"] * np.float32(turn / 180)).astype(np.float32)
    return trees.stack(actions)


def digest(env: BlocksEnv, actions: Any) -> str:
    """SHA-256 over every frame, depth, ids and the final state of an episode that has just been reset."""
    h = hashlib.sha256()
    for t in range(trees.length(actions)):
        frame, reward, *_ = env.step(trees.index(actions, t))
        truth = env.truth()
        assert truth.depth is not None and truth.segmentation is not None and truth.world_from_camera is not None
        for part in (frame, truth.depth, truth.segmentation, truth.world_from_camera, np.float64(reward)):
            h.update(part.tobytes())
        h.update(repr((truth.cells, truth.events)).encode())
    for key, value in sorted(trees.flatten(env.snapshot()).items()):
        h.update(key.encode() + value.tobytes())
    return h.hexdigest()
