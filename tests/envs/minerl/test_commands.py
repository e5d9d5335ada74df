"""The ways in for a user: `worldsim eval` over the stand-in, and `worldsim doctor minerl`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.envs.minerl.conftest import FAKE
from worldsim.cli.doctor import doctor_command
from worldsim.cli.main import main
from worldsim.envs.scenarios import load_set


def test_both_names_have_the_scenarios() -> None:
    assert load_set("quick", env="minerl").hash != ""
    assert [s.name for s in load_set("quick", env="worldsim/MineRL-v0").scenarios] == ["wander"]


def test_eval_runs_from_end_to_end(tmp_path: Path) -> None:
    out = tmp_path / "run"
    line = f"eval --env minerl --env-args python={FAKE} --model worldsim/Frozen --metrics fidelity.l1 --episodes 2"
    assert main([*line.split(), "--batch", "2", "--quiet", "--out", str(out)]) == 0
    rows = _lines(out / "episodes.jsonl")
    assert [row["status"] for row in rows] == ["done", "done"]
    assert (out / "report" / "index.html").stat().st_size > 0


def test_a_world_whose_frames_change_costs_its_episode_and_the_run_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    line = f"eval --env minerl --env-args python={FAKE} task=MineRLFault-odd-v0 --model worldsim/Frozen --episodes 4"
    assert main([*line.split(), "--metrics", "fidelity.l1", "--batch", "1", "--quiet", "--out", str(out)]) == 1
    planned = {row["episode"]: row for row in _lines(out / "plan.jsonl")}
    rows = _lines(out / "episodes.jsonl")
    assert {row["episode"] for row in rows} == set(planned)
    for row in rows:
        odd = planned[row["episode"]]["world_seed"] % 2 == 1
        assert row["status"] == ("failed" if odd else "done")
        if odd:
            assert "64x64x3 float32, expected 64x64x3 uint8" in json.dumps(row)
    assert len({row["status"] for row in rows}) == 2  # worlds of both kinds were among them


@pytest.mark.parametrize(
    ("python", "code", "words"),
    [
        (FAKE, 0, ["18 tasks", "a reset cannot start Minecraft", "port=9000"]),
        ("", 3, ["MISSING  python", "pip install minerl==0.4.4", "export WORLDSIM_MINERL_PYTHON="]),
        ("/bin/false", 3, ["MISSING  python", "/bin/false ended with 1"]),
        (sys.executable, 3, ["MISSING  minerl", "No module named", "docs/minerl.md"]),
    ],
)
def test_doctor(
    python: str, code: int, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WORLDSIM_MINERL_PYTHON", raising=False)
    assert doctor_command(["minerl", *filter(None, [python])]) == code
    said = capsys.readouterr().out
    assert all(text in said for text in words), said


def test_doctor_needs_no_more_than_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor_command(["minerl", "--help"]) == 0
    assert doctor_command(["minerl", "a", "b"]) == 2


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text().splitlines()]
