"""The training loop, the same for codec and transformer: steps, savings, validation, log.

A step depends on the weights, the optimizer's state and the seed (seed, stage, step, part) only. So a run that is
killed and goes on from its last saving has the losses of one that was never stopped, bit by bit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from worldsim.errors import DivergedError
from worldsim.model.training import state
from worldsim.model.training.config import RunConfig, StageConfig
from worldsim.model.training.ema import Ema, applied, assign
from worldsim.model.training.optim import MuonAdamW, split_parameters
from worldsim.model.training.stop import Stop
from worldsim.model.training.tracking import Tracker
from worldsim.model.training.workers import Workers, whole

Batch = Mapping[str, Tensor]


class Task(Protocol):
    """One stage: what is trained on what.

    Attributes:
        name: "codec", "dit", ...
        module: Its forward takes a batch and gives the loss and a mapping of scalars to log.
        plain: Parts of names of parameters that Muon leaves alone.
        unused: Whether some steps leave some parameters out.
    """

    name: str
    plain: tuple[str, ...]
    unused: bool

    @property
    def module(self) -> nn.Module:
        """See the class."""
        ...

    def batch(self, step: int, rank: int, world: int) -> Batch:
        """The batch of one step for one of `world` parts; depends on nothing else."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures on the validation split with the weights that the module has now."""
        ...

    def picture(self) -> Any:
        """(H, W, 3) uint8 to look at, or None."""
        ...


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """How far a stage came.

    Attributes:
        step: Steps done.
        finished: Whether these are all.
        stepped: Whether this call did any of them.
        figures: Of the last validation.
        seconds: Wall clock, over all slices.
    """

    step: int
    finished: bool
    stepped: bool = False
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def run_stage(
    task: Task,
    config: StageConfig,
    run: RunConfig,
    folder: Path,
    *,
    workers: Workers | None = None,
    stop: Stop | None = None,
    settings: Mapping[str, Any] | None = None,
) -> StageResult:
    """Trains until the steps are done or `stop` says so; goes on from the last saving.

    At the end of a finished stage the module has the running mean of its weights, in every process.

    Args:
        task: What is trained.
        config: The budget.
        run: How it is carried out.
        folder: Of state, log and pictures.
        workers: This process among others; None = the only one.
        stop: When to leave early, saved; None = never.
        settings: Plain values that a state must have been made with.

    Raises:
        ConfigError: If the batch cannot be dealt out.
        DivergedError: If loss or gradient are no longer finite.
        StoreError: If the state cannot be read or written.
    """
    workers, stop = workers or Workers(), stop or Stop()
    config.part(workers.world)
    torch.manual_seed(run.seed)
    trained, called = workers.wrap(task.module, unused=task.unused)
    if run.compile:
        compile_parts(called)
    optimizer = make_optimizer(trained, config, task.plain)
    ema = Ema(trained, config.ema)
    place = folder / "state"
    start: dict[str, Any] = {"step": 0, "seconds": 0.0, "figures": {}}
    meta = state.load(place, trained, ema, optimizer, settings) or start
    step, spent, figures = int(meta["step"]), float(meta["seconds"]), dict(meta["figures"])
    tracker = Tracker(folder, task.name, config.steps, step, run, main=workers.main, log=meta.get("log"))
    began = saved = time.monotonic()

    def save() -> None:
        parts = state.gather(trained, ema, optimizer, keep=workers.main)
        if workers.main:
            seconds = spent + time.monotonic() - began
            known = {"step": step, "seconds": seconds, "figures": figures, "log": tracker.state}
            state.save(place, parts, known if settings is None else {**known, "settings": settings})

    with contextlib.closing(tracker), batches(task, config, workers, step) as read:
        while step < config.steps and not workers.agree(stop.over()):
            for group in optimizer.param_groups:
                group["lr"] = config.rate(step)
            optimizer.zero_grad(set_to_none=True)
            workers.share_buffers(trained)
            loss, scalars = backward(called, read(step), config, workers)
            norm = whole(nn.utils.clip_grad_norm_(trained.parameters(), config.clip))
            check_finite(loss, norm, task.name, step)
            optimizer.step()
            ema.update(trained, step)
            step += 1
            tracker.step(step, loss, {**scalars, "grad_norm": norm, "lr": torch.tensor(config.rate(step - 1))})
            if step % config.validate_every == 0 or step == config.steps:
                figures = validate(task, trained, ema, tracker, step, workers) or figures
            if workers.agree(time.monotonic() - saved > run.save_seconds):
                save()
                saved = time.monotonic()
        if step > int(meta["step"]):
            save()
    if step >= config.steps:
        assign({name: whole(value) for name, value in ema.values.items()}, task.module)
        copy_buffers(trained, task.module)
    task.module.eval()
    workers.wait()
    seconds = spent + time.monotonic() - began
    return StageResult(
        step=step,
        finished=step >= config.steps,
        stepped=step > int(meta["step"]),
        figures=figures,
        seconds=seconds,
    )


def compile_parts(module: nn.Module) -> None:
    """Compiles in place: each layer of a list, which all share one compilation, or the whole where there are none."""
    layers = [layer for found in module.modules() if isinstance(found, nn.ModuleList) for layer in found]
    for part in layers or [module]:
        part.compile()


def backward(
    called: nn.Module, parts: list[Batch], config: StageConfig, workers: Workers
) -> tuple[Tensor, dict[str, Tensor]]:
    """Adds up the gradient of the mean loss of the parts; returns loss and scalars, means over this process's parts."""
    losses, told = [], []
    for i, batch in enumerate(parts):
        last = i == len(parts) - 1
        with contextlib.nullcontext() if last else workers.accumulating(called):
            loss, scalars = forward(called, batch, config)
            (loss / len(parts)).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        told.append(scalars)
    mean = {name: torch.stack([scalars[name] for scalars in told]).mean() for name in told[0]}
    return torch.stack(losses).mean(), mean


def forward(module: nn.Module, batch: Batch, config: StageConfig) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and scalars under the stage's precision."""
    device = next(iter(batch.values())).device.type
    with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bf16"):
        loss, scalars = module(batch)
    return loss, scalars


@contextlib.contextmanager
def batches(task: Task, config: StageConfig, workers: Workers, start: int) -> Iterator[Callable[[int], list[Batch]]]:
    """Gives a function from a step to its parts for this process; with a GPU they are made while it computes."""
    parts = config.accumulate
    world = workers.world * parts

    def make(step: int) -> list[Batch]:
        return [task.batch(step, workers.rank * parts + i, world) for i in range(parts)]

    if torch.device(workers.device).type == "cpu":
        yield make
        return
    with ThreadPoolExecutor(1) as pool:
        ahead = {start: pool.submit(make, start)}

        def read(step: int) -> list[Batch]:
            found = ahead.pop(step).result()
            ahead[step + 1] = pool.submit(make, step + 1)
            return found

        yield read


def validate(
    task: Task, trained: nn.Module, ema: Ema, tracker: Tracker, step: int, workers: Workers
) -> dict[str, float]:
    """Figures with the mean of the weights, by the first process; the others wait."""
    values = {name: whole(value) for name, value in ema.values.items()}
    copy_buffers(trained, task.module)
    figures: dict[str, float] = {}
    if workers.main:
        with applied(values, task.module):
            task.module.eval()
            figures = task.validate()
            tracker.figures(step, figures, task.picture())
            task.module.train()
    workers.wait()
    return figures


@torch.no_grad()
def copy_buffers(trained: nn.Module, module: nn.Module) -> None:
    """Where a copy is trained: its buffers to the module."""
    if trained is not module:
        for name, buffer in module.named_buffers():
            buffer.copy_(trained.get_buffer(name))


def make_optimizer(module: nn.Module, config: StageConfig, plain: tuple[str, ...]) -> torch.optim.Optimizer:
    """Muon with AdamW, or AdamW alone."""
    groups = split_parameters(module, plain)
    if config.optimizer == "adamw":
        groups = [{"params": [p for g in groups for p in g["params"]], "muon": False}]
    return MuonAdamW(groups, config.lr, weight_decay=config.weight_decay)


def check_finite(loss: Tensor, norm: Tensor, name: str, step: int) -> None:
    """Raises DivergedError for a loss or gradient that is not finite: the last saving is still good."""
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise DivergedError(
            f"the {name} stage has a loss of {float(loss)} and a gradient norm of {float(norm)} at step {step}; "
            f"expected finite numbers. The last saved state is good: lower lr or clip (--set {name}_training.lr=...), "
            f"or try --set {name}_training.precision=fp32, in a new --out"
        )
