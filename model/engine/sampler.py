"""One frame: from noise to a clean latent in K steps, then into the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.model.dit.network import Condition, DiT, Output
from worldsim.model.dit.patches import Grid
from worldsim.model.engine.cache import CachedHistory, RingCache
from worldsim.model.flow import levels, move


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How frames are drawn.

    Attributes:
        steps: K: 1, 2, 4 or 8.
        context_noise: How noisy the network is told that its own past frames are, 0..1: it then trusts them less.
        text_guidance: 1 = off; larger = follow the prompt more (classifier-free guidance, arXiv:2207.12598).
        history_guidance: 1 = off; larger = keep to the past more (arXiv:2502.06764).
    """

    steps: int = 2
    context_noise: float = 0.1
    text_guidance: float = 1.0
    history_guidance: float = 1.0

    def __post_init__(self) -> None:
        levels(self.steps)


@dataclass(frozen=True, kw_only=True)
class FrameInput:
    """What is known of the next frame of B worlds, before it is drawn.

    Attributes:
        noise: (B, N, P) standard normal.
        previous: (B, N, P) the latest latent, zeros where there is none.
        has_previous: (B,) bool.
        actions: (B, A) scaled features.
        has_action: (B,) bool.
        text: (B, R, D) or None.
        times: (B,) float32, the frame's number.
        backward: (B,) bool or None.
    """

    noise: Tensor
    previous: Tensor
    has_previous: Tensor
    actions: Tensor
    has_action: Tensor
    times: Tensor
    text: Tensor | None = None
    backward: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A frame that was drawn.

    Attributes:
        clean: (B, N, P).
        instability: (B,) RMS change of the prediction from the first to the last step: 0 = sure from the start.
    """

    clean: Tensor
    instability: Tensor


#: (noisy (B, 1, N, P), previous (B, 1, N, P), condition, grid, history) -> Output; the network or a faster form of it.
Network = Callable[[Tensor, Tensor, Condition, Grid, CachedHistory], Output]


def condition(frame: FrameInput, signal: float, level: int, noise: float, *, text: Tensor | None) -> Condition:
    """The network's condition of one frame."""
    b, device = len(frame.times), frame.times.device
    return Condition(
        signal=torch.full((b, 1), signal, device=device),
        level=torch.full((b, 1), level, dtype=torch.int64, device=device),
        previous_noise=torch.full((b, 1), noise, device=device),
        has_previous=frame.has_previous[:, None],
        actions=frame.actions[:, None],
        has_action=frame.has_action[:, None],
        text=None if text is None else text[:, None],
        backward=frame.backward,
    )


def draw(network: Network, frame: FrameInput, grid: Grid, cache: RingCache, config: SamplerConfig) -> Drawn:
    """Draws one frame of every world; the cache is read, not changed."""
    z, first, clean = frame.noise[:, None], None, frame.noise[:, None]
    k, level = config.steps, levels(config.steps)
    history = CachedHistory(cache, frame.times[:, None])
    for i in range(k):
        clean = _predict(network, z, frame, grid, history, cache, config, i / k, level)
        first = clean if first is None else first
        if i < k - 1:
            tau = torch.full((len(z), 1), i / k, device=z.device)
            z = move(z, clean, tau, torch.full_like(tau, 1 / k))
    assert first is not None
    change = (clean - first).square().mean(dim=(1, 2, 3)).sqrt()
    return Drawn(clean=clean[:, 0], instability=change)


def commit(
    network: Network, clean: Tensor, frame: FrameInput, grid: Grid, cache: RingCache, config: SamplerConfig
) -> Output:
    """The commit pass: the clean frame goes through the network once more, and its keys and values into the cache."""
    history = CachedHistory(cache, frame.times[:, None])
    c = condition(frame, 1 - config.context_noise, 3, config.context_noise, text=frame.text)
    out = network(clean[:, None], frame.previous[:, None], c, grid, history)
    cache.push({layer: (k[:, 0], v[:, 0]) for layer, (k, v) in history.captured.items()}, frame.times)
    return out


def _predict(
    network: Network,
    z: Tensor,
    frame: FrameInput,
    grid: Grid,
    history: CachedHistory,
    cache: RingCache,
    config: SamplerConfig,
    tau: float,
    level: int,
) -> Tensor:
    previous = frame.previous[:, None]
    noise = config.context_noise
    clean = network(z, previous, condition(frame, tau, level, noise, text=frame.text), grid, history).clean
    if config.text_guidance != 1 and frame.text is not None:
        without = network(z, previous, condition(frame, tau, level, noise, text=None), grid, history).clean
        clean = without + config.text_guidance * (clean - without)
    if config.history_guidance != 1:
        empty = RingCache(cache.config, 1, 1, z.device)  # never filled: only the frame itself is seen
        alone = CachedHistory(_like(cache, empty), frame.times[:, None])
        blind = condition(frame, tau, level, noise, text=frame.text)
        blind = Condition(**{**blind.__dict__, "has_previous": torch.zeros_like(blind.has_previous)})
        without = network(z, torch.zeros_like(previous), blind, grid, alone).clean
        clean = without + config.history_guidance * (clean - without)
    return clean


def _like(cache: RingCache, empty: RingCache) -> RingCache:
    """An empty cache with the other's shapes, sharing its memory: nothing in it is seen."""
    empty.keys, empty.values, empty.next = cache.keys, cache.values, cache.next
    empty.times = torch.full_like(cache.times, -1.0e6)
    empty.filled = torch.zeros_like(cache.filled)
    return empty


def denoiser(dit: DiT) -> Network:
    """The network itself."""
    return dit
