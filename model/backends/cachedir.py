"""Where exported networks are kept between runs."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from torch import nn

VARIABLE = "WORLDSIM_CACHE"


def cache_folder() -> Path:
    """The user's folder for files that can be made again: $WORLDSIM_CACHE, or the platform's own place."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "worldsim"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "worldsim"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worldsim"


def digest(modules: Iterable[nn.Module], *facts: object) -> str:
    """SHA-256, shortened, over weights and whatever else an export depends on."""
    out = hashlib.sha256(repr(facts).encode())
    for module in modules:
        for name, value in sorted(module.state_dict().items()):
            out.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            out.update(value.detach().cpu().float().contiguous().numpy().data)
    return out.hexdigest()[:24]
