"""The state of a training run on disk: weights, running mean, optimizer, step. Whole or not at all, never pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from worldsim.arrays import storing
from worldsim.errors import StoreError
from worldsim.model.training.ema import Ema

_WEIGHTS, _EMA, _OPTIMIZER, _META = "model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"


def save(folder: Path, module: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer, meta: Mapping[str, Any]) -> None:
    """Replaces the state in `folder`. A kill at any moment leaves the old one or the new one.

    The new state is written beside the old, then the two change names; between the two renames only `<folder>.old`
    exists, which `load` looks for as well.
    """
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    with storing(folder):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        save_file({k: v.contiguous() for k, v in module.state_dict().items()}, fresh / _WEIGHTS)
        save_file({k: v.contiguous() for k, v in ema.values.items()}, fresh / _EMA)
        save_file(_optimizer_tensors(module, optimizer), fresh / _OPTIMIZER)
        (fresh / _META).write_text(json.dumps(dict(meta), indent=1), encoding="utf-8")
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)


def load(folder: Path, module: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Sets module, mean and optimizer to the saved state and returns its meta values; None if there is none.

    Raises:
        StoreError: If the state is damaged, or of another network.
    """
    if not folder.exists():
        folder = folder.with_name(folder.name + ".old")
        if not folder.exists():
            return None
    try:
        meta: dict[str, Any] = json.loads((folder / _META).read_text(encoding="utf-8"))
        module.load_state_dict(load_file(folder / _WEIGHTS))
        ema.load(load_file(folder / _EMA))
        tensors = load_file(folder / _OPTIMIZER)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise StoreError(
            f"{folder} does not hold the state of this training ({type(error).__name__}: {str(error)[:300]}); "
            "delete it to start this stage anew, or use the recipe that it was made with"
        ) from error
    by_name = dict(module.named_parameters())
    optimizer.state.clear()
    for key, value in tensors.items():
        name, _, entry = key.rpartition("|")
        optimizer.state[by_name[name]][entry] = value
    return meta


def _optimizer_tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names = {p: n for n, p in module.named_parameters()}
    return {
        f"{names[p]}|{entry}": value.contiguous()
        for p, entries in optimizer.state.items()
        for entry, value in entries.items()
        if isinstance(value, Tensor)
    }
