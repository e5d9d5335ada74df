"""Two findings about published numbers, run as examples, and the records that they rest on.

Reference: github.com/SkyworkAI/Matrix-Game, commit f1bf6e6. Recipe of data/gameworld_bench76.csv: the 76 files of
GameWorldScore/GameWorld/third_party/IDM/Bench76, lines 1 to 64 counted from 0 (the ones that IDM_bench.py scores of a
65-frame video), frames in which each key is pressed, and the camera's move. The floors below are what its functions
`define_exclusive_classification_task`, `classification_metric` and `compute_camera_precision` give (scikit-learn 1.9.1)
when the predicted actions are none at all.

Tolerance: 1e-12 for the floors, half of the last digit for the rounded ones.
"""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
KEYS = ("back", "forward", "left", "right", "attack", "jump")
WAYS = {  # (pitch, yaw) of the camera -> its name
    (0, 0): "", (-5, 0): "up", (5, 0): "down", (0, -5): "l", (0, 5): "r",
    (-5, -5): "ul", (-5, 5): "ur", (5, -5): "dl", (5, 5): "dr",
}  # fmt: skip
THEIRS = {
    "back / forward": 0.6578947368421053,
    "left / right": 0.6578947368421053,
    "attack": 0.9078947368421053,
    "jump": 0.8157894736842105,
    "keys": 0.7598684210526316,
    "camera": 0.2631578947368421,
    "keys, balanced": (1 / 3 + 1 / 3 + 1 / 2 + 1 / 2) / 4,  # mean of its four recall_macro
}


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    path = ROOT / "examples" / f"{name}.py"
    assert len(path.read_text().splitlines()) < 60
    exec(compile(path.read_text(), str(path), "exec"), {"__name__": "__main__"})
    return capsys.readouterr().out


def test_the_example_builds_the_scripts_that_were_recorded() -> None:
    noop = example("noop_floor_of_key_accuracy")
    with (ROOT / "tests" / "reference" / "data" / "gameworld_bench76.csv").open() as file:
        rows = list(csv.DictReader(file))
    recorded = sorted(
        (tuple(int(row[key]) for key in KEYS), WAYS[int(row["camera_pitch"]), int(row["camera_yaw"])]) for row in rows
    )
    built = sorted(
        (tuple((key in keys.split()) * (32 if key == "attack" else 64) for key in KEYS), way)
        for keys, way in noop.SCRIPTS
    )
    assert built == recorded
    assert len(rows) == 76 and {row["frames"] for row in rows} == {"64"}


def test_the_floors_are_what_their_functions_give() -> None:
    floors = example("noop_floor_of_key_accuracy").floors()
    for name, value in THEIRS.items():
        assert floors[name] == pytest.approx(value, abs=1e-12), name
    reported = [floors[n] for n in ("keys", "camera", "back / forward", "left / right", "attack", "jump")]
    assert reported == pytest.approx([0.760, 0.263, 0.658, 0.658, 0.908, 0.816], abs=5e-4)


def test_the_no_op_floor_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("noop_floor_of_key_accuracy", capsys)
    assert "76 scripts" in text and "0.760" in text and "0.263" in text
    assert "Oasis        keys 0.77, skill 0.04" in text


def test_a_frozen_video_has_distance_zero_under_every_translation(capsys: pytest.CaptureFixture[str]) -> None:
    tsed = example("frozen_video_zero_of_tsed")
    for name, (_, turn) in tsed.MOVES.items():
        largest, verdict = tsed.frozen(name)
        if turn == 0.0:
            assert largest < 1e-12  # 0 but for rounding
            assert verdict.consistent and not verdict.powerful
        else:
            assert largest > 0.1
    text = printed("frozen_video_zero_of_tsed", capsys)
    assert text.count("no power") >= 3
