"""How a world begins: all frames of its context go through the transformer in one pass, and into the cache."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from worldsim.model.dit.condition import Condition
from worldsim.model.dit.network import DiT
from worldsim.model.dit.patches import Grid
from worldsim.model.engine.cache import RingCache
from worldsim.model.engine.history import Recorder
from worldsim.model.flow import FINEST


def context_condition(
    actions: Tensor, first: int, noise: float, text: Tensor | None = None, backward: Tensor | None = None
) -> Condition:
    """The condition of F frames of a context that are committed at once.

    Args:
        actions: (B, F, A) features of what led to each; zeros where nothing did.
        first: The number of the first of them in the context.
        noise: `SamplerConfig.context_noise`.
        text: (B, R, D) of `DiT.read`.
        backward: (B,) bool.
    """
    b, f = actions.shape[:2]
    device = actions.device
    has = (torch.arange(f, device=device) + first > 0).expand(b, f)
    return Condition(
        signal=torch.full((b, f), 1 - noise, device=device),
        level=torch.full((b, f), FINEST, dtype=torch.int64, device=device),
        previous_noise=torch.full((b, f), noise, device=device),
        has_previous=has,
        actions=actions,
        has_action=has,
        text=None if text is None else text[:, None].expand(-1, f, -1, -1),
        backward=backward,
    )


def remember(
    dit: DiT,
    cache: RingCache,
    rows: list[int],
    context: Tensor,
    actions: Tensor,
    grid: Grid,
    noise: float,
    *,
    text: Tensor | None,
    backward: Tensor,
) -> None:
    """Commits the last `window` frames of a context to some rows of the cache.

    Args:
        dit: The network.
        cache: Of all worlds.
        rows: b of them.
        context: (b, C, N, P), C >= 1.
        actions: (b, C - 1, A).
        grid: Places of the patches.
        noise: `SamplerConfig.context_noise`.
        text: (b, R, D) or None.
        backward: (b,) bool.
    """
    config, (b, c) = dit.config, context.shape[:2]
    kept = min(c, config.window)
    first = c - kept
    before = F.pad(context[:, :-1], (0, 0, 0, 0, 1, 0))[:, first:]
    led = F.pad(actions, (0, 0, 1, 0))[:, first:]
    times = torch.arange(first, c, device=context.device, dtype=torch.float32)[None]
    visible = torch.ones(1, kept, kept, dtype=torch.bool, device=context.device).tril()
    history = Recorder(dit.look(times, visible, grid, context.dtype))
    dit(context[:, first:], before, context_condition(led, first, noise, text, backward), grid, history)
    own = RingCache(config, b, cache.keys[0].shape[2], context.device, cache.keys[0].dtype)
    for t in range(kept):
        frame = {layer: (k[:, t], v[:, t]) for layer, (k, v) in history.captured.items()}
        own.push(frame, times[:, t].expand(b))
    for j, row in enumerate(rows):
        cache.write(row, {**own.read(j), **({} if cache.pinned is None else cache.pinned.read(row))})
