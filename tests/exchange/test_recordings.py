"""VPT pairs and the data set of MineRL 0.4: keys and mouse become MineRL's actions, frames and actions stay in step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.exchange.recordings import line, minerl, video, write_lines
from worldsim.cli.main import main
from worldsim.dataset import read_info, shards, validate
from worldsim.envs.actions import minerl_space
from worldsim.errors import StoreError
from worldsim.exchange.checking import check
from worldsim.exchange.importing import ImportConfig, import_dataset
from worldsim.exchange.minerl import MineRLSource
from worldsim.exchange.vpt import VptSource, read_actions
from worldsim.spaces import build


def actions_of(path: Path, lines: list[Any]) -> Any:
    write_lines(path, lines)
    return read_actions(path)


# -------------------------------------------------------------------------------------------------------------- VPT


def test_keys_and_buttons_get_their_names(tmp_path: Path) -> None:
    found = actions_of(
        tmp_path / "a.jsonl",
        [line(["w", "left.control", "f3"]), line(["e", "3"], buttons=[1, 2], hotbar=2), line(buttons=[0], hotbar=2)],
    )
    pressed = [{key for key, values in found.items() if key != "camera" and values[t]} for t in range(3)]
    assert pressed == [{"forward", "sprint"}, {"inventory", "hotbar.3", "use", "pickItem"}, {"attack"}]
    assert set(found) == set(minerl_space().spaces)


def test_the_mouse_turns_the_camera_pitch_first(tmp_path: Path) -> None:
    found = actions_of(tmp_path / "a.jsonl", [line(dx=10, dy=-4), line(dx=0.5), line(dx=24000)])
    assert np.allclose(found["camera"], [[-0.6, 1.5], [0.0, 0.075], [0.0, 180.0]])  # 2400 pixels are 360 degrees


def test_the_wheel_shows_in_the_slot_in_hand(tmp_path: Path) -> None:
    found = actions_of(tmp_path / "a.jsonl", [line(), line(hotbar=4), line(hotbar=4), line(hotbar=0)])
    assert found["hotbar.5"].tolist() == [0, 1, 0, 0] and found["hotbar.1"].tolist() == [0, 0, 0, 1]


def test_a_button_that_hangs_from_the_start_is_taken_out(tmp_path: Path) -> None:
    lines = [line(buttons=[0], new=[0]), line(buttons=[0]), line(buttons=[0], new=[0]), line(buttons=[0])]
    assert actions_of(tmp_path / "a.jsonl", lines)["attack"].tolist() == [0, 0, 1, 1]
    assert actions_of(tmp_path / "b.jsonl", [line(), *lines[1:]])["attack"].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"keyboard": {"keys": "w"}}, 'a.jsonl:2: keyboard/keys: must be a list like ["key.keyboard.w"]'),
        ({"mouse": {"dx": 1, "dy": "no", "buttons": []}}, "a.jsonl:2: mouse/dy: must be a number of pixels, got 'no'"),
        ({"mouse": {"dx": 1, "dy": 0}}, "a.jsonl:2: mouse/buttons: must be a list of the numbers of buttons"),
        ({"hotbar": 9}, "a.jsonl:2: hotbar: must be a slot from 0 to 8, got 9"),
        ({"mouse": []}, "a.jsonl:2: mouse: must be an object"),
    ],
)
def test_a_broken_line_is_named(broken: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        actions_of(tmp_path / "a.jsonl", [line(), {**line(), **broken}])
    assert said in str(error.value)
    (tmp_path / "a.jsonl").write_text(json.dumps(line()) + "\n{cut of")
    with pytest.raises(StoreError, match=r"a\.jsonl:2: is not JSON"):
        read_actions(tmp_path / "a.jsonl")


def test_what_early_recorders_lacked_is_nothing_pressed(tmp_path: Path) -> None:
    bare = {key: value for key, value in line(["w"], dx=2).items() if key != "hotbar"}
    found = actions_of(tmp_path / "a.jsonl", [bare, {**bare, "mouse": None}, {**bare, "keyboard": None}])
    assert found["forward"].tolist() == [1, 1, 0] and np.allclose(found["camera"][:, 1], [0.3, 0, 0.3])
    assert not any(found[f"hotbar.{slot}"].any() for slot in range(1, 10))


def test_recordings_become_a_dataset(tmp_path: Path) -> None:
    """A long one is cut, frame by frame with its own actions, and a short one is padded."""
    long = video(tmp_path / "vpt" / "a.mp4", 12)
    write_lines(tmp_path / "vpt" / "a.jsonl", [line(["w"] if t % 3 == 0 else [], dx=t) for t in range(12)])
    short = video(tmp_path / "vpt" / "b.mp4", 3)
    write_lines(tmp_path / "vpt" / "b.jsonl", [line(["s"])] * 3)
    done = import_dataset(VptSource(tmp_path / "vpt"), tmp_path / "out", ImportConfig(steps=5), quiet=True)
    assert validate(tmp_path / "out") == [] and done.info.fps == 20
    assert build(done.info.action_space) == minerl_space()
    (recording,) = shards(tmp_path / "out")
    assert recording.lengths.tolist() == [5, 5, 1, 2]  # 12 frames have 11 steps between them
    assert (recording.frames[0] == long[:6]).all() and (recording.frames[1] == long[5:11]).all()
    assert (recording.frames[2, :2] == long[10:12]).all() and (recording.frames[3, :3] == short).all()
    yaw = recording.actions["camera"][..., 1] / 0.15
    assert np.allclose(yaw[0], range(5)) and np.allclose(yaw[1], range(5, 10)) and np.isclose(yaw[2, 0], 10)
    assert recording.actions["forward"][0].tolist() == [1, 0, 0, 1, 0]
    assert any("YUV" in note for note in done.notes)


def test_a_bad_recording_costs_only_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vpt = tmp_path / "vpt"
    for name in ("a", "b"):
        video(vpt / f"{name}.mp4", 4)
        write_lines(vpt / f"{name}.jsonl", [line()] * 4)
    write_lines(vpt / "a.jsonl", [line(), {**line(), "hotbar": -1}, line(), line()])
    write_lines(vpt / "alone.jsonl", [line()])
    command = ["import", str(vpt), "--from", "vpt", "--out", str(tmp_path / "out"), "--quiet"]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "a.jsonl:2: hotbar: " in said and "--skip-bad" in said
    command[command.index(str(tmp_path / "out"))] = str(tmp_path / "kept")
    assert main([*command, "--skip-bad"]) == 1
    said = capsys.readouterr().out
    assert "1 episodes" in said and "left out: " in said and "alone.jsonl: has no alone.mp4" in said
    assert validate(tmp_path / "kept") == []
    assert "a.jsonl:2" in json.dumps(json.loads((tmp_path / "kept" / "import.json").read_text())["skipped"])
    found = "\n".join(check(vpt).faults)
    assert "a.jsonl:2: hotbar: " in found and "alone.jsonl: has no alone.mp4 beside it" in found


def test_lines_and_frames_that_do_not_match_are_told(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", 4)
    write_lines(tmp_path / "a.jsonl", [line()] * 6)
    source = VptSource(tmp_path)
    assert list(source.lengths) == [3] and any("6 lines for 4 frames" in note for note in source.notes)
    assert "a.jsonl: 6 lines for 4 frames of a.mp4: expected as many" in "\n".join(check(tmp_path).faults)


# ----------------------------------------------------------------------------------------------------------- MineRL


def test_a_recording_of_minerl_skips_what_came_before(tmp_path: Path) -> None:
    first = minerl(tmp_path / "Treechop" / "v3_a", 6, 2)
    second = minerl(tmp_path / "Treechop" / "v3_b", 3, 0)
    done = import_dataset(MineRLSource(tmp_path), tmp_path / "out", ImportConfig(), quiet=True)
    assert validate(tmp_path / "out") == [] and check(tmp_path / "Treechop").faults == ()
    (recording,) = shards(tmp_path / "out")
    assert recording.lengths.tolist() == [6, 3]
    assert (recording.frames[0] == first[2:]).all() and (recording.frames[1, :4] == second).all()
    assert recording.rewards[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert recording.actions["camera"][0].tolist() == [[t, -t] for t in range(6)]
    assert recording.actions["forward"][0].tolist() == [0, 1] * 3 and not recording.actions["ESC"].any()
    names = done.info.action_space["spaces"]["craft"]["names"]
    assert names == ["none", "planks", "torch"]
    assert [names[i] for i in recording.actions["craft"][0]] == ["none", "planks", "none", "torch", "none", "planks"]
    assert recording.terminated[0].tolist() == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reward": None}, "rendered.npz: needs reward and action$<name>"),
        ({"reward": np.array([0.0, np.nan, 0, 0])}, "rendered.npz: reward: must be (T,) finite numbers"),
        ({"action$camera": np.zeros((3, 2))}, "rendered.npz: action$camera: must be (4, 2), as many as reward"),
        ({"action$forward": np.array([0, 2, 0, 0])}, "rendered.npz: action$forward: must be 0 or 1 everywhere"),
        ({"action$fly": np.zeros(4, np.int64)}, "rendered.npz: action$fly: int64 is no key of MineRL"),
        (
            {"action$craft": np.array(["none", None, {}, 1], object)},
            "rendered.npz: action$craft: holds Python objects, which are not read from outside",
        ),
    ],
)
def test_faults_of_minerl_are_named(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    minerl(tmp_path / "a", 4, 0, **changes)
    assert said in "\n".join(check(tmp_path).faults)
    with pytest.raises(StoreError):
        MineRLSource(tmp_path)


def test_a_count_that_the_video_does_not_have_is_refused(tmp_path: Path) -> None:
    minerl(tmp_path / "a", 4, 0)
    (tmp_path / "a" / "metadata.json").write_text(json.dumps({"true_video_frame_count": 9}))
    assert "a/metadata.json: true_video_frame_count: must be from 5" in "\n".join(check(tmp_path).faults)
    (tmp_path / "a" / "metadata.json").write_text("{}")
    assert "a/metadata.json: true_video_frame_count: cannot be read" in "\n".join(check(tmp_path).faults)
    (tmp_path / "a" / "metadata.json").unlink()
    assert "a: metadata.json: is missing" in "\n".join(check(tmp_path).faults)


def test_memory_stays_bounded_whatever_the_length(tmp_path: Path) -> None:
    """A recording is never held as a whole: at most a shard and what the decoder keeps."""
    import tracemalloc

    video(tmp_path / "vpt" / "a.mp4", 160, (64, 64))
    write_lines(tmp_path / "vpt" / "a.jsonl", [line()] * 160)
    config = ImportConfig(steps=10, shard=2)
    tracemalloc.start()
    import_dataset(VptSource(tmp_path / "vpt"), tmp_path / "out", config, quiet=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    whole, shard = 160 * 64 * 64 * 3, 2 * 11 * 64 * 64 * 3
    assert read_info(tmp_path / "out").episodes == 16
    assert peak < 6 * shard < whole
