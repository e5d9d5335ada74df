"""Ground truths: environments that know their own state, controllers that probe them, and scenarios.

Importing it makes `worldsim/Blocks-v0`, its tasks and `worldsim/Minecraft-v0` known to Gymnasium; the world itself is
imported by `gym.make`.
"""

from __future__ import annotations

import gymnasium as gym

_BLOCKS = "worldsim.envs.blocks.env:BlocksEnv"

#: Gymnasium id -> arguments.
BLOCKS_IDS: dict[str, dict[str, object]] = {
    "worldsim/Blocks-v0": {},
    "worldsim/Blocks-Navigate-v0": {"task": "navigate"},
    "worldsim/Blocks-Collect-v0": {"task": "collect"},
    "worldsim/Blocks-Build-v0": {"task": "build"},
    "worldsim/Blocks-SurviveNight-v0": {"task": "survive-night"},
}

#: Truths that need something installed: it is looked for by `gym.make`.
OTHER_IDS = {"worldsim/Minecraft-v0": "worldsim.envs.minecraft.env:MinecraftEnv"}

for _id, _kwargs in BLOCKS_IDS.items():
    if _id not in gym.registry:
        gym.register(_id, entry_point=_BLOCKS, kwargs=dict(_kwargs))
for _id, _entry in OTHER_IDS.items():
    if _id not in gym.registry:
        gym.register(_id, entry_point=_entry)
