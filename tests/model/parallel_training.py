"""Run by torchrun in `test_parallel.py`: six steps with replicas, and three of six with shards."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tests.model.pushed import STAGE, After, dit_task
from worldsim.model.training.config import RunConfig
from worldsim.model.training.loop import run_stage
from worldsim.model.training.workers import Shards, from_environment


def main(out: Path) -> None:
    torch.set_num_threads(1)
    workers = from_environment()
    assert workers.world == 2
    run = RunConfig(quiet=True, log_every=1)
    result = run_stage(dit_task(), STAGE, run, out / "ddp", workers=workers)
    assert result.finished
    shards = Shards(rank=workers.rank, world=2)
    trained, _ = shards.wrap(dit_task().module, unused=False)
    for name, p in trained.named_parameters():
        own = p.to_local().numel()  # type: ignore[attr-defined]
        assert own < p.numel() or p.shape[0] < 2 or p.ndim == 0, name  # no process holds the whole
    result = run_stage(dit_task(), STAGE, run, out / "fsdp", workers=shards, stop=After(3))
    assert not result.finished and result.step == 3
    workers.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
