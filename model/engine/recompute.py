"""Worlds without a cache: every denoising step runs over all frames that can matter. The reference for the cache.

It draws the same frames as `Worlds` (tests/model/test_engine.py), and costs what a simulator without a cache costs
(`worldsim bench`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from worldsim.errors import UnsupportedError
from worldsim.model.dit.condition import Condition, Output
from worldsim.model.dit.network import DiT
from worldsim.model.engine.sampler import FrameInput, SamplerConfig, condition
from worldsim.model.engine.worlds import Step, Worlds
from worldsim.model.flow import FINEST, levels, move


class RecomputedWorlds(Worlds):
    """B worlds that are started together and whose frames are drawn by running the network over the past each time."""

    def __init__(
        self, dit: DiT, sampler: SamplerConfig, batch: int, size: tuple[int, int], *, reach: int | None = None
    ) -> None:
        """Prepares them.

        Args:
            dit: The network.
            sampler: How frames are drawn; without guidance.
            batch: B.
            size: (h, w) latent cells.
            reach: Frames that are looked back on. None = window x time layers: what a frame depends on through all
                layers, and so equal to the cache. The window alone is what is usual, and is not equal beyond it.

        Raises:
            UnsupportedError: With guidance.
        """
        if sampler.text_guidance != 1 or sampler.history_guidance != 1:
            raise UnsupportedError("worlds without a cache are drawn without guidance: set both to 1")
        super().__init__(dit, sampler, batch, size, device=next(dit.parameters()).device)
        self.pending = None
        reach = dit.config.window * len(dit.config.time_layers) if reach is None else reach
        self._past: deque[tuple[Tensor, FrameInput]] = deque(maxlen=reach)  # clean (B, N, P) and what was known of it

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
        """See `Worlds.start`.

        Raises:
            UnsupportedError: If `rows` are not all of them, in their order.
        """
        if list(rows) != list(range(self.batch)):
            raise UnsupportedError(
                f"worlds without a cache start together: expected all {self.batch}, got {list(rows)}"
            )
        super().start(rows, context, actions, seeds, words, backward=backward)
        self._past.clear()
        c = context.shape[1]
        before, led = F.pad(context, (0, 0, 0, 0, 1, 0)), F.pad(actions, (0, 0, 1, 0))
        # A world that begins with a longer context than the window remembers the window only.
        for t in range(max(0, c - self.dit.config.window), c):
            has = torch.full_like(self.has_previous, t > 0)
            frame = FrameInput(
                noise=before[:, t],  # not used
                previous=before[:, t],
                has_previous=has,
                actions=led[:, t],
                has_action=has,
                times=torch.full_like(self.times, float(t)),
                text=self.text if self.dit.text is not None else None,
                backward=self.backward,
            )
            self._past.append((context[:, t], frame))

    @torch.no_grad()
    def step(self, actions: Tensor, has_action: Tensor | None = None) -> Step:
        """See `Worlds.step`; reward and end come from the last denoising step."""
        frame, k = self._input(actions, has_action), self.sampler.steps
        z, first, out = frame.noise, None, None
        for i in range(k):
            out = self._predict(z, frame, i / k)
            first = out.clean if first is None else first
            if i < k - 1:
                tau = torch.full((self.batch, 1), i / k, device=z.device)
                z = move(z[:, None], out.clean, tau, torch.full_like(tau, 1 / k))[:, 0]
        assert out is not None and first is not None  # steps >= 1
        clean = out.clean[:, 0]
        self._past.append((clean, frame))
        self._advance(clean)
        change = (out.clean - first).square().mean(dim=(1, 2, 3)).sqrt()
        return Step(clean=clean, instability=change, reward=out.reward[:, 0], end=out.end[:, 0])

    def _predict(self, z: Tensor, frame: FrameInput, tau: float) -> Output:
        """What the network says of the last frame when it runs over all of them."""
        noise = self.sampler.context_noise
        parts = [condition(f, 1 - noise, FINEST, noise, text=f.text) for _, f in self._past]
        parts.append(condition(frame, tau, levels(self.sampler.steps), noise, text=frame.text))
        frames = [f for _, f in self._past] + [frame]
        noisy = torch.stack([clean for clean, _ in self._past] + [z], dim=1)
        previous = torch.stack([f.previous for f in frames], dim=1)
        times = torch.stack([f.times for f in frames], dim=1)
        ago = times[:, :, None] - times[:, None]
        visible = (ago >= 0) & (ago <= self.dit.config.window)
        look = self.dit.look(times, visible, self.grid, noisy.dtype)
        out: Output = self.dit(noisy, previous, _all(parts), self.grid, look)
        return Output(clean=out.clean[:, -1:], reward=out.reward[:, -1:], end=out.end[:, -1:])


def _all(parts: list[Condition]) -> Condition:
    """Conditions of one frame each as one of all the frames."""
    names = ("signal", "level", "previous_noise", "has_previous", "actions", "has_action")
    joined = {name: torch.cat([getattr(c, name) for c in parts], dim=1) for name in names}
    texts = [c.text for c in parts if c.text is not None]
    return Condition(**joined, text=torch.cat(texts, dim=1) if texts else None, backward=parts[-1].backward)
