"""The recipes that come with worldsim: they load, have the size of their name, and take changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.cli.main import main
from worldsim.errors import ConfigError, UnknownNameError
from worldsim.model.plain import from_plain, to_plain
from worldsim.model.recipe import Recipe, load_recipe, recipe_names
from worldsim.model.sizes import describe, stage_sizes
from worldsim.train import with_space

#: Millions of parameters, codec and transformer together.
RANGES = {
    "nano": (0.3, 1.5),
    "tiny": (4, 8),
    **dict.fromkeys(("doom", "minecraft", "miniworld"), (4, 8)),
    "small": (15, 25),
    "base": (130, 175),
    "large": (450, 560),
}
KEYS = {
    "type": "dict",
    "spaces": {"camera": {"type": "box", "low": [-1.0, -1.0], "high": [1.0, 1.0], "dtype": "float32"}},
}


def test_all_recipes_are_tested() -> None:
    assert set(recipe_names()) == set(RANGES)


@pytest.mark.parametrize("name", RANGES)
def test_a_recipe_has_the_size_of_its_name(name: str) -> None:
    recipe = with_space(load_recipe(name), KEYS)
    assert recipe.name == name and recipe.summary
    sizes = stage_sizes(recipe, 8 if name in ("base", "large") else 1)
    low, high = RANGES[name]
    assert low <= sum(s.parameters for s in sizes) / 1e6 <= high
    for data in recipe.data:
        assert not any(n % (8 * recipe.dit.patch) for n in data.size), "a frame must split into tokens"
        assert data.steps + 1 >= recipe.dit_training.frames
        assert data.validation_steps + 1 >= recipe.context + recipe.horizon
    assert from_plain(Recipe, to_plain(recipe), "again") == recipe


def test_memory_follows_from_the_part_of_the_batch() -> None:
    recipe = with_space(load_recipe("nano"), KEYS)
    one, four = stage_sizes(recipe)[1], stage_sizes(recipe, 4)[1]
    assert one.clips == 4 * four.clips and one.state == four.state
    assert 3 < one.activations / four.activations < 5
    assert "17 tokens a frame" in "\n".join(describe(recipe))


def test_settings_change_a_recipe() -> None:
    recipe = load_recipe(
        "nano", ["dit_training.steps=7", "data.0.episodes=3", "play.env_args.actions=discrete", "text=false"]
    )
    assert (recipe.dit_training.steps, recipe.data[0].episodes, recipe.text) == (7, 3, False)
    assert recipe.play.env_args == {"preset": "arena", "actions": "discrete"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("dit_training.stepz=1", "Did you mean 'steps'"),
        ("dit_training.steps=many", "must be int"),
        ("data.9.episodes=1", "an index below 1"),
        ("nothing", "path=value"),
        ("dit.width=33", "multiple of 8"),
        ("dit_training.steps.more=1", "nothing below it"),
    ],
)
def test_wrong_settings_are_answered(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("nano", [setting])


def test_wrong_files_are_answered(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'tiny'"):
        load_recipe("tinny")
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: [")
    with pytest.raises(ConfigError, match="not YAML"):
        load_recipe(bad)
    bad.write_text("name: x")
    with pytest.raises(ConfigError, match="missing codec_training, dit_training"):
        load_recipe(bad)


def test_show_prints_a_whole_recipe_that_can_be_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["data.0.fresh=16", "refresh=50"]
    assert main(["show", "recipe", "nano", "--set", *changes]) == 0
    told = capsys.readouterr().out
    text, size, rest = told.partition("\nrecipe nano: ")
    (tmp_path / "again.yaml").write_text(text)
    assert load_recipe(tmp_path / "again.yaml") == load_recipe("nano", changes)
    assert "lr: 0.005" in text and "shortcut_from" in text and "window: 8" in text, "defaults are shown, too"
    assert size and "17 tokens a frame; 200 steps of 8 clips" in rest and "48 episodes" in rest
    assert "16 of them are replaced every 50 steps, 3 times: 48 episodes more" in rest
    assert main(["show", "recipe", "nona"]) == 2
    assert "Did you mean 'nano'" in capsys.readouterr().err
    assert main(["show", "recipe", "nano", "--processes", "0"]) == 2


def test_a_dry_run_says_how_large(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--recipe", "nano", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "together 0." in out and "GB activations of 8 clip(s)" in out
