"""Weights made on the spot for learned metrics: small, random or hand-made, in the formats that the real ones have."""

from __future__ import annotations

import hashlib
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from worldsim.metrics.learned import clipscore, dino, fvd, lpips
from worldsim.metrics.learned.weights import FOLDER

MERGES = "#version: made here\nr e\nre d</w>\nl o\nlo w</w>\ne r</w>\no r\n"
RED = 512 + 1  # the token of the word "red"


def forget_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the weights of whoever runs it."""
    for source in (lpips.WEIGHTS, fvd.WEIGHTS, dino.GLOBAL, dino.DENSE, clipscore.WEIGHTS, clipscore.VOCABULARY):
        monkeypatch.delenv(source.variable, raising=False)
        monkeypatch.delenv(source.hash_variable, raising=False)
    monkeypatch.delenv(FOLDER, raising=False)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lpips_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random AlexNet features that keep the size of activations, and heads that are not negative."""
    rng = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in lpips.shapes().items():
        values = torch.randn(shape, generator=rng)
        if name.startswith("lin"):
            out[name] = values.abs()
        else:
            out[name] = values * (0.1 if name.endswith("bias") else math.sqrt(2.0 / math.prod(shape[1:])))
    return out


def save_state(state: dict[str, torch.Tensor], path: Path) -> Path:
    save_file(state, path)
    return path


def save_script(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module.eval()), str(path))
    return path


class TinyVideo(nn.Module):
    """(B, 3, T, H, W) -> (B, 6): each channel's mean, and its mean change from frame to frame."""

    def forward(self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False) -> Any:
        if rescale or resize or not return_features:
            raise RuntimeError("called without the options of the I3D archive")
        change = (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=(2, 3, 4))
        return torch.cat([x.mean(dim=(2, 3, 4)), change], dim=1)


class TinyImage(nn.Module):
    """(n, 3, S, S) -> (n, 3 g^2 + 1): mean colours of a g x g grid, and a constant so that nothing is zero."""

    def __init__(self, grid: int = 4) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cells = functional.adaptive_avg_pool2d(x, (self.grid, self.grid)).flatten(1)
        return torch.cat([cells, torch.ones(len(x), 1)], dim=1)


class TinyLog(nn.Module):
    """Finite features of bright pictures only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3)).log()


class TinyDense(nn.Module):
    """(n, 3, S, S) -> (n, 3, S/2, S/2): mean colours of 2x2 pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(x, 2)


class TinyBackbone(nn.Module):
    """The interface of DINOv2: (n, d) features, and (n, d, S/14, S/14) of the last layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))

    def get_intermediate_layers(self, x: torch.Tensor, n: int, reshape: bool) -> tuple[torch.Tensor, ...]:
        assert n == 1 and reshape
        return (functional.avg_pool2d(x, 14),)


class PlainClip(nn.Module):
    """The interface of CLIP's own model, before it is traced."""

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean(dim=(2, 3))

    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        return text[:, :3].to(torch.float32)


class TinyClip(nn.Module):
    """A picture is its mean colour; a text is red if it has the word, else blue."""

    def __init__(self, red: int = RED) -> None:
        super().__init__()
        self.red = red

    @torch.jit.export
    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean(dim=(2, 3))

    @torch.jit.export
    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        red = (text == self.red).any(dim=1).to(torch.float32)
        return torch.stack([red, torch.zeros_like(red), 1.0 - red], dim=1)


def tiny_metrics(folder: Path) -> dict[str, Any]:
    """One instance of each learned metric by name, its weights in `folder`."""
    state = save_state(lpips_state(), folder / "lpips.safetensors")
    video = save_script(TinyVideo(), folder / "i3d.pt")
    image = save_script(TinyImage(), folder / "dino.pt")
    dense = save_script(TinyDense(), folder / "dino_dense.pt")
    clip = save_script(TinyClip(), folder / "clip.pt")
    merges = folder / "clip_bpe.txt"
    merges.write_text(MERGES)
    made = (
        lpips.LPIPS(state, sha256(state)),
        fvd.FVD(video, sha256(video), size=16, frames=6, least=3),
        dino.Dino(image, sha256(image), size=16),
        dino.Met3rLike(dense, sha256(dense), size=64),
        clipscore.CLIPScore(clip, sha256(clip), vocabulary=merges, vocabulary_sha256=sha256(merges), size=16),
    )
    return {metric.spec.name: metric for metric in made}
