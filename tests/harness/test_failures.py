"""Killed, hung, broken, full: nothing committed is lost, and resuming ends with the same bytes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.conftest import PARTS
from worldsim import video
from worldsim.config import EvalConfig
from worldsim.errors import ConfigError, StoreError, WorldFailure
from worldsim.evaluate import Prepared, evaluate
from worldsim.seeding import world_seed
from worldsim.store import RunStore

Ready = Callable[..., Prepared]
TABLES = ("scores.jsonl", "summary.json", "observations.jsonl", "curves.jsonl")


def cli(*args: Any, **kwargs: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "worldsim", *map(str, args)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)


def settings(suite: Path, out: Path, model: str = "Slow") -> list[str]:
    return [
        *("--model", f"{PARTS}:{model}", "--scenarios", str(suite), "--episodes", "6", "--batch", "2"),
        *("--metrics", "fidelity.l1", "--min-worlds", "2", "--resamples", "100", "--out", str(out)),
        *("--no-report", "--quiet"),
    ]


def mixed_seed() -> int:
    """A run seed whose first five broken halls are of both kinds: world seeds depend on the path of the file."""
    env = f"{PARTS}:broken_hall"
    for seed in range(100):
        if 0 < sum(world_seed(seed, env, "walk", i) % 2 == 0 for i in range(5)) < 5:
            return seed
    raise AssertionError("no such seed")


def committed(out: Path) -> int:
    path = out / "episodes.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("wait_for", [0, 2, 4])
def test_sigkill_and_resume_give_the_same_bytes(suite: Callable[..., Path], tmp_path: Path, wait_for: int) -> None:
    path = suite(horizon=40)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = cli("eval", *settings(path, whole))
    assert first.wait(120) == 0, first.stderr.read() if first.stderr else ""
    process = cli("eval", *settings(path, killed))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (committed(killed) < wait_for or not (killed / "episodes").exists()):
        time.sleep(0.01)
    time.sleep(0.3)  # into the middle of the next batch
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = committed(killed)
    assert wait_for <= before < 6, "the kill came in the middle"
    with (killed / "episodes.jsonl").open("a") as file:
        file.write('{"episode": "walk-00')  # a line torn by the kill
    resumed = cli("eval", "--resume", "--out", str(killed), "--no-report", "--quiet")
    assert resumed.wait(120) == 0, resumed.stderr.read() if resumed.stderr else ""
    for name in TABLES:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert not list((killed / "episodes").glob(".*")), "no temporary folders are left"


def test_one_bad_world_does_not_lose_the_others(ready: Ready) -> None:
    prepared = ready("Raises", episodes=24, batch=4)  # a third of them fails: never none and never all
    store = evaluate(prepared.config, prepared=prepared)
    status = [row["status"] for row in store.committed().values()]
    assert len(status) == 24
    assert {"done", "failed"} == set(status), status
    reasons = {row["reason"] for row in store.committed().values() if row["status"] == "failed"}
    assert all("cannot do this world" in reason for reason in reasons)
    assert store.summary["status"] == "error"
    assert store.run["counts"]["failed"] == status.count("failed")


def test_a_hung_model_ends_the_run_and_resume_goes_on(ready: Ready) -> None:
    prepared = ready("Hangs", step_timeout=0.5)
    with pytest.raises(WorldFailure, match="--resume"):
        evaluate(prepared.config, prepared=prepared)
    store = RunStore.open(prepared.config.out or Path())
    rows = store.committed()
    assert [row["status"] for row in rows.values()] == ["failed", "failed"]
    assert "did not answer within 0.5 s" in rows["walk-0000"]["reason"]
    assert store.run["status"] == "interrupted"
    again = ready("Hangs", step_timeout=0.5, resume=True, skip_failed=True)
    with pytest.raises(WorldFailure):
        evaluate(again.config, prepared=again)
    last = ready("Hangs", step_timeout=0.5, resume=True, skip_failed=True)
    evaluate(last.config, prepared=last)
    assert [row["status"] for row in store.committed().values()] == ["failed"] * 3, "the run came to its end"
    assert store.run["status"] == "error"


def test_a_truth_that_hangs_in_closed_loop_is_noticed(ready: Ready) -> None:
    scenario = {"env": f"{PARTS}:broken_hall", "env_kwargs": {"size": [24, 32], "how": "hang"}}
    prepared = ready(
        "Counter", scenario=scenario, drive_from="generated", step_timeout=0.5, episodes=5, batch=5, seed=mixed_seed()
    )
    assert any(p.world_seed % 2 == 0 for p in prepared.plan), "one of them hangs"
    with pytest.raises(WorldFailure, match="--resume"):
        evaluate(prepared.config, prepared=prepared)
    reasons = {row["reason"] for row in RunStore.open(prepared.config.out or Path()).committed().values()}
    assert any("model or truth did not answer within 0.5 s" in reason for reason in reasons)


def test_a_broken_prediction_is_named(ready: Ready) -> None:
    prepared = ready("Wrong", episodes=1)
    store = evaluate(prepared.config, prepared=prepared)
    (row,) = store.committed().values()
    assert row["status"] == "failed"
    assert "float32" in row["reason"] and "uint8" in row["reason"] and "worldsim check model" in row["reason"]


def test_a_full_disk_keeps_what_is_committed(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, suite: Callable[..., Path], tmp_path: Path
) -> None:
    prepared = ready("Seeded", episodes=4)
    reference = evaluate(prepared.config, prepared=prepared)
    full = ready("Seeded", episodes=4, out=tmp_path / "full")
    count = 0
    original = video.LosslessWriter.append

    def append(self: Any, frames: Any) -> None:
        nonlocal count
        count += 1
        if count > 70:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, frames)

    with monkeypatch.context() as patch:
        patch.setattr(video.LosslessWriter, "append", append)
        with pytest.raises(StoreError, match="--resume"):
            evaluate(full.config, prepared=full)
    store = RunStore.open(tmp_path / "full")
    assert len(store.done()) == 2
    again = ready("Seeded", episodes=4, out=tmp_path / "full", resume=True)
    evaluate(again.config, prepared=again)
    for name in TABLES:
        assert (tmp_path / "full" / name).read_bytes() == (reference.path / name).read_bytes(), name


def test_shards_share_a_folder(ready: Ready, tmp_path: Path) -> None:
    whole = ready("Seeded", episodes=6)
    reference = evaluate(whole.config, prepared=whole)
    for part in ("1/2", "2/2"):
        prepared = ready("Seeded", episodes=6, out=tmp_path / "parts", shard=part)
        store = evaluate(prepared.config, prepared=prepared)
    for name in TABLES:
        assert (store.path / name).read_bytes() == (reference.path / name).read_bytes(), name


def test_resume_refuses_other_settings(ready: Ready) -> None:
    prepared = ready("Counter", episodes=2)
    evaluate(prepared.config, prepared=prepared)
    other = ready("Counter", episodes=3, resume=True)
    with pytest.raises(ConfigError, match="episodes: 2 then, 3 now"):
        evaluate(other.config, prepared=other)


def test_a_run_is_not_overwritten(ready: Ready) -> None:
    prepared = ready("Counter", episodes=2)
    evaluate(prepared.config, prepared=prepared)
    with pytest.raises(StoreError, match="--resume"):
        evaluate(prepared.config, prepared=prepared)


@pytest.mark.parametrize("resume", [False, True])
def test_a_kill_while_the_run_is_made_leaves_nothing_in_the_way(ready: Ready, tmp_path: Path, resume: bool) -> None:
    whole = ready("Counter", out=tmp_path / "whole")
    evaluate(whole.config, prepared=whole)
    killed = tmp_path / "killed"
    (killed / "episodes").mkdir(parents=True)
    shutil.copy(tmp_path / "whole" / "config.yaml", killed)
    (killed / "plan.jsonl.1.tmp").write_text("{")
    prepared = ready("Counter", out=killed, resume=resume)
    evaluate(prepared.config, prepared=prepared)
    for name in TABLES:
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_other_files_are_not_touched(ready: Ready, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    for out, says in (("run", "other files"), ("file", "is a file")):
        prepared = ready("Counter", out=tmp_path / out)
        with pytest.raises(StoreError, match=says):
            evaluate(prepared.config, prepared=prepared)


def test_a_metric_that_raises_costs_nothing_but_itself(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    from worldsim.metrics.fidelity import L1

    def observe(self: Any, group: Any, source: str = "model") -> Any:
        raise ZeroDivisionError("a bug in the metric")

    monkeypatch.setattr(L1, "observe", observe)
    prepared = ready("Counter", metrics=("fidelity.l1", "fidelity.ssim"))
    store = evaluate(prepared.config, prepared=prepared)
    rows = {row["metric"]: row for row in store.summary["rows"] if row["scenario"] == "*"}
    assert rows["fidelity.l1"]["value"] is None
    assert rows["fidelity.ssim"]["value"] is not None
    reasons = {row["reason"] for row in store.table("observations") if row["metric"] == "fidelity.l1"}
    assert any("a bug in the metric" in (reason or "") for reason in reasons)


def test_twice_is_identical(ready: Ready, tmp_path: Path) -> None:
    for name in ("a", "b"):
        prepared = ready("worldsim/Oracle", out=tmp_path / name)
        evaluate(prepared.config, prepared=prepared)
    for table in TABLES:
        assert (tmp_path / "a" / table).read_bytes() == (tmp_path / "b" / table).read_bytes()
    row = json.loads((tmp_path / "a" / "summary.json").read_text())["rows"][0]
    assert row["value"] == 0.0 and row["skill"] == 1.0


def test_tables_have_a_parquet_twin(ready: Ready) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    prepared = ready("Counter")
    store = evaluate(prepared.config, prepared=prepared)
    for name in ("observations", "scores", "curves"):
        rows = list(store.table(name))
        twin = pandas.read_parquet(store.path / f"{name}.parquet")
        assert len(twin) == len(rows) > 0
        for column in ("metric", "value" if "value" in rows[0] else "outcome"):
            ours = [row[column] for row in rows]
            theirs = [None if pandas.isna(x) else x for x in twin[column]]
            assert ours == theirs, (name, column)


def test_a_damaged_file_is_found(ready: Ready) -> None:
    prepared = ready("Counter", episodes=2)
    store = evaluate(prepared.config, prepared=prepared)
    assert list(store.damage()) == []
    path = store.folder("walk-0001") / "truth.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    (found,) = store.damage()
    assert "walk-0001/truth.npz is not what was written" in found
    (store.folder("walk-0000") / "depth.npz").unlink()
    assert len(list(store.damage())) == 2


def test_settings_survive_the_disk() -> None:
    from worldsim.config import from_plain, to_plain

    config = EvalConfig(model="m", size=(24, 32), metrics=("fidelity",), model_args={"a": 1})
    assert to_plain(from_plain(to_plain(config))) == to_plain(config)
    with pytest.raises(ConfigError, match=r"Did you mean 'episodes'"):
        from_plain({"episode": 3})


@pytest.mark.parametrize(
    ("how", "isolate", "says"),
    [
        ("raise", False, "the level is corrupt"),
        ("raise", True, "the level is corrupt"),
        ("hang", True, "did not return from step within 1 s"),
        ("die", True, "died in step (exit code 11)"),
    ],
)
def test_a_broken_truth_costs_its_episode_only(ready: Ready, how: str, isolate: bool, says: str) -> None:
    scenario = {"env": f"{PARTS}:broken_hall", "env_kwargs": {"size": [24, 32], "how": how}}
    prepared = ready(
        "worldsim/Frozen",
        scenario=scenario,
        isolate_envs=isolate,
        step_timeout=1.0,
        episodes=5,
        batch=3,
        seed=mixed_seed(),
    )
    even = {p.episode for p in prepared.plan if p.world_seed % 2 == 0}
    assert 0 < len(even) < 5, "the seeds of this test hold both kinds"
    store = evaluate(prepared.config, prepared=prepared)
    rows = store.committed()
    assert {e for e, row in rows.items() if row["status"] == "failed"} == even
    assert all(says in rows[e]["reason"] for e in even)


def test_isolated_truths_give_the_same_bytes(ready: Ready, tmp_path: Path) -> None:
    stores = []
    for isolate in (False, True):
        prepared = ready("Seeded", isolate_envs=isolate, env_threads=2, out=tmp_path / str(isolate))
        stores.append(evaluate(prepared.config, prepared=prepared))
    for name in TABLES:
        assert (stores[0].path / name).read_bytes() == (stores[1].path / name).read_bytes(), name
