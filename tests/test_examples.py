"""The pages on extension points and the examples are executed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from tests.toys import ToyEnv
from worldsim.baselines import Frozen
from worldsim.checks import check_world_model
from worldsim.oracle import Oracle
from worldsim.registry import MODELS

ROOT = Path(__file__).parent.parent


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["models.md", "environments.md"])
def test_code_blocks_of_the_page_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 3
    space: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, page, "exec"), space)
    assert "0 broken" in capsys.readouterr().out


def test_my_model_keeps_the_contract() -> None:
    model = MODELS.get(f"{ROOT / 'examples' / 'my_model.py'}:Mine")
    report = check_world_model(model, env=ToyEnv)
    assert report.ok, str(report)


def test_the_agent_loop_runs_off_the_shelf() -> None:
    loop = load(ROOT / "examples" / "agent_loop.py")
    returns = loop.alone(model=Oracle, env=ToyEnv, episodes=3, steps=20)
    assert len(returns) == 3 and max(returns) > 0  # the oracle passes the truth's reward through
    assert returns == loop.alone(model=Oracle, env=ToyEnv, episodes=3, steps=20)
    assert loop.batched(model=Frozen, env=ToyEnv, num_envs=4, steps=41) == 8  # NEXT_STEP: 20 steps, a reset, 20 steps
