"""Clips of a dataset that is larger than memory: any batch by its number, a few shards in memory.

An epoch goes through the shards in a seeded order, a few of them at a time: their clips are mixed, then the next few
shards come. Clip number g of the endless sequence follows from the seed and g alone, so a training that is resumed, or
reads its batches in another order, sees the same clips; and the clips of all ranks together are those of one process
with the whole batch.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from worldsim import seeding
from worldsim.dataset import read_info, read_lengths, read_shard
from worldsim.errors import ConfigError
from worldsim.recording import Recording, join

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Clips in the order of the sequence: each array is (n,) int64."""

    shards: NDArray[np.int64]
    episodes: NDArray[np.int64]
    starts: NDArray[np.int64]


class _Kept(Generic[T]):
    """The last few things that were made."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.things: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of a key, made if it is not kept; the one that was used longest ago makes room first."""
        if key in self.things:
            self.things.move_to_end(key)
        else:
            while len(self.things) >= self.most:
                self.things.popitem(last=False)
            self.things[key] = make()
        return self.things[key]


class Clips:
    """The clips of a dataset, by the number of their batch.

    In an epoch an episode gives as many clips as fit into it one after the other, each from anywhere in it, all starts
    being equally likely. No clip reaches into padding; episodes that are too short are left out.

    Attributes:
        info: What `dataset.json` said when the object was made; shards that are added later are not seen.
        steps: Of each clip; it has `steps` + 1 frames.
    """

    def __init__(self, folder: str | Path, *, steps: int, seed: int, cache_shards: int = 8) -> None:
        """Reads the lengths of all episodes, and nothing else.

        Args:
            folder: The dataset.
            steps: T of each clip, at least 0; 0 gives single frames.
            seed: The order and the cuts follow from it.
            cache_shards: Shards that are mixed, and so lie in memory at once (a shard of 32 episodes of 96 steps at
                64x64 takes 38 MB). It is part of the order: another number gives other batches.

        Raises:
            StoreError: If the dataset cannot be read.
            ConfigError: If no episode is long enough.
        """
        if steps < 0 or cache_shards < 1:
            raise ConfigError(f"clips need steps >= 0 and cache_shards >= 1, got {steps} and {cache_shards}")
        self.folder, self.steps, self.seed = Path(folder), steps, seed
        self.info = read_info(folder)
        self._lengths = [read_lengths(self.folder / name).astype(np.int64) for name, _, _ in self.info.shards]
        self._counts = [np.where(n >= steps, (n + 1) // (steps + 1), 0) for n in self._lengths]
        self._group = cache_shards
        if not len(self):
            longest = max((int(n.max(initial=0)) for n in self._lengths), default=0)
            raise ConfigError(
                f"no episode in {folder} has {steps} steps: the longest has {longest}; collect longer ones "
                "(`worldsim collect --steps`), or cut shorter clips"
            )
        self._forget()

    def __len__(self) -> int:
        """Clips in one epoch."""
        return int(sum(int(count.sum()) for count in self._counts))

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_shards", "_plans", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def batch(self, step: int, size: int, rank: int = 0, world: int = 1) -> Recording:
        """The clips of one step of training, whatever was read before.

        Args:
            step: Number of the batch, from 0 on; epochs follow one another without a seam.
            size: Clips for this rank.
            rank: Which process this is, 0..world-1.
            world: How many processes share the step.

        Returns:
            `size` episodes of `steps` steps, (size, steps+1, H, W, 3).

        Raises:
            ConfigError: If an argument is out of range.
            StoreError: If a shard cannot be read.
        """
        if step < 0 or size < 1 or not 0 <= rank < world:
            raise ConfigError(
                f"a batch needs step >= 0, size >= 1 and 0 <= rank < world; got step={step}, size={size}, "
                f"rank={rank}, world={world}"
            )
        plan = self._clips((step * world + rank) * size, size)
        pieces, order = [], []
        _, first = np.unique(plan.shards, return_index=True)
        for shard in plan.shards[np.sort(first)]:  # in the order of the sequence: the shards that come next stay
            here = np.flatnonzero(plan.shards == shard)
            pieces.append(self._shard(int(shard)).clip(plan.episodes[here], plan.starts[here], self.steps))
            order.append(here)
        gathered = np.argsort(np.concatenate(order))
        return join(pieces).clip(gathered, np.zeros(size, np.int64), self.steps)

    def _forget(self) -> None:
        self._shards: _Kept[Recording] = _Kept(self._group)
        self._plans: _Kept[Any] = _Kept(4)  # where two epochs meet: of each its groups, and one group
        self._lock = threading.Lock()  # a thread may read ahead

    def _shard(self, number: int) -> Recording:
        path = self.folder / self.info.shards[number][0]
        with self._lock:
            return self._shards.get(number, lambda: read_shard(path))

    def _clips(self, first: int, count: int) -> _Plan:
        """The clips first..first+count-1 of the sequence."""
        plans: list[_Plan] = []
        while count:
            epoch, position = divmod(first, len(self))
            groups, ends = self._groups(epoch)
            number = int(np.searchsorted(ends, position, side="right"))
            end = int(ends[number])
            taken = min(count, end - position)
            whole = self._mixed(epoch, groups[number])
            stretch = slice(len(whole.shards) - (end - position), len(whole.shards) - (end - position) + taken)
            plans.append(_pick(whole, stretch))
            first, count = first + taken, count - taken
        return _Plan(
            shards=np.concatenate([p.shards for p in plans]),
            episodes=np.concatenate([p.episodes for p in plans]),
            starts=np.concatenate([p.starts for p in plans]),
        )

    def _groups(self, epoch: int) -> tuple[list[tuple[int, ...]], NDArray[np.int64]]:
        with self._lock:
            found: tuple[list[tuple[int, ...]], NDArray[np.int64]] = self._plans.get(epoch, lambda: self._deal(epoch))
        return found

    def _deal(self, epoch: int) -> tuple[list[tuple[int, ...]], NDArray[np.int64]]:
        """The groups of shards of an epoch, and where in the epoch each of them ends."""
        rng = seeding.generator("clips-epoch", self.seed, epoch)
        filled = [s for s in rng.permutation(len(self._counts)).tolist() if self._counts[s].any()]
        groups = [tuple(filled[i : i + self._group]) for i in range(0, len(filled), self._group)]
        return groups, np.cumsum([sum(int(self._counts[s].sum()) for s in group) for group in groups])

    def _mixed(self, epoch: int, group: tuple[int, ...]) -> _Plan:
        with self._lock:
            found: _Plan = self._plans.get((epoch, group), lambda: self._mix(epoch, group))
        return found

    def _mix(self, epoch: int, group: tuple[int, ...]) -> _Plan:
        """All clips of a group of shards in one epoch, in a random order."""
        rng = seeding.generator("clips-group", self.seed, epoch, *group)
        counts = [self._counts[s] for s in group]
        shards = np.repeat(np.array(group, np.int64), [int(c.sum()) for c in counts])
        episodes = np.concatenate([np.repeat(np.arange(len(c)), c) for c in counts])
        room = np.concatenate([np.repeat(self._lengths[s], c) for s, c in zip(group, counts, strict=True)]) - self.steps
        return _pick(_Plan(shards=shards, episodes=episodes, starts=rng.integers(room + 1)), rng.permutation(len(room)))


def _pick(plan: _Plan, key: Any) -> _Plan:
    return _Plan(shards=plan.shards[key], episodes=plan.episodes[key], starts=plan.starts[key])
