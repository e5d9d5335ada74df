"""`worldsim show recipe NAME`: a recipe with every setting, and how large what it makes is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tyro.conf import Positional

from worldsim.cli.arguments import parse

if TYPE_CHECKING:
    from worldsim.model.recipe import Recipe

EXAMPLES = """
worldsim show recipe tiny
worldsim show recipe large --processes 8
worldsim show recipe nano --set dit.width=128 data.0.fresh=16
"""
#: They follow from the data.
_FILLED_IN = ("channels", "temporal", "action_space", "action_scale", "vocabulary")


@dataclass(frozen=True, kw_only=True)
class RecipeArguments:
    """Shows a recipe with every setting, how large the networks are, and what data and memory they take."""

    name: Positional[str]
    """nano, tiny, doom, minecraft, miniworld, small, base, large, or path/to/recipe.yaml."""
    set: tuple[str, ...] = ()
    """Changes of the recipe: path=value ..., as in `worldsim train`."""
    processes: int = 1
    """Among how many the batch is dealt out."""


def recipe_command(args: Sequence[str]) -> int:
    """`worldsim show recipe NAME`; nothing is allocated, and the environment is asked for its actions only."""
    given = parse(RecipeArguments, args, "show recipe", EXAMPLES)
    from worldsim.cli.train import dry_run
    from worldsim.errors import ConfigError
    from worldsim.model.recipe import load_recipe

    if given.processes < 1:
        raise ConfigError(f"--processes must be at least 1, got {given.processes}")
    recipe = load_recipe(given.name, given.set)
    print(as_yaml(recipe))
    return dry_run(recipe, given.processes)


def as_yaml(recipe: Recipe) -> str:
    """Every setting of a recipe, defaults too, as a recipe file holds them."""
    import yaml

    from worldsim.model.plain import to_plain

    plain = to_plain(recipe)
    plain["dit"] = {key: value for key, value in plain["dit"].items() if key not in _FILLED_IN}
    text: str = yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=110)
    return text
