"""An engine that is killed in the middle of a step costs one episode, which says so; the run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

pytest.importorskip("vizdoom", reason="needs the package vizdoom: pip install 'worldsim[vizdoom]'")

from worldsim.config import EvalConfig
from worldsim.evaluate import evaluate


def test_a_killed_engine_marks_its_episode_and_the_run_goes_on(tmp_path: Path) -> None:
    scenario = {
        "name": "walk",
        "env": f"{Path(__file__).with_name('fragile.py')}:Fragile",
        "env_kwargs": {"preset": "arena", "size": [32, 32]},
        "controller": "explore",
        "context": 4,
        "horizon": 6,
    }
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({"name": "fragile", "version": 1, "scenarios": [scenario]}))
    settings = EvalConfig(
        model="worldsim/Oracle",
        scenarios=str(path),
        metrics=("fidelity.l1",),
        episodes=4,
        batch=1,
        out=tmp_path / "run",
        quiet=True,
        min_worlds=2,
        resamples=100,
    )
    evaluate(settings)
    rows = [json.loads(line) for line in (tmp_path / "run" / "episodes.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    failed = [row for row in rows if row["status"] != "done"]
    assert len(failed) == 1
    assert "engine of Doom" in failed[0]["reason"]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary
