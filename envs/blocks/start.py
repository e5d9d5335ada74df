"""From a layout to a world that runs."""

from __future__ import annotations

import numpy as np

from worldsim.envs.blocks import objects
from worldsim.envs.blocks.kinds import WATER, column_tops
from worldsim.envs.blocks.layout import Layout
from worldsim.envs.blocks.physics import AIR_DRAG, GRAVITY_STEP, GROUND, SEED
from worldsim.envs.blocks.processes import NATURE, plant_all
from worldsim.envs.blocks.state import World
from worldsim.seeding import hash_seed

#: Presets in which creatures and crops draw random numbers: they have more than one possible future.
OPEN_PRESETS = frozenset({"village", "open"})
DAY_STEP = 24 / 24000  # hours a step: a day of 20 minutes, Minecraft's


def start(layout: Layout, dynamics_seed: int, *, hour: float | None = None, open_future: bool | None = None) -> World:
    """The world of a layout at step 0.

    Args:
        layout: What `presets.generate` gave.
        dynamics_seed: Decides what is random in it. Without an open future it is replaced by one of the world's.
        hour: Time of day instead of the layout's.
        open_future: None = as the preset.
    """
    is_open = layout.preset in OPEN_PRESETS if open_future is None else open_future
    cells = np.array(layout.cells, order="C")
    world = World(
        preset=layout.preset,
        world_seed=layout.seed,
        hour=layout.hour if hour is None else float(hour) % 24.0,
        day=DAY_STEP if layout.preset in OPEN_PRESETS else 0.0,
        horizon=layout.horizon,
        open=is_open,
        cells=cells,
        tops=column_tops(cells),
        body=np.array([*layout.spawn, 0.0, 0.0, 0.0, (layout.yaw + 180.0) % 360.0 - 180.0, 0.0]),
    )
    world.flags[GROUND], world.body[4] = 1, -GRAVITY_STEP * AIR_DRAG  # as a body that stands
    world.flags[SEED] = int(dynamics_seed) if is_open else hash_seed("blocks-closed", layout.seed)
    for spec in layout.objects:
        kind = f"{spec.colour}_{spec.kind}" if spec.colour else spec.kind
        state = any(bool(spec.attributes.get(name)) for name in ("open", "on", "lit"))
        linked = spec.attributes.get("linked_to")
        objects.add(
            world,
            kind,
            spec.position,
            facing=spec.facing,
            state=state,
            link=0 if linked is None else int(linked) + 1,
        )
    entries = [(x, y, z, tick, 0) for x, y, z, tick in layout.sand]
    entries += [(x, y, z, tick, -WATER) for x, y, z, tick in layout.springs]
    if entries:
        world.queue[: len(entries)] = entries
        world.counts[0] = len(entries)
    plant_all(world.cells, NATURE, world.queue, world.counts, world.flags)
    return world
