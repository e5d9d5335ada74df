"""`worldsim train`: makes a simulator from a recipe."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from worldsim.cli.arguments import parse

if TYPE_CHECKING:
    from worldsim.model.checkpoint import Checkpoint
    from worldsim.model.recipe import Recipe
    from worldsim.model.training.config import RunConfig
    from worldsim.model.training.workers import Workers
    from worldsim.train_data import DataSets

EXAMPLES = """
worldsim train --recipe nano --out runs/nano                       # about a minute
worldsim train --recipe tiny --out runs/tiny --seconds 1800        # half an hour; the same command goes on
worldsim train --recipe large --dry-run                            # how large, how much memory
worldsim train --recipe nano --set dit_training.steps=400 dit.width=128 --out runs/wider
worldsim train --recipe tiny --data data/mine --out runs/mine      # held-out episodes in data/mine-validation
worldsim train --recipe tiny --init runs/tiny/checkpoint --data data/other-game --out runs/other
torchrun --nproc-per-node 8 -m worldsim train --recipe base --device cuda --out runs/base
torchrun --nproc-per-node 8 -m worldsim train --recipe large --device cuda --parallel fsdp --compile --out runs/large
"""


@dataclass(frozen=True, kw_only=True)
class TrainArgs:
    """Makes a simulator from a recipe: collects play, trains codec and transformer, writes a checkpoint.

    Run the same command again to go on: after --seconds, an interrupt or a kill. Exits with 0 when the checkpoint is
    there, and with 1 when there is more to do.
    """

    recipe: str
    """nano, tiny, doom, minecraft, miniworld, small, base, large, or path/to/recipe.yaml."""
    out: Path | None = None
    """Folder of everything: data, states, logs, checkpoint."""
    data: tuple[Path, ...] = ()
    """Datasets to train on, one a frame size; none = collected as the recipe says."""
    validation: tuple[Path, ...] = ()
    """Held-out datasets, one for each of --data; none = <data>-validation beside each."""
    init: str | None = None
    """A checkpoint to start from: weights whose shapes fit are taken over."""
    set: tuple[str, ...] = ()
    """Changes of the recipe: path=value ..., such as dit_training.steps=100 data.0.episodes=64."""
    seconds: float | None = None
    """Wall clock for this call; what is not finished then goes on with the next."""
    seed: int = 0
    """Everything random follows from it."""
    device: str = "cpu"
    """cpu or cuda; under torchrun each process takes a GPU of its own."""
    threads: int | None = None
    """Threads of torch on a CPU; none = as torch chooses. Sums, and so the last bits, depend on it."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Under torchrun: ddp = the network in each process, fsdp = a share of it."""
    compile: bool = False
    """Through torch.compile: minutes to start, then faster."""
    save_seconds: float = 60.0
    """Between savings of the state."""
    log_every: int = 20
    """Steps between lines of the log, <out>/<stage>/<stage>.jsonl."""
    tensorboard: bool = False
    """Figures and pictures for TensorBoard, too: pip install 'worldsim[tracking]'."""
    dry_run: bool = False
    """Says how large the networks are and what they need, and stops."""
    quiet: bool = False
    """No progress."""


def train_command(args: Sequence[str]) -> int:
    """Trains, or goes on."""
    given = parse(TrainArgs, args, "train", EXAMPLES)
    from worldsim.errors import ConfigError
    from worldsim.model.recipe import load_recipe
    from worldsim.model.training.stop import Stop

    recipe = load_recipe(given.recipe, given.set)
    if given.seconds is not None and given.seconds <= 0:
        raise ConfigError(f"--seconds must be above 0, got {given.seconds}")
    if given.dry_run:
        return dry_run(recipe, int(os.environ.get("WORLD_SIZE", "1")))
    if given.out is None:
        raise ConfigError("--out is missing: the folder of data, states, logs and checkpoint")
    with Stop(given.seconds) as stop:
        import torch

        from worldsim.model.training.workers import from_environment
        from worldsim.train import train

        if given.threads is not None:
            torch.set_num_threads(given.threads)
        recipe, data = _data(given, recipe)
        workers = from_environment(given.device, given.parallel)
        try:
            place = train(
                recipe, given.out, _run(given), workers=workers, stop=stop, data=data, init=_checkpoint(given.init)
            )
        finally:
            workers.close()
    return _told(place, given.out, args, stop.asked, workers)


def dry_run(recipe: Recipe, world: int = 1) -> int:
    """Prints the sizes of a recipe; the environment is asked for its actions, nothing is allocated."""
    from worldsim import spaces
    from worldsim.model.sizes import describe
    from worldsim.registry import ENVS
    from worldsim.train import with_space

    env = ENVS.get(recipe.play.env)(**{**recipe.play.env_args, "size": recipe.data[0].size})
    space = spaces.describe(env.action_space)
    env.close()
    print("\n".join(describe(with_space(recipe, space), world)))
    return 0


def _data(given: TrainArgs, recipe: Recipe) -> tuple[Recipe, DataSets | None]:
    from worldsim.errors import ConfigError
    from worldsim.train_data import given_data

    if given.data:
        return given_data(recipe, given.data, given.validation)
    if given.validation:
        raise ConfigError("--validation goes with --data: without it, both are collected")
    return recipe, None


def _run(given: TrainArgs) -> RunConfig:
    from worldsim.model.training.config import RunConfig

    return RunConfig(
        seed=given.seed,
        save_seconds=given.save_seconds,
        log_every=given.log_every,
        quiet=given.quiet,
        tensorboard=given.tensorboard,
        compile=given.compile,
    )


def _checkpoint(name: str | None) -> Checkpoint | None:
    from worldsim.model.checkpoint import load_checkpoint

    return None if name is None else load_checkpoint(name)


def _told(place: Path | None, out: Path, args: Sequence[str], asked: bool, workers: Workers) -> int:
    if place is None:
        why = "interrupted" if asked else "the time is over"
        if workers.main:
            print(f"{why}; all is saved in {out}. To go on: worldsim train {shlex.join(args)}", file=sys.stderr)
        return 1
    if workers.main:
        print(f"checkpoint: {place} (its README.md says how good it is)")
    return 0
