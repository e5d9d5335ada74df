from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from worldsim.config import EvalConfig
from worldsim.evaluate import Prepared, prepare

HERE = Path(__file__).parent
PARTS, TOYS = HERE / "parts.py", HERE.parent / "toys.py"


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., Path]:
    """Writes a set of one scenario on the toy hall; keywords change the scenario."""

    def write(**changes: Any) -> Path:
        scenario: dict[str, Any] = {
            "name": "walk",
            "env": f"{TOYS}:ToyEnv",
            "env_kwargs": {"size": [24, 32]},
            "controller": f"{PARTS}:Walk",
            "context": 4,
            "horizon": 10,
            **changes,
        }
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump({"name": "toy", "version": 1, "scenarios": [scenario]}, sort_keys=False))
        return path

    return write


@pytest.fixture
def ready(suite: Callable[..., Path], tmp_path: Path) -> Callable[..., Prepared]:
    """A prepared run: `ready("Counter", model_args={...}, scenario={...}, **settings)`."""

    def make(model: str, *, scenario: dict[str, Any] | None = None, **settings: Any) -> Prepared:
        reference = model if "/" in model else f"{PARTS}:{model}"
        defaults: dict[str, Any] = {
            "scenarios": str(suite(**(scenario or {}))),
            "metrics": ("fidelity.l1",),
            "episodes": 3,
            "batch": 2,
            "out": tmp_path / "run",
            "quiet": True,
            "min_worlds": 2,
            "resamples": 200,
        }
        return prepare(EvalConfig(model=reference, **{**defaults, **settings}))

    return make
