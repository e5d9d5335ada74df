"""Training works at all: nano learns from real play within a minute, and two episodes can be learned by heart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.model.pushed import episodes, write
from worldsim.model.checkpoint import load_checkpoint
from worldsim.model.recipe import load_recipe
from worldsim.model.training.config import RunConfig
from worldsim.train import train
from worldsim.train_data import given_data


@pytest.mark.slow
def test_nano_learns(tmp_path: Path) -> None:
    """The recipe with a third of its steps."""
    recipe = load_recipe(
        "nano",
        [
            *("data.0.episodes=16", "data.0.validation=8", "data.0.steps=32", "data.0.validation_steps=32"),
            *("codec_training.steps=200", "dit_training.steps=100", "dit_training.validate_every=100"),
        ],
    )
    torch.set_num_threads(1)
    place = train(recipe, tmp_path, RunConfig(quiet=True, log_every=10))
    assert place is not None
    codec, dit = (rows(tmp_path / name / f"{name}.jsonl") for name in ("codec", "dit"))
    assert codec[-2]["mse"] < 0.25 * codec[0]["mse"]
    losses = [row["loss"] for row in dit if "loss" in row]
    assert np.mean(losses[-3:]) < 0.5 * losses[0]
    card = load_checkpoint(place).config.card
    assert card["validation"]["codec"]["psnr"] > 19
    # Frames of uniform noise are 8 to 9 dB from pictures of any kind; a grey frame is about 12 from these.
    assert card["validation"]["dit"]["steps2@1"] > 13
    assert card["validation"]["dit"]["steps2@8"] > 11


def test_two_episodes_are_learned_by_heart(tmp_path: Path) -> None:
    """Eight frames, played from one, are those of the episode."""
    two = episodes(2, 12, seed=0)
    write(tmp_path / "two", [two])
    write(tmp_path / "two-validation", [two], "validation")
    recipe = load_recipe(
        "nano",
        [
            *(
                "codec_training.steps=120",
                "codec_training.frames=2",
                "codec_training.batch=8",
                "codec_training.ema=0.9",
            ),
            *("codec_loss.mask_share=0", "codec_loss.noise=0.01", "text=false", "dit.window=4", "dit.width=64"),
            *("dit_training.steps=350", "dit_training.frames=4", "dit_training.validate_every=350"),
            *("dit_loss.masks.ahead=0", "dit_loss.masks.backward=0", "context=1", "horizon=8"),
        ],
    )
    recipe, data = given_data(recipe, [tmp_path / "two"])
    torch.set_num_threads(1)
    place = train(recipe, tmp_path / "out", RunConfig(quiet=True), data=data)
    assert place is not None
    found = load_checkpoint(place).config.card["validation"]
    assert found["codec"]["psnr"] > 35
    assert min(found["dit"][f"steps2@{h}"] for h in (1, 4, 8)) > 30
    assert found["dit"]["steps2@8"] > found["dit"]["shuffled@8"] + 5  # and it is the actions that say where it goes


def rows(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
