"""Worlds that go on for ever: a batch of latent rollouts with independent starts, whose whole state is one value.

All randomness of a world comes from its seed and the number of the frame, so that nothing but numbers and latents has to
be kept to go on bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from worldsim import seeding
from worldsim.model.dit.attention import MaskedHistory
from worldsim.model.dit.network import Condition, DiT, Output
from worldsim.model.dit.patches import grid as make_grid
from worldsim.model.engine.cache import RingCache
from worldsim.model.engine.sampler import Drawn, FrameInput, Network, SamplerConfig, commit, draw


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one step of every world gave: clean (B, N, P), instability (B,), reward and end (B,) as the network says."""

    clean: Tensor
    instability: Tensor
    reward: Tensor
    end: Tensor


class Worlds:
    """B latent worlds of one size."""

    def __init__(
        self,
        dit: DiT,
        sampler: SamplerConfig,
        batch: int,
        size: tuple[int, int],
        *,
        network: Network | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Allocates everything that is needed, once.

        Args:
            dit: The network's configuration and text encoder; the network itself unless `network` is given.
            sampler: How frames are drawn.
            batch: B.
            size: (h, w) latent cells.
            network: A faster form of the same network.
            device: Where.
            dtype: Of the cache.
        """
        config = dit.config
        self.dit, self.sampler, self.size, self.batch = dit, sampler, size, batch
        self.network: Network = network or dit
        self.grid = make_grid(size, config.patch, device)
        self.tokens = self.grid.places.shape[1]
        self.cache = RingCache(config, batch, config.registers + self.tokens, device, dtype)
        self.previous = torch.zeros(batch, self.tokens, config.token, device=device)
        self.has_previous = torch.zeros(batch, dtype=torch.bool, device=device)
        self.times = torch.zeros(batch, device=device)
        self.text = torch.zeros(batch, config.registers, config.width, device=device)
        self.backward = torch.zeros(batch, dtype=torch.bool, device=device)
        self.seeds = [0] * batch
        self.frame = [0] * batch

    # --------------------------------------------------------------------------------------------------------- starts

    @torch.no_grad()
    def start(
        self,
        rows: Sequence[int],
        context: Tensor,
        actions: Tensor,
        seeds: Sequence[int],
        words: Tensor | None = None,
        *,
        backward: bool = False,
    ) -> None:
        """Starts worlds anew.

        Args:
            rows: Which of the batch.
            context: (b, C, N, P) latents that are known, C >= 0.
            actions: (b, C - 1, A) scaled features between them.
            seeds: One a world.
            words: (b, L) int64 prompts, or None.
            backward: Time runs backwards: the context's frames and actions are given in that order, too.
        """
        rows = list(rows)
        self.cache.clear(rows)
        c = context.shape[1]
        for i, row in enumerate(rows):
            self.seeds[row], self.frame[row] = int(seeds[i]), c
        self.times[rows] = float(c)
        self.backward[rows] = backward
        self.set_words(rows, words)
        self.has_previous[rows] = c > 0
        self.previous[rows] = context[:, -1] if c else 0.0
        if c:
            self._remember(rows, context, actions)

    def set_words(self, rows: Sequence[int], words: Tensor | None) -> None:
        """From the next frame on these worlds follow these prompts (b, L); None = none."""
        with torch.no_grad():
            rows = list(rows)
            self.text[rows] = 0.0 if words is None or self.dit.text is None else self.dit.read(words)

    def _remember(self, rows: list[int], context: Tensor, actions: Tensor) -> None:
        """Commits a context in one pass over all its frames."""
        config = self.dit.config
        kept = min(context.shape[1], config.window)
        first = context.shape[1] - kept
        before = F.pad(context[:, :-1], (0, 0, 0, 0, 1, 0))[:, first:]
        led = F.pad(actions, (0, 0, 1, 0))[:, first:]
        b, device = len(rows), context.device
        has = (torch.arange(kept, device=device) + first > 0).expand(b, kept)
        noise = self.sampler.context_noise
        condition = Condition(
            signal=torch.full((b, kept), 1 - noise, device=device),
            level=torch.full((b, kept), 3, dtype=torch.int64, device=device),
            previous_noise=torch.full((b, kept), noise, device=device),
            has_previous=has,
            actions=led,
            has_action=has,
            text=self.text[rows][:, None].expand(-1, kept, -1, -1),
            backward=self.backward[rows],
        )
        times = torch.arange(first, context.shape[1], device=device, dtype=torch.float32)[None]
        i = torch.arange(kept, device=device)
        look = self.dit.look(times, (i[None] <= i[:, None])[None], self.grid, context.dtype)
        assert isinstance(look, MaskedHistory)
        history = Recorder(look)
        self.dit(context[:, first:], before, condition, self.grid, history)
        own = RingCache(config, b, self.cache.keys[0].shape[2], device, self.cache.keys[0].dtype)
        for t in range(kept):
            frame = {layer: (k[:, t], v[:, t]) for layer, (k, v) in history.captured.items()}
            own.push(frame, times[:, t].expand(b))
        for j, row in enumerate(rows):
            self.cache.write(row, own.read(j))

    # ---------------------------------------------------------------------------------------------------------- steps

    @torch.no_grad()
    def step(self, actions: Tensor, has_action: Tensor | None = None) -> Step:
        """The next frame of every world after its action: (B, A) scaled features."""
        frame = self._input(actions, has_action)
        drawn: Drawn = draw(self.network, frame, self.grid, self.cache, self.sampler)
        told: Output = commit(self.network, drawn.clean, frame, self.grid, self.cache, self.sampler)
        self._advance(drawn.clean)
        return Step(clean=drawn.clean, instability=drawn.instability, reward=told.reward[:, 0], end=told.end[:, 0])

    def noise(self) -> Tensor:
        """(B, N, P) of the next frames: made on the CPU, so that every device draws the same."""
        shape = (self.tokens, self.dit.config.token)
        rows = []
        for seed, frame in zip(self.seeds, self.frame, strict=True):
            generator = torch.Generator().manual_seed(seeding.hash_seed("frame", seed, frame))
            rows.append(torch.randn(shape, generator=generator))
        return torch.stack(rows).to(self.previous.device)

    def _input(self, actions: Tensor, has_action: Tensor | None) -> FrameInput:
        return FrameInput(
            noise=self.noise(),
            previous=self.previous,
            has_previous=self.has_previous,
            actions=actions,
            has_action=self.has_previous if has_action is None else has_action & self.has_previous,
            times=self.times,
            text=self.text if self.dit.text is not None else None,
            backward=self.backward,
        )

    def _advance(self, clean: Tensor) -> None:
        self.previous = clean
        self.has_previous = torch.ones_like(self.has_previous)
        self.times = self.times + 1
        self.frame = [f + 1 for f in self.frame]

    # ---------------------------------------------------------------------------------------------------------- state

    def read(self, row: int) -> dict[str, Any]:
        """The whole state of one world: tensors are copies."""
        return {
            **self.cache.read(row),
            "previous": self.previous[row].clone(),
            "has_previous": bool(self.has_previous[row]),
            "time": float(self.times[row]),
            "text": self.text[row].clone(),
            "backward": bool(self.backward[row]),
            "seed": self.seeds[row],
            "frame": self.frame[row],
        }

    def write(self, row: int, world: dict[str, Any]) -> None:
        """Sets one world to what `read` gave; what follows is equal bit by bit."""
        self.cache.write(row, {k: world[k] for k in ("keys", "values", "times", "filled")})
        self.previous = self.previous.clone()
        self.previous[row] = world["previous"].to(self.previous)
        self.has_previous = self.has_previous.clone()
        self.has_previous[row] = bool(world["has_previous"])
        self.times = self.times.clone()
        self.times[row] = float(world["time"])
        self.text[row] = world["text"].to(self.text)
        self.backward[row] = bool(world["backward"])
        self.seeds[row], self.frame[row] = int(world["seed"]), int(world["frame"])


class Recorder:
    """A history that keeps what passes: keys and values before they are turned by time."""

    def __init__(self, inner: MaskedHistory) -> None:
        self.inner = inner
        self.captured: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `History`."""
        self.captured[layer] = (k, v)
        return self.inner.attend(layer, q, k, v)
