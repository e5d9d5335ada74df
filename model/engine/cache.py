"""The ring of keys and values: preallocated, one slot a frame, constant memory for any number of frames.

Keys are kept turned by their place but not by their time. They are turned by their age when they are read, so that
positions never leave the window, however long a world lives. They are read from oldest to newest whatever the ring's
phase: the order of the sums, and so every bit of the result, depends on a world's own frames only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.errors import ContractError
from worldsim.model.dit.attention import attend
from worldsim.model.dit.config import DiTConfig
from worldsim.model.dit.rotary import rotate, time_turn

_NEVER = -1.0e6  # the time of an empty slot; masked out, so any finite number does


class RingCache:
    """Keys and values of the last `slots` frames of B worlds, and of pinned frames that never leave.

    Attributes:
        keys, values: A (B, slots, M, kv heads, head) tensor for each time layer.
        times: (B, slots) float32: the frame that a slot holds.
        filled: (B, slots) bool.
        next: The slot that the next frame goes into: the oldest one.
        pinned: Frames known ahead, or None.
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

    def push(self, new: dict[int, tuple[Tensor, Tensor]], times: Tensor, without: Sequence[int] = ()) -> None:
        """Commits one frame of every world.

        Args:
            new: Layer -> keys and values (B, M, kv heads, head).
            times: (B,) float32.
            without: Worlds that have no such frame; they keep what they have.
        """
        kept = {row: self.read(row) for row in without}
        for i, layer in enumerate(self.config.time_layers):
            k, v = new[layer]
            self.keys[i][:, self.next] = k
            self.values[i][:, self.next] = v
        self.times[:, self.next] = times
        self.filled[:, self.next] = True
        self.next = (self.next + 1) % self.slots
        for row, world in kept.items():
            self.write(row, world)

    def clear(self, rows: list[int]) -> None:
        """Forgets worlds."""
        self.filled[rows] = False
        self.times[rows] = _NEVER

    def read(self, row: int) -> dict[str, Tensor]:
        """A copy of one world, oldest frame first, with its pinned frames if there are any."""
        order = self.order()
        pinned = {} if self.pinned is None else self.pinned.read(row)
        return {
            "keys": torch.stack([k[row, order] for k in self.keys]),
            "values": torch.stack([v[row, order] for v in self.values]),
            "times": self.times[row, order],
            "filled": self.filled[row, order],
            **pinned,
        }

    def write(self, row: int, world: dict[str, Tensor]) -> None:
        """Sets one world to what `read` gave.

        Raises:
            ContractError: If it has other pinned frames than the batch: those are shared out among all rows alike.
        """
        count = 0 if self.pinned is None else self.pinned.times.shape[1]
        own = len(world["pinned_times"]) if "pinned_times" in world else 0
        if count != own:
            raise ContractError(f"a world with {own} pinned frames cannot join a batch whose worlds have {count}")
        order = self.order()
        for i in range(len(self.keys)):
            self.keys[i][row, order] = world["keys"][i].to(self.keys[i])
            self.values[i][row, order] = world["values"][i].to(self.values[i])
        self.times[row, order] = world["times"].to(self.times)
        self.filled[row, order] = world["filled"].to(self.filled.device)
        if self.pinned is not None:
            self.pinned = self.pinned.write(row, world)


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

    def read(self, row: int) -> dict[str, Tensor]:
        """A copy of those of one world."""
        return {
            "pinned_keys": torch.stack([k[row] for k in self.keys]),
            "pinned_values": torch.stack([v[row] for v in self.values]),
            "pinned_times": self.times[row].clone(),
        }

    def write(self, row: int, world: dict[str, Tensor]) -> Pinned:
        """The same with one world as `read` gave it."""
        keys, values, times = [k.clone() for k in self.keys], [v.clone() for v in self.values], self.times.clone()
        for i in range(len(keys)):
            keys[i][row] = world["pinned_keys"][i].to(keys[i])
            values[i][row] = world["pinned_values"][i].to(values[i])
        times[row] = world["pinned_times"].to(times)
        return Pinned(keys=keys, values=values, times=times)


class CachedHistory:
    """The ring as a `History` for F new frames at `times`; what they would commit is captured by layer.

    With F = 2 the first frame is one that waits to be committed and the second the one that is denoised: the fused form
    of the commit pass.
    """

    def __init__(self, cache: RingCache, times: Tensor, without: Sequence[int] = ()) -> None:
        """Looks at the cache as it is now.

        Args:
            cache: The ring.
            times: (B, F).
            without: For F = 2: worlds whose first frame is not real; the second does not see it.
        """
        self.cache, config = cache, cache.config
        self.captured: dict[int, tuple[Tensor, Tensor]] = {}
        self._index = {layer: i for i, layer in enumerate(config.time_layers)}
        self._order = cache.order()
        b, f = times.shape
        past, filled = cache.times[:, self._order], cache.filled[:, self._order]
        near = filled[:, None] & (times[:, :, None] - past[:, None] <= config.window)  # (B, F, S)
        if cache.pinned is not None:
            ahead = torch.ones_like(cache.pinned.times, dtype=torch.bool)
            past, filled = torch.cat([cache.pinned.times, past], dim=1), torch.cat([ahead, filled], dim=1)
            near = torch.cat([ahead[:, None].expand(-1, f, -1), near], dim=2)
        now = times[:, -1:]
        self._past_turn = time_turn(torch.where(filled, past - now, 0.0), config.head)
        self._own_turn = time_turn(times - now, config.head)
        own = torch.ones(f, f, dtype=torch.bool, device=times.device).tril().repeat(b, 1, 1)
        if without:
            own[list(without), 1:, 0] = False
        self._seen = torch.cat([near, own], dim=2)  # (B, F, S + F)
        # On a CPU a mask that hides nothing changes no bit. On other devices it may choose another kernel, and then the
        # bits of a world would change when another world of its batch is started anew: there the mask is always there.
        self._all = f == 1 and times.device.type == "cpu" and bool(self._seen.all())
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
            return torch.unflatten(attend(q.flatten(1, 2), k.flatten(1, 2), v.flatten(1, 2), mask), 1, (f, m))
        mask = None if self._all else self._mask(1, q.dtype).repeat_interleave(m, dim=0)
        q, k, v = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))
        return torch.unflatten(attend(q, k, v, mask), 0, (b, m)).transpose(1, 2)

    def frame(self, index: int) -> dict[int, tuple[Tensor, Tensor]]:
        """What one of the F frames commits, as `RingCache.push` takes it."""
        return {layer: (k[:, index], v[:, index]) for layer, (k, v) in self.captured.items()}

    def _mask(self, m: int, dtype: torch.dtype) -> Tensor:
        if (m, dtype) not in self._masks:
            seen = self._seen[:, None].repeat_interleave(m, dim=2).repeat_interleave(m, dim=3)
            mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))
            self._masks[m, dtype] = mask
        return self._masks[m, dtype]
