"""A recipe: all that makes a checkpoint, in one file. The recipe is the product; a checkpoint is what it gave once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.model.codec.config import CodecConfig
from worldsim.model.dit.config import DiTConfig
from worldsim.model.plain import from_plain, to_plain
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
        validation_steps: T of each validation episode.
        share: How often clips come from it, relative to the other sets.
        fresh: Episodes that give way to newly played ones at each refresh while the transformer is trained; 0 = none.
    """

    size: tuple[int, int] = (64, 64)
    episodes: int = 256
    validation: int = 48
    steps: int = 96
    validation_steps: int = 64
    share: float = 1.0
    fresh: int = 0

    def __post_init__(self) -> None:
        if self.fresh < 0:
            raise ConfigError(f"fresh must be at least 0, got {self.fresh}")


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """How episodes are played; see `worldsim.collect.CollectConfig`."""

    env: str = "blocks"
    env_args: Mapping[str, Any] = field(default_factory=dict)
    scenarios: tuple[str, ...] = ()
    walks: float = 1.0
    interact: float = 0.1
    controller: str = "explore"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """See the module.

    Attributes:
        name: "nano", "tiny", ...
        summary: One sentence for the model card.
        play: How the episodes are made.
        data: Sets of episodes, one a size.
        codec, codec_loss, codec_training: The codec, what for, and the budget.
        codec_episodes: Episodes of the first set that the codec sees at most, if they fit into memory (see
            `worldsim.train_data.MAX_MEMORY`); else it sees all of them, read from disk.
        refresh: Steps of the transformer between two refreshes of the sets that have `fresh` episodes.
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
    codec: CodecConfig = field(default_factory=CodecConfig)
    codec_loss: CodecLossConfig = field(default_factory=CodecLossConfig)
    codec_training: StageConfig
    codec_episodes: int = 1536
    refresh: int = 100
    dit: DiTConfig = field(default_factory=DiTConfig)
    dit_loss: DiTLossConfig = field(default_factory=DiTLossConfig)
    dit_training: StageConfig
    text: bool = True
    context: int = 8
    horizon: int = 16
    steps: int = 2

    def __post_init__(self) -> None:
        if self.refresh < 1:
            raise ConfigError(f"refresh must be at least 1 step, got {self.refresh}")


def recipe_names() -> list[str]:
    """The recipes that come with worldsim."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml"))


def load_recipe(name: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """A recipe by its name, or from a YAML file.

    Args:
        name: One of `recipe_names()`, or the path of a file.
        settings: What to change in it: "dit_training.steps=100", "data.0.episodes=64".

    Raises:
        UnknownNameError: If there is no such recipe or file.
        ConfigError: If it is not valid: file and field are named.
    """
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise UnknownNameError(
            f"no recipe is called {str(name)!r}.{nearest(str(name), recipe_names())} Known: "
            f"{', '.join(recipe_names())}; a file is given as path/to/recipe.yaml."
        )
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if settings and isinstance(plain, dict):
        plain = to_plain(from_plain(Recipe, plain, str(path.name)))  # every field, so that any can be set
        for text in settings:
            _change(plain, text)
    return from_plain(Recipe, plain, str(path.name))


def _change(plain: Any, text: str) -> None:
    """Sets the value at a dotted path."""
    path, sign, value = text.partition("=")
    *way, last = path.split(".")
    if not sign or not path:
        raise ConfigError(f"--set takes path=value, such as dit_training.steps=100; got {text!r}")
    for key in way:
        plain = plain[_key(plain, key, text)]
    key = last if way[-1:] == ["env_args"] else _key(plain, last, text)  # its names are the environment's
    try:
        plain[key] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text!r}: {error}") from error


def _key(plain: Any, key: str, text: str) -> Any:
    if isinstance(plain, list) and key.isdigit() and int(key) < len(plain):
        return int(key)
    if isinstance(plain, dict) and key in plain:
        return key
    if isinstance(plain, dict):
        raise ConfigError(f"--set {text!r}: there is no {key!r}.{nearest(key, plain)} Known: {', '.join(plain)}")
    known = f"an index below {len(plain)}" if isinstance(plain, list) else "nothing below it"
    raise ConfigError(f"--set {text!r}: no {key!r}, expected {known}")
