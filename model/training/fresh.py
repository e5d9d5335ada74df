"""Fresh episodes in place of old ones while a transformer is trained: which, when, and where they lie.

Every `every` steps the next `count` slots of a set of E episodes get new episodes, the slot that has waited longest
first. Refresh r (from 1 on) brings the fresh episodes (r - 1) * count ... r * count - 1; fresh episode n goes to slot
n mod E. So what a step is trained on follows from its number alone. Whoever is late is waited for.

    <latents of the set>/fresh/<first>-<count>/     episodes through the codec; folders that no slot needs are deleted

An episode that was deleted, or never made, is played again: the same number gives the same bytes.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.errors import ConfigError, StoreError
from worldsim.model.training.latent_store import is_whole, keep_latents, open_latents
from worldsim.model.training.latents import Episodes, LatentClips, LatentRecording
from worldsim.recording import Recording

#: Refreshes that a set of episodes takes at most to be replaced once: each is a folder that is open meanwhile.
MOST_PARTS = 64
#: Refreshes whose folders stay though no slot needs them: a training that was killed may go on from before them.
SPARE = 2
#: Seconds for which a process waits for what the first one makes, as long as it waits for it elsewhere.
PATIENCE = 6 * 3600.0


def check_count(episodes: int, count: int) -> None:
    """Raises ConfigError unless a refresh may replace so many of a set's episodes; 0 = none is fine."""
    least = -(-episodes // MOST_PARTS)
    if count and not least <= count <= episodes:
        raise ConfigError(
            f"a refresh must replace {least}..{episodes} of {episodes} episodes, got data.N.fresh={count} (0 = never)"
        )


@dataclass(frozen=True, kw_only=True)
class FreshSet:
    """A set of episodes, of which some are replaced.

    Attributes:
        base: The dataset's.
        count: Episodes in a refresh; 0 = none is ever replaced.
        place: Folder of the fresh ones.
    """

    base: LatentRecording
    count: int
    place: Path

    def __post_init__(self) -> None:
        check_count(len(self.base), self.count)

    def folder(self, refresh: int) -> Path:
        """Where the episodes of a refresh lie."""
        return self.place / f"{(refresh - 1) * self.count:08d}-{self.count}"


def slots(episodes: int, count: int, refreshes: int) -> NDArray[np.int64]:
    """(E,) the number of the fresh episode in each slot after so many refreshes; -1 = the dataset's own."""
    brought = count * refreshes
    found = np.arange(episodes)
    return np.where(found < brought, brought - 1 - (brought - 1 - found) % episodes, -1)


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """Episodes of which some are those of other recordings.

    Attributes:
        parts: Where the episodes come from.
        part: (E,) which of the parts each slot's is in.
        row: (E,) and where in it.
        lengths: (E,) valid latents.
    """

    parts: tuple[LatentRecording, ...]
    part: NDArray[np.int64]
    row: NDArray[np.int64]
    lengths: NDArray[np.int32]

    def cut(self, episodes: NDArray[np.int64], starts: NDArray[np.int64], frames: int) -> LatentClips:
        """See `LatentRecording.cut`."""
        which = self.part[episodes]
        order, pieces = [], []
        for index in np.unique(which):
            here = np.flatnonzero(which == index)
            order.append(here)
            pieces.append(self.parts[int(index)].cut(self.row[episodes[here]], starts[here], frames))
        back = np.argsort(np.concatenate(order))
        captions = [row for piece in pieces for row in piece.captions]
        return LatentClips(
            tokens=torch.cat([piece.tokens for piece in pieces])[torch.from_numpy(back)],
            actions=np.concatenate([piece.actions for piece in pieces])[back],
            rewards=np.concatenate([piece.rewards for piece in pieces])[back],
            terminated=np.concatenate([piece.terminated for piece in pieces])[back],
            captions=tuple(captions[i] for i in back),
            size=pieces[0].size,
        )


def replaced(base: LatentRecording, count: int, refreshes: int, parts: Mapping[int, LatentRecording]) -> Episodes:
    """A set after so many refreshes; `parts` holds the episodes of those that `live` names."""
    if not count or not refreshes:
        return base
    fresh = slots(len(base), count, refreshes)
    numbers = sorted(parts)
    if len({base.size, *(parts[r].size for r in numbers)}) > 1 or any(
        parts[r].tokens.shape[1:] != base.tokens.shape[1:] for r in numbers
    ):
        raise StoreError("fresh episodes differ in length or size from those of the dataset: delete <out>/latents")
    index = {refresh: i + 1 for i, refresh in enumerate(numbers)}
    part = np.array([0 if n < 0 else index[int(n) // count + 1] for n in fresh])
    row = np.where(fresh < 0, np.arange(len(base)), fresh % count)
    every = (base, *(parts[r] for r in numbers))
    lengths = np.array([every[p].lengths[r] for p, r in zip(part, row, strict=True)], np.int32)
    return Replaced(parts=every, part=part, row=row, lengths=lengths)


def live(episodes: int, count: int, refreshes: int) -> list[int]:
    """The refreshes of which a slot has an episode, in order."""
    if not count:
        return []
    fresh = slots(episodes, count, refreshes)
    return sorted({int(n) // count + 1 for n in fresh if n >= 0})


class Player(Protocol):
    """Plays fresh episodes beside the training."""

    def begin(self, refresh: int) -> None:
        """Begins to play the episodes of a refresh, if it plays nothing yet; returns at once."""
        ...

    def take(self, refresh: int) -> Sequence[Recording]:
        """The episodes of a refresh, a recording for each set that has fresh ones; waits until they are played."""
        ...


class FreshLatents:
    """The sets of a training, step by step.

    Attributes:
        made: Refreshes that this process brought about.
        waited: Seconds for which the training stood still until episodes were played.
        encoded: Seconds that the codec took.
    """

    def __init__(
        self,
        sets: Sequence[FreshSet],
        *,
        every: int,
        steps: int,
        player: Player | None,
        encode: Callable[[Recording], LatentRecording],
        told: Callable[[int, float, float], None] = lambda refresh, waited, encoded: None,
    ) -> None:
        """Nothing is played before the first step is asked for.

        Args:
            sets: The sets.
            every: Steps between two refreshes.
            steps: Of the whole training: nothing is played for later ones.
            player: Plays; None = another process does it all, and the latents are found on disk.
            encode: Episodes through the codec.
            told: Hears of each refresh that was brought about: its number, and the seconds of waiting and encoding.
        """
        self._sets, self._every, self._player = tuple(sets), every, player
        self._encode, self._told = encode, told
        self._last = max(0, steps - 1) // every
        self._now: int | None = None
        self._parts: list[dict[int, LatentRecording]] = [{} for _ in self._sets]
        self._sources: list[Episodes] = [s.base for s in self._sets]
        self.made, self.waited, self.encoded = 0, 0.0, 0.0

    def at(self, step: int) -> Sequence[Episodes]:
        """The sets as they are at a step."""
        refreshes = min(step // self._every, self._last)
        if refreshes != self._now:
            self._change(refreshes)
            self._now = refreshes
        return self._sources

    def _change(self, refreshes: int) -> None:
        needed = [live(len(s.base), s.count, refreshes) for s in self._sets]
        missing = [r for r in sorted({*itertools.chain(*needed)}) if self._lacks(r)]
        ahead = next((r for r in range(refreshes + 1, self._last + 1) if self._lacks(r)), None)
        for i, refresh in enumerate(missing):
            self._bring(refresh, missing[i + 1] if i + 1 < len(missing) else ahead)
        if self._player is not None and not missing and ahead is not None:
            self._player.begin(ahead)
        for i, (s, numbers) in enumerate(zip(self._sets, needed, strict=True)):
            kept = self._parts[i]
            self._parts[i] = {r: kept[r] if r in kept else open_latents(s.folder(r)) for r in numbers}
            self._sources[i] = replaced(s.base, s.count, refreshes, self._parts[i])
            if self._player is not None and numbers:
                _clear(s, numbers[0] - SPARE)

    def _lacks(self, refresh: int) -> bool:
        return any(s.count and not is_whole(s.folder(refresh)) for s in self._sets)

    def _bring(self, refresh: int, following: int | None) -> None:
        """Makes the episodes of a refresh, or waits until the first process has; then the next ones are begun."""
        began = time.monotonic()
        if self._player is None:
            while self._lacks(refresh):
                if time.monotonic() - began > PATIENCE:
                    raise StoreError(f"the first process did not bring the fresh episodes of refresh {refresh}")
                time.sleep(0.05)
            return
        recordings = self._player.take(refresh)
        if following is not None:
            self._player.begin(following)
        waited = time.monotonic() - began
        for s, recording in zip((s for s in self._sets if s.count), recordings, strict=True):
            if not is_whole(s.folder(refresh)):
                keep_latents(s.folder(refresh), self._encode(recording))
        encoded = time.monotonic() - began - waited
        self.made, self.waited, self.encoded = self.made + 1, self.waited + waited, self.encoded + encoded
        self._told(refresh, waited, encoded)


def _clear(s: FreshSet, oldest: int) -> None:
    """Deletes the folders of refreshes before `oldest`, and whatever else lies there."""
    kept = {s.folder(refresh).name for refresh in range(max(oldest, 1), oldest + 4 * MOST_PARTS)}
    for path in s.place.iterdir():
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
