"""Folders of videos with actions: those of others, their faults by file, line and field, and how ours are scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.exchange.datasets import SPACES, write
from tests.exchange.recordings import video, write_lines
from worldsim.cli.main import main
from worldsim.dataset import shards, validate
from worldsim.errors import StoreError
from worldsim.exchange.checking import check, detect
from worldsim.exchange.folder_read import FolderSource, read_track
from worldsim.exchange.importing import ImportConfig, import_dataset
from worldsim.spaces import build


def test_any_script_can_write_one(tmp_path: Path) -> None:
    """Plain lines, a last action too many, no captions."""
    frames = video(tmp_path / "in" / "a.mp4", 5, fps=25)
    write_lines(tmp_path / "in" / "a.jsonl", [{"jump": t % 2 == 0, "stick": [t / 4, -1]} for t in range(5)])
    np.savez(tmp_path / "in" / "b.npz", frames=frames[:3])
    write_lines(tmp_path / "in" / "b.jsonl", [{"action": {"jump": 2, "stick": [0, 1]}, "reward": 1.5}] * 2)
    done = import_dataset(FolderSource(tmp_path / "in"), tmp_path / "out", ImportConfig(), quiet=True)
    assert validate(tmp_path / "out") == [] and done.info.fps == 25
    space = build(done.info.action_space)
    assert space["jump"].n == 3  # type: ignore[index]
    assert space["stick"].low.tolist() == [0, -1] and space["stick"].high.tolist() == [0.75, 1]  # type: ignore[index]
    (recording,) = shards(tmp_path / "out")
    assert recording.lengths.tolist() == [4, 2]
    assert (recording.frames[0] == frames).all() and (recording.frames[1, :3] == frames[:3]).all()
    assert recording.actions["jump"][0].tolist() == [1, 0, 1, 0] and recording.rewards[1, :2].tolist() == [1.5, 1.5]
    assert any("action_space.json" in note for note in done.notes)


def test_a_table_and_a_stated_space(tmp_path: Path) -> None:
    video(tmp_path / "in" / "a.mp4", 3)
    (tmp_path / "in" / "a.csv").write_text(
        "caption,move,look.0,look.1,reward,terminated\nx,1,0.5,2,1,0\ny,0,1e-3,3,0,1\n"
    )
    (tmp_path / "in" / "action_space.json").write_text(
        json.dumps(
            {
                "type": "dict",
                "spaces": {
                    "look": {"type": "box", "low": [-9.0, -9.0], "high": [9.0, 9.0], "dtype": "float64"},
                    "move": {"type": "discrete", "n": 5, "start": 0},
                },
            }
        )
    )
    done = import_dataset(FolderSource(tmp_path / "in"), tmp_path / "out", ImportConfig(), quiet=True)
    assert validate(tmp_path / "out") == [] and done.info.action_space["spaces"]["move"]["n"] == 5
    (recording,) = shards(tmp_path / "out")
    assert recording.actions["look"][0].tolist() == [[0.5, 2], [0.001, 3]]
    assert recording.terminated[0].tolist() == [False, True]
    assert [recording.caption_table[i] for i in recording.captions[0]] == ["x", "y", ""]


def test_an_array_of_actions_is_enough(tmp_path: Path) -> None:
    video(tmp_path / "in" / "a.mp4", 3)
    np.save(tmp_path / "in" / "a.actions.npy", np.array([[0.5, 1], [2, 3]]))
    import_dataset(FolderSource(tmp_path / "in"), tmp_path / "out", ImportConfig(), quiet=True)
    (recording,) = shards(tmp_path / "out")
    assert recording.actions[0].tolist() == [[0.5, 1], [2, 3]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"action": [1]}\n{"action": [1, 2]}\n', "a.jsonl:2: action/.: has not the form of the first line's"),
        ('{"action": {"x": "left"}}\n', "a.jsonl:1: action/x: must be finite numbers, got left"),
        ('{"action": [1], "reward": NaN}\n', "a.jsonl:1: reward: must be a finite number, got nan"),
        ('{"action": [1], "terminated": true}\n{"action": [1]}\n', "a.jsonl:2: action: the step before it terminated"),
        ('{"action": [1], "caption": 3}\n', "a.jsonl:1: caption: must be a text, got 3"),
        ('{"caption": "end"}\n{"action": [1]}\n', "a.jsonl:2: a line follows the last one"),
        ("[1]\n", "a.jsonl:1: must be an object, got list"),
        ('{"action": [1]}\n{"action"', "a.jsonl:2: is not JSON"),
        ("", "a.jsonl: holds no action"),
    ],
)
def test_faults_of_lines_are_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(StoreError) as error:
        read_track(tmp_path / "a.jsonl")
    assert said in str(error.value)
    video(tmp_path / "a.mp4", 3)
    assert said in "\n".join(check(tmp_path).faults)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,y\n1,2\n3\n", "a.csv:3: expected 2 cells, got 1"),
        ("x,reward\n1,a lot\n", "a.csv:2: reward: must be a number, got 'a lot'"),
        ("x,terminated\n1,maybe\n", "a.csv:2: terminated: must be 0 or 1, got 'maybe'"),
        ("x,x\n1,2\n", "a.csv:1: must name each column once"),
        ("x,y\n1,\n1,2\n", "a.csv:3: action/y: has not the form"),
    ],
)
def test_faults_of_tables_are_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(StoreError) as error:
        read_track(tmp_path / "a.csv")
    assert said in str(error.value)


def test_frames_and_actions_must_match(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", 3)
    write_lines(tmp_path / "a.jsonl", [{"action": [1]}] * 4)
    video(tmp_path / "b.mp4", 3)
    found = "\n".join(check(tmp_path).faults)
    assert "a.jsonl: 4 actions for 3 frames: expected 2" in found
    assert "b.mp4: has no actions: expected b.jsonl, b.csv, b.actions.npy" in found


def test_a_cut_video_is_named(tmp_path: Path) -> None:
    write(tmp_path / "data", SPACES["box"], [[4]], (32, 32))
    assert main(["export", str(tmp_path / "data"), "--to", "folder", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    path = tmp_path / "out" / "episode-000000.mkv"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "episode-000000" in "\n".join(check(tmp_path / "out").faults)


def test_ours_is_scored_as_it_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`worldsim score` takes the export as the truth: frames, actions and prompts."""
    write(tmp_path / "data", SPACES["dict"], [[6, 6], [6]], (32, 32))
    truth, generated = tmp_path / "truth", tmp_path / "generated"
    assert main(["export", str(tmp_path / "data"), "--to", "folder", "--out", str(truth), "--quiet"]) == 0
    generated.mkdir()
    for path in truth.glob("*.mkv"):
        shutil.copy(path, generated / path.name)
    from worldsim.clips import Options, match

    matched = match(generated, truth, Options(context=2))
    assert not matched.problems and len(matched.clips) == 3
    assert all("actions" in clip.known for clip in matched.clips)
    assert any("prompts" in clip.known for clip in matched.clips)
    command = ["score", "--generated", str(generated), "--truth", str(truth), "--context", "2", "--metrics"]
    assert main([*command, "fidelity.psnr", "--min-worlds", "1", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert (tmp_path / "run" / "summary.json").is_file()


def test_formats_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path / "data", SPACES["box"], [[2]])
    assert detect(tmp_path / "data") == "worldsim"
    with pytest.raises(StoreError, match="no dataset that is known here"):
        detect(tmp_path)
    with pytest.raises(StoreError, match="no dataset that is known here"):
        detect(tmp_path / "nothing")
    write_lines(tmp_path / "vpt" / "a.jsonl", [{"keyboard": {"keys": []}, "mouse": {}}])
    assert detect(tmp_path / "vpt") == "vpt"


def test_a_missing_library_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data", SPACES["box"], [[2]])
    real = __import__("importlib").import_module

    def without(name: str, *rest: Any) -> Any:
        if name.startswith(("pyarrow", "h5py")):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr("importlib.import_module", without)
    for more in (["lerobot"], ["minari"], ["minari", "--storage", "hdf5"]):
        assert main(["export", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--quiet", "--to", *more]) == 3
