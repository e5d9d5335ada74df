"""Clips by the number of their batch: whatever was read before; inside their episodes; few shards at a time."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.recordings import texts, write_dataset
from worldsim import clips_dataset, trees
from worldsim.clips_dataset import Clips
from worldsim.errors import ConfigError, StoreError
from worldsim.recording import Recording

STEPS = 9
LENGTHS = [[9, 4, 9], [2, 9], [1, 2], [8, 9, 9], [5], [9, 9]]  # the third holds no clip of 3 steps
ALL = [n for own in LENGTHS for n in own]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    write_dataset(path, LENGTHS, STEPS)
    return path


def places(r: Recording) -> list[tuple[int, int]]:
    """(episode, start) of each clip, read off its frames."""
    return [(int(a), int(b)) for a, b in r.frames[:, 0, 0, 0, :2]]


def equal(a: Recording, b: Recording) -> bool:
    return trees.equal(a.__dict__, b.__dict__)


@given(
    steps=st.integers(0, 9),
    seed=st.integers(0, 3),
    cache=st.integers(1, 7),
    order=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    size=st.integers(1, 9),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_batch_does_not_depend_on_what_was_read(
    folder: Path, steps: int, seed: int, cache: int, order: list[int], size: int
) -> None:
    """And every clip lies inside its episode, with its own actions and texts."""
    clips = Clips(folder, steps=steps, seed=seed, cache_shards=cache)
    for step in order:
        batch = clips.batch(step, size)
        fresh = Clips(folder, steps=steps, seed=seed, cache_shards=cache).batch(step, size)
        assert equal(batch, fresh)
        assert len(batch) == size and batch.steps == steps and (batch.lengths == steps).all()
        for i, (episode, start) in enumerate(places(batch)):
            assert 0 <= start <= ALL[episode] - steps
            assert batch.frames[i, :, 0, 0, 1].tolist() == list(range(start, start + steps + 1))
            assert (batch.frames[i, :, 0, 0, 0] == episode).all()
            assert batch.actions["camera"][i].tolist() == [[episode, start + t] for t in range(steps)]
            assert texts(batch)[i] == [f"{episode} at {start + t}" for t in range(steps + 1)]
        assert len(clips._shards.things) <= cache


@given(step=st.integers(0, 20), world=st.integers(1, 4), size=st.integers(1, 5), cache=st.integers(1, 7))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ranks_share_one_sequence(folder: Path, step: int, world: int, size: int, cache: int) -> None:
    clips = Clips(folder, steps=3, seed=0, cache_shards=cache)
    apart = [place for rank in range(world) for place in places(clips.batch(step, size, rank, world))]
    assert apart == places(clips.batch(step, size * world))


@pytest.mark.parametrize("cache", [1, 2, 4, 8])
def test_an_epoch_takes_from_each_episode_what_fits_into_it(folder: Path, cache: int) -> None:
    clips = Clips(folder, steps=3, seed=5, cache_shards=cache)
    fits = Counter({e: (n + 1) // 4 for e, n in enumerate(ALL) if n >= 3})
    assert len(clips) == sum(fits.values())
    epochs = [places(clips.batch(epoch, len(clips))) for epoch in range(3)]
    for epoch in epochs:
        assert Counter(episode for episode, _ in epoch) == fits
    assert epochs[0] != epochs[1] != epochs[2]
    other = places(Clips(folder, steps=3, seed=6, cache_shards=cache).batch(0, len(clips)))
    assert other != epochs[0]


def test_every_start_is_equally_likely(folder: Path) -> None:
    """Clips of 3 steps start at 0..6 in episodes of 9: chi-squared of 6 degrees, above 22.5 once in a thousand."""
    clips = Clips(folder, steps=3, seed=0)
    seen = [start for episode, start in places(clips.batch(0, 2000)) if ALL[episode] == 9]
    counts = np.bincount(seen, minlength=7)
    expected = len(seen) / 7
    assert len(counts) == 7 and float(((counts - expected) ** 2 / expected).sum()) < 22.5


def test_an_epoch_reads_each_shard_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And never more of them at a time than it may keep, nor one that holds no clip."""
    read: list[str] = []
    real = clips_dataset.read_shard

    def counting(path: Path) -> Recording:
        read.append(path.name)
        assert len(clips._shards.things) < 2, "room is made before the next one is read"
        return real(path)

    monkeypatch.setattr(clips_dataset, "read_shard", counting)
    clips = Clips(folder, steps=3, seed=1, cache_shards=2)
    for step in range(len(clips)):
        clips.batch(step, 1)
    assert sorted(read) == [f"shard-{i:05d}.npz" for i in (0, 1, 3, 4, 5)]
    half = Clips(folder, steps=3, seed=1, cache_shards=8)
    read.clear()
    monkeypatch.setattr(clips_dataset, "read_shard", lambda path: read.append(path.name) or real(path))
    for step in range(5 * len(half)):
        half.batch(step, 1)
    assert len(read) == 5, "a dataset that fits is read once"


def test_it_goes_to_other_processes_without_its_shards(folder: Path) -> None:
    clips = Clips(folder, steps=3, seed=1)
    batch = clips.batch(4, 6)
    packed = pickle.dumps(clips)
    assert len(packed) < 20_000 and clips._shards.things
    assert equal(pickle.loads(packed).batch(4, 6), batch)


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"steps": 10}, "has 10 steps: the longest has 9"),
        ({"steps": -1}, "steps >= 0"),
        ({"steps": 3, "cache_shards": 0}, "cache_shards >= 1"),
    ],
)
def test_what_cannot_be_cut(folder: Path, kwargs: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Clips(folder, seed=0, **kwargs)


@pytest.mark.parametrize("args", [(-1, 1), (0, 0), (0, 1, 1, 1), (0, 1, -1, 2), (0, 1, 0, 0)])
def test_what_is_no_batch(folder: Path, args: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="rank < world"):
        Clips(folder, steps=3, seed=0).batch(*args)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_dataset(tmp_path, [[5], [5]], 5)
    clips = Clips(tmp_path, steps=2, seed=0)
    (tmp_path / "shard-00001.npz").unlink()
    with pytest.raises(StoreError, match="shard-00001"):
        clips.batch(0, len(clips))
    with pytest.raises(StoreError, match="shard-00001"):
        Clips(tmp_path, steps=2, seed=0)
