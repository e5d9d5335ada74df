"""LeRobot v3.0: the layout as its library writes it, read with pyarrow and PyAV alone; its faults are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from tests.exchange.datasets import SPACES, write
from worldsim.cli.main import main
from worldsim.dataset import shards, validate
from worldsim.errors import ConfigError, StoreError
from worldsim.exchange import lerobot_layout as layout
from worldsim.exchange import sidecar
from worldsim.exchange.checking import check
from worldsim.exchange.episodes import Episode, split
from worldsim.exchange.exporting import export_dataset
from worldsim.exchange.importing import ImportConfig, import_dataset
from worldsim.exchange.lerobot import LeRobotTarget
from worldsim.exchange.lerobot_read import LeRobotSource

pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(params=["image", "video"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[Episode], str]:
    """An export, the episodes in it, and how the pictures are kept."""
    write(tmp_path / "data", SPACES["dict"], [[3, 5], [4]], (6, 8))
    target = LeRobotTarget(tmp_path / "out", sidecar.of_dataset(tmp_path / "data"), pictures=request.param)
    export_dataset(tmp_path / "data", target, quiet=True)
    return tmp_path / "out", [e for r in shards(tmp_path / "data") for e in split(r)], request.param


def test_the_layout_is_that_of_v3(made: tuple[Path, list[Episode], str]) -> None:
    """By the words of the published format, with none of our code but the action's names."""
    root, episodes, kind = made
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["fps"] == 20 and isinstance(info["fps"], int)
    assert (info["total_episodes"], info["total_frames"]) == (3, 12)
    assert info["splits"] == {"train": "0:3"} and info["chunks_size"] == 1000
    features = info["features"]
    names = ["camera.0", "camera.1", "hotbar.1", "pad/stick.0"]
    assert features["action"] == {"dtype": "float32", "shape": [4], "names": names}
    assert features["observation.image"]["dtype"] == kind and features["observation.image"]["shape"] == [6, 8, 3]
    for key in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
        assert features[key]["shape"] == [1]
    tasks = pd.read_parquet(root / "meta/tasks.parquet")
    assert list(tasks.columns) == ["task_index"] and tasks["task_index"].tolist() == list(range(len(tasks)))
    rows = pd.concat([pd.read_parquet(p) for p in sorted((root / "data").glob("*/*.parquet"))], ignore_index=True)
    assert rows["index"].tolist() == list(range(12))
    meta = pd.concat([pd.read_parquet(p) for p in sorted((root / "meta/episodes").glob("*/*.parquet"))])
    assert meta["length"].tolist() == [3, 5, 4]
    assert meta["dataset_from_index"].tolist() == [0, 3, 8] and meta["dataset_to_index"].tolist() == [3, 8, 12]
    for number, (episode, told) in enumerate(zip(episodes, meta.to_dict("records"), strict=True)):
        own = rows[told["dataset_from_index"] : told["dataset_to_index"]]
        assert (own["episode_index"] == number).all() and own["frame_index"].tolist() == list(range(len(episode)))
        assert np.abs(own["timestamp"] - own["frame_index"] / 20).max() < 1e-6
        assert [tasks.index[i] for i in own["task_index"]] == list(episode.captions[:-1])
        assert set(told["tasks"]) == set(episode.captions[:-1])
        vectors = np.stack(own["action"].to_list())
        assert (vectors[:, :2] == episode.actions["camera"]).all()
        assert (vectors[:, 2] == episode.actions["hotbar.1"]).all()
        assert (vectors[:, 3] == episode.actions["pad"]["stick"][:, 0]).all()
        assert (own["next.reward"].to_numpy() == episode.rewards).all()
        assert own["next.done"].tolist() == [False] * (len(episode) - 1) + [episode.terminated]
        assert (pictures(root, own, told, kind) == episode.frames[:-1]).all()


def pictures(root: Path, rows: pd.DataFrame, told: dict[str, Any], kind: str) -> np.ndarray:
    """Decoded as LeRobot does it: by the time stamp inside the file."""
    if kind == "image":
        cells = [np.frombuffer(cell["bytes"], np.uint8) for cell in rows["observation.image"]]
        return np.stack([cv2.imdecode(cell, cv2.IMREAD_COLOR)[..., ::-1] for cell in cells])
    key = "videos/observation.image"
    name = f"chunk-{told[f'{key}/chunk_index']:03d}/file-{told[f'{key}/file_index']:03d}.mp4"
    out = []
    for wanted in told[f"{key}/from_timestamp"] + rows["timestamp"]:
        with av.open(str(root / key / name)) as container:
            stream = container.streams.video[0]
            container.seek(int(wanted / stream.time_base), stream=stream)
            frame = min(container.decode(stream), key=lambda f: abs(float(f.pts * stream.time_base) - wanted))
            assert abs(float(frame.pts * stream.time_base) - wanted) < 1e-4  # LeRobot's tolerance
            out.append(frame.to_rgb().to_ndarray())
    return np.stack(out)


def test_stats_are_those_of_all_rows(made: tuple[Path, list[Episode], str]) -> None:
    root, episodes, _ = made
    stats = json.loads((root / "meta/stats.json").read_text())
    frames = np.concatenate([e.frames[:-1] for e in episodes]) / 255
    for name in ("mean", "std", "min", "max"):
        expected = getattr(frames, name)(axis=(0, 1, 2)).reshape(3, 1, 1)
        assert np.allclose(stats["observation.image"][name], expected, atol=1e-9), name
    rewards = np.concatenate([e.rewards for e in episodes]).astype(float)
    assert np.allclose(stats["next.reward"]["mean"], [rewards.mean()])
    assert np.allclose(stats["next.reward"]["std"], [rewards.std()])
    assert stats["next.reward"]["count"] == [12]
    assert set(stats["action"]) == {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}


def test_picture_quantiles_are_levels_of_the_histogram() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), np.uint8)
    stats = layout.picture_stats(frames)
    for name, q in (("q01", 0.01), ("q10", 0.1), ("q50", 0.5), ("q90", 0.9), ("q99", 0.99)):
        expected = np.quantile(frames.reshape(-1, 3), q, axis=0, method="inverted_cdf") / 255
        assert np.allclose(stats[name].ravel(), expected)


def foreign(root: Path) -> None:
    """As if somebody else had made it: nothing of ours, and no last frames."""
    shutil.rmtree(root / "worldsim")
    (root / "export.json").unlink()


def test_a_dataset_of_others_loses_its_last_action(made: tuple[Path, list[Episode], str], tmp_path: Path) -> None:
    root, episodes, _ = made
    foreign(root)
    done = import_dataset(LeRobotSource(root), tmp_path / "back", ImportConfig(), quiet=True)
    assert any("the last action" in note for note in done.notes)
    assert validate(tmp_path / "back") == []
    (recording,) = shards(tmp_path / "back")
    assert recording.lengths.tolist() == [2, 4, 3] and done.info.fps == 20
    for i, episode in enumerate(episodes):
        n = len(episode) - 1
        assert (recording.frames[i, : n + 1] == episode.frames[:-1]).all()
        assert (recording.actions[i, :n, :2] == episode.actions["camera"][:-1]).all()
        assert (recording.rewards[i, :n] == episode.rewards[:-1]).all()


def test_faults_are_named_with_file_and_field(made: tuple[Path, list[Episode], str]) -> None:
    root, _, kind = made
    assert check(root).faults == ()

    def after(path: str, change: Any) -> str:
        file = root / path
        kept = file.read_bytes()
        change(file)
        found = "\n".join(check(root).faults)
        file.write_bytes(kept)
        return found

    def json_field(key: str, value: Any) -> Any:
        return lambda file: file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))

    def column(name: str, row: int, value: Any) -> Any:
        def change(file: Path) -> None:
            table = pq.read_table(file)
            cells = table.column(name).to_pylist()
            cells[row] = value
            import pyarrow as pa

            i = table.column_names.index(name)
            pq.write_table(table.set_column(i, name, pa.array(cells, table.column(name).type)), file)

        return change

    data, episodes = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-001.parquet"
    assert "meta/info.json: total_frames: is 13, 12 are there" in after(
        "meta/info.json", json_field("total_frames", 13)
    )
    assert "codebase_version: this reads v3, got 'v2.1'" in after(
        "meta/info.json", json_field("codebase_version", "v2.1")
    )
    assert "meta/info.json: fps: must be above 0" in after("meta/info.json", json_field("fps", 0))
    assert f"{data}: row 4: timestamp: expected 0.0500 s" in after(data, column("timestamp", 4, 0.2))
    assert f"{data}: row 4: frame_index: expected 1, got 7" in after(data, column("frame_index", 4, 7))
    assert f"{data}: row 0: task_index: must be in 0.." in after(data, column("task_index", 0, 99))
    assert "meta/episodes: episode 2: dataset_from_index..dataset_to_index: expected 8..12, got 9..12" in after(
        episodes, column("dataset_from_index", 0, 9)
    )
    assert "meta/stats.json: action: needs min, max" in after("meta/stats.json", json_field("action", {}))
    assert "meta/tasks.parquet: task_index: cannot be read" in after(
        "meta/tasks.parquet", lambda file: file.write_bytes(b"no table")
    )
    if kind == "image":
        broken = {"bytes": b"no picture", "path": None}
        assert "frame 1 is no picture" in after(data, column("observation.image", 1, broken))
    else:
        video = "videos/observation.image/chunk-000/file-001.mp4"
        assert f"{video}" in after(video, lambda file: file.write_bytes(file.read_bytes()[:900]))
        assert "to_timestamp: 0.400 s are not 4 frames" in after(
            episodes, column("videos/observation.image/to_timestamp", 0, 0.4)
        )


def test_a_path_out_of_the_dataset_is_refused(made: tuple[Path, list[Episode], str]) -> None:
    root, _, _ = made
    path = root / "meta/info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "data_path": "../{chunk_index}{file_index}"}))
    with pytest.raises(StoreError, match="leads out of the dataset"):
        LeRobotSource(root)


def test_pictures_that_are_not_there_are_said(made: tuple[Path, list[Episode], str]) -> None:
    root, _, _ = made
    with pytest.raises(ConfigError, match=r"no pictures at 'wrist'; pictures are at observation\.image"):
        LeRobotSource(root, frames="wrist")


def test_odd_frame_rates_are_kept_and_told(tmp_path: Path) -> None:
    from dataclasses import replace

    from worldsim.dataset import read_info, write_info

    write(tmp_path / "data", SPACES["one"], [[3]])
    write_info(tmp_path / "data", replace(read_info(tmp_path / "data"), fps=12.5))
    target = LeRobotTarget(tmp_path / "out", sidecar.of_dataset(tmp_path / "data"))
    assert "12.5" in export_dataset(tmp_path / "data", target, quiet=True).notes[0]
    assert LeRobotSource(tmp_path / "out").fps == 12.5 and check(tmp_path / "out").faults == ()


def test_the_command_line_goes_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "data", SPACES["dict"], [[2]])
    out, back = str(tmp_path / "out"), str(tmp_path / "back")
    command = ["export", str(tmp_path / "data"), "--to", "lerobot", "--pictures", "video", "--out", out, "--quiet"]
    assert main(command) == 0
    assert main(["import", out, "--from", "lerobot", "--out", back, "--quiet"]) == 0
    assert "the same bytes" in capsys.readouterr().out
    assert main(["check", "dataset", out]) == 0
    assert "lerobot: 1 episodes, 0 faults" in capsys.readouterr().out
    assert main(["export", str(tmp_path / "data"), "--to", "lerobot"]) == 2
