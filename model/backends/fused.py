"""One frame of play in the fused form: the frame before is committed together with the first denoising step.

K passes a frame, not K + 1, and the first of them works on two frames at once: the weights, which a small batch waits
for, are read once for both. It computes what `worldsim.model.engine.sampler.draw` computes with something pending.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor

from worldsim.model.backends.frame import (
    ALL,
    PATCHES,
    FrameNet,
    FrameResult,
    Known,
    LayerNet,
    grouped_attention,
    hidden,
    norm,
    rows,
)
from worldsim.model.dit.network import DiT
from worldsim.model.dit.rotary import rotate, time_turn
from worldsim.model.engine.sampler import SamplerConfig


class FusedArguments(NamedTuple):
    """What `FusedFrameNet` reads: as `FrameArguments`, and what is known of the frame that waits.

    The clean latent of the frame that waits is `previous`; both run in the same direction of time.

    Attributes:
        waits: (B,) float, 1 where a frame waits, 0 where the world has just begun.
        old_previous: (B, N, P).
        old_has_previous: (B,) float.
        old_actions: (B, A).
        old_has_action: (B,) float.
        old_text: (B, R, D).
        old_seen: (B, S) float, what the waiting frame may look at.
    """

    noise: Tensor
    previous: Tensor
    has_previous: Tensor
    actions: Tensor
    has_action: Tensor
    text: Tensor
    backward: Tensor
    ages: Tensor
    seen: Tensor
    order: Tensor
    waits: Tensor
    old_previous: Tensor
    old_has_previous: Tensor
    old_actions: Tensor
    old_has_action: Tensor
    old_text: Tensor
    old_seen: Tensor
    cache: tuple[Tensor, ...]


class _Both(NamedTuple):
    """What the first pass knows of both frames; of two, the one that waits comes first."""

    before: Tensor  # (B, 2, N, D)
    registers: Tensor  # (B, 2, R, D)
    modulation: Tensor  # (B, 2, depth, 6, D)
    mask: Tensor  # (B, 1, groups * 2 * M, S * M + 2 * M)


class FusedFrameNet(FrameNet):
    """See the module. `FrameResult.commits` is of the frame that waited."""

    turn: Tensor

    def __init__(self, dit: DiT, sampler: SamplerConfig, places: Tensor) -> None:
        """As `FrameNet`."""
        super().__init__(dit, sampler, places)
        steps = torch.tensor([[-1.0, 0.0]], device=places.device)
        self.register_buffer("turn", torch.stack(time_turn(steps, self.config.head)), persistent=False)

    def forward(self, a: FusedArguments) -> FrameResult:  # type: ignore[override]
        """Draws one frame of every world and says what the one before leaves in the cache."""
        both, known = self._both(a)
        z, previous = a.noise.to(self.biases.dtype), a.previous.to(self.biases.dtype)
        x, known, commits = self._first(z, previous, both, known)
        r = self.config.registers
        clean = first = self._clean(x[:, -z.shape[1] :], z, previous)
        for i in range(1, self.k):
            z = self._towards(z, clean, i - 1)
            x = self._pass(z, known, i, ALL if i == self.k - 1 else PATCHES)[0]
            clean = self._clean(x[:, -z.shape[1] :], z, previous)
        return self._result(a.noise.dtype, clean, first, self.heads(x[:, :r].mean(dim=1)), commits)

    def _both(self, a: FusedArguments) -> tuple[_Both, Known]:
        config, dtype, b = self.config, self.biases.dtype, len(a.ages)
        texts = torch.stack([a.old_text, a.text], dim=1).to(dtype).flatten(0, 1)  # (B * 2, R, D)
        actions, acted, had = (
            torch.stack(pair, dim=1).to(dtype).flatten(0, 1)
            for pair in (
                (a.old_actions, a.actions),
                (a.old_has_action, a.has_action),
                (a.old_has_previous, a.has_previous),
            )
        )
        backward = a.backward.to(dtype).repeat_interleave(2)
        vectors, to_tokens = (torch.unflatten(x, 0, (b, 2)) for x in self._vector(actions, acted, had, texts, backward))
        every = torch.cat([vectors[None, :, 1].expand(self.k, -1, -1), vectors[None, :, 0]])  # (K + 1, B, D)
        modulation, final = self._modulation(every)
        before = to_tokens[:, :, None] + self.bias
        if self.embed_before is not None:
            latents = torch.stack([a.old_previous, a.previous], dim=1).to(dtype)
            before = to_tokens[:, :, None] + self.embed_before(latents)
        registers = self.registers + torch.unflatten(texts, 0, (b, 2))
        keys, values = self._past(a.ages, a.order, a.cache)
        old_past, past, own = self._seen(a.old_seen), self._seen(a.seen), a.seen.new_ones(b, self.tokens)
        waits = a.waits[:, None].expand(-1, self.tokens)
        seen = torch.stack(
            [torch.cat([old_past, own, 0 * own], dim=1), torch.cat([past, waits, own], dim=1)], dim=1
        )  # (B, 2, S * M + 2 * M)
        masks = hidden(seen)[:, None, :, None].expand(-1, config.heads // config.kv_heads, -1, self.tokens, -1)
        known = Known(
            before=before[:, 1],
            registers=registers[:, 1],
            modulation=modulation,
            final=final,
            keys=tuple(keys),
            values=tuple(values),
            mask=hidden(seen[:, 1])[:, None, None].to(dtype),
        )
        both = _Both(
            before=before,
            registers=registers,
            modulation=torch.stack([modulation[self.k], modulation[0]], dim=1),
            mask=masks.reshape(b, 1, -1, seen.shape[-1]).to(dtype),
        )
        return both, known

    def _first(
        self, z: Tensor, previous: Tensor, both: _Both, known: Known
    ) -> tuple[Tensor, Known, tuple[Tensor, ...]]:
        """The pass of both frames -> tokens of the new one, what the later passes know, what is committed."""
        config, b, m = self.config, len(z), self.tokens
        last = config.time_layers[-1]
        embedded = self.embed(torch.stack([previous, z], dim=1)) + both.before
        x = torch.cat([both.registers, embedded], dim=2)  # (B, 2, M, D)
        mods = both.modulation
        keys, values = list(known.keys), list(known.values)
        old_keys: list[Tensor] = []
        old_values: list[Tensor] = []
        for j, layer in enumerate(self.layers):
            layer = cast(LayerNet, layer)
            scale, shift, gate, scale2, shift2, gate2 = mods[:, :, j].unsqueeze(3).unbind(dim=2)
            f = x.shape[1]
            q, k, v = self._project(layer, torch.addcmul(shift, norm(x), scale).flatten(0, 1))
            if layer.time:
                t = config.time_layers.index(j)
                q, k, v = (torch.unflatten(y, 0, (b, f)) for y in (q, k, v))
                old_keys.append(k[:, 0])
                old_values.append(v[:, 0])
                q, k = (rotate(y, *self.turn) for y in (q, k))
                keys[t] = torch.cat([keys[t], rows(k)], dim=2)
                values[t] = torch.cat([values[t], rows(v)], dim=2)
                mask = both.mask
                if j == last:  # nothing reads the frame that waits from here on
                    q, x, mods, mask = q[:, 1:], x[:, 1:], mods[:, 1:], known.mask
                    gate, scale2, shift2, gate2 = (y[:, 1:] for y in (gate, scale2, shift2, gate2))
                out = grouped_attention(q.flatten(1, 2), keys[t], values[t], mask)
                out = torch.unflatten(out, 1, (-1, m))
            else:
                out = grouped_attention(q, k.transpose(1, 2), v.transpose(1, 2), None)
                out = torch.unflatten(out, 0, (b, f))
            x = torch.addcmul(x, gate, layer.out(out))
            up, by = layer.up(torch.addcmul(shift2, norm(x), scale2)).chunk(2, dim=-1)
            x = torch.addcmul(x, gate2, layer.down(torch.nn.functional.silu(up) * by))
        gain, shift = known.final[0].unsqueeze(2).unbind(dim=1)
        # The new frame's own keys of this step are its last M: later passes have others.
        later = known._replace(keys=tuple(y[:, :, :-m] for y in keys), values=tuple(y[:, :, :-m] for y in values))
        return torch.addcmul(shift, norm(x[:, -1]), gain), later, (*old_keys, *old_values)


def frame_net(dit: DiT, sampler: SamplerConfig, places: Tensor) -> FrameNet:
    """The module that draws whole frames with these settings, in evaluation mode."""
    return (FusedFrameNet if sampler.fused else FrameNet)(dit, sampler, places).eval()
