"""A tiny random checkpoint and its parts: what the tests of the simulator stand on.

Weights are random, not trained. Those that start at zero are drawn too, or the network would be the identity and no
test of attention, text or actions could fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from worldsim.model import actions
from worldsim.model.checkpoint import CheckpointConfig, save_checkpoint
from worldsim.model.codec import CodecConfig, VideoCodec
from worldsim.model.dit import DiT, DiTConfig
from worldsim.model.text import CAPTION_WORDS

Module = TypeVar("Module", bound=nn.Module)

SPACE: Mapping[str, Any] = {
    "type": "dict",
    "spaces": {
        "camera": {"type": "box", "low": [-10.0, -10.0], "high": [10.0, 10.0], "dtype": "float32"},
        "keys": {"type": "discrete", "n": 3, "start": 0},
    },
}
CODEC: Mapping[str, Any] = {"channels": 4, "encoder": (8, 8, 12), "decoder": (12, 8, 8), "time_kernel": 2}
DIT: Mapping[str, Any] = {
    "channels": 4,
    "width": 32,
    "depth": 2,
    "heads": 2,
    "kv_heads": 1,
    "time_every": 1,  # two time layers: a frame is moved by frames twice the window ago
    "window": 4,
    "text_length": 24,
    "text_width": 16,
    "vocabulary": CAPTION_WORDS.words,
    "action_space": SPACE,
    "action_scale": (10.0, 10.0, 1.0, 1.0, 1.0),
}


def stir(make: Callable[[], Module], seed: int, size: float = 0.5) -> Module:
    """Makes a module whose every parameter is random, by seed; in evaluation mode.

    Args:
        make: Its constructor.
        seed: Of all draws.
        size: Of what is added to each parameter, in units of the usual initialisation of its matrix.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        module = make()
        for parameter in module.parameters():
            fan = parameter.numel() / max(len(parameter), 1) if parameter.ndim > 1 else 25
            parameter += size * torch.randn(parameter.shape) / max(fan, 1) ** 0.5
    return module.eval()


def small_codec(seed: int = 1, **settings: Any) -> VideoCodec:
    """A codec with random weights; `settings` of `CodecConfig`."""
    return stir(lambda: VideoCodec(CodecConfig(**{**CODEC, **settings})), seed)


def small_dit(seed: int = 2, **settings: Any) -> DiT:
    """A transformer with random weights; `settings` of `DiTConfig`."""
    config = DiTConfig(**{**DIT, **settings})
    dit = stir(lambda: DiT(config, actions.count(config.action_space)), seed)
    with torch.no_grad():  # frames that are fed back must not grow without end, nor errors of rounding
        for module in (dit.keep, dit.final, dit.final_modulate):
            module.weight *= 0.2
    return dit


def small_checkpoint(
    folder: Path, *, codec: Mapping[str, Any] | None = None, dit: Mapping[str, Any] | None = None, **config: Any
) -> Path:
    """Writes a random checkpoint into a folder, and returns it.

    Args:
        folder: Made if it is missing.
        codec: Settings of `CodecConfig`.
        dit: Settings of `DiTConfig`.
        config: Settings of `CheckpointConfig`.
    """
    parts = small_codec(**(codec or {})), small_dit(**{"temporal": (codec or {}).get("temporal", 1), **(dit or {})})
    save_checkpoint(folder, CheckpointConfig(name="small", **{"context": 2, **config}), *parts)
    return folder


def frames(seed: int, *shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(*shape, 3) uint8: coarse random pictures, so that a codec has something to see."""
    rng = np.random.default_rng(seed)
    *lead, h, w = shape
    coarse = rng.integers(0, 256, (*lead, -(-h // 8), -(-w // 8), 3), dtype=np.uint8)
    return coarse.repeat(8, axis=-3).repeat(8, axis=-2)[..., :h, :w, :]


def actions_of(seed: int, *lead: int) -> dict[str, Any]:
    """Actions of `SPACE` with these leading axes."""
    rng = np.random.default_rng(seed)
    return {
        "camera": rng.uniform(-10, 10, (*lead, 2)).astype(np.float32),
        "keys": rng.integers(0, 3, lead),
    }
