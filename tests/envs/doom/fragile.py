"""A Doom whose engine is killed in the middle of a run: found by its path, as an environment of one's own."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from worldsim.envs.doom.env import DoomEnv

__all__ = ["Fragile"]


class Fragile(DoomEnv):
    """At the sixth step that any of them makes, its engine is killed, once."""

    left = 6

    def step(self, action: Any) -> Any:
        """As Doom's, but for that one step."""
        type(self).left -= 1
        if type(self).left == 0:
            lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")  # a thread of the run may have started it
            mine = {int(p) for one in lists for p in one.read_text().split()}
            wad = str(Path(self.game._engine._folder.name) / "world.wad")
            (engine,) = [p for p in mine if wad in Path(f"/proc/{p}/cmdline").read_text().split("\0")]
            os.kill(engine, signal.SIGKILL)
        return super().step(action)
