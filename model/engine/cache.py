"""The ring of keys and values: preallocated, one slot a frame, constant memory for any number of frames.

Keys are kept turned by their place but not by their time. They are turned by their age when they are read, so that
positions never leave the window, however long a world lives. They are read from oldest to newest whatever the ring's
phase: the order of the sums, and so every bit of the result, depends on a world's own frames only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.model.dit.attention import attend
from worldsim.model.dit.config import DiTConfig
from worldsim.model.dit.rotary import rotate, time_turn

_NEVER = -1.0e6  # the age sentinel of an empty slot; masked out, so any finite number does


class RingCache:
    """Keys and values of the last `slots` frames of B worlds, and of pinned frames that never leave.

    Attributes:
        keys, values: A (B, slots, M, kv heads, head) tensor for each time layer.
        times: (B, slots) float32: the frame that a slot holds.
        filled: (B, slots) bool.
    """

    def __init__(
        self, config: DiTConfig, batch: int, tokens: int, device: torch.device | str, dtype: torch.dtype = torch.float32
    ) -> None:
        """Allocates for B worlds of `tokens` = M tokens a frame."""
        self.config, self.slots, self.next = config, config.window, 0
        shape = (batch, self.slots, tokens, config.kv_heads, config.head)
        self.keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in config.time_layers]
        self.values = [torch.zeros(shape, device=device, dtype=dtype) for _ in config.time_layers]
        self.times = torch.full((batch, self.slots), _NEVER, device=device)
        self.filled = torch.zeros(batch, self.slots, dtype=torch.bool, device=device)
        self.pinned: Pinned | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values))

    def order(self) -> Tensor:
        """(slots,) int64: slots from oldest to newest."""
        return (torch.arange(self.slots, device=self.times.device) + self.next) % self.slots

    def push(self, new: dict[int, tuple[Tensor, Tensor]], times: Tensor) -> None:
        """Commits one frame of every world: layer -> keys and values (B, M, kv heads, head); times (B,)."""
        for i, layer in enumerate(self.config.time_layers):
            k, v = new[layer]
            self.keys[i][:, self.next] = k
            self.values[i][:, self.next] = v
        self.times[:, self.next] = times
        self.filled[:, self.next] = True
        self.next = (self.next + 1) % self.slots

    def clear(self, rows: list[int]) -> None:
        """Forgets worlds."""
        self.filled[rows] = False
        self.times[rows] = _NEVER

    def read(self, row: int) -> dict[str, Tensor]:
        """A copy of one world, oldest frame first."""
        order = self.order()
        return {
            "keys": torch.stack([k[row, order] for k in self.keys]),
            "values": torch.stack([v[row, order] for v in self.values]),
            "times": self.times[row, order],
            "filled": self.filled[row, order],
        }

    def write(self, row: int, world: dict[str, Tensor]) -> None:
        """Sets one world to what `read` gave."""
        order = self.order()
        for i in range(len(self.keys)):
            self.keys[i][row, order] = world["keys"][i].to(self.keys[i])
            self.values[i][row, order] = world["values"][i].to(self.values[i])
        self.times[row, order] = world["times"].to(self.times)
        self.filled[row, order] = world["filled"].to(self.filled.device)


@dataclass(kw_only=True)
class Pinned:
    """Frames that are known ahead, of the end of a join or loop: they stay whatever the ring forgets.

    Attributes:
        keys, values: A (B, P, M, kv heads, head) tensor for each time layer.
        times: (B, P) float32.
    """

    keys: list[Tensor]
    values: list[Tensor]
    times: Tensor


class CachedHistory:
    """The ring as a `History` for F new frames at `times`; what they would commit is captured by layer.

    With F = 2 the first frame is one that waits to be committed and the second the one that is denoised: the fused form
    of the commit pass.
    """

    def __init__(self, cache: RingCache, times: Tensor) -> None:
        """`times` is (B, F)."""
        self.cache, config = cache, cache.config
        self.captured: dict[int, tuple[Tensor, Tensor]] = {}
        self._index = {layer: i for i, layer in enumerate(config.time_layers)}
        self._order = cache.order()
        now = times[:, -1:]
        past, filled = cache.times[:, self._order], cache.filled[:, self._order]
        pinned = cache.pinned
        if pinned is not None:
            past = torch.cat([pinned.times, past], dim=1)
            filled = torch.cat([torch.ones_like(pinned.times, dtype=torch.bool), filled], dim=1)
        near = filled & ((now - past) <= config.window) if pinned is None else filled
        self._past_turn = time_turn(torch.where(filled, past - now, 0.0), config.head)
        self._own_turn = time_turn(times - now, config.head)
        b, f = times.shape
        own = torch.ones(f, f, dtype=torch.bool, device=times.device).tril().expand(b, f, f)
        self._seen = torch.cat([near[:, None].expand(-1, f, -1), own], dim=2)  # (B, F, S + F)
        self._all = f == 1 and bool(self._seen.all())
        self._masks: dict[tuple[int, torch.dtype], Tensor] = {}

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `History`."""
        self.captured[layer] = (k, v)
        i, cache = self._index[layer], self.cache
        past_k, past_v = cache.keys[i][:, self._order], cache.values[i][:, self._order]
        if cache.pinned is not None:
            past_k = torch.cat([cache.pinned.keys[i], past_k], dim=1)
            past_v = torch.cat([cache.pinned.values[i], past_v], dim=1)
        past_k = rotate(past_k.to(k.dtype), *self._past_turn)
        q, k = rotate(q, *self._own_turn), rotate(k, *self._own_turn)
        k, v = torch.cat([past_k, k], dim=1), torch.cat([past_v.to(v.dtype), v], dim=1)
        b, f, m = q.shape[:3]
        if cache.config.time_attention == "full":
            mask = None if self._all else self._mask(m, q.dtype)
            return attend(q.flatten(1, 2), k.flatten(1, 2), v.flatten(1, 2), mask).unflatten(1, (f, m))
        mask = None if self._all else self._mask(1, q.dtype).repeat_interleave(m, dim=0)
        q, k, v = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))
        return attend(q, k, v, mask).unflatten(0, (b, m)).transpose(1, 2)

    def _mask(self, m: int, dtype: torch.dtype) -> Tensor:
        if (m, dtype) not in self._masks:
            seen = self._seen[:, None].repeat_interleave(m, dim=2).repeat_interleave(m, dim=3)
            mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))
            self._masks[m, dtype] = mask
        return self._masks[m, dtype]
