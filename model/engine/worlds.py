"""Worlds that go on for ever: a batch of latent rollouts with independent starts, whose whole state is one value.

All randomness of a world comes from its seed and the number of the frame, so that nothing but numbers and latents has
to be kept to go on bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from worldsim import seeding
from worldsim.errors import ContractError
from worldsim.model.dit.condition import Output
from worldsim.model.dit.network import DiT
from worldsim.model.dit.patches import grid as make_grid
from worldsim.model.engine.cache import RingCache
from worldsim.model.engine.history import Recorder
from worldsim.model.engine.sampler import (
    Drawn,
    FrameInput,
    Network,
    Pending,
    SamplerConfig,
    WholeFrames,
    commit,
    draw,
)
from worldsim.model.engine.start import remember

__all__ = ["Recorder", "Step", "Worlds"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one step of every world gave.

    Attributes:
        clean: (B, N, P).
        instability: (B,), see `Drawn`.
        reward: (B,) symlog scale.
        end: (B,) logit.
        spread: (B,) RMS distance of `SamplerConfig.redraws` + 1 draws of this frame from their mean; None = not asked.
    """

    clean: Tensor
    instability: Tensor
    reward: Tensor
    end: Tensor
    spread: Tensor | None = None


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
        #: In the fused form the latest frame, which the next step commits; else None.
        self.pending = self._nothing_pending() if sampler.fused else None

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
        self.times = _with(self.times, rows, float(c))
        self.backward = _with(self.backward, rows, backward)
        self.set_words(rows, words)
        self.has_previous = _with(self.has_previous, rows, c > 0)
        self.previous = _with(self.previous, rows, context[:, -1] if c else 0.0)
        if self.pending is not None:  # the whole context is committed below
            self.pending = replace(self.pending, without=tuple(sorted({*self.pending.without, *rows})))
        if c:
            text = None if self.dit.text is None else self.text[rows]
            noise, backwards = self.sampler.context_noise, self.backward[rows]
            remember(self.dit, self.cache, rows, context, actions, self.grid, noise, text=text, backward=backwards)

    def set_words(self, rows: Sequence[int], words: Tensor | None) -> None:
        """From the next frame on these worlds follow these prompts (b, L); None = none."""
        with torch.no_grad():
            read = 0.0 if words is None or self.dit.text is None else self.dit.read(words)
            self.text = _with(self.text, list(rows), read)

    # ---------------------------------------------------------------------------------------------------------- steps

    @torch.no_grad()
    def step(self, actions: Tensor, has_action: Tensor | None = None) -> Step:
        """The next frame of every world after its action: (B, A) scaled features."""
        frame = self._input(actions, has_action)
        drawn, told, spread = self._draw(frame)
        self._advance(drawn.clean)
        reward, end = told.reward[:, 0], told.end[:, 0]
        return Step(clean=drawn.clean, instability=drawn.instability, reward=reward, end=end, spread=spread)

    def _draw(self, frame: FrameInput) -> tuple[Drawn, Output, Tensor | None]:
        """Draws and commits: the frame, what the network says of it, and how far other draws spread."""
        sampler, faster = self.sampler, cast(object, self.network)
        if isinstance(faster, WholeFrames) and not sampler.redraws:
            whole = faster.whole(frame, self.grid, self.cache, sampler, self.pending)
            if whole is not None:
                if self.pending is not None:
                    self.pending = Pending(frame=frame, clean=whole[0].clean)
                return *whole, None
        drawn = draw(self.network, frame, self.grid, self.cache, sampler, self.pending)
        spread = self._spread(frame, drawn.clean) if sampler.redraws else None
        if self.pending is None:
            return drawn, commit(self.network, drawn.clean, frame, self.grid, self.cache, sampler), spread
        self.pending = Pending(frame=frame, clean=drawn.clean)
        assert drawn.told is not None  # `draw` says it
        return drawn, drawn.told, spread

    def noise(self, redraw: int = 0) -> Tensor:
        """(B, N, P) of the next frames: made on the CPU, so that every device draws the same. `redraw` > 0: others."""
        shape = (self.tokens, self.dit.config.token)
        rows = []
        for seed, frame in zip(self.seeds, self.frame, strict=True):
            key = ("frame", seed, frame) if not redraw else ("frame", seed, frame, redraw)
            rows.append(torch.randn(shape, generator=torch.Generator().manual_seed(seeding.hash_seed(*key))))
        return torch.stack(rows).to(self.previous.device)

    def _spread(self, frame: FrameInput, clean: Tensor) -> Tensor:
        """Draws the frame again; what was pending is committed by now."""
        draws = [clean]
        for i in range(1, self.sampler.redraws + 1):
            again: Drawn = draw(self.network, replace(frame, noise=self.noise(i)), self.grid, self.cache, self.sampler)
            draws.append(again.clean)
        every = torch.stack(draws)  # (redraws + 1, B, N, P)
        return (every - every.mean(dim=0)).square().mean(dim=(0, 2, 3)).sqrt()

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

    def _nothing_pending(self) -> Pending:
        actions = torch.zeros(self.batch, self.dit.action_features, device=self.times.device)
        return Pending(frame=self._input(actions, None), clean=self.previous, without=tuple(range(self.batch)))

    # ---------------------------------------------------------------------------------------------------------- state

    def read(self, row: int) -> dict[str, Any]:
        """The whole state of one world: tensors are copies.

        In the fused form what is known of the frame that waits is part of it ("pending_...").
        """
        world = {
            **self.cache.read(row),
            "previous": self.previous[row].clone(),
            "has_previous": bool(self.has_previous[row]),
            "time": float(self.times[row]),
            "text": self.text[row].clone(),
            "backward": bool(self.backward[row]),
            "seed": self.seeds[row],
            "frame": self.frame[row],
        }
        if self.pending is not None and row not in self.pending.without:
            frame = self.pending.frame
            world["pending_previous"] = frame.previous[row].clone()
            world["pending_has_previous"] = bool(frame.has_previous[row])
            world["pending_actions"] = frame.actions[row].clone()
            world["pending_has_action"] = bool(frame.has_action[row])
            world["pending_text"] = (self.text if frame.text is None else frame.text)[row].clone()
        return world

    def write(self, row: int, world: dict[str, Any]) -> None:
        """Sets one world to what `read` gave; what follows is equal bit by bit in a batch of the same size.

        Raises:
            ContractError: If its latest frame waits to be committed and these worlds are not of the fused form, or its
                pinned frames do not fit.
        """
        if self.pending is None and "pending_previous" in world:
            raise ContractError(
                "this world was kept in the fused form, with a frame that is not committed yet: set it back with "
                "fused=True"
            )
        self.cache.write(row, {k: v for k, v in world.items() if isinstance(v, Tensor)})
        rows = [row]
        self.previous = _with(self.previous, rows, world["previous"])
        self.has_previous = _with(self.has_previous, rows, bool(world["has_previous"]))
        self.times = _with(self.times, rows, float(world["time"]))
        self.text = _with(self.text, rows, world["text"])
        self.backward = _with(self.backward, rows, bool(world["backward"]))
        self.seeds[row], self.frame[row] = int(world["seed"]), int(world["frame"])
        if self.pending is not None:
            self.pending = self._with_pending(self.pending, row, world)

    def _with_pending(self, pending: Pending, row: int, world: dict[str, Any]) -> Pending:
        others = {i for i in pending.without if i != row}
        if "pending_previous" not in world:
            return replace(pending, without=tuple(sorted({*others, row})))
        frame, rows = pending.frame, [row]
        known = replace(
            frame,
            previous=_with(frame.previous, rows, world["pending_previous"]),
            has_previous=_with(frame.has_previous, rows, bool(world["pending_has_previous"])),
            actions=_with(frame.actions, rows, world["pending_actions"]),
            has_action=_with(frame.has_action, rows, bool(world["pending_has_action"])),
            times=_with(frame.times, rows, float(world["time"]) - 1),
            text=None if frame.text is None else _with(frame.text, rows, world["pending_text"]),
            backward=_with(frame.backward, rows, bool(world["backward"])),
        )
        clean = _with(pending.clean, rows, world["previous"])
        return Pending(frame=known, clean=clean, without=tuple(sorted(others)))


def _with(tensor: Tensor | None, rows: list[int], value: Tensor | float | bool) -> Tensor:
    """A copy with some rows set: what was handed out before stays as it is."""
    assert tensor is not None
    out = tensor.clone()
    out[rows] = value.to(out) if isinstance(value, Tensor) else value
    return out
