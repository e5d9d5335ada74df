"""`worldsim train` from the command line: slices, kills, what it leaves, and mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.model.pushed import RECIPE, make
from worldsim.cli.main import main
from worldsim.dataset import read_info
from worldsim.errors import ConfigError
from worldsim.model.checkpoint import load_checkpoint
from worldsim.model.recipe import load_recipe
from worldsim.train_data import given_data

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    make(folder / "pushed")
    (folder / "micro.yaml").write_text(RECIPE)
    return folder


def options(place: Path, out: str, *more: str) -> list[str]:
    return [
        *("train", "--recipe", str(place / "micro.yaml"), "--data", str(place / "pushed"), "--out", str(place / out)),
        *("--threads", "1", "--log-every", "4", "--save-seconds", "0", *more),
    ]


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """A training that was never stopped."""
    assert main(options(place, "whole", "--quiet")) == 0
    return place / "whole"


def figures(out: Path, stage: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (out / stage / f"{stage}.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "cpu_seconds"} for row in rows]


def kill_after(place: Path, out: str, stage: str, rows: int) -> None:
    """Starts the command and kills it, without warning, once the log of a stage has so many lines."""
    log = place / out / stage / f"{stage}.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "worldsim", *options(place, out, "--quiet")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < deadline:
        if log.is_file() and log.read_text().count("\n") >= rows:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    _, told = process.communicate()
    assert process.returncode == -signal.SIGKILL, told


def test_a_killed_training_ends_as_one_that_was_not(place: Path, whole: Path) -> None:
    kill_after(place, "killed", "codec", 3)
    kill_after(place, "killed", "dit", 2)
    assert main(options(place, "killed", "--quiet")) == 0
    for stage in ("codec", "dit"):
        assert figures(place / "killed", stage) == figures(whole, stage)
        for file in ("model", "ema", "optimizer"):
            ours = load_file(place / "killed" / stage / "state" / f"{file}.safetensors")
            theirs = load_file(whole / stage / "state" / f"{file}.safetensors")
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[k], theirs[k]) for k in ours), (stage, file)
    for part in ("codec", "dit"):
        name = f"checkpoint/{part}/model.safetensors"
        assert (place / "killed" / name).read_bytes() == (whole / name).read_bytes()


def test_slices_end_with_one_and_say_how_to_go_on(place: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = [main(options(place, "slices", "--seconds", "0.3", "--quiet")) for _ in range(2)]
    told = capsys.readouterr().err
    assert codes[0] == 1 and "To go on: worldsim train --recipe" in told and "--seconds 0.3" in told
    assert main(options(place, "slices", "--quiet")) == 0
    assert figures(place / "slices", "dit") == figures(whole, "dit")


def test_the_checkpoint_says_where_it_comes_from(place: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = load_checkpoint(whole / "checkpoint")
    card = found.config.card
    assert card["seed"] == 0 and card["steps"] == {"codec": 30, "dit": 30} and card["recipe"]["name"] == "micro"
    assert card["recipe"]["play"]["env"] == found.config.env == "pushed"
    assert set(card["versions"]) == {"worldsim", "torch", "numpy", "python"}
    assert card["words"] == []  # its play has no captions
    assert {"copy@1", "steps2@4", "shuffled@1"} <= set(card["validation"]["dit"])
    readme = (whole / "checkpoint" / "README.md").read_text()
    assert "worldsim/DiT-micro" in readme and card["data"][:12] in readme and "steps2@4" in readme
    # Nothing is left to do: the same command makes the same checkpoint again.
    before = (whole / "checkpoint" / "dit" / "model.safetensors").read_bytes()
    assert main(options(place, "whole", "--quiet")) == 0
    assert "checkpoint:" in capsys.readouterr().out
    assert (whole / "checkpoint" / "dit" / "model.safetensors").read_bytes() == before


def test_pictures_hold_truth_and_generation(whole: Path) -> None:
    import cv2

    codec = cv2.imread(str(whole / "codec" / "pictures" / "codec-0000030.png"))
    dit = cv2.imread(str(whole / "dit" / "pictures" / "dit-0000030.png"))
    assert codec.shape == (64, 2 * 32, 3)  # two validation clips above their round trips
    assert dit.shape[0] % 64 == 0 and dit.shape[1] == 2 * 32  # each second of four frames
    truth = dit[:32]
    assert truth.max() > 200 and truth.std() > 20


def test_another_recipe_in_the_same_folder_is_refused(
    place: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(place, "whole", "--quiet", "--set", "dit_training.lr=0.001")) == 1
    told = capsys.readouterr().err
    assert "dit/state was made with other settings: stage.lr was 0.004, now 0.001" in told and "delete it" in told
    assert main(options(place, "whole", "--quiet", "--seed", "5")) == 1
    assert "seed was 0, now 5" in capsys.readouterr().err


def test_a_training_starts_from_a_checkpoint(place: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = (
        "--init",
        str(whole / "checkpoint"),
        "--set",
        "dit.depth=6",
        "codec_training.steps=0",
        "dit_training.steps=2",
    )
    assert main(options(place, "started", *more)) == 0
    told = capsys.readouterr().err
    assert "codec: " in told and "100.0% of the numbers" in told and "dit: " in told and "not in the checkpoint" in told
    old, new = load_checkpoint(whole / "checkpoint"), load_checkpoint(place / "started" / "checkpoint")
    assert new.config.card["init"] == old.digest
    assert torch.equal(old.codec.encoder.patch.weight, new.codec.encoder.patch.weight)
    assert "started from the weights" in (place / "started" / "checkpoint" / "README.md").read_text()


def test_latents_of_two_frames_are_trained_too(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--quiet", "--set", "codec.temporal=2", "codec_training.steps=2", "dit_training.steps=2"]
    assert main(options(place, "odd", *more)) == 2
    assert "a context of 1 + 2k frames" in capsys.readouterr().err
    assert main(options(place, "odd", *more, "context=3")) == 0
    assert load_checkpoint(place / "odd" / "checkpoint").dit.config.temporal == 2


def test_mistakes_are_answered(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--recipe", "nano"]) == 2
    assert "--out is missing" in capsys.readouterr().err
    assert main(["train", "--recipe", "nano", "--out", str(tmp_path), "--seconds", "0"]) == 2
    assert main(["train", "--recipe", "nano", "--out", str(tmp_path), "--validation", str(tmp_path)]) == 2
    assert (
        main(
            ["train", "--recipe", "nano", "--out", str(tmp_path), "--parallel", "fsdp", "--data", str(place / "pushed")]
        )
        == 2
    )
    assert "torchrun" in capsys.readouterr().err
    assert main(["train", "--recipe", "nano", "--out", str(tmp_path), "--data", str(tmp_path)]) == 2
    assert "held-out episodes" in capsys.readouterr().err


def test_given_data_replaces_that_of_the_recipe(place: Path) -> None:
    recipe, data = given_data(load_recipe("tiny"), [place / "pushed"])
    assert [d.size for d in recipe.data] == [(32, 32)] and recipe.play.env == "pushed"
    assert data.validation == (place / "pushed-validation",) and data.info.digest == read_info(place / "pushed").digest
    with pytest.raises(ConfigError, match="one validation dataset for each of 1"):
        given_data(load_recipe("tiny"), [place / "pushed"], [place, place])
