"""Fresh episodes: which lie where after how many refreshes, whatever was asked before, deleted or late."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.model.pushed import episodes
from worldsim.errors import ConfigError
from worldsim.model.training import fresh
from worldsim.model.training.fresh import FreshLatents, FreshSet, live, slots
from worldsim.model.training.latents import LatentRecording, draw_clips
from worldsim.recording import Recording

BASE, COUNT, EVERY, STEPS, LENGTH = 5, 2, 3, 30, 4


def latents(numbers: Sequence[int]) -> LatentRecording:
    """Episodes of which every value says which they are: 0.. of the dataset, 100.. fresh."""
    own = np.asarray(numbers, np.float32)
    e = len(own)
    return LatentRecording(
        tokens=torch.from_numpy(np.broadcast_to(own[:, None, None, None], (e, LENGTH, 1, 2)).astype(np.float16)),
        actions=np.broadcast_to(own[:, None, None], (e, LENGTH - 1, 1)).astype(np.float32),
        rewards=np.broadcast_to(own[:, None], (e, LENGTH - 1)).astype(np.float32),
        terminated=np.zeros((e, LENGTH - 1), bool),
        lengths=np.full(e, LENGTH, np.int32),
        captions=np.broadcast_to(np.arange(1, e + 1)[:, None], (e, LENGTH)).astype(np.int32),
        table=("", *(f"episode {int(n)}" for n in numbers)),
        size=(1, 1),
    )


class Scripted:
    """A player whose recordings only carry the number of their refresh."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.begun: list[int] = []

    def begin(self, refresh: int) -> None:
        self.begun.append(refresh)

    def take(self, refresh: int) -> list[Recording]:
        self.taken.append(refresh)
        return [episodes(1, refresh, seed=0)]


def encode(recording: Recording) -> LatentRecording:
    first = 100 + (recording.steps - 1) * COUNT
    return latents(range(first, first + COUNT))


def source(place: Path, player: Scripted | None) -> FreshLatents:
    still = FreshSet(base=latents([50, 51]), count=0, place=place / "still")
    one = FreshSet(base=latents(range(BASE)), count=COUNT, place=place / "fresh")
    return FreshLatents([one, still], every=EVERY, steps=STEPS, player=player, encode=encode)


def held(found: FreshLatents, step: int) -> list[int]:
    """Which episode is in each slot at a step."""
    clips = found.at(step)[0].cut(np.arange(BASE), np.zeros(BASE, np.int64), 2)
    who = [int(x) for x in clips.tokens[:, 0, 0, 0]]
    assert who == clips.actions[:, 0, 0].astype(int).tolist() == clips.rewards[:, 0].astype(int).tolist()
    assert [c[0] for c in clips.captions] == [f"episode {n}" for n in who]
    return who


def simulated(refreshes: int) -> list[int]:
    """The same by replacing one slot after the other."""
    now = list(range(BASE))
    for n in range(refreshes * COUNT):
        now[n % BASE] = 100 + n
    return now


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 12))
def test_slots_are_replaced_in_turn(count: int, more: int, refreshes: int) -> None:
    size = count + more
    now = [-1] * size
    for n in range(refreshes * count):
        now[n % size] = n
    assert slots(size, count, refreshes).tolist() == now
    needed = live(size, count, refreshes)
    assert needed == sorted({n // count + 1 for n in now if n >= 0})
    assert len(needed) <= -(-size // count) + 1


def test_what_a_step_sees_follows_from_its_number(tmp_path: Path) -> None:
    found = source(tmp_path, Scripted())
    for step in (0, 2, 3, 5, 6, 17, 17, 29):
        assert held(found, step) == simulated(step // EVERY), step
    # Whoever comes later, or starts in the middle, sees the same.
    for step in (16, 4, 29):
        assert held(source(tmp_path / str(step), Scripted()), step) == simulated(step // EVERY)
    assert found.at(29)[1].cut(np.arange(2), np.zeros(2, np.int64), 1).tokens.flatten().tolist() == [50, 50, 51, 51]


def test_batches_are_drawn_from_what_is_there(tmp_path: Path) -> None:
    found = source(tmp_path, Scripted())
    one, other = (draw_clips(found.at(29)[:1], [1.0], frames=3, size=64, seed=(1,))[0] for _ in range(2))
    assert torch.equal(one.tokens, other.tokens)
    assert {int(x) for x in one.tokens[:, 0, 0, 0]} == set(simulated(29 // EVERY))


def test_it_plays_ahead_of_the_training_and_not_beyond_its_end(tmp_path: Path) -> None:
    player = Scripted()
    found = source(tmp_path, player)
    found.at(0)
    assert player.begun == [1] and player.taken == []
    for step in range(STEPS):
        found.at(step)
    last = (STEPS - 1) // EVERY
    assert player.taken == list(range(1, last + 1)) == list(player.begun)
    assert found.made == last


def test_a_killed_training_finds_or_makes_again_what_it_needs(tmp_path: Path) -> None:
    found = source(tmp_path, Scripted())
    for step in range(20):
        found.at(step)
    again = Scripted()
    assert held(source(tmp_path, again), 19) == simulated(6) and again.taken == []
    shutil.rmtree(min((tmp_path / "fresh").iterdir()))  # the oldest: no slot needs it
    (tmp_path / "fresh" / "00000008-2").rename(tmp_path / "fresh" / "00000008-2.part")  # a kill while it was written
    assert held(source(tmp_path, again), 19) == simulated(6)
    assert again.taken == [5] and again.begun == [7, 7]
    earlier = Scripted()  # from a state before the folders that are left
    assert held(source(tmp_path, earlier), 3) == simulated(1)


def test_the_disk_holds_a_bounded_ring(tmp_path: Path) -> None:
    found = source(tmp_path, Scripted())
    for step in range(STEPS):
        found.at(step)
        most = len(live(BASE, COUNT, step // EVERY)) + fresh.SPARE
        assert len(list((tmp_path / "fresh").glob("*"))) <= most


def test_another_process_reads_what_the_first_one_made(tmp_path: Path) -> None:
    first, other = source(tmp_path, Scripted()), source(tmp_path, None)
    for step in range(STEPS):
        first.at(step)
        assert held(other, step) == simulated(step // EVERY)
    assert other.made == 0


def test_the_number_must_fit_the_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must replace 1\.\.5 of 5 episodes, got data.N.fresh=6"):
        FreshSet(base=latents(range(5)), count=6, place=tmp_path)
    with pytest.raises(ConfigError, match=r"3\.\.129"):
        fresh.check_count(129, 2)
    fresh.check_count(129, 0)
