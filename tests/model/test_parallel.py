"""Two processes do what one does: replicas, shards, and a state that changes hands."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.model.pushed import STAGE, dit_task
from worldsim.errors import ConfigError, PrerequisiteError
from worldsim.model.training.config import RunConfig
from worldsim.model.training.loop import forward, make_optimizer, run_stage
from worldsim.model.training.workers import from_environment

ROOT = Path(__file__).parents[2]
RUN = RunConfig(quiet=True, log_every=1)
FILES = ("model", "ema", "optimizer")


def states(folder: Path) -> dict[str, torch.Tensor]:
    files = {name: load_file(folder / "state" / f"{name}.safetensors") for name in FILES}
    return {f"{name}/{key}": value for name, tensors in files.items() for key, value in tensors.items()}


def assert_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], within: float) -> None:
    assert a.keys() == b.keys()
    for key, value in a.items():
        torch.testing.assert_close(value, b[key], rtol=0, atol=within, msg=lambda text, key=key: f"{key}: {text}")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "tests.model.parallel_training", str(out)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """One process that takes the same batches one after the other."""
    out = tmp_path_factory.mktemp("one")
    run_stage(dit_task(), replace(STAGE, accumulate=2), RUN, out)
    return states(out)


def test_replicas_do_what_one_process_does(two: Path, one: dict[str, torch.Tensor]) -> None:
    assert_equal(states(two / "ddp"), one, 1e-6)


def test_one_process_goes_on_from_the_state_of_shards(two: Path, one: dict[str, torch.Tensor]) -> None:
    result = run_stage(dit_task(), replace(STAGE, accumulate=2), RUN, two / "fsdp")
    assert result.finished
    assert_equal(states(two / "fsdp"), one, 1e-6)


def test_the_first_process_writes_one_log(two: Path) -> None:
    assert len((two / "ddp" / "dit.jsonl").read_text().splitlines()) == STAGE.steps


def test_parts_average_their_gradients(tmp_path: Path) -> None:
    """Three steps, the gradients averaged by hand."""
    stage = replace(STAGE, steps=3, accumulate=2)
    task = dit_task()
    torch.manual_seed(RUN.seed)
    optimizer = make_optimizer(task.module, stage, task.plain)
    for step in range(3):
        grads = []
        for part in range(2):
            task.module.zero_grad()
            loss, _ = forward(task.module, task.batch(step, part, 2), stage)
            loss.backward()  # type: ignore[no-untyped-call]
            grads.append({n: p.grad.clone() for n, p in task.module.named_parameters() if p.grad is not None})
        for name, p in task.module.named_parameters():
            p.grad = (grads[0][name] + grads[1][name]) / 2 if name in grads[0] else None
        nn.utils.clip_grad_norm_(task.module.parameters(), stage.clip)
        for group in optimizer.param_groups:
            group["lr"] = stage.rate(step)
        optimizer.step()
    run_stage(dit_task(), stage, RUN, tmp_path)
    expected = {f"model/{k}": v for k, v in task.module.state_dict().items()}
    got = {k: v for k, v in states(tmp_path).items() if k.startswith("model/")}
    assert_equal(got, expected, 1e-6)


def test_mistakes_are_answered() -> None:
    with pytest.raises(ConfigError, match="torchrun"):
        from_environment(parallel="fsdp", environment={})
    with pytest.raises(ConfigError, match="multiple of 6"):
        replace(STAGE, accumulate=2).part(3)
    if not torch.cuda.is_available():
        with pytest.raises(PrerequisiteError, match="no GPU"):
            from_environment("cuda", environment={})
