"""The command line as a user meets it: messages, exit codes, and a model of one's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness.conftest import PARTS, TOYS

MINE = '''
import numpy as np
from worldsim import ModelSpec, Prediction


class Mine:
    """Repeats the newest frame, a little darker at every step."""

    def __init__(self, fade=1):
        self.spec = ModelSpec(name="mine")
        self.fade = fade

    def reset(self, context, *, seeds, indices=None):
        newest = context.frames[:, -1]
        if indices is None:
            self.frames = newest.copy()
        else:
            self.frames[list(indices)] = newest

    def step(self, actions):
        self.frames = np.maximum(self.frames, self.fade) - np.uint8(self.fade)
        return Prediction(frames=self.frames[:, None].copy())
'''


def run(*args: Any, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worldsim", *map(str, args)]
    return subprocess.run(command, text=True, capture_output=True, cwd=cwd, timeout=240, check=False)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "suite.yaml"
    path.write_text(
        f"name: toy\nversion: 1\nscenarios:\n  - name: walk\n    env: '{TOYS}:ToyEnv'\n"
        f"    env_kwargs: {{size: [24, 32]}}\n    controller: '{PARTS}:Walk'\n    context: 4\n    horizon: 8\n"
    )
    return path


def test_a_model_of_ones_own(tmp_path: Path, suite: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    done = run(
        *("eval", "--model", "mine.py:Mine", "--model-args", "fade=2", "--scenarios", suite, "--episodes", "12"),
        *("--out", "R"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "12 episodes" in done.stderr and "fidelity.ssim" in done.stderr, "the plan is printed first"
    assert (tmp_path / "R/report/index.html").is_file()
    rows = json.loads((tmp_path / "R/summary.json").read_text())["rows"]
    headline = [r for r in rows if r["scenario"] == "*" and r["headline"] and r["family"] == "fidelity"]
    assert headline and all(row["value"] is not None for row in headline)
    config = json.loads((tmp_path / "R/run.json").read_text())
    assert config["model"]["name"] == "mine"
    shown = run("show", "R", cwd=tmp_path)
    assert shown.returncode == 0 and "mine" in shown.stdout
    listed = run("ls", "runs", "--folder", ".", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    again = run("score", "R", "--metrics", "fidelity.l1", "--no-report", "--quiet", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert {r["metric"] for r in json.loads((tmp_path / "R/summary.json").read_text())["rows"]} == {"fidelity.l1"}


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["evl"], 2, "Did you mean 'eval'"),
        (["eval"], 2, "no model was named"),
        (["eval", "--model", "worldsim/Orcale"], 2, "Did you mean 'worldsim/Oracle'"),
        (["eval", "--model", "worldsim/Oracle", "--scenarios", "quik"], 2, "Did you mean 'quick'"),
        (["eval", "--model", "worldsim/Oracle", "--metrics", "fidelity.sim"], 2, "Did you mean 'fidelity.ssim'"),
        (["eval", "--model", "worldsim/Oracle", "--env", "blokcs"], 2, "Did you mean 'blocks'"),
        (["eval", "--modle", "x"], 2, "--model"),
        (["eval", "--model", "worldsim/Frozen", "--model-args", "speed=3"], 2, "speed"),
        (["eval", "--model", "nowhere.py:Mine"], 2, "nowhere.py"),
        (["eval", "--model", "worldsim/Frozen", "--size", "big"], 2, "height x width"),
        (["eval", "--resume", "--out", "nothing"], 1, "no run to resume"),
        (["score", "nothing"], 1, "not a run"),
        (["show", "worldsim/Frozn"], 2, "Did you mean 'worldsim/Frozen'"),
        (["ls", "modles"], 2, "models"),
    ],
)
def test_mistakes_are_answered(tmp_path: Path, args: list[str], code: int, says: str) -> None:
    done = run(*args, cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists(), "a mistake leaves nothing behind"


@pytest.mark.parametrize("verb", ["eval", "rollout", "score", "report", "check"])
def test_every_help_page_ends_in_examples(tmp_path: Path, verb: str) -> None:
    done = run(verb, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"worldsim {verb} " in done.stdout.split("examples:")[-1]


def test_help_lists_the_verbs(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0 and "examples:" in done.stdout
    assert run(cwd=tmp_path).returncode == 2
