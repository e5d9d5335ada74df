"""The table of environments: what is measured, how a line reads, and where it is written."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.toys import ToyEnv
from worldsim.checks.speed import in_words, measure, processor_seconds
from worldsim.cli import bench_envs
from worldsim.cli.bench_envs import HEADER, MARKS, check_page, page, registered, row, write_page
from worldsim.errors import ConfigError
from worldsim.spaces import NamedDiscrete

FOUND: dict[str, Any] = {
    "frames": 1234.0,
    "truth": 9.6,
    "restore": 0.0021,
    "way": "replay",
    "actions": "2",
    "deterministic": True,
    "open_future": False,
    "render_from": False,
    "edit": ["RemoveObject", "SetCell"],
    "fields": ["depth", "intrinsics", "segmentation", "world_from_camera"],
}


def test_a_truth_is_measured_with_what_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldsim.checks.speed.SECONDS", 0.02)
    found = measure(ToyEnv(terminate_at=9))
    assert found["frames"] > 10 and found["truth"] > 10 and 0 < found["restore"] < 1
    assert found["edit"] == ["MoveObject", "RecolourObject", "RemoveObject"] and found["render_from"]
    assert measure(ToyEnv(snapshots=False))["restore"] is None


def test_processor_time_grows_with_work_and_not_with_waiting() -> None:
    start = processor_seconds()
    time.sleep(0.05)
    waited = processor_seconds() - start
    while processor_seconds() - start < waited + 0.02:  # a clock that stood still would never end this
        pass
    assert waited < 0.05


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are found in /proc")
def test_the_work_of_a_child_that_works_briefly_and_waits_is_counted() -> None:
    """As an engine in lockstep does: a kernel that samples at its ticks of 1 to 10 ms does not see it."""
    child = """
import time
for _ in range(100):
    until = time.process_time() + 0.001
    while time.process_time() < until:
        pass
    time.sleep(0.001)
print(time.process_time(), flush=True)
input()
"""
    start, own = processor_seconds(), time.process_time()
    with subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        used = float(process.stdout.readline())
        counted = processor_seconds() - start - (time.process_time() - own)
        process.communicate("\n")
    assert used >= 0.1 and used - 0.005 < counted < used + 0.05  # the clocks are read one after another


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (gym.spaces.Discrete(4), "4"),
        (NamedDiscrete(("a", "b")), "2 named"),
        (gym.spaces.Box(-1, 1, (2, 3), np.float32), "6 numbers"),
        (gym.spaces.Dict({"a": gym.spaces.Discrete(2)}), "1 keys"),
    ],
    ids=str,
)
def test_spaces_in_words(space: Any, words: str) -> None:
    assert in_words(space) == words


def test_a_line_of_the_table() -> None:
    line = row("gym:X", FOUND)
    assert len(line) == len(HEADER)
    assert line == ("gym:X", "2", "1,200", "9.6", "yes", "replay, 2.1 ms", "2", "no", "depth, ids, pose")
    assert row("gym:X", {**FOUND, "restore": None, "fields": []})[5::3] == ("no", "frames only")


def test_what_cannot_start_is_told_below_the_table() -> None:
    text = page({"gym:X": FOUND, "gym:Y": {"error": "no package"}}, (64, 96))
    assert "| `gym:X` | 2 |" in text and "- `gym:Y`: no package." in text and "64x96" in text


def test_the_table_goes_between_the_marks(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    check_page(path)
    write_page(path, "new")
    assert path.read_text() == f"before\n{MARKS[0]}\n\nnew\n\n{MARKS[1]}\nafter\n"
    path.write_text("no marks")
    with pytest.raises(ConfigError, match="needs the two lines"):
        check_page(path)


def test_each_environment_comes_once_and_what_crashes_costs_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    names = registered()
    assert "worldsim/Blocks-v0" in names and "blocks" not in names
    monkeypatch.setattr(bench_envs.sys, "executable", "/bin/false")
    assert "ended with 1" in bench_envs.measure_apart("gym:X", (8, 8))["error"]


def test_the_page_in_the_docs_has_its_marks() -> None:
    check_page(Path(__file__).parents[2] / "docs" / "environments.md")
