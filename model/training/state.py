"""The state of a training run on disk: weights, running mean, optimizer, step. Whole or not at all, never pickle.

Tensors are whole, however many processes train: a state can be taken up by another number of them.
"""

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
from worldsim.model.training.workers import laid_out, whole

_WEIGHTS, _EMA, _OPTIMIZER, _META = "model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"
#: Settings that may change on the way: when to look, and, as the number of processes may, how a batch is dealt out.
FREE = ("stage.validate_every", "stage.accumulate")

#: File -> name -> tensor.
Parts = Mapping[str, Mapping[str, Tensor]]


def gather(module: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer, *, keep: bool = True) -> Parts:
    """All tensors of the state, whole and on the CPU. Every process must call it; only one has to `keep` them."""
    found: dict[str, dict[str, Tensor]] = {_WEIGHTS: {}, _EMA: {}, _OPTIMIZER: {}}
    for file, tensors in (
        (_WEIGHTS, module.state_dict()),
        (_EMA, ema.values),
        (_OPTIMIZER, _optimizer_tensors(module, optimizer)),
    ):
        for name, value in tensors.items():
            full = whole(value.detach())
            if keep:
                found[file][name] = full.contiguous().cpu()
    return found


def save(folder: Path, parts: Parts, meta: Mapping[str, Any]) -> None:
    """Replaces the state in `folder`. A kill at any moment, or a full disk, leaves the old one or the new one.

    The new state is written beside the old, then the two change names; between the two renames only `<folder>.old`
    exists, which `load` looks for as well.

    Raises:
        StoreError: If it cannot be written; the old state is as it was.
    """
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    try:
        with storing(folder, again="run the same command again: it goes on from the last saved state"):
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            for file, tensors in parts.items():
                write_tensors(fresh / file, tensors)
            (fresh / _META).write_text(json.dumps(dict(meta), indent=1), encoding="utf-8")
            shutil.rmtree(old, ignore_errors=True)
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
    except StoreError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a safetensors file; what its library reports of the disk becomes an OSError again."""
    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:
        number = str(error).rpartition("os error ")[2].rstrip(")")
        if number.isdigit():
            raise OSError(int(number), str(error)) from error
        raise


def load(
    folder: Path,
    module: nn.Module,
    ema: Ema,
    optimizer: torch.optim.Optimizer,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Sets module, mean and optimizer to the saved state and returns its meta values; None if there is none.

    Args:
        folder: The state.
        module: Gets the weights.
        ema: Gets the mean.
        optimizer: Gets its own state.
        settings: What the state must have been made with, as plain values; None = whatever.

    Raises:
        StoreError: If the state is damaged, of another network, or of other settings; the message says which.
    """
    if not folder.exists():
        folder = folder.with_name(folder.name + ".old")
        if not folder.exists():
            return None
    advice = "delete it to start this stage anew, or use the recipe that it was made with"
    try:
        meta: dict[str, Any] = json.loads((folder / _META).read_text(encoding="utf-8"))
        float(meta["step"]), float(meta["seconds"]), dict(meta["figures"])
        if settings is not None and "settings" in meta:
            differs = differences(meta["settings"], settings)
            if differs:
                raise StoreError(f"{folder} was made with other settings: {'; '.join(differs[:6])}; {advice}")
        parts = {name: load_file(folder / name) for name in (_WEIGHTS, _EMA, _OPTIMIZER)}
        _restore(parts, module, ema, optimizer)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise StoreError(
            f"{folder} does not hold the state of this training ({type(error).__name__}: {str(error)[:300]}); {advice}"
        ) from error
    return meta


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """A sentence for each plain value that differs, but for those in `FREE`."""
    if where in FREE:
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        out = []
        for key in sorted({*old, *new}):
            inner = f"{where}.{key}" if where else str(key)
            if key in old and key in new:  # a setting that is younger than the state had its default then
                out += differences(old[key], new[key], inner)
        return out
    return [] if old == new else [f"{where} was {str(old)[:80]}, now {str(new)[:80]}"]


@torch.no_grad()
def _restore(parts: Parts, module: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer) -> None:
    for file, own in ((_WEIGHTS, module.state_dict()), (_EMA, ema.values)):
        given = parts[file]
        if given.keys() != own.keys():
            raise ValueError(f"{file}: other parameters, such as {sorted(given.keys() ^ own.keys())[0]}")
        for name, value in own.items():
            if given[name].shape != value.shape:
                raise ValueError(f"{file}: {name} is {tuple(given[name].shape)}, expected {tuple(value.shape)}")
            value.copy_(laid_out(given[name], value))
    by_name = dict(module.named_parameters())
    optimizer.state.clear()
    for key, value in parts[_OPTIMIZER].items():
        name, _, entry = key.rpartition("|")
        p = by_name[name]
        if value.ndim and value.shape != p.shape:
            raise ValueError(f"{_OPTIMIZER}: {name} is {tuple(value.shape)}, expected {tuple(p.shape)}")
        optimizer.state[p][entry] = laid_out(value, p) if value.ndim else value  # counters stay on the CPU


def _optimizer_tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names: dict[Tensor, str] = {p: n for n, p in module.named_parameters()}
    return {
        f"{names[p]}|{entry}": value
        for p, entries in optimizer.state.items()
        for entry, value in entries.items()
        if isinstance(value, Tensor)
    }
