"""Training on episodes that are played meanwhile: the same losses whatever the timing, kills included."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.model.pushed import make
from worldsim.cli.main import main
from worldsim.collect import CollectConfig, collect, record_episode
from worldsim.dataset import read_info, shards
from worldsim.errors import ConfigError, WorldFailure
from worldsim.model.training.latent_store import open_latents
from worldsim.seeding import split_of
from worldsim.train_data import DataSets
from worldsim.train_fresh import FreshPlayer, fresh_plays

ROOT = Path(__file__).parents[1]
PLAY = CollectConfig(episodes=6, steps=16, size=(32, 32), scenarios=(), walks=1.0)
#: nano, made small: 3 refreshes in 30 steps, which replace every episode once and some of them twice.
SETTINGS = [
    *("data.0.size=[32,32]", "data.0.episodes=6", "data.0.validation=4", "data.0.steps=16"),
    *("data.0.validation_steps=16", "data.0.fresh=3", "refresh=8"),
    *("codec_training.steps=6", "codec_training.batch=2", "codec_training.validate_every=100"),
    *("dit_training.steps=30", "dit_training.batch=4", "dit_training.frames=6", "dit_training.validate_every=100"),
    *("dit.width=32", "dit.heads=2", "dit.kv_heads=1"),
]
FILES = ("model", "ema", "optimizer")


def options(out: Path, *settings: str) -> list[str]:
    return [
        *("train", "--recipe", "nano", "--out", str(out), "--threads", "1", "--log-every", "1", "--save-seconds", "0"),
        *("--quiet", "--set", *SETTINGS, *settings),
    ]


def losses(out: Path) -> dict[int, Any]:
    rows = [json.loads(line) for line in (out / "dit" / "dit.jsonl").read_text().splitlines()]
    return {row["step"]: {k: v for k, v in row.items() if k != "cpu_seconds"} for row in rows if "loss" in row}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was never stopped."""
    out = tmp_path_factory.mktemp("fresh") / "whole"
    assert main(options(out)) == 0
    return out


def kill_at(out: Path, step: int) -> None:
    """Runs the command and kills it at a step, and looks that the process that played ends by itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worldsim", *options(out)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    log, deadline = out / "dit" / "dit.jsonl", time.monotonic() + 90
    while process.poll() is None and time.monotonic() < deadline:
        if log.is_file() and log.read_text().count("\n") >= step:
            break
        time.sleep(0.001)
    children = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    _, told = process.communicate()
    assert process.returncode == -signal.SIGKILL, told
    deadline = time.monotonic() + 120
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # another system, or it is over
        return []


def test_a_killed_training_ends_as_one_that_was_not(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    for step in (4, 20):  # before the first refresh, and after the second
        kill_at(out, step)
    assert main(options(out)) == 0
    assert losses(out) == losses(whole)
    for file in FILES:
        ours, theirs = (load_file(o / "dit" / "state" / f"{file}.safetensors") for o in (out, whole))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours), file


def test_fresh_episodes_change_what_is_learned_from_the_first_refresh_on(whole: Path, tmp_path: Path) -> None:
    assert main(options(tmp_path, "data.0.fresh=0")) == 0
    stale, fresh = losses(tmp_path), losses(whole)
    differs = [step for step in stale if stale[step] != fresh[step]]
    assert differs[0] == 9  # the ninth step is the first after the refresh
    assert not list((tmp_path / "latents").rglob("fresh"))
    rows = [json.loads(line) for line in (whole / "dit" / "fresh.jsonl").read_text().splitlines()]
    assert [row["refresh"] for row in rows] == [1, 2, 3] and all(row["waited"] >= 0 for row in rows)
    assert "and 9 fresh episodes" in (whole / "checkpoint" / "README.md").read_text()


def test_fresh_episodes_continue_the_dataset_in_training_worlds(whole: Path, tmp_path: Path) -> None:
    """They are what a larger `collect` would have played."""
    play = fresh_plays(DataSets(train=(whole / "data" / "32x32",), validation=(), shares=(1.0,)), [3])[0]
    assert [play.indices(r) for r in (1, 2)] == [range(6, 9), range(9, 12)]
    recordings = [record_episode(play.config, i, play.scripts) for i in play.indices(2)]
    more = collect(
        CollectConfig(**{**read_info(whole / "data" / "32x32").recipe, "size": (32, 32), "episodes": 12}),
        tmp_path,
        quiet=True,
    )
    every = [r.frames[i] for r in shards(tmp_path) for i in range(len(r))]
    seeds = np.concatenate([r.world_seeds for r in shards(tmp_path)])
    assert more.episodes == 12 and len(set(seeds.tolist())) == 12
    assert all(split_of(int(s)) == "train" for s in seeds)
    for index, recording in zip(play.indices(2), recordings, strict=True):
        assert np.array_equal(recording.frames[0], every[index]) and recording.world_seeds[0] == seeds[index]
    place = next((whole / "latents").rglob("00000003-3"))
    assert open_latents(place).tokens.shape[:2] == (3, 17)


def test_the_card_holds_the_words_of_the_captions(whole: Path) -> None:
    card = json.loads((whole / "checkpoint" / "config.json").read_text())["card"]
    texts = [text for r in shards(whole / "data" / "32x32") for text in r.caption_table]
    assert card["words"] == sorted({word for text in texts for word in re.findall(r"[a-z]+|;", text)})
    assert "arena" in card["words"] and "night" not in card["words"]


def test_a_player_that_dies_is_started_again_once(tmp_path: Path) -> None:
    collect(PLAY, tmp_path / "play", quiet=True)
    player = FreshPlayer(fresh_plays(DataSets(train=(tmp_path / "play",), validation=(), shares=(1.0,)), [2]))
    try:
        player.begin(1)
        os.kill(player._process.pid, signal.SIGKILL)
        (first,) = player.take(1)
        assert first.frames.shape == (2, 17, 32, 32, 3)
        player.begin(2)
        (again,) = player.take(1)  # another one than was begun: that is dropped
        assert np.array_equal(again.frames, first.frames)
        started = player._start

        def dies() -> None:
            started()
            os.kill(player._process.pid, signal.SIGKILL)

        player.close()
        player._start = dies  # type: ignore[method-assign]
        with pytest.raises(WorldFailure, match=r"killed by SIGKILL, twice"):
            player.take(1)
    finally:
        player.close()


def test_mistakes_are_answered_before_anything_is_trained(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "pushed")
    found = DataSets(train=(tmp_path / "pushed",), validation=(), shares=(1.0,))
    with pytest.raises(ConfigError, match="was not made by `worldsim collect`"):
        fresh_plays(found, [2])
    assert fresh_plays(found, [0]) == ()
    held = DataSets(train=(whole / "data" / "32x32-validation",), validation=(), shares=(1.0,))
    with pytest.raises(ConfigError, match="training worlds"):
        fresh_plays(held, [2])
    assert main(options(tmp_path / "many", "data.0.fresh=7")) == 2
    assert "must replace 1..6 of 6 episodes" in capsys.readouterr().err
    assert not (tmp_path / "many" / "codec").exists()
    assert main(options(whole, "refresh=9")) == 1
    assert "fresh.every was 8, now 9" in capsys.readouterr().err
    assert main(options(tmp_path / "none", "refresh=0")) == 2
