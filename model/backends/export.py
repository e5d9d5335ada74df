"""Networks as ONNX files: exported once for a batch, a size and the sampler's settings, then kept in the user's cache.

A file is written beside its place and moved there, so that two processes that export at once do not disturb each other.
"""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worldsim.arrays import storing
from worldsim.errors import PrerequisiteError
from worldsim.model.backends.cachedir import cache_folder, digest
from worldsim.model.backends.compiled import example
from worldsim.model.backends.decoder import DecoderNet, empty_past
from worldsim.model.backends.frame import FrameNet
from worldsim.model.backends.fused import frame_net
from worldsim.model.backends.player import say
from worldsim.model.codec.network import VideoCodec
from worldsim.model.dit.network import DiT
from worldsim.model.engine.sampler import SamplerConfig

VERSION = 4  # of what is exported; a change of `FrameNet` or `DecoderNet` that matters raises it
OPSET = 20


class _Flat(nn.Module):
    """`FrameNet` with tensors in a row, as a graph has them."""

    def __init__(self, net: FrameNet, kind: type[Any]) -> None:
        super().__init__()
        self.net, self.kind = net, kind

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        n = len(self.kind._fields) - 1
        result = self.net(self.kind(*tensors[:n], tensors[n:]))
        return (result.clean, result.instability, result.told, *result.commits)


def frame_file(dit: DiT, sampler: SamplerConfig, batch: int, places: Tensor) -> Path:
    """The graph of a whole frame: K denoising passes and the commit pass, with the cache as explicit inputs.

    Inputs are the fields of `FrameArguments` or `FusedArguments` in order, then the cache's tensors as `cache0`,
    `cache1`, ...; outputs `clean`, `instability`, `told`, and `commit0`, ...
    """
    key = digest([dit], VERSION, torch.__version__, dit.config, sampler, batch, places.tolist())
    path = cache_folder() / "onnx" / f"frame-{key}.onnx"
    if not path.is_file():
        net = frame_net(dit, sampler, places)
        (arguments,) = example(net, batch)
        t = len(arguments.cache)
        names = [*arguments._fields[:-1], *(f"cache{i}" for i in range(t))]
        outputs = ["clean", "instability", "told", *(f"commit{i}" for i in range(t))]
        _export(
            _Flat(net, type(arguments)), (*arguments[:-1], *arguments.cache), path, names, outputs, "the transformer"
        )
    return path


def decoder_file(codec: VideoCodec, latents: Tensor) -> Path:
    """The graph of `DecoderNet` for latents of this shape; inputs `latents`, `past`, outputs `frames`, `next`."""
    key = digest([codec.decoder], VERSION, torch.__version__, codec.config, tuple(latents.shape), *_statistics(codec))
    path = cache_folder() / "onnx" / f"decoder-{key}.onnx"
    if not path.is_file():
        past = empty_past(codec, latents)
        _export(DecoderNet(codec), (latents, past), path, ["latents", "past"], ["frames", "next"], "the decoder")
    return path


def _statistics(codec: VideoCodec) -> tuple[list[float], list[float]]:
    return codec.latent_mean.tolist(), codec.latent_std.tolist()


def _export(
    net: nn.Module, arguments: Sequence[Tensor], path: Path, inputs: list[str], outputs: list[str], what: str
) -> None:
    say(f"exporting {what} to {path} (once) ...")
    start = time.perf_counter()
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(suffix=".part", dir=path.parent)
        os.close(handle)
    try:
        with torch.no_grad(), warnings.catch_warnings(), storing(path):
            # The exporter by tracing: `FrameNet` has no branches on values, and the newer one needs a package more.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net,
                tuple(arguments),
                part,
                input_names=inputs,
                output_names=outputs,
                opset_version=OPSET,
                dynamo=False,
            )
            Path(part).replace(path)
    except (ImportError, ModuleNotFoundError) as error:
        raise PrerequisiteError(
            f"exporting needs the package onnx ({error}): pip install 'worldsim[export]'"
        ) from error
    finally:
        Path(part).unlink(missing_ok=True)
    say(f"exported in {time.perf_counter() - start:.1f} s")
