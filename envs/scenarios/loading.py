"""From YAML to `Scenario`s."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsim.envs.scenarios.lines import Lines, read_yaml
from worldsim.errors import ConfigError, UnknownNameError, WorldsimError, nearest
from worldsim.recipes import check_recipe
from worldsim.registry import CONTROLLERS, short_env
from worldsim.types import BranchPoint, Scenario, ViewPoint

FOLDER = Path(__file__).parent

_SET_KEYS = ("name", "version", "summary", "defaults", "alternatives", "scenarios")
_SCENARIO_KEYS = (
    *("name", "summary", "env", "env_kwargs", "controller", "controller_kwargs", "context", "horizon"),
    *("prompts", "branches", "sham", "variants", "views", "probes"),
)
_BRANCH_KEYS = ("name", "at", "judge", "alternatives", "window", "balance", "tell", "yaws")
_VIEW_KEYS = ("name", "judge", "places", "turns")


@dataclass(frozen=True, kw_only=True)
class ScenarioSet:
    """A named, versioned list of scenarios.

    Attributes:
        name: "quick", "core", ... or the name that a user's file gives itself.
        version: Raised whenever a scenario changes.
        scenarios: In the order of the file.
        hash: SHA-256 over the meaning of the file (not its spelling): equal hashes, comparable numbers.
        summary: One sentence.
    """

    name: str
    version: int
    scenarios: tuple[Scenario, ...]
    hash: str
    summary: str = ""


def list_sets(env: str = "blocks") -> list[str]:
    """The names of the sets that come with an environment, sorted; reads no file."""
    return sorted(path.stem for path in (FOLDER / _folder(env)).glob("*.yaml"))


def load_set(name: str | Path, env: str = "blocks") -> ScenarioSet:
    """Loads a set by name, or any YAML file by its path.

    Args:
        name: "quick", "core", "long", ..., or a path ending in .yaml or .yml.
        env: Environment whose folder is searched; scenarios of a file that name no environment are for this one.

    Raises:
        UnknownNameError: If there is no such set or file.
        ConfigError: If the file has an unknown key or a value of the wrong type; with file and line.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        known = list_sets(env)
        if str(name) not in known:
            raise UnknownNameError(
                f"no scenario set for {env!r} is called {str(name)!r}.{nearest(str(name), known)} It has "
                f"{', '.join(known) or 'none'}; a file of your own is given as its path, ending in .yaml."
            )
        path = FOLDER / _folder(env) / f"{name}.yaml"
    if not path.is_file():
        raise UnknownNameError(f"no file {path}; expected the YAML file of a scenario set")
    data, lines = read_yaml(path)
    return parse_set(data, lines, env)


def parse_set(data: Any, lines: Lines, env: str) -> ScenarioSet:
    """A set from what YAML gave."""
    _keys(data, _SET_KEYS, lines, "a scenario set", required=("name", "version", "scenarios"))
    defaults = data.get("defaults", {})
    _keys(defaults, _SCENARIO_KEYS, lines, "defaults")
    named = _mapping(data.get("alternatives", {}), lines, data, "alternatives")
    for recipes in named.values():
        _check_recipes(recipes, lines, named)
    entries = _sequence(data["scenarios"], lines, data, "scenarios")
    scenarios = tuple(_scenario(entry, defaults, named, lines, env) for entry in entries)
    if not scenarios:
        raise ConfigError(f"{lines.where(data)}: a scenario set needs at least one scenario")
    _unique([s.name for s in scenarios], lines.where(data), "scenario")
    version = _typed(data["version"], int, lines.where(data), "version")
    return ScenarioSet(
        name=str(data["name"]),
        version=version,
        scenarios=scenarios,
        hash=_hash(version, scenarios),
        summary=str(data.get("summary", "")),
    )


def _scenario(entry: Any, defaults: Mapping[str, Any], named: Mapping[str, Any], lines: Lines, env: str) -> Scenario:
    _keys(entry, _SCENARIO_KEYS, lines, "a scenario", required=("name",))
    where = lines.where(entry)
    values = {"env": env, **defaults, **entry}
    for key in ("env_kwargs", "controller_kwargs"):  # a scenario adds to the default arguments
        values[key] = {
            **_mapping(defaults.get(key, {}), lines, entry, key),
            **_mapping(entry.get(key, {}), lines, entry, key),
        }
    controller = str(values.get("controller", ""))
    if controller not in CONTROLLERS and ".py:" not in controller:
        raise ConfigError(
            f"{where}: no controller is called {controller!r}.{nearest(controller, CONTROLLERS.names())} "
            f"Known: {', '.join(CONTROLLERS.names())}"
        )
    context = _typed(values.get("context", 8), int, where, "context")
    horizon = _typed(values.get("horizon", 32), int, where, "horizon")
    if controller == "script":  # a script ends its survey with the context and knows when it is out of time
        values["controller_kwargs"] = {"context": context, "horizon": horizon, **values["controller_kwargs"]}
    points = _sequence(values.get("branches", ()), lines, entry, "branches")
    branches = tuple(_branch(point, named, lines) for point in points)
    views = tuple(_view(v, lines) for v in _sequence(values.get("views", ()), lines, entry, "views"))
    _unique([*(b.name for b in branches), *(v.name for v in views)], where, "branch point")
    variants = _mapping(values.get("variants", {}), lines, entry, "variants")
    for name, arguments in variants.items():
        if not isinstance(arguments, Mapping):
            raise ConfigError(f"{where}: the variant {name!r} must be a mapping of controller arguments")
    prompts = _sequence(values.get("prompts", ()), lines, entry, "prompts")
    if not all(isinstance(p, Sequence) and len(p) == 2 and isinstance(p[0], int) for p in prompts):
        raise ConfigError(f"{where}: prompts must be a list of [step, text], got {list(prompts)}")
    try:
        return Scenario(
            name=str(values["name"]),
            env=str(values["env"]),
            controller=controller,
            env_kwargs=values["env_kwargs"],
            controller_kwargs=values["controller_kwargs"],
            context=context,
            horizon=horizon,
            prompts=tuple((p[0], str(p[1])) for p in prompts),
            branches=branches,
            sham=_typed(values.get("sham", False), bool, where, "sham"),
            variants={str(name): arguments for name, arguments in variants.items()},
            views=views,
            probes=frozenset(map(str, _sequence(values.get("probes", ()), lines, entry, "probes"))),
            summary=str(values.get("summary", "")),
        )
    except WorldsimError as error:
        raise ConfigError(f"{where}: {error}") from error


def _branch(point: Any, named: Mapping[str, Any], lines: Lines) -> BranchPoint:
    _keys(point, _BRANCH_KEYS, lines, "a branch point", required=("name", "at", "judge", "alternatives"))
    where = lines.where(point)
    alternatives = point["alternatives"]
    if isinstance(alternatives, str):
        if alternatives not in named:
            raise ConfigError(f"{where}: no alternatives are called {alternatives!r}.{nearest(alternatives, named)}")
        alternatives = named[alternatives]
    _check_recipes(alternatives, lines, point)
    yaws = _sequence(point.get("yaws", ()), lines, point, "yaws")
    if not all(isinstance(y, int | float) and y for y in yaws):
        raise ConfigError(f"{where}: yaws must be a list of degrees other than 0, got {list(yaws)}")
    balance = point.get("balance", False)
    return BranchPoint(
        name=str(point["name"]),
        at=str(point["at"]),
        judge=_names(point["judge"]),
        alternatives=alternatives,
        window=_typed(point.get("window", 5), int, where, "window"),
        balance=tuple(alternatives) if balance is True else () if balance is False else _names(balance),
        tell=_typed(point.get("tell", False), bool, where, "tell"),
        yaws=tuple(float(y) for y in yaws),
    )


def _view(view: Any, lines: Lines) -> ViewPoint:
    _keys(view, _VIEW_KEYS, lines, "a view point", required=("name", "judge", "places"))
    turns = _typed(view.get("turns", 8), int, lines.where(view), "turns")
    if turns < 1:
        raise ConfigError(f"{lines.where(view)}: turns must be at least 1, got {turns}")
    return ViewPoint(name=str(view["name"]), judge=_names(view["judge"]), places=_names(view["places"]), turns=turns)


def _names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def _check_recipes(recipes: Any, lines: Lines, parent: Any) -> None:
    for name, recipe in _mapping(recipes, lines, parent, "alternatives").items():
        where = lines.where(recipe if recipe else recipes)
        if not isinstance(recipe, Mapping):
            raise ConfigError(f"{where}: the recipe of {name!r} must be a mapping, {{}} for the truth, got {recipe!r}")
        try:
            check_recipe(recipe)
        except ConfigError as error:
            raise ConfigError(f"{where}: alternative {name!r}: {error}") from error


# ----------------------------------------------------------------------------------------------- small strict readers


def _keys(value: Any, known: Sequence[str], lines: Lines, what: str, required: Sequence[str] = ()) -> None:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{lines.path}: {what} must be a mapping with {', '.join(known)}, got {value!r}")
    for key in value:
        if key not in known:
            raise ConfigError(
                f"{lines.where(value, key)}: {what} has no key {key!r}.{nearest(str(key), known)} "
                f"It has {', '.join(known)}"
            )
    missing = [key for key in required if key not in value]
    if missing:
        raise ConfigError(f"{lines.where(value)}: {what} needs {', '.join(missing)}")


def _mapping(value: Any, lines: Lines, parent: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{lines.where(parent, key)}: {key} must be a mapping, got {value!r}")
    return value


def _sequence(value: Any, lines: Lines, parent: Any, key: str) -> Sequence[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(f"{lines.where(parent, key)}: {key} must be a list, got {value!r}")
    return value


def _typed(value: Any, kind: type, where: str, key: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: {key} must be {kind.__name__}, got {value!r}")
    return value


def _unique(names: Sequence[str], where: str, what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{where}: each {what} needs its own name; {', '.join(twice)} comes twice")


def _folder(env: str) -> str:
    """worldsim/Blocks-v0 -> blocks; gym:ALE/Pong-v5 -> gym."""
    return short_env(env.split(":")[0])


def _hash(version: int, scenarios: Sequence[Scenario]) -> str:
    """SHA-256 over canonical JSON: sorted keys, sets sorted, floats as Python writes them."""

    def plain(value: Any) -> Any:
        if isinstance(value, Scenario | BranchPoint | ViewPoint):
            return {k: plain(getattr(value, k)) for k in value.__dataclass_fields__}
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, frozenset):
            return sorted(value)
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    text = json.dumps([version, [plain(s) for s in scenarios]], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
