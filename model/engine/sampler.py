"""One frame: from noise to a clean latent in K steps, then into the cache.

The commit pass, which puts the clean frame into the cache, can be a pass of its own (`commit`) or, in the fused form,
be done together with the first denoising step of the next frame, in a block of two frames: K passes a frame, not K + 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from worldsim.errors import ConfigError
from worldsim.model.dit.attention import History
from worldsim.model.dit.condition import Condition, Output
from worldsim.model.dit.network import DiT
from worldsim.model.dit.patches import Grid
from worldsim.model.engine.cache import CachedHistory, RingCache
from worldsim.model.engine.history import NoHistory
from worldsim.model.flow import FINEST, levels, move


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How frames are drawn.

    Attributes:
        steps: K: 1, 2, 4 or 8.
        context_noise: How noisy the network is told that its own past frames are, 0..1: it then trusts them less.
        text_guidance: 1 = off; larger = follow the prompt more (classifier-free guidance, arXiv:2207.12598).
        history_guidance: 1 = off; larger = keep to the past more (arXiv:2502.06764).
        fused: Commit each frame together with the first step of the next. The frames are the same to rounding; reward
            and end come from the last denoising step, since the commit comes only later.
        redraws: How often each frame is drawn again with other noise, to see how far the draws spread.
    """

    steps: int = 2
    context_noise: float = 0.1
    text_guidance: float = 1.0
    history_guidance: float = 1.0
    fused: bool = False
    redraws: int = 0

    def __post_init__(self) -> None:
        levels(self.steps)
        if not 0 <= self.context_noise <= 1:
            raise ConfigError(f"context_noise lies in 0..1, got {self.context_noise}")
        if self.redraws < 0:
            raise ConfigError(f"redraws is a count, got {self.redraws}")


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
class Pending:
    """The latest frame of B worlds, drawn but not yet in the cache.

    Attributes:
        frame: What was known of it. Its noise is not used.
        clean: (B, N, P).
        without: Worlds that have no such frame, since they have just begun.
    """

    frame: FrameInput
    clean: Tensor
    without: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A frame that was drawn.

    Attributes:
        clean: (B, N, P).
        instability: (B,) RMS change of the prediction from the first to the last step: 0 = sure from the start.
        told: What the last denoising step said of the frame, reward and end among it; None = not known.
    """

    clean: Tensor
    instability: Tensor
    told: Output | None = None


#: (noisy (B, F, N, P), previous (B, F, N, P), condition, grid, history) -> Output; the network or a faster form of it.
#: F is 1, or 2 in the fused form.
Network = Callable[[Tensor, Tensor, Condition, Grid, History], Output]


@runtime_checkable
class WholeFrames(Protocol):
    """What a faster form of the network may offer beside single passes."""

    def whole(
        self, frame: FrameInput, grid: Grid, cache: RingCache, sampler: SamplerConfig, pending: Pending | None = None
    ) -> tuple[Drawn, Output] | None:
        """Draws one frame of every world in one call and commits it, or in the fused form what was pending.

        None where it has to go pass by pass.
        """
        ...


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


def draw(
    network: Network,
    frame: FrameInput,
    grid: Grid,
    cache: RingCache,
    config: SamplerConfig,
    pending: Pending | None = None,
) -> Drawn:
    """Draws one frame of every world.

    Args:
        network: Predicts clean latents.
        frame: What is known.
        grid: Places of the patches.
        cache: Is read, and changed only if something is pending.
        config: How.
        pending: The frame before, which the first step commits on its way (the fused form); None = all is committed.
    """
    z, level = frame.noise[:, None], levels(config.steps)
    told = None if pending is None else _commit_and_look(network, frame, pending, grid, cache, config)
    history = CachedHistory(cache, frame.times[:, None])
    first: Tensor | None = None
    for i in range(config.steps):
        tau = i / config.steps
        if told is None:
            c = condition(frame, tau, level, config.context_noise, text=frame.text)
            told = network(z, frame.previous[:, None], c, grid, history)
        clean = _guide(network, z, told.clean, frame, grid, history, cache, config, tau)
        first = clean if first is None else first
        if i < config.steps - 1:
            signal = torch.full((len(z), 1), tau, device=z.device)
            z, told = move(z, clean, signal, torch.full_like(signal, 1 / config.steps)), None
    assert told is not None and first is not None  # steps >= 1
    change = (clean - first).square().mean(dim=(1, 2, 3)).sqrt()
    return Drawn(clean=clean[:, 0], instability=change, told=told)


def commit(
    network: Network, clean: Tensor, frame: FrameInput, grid: Grid, cache: RingCache, config: SamplerConfig
) -> Output:
    """The commit pass: the clean frame goes through the network once more, and its keys and values into the cache."""
    history = CachedHistory(cache, frame.times[:, None])
    out = network(clean[:, None], frame.previous[:, None], _committing(frame, config), grid, history)
    cache.push(history.frame(0), frame.times)
    return out


def denoiser(dit: DiT) -> Network:
    """The network itself."""
    return dit


def _committing(frame: FrameInput, config: SamplerConfig) -> Condition:
    noise = config.context_noise
    return condition(frame, 1 - noise, FINEST, noise, text=frame.text)


def _commit_and_look(
    network: Network, frame: FrameInput, pending: Pending, grid: Grid, cache: RingCache, config: SamplerConfig
) -> Output:
    """The fused form: two frames in one block, of which the first is committed and the second is at its first step."""
    times = torch.stack([pending.frame.times, frame.times], dim=1)
    history = CachedHistory(cache, times, pending.without)
    z = torch.stack([pending.clean, frame.noise], dim=1)
    previous = torch.stack([pending.frame.previous, frame.previous], dim=1)
    now = condition(frame, 0.0, levels(config.steps), config.context_noise, text=frame.text)
    out = network(z, previous, _joined(_committing(pending.frame, config), now), grid, history)
    cache.push(history.frame(0), pending.frame.times, pending.without)
    return Output(clean=out.clean[:, 1:], reward=out.reward[:, 1:], end=out.end[:, 1:])


def _joined(a: Condition, b: Condition) -> Condition:
    """Two conditions of one frame each as one of two frames. They have a text both or neither, and one direction."""

    def join(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x, y], dim=1)

    return Condition(
        signal=join(a.signal, b.signal),
        level=join(a.level, b.level),
        previous_noise=join(a.previous_noise, b.previous_noise),
        has_previous=join(a.has_previous, b.has_previous),
        actions=join(a.actions, b.actions),
        has_action=join(a.has_action, b.has_action),
        text=None if a.text is None or b.text is None else join(a.text, b.text),
        backward=b.backward,
    )


def _guide(
    network: Network,
    z: Tensor,
    clean: Tensor,
    frame: FrameInput,
    grid: Grid,
    history: History,
    cache: RingCache,
    config: SamplerConfig,
    tau: float,
) -> Tensor:
    """Moves a prediction away from what it would be without the prompt, and without the past."""
    if config.text_guidance == 1 and config.history_guidance == 1:
        return clean
    previous = frame.previous[:, None]
    c = condition(frame, tau, levels(config.steps), config.context_noise, text=frame.text)
    if config.text_guidance != 1 and frame.text is not None:
        without = network(z, previous, replace(c, text=None), grid, history).clean
        clean = without + config.text_guidance * (clean - without)
    if config.history_guidance != 1:
        blind = replace(c, has_previous=torch.zeros_like(c.has_previous))
        alone = NoHistory(cache.config.time_attention == "full")
        without = network(z, torch.zeros_like(previous), blind, grid, alone).clean
        clean = without + config.history_guidance * (clean - without)
    return clean
