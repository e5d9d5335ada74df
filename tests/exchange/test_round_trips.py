"""Ours -> theirs -> ours gives the same bytes: every format, every kind of action, awkward texts, short episodes."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.exchange.datasets import SPACES, all_frames, same, write
from worldsim.dataset import read_info, shards, validate
from worldsim.errors import ConfigError, StoreError
from worldsim.exchange import sidecar
from worldsim.exchange.episodes import pack, split
from worldsim.exchange.exporting import Target, export_dataset
from worldsim.exchange.folder import FolderTarget
from worldsim.exchange.folder_read import FolderSource
from worldsim.exchange.importing import ImportConfig, Source, import_dataset
from worldsim.exchange.lerobot import LeRobotTarget
from worldsim.exchange.lerobot_read import LeRobotSource
from worldsim.exchange.minari import MinariTarget
from worldsim.exchange.minari_read import MinariSource
from worldsim.exchange.vectors import layout

pytest.importorskip("pyarrow", reason="pip install 'worldsim[datasets]'")
pytest.importorskip("h5py", reason="pip install 'worldsim[datasets]'")

Make = Callable[[Path, Path], Target]


def minari(storage: str) -> Make:
    return lambda data, out: MinariTarget(out, sidecar.of_dataset(data), id="toys/a-v0", storage=storage)  # type: ignore[arg-type]


def lerobot(pictures: str) -> Make:
    return lambda data, out: LeRobotTarget(out, sidecar.of_dataset(data), pictures=pictures)  # type: ignore[arg-type]


def folder(frames: str, actions: str) -> Make:
    return lambda data, out: FolderTarget(out, sidecar.of_dataset(data), frames=frames, actions=actions)  # type: ignore[arg-type]


EXACT: dict[str, tuple[Make, Callable[[Path], Source]]] = {
    "minari arrow": (minari("arrow"), MinariSource),
    "minari parquet": (minari("parquet"), MinariSource),
    "minari hdf5": (minari("hdf5"), MinariSource),
    "lerobot image": (lerobot("image"), LeRobotSource),
    "lerobot video": (lerobot("video"), LeRobotSource),
    "folder mkv jsonl": (folder("mkv", "jsonl"), FolderSource),
    "folder npz csv": (folder("npz", "csv"), FolderSource),
}


def there_and_back(name: str, data: Path, out: Path, back: Path) -> None:
    make, source = EXACT[name]
    exported = export_dataset(data, make(data, out), quiet=True)
    import_dataset(source(exported.out), back, ImportConfig(), quiet=True)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("space", SPACES)
def test_every_kind_of_action_comes_back_to_the_byte(name: str, space: str, tmp_path: Path) -> None:
    write(tmp_path / "data", SPACES[space], [[3, 1], [2]])
    there_and_back(name, tmp_path / "data", tmp_path / "out", tmp_path / "back")
    assert same(tmp_path / "data", tmp_path / "back")


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(sorted(EXACT)),
    space=st.sampled_from(sorted(SPACES)),
    lengths=st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=3),
    size=st.sampled_from([(2, 2), (5, 7), (16, 12)]),
)
def test_any_dataset_comes_back_to_the_byte(
    name: str, space: str, lengths: list[list[int]], size: tuple[int, int]
) -> None:
    with tempfile.TemporaryDirectory() as root:
        data, out, back = Path(root) / "data", Path(root) / "out", Path(root) / "back"
        write(data, SPACES[space], lengths, size)
        there_and_back(name, data, out, back)
        assert same(data, back)


def test_split_and_pack_are_inverse(tmp_path: Path) -> None:
    write(tmp_path / "data", SPACES["dict"], [[3, 1, 2]])
    (recording,) = shards(tmp_path / "data")
    again = pack(list(split(recording)), recording.steps)
    assert (again.frames == recording.frames).all()
    assert again.caption_table == recording.caption_table
    assert (again.captions == recording.captions).all()


@pytest.mark.parametrize("space", SPACES)
def test_vectors_hold_every_action(space: str, tmp_path: Path) -> None:
    write(tmp_path / "data", SPACES[space], [[4]])
    kept = sidecar.of_dataset(tmp_path / "data")
    vectors = layout(kept.info.action_space, kept.dtypes)
    (recording,) = shards(tmp_path / "data")
    (episode,) = split(recording)
    numbers = vectors.vectors(episode.actions)
    assert numbers.shape == (4, len(vectors.names))
    back = pack([type(episode)(**{**vars(episode), "actions": vectors.actions(numbers)})], 4)
    from worldsim import trees

    assert trees.equal(back.actions, recording.actions)


def test_whole_numbers_that_no_float_holds_are_refused() -> None:
    space = {"type": "box", "low": [0], "high": [2**60], "dtype": "int64"}
    with pytest.raises(ConfigError, match="cannot be written as a vector of floats"):
        layout(space, {})
    assert layout({**space, "high": [2**40]}, {}).dtype == "float64"


@pytest.mark.parametrize("name", EXACT)
def test_an_export_that_was_cut_goes_on(name: str, tmp_path: Path) -> None:
    write(tmp_path / "data", SPACES["dict"], [[3, 1], [2], [2, 2]])
    make, source = EXACT[name]
    target = make(tmp_path / "data", tmp_path / "out")
    write_shard = target.write

    def stop(shard: int, first: int, episodes: object) -> None:
        if shard == 2:
            raise KeyboardInterrupt
        write_shard(shard, first, episodes)  # type: ignore[arg-type]

    target.write = stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        export_dataset(tmp_path / "data", target, quiet=True)
    with pytest.raises(StoreError):  # what is not complete is not taken for complete
        source(target.out)
    written: list[int] = []
    again = make(tmp_path / "data", tmp_path / "out")
    write_again = again.write

    def count(shard: int, first: int, episodes: object) -> None:
        written.append(shard)
        write_again(shard, first, episodes)  # type: ignore[arg-type]

    again.write = count  # type: ignore[method-assign]
    exported = export_dataset(tmp_path / "data", again, quiet=True)
    assert written == [2]
    import_dataset(source(exported.out), tmp_path / "back", ImportConfig(), quiet=True)
    assert same(tmp_path / "data", tmp_path / "back")


@pytest.mark.parametrize("name", EXACT)
def test_an_import_that_was_cut_goes_on(name: str, tmp_path: Path) -> None:
    write(tmp_path / "data", SPACES["dict"], [[3, 1], [2], [2, 2]])
    make, open_source = EXACT[name]
    exported = export_dataset(tmp_path / "data", make(tmp_path / "data", tmp_path / "out"), quiet=True)
    source = open_source(exported.out)
    read = source.read
    asked: list[int] = []

    def stop(episode: int, start: int, steps: int):  # type: ignore[no-untyped-def]
        asked.append(episode)
        if episode == 3:
            raise KeyboardInterrupt
        return read(episode, start, steps)

    source.read = stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        import_dataset(source, tmp_path / "back", ImportConfig(), quiet=True)
    assert any("episodes: 3 of 5" in line for line in validate(tmp_path / "back"))
    asked.clear()
    source = open_source(exported.out)
    read = source.read

    def watch(episode: int, start: int, steps: int):  # type: ignore[no-untyped-def]
        asked.append(episode)
        return read(episode, start, steps)

    source.read = watch  # type: ignore[method-assign]
    import_dataset(source, tmp_path / "back", ImportConfig(), quiet=True)
    assert asked == [3, 4]
    assert same(tmp_path / "data", tmp_path / "back")


def test_another_dataset_or_setting_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "data", SPACES["box"], [[2]])
    write(tmp_path / "other", SPACES["box"], [[3]])
    export_dataset(tmp_path / "data", folder("mkv", "jsonl")(tmp_path / "data", tmp_path / "out"), quiet=True)
    with pytest.raises(ConfigError, match="another dataset, or with other settings"):
        export_dataset(tmp_path / "other", folder("mkv", "jsonl")(tmp_path / "other", tmp_path / "out"), quiet=True)
    with pytest.raises(ConfigError, match="another dataset, or with other settings"):
        export_dataset(tmp_path / "data", folder("npz", "jsonl")(tmp_path / "data", tmp_path / "out"), quiet=True)
    with pytest.raises(ConfigError, match="not empty"):
        export_dataset(tmp_path / "data", folder("npz", "jsonl")(tmp_path / "data", tmp_path / "other"), quiet=True)
    source = FolderSource(tmp_path / "out")
    import_dataset(source, tmp_path / "back", ImportConfig(), quiet=True)
    with pytest.raises(ConfigError, match="settings differ"):
        import_dataset(source, tmp_path / "back", ImportConfig(steps=1), quiet=True)
    with pytest.raises(ConfigError, match="was not imported"):
        import_dataset(source, tmp_path / "data", ImportConfig(), quiet=True)


def test_a_damaged_shard_is_not_exported(tmp_path: Path) -> None:
    info = write(tmp_path / "data", SPACES["box"], [[2]])
    shard = tmp_path / "data" / info.shards[0][0]
    other = write(tmp_path / "other", SPACES["box"], [[2]], (8, 8))
    shutil.copy(tmp_path / "other" / other.shards[0][0], shard)
    with pytest.raises(StoreError, match="SHA-256 differs"):
        export_dataset(tmp_path / "data", folder("mkv", "jsonl")(tmp_path / "data", tmp_path / "out"), quiet=True)


def test_long_episodes_are_cut_and_share_a_frame(tmp_path: Path) -> None:
    write(tmp_path / "data", SPACES["box"], [[7], [3]])
    export_dataset(tmp_path / "data", folder("mkv", "jsonl")(tmp_path / "data", tmp_path / "out"), quiet=True)
    done = import_dataset(FolderSource(tmp_path / "out"), tmp_path / "cut", ImportConfig(steps=3, shard=2), quiet=True)
    assert any("cut into 4" in note for note in done.notes)
    assert validate(tmp_path / "cut")[1:] == [] and "world_seeds" in (validate(tmp_path / "cut") or ["world_seeds"])[0]
    first, second = shards(tmp_path / "cut")
    (whole, _) = all_frames(tmp_path / "data")
    assert first.lengths.tolist() == [3, 3] and second.lengths.tolist() == [1, 3]
    assert (first.frames[0] == whole[0, :4]).all() and (first.frames[1] == whole[0, 3:7]).all()
    assert (second.frames[0, :2] == whole[0, 6:8]).all()
    assert not first.terminated.any()
    assert read_info(tmp_path / "cut").recipe["imported"] == "folder"


def test_frames_are_scaled_when_asked(tmp_path: Path) -> None:
    write(tmp_path / "data", SPACES["box"], [[2]], (8, 8))
    export_dataset(tmp_path / "data", folder("npz", "jsonl")(tmp_path / "data", tmp_path / "out"), quiet=True)
    done = import_dataset(FolderSource(tmp_path / "out"), tmp_path / "small", ImportConfig(size=(4, 4)), quiet=True)
    (whole,), (small,) = all_frames(tmp_path / "data"), all_frames(tmp_path / "small")
    mean = whole.reshape(1, 3, 4, 2, 4, 2, 3).astype(float).mean(axis=(3, 5))
    assert np.abs(small - mean).max() <= 0.5
    assert done.info.size == (4, 4) and any("scaled" in note for note in done.notes)


def test_an_mp4_says_what_it_lost(tmp_path: Path) -> None:
    write(tmp_path / "data", SPACES["dict"], [[3, 2]], (15, 33))
    exported = export_dataset(tmp_path / "data", folder("mp4", "csv")(tmp_path / "data", tmp_path / "out"), quiet=True)
    assert "4:2:0" in exported.notes[0] and "dB" in exported.notes[0]
    import_dataset(FolderSource(tmp_path / "out"), tmp_path / "back", ImportConfig(), quiet=True)
    (a,), (b,) = shards(tmp_path / "data"), shards(tmp_path / "back")
    told = json.loads((tmp_path / "out" / "episode-000000.json").read_text())["psnr"]
    error = ((a.frames[0, :4].astype(float) - b.frames[0, :4]) ** 2).mean()
    assert 10 * np.log10(255**2 / error) == pytest.approx(told, abs=0.01)
    assert (a.rewards == b.rewards).all() and a.caption_table == b.caption_table
    assert (a.actions["camera"] == b.actions["camera"]).all()
    assert read_info(tmp_path / "back").recipe["imported"] == "folder"
