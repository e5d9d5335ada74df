"""The training loop, the same for codec and transformer: steps, savings, validation, log.

A step depends on the weights, the optimizer's state and the seed (seed, stage, step, rank) only. So a run that is killed
and goes on from its last saving has the losses of one that was never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from worldsim.model.training import state
from worldsim.model.training.config import RunConfig, StageConfig
from worldsim.model.training.ema import Ema
from worldsim.model.training.optim import MuonAdamW, split_parameters
from worldsim.model.training.tracking import Tracker

Batch = Mapping[str, Tensor]


class Task(Protocol):
    """One stage: what is trained on what.

    Attributes:
        name: "codec", "dit", ...
        module: Its forward takes a batch and gives the loss and a mapping of scalars to log.
        plain: Parts of names of parameters that Muon leaves alone.
    """

    name: str
    module: nn.Module
    plain: tuple[str, ...]

    def batch(self, step: int, rank: int, world: int) -> Batch:
        """The batch of one step for one of `world` processes; depends on nothing else."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures on the validation split with the weights that the module has now."""
        ...

    def picture(self) -> Any:
        """(H, W, 3) uint8 to look at, or None."""
        ...


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Which of how many processes this is, and how the module is wrapped for them."""

    rank: int = 0
    world: int = 1

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module whose forward and backward keep the processes in step."""
        return module


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """How far a stage came."""

    step: int
    finished: bool
    figures: Mapping[str, float]
    seconds: float


def run_stage(task: Task, config: StageConfig, run: RunConfig, folder: Path, workers: Workers | None = None) -> StageResult:
    """Trains until the steps are done or the time is over; goes on from the last saving.

    At the end of a finished stage the module has the running mean of its weights.
    """
    workers = workers or Workers()
    torch.manual_seed(run.seed)
    module = task.module
    wrapped = workers.wrap(module)
    optimizer = make_optimizer(module, config, task.plain)
    ema = Ema(module, config.ema)
    place = folder / "state"
    meta = state.load(place, module, ema, optimizer) or {"step": 0, "seconds": 0.0, "figures": {}}
    step, spent, figures = int(meta["step"]), float(meta["seconds"]), dict(meta["figures"])
    tracker = Tracker(folder, task.name, config.steps, step, run, main=workers.rank == 0)
    started = saved = time.monotonic()

    def save() -> None:
        if workers.rank == 0:
            seconds = spent + time.monotonic() - started
            state.save(place, module, ema, optimizer, {"step": step, "seconds": seconds, "figures": figures})

    while step < config.steps:
        for group in optimizer.param_groups:
            group["lr"] = config.rate(step)
        loss, scalars = forward(wrapped, task.batch(step, workers.rank, workers.world), config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(module.parameters(), config.clip)
        check_finite(loss, norm, task.name, step)
        optimizer.step()
        ema.update(module, step)
        step += 1
        tracker.step(step, loss, {**scalars, "grad_norm": norm, "lr": torch.tensor(config.rate(step - 1))})
        now = time.monotonic()
        if step % config.validate_every == 0 or step == config.steps:
            with ema.applied(module):
                module.eval()
                figures = task.validate()
                tracker.figures(step, figures, task.picture())
                module.train()
        over = run.seconds is not None and now - started > run.seconds
        if now - saved > run.save_seconds or over:
            save()
            saved = time.monotonic()
        if over:
            break
    if step >= config.steps:
        save()
        ema._set(module, ema.values)
    tracker.close()
    module.eval()
    return StageResult(
        step=step, finished=step >= config.steps, figures=figures, seconds=spent + time.monotonic() - started
    )


def forward(module: nn.Module, batch: Batch, config: StageConfig) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and scalars under the stage's precision."""
    device = next(iter(batch.values())).device.type
    with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bf16"):
        loss, scalars = module(batch)
    return loss, scalars


def make_optimizer(module: nn.Module, config: StageConfig, plain: tuple[str, ...]) -> torch.optim.Optimizer:
    """Muon with AdamW, or AdamW alone."""
    groups = split_parameters(module, plain)
    if config.optimizer == "adamw":
        groups = [{"params": [p for g in groups for p in g["params"]], "muon": False}]
    return MuonAdamW(groups, config.lr, weight_decay=config.weight_decay)


def check_finite(loss: Tensor, norm: Tensor, name: str, step: int) -> None:
    """Raises FloatingPointError for a loss or gradient that is not finite: the last saving is still good."""
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise FloatingPointError(
            f"the {name} stage has a loss of {float(loss)} and a gradient norm of {float(norm)} at step {step}; "
            "the last saved state is good: lower lr or clip in the recipe and run again"
        )
