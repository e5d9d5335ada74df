"""`worldsim check`: a model, env or metric by every clause of its contract, a run or dataset by what is damaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from worldsim.cli.arguments import parse
from worldsim.config import parse_args

EXAMPLES = """
worldsim check model worldsim/Frozen
worldsim check model my_model.py:MyModel --args steps=4
worldsim check env blocks --args preset=village
worldsim check metric fidelity.ssim
worldsim check run runs/mine
worldsim check dataset data/arena
"""


@dataclass(frozen=True, kw_only=True)
class CheckArgs:
    """Checks a model, an environment or a metric against its contract, or the files of a run or dataset."""

    kind: Positional[Literal["model", "env", "metric", "run", "dataset"]]
    """What it is."""
    name: Positional[str]
    """A registered name, path/to/file.py:Name, or the folder of a run or dataset."""
    args: tuple[str, ...] = ()
    """Arguments of its constructor: name=value ..."""
    env: str = "blocks"
    """For models: the truth that supplies the contexts and actions."""


def check(args: Sequence[str]) -> int:
    """Prints the report; 0 if every clause holds, else 1."""
    given = parse(CheckArgs, args, "check", EXAMPLES)
    if given.kind == "run":
        return _check_run(Path(given.name))
    if given.kind == "dataset":
        return _check_dataset(Path(given.name))
    from worldsim import checks, registry

    kwargs = parse_args(given.args, "--args")
    if given.kind == "model":
        factory = registry.MODELS.get(given.name)
        report = checks.check_world_model(lambda: factory(**kwargs), env=registry.ENVS.get(given.env))
    elif given.kind == "env":
        make = registry.ENVS.get(given.name)
        report = checks.check_truth_env(lambda: make(**kwargs))
    else:
        report = checks.check_metric(registry.METRICS.get(given.name)(**kwargs))
    print(report)
    return 0 if report.ok else 1


def _check_run(path: Path) -> int:
    from worldsim.store import RunStore

    store = RunStore.open(path)
    damage = list(store.damage())
    for line in damage:
        print(line)
    print(f"{len(store.committed())} episodes, {len(damage)} damaged files")
    return 1 if damage else 0


def _check_dataset(path: Path) -> int:
    from worldsim.dataset import read_info, validate
    from worldsim.progress import Progress

    info = read_info(path)
    with Progress("check", len(info.shards), unit="shards") as progress:
        found = validate(path, advance=progress.advance)
    for line in found:
        print(line)
    print(f"{info.episodes} episodes in {len(info.shards)} shards, {len(found)} faults")
    return 1 if found else 0
