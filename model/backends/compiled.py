"""The network through `torch.compile`, with static shapes; slow to start, so it says what it waits for."""

from __future__ import annotations

import time
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from worldsim.model.backends.decoder import DecoderNet
from worldsim.model.backends.frame import FrameArguments, FrameNet, FrameResult
from worldsim.model.backends.fused import FusedArguments, FusedFrameNet, frame_net
from worldsim.model.backends.player import Runner, say
from worldsim.model.dit.network import DiT
from worldsim.model.engine.sampler import SamplerConfig


def compiled_frame(dit: DiT, sampler: SamplerConfig, batch: int, places: Tensor) -> Runner:
    """A compiled `FrameNet`, or the plain one with a warning where no compiler works."""
    net = frame_net(dit, sampler, places)
    run: Runner = _compile(net, example(net, batch, places.device), "the transformer")
    return run


def compiled_decoder(net: DecoderNet, latents: Tensor, past: Tensor) -> Any:
    """A compiled decoder for this shape, or the plain one with a warning."""
    return _compile(net, (latents, past), "the decoder")


def example(net: FrameNet, batch: int, device: torch.device | str = "cpu") -> tuple[FrameArguments | FusedArguments]:
    """Arguments of the right shapes, full of zeros."""
    config, m, s = net.config, net.tokens, net.config.window
    n, kv = m - config.registers, (batch, s, m, config.kv_heads, config.head)

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, device=device)

    first = net.action[0]
    assert isinstance(first, nn.Linear)
    plain = FrameArguments(
        noise=zeros(batch, n, config.token),
        previous=zeros(batch, n, config.token),
        has_previous=zeros(batch),
        actions=zeros(batch, first.in_features),
        has_action=zeros(batch),
        text=zeros(batch, config.registers, config.width),
        backward=zeros(batch),
        ages=zeros(batch, s),
        seen=zeros(batch, s),
        order=torch.arange(s, device=device),
        cache=tuple(zeros(*kv) for _ in range(2 * len(config.time_layers))),
    )
    if not isinstance(net, FusedFrameNet):
        return (plain,)
    fused = FusedArguments(
        *plain[:-1],
        waits=zeros(batch),
        old_previous=plain.previous,
        old_has_previous=zeros(batch),
        old_actions=plain.actions,
        old_has_action=zeros(batch),
        old_text=plain.text,
        old_seen=zeros(batch, s),
        cache=plain.cache,
    )
    return (fused,)


def _compile(net: nn.Module, arguments: tuple[Any, ...], what: str) -> Any:
    say(f"compiling {what} (once for each batch and size; a minute or so) ...")
    start = time.perf_counter()
    try:
        # Frozen weights are packed; see `worldsim.model.backends.packed`.
        run = torch.compile(net, dynamic=False, options={"freezing": True})
        with torch.no_grad():
            run(*arguments)
            run(*arguments)
    except Exception as error:  # compilers fail in many ways, and each means the same here
        warnings.warn(
            f"torch.compile does not work here ({type(error).__name__}: {str(error).splitlines()[0][:200]}); "
            "the network runs uncompiled. It needs a C++ compiler (apt-get install g++)",
            stacklevel=2,
        )
        return net
    say(f"compiled in {time.perf_counter() - start:.0f} s")
    return run


__all__ = ["FrameResult", "compiled_decoder", "compiled_frame", "example"]
