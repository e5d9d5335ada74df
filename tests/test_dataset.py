"""Datasets on disk: equal bytes, read by numpy alone, whole or not at all, and every kind of damage is named."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recordings import SPACE, numbered, texts, write_dataset
from worldsim import trees
from worldsim.dataset import (
    Recording,
    file_digest,
    pack,
    read_info,
    read_lengths,
    read_shard,
    shards,
    validate,
    write_info,
    write_shard,
)
from worldsim.errors import StoreError
from worldsim.seeding import world_seed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards: episodes 0, 1 of 5 and 3 steps, and episode 2 of 4."""
    write_dataset(tmp_path / "data", [[5, 3], [4]], 5)
    return tmp_path / "data"


def same(a: Recording, b: Recording) -> bool:
    return trees.equal(a.__dict__, b.__dict__)


def test_a_shard_comes_back(tmp_path: Path) -> None:
    for recording in (numbered([5, 3], 5), replace(numbered([2], 2), actions=np.zeros((1, 2), np.int64))):
        digest = write_shard(tmp_path / "a.npz", recording)
        assert same(read_shard(tmp_path / "a.npz"), recording)
        assert file_digest(tmp_path / "a.npz") == digest
        np.testing.assert_array_equal(read_lengths(tmp_path / "a.npz"), recording.lengths)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_numpy_alone_reads_it(folder: Path) -> None:
    with np.load(folder / "shard-00000.npz", allow_pickle=False) as file:
        flat = {name: file[name] for name in file.files}
    r = numbered([5, 3], 5)
    assert {name: (a.dtype.name, a.shape) for name, a in flat.items() if name != "caption_table@json"} == {
        "frames": ("uint8", (2, 6, 2, 3, 3)),
        "actions/camera": ("float32", (2, 5, 2)),
        "actions/key": ("int64", (2, 5)),
        "rewards": ("float32", (2, 5)),
        "terminated": ("bool", (2, 5)),
        "lengths": ("int32", (2,)),
        "world_seeds": ("int64", (2,)),
        "captions": ("int32", (2, 6)),
    }
    np.testing.assert_array_equal(flat["actions/camera"], r.actions["camera"])
    table = json.loads(flat["caption_table@json"].tobytes())
    assert [[table[i] for i in row] for row in flat["captions"]] == texts(r)


def test_equal_content_gives_equal_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the clock says, and however the arrays lie in memory."""
    r = numbered([5, 3], 5)
    first = pack(r)
    monkeypatch.setattr(time, "time", lambda: 2.0e9)
    turned = replace(r, frames=np.asfortranarray(r.frames), rewards=np.asfortranarray(r.rewards))
    assert pack(turned) == first
    with zipfile.ZipFile(io.BytesIO(first)) as file:
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    changed = replace(r, rewards=r.rewards + np.float32(1))
    assert pack(changed) != first


def test_the_index_comes_back(folder: Path) -> None:
    info = read_info(folder)
    assert (
        info.episodes == 3
        and info.size == (2, 3)
        and [name for name, _, _ in info.shards]
        == [
            "shard-00000.npz",
            "shard-00001.npz",
        ]
    )
    before = (folder / "dataset.json").read_bytes()
    write_info(folder, info)
    assert (folder / "dataset.json").read_bytes() == before
    assert json.loads(before)["digest"] == info.digest != replace(info, shards=info.shards[:1]).digest
    assert [len(r) for r in shards(folder)] == [2, 1]


def test_a_full_disk_leaves_the_old_file_and_no_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "shard-00000.npz"
    before, files = path.read_bytes(), sorted(folder.iterdir())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"shard-00000\.npz: No space left.*run the same command again"):
        write_shard(path, numbered([1], 1))
    assert path.read_bytes() == before and sorted(folder.iterdir()) == files


def test_a_whole_dataset_has_no_faults(folder: Path) -> None:
    told: list[int] = []
    assert validate(folder, advance=told.append) == []
    assert told == [1, 1]
    (folder / "notes.txt").write_text("other files are nobody's business")
    assert validate(folder) == []


def test_single_frames_are_a_dataset_too(tmp_path: Path) -> None:
    write_dataset(tmp_path, [[0, 0], [0]], 0)
    assert validate(tmp_path) == []


# --------------------------------------------------------------------------------------------------------- damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink, lambda path: path.write_bytes(b"")])
def test_damaged_bytes_are_found(folder: Path, harm: Callable[[Path], Any]) -> None:
    harm(folder / "shard-00001.npz")
    (told,) = validate(folder)
    assert told.startswith("shard-00001.npz: is ")


def reindexed(folder: Path) -> None:
    """The index believes what lies there: what is wrong is inside."""
    info = read_info(folder)
    write_info(folder, replace(info, shards=tuple((n, c, file_digest(folder / n)) for n, c, _ in info.shards)))


@pytest.mark.parametrize("harm", [cut, lambda p: p.write_bytes(b"PK\x03\x04"), lambda p: np.save(p.open("wb"), [1])])
def test_what_is_no_shard_is_named(folder: Path, harm: Callable[[Path], Any]) -> None:
    path = folder / "shard-00001.npz"
    harm(path)
    with pytest.raises(StoreError, match=re.escape(f"{path} is not a shard of a dataset")):
        read_shard(path)
    with pytest.raises(StoreError, match=re.escape(str(path))):
        read_lengths(path)
    reindexed(folder)
    (told,) = validate(folder)
    assert told.startswith("shard-00001.npz: is not a shard")


def test_a_flipped_bit_is_found_or_changes_nothing(folder: Path) -> None:
    """Every member carries a checksum, so a reader notices without the index, wherever in the file it is."""
    path = folder / "shard-00000.npz"
    whole, recording, found = path.read_bytes(), read_shard(path), 0
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            assert same(read_shard(path), recording), f"byte {at}"
        except StoreError:
            found += 1
    assert found > len(whole) / 3 / 2


#: What is put into the second shard -> what is said of it.
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"lengths": np.array([0], np.int32)}, "lengths: must be in 1..5, got 0 in episode 0"),
    ({"lengths": np.array([4], np.int64)}, "lengths: must be int32, got int64"),
    ({"rewards": np.full((1, 5), np.nan, np.float32)}, "rewards: must be finite"),
    ({"rewards": np.zeros((1, 5))}, "rewards: must be float32, got float64"),
    ({"terminated": np.ones((1, 5), np.bool_)}, "terminated: step 0 of episode 0 is not its last one (4 are valid)"),
    ({"captions": np.zeros((1, 6), np.int64)}, "captions: must be int32, got int64"),
    ({"caption_table": ("", *"abcdea")}, "caption_table@json: must be a list of different texts"),
    ({"caption_table": ("", *"abcde", 3)}, "caption_table@json: must be a list of different texts"),
    ({"frames": np.zeros((1, 6, 3, 2, 3), np.uint8)}, "frames: dataset.json says size (2, 3), got (3, 2)"),
    ({"actions": {"key": np.zeros((1, 5), np.int64)}}, "actions: expected the keys ['camera', 'key'], got ['key']"),
    (
        {"actions": {"camera": np.zeros((1, 5, 2)), "key": np.full((1, 5), 2)}},
        "actions/key: 5 values outside the space; 2 at (0, 0), not 0..1",
    ),
    (
        {"world_seeds": np.array([world_seed(0, "x", "", 0, "validation")])},
        f"world_seeds: {world_seed(0, 'x', '', 0, 'validation')} is a validation world in a train set",
    ),
]


@pytest.mark.parametrize(("change", "says"), FAULTS)
def test_what_contradicts_itself_is_named(folder: Path, change: dict[str, Any], says: str) -> None:
    write_shard(folder / "shard-00001.npz", replace(numbered([4], 5, first=2), **change))
    reindexed(folder)
    told = validate(folder)
    assert any(line.startswith(f"shard-00001.npz: {says}") for line in told), told
    assert all(line.startswith("shard-00001.npz: ") for line in told)
    assert len(told) == 1 or "lengths" in change  # without its length the last step is another one


def test_worlds_without_a_seed_are_fine(folder: Path) -> None:
    write_shard(folder / "shard-00001.npz", replace(numbered([4], 5), world_seeds=np.array([-1])))
    reindexed(folder)
    assert validate(folder) == []


def test_shards_that_differ_in_length_or_number(folder: Path) -> None:
    write_shard(folder / "shard-00001.npz", numbered([4, 4], 4, first=2))
    reindexed(folder)
    assert validate(folder) == [
        "shard-00001.npz: frames: dataset.json says 1 episodes, got 2",
        "shard-00001.npz: frames: expected T = 5 steps as in the first shard, got 4",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"split": "training"}, "dataset.json: split: must be one of train, validation, test, got 'training'"),
        ({"fps": 0.0}, "dataset.json: fps: must be positive, got 0.0"),
        ({"recipe": {"episodes": 9}}, "dataset.json: episodes: 3 of 9 are there; run the same command again"),
        ({"action_space": {"type": "dict"}}, "dataset.json: action_space: not the description of an action space"),
        ({"action_space": {**SPACE, "type": "Dict"}}, "dataset.json: action_space: not the description"),
        ({"shards": ()}, "dataset.json: shards: there are none"),
    ],
)
def test_what_is_wrong_in_the_index(folder: Path, change: dict[str, Any], says: str) -> None:
    write_info(folder, replace(read_info(folder), **change))
    assert validate(folder)[0].startswith(says)


def test_a_shard_that_comes_twice(folder: Path) -> None:
    info = read_info(folder)
    write_info(folder, replace(info, shards=info.shards[:1] * 2))
    assert validate(folder) == ["dataset.json: shards: a file comes twice"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda plain: plain.update(schema=2), "schema 2, this version reads 1"),
        (lambda plain: plain.pop("fps"), "KeyError.'fps'"),
        (lambda plain: plain.update(size=[64]), "IndexError"),
        (lambda plain: plain["shards"][0].update(file="../other/shard-00000.npz"), "must be a file name"),
        (lambda plain: plain.update(shards=3), "TypeError"),
    ],
)
def test_an_index_of_another_kind(folder: Path, change: Callable[[Any], Any], says: str) -> None:
    plain = json.loads((folder / "dataset.json").read_text())
    change(plain)
    (folder / "dataset.json").write_text(json.dumps(plain))
    with pytest.raises(StoreError, match=says):
        read_info(folder)


def test_what_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="worldsim collect --out"):
        read_info(tmp_path)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(StoreError, match="schema None"):
        read_info(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(StoreError, match="not a dataset"):
        validate(tmp_path)
