"""A network that can be asked for one pass or, where the sampler's settings allow it, for a whole frame at once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from worldsim.model.backends.frame import FrameArguments, FrameResult
from worldsim.model.backends.fused import FusedArguments
from worldsim.model.dit.attention import History
from worldsim.model.dit.condition import Condition, Output
from worldsim.model.dit.config import DiTConfig
from worldsim.model.dit.patches import Grid
from worldsim.model.engine.cache import RingCache
from worldsim.model.engine.sampler import Drawn, FrameInput, Network, Pending, SamplerConfig

#: Draws one frame of every world: an instance of `FrameNet` or, for the fused form, of `FusedFrameNet`; or the same
#: compiled or exported.
Runner = Callable[[Any], FrameResult]
#: Makes a runner for B worlds with tokens at these places (1, N, 2).
Maker = Callable[[int, Tensor], Runner]


def say(text: str) -> None:
    """One line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def fits(config: DiTConfig, sampler: SamplerConfig) -> bool:
    """Whether a whole frame is one call: full time attention, a register, no guidance."""
    plain = sampler.text_guidance == 1 and sampler.history_guidance == 1
    return plain and config.time_attention == "full" and config.registers > 0


class Player:
    """See the module. A `Network` with one verb more."""

    def __init__(self, network: Network, config: DiTConfig, sampler: SamplerConfig, make: Maker) -> None:
        """Builds it.

        Args:
            network: For single passes.
            config: Of the transformer.
            sampler: The settings that whole frames are made for.
            make: Builds what draws them; called once for each batch size and grid.
        """
        self.network, self.config, self.sampler, self._make = network, config, sampler, make
        self._runner: Runner | None = None
        self._for: tuple[int, Tensor] | None = None

    def __call__(self, noisy: Tensor, previous: Tensor, condition: Condition, grid: Grid, history: History) -> Output:
        """One pass."""
        return self.network(noisy, previous, condition, grid, history)

    def prepare(self, batch: int, grid: Grid) -> None:
        """Makes what draws frames of this shape, so that the first one does not wait for it."""
        if fits(self.config, self.sampler) and grid.valid is None:
            self._for_shape(batch, grid)

    def whole(
        self, frame: FrameInput, grid: Grid, cache: RingCache, sampler: SamplerConfig, pending: Pending | None = None
    ) -> tuple[Drawn, Output] | None:
        """Draws one frame of every world and commits it, or what was pending; None where it has to go pass by pass."""
        if sampler != self.sampler or not fits(self.config, sampler) or cache.pinned is not None:
            return None
        if grid.valid is not None or grid.places.shape[0] != 1 or sampler.fused != (pending is not None):
            return None
        known = arguments(frame, cache)
        given = known if pending is None else fused_arguments(known, pending, frame, cache)
        result = self._for_shape(len(frame.times), grid)(given)
        t = len(self.config.time_layers)
        keys, values = result.commits[:t], result.commits[t:]
        commits = dict(zip(self.config.time_layers, zip(keys, values, strict=True), strict=True))
        if pending is None:
            cache.push(commits, frame.times)
        else:
            cache.push(commits, pending.frame.times, pending.without)
        told = Output(clean=result.clean[:, None], reward=result.told[:, :1], end=result.told[:, 1:])
        return Drawn(clean=result.clean, instability=result.instability), told

    def _for_shape(self, batch: int, grid: Grid) -> Runner:
        known = self._for
        same = (
            known is not None and known[0] == batch and (known[1] is grid.places or torch.equal(known[1], grid.places))
        )
        if self._runner is None or not same:
            self._runner = self._make(batch, grid.places)
        self._for = (batch, grid.places)
        return self._runner


def arguments(frame: FrameInput, cache: RingCache) -> FrameArguments:
    """What is known of a frame, as `FrameNet` reads it."""
    order, config = cache.order(), cache.config
    now = frame.times[:, None]
    past, filled = cache.times[:, order], cache.filled[:, order]
    text = frame.text
    if text is None:
        text = frame.noise.new_zeros(len(now), config.registers, config.width)
    backward = torch.zeros_like(frame.times) if frame.backward is None else frame.backward.float()
    return FrameArguments(
        noise=frame.noise,
        previous=frame.previous,
        has_previous=frame.has_previous.float(),
        actions=frame.actions,
        has_action=frame.has_action.float(),
        text=text,
        backward=backward,
        ages=torch.where(filled, past - now, 0.0),
        seen=(filled & (now - past <= config.window)).float(),
        order=order,
        cache=(*cache.keys, *cache.values),
    )


def fused_arguments(known: FrameArguments, pending: Pending, frame: FrameInput, cache: RingCache) -> FusedArguments:
    """The same with the frame that waits."""
    old, order = pending.frame, known.order
    waits = torch.ones_like(frame.times)
    waits[list(pending.without)] = 0.0
    then = frame.times[:, None] - 1  # the time of the frame that waits
    near = cache.filled[:, order] & (then - cache.times[:, order] <= cache.config.window)
    return FusedArguments(
        *known[:-1],
        waits=waits,
        old_previous=old.previous,
        old_has_previous=old.has_previous.float(),
        old_actions=old.actions,
        old_has_action=old.has_action.float(),
        old_text=known.text if old.text is None else old.text,
        old_seen=near.float(),
        cache=known.cache,
    )
