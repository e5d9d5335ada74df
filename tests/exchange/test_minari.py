"""Minari's own library reads what we write, and we read what it writes: arrow, parquet, hdf5, with and without JPEG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.exchange.datasets import SPACES, write
from worldsim.cli.main import main
from worldsim.dataset import read_info, shards
from worldsim.errors import ConfigError, StoreError
from worldsim.exchange import sidecar
from worldsim.exchange.checking import check
from worldsim.exchange.episodes import split
from worldsim.exchange.exporting import export_dataset
from worldsim.exchange.importing import ImportConfig, import_dataset
from worldsim.exchange.minari import MinariTarget
from worldsim.exchange.minari_read import MinariSource
from worldsim.trees import equal, flatten

minari = pytest.importorskip("minari", reason="pip install minari")
pytest.importorskip("pyarrow")
pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Minari asks for authors
STORAGES = ("arrow", "parquet", "hdf5")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Minari looks: nothing of the machine's is read or written."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("space", ["dict", "box", "multidiscrete", "binary", "discrete"])
def test_minari_reads_every_value(space: str, storage: Any, tmp_path: Path, root: Path) -> None:
    write(tmp_path / "data", SPACES[space], [[3, 5], [4]], (40, 48))  # large enough to be a picture in Minari's eyes
    export_dataset(
        tmp_path / "data",
        MinariTarget(root, sidecar.of_dataset(tmp_path / "data"), id="toys/a-v0", storage=storage),
        quiet=True,
    )
    loaded = minari.load_dataset("toys/a-v0")
    episodes = [episode for recording in shards(tmp_path / "data") for episode in split(recording)]
    assert loaded.total_episodes == 3 and loaded.total_steps == 12
    assert "toys/a-v0" in minari.list_local_datasets()
    assert loaded.observation_space.shape == (40, 48, 3)
    metadata = list(loaded.storage.get_episode_metadata(range(3)))
    for theirs, ours, told in zip(loaded.iterate_episodes(), episodes, metadata, strict=True):
        assert theirs.observations.dtype == np.uint8 and (theirs.observations == ours.frames).all()
        assert equal(_flat(theirs.actions), _flat(ours.actions))
        assert (np.asarray(theirs.rewards) == ours.rewards).all() and len(theirs.rewards) == len(ours)
        assert theirs.terminations.tolist() == [False] * (len(ours) - 1) + [ours.terminated]
        assert theirs.truncations.tolist() == [False] * (len(ours) - 1) + [not ours.terminated]
        texts = [text.decode() if isinstance(text, bytes) else str(text) for text in theirs.infos["caption"]]
        assert texts == list(ours.captions)
        assert told.get("seed", -1) == ours.world_seed


def _flat(actions: Any) -> dict[str, np.ndarray]:
    return {path: np.asarray(leaf) for path, leaf in sorted(flatten(actions).items())}


def test_pixels_are_compressed_though_none_is_lost(tmp_path: Path, root: Path) -> None:
    """Minari itself stores them raw when JPEG is off."""
    write(tmp_path / "data", SPACES["box"], [[8]], (64, 64))
    (recording,) = shards(tmp_path / "data")
    recording.frames[:] = np.arange(64, dtype=np.uint8)[:, None, None]  # what a picture is: not noise
    from dataclasses import replace

    from worldsim.dataset import write_info, write_shard

    info = read_info(tmp_path / "data")
    digest = write_shard(tmp_path / "data" / "shard-00000.npz", recording)
    write_info(tmp_path / "data", replace(info, shards=(("shard-00000.npz", 1, digest),)))
    for storage in STORAGES:
        target = MinariTarget(root, sidecar.of_dataset(tmp_path / "data"), id=f"toys/{storage}-v0", storage=storage)
        exported = export_dataset(tmp_path / "data", target, quiet=True)
        data = sum(p.stat().st_size for p in (exported.out / "data").rglob("*") if p.suffix != ".json")
        assert data < recording.frames.nbytes / 3
        assert (minari.load_dataset(f"toys/{storage}-v0")[0].observations == recording.frames[0]).all()


#: Pictures inside a Dict, beside other observations; actions without bounds.
SEEN = gym.spaces.Dict(
    {
        "image": gym.spaces.Box(0, 255, (40, 36, 3), np.uint8),
        "speed": gym.spaces.Box(-np.inf, np.inf, (2,), np.float32),
    }
)
DONE = gym.spaces.Dict({"gas": gym.spaces.Box(-np.inf, np.inf, (2,), np.float32), "gear": gym.spaces.Discrete(3)})


def record(storage: str, jpeg: bool, name: str) -> Any:
    """Two episodes of four steps, written by Minari."""
    from minari.data_collector import EpisodeBuffer

    t, y, x = np.mgrid[:5, :40, :36]
    image = np.stack([(y * 4 + t) % 256, x * 5, 9 * t], -1).astype(np.uint8)
    rng = np.random.default_rng(0)
    buffers = [
        EpisodeBuffer(
            id=None,
            seed=seed,
            observations={"image": image + np.uint8(seed), "speed": rng.random((5, 2), np.float32)},
            actions={"gas": rng.standard_normal((4, 2)).astype(np.float32), "gear": rng.integers(0, 3, 4)},
            rewards=[0.5, 1.0, 1.5, 2.0],
            terminations=[False, False, False, seed == 1],
            truncations=[False, False, False, seed == 0],
            infos={},
        )
        for seed in (0, 1)
    ]
    return minari.create_dataset_from_buffers(
        dataset_id=name,
        buffer=buffers,
        observation_space=SEEN,
        action_space=DONE,
        data_format=storage,
        jpeg_encoding=jpeg,
    )


@pytest.mark.parametrize("jpeg", [False, True])
@pytest.mark.parametrize("storage", STORAGES)
def test_what_minari_wrote_is_read_as_minari_reads_it(storage: str, jpeg: bool, tmp_path: Path) -> None:
    theirs = record(storage, jpeg, "pixels/a-v0")
    source = MinariSource(Path("pixels/a-v0"))
    done = import_dataset(source, tmp_path / "back", ImportConfig(fps=10), quiet=True)
    assert any("JPEG" in note for note in done.notes) is jpeg
    assert any("bounds" in note for note in done.notes)
    (recording,) = shards(tmp_path / "back")
    for i, episode in enumerate(theirs.iterate_episodes()):
        assert (recording.frames[i] == episode.observations["image"]).all()
        assert (recording.actions["gas"][i] == episode.actions["gas"]).all()
        assert (recording.actions["gear"][i] == episode.actions["gear"]).all()
        assert (recording.rewards[i] == episode.rewards).all()
        assert recording.terminated[i].tolist() == episode.terminations.tolist()
    assert recording.world_seeds.tolist() == [-1, -1]  # Minari's seeds are of resets, not of worlds of ours
    assert main(["check", "dataset", str(tmp_path / "back")]) == 0


def test_a_frame_rate_is_never_guessed(tmp_path: Path) -> None:
    record("arrow", False, "pixels/a-v0")
    with pytest.raises(ConfigError, match="give --fps"):
        import_dataset(MinariSource(Path("pixels/a-v0")), tmp_path / "back", ImportConfig(), quiet=True)


def test_faults_are_named_with_file_and_field(tmp_path: Path, root: Path) -> None:
    record("arrow", False, "pixels/a-v0")
    data = root / "pixels" / "a-v0" / "data"
    assert check(root / "pixels" / "a-v0").faults == ()
    metadata = json.loads((data / "metadata.json").read_text())

    def faults(**changes: Any) -> str:
        (data / "metadata.json").write_text(json.dumps({**metadata, **changes}))
        return "\n".join(check(root / "pixels" / "a-v0").faults)

    assert "data/metadata.json: total_steps: is 9, the episodes have 8" in faults(total_steps=9)
    assert "data/metadata.json: total_episodes: is 1, 2 are there" in faults(total_episodes=1, total_steps=4)
    assert "data/metadata.json: minari_version: " in faults(minari_version="0.6.0")
    assert "data/metadata.json: dataset_id: " in faults(dataset_id="no version")
    assert "data/metadata.json: action_space: must be a space as JSON text" in faults(action_space="Box(2)")
    assert "data/metadata.json: observation_space: no pictures: " in faults(observation_space=metadata["action_space"])
    faults()
    (data / "1" / "metadata.json").write_text("{")
    assert "data/1/metadata.json: total_steps: cannot be read" in "\n".join(check(root / "pixels" / "a-v0").faults)
    (data / "1" / "metadata.json").write_text('{"total_steps": 4}')
    part = next((data / "0").glob("*.arrow"))
    part.write_bytes(part.read_bytes()[:-60])
    assert "data/0 cannot be read as arrow" in "\n".join(check(root / "pixels" / "a-v0").faults)


def test_several_pictures_ask_which(tmp_path: Path, root: Path) -> None:
    record("arrow", False, "pixels/a-v0")
    path = root / "pixels" / "a-v0" / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    space = json.loads(metadata["observation_space"])
    space["subspaces"]["left"] = space["subspaces"]["image"]
    path.write_text(json.dumps({**metadata, "observation_space": json.dumps(space)}))
    with pytest.raises(ConfigError, match=r"several pictures \(image, left\): say which with --frames"):
        MinariSource(Path("pixels/a-v0"))
    assert MinariSource(Path("pixels/a-v0"), frames="image").size == (40, 36)
    with pytest.raises(ConfigError, match="no pictures at 'speed'"):
        MinariSource(Path("pixels/a-v0"), frames="speed")


def test_a_missing_dataset_and_a_bad_id_are_said(tmp_path: Path, root: Path) -> None:
    with pytest.raises(StoreError, match="is no Minari dataset"):
        MinariSource(Path("nothing/here-v0"))
    write(tmp_path / "data", SPACES["box"], [[2]])
    with pytest.raises(ConfigError, match="namespace/name-v0"):
        MinariTarget(root, sidecar.of_dataset(tmp_path / "data"), id="no version")


def test_the_command_line_goes_there_and_back(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "my data", SPACES["named"], [[2]])
    assert main(["export", str(tmp_path / "my data"), "--to", "minari", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "minari.load_dataset('worldsim/my-data-v0')" in out and "names of actions" in out
    assert main(["check", "dataset", str(root / "worldsim" / "my-data-v0")]) == 0
    back = str(tmp_path / "back")
    assert main(["import", "worldsim/my-data-v0", "--from", "minari", "--out", back, "--quiet"]) == 0
    assert "the same bytes as the dataset" in capsys.readouterr().out
