"""`worldsim check`: models, envs and metrics by their contracts, runs and datasets for damage, checkpoints by gates."""

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
worldsim check dataset lerobot/arena                          # or Minari, videos with actions, VPT, MineRL
worldsim check checkpoint tiny --args worlds=48 run=runs/gates   # run: an evaluation with --scenarios gates
"""


@dataclass(frozen=True, kw_only=True)
class CheckArgs:
    """Checks a model, environment or metric by its contract, a run or dataset for damage, a checkpoint by its gates."""

    kind: Positional[Literal["model", "env", "metric", "run", "dataset", "checkpoint"]]
    """What it is."""
    name: Positional[str]
    """A registered name, path/to/file.py:Name, the folder of a run or dataset, or a checkpoint's name or folder."""
    args: tuple[str, ...] = ()
    """Arguments of its constructor: name=value ... (of a checkpoint: worlds, seed, out, run, steps, split)"""
    env: str = "blocks"
    """For models: the truth that supplies the contexts and actions."""


def check(args: Sequence[str]) -> int:
    """Prints the report; 0 if every clause holds, else 1."""
    given = parse(CheckArgs, args, "check", EXAMPLES)
    if given.kind == "run":
        return _check_run(Path(given.name))
    if given.kind == "dataset":
        return _check_dataset(Path(given.name))
    if given.kind == "checkpoint":
        return _check_checkpoint(given.name, **parse_args(given.args, "--args"))
    from worldsim import checks, registry

    kwargs = parse_args(given.args, "--args")
    if given.kind == "model":
        factory = registry.MODELS.get(given.name)
        report = checks.check_world_model(lambda: factory(**kwargs), env=registry.ENVS.get(given.env))
    elif given.kind == "env":
        make = registry.ENVS.get(given.name)
        if given.name.startswith(tuple(registry.ENVS.families)):  # an id that does not exist breaks no clause
            make(**kwargs).close()
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
    from worldsim.dataset import INDEX

    return _check_ours(path) if (path / INDEX).is_file() or not path.exists() else _check_foreign(path)


def _check_ours(path: Path) -> int:
    from worldsim.dataset import read_info, validate
    from worldsim.progress import Progress

    info = read_info(path)
    with Progress("check", len(info.shards), unit="shards") as progress:
        found = validate(path, advance=progress.advance)
    for line in found:
        print(line)
    print(f"{info.episodes} episodes in {len(info.shards)} shards, {len(found)} faults")
    return 1 if found else 0


def _check_foreign(path: Path) -> int:
    from worldsim.exchange.checking import check as look_through

    found = look_through(path, quiet=False)
    for line in found.faults:
        print(line)
    for note in found.notes:
        print(f"note: {note}")
    print(f"{found.format}: {found.episodes} episodes, {len(found.faults)} faults")
    return 1 if found.faults else 0


def _check_checkpoint(
    name: str,
    worlds: int = 48,
    seed: int = 0,
    run: str | None = None,
    out: str | None = None,
    steps: int | None = None,
    split: Literal["test", "validation"] = "test",
) -> int:
    """The gates of a released checkpoint, on the worlds and size that it is made for; 0 if all required ones pass."""
    import json

    from worldsim import gates
    from worldsim.model.simulator import LatentSimulator

    model = LatentSimulator(name, steps=steps)
    config = model.checkpoint.config
    starts = gates.moving_starts(
        env=config.env,
        env_args=dict(config.env_args),
        controller=config.controller,
        size=config.sizes[0],
        worlds=worlds,
        seed=seed,
        split=split,
    )
    found = gates.measure(model, starts, seed=seed)
    if run is not None:
        found += gates.from_run(Path(run))
    print(gates.table(found))
    if run is None:
        print("metrics were not asked: worldsim eval --model ... --scenarios gates --out DIR, then --args run=DIR")
    if out is not None:
        Path(out).write_text(json.dumps(gates.to_plain(found), indent=1) + "\n", encoding="utf-8")
    return 0 if all(g.passed for g in found if g.required) else 1
