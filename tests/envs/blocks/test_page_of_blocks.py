"""docs/blocks.md: its code runs, and its tables say what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from worldsim.envs import BLOCKS_IDS
from worldsim.envs.blocks.edits import PROCESSES
from worldsim.envs.blocks.presets import PRESETS
from worldsim.envs.blocks.start import OPEN_PRESETS
from worldsim.envs.blocks.tasks import TASKS

PAGE = (Path(__file__).parents[3] / "docs" / "blocks.md").read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    """First cell -> the other cells, of every row of every table; a later table wins."""
    lines = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells[1:] for cells in reversed(lines)}


def test_the_code_runs() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    scope: dict[str, Any] = {}
    exec(compile(code, "docs/blocks.md", "exec"), scope)
    assert scope["frame"].shape == (64, 64, 3) and scope["state"].depth is not None


def test_presets_tasks_and_processes_are_those_of_the_code() -> None:
    table = rows()
    for preset in PRESETS:
        assert table[preset][-1] == ("open" if preset in OPEN_PRESETS else "closed")
    for task in TASKS.values():
        told = re.findall(r"([a-z]+ )?(\d+)", table[task.name][-1])
        presets = [name.strip() or told[0][0].strip() for name, _ in told]
        assert (tuple(presets), tuple(int(steps) for _, steps in told)) == (task.presets, task.steps)
    for name in PROCESSES:
        assert f"`{name}`" in PAGE
    for name in BLOCKS_IDS:
        assert name.removeprefix("worldsim/Blocks") in PAGE
