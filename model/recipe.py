"""A recipe: all that makes a checkpoint, in one file. The recipe is the product; a checkpoint is what it gave once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.model.codec.config import CodecConfig
from worldsim.model.dit.config import DiTConfig
from worldsim.model.plain import from_plain
from worldsim.model.training.config import CodecLossConfig, StageConfig
from worldsim.model.training.dit_config import DiTLossConfig

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """One set of episodes, collected or given.

    Attributes:
        size: (H, W).
        episodes: For training.
        validation: Episodes of validation worlds.
        steps: T of each.
        share: How often clips come from it, relative to the other sets.
    """

    size: tuple[int, int] = (64, 64)
    episodes: int = 256
    validation: int = 48
    steps: int = 96
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """How episodes are played; see `worldsim.collect.CollectConfig`."""

    env: str = "blocks"
    env_args: Mapping[str, Any] = field(default_factory=dict)
    scenarios: tuple[str, ...] = ()
    walks: float = 1.0
    interact: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """See the module.

    Attributes:
        name: "nano", "tiny", ...
        summary: One sentence for the model card.
        play: How the episodes are made.
        data: Sets of episodes, one a size.
        codec, codec_loss, codec_training: The codec, what for, and the budget.
        codec_episodes: Episodes of the first set that the codec sees at most; they lie in memory.
        dit, dit_loss, dit_training: The transformer. What follows from the data (action space and scale, channels,
            vocabulary) is filled in and must not be given.
        text: Whether it reads prompts.
        context, horizon: Of validation rollouts.
        steps: Denoising steps with which the checkpoint plays.
    """

    name: str
    summary: str = ""
    play: PlayConfig = PlayConfig()
    data: tuple[DataConfig, ...] = (DataConfig(),)
    codec: CodecConfig = CodecConfig()
    codec_loss: CodecLossConfig = CodecLossConfig()
    codec_training: StageConfig
    codec_episodes: int = 1536
    dit: DiTConfig = DiTConfig()
    dit_loss: DiTLossConfig = DiTLossConfig()
    dit_training: StageConfig
    text: bool = True
    context: int = 8
    horizon: int = 16
    steps: int = 2


def recipe_names() -> list[str]:
    """The recipes that come with worldsim."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml"))


def load_recipe(name: str | Path) -> Recipe:
    """A recipe by its name, or from a YAML file.

    Raises:
        UnknownNameError: If there is no such recipe or file.
        ConfigError: If it is not valid: file and field are named.
    """
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise UnknownNameError(
            f"no recipe is called {str(name)!r}.{nearest(str(name), recipe_names())} Known: {', '.join(recipe_names())}; "
            "a file is given as path/to/recipe.yaml."
        )
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    return from_plain(Recipe, plain, str(path.name))
