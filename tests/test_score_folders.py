"""Folders of clips: read exactly, matched by stem, scored like episodes; what is wrong is said, never scored."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.metrics.worlds import toy_episode
from worldsim.cli.main import main
from worldsim.clips import Options, load, match, world_of
from worldsim.errors import ConfigError, StoreError
from worldsim.folders import VIDEOS, inspect, list_clips, open_frames
from worldsim.metrics.fidelity import L1, L1Static
from worldsim.metrics.geometry import SelfPose
from worldsim.score_folders import FolderConfig, score_folders, verdict
from worldsim.scoring import observe_all
from worldsim.types import Episode, Frames
from worldsim.video import LosslessWriter, write_mp4, write_png

SIZE, C, H = (24, 32), 2, 6
EPISODES = [toy_episode(seed, context=C, horizon=H, size=SIZE, fault=lambda f: f // 2) for seed in range(4)]
TABLES = ("observations.jsonl", "scores.jsonl", "curves.jsonl", "summary.json")


def states_of(episode: Episode) -> dict[str, Any]:
    states = list(episode.truth.states or ())
    names = ("world_from_camera", "depth", "segmentation")
    return {n: np.stack([getattr(s, n) for s in states]) for n in names} | {"intrinsics": states[0].intrinsics}


def shown(episode: Episode) -> Frames:
    return np.asarray(episode.generated[0].trajectory.frames)


class Folders:
    """Two folders in the making."""

    def __init__(self, root: Path) -> None:
        self.generated, self.truth, self.out = root / "generated", root / "truth", root / "run"
        self.generated.mkdir()
        self.truth.mkdir()

    def pair(self, name: str, seed: int = 0, **beside: Any) -> None:
        """A clip as .npz on both sides; keywords lie beside the true one."""
        np.savez(self.generated / f"{name}.npz", frames=shown(EPISODES[seed]))
        np.savez(self.truth / f"{name}.npz", frames=np.asarray(EPISODES[seed].truth.frames), **beside)

    def config(self, **changes: Any) -> FolderConfig:
        names = {"context": C, **{k: changes.pop(k) for k in list(changes) if k in Options.__dataclass_fields__}}
        defaults: dict[str, Any] = {"metrics": ("fidelity.l1",), "out": self.out, "min_worlds": 2, "resamples": 50}
        return FolderConfig(
            generated=self.generated, truth=self.truth, options=Options(**names), quiet=True, **defaults | changes
        )

    def score(self, **changes: Any) -> dict[str, Any]:
        """The "*" row of the first metric, with the run in `run`."""
        store = score_folders(self.config(**changes))
        row = next(row for row in store.summary["rows"] if row["scenario"] == "*")
        return row | {"run": store.run, "rows": list(store.table("observations")), "store": store}

    def refusal(self, **changes: Any) -> str:
        with pytest.raises((ConfigError, StoreError)) as caught:
            score_folders(self.config(**changes))
        assert not self.out.exists(), "a mistake leaves nothing behind"
        return str(caught.value)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


# ---------------------------------------------------------------------------------------------------------- reading


def write_video(path: Path, frames: Frames, codec: str, pix_fmt: str, options: dict[str, str], fps: int = 10) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pix_fmt
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pix_fmt)))
        container.mux(stream.encode(None))


LOSSLESS: dict[str, Callable[[Path, Frames], None]] = {
    "a.mkv": lambda path, frames: write_video(path, frames, "ffv1", "bgr0", {}),
    "a.avi": lambda path, frames: write_video(path, frames, "ffv1", "bgr0", {}),
    "a.npz": lambda path, frames: np.savez_compressed(path, frames=frames),
    "a": lambda path, frames: [  # type: ignore[dict-item]
        path.mkdir(), *(write_png(path / f"frame_{t}.png", frame) for t, frame in enumerate(frames))
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", [*LOSSLESS, "chunked"])
def test_lossless_clips_are_read_exactly(tmp_path: Path, name: str) -> None:
    frames = np.concatenate([np.asarray(e.truth.frames) for e in EPISODES])  # 32 frames: 2 before 10 matters
    if name == "chunked":
        with LosslessWriter(tmp_path / "a", SIZE, 10) as writer:
            writer.append(frames)
    else:
        LOSSLESS[name](tmp_path / name, frames)
    (found,) = list_clips(tmp_path).clips.values()
    facts = inspect(found.frames)
    assert found.name == "a" and (facts.count, facts.size, facts.lossy) == (32, SIZE, False)
    source = open_frames(found.frames, facts)
    np.testing.assert_array_equal(source[:], frames)
    for t in (31, 3, 17, 0, -1):  # back and forth
        np.testing.assert_array_equal(source[t], frames[t])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source))[5:20], frames[5:20])


@pytest.mark.parametrize(("suffix", "codec", "pix_fmt"), [("webm", "libvpx-vp9", "yuv444p"), ("gif", "gif", "rgb8")])
def test_lossy_clips_have_every_frame_in_order(tmp_path: Path, suffix: str, codec: str, pix_fmt: str) -> None:
    frames = np.asarray(EPISODES[0].truth.frames)[:1] // 4 + np.arange(0, 160, 20, dtype=np.uint8)[:, None, None, None]
    path = tmp_path / f"a.{suffix}"
    write_video(path, frames, codec, pix_fmt, {"crf": "5"} if suffix == "webm" else {})
    facts = inspect(path)
    assert facts == type(facts)(count=len(frames), size=SIZE, fps=10.0, lossy=True) and f".{suffix}" in VIDEOS
    apart = np.abs(open_frames(path, facts)[:].astype(float)[:, None] - frames[None]).mean((2, 3, 4))
    assert (apart.argmin(axis=1) == np.arange(len(frames))).all()


def test_the_colours_of_an_mp4_are_read_by_the_matrix_that_it_names(tmp_path: Path) -> None:
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 30]], np.uint8)
    frames = np.broadcast_to(colours[:, None, None], (4, 32, 32, 3))
    path = write_mp4(tmp_path / "a.mp4", iter(np.ascontiguousarray(frames)), 10)
    read = open_frames(path, inspect(path))[:]
    assert np.abs(read.astype(int) - frames).max() <= 4, "BT.601 instead of BT.709 would be off by 20"


# ---------------------------------------------------------------------------------------------------------- scoring


def test_the_rows_are_those_of_the_same_episodes_in_memory(folders: Folders) -> None:
    for seed, episode in enumerate(EPISODES):
        folders.pair(f"clip{seed}", seed, **states_of(episode))
    clips = match(folders.generated, folders.truth, Options(context=C)).clips
    assert [clip.name for clip in clips] == ["clip0", "clip1", "clip2", "clip3"]
    for clip, episode in zip(clips, EPISODES, strict=True):
        read = load((clip, None))
        keys = ("metric", "source", "delay", "outcome", "reason", "weight")
        for metric in (L1(), L1Static(), SelfPose()):
            a, b = ([[getattr(r, k) for k in keys] for r in metric.observe(g)] for g in (read, (episode,)))
            assert a == b
        assert read[0].world_seed == world_of(clip.name) and read[0].horizon == H
    row = folders.score(metrics=("fidelity",))
    by_hand = np.mean([np.abs(shown(e)[C:] - e.truth.frames[C:].astype(float)) for e in EPISODES]) / 255  # type: ignore[index]
    l1 = next(r for r in row["store"].summary["rows"] if r["metric"] == "fidelity.l1" and r["scenario"] == "*")
    assert l1["value"] == pytest.approx(by_hand, rel=0.05), "the grid leaves out one of six horizons"
    assert l1["ceiling"] == 0.0 and l1["floor"] is not None and l1["nulls"]["other-episode"]["value"] is not None
    assert row["run"]["status"] == "success" and row["run"]["counts"]["done"] == 4
    assert (folders.out / "report").exists() is False and any((folders.out / "episodes").glob("*/pair.mp4"))
    sources = {r["source"] for r in row["rows"]}
    assert sources == {"model", "ceiling", *(f"null:{n}" for n in l1["nulls"])}


def test_processes_change_no_byte(folders: Folders, tmp_path: Path) -> None:
    for seed in range(3):
        folders.pair(f"clip{seed}", seed, **states_of(EPISODES[seed]))
    one, two = (
        score_folders(folders.config(workers=n, out=tmp_path / f"run{n}", metrics=("fidelity.l1_static",)))
        for n in (1, 2)
    )
    for name in TABLES:
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes()


def test_what_cannot_be_scored_is_listed_with_what_is_missing(folders: Folders) -> None:
    folders.pair("a")
    folders.pair("b", 1, depth=states_of(EPISODES[1])["depth"])
    row = folders.score(metrics=("fidelity.l1", "fidelity.l1_static", "fidelity.l1_object"))
    said = {v["metric"]: v for v in row["run"]["scored"]}
    assert said["fidelity.l1"]["scored"] and not said["fidelity.l1_static"]["scored"]
    reason = said["fidelity.l1_static"]["reason"]
    assert reason.startswith("needs intrinsics, segmentation, world_from_camera: add b.npz"), "b has most already"
    assert "--static" in said["fidelity.l1_object"]["reason"]
    assert {r["metric"] for r in row["rows"]} == {"fidelity.l1"}
    with pytest.raises(ConfigError, match="none of these metrics can be scored"):
        score_folders(folders.config(out=folders.out / "other", metrics=("fidelity.l1_static",)))


def test_a_metric_is_scored_where_some_clips_have_what_it_needs(folders: Folders) -> None:
    folders.pair("a", 0, **states_of(EPISODES[0]))
    folders.pair("b", 1)
    clips = match(folders.generated, folders.truth, Options(context=C)).clips
    assert verdict(L1Static.spec, clips).scored and "1 of 2 clips lack" in str(verdict(L1Static.spec, clips).reason)
    still = match(folders.generated, folders.truth, Options(context=C, static=True)).clips
    assert (
        still[1].known == {"segmentation", "worlds"}
        and not (load((still[1], None))[0].truth.states or ())[0].segmentation.any()
    )


def test_fewer_clips_than_worlds_needed_give_no_number(folders: Folders) -> None:
    folders.pair("a")
    folders.pair("b", 1)
    row = folders.score(min_worlds=10)
    assert row["value"] is None and row["reason"] == "too few worlds: 2 < 10"
    assert any("fewer worlds" in note for note in row["run"]["notes"])


def test_not_known_is_undefined_and_noted(folders: Folders) -> None:
    beside = states_of(EPISODES[0])
    beside["depth"][5, 3, 3] = np.nan
    beside["world_from_camera"][7] = np.nan
    folders.pair("a", 0, **beside)
    folders.pair("b", 1, **states_of(EPISODES[1]))
    row = folders.score(metrics=("fidelity.l1_static",))
    mine = {r["delay"]: r["reason"] for r in row["rows"] if r["source"] == "model" and r["episode"] == "a"}
    assert mine.pop(5 - C + 1) == "no depth" and mine.pop(7 - C + 1) == "no camera pose or intrinsics"
    assert mine and all(reason is None for reason in mine.values()), "a frame without depth costs that frame only"
    notes = [note for note in row["run"]["notes"] if note.startswith("a: ")]
    assert any("depth" in n and "1 of 8 frames, the first is 5" in n for n in notes)
    assert any("world_from_camera is not finite" in n and "first is 7" in n for n in notes)


def test_shorter_clips_and_clips_without_their_context(folders: Folders) -> None:
    episode = EPISODES[0]
    folders.pair("a")
    np.savez(folders.generated / "a.npz", frames=shown(episode)[C:])
    said = folders.refusal()
    assert "6 generated frames and 8 true" in said and "--no-generated-has-context" in said
    (clip,) = match(folders.generated, folders.truth, Options(context=C, generated_has_context=False)).clips
    np.testing.assert_array_equal(load((clip, None))[0].generated[0].trajectory.frames[:], shown(episode))
    np.savez(folders.generated / "a.npz", frames=shown(episode)[:5])
    (clip,) = match(folders.generated, folders.truth, Options(context=C, allow_shorter=True)).clips
    (read,) = load((clip, None))
    assert len(read.truth.frames) == len(read.generated[0].trajectory.frames) == 5 and read.horizon == 3
    with pytest.raises(ConfigError, match="give --context"):
        folders.config(context=0, generated_has_context=False)


def test_actions_prompts_and_rates_beside_a_clip(folders: Folders) -> None:
    steps = len(EPISODES[0].truth)
    folders.pair("a", actions=np.arange(steps), fps=12)
    (folders.truth / "a.txt").write_text("a round hall\n")
    np.save(folders.truth / "a.poses.npy", states_of(EPISODES[0])["world_from_camera"])
    (clip,) = match(folders.generated, folders.truth, Options(context=C)).clips
    (episode,) = load((clip, None))
    assert episode.prompt == "a round hall" and episode.truth.fps == 12
    np.testing.assert_array_equal(episode.truth.actions, np.arange(steps))
    assert clip.known >= {"world_from_camera", "actions", "prompts"}
    np.savez(folders.truth / "a.npz", frames=np.asarray(EPISODES[0].truth.frames), actions=np.zeros(steps + 1))
    assert f"actions must be (T - 1 = {steps}, ...)" in folders.refusal()


# --------------------------------------------------------------------------------------------------------- mistakes


def _with(**beside: Any) -> Callable[[Folders], None]:
    return lambda f: f.pair("a", **beside)


def _generated(frames: Any) -> Callable[[Folders], None]:
    return lambda f: np.savez(f.generated / "a.npz", frames=frames)


TRUE = np.asarray(EPISODES[0].truth.frames)
GOOD = states_of(EPISODES[0])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_generated(TRUE[:, :20]), "generated frames are 20x32, the true ones 24x32"),
        (_generated(TRUE[:4]), "4 generated frames and 8 true ones"),
        (_generated(TRUE / np.float32(255)), "uint8 RGB, T >= 1, got (8, 24, 32, 3) float32"),
        (_generated(TRUE[:0]), "T >= 1, got (0, 24, 32, 3)"),
        (_generated(np.array([{}], object)), "frames must be"),
        (lambda f: (f.generated / "a.npz").write_bytes(b"PK no"), "a.npz cannot be read"),
        (lambda f: (f.generated / "a.mp4").write_bytes(b"no video"), "more than one video: a.mp4, a.npz"),
        (_with(fps=30.0, world_from_camera=GOOD["world_from_camera"] * 2), "rigid motions"),
        (_with(world_from_camera=GOOD["world_from_camera"][:3]), "must be (T, 4, 4)"),
        (_with(intrinsics=GOOD["intrinsics"] / [[32], [24], [1]]), "in pixels of the frames, not in shares"),
        (_with(intrinsics=-GOOD["intrinsics"]), "fx, fy > 0"),
        (_with(depth=GOOD["depth"][:, :12]), "depth must be (T, H, W)"),
        (_with(depth=(GOOD["depth"] * 1000).astype(np.uint16)), "got (8, 24, 32) uint16"),
        (_with(segmentation=GOOD["segmentation"].astype(float)), "segmentation must be"),
        (_with(depth=GOOD["depth"], fps=np.array([1, 2])), "fps must be one number"),
    ],
)
def test_a_pair_that_is_not_whole_is_refused_by_name(folders: Folders, spoil: Any, says: str) -> None:
    folders.pair("a")
    folders.pair("b", 1)
    spoil(folders)
    said = folders.refusal()
    assert says in said and "1 of 2 clips cannot be scored" in said and "\n  a: " in said and "--skip-bad" in said


def test_videos_that_cannot_be_compared(folders: Folders) -> None:
    for name, fps in (("a", 10), ("b", 30)):
        write_video(folders.truth / f"{name}.mkv", TRUE, "ffv1", "bgr0", {}, fps=30)
        write_video(folders.generated / f"{name}.mkv", TRUE, "ffv1", "bgr0", {}, fps=fps)
    write_video(folders.generated / "one.gif", TRUE[:1], "gif", "rgb8", {})
    write_video(folders.truth / "one.gif", TRUE[:1], "gif", "rgb8", {})
    (folders.generated / "torn.mp4").write_bytes(b"no video")
    write_mp4(folders.truth / "torn.mp4", iter(TRUE), 10)
    said = folders.refusal()
    assert "a: 10 frames a second generated, 30 true" in said and "b: " not in said
    assert "one: 1 frame(s) and a context of 2: no predicted frame" in said
    assert "torn.mp4 is not a video that can be read" in said and "3 of 4" in said
    row = folders.score(skip_bad=True, fps=10.0)
    assert row["run"]["counts"] == {"planned": 4, "done": 2, "failed": 2, "aborted": 0}
    assert row["run"]["status"] == "error" and row["n_worlds"] == 2


def test_unmatched_stems_and_empty_folders(folders: Folders) -> None:
    assert "no clip in" in folders.refusal()
    np.savez(folders.truth / "x.npz", frames=TRUE)
    np.savez(folders.generated / "y.npz", frames=TRUE)
    said = folders.refusal()
    assert "no stem is in both folders: y in" in said and "x in" in said
    folders.pair("z")
    said = folders.refusal()
    assert "x: no generated clip of this name" in said and "y: no true clip of this name" in said
    with pytest.raises(StoreError, match="is not a folder"):
        match(folders.truth / "nowhere", folders.truth, Options())


def test_what_lies_about_is_noted(folders: Folders) -> None:
    folders.pair("a", depht=np.zeros(3))
    folders.pair("b", 1)
    (folders.truth / "README.md").write_text("hello")
    np.save(folders.generated / "a.depth.npy", GOOD["depth"])
    np.savez(folders.generated / "b.npz", frames=255 - TRUE)
    notes = "\n".join(match(folders.generated, folders.truth, Options(context=C)).notes)
    assert "'depht' means nothing. Did you mean 'depth'?" in notes and "not part of any clip: README.md" in notes
    assert "a: depth beside the generated clip is not read" in notes and "b: the last frame of the context" in notes


# ---------------------------------------------------------------------------------------------------- command line


def test_the_command_line(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    folders.pair("a", 0, **states_of(EPISODES[0]))
    folders.pair("b", 1)
    np.savez(folders.truth / "c.npz", frames=TRUE)
    base = ["score", "--generated", str(folders.generated), "--truth", str(folders.truth), "--context", str(C)]
    base += [
        "--out",
        str(folders.out),
        "--quiet",
        "--resamples",
        "50",
        "--metrics",
        "fidelity.l1",
        "permanence.identity",
    ]
    assert main(base) == 2
    assert "c: no generated clip of this name" in capsys.readouterr().err
    assert main([*base, "--skip-bad", "--min-worlds", "2"]) == 1
    out = capsys.readouterr().out
    assert "failed: c: no generated clip" in out and "not scored: permanence.identity: needs branches" in out
    page = (folders.out / "report/index.html").read_text()
    assert "permanence.<wbr>identity" in page and "no generated clip of this name" in page
    plain = json.loads((folders.out / "summary.json").read_text())
    assert {row["metric"] for row in plain["rows"]} == {"fidelity.l1"}
    for args, says in (
        (["score", str(folders.out)], "scores of folders"),
        (["score", str(folders.out), "--static"], "--static belongs to folders"),
        (["score"], "what is to be scored?"),
        (["score", "--generated", "x"], "without a run"),
        ([*base[:-5], "--context", "-1"], "context must be 0 or more"),
    ):
        assert main(args) == 2
        assert says in capsys.readouterr().err


def test_rows_of_folders_go_through_the_same_code(folders: Folders) -> None:
    """The other world of a clip's null is the next clip of its size."""
    for seed in range(3):
        folders.pair(f"clip{seed}", seed)
    clips = match(folders.generated, folders.truth, Options(context=C)).clips
    rows = list(observe_all([L1()], [load((clips[2], clips[0]))]))
    stored = [r for r in folders.score()["rows"] if r["episode"] == "clip2"]
    assert [r.outcome for r in rows] == [r["outcome"] for r in stored]
