"""`worldsim collect`: the same bytes after kills and over processes, what an episode holds, and mistakes answered."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.conftest import PARTS, TOYS
from tests.recordings import numbered, texts
from worldsim import captions, collect_workers, trees
from worldsim.cli.collect import EXAMPLES, CollectArgs, to_config
from worldsim.cli.main import main
from worldsim.collect import CollectConfig, Player, collect, plays, record_episode
from worldsim.dataset import Recording, join, read_info, read_shard, shards, validate
from worldsim.errors import ConfigError, StoreError, WorldFailure
from worldsim.seeding import split_of
from worldsim.spaces import build

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent / "recordings.py"
TOY = CollectConfig(
    env=f"{TOYS}:ToyEnv",
    env_args={},
    scenarios=(),
    controller=f"{PARTS}:Walk",
    episodes=7,
    steps=6,
    size=(12, 16),
    shard=2,
)
#: The same as options, but for the environment.
OPTIONS = [
    *("--controller", f"{PARTS}:Walk", "--episodes", "7", "--steps", "6", "--size", "12x16", "--shard", "2"),
    "--quiet",
]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def worldsim(*args: Any, **kwargs: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "worldsim", *map(str, args)]
    # Tests that a shell runs in the background ignore interrupts, and so would what they start.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, text=True, cwd=ROOT, start_new_session=True, **pipes, **kwargs)
    finally:
        signal.signal(signal.SIGINT, ours)


def wait_for_a_shard(process: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "dataset.json").exists() and read_info(folder).shards:
            return
        time.sleep(0.002)
    raise AssertionError(process.communicate()[1] if process.poll() is not None else "no shard within a minute")


def alive(group: int) -> list[int]:
    """The processes of a group, but for those that only wait to be buried."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            found += [int(stat.parent.name)] if int(its_group) == group and state not in "ZX" else []
    return found


# ------------------------------------------------------------------------------------------------- what an episode is


def test_a_dataset_of_a_toy(tmp_path: Path) -> None:
    info = collect(TOY, tmp_path / "a", quiet=True)
    assert info == read_info(tmp_path / "a")
    assert validate(tmp_path / "a") == []
    assert [count for _, count, _ in info.shards] == [2, 2, 2, 1] and info.episodes == 7
    assert build(info.action_space).n == 4 and info.fps == 20.0  # type: ignore[attr-defined]
    whole = join(list(shards(tmp_path / "a")))
    assert whole.frames.shape == (7, 7, 12, 16, 3) and (whole.lengths == 6).all()
    assert len(set(whole.world_seeds.tolist())) == 7 and {split_of(s) for s in whole.world_seeds} == {"train"}
    assert len({f.tobytes() for f in whole.frames[:, 0]}) == 7, "each episode is another world"


def test_actions_lead_from_frame_to_frame(tmp_path: Path) -> None:
    """Played again in its world, an episode gives its frames, rewards and captions."""
    from tests.toys import ToyEnv

    r = record_episode(TOY, 3, ())
    env = ToyEnv(size=(12, 16))
    frame, _ = env.reset(seed=int(r.world_seeds[0]))
    for t in range(6):
        np.testing.assert_array_equal(r.frames[0, t], frame)
        frame, reward, *_ = env.step(r.actions[0, t])
        assert r.rewards[0, t] == reward
        facts = captions.facts_from_truth(env.truth(), {}, only_visible=False)
        assert set(captions.parse(texts(r)[0][t + 1]).things) <= set(facts.things)
    np.testing.assert_array_equal(r.frames[0, 6], frame)


@pytest.mark.parametrize(("kind", "ended"), [("terminate_at", True), ("truncate_at", False)])
def test_what_ends_early_is_padded(kind: str, ended: bool) -> None:
    r = record_episode(replace(TOY, env_args={kind: 4}), 0, ())
    assert r.lengths.tolist() == [4] and r.steps == 6
    assert r.terminated[0].tolist() == [False, False, False, ended, False, False]
    assert (r.frames[0, 5:] == r.frames[0, 4]).all() and (r.rewards[0, 4:] == 0).all()
    assert (r.actions[0, 4:] == r.actions[0, 3]).all() and (r.captions[0, 5:] == r.captions[0, 4]).all()


def test_scripts_play_their_share_and_walks_go_on() -> None:
    """In the arena a script that is over hands on to a walk, so that no episode stands still."""
    config = CollectConfig(episodes=6, steps=40, size=(8, 8), walks=0.0)
    scripts = plays(config)
    assert scripts and {name for _, name, _ in scripts} >= {"script"}
    assert all("preset" not in extra for extra, _, _ in scripts)
    assert plays(replace(config, walks=1.0)) == plays(replace(config, scenarios=())) == ()
    village = plays(replace(config, env_args={"preset": "village"}))
    assert village and village != scripts
    r = join([record_episode(config, i, scripts) for i in range(6)])
    late = r.actions["camera"][:, 20:].any(axis=(1, 2)) | r.actions["forward"][:, 20:].any(axis=1)
    assert late.sum() >= 4
    assert all(text.startswith("in the arena") for row in texts(r) for text in row)


def test_a_caption_says_where_the_episode_was_played(tmp_path: Path) -> None:
    """Without a preset of one's own each scenario brings its own."""
    config = CollectConfig(env_args={}, steps=1, size=(8, 8))
    elsewhere = next(play for play in plays(config) if play[0].get("preset") == "village")
    r = record_episode(replace(config, walks=0.0), 0, (elsewhere,))
    assert texts(r)[0][0].startswith("in the village")


# ------------------------------------------------------------------------------------------------------- equal bytes


def test_a_kept_environment_gives_what_new_ones_give(monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import closing

    from worldsim.registry import ENVS

    config = CollectConfig(env_args={}, episodes=6, steps=12, size=(16, 16), walks=0.4)
    scripts = plays(config)
    alone = [record_episode(config, i, scripts) for i in range(8)]
    made, ended, make = [], [], ENVS.get

    def counted(name: str) -> Any:
        def started(**arguments: Any) -> Any:
            made.append(arguments)
            env = make(name)(**arguments)
            close = env.close
            monkeypatch.setattr(env, "close", lambda: (ended.append(1), close()), raising=False)
            return env

        return started

    monkeypatch.setattr(ENVS, "get", counted)
    with closing(Player()) as player:
        kept = [player.record(config, i, scripts) for i in range(8)]
        assert len(made) < 8 and len(ended) == len(made) - 1, "one lives on, the others have ended"
    assert len(ended) == len(made)
    for ours, theirs in zip(kept, alone, strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        assert trees.equal(ours.actions, theirs.actions) and texts(ours) == texts(theirs)


def test_an_environment_that_failed_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    player = Player()
    player.record(TOY, 0, ())
    kept = player._env
    monkeypatch.setattr(kept, "close", lambda: ended.append(1), raising=False)
    monkeypatch.setattr(kept, "step", lambda action: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        player.record(TOY, 1, ())
    assert len(ended) == 1
    np.testing.assert_array_equal(player.record(TOY, 1, ()).frames, record_episode(TOY, 1, ()).frames)
    player.close()
    player.close()


def test_processes_and_other_seeds(tmp_path: Path) -> None:
    collect(TOY, tmp_path / "one", quiet=True)
    collect(TOY, tmp_path / "three", quiet=True, workers=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    collect(replace(TOY, seed=1), tmp_path / "other", quiet=True)
    ours, theirs = (join(list(shards(tmp_path / name))) for name in ("one", "other"))
    assert not set(ours.world_seeds.tolist()) & set(theirs.world_seeds.tolist())


def test_more_episodes_keep_what_is_there(tmp_path: Path) -> None:
    collect(TOY, tmp_path / "a", quiet=True)
    played: list[int] = []

    def counted(config: CollectConfig, index: int, scripts: Any) -> Recording:
        played.append(index)
        return record_episode(config, index, scripts)

    more = replace(TOY, episodes=9)
    collect(more, tmp_path / "a", quiet=True, record=counted)
    assert played == [6, 7, 8], "the last shard was not full"
    collect(more, tmp_path / "b", quiet=True)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    with pytest.raises(ConfigError, match="holds 9 episodes already"):
        collect(TOY, tmp_path / "a", quiet=True)
    with pytest.raises(ConfigError, match=r"other settings .seed: 0 there, 1 here; steps: 6 there, 8 here"):
        collect(replace(more, seed=1, steps=8), tmp_path / "a", quiet=True)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_damaged_and_missing_shards_are_made_again(tmp_path: Path) -> None:
    collect(TOY, tmp_path / "a", quiet=True)
    before = contents(tmp_path / "a")
    (tmp_path / "a/shard-00001.npz").write_bytes(b"nothing")
    (tmp_path / "a/shard-00002.npz").unlink()
    collect(TOY, tmp_path / "a", quiet=True)
    assert contents(tmp_path / "a") == before


def test_a_dataset_older_than_a_setting_is_completed(tmp_path: Path) -> None:
    """What the recipe does not name had its default then."""
    config = replace(TOY, env="blocks", env_args={"preset": "arena"}, controller="explore", episodes=1, steps=1)
    collect(config, tmp_path, quiet=True)
    plain = json.loads((tmp_path / "dataset.json").read_text())
    assert plain["recipe"].pop("controller") == "explore"
    (tmp_path / "dataset.json").write_text(json.dumps(plain))
    collect(config, tmp_path, quiet=True)
    assert validate(tmp_path) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_sigkill_and_the_same_command_give_the_same_bytes(tmp_path: Path, workers: int) -> None:
    arguments = ["collect", "--env", f"{HERE}:SlowHall", *OPTIONS, "--episodes", 23, "--workers", workers]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    collect(replace(TOY, env=f"{HERE}:SlowHall", episodes=23), whole, quiet=True)
    process = worldsim(*arguments, "--out", killed)
    wait_for_a_shard(process, killed)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 0 < read_info(killed).episodes < 23, "the kill came in the middle"
    (killed / "shard-00011.npz.part").write_bytes(b"torn")
    resumed = worldsim(*arguments, "--out", killed)
    told, errors = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, errors
    assert "23 episodes, 138 steps, 12 shards" in told and f"next: worldsim check dataset {killed}" in told
    assert contents(killed) == contents(whole)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc")
def test_children_end_with_their_parent(tmp_path: Path) -> None:
    process = worldsim(
        *("collect", "--env", f"{HERE}:SlowHall", *OPTIONS, "--episodes", "400", "--workers", "2", "--out", tmp_path)
    )
    wait_for_a_shard(process, tmp_path)
    assert len(alive(process.pid)) >= 3
    process.send_signal(signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 30
    while alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(process.pid), "a child went on without its parent"


def test_an_interrupt_is_no_failure(tmp_path: Path) -> None:
    process = worldsim(
        *("collect", "--env", f"{HERE}:SlowHall", *OPTIONS, "--episodes", "400", "--workers", "2", "--out", tmp_path)
    )
    wait_for_a_shard(process, tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: children, too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in errors and "Traceback" not in errors
    info = read_info(tmp_path)
    assert 0 < info.episodes < 400
    assert [len(read_shard(tmp_path / name)) for name, _, _ in info.shards] == [2] * len(info.shards)


# ------------------------------------------------------------------------------------------------------------ failures


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """A limit on the size of files stands for it: the index fits, a shard does not."""
    process = worldsim(
        *("collect", "--env", f"{TOYS}:ToyEnv", *OPTIONS, "--size", "64x64", "--out", tmp_path),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000)),
    )
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "shard-00000.npz" in errors and "Traceback" not in errors
    assert "the disk or quota is full" in errors and "run the same command again" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.json"]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_episode_that_fails_is_named(tmp_path: Path, workers: int) -> None:
    with pytest.raises(WorldFailure, match=r"episode \d could not be played: RuntimeError: the level is corrupt"):
        collect(replace(TOY, env=f"{HERE}:BadHall"), tmp_path, quiet=True, workers=workers)


def dies(config: Any, index: int, scripts: Any) -> Recording:
    if index == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return numbered([4], 4, first=index)


def test_a_process_that_dies_is_named() -> None:
    batches = [collect_workers.Batch(name=str(i), start=2 * i, count=2) for i in range(3)]
    with pytest.raises(WorldFailure, match=r"the episodes 2\.\.3 was killed by SIGKILL.*same command again"):
        list(collect_workers.record_batches(dies, None, None, batches, workers=2))


def test_what_cannot_be_sent() -> None:
    batches = [collect_workers.Batch(name=str(i), start=i, count=1) for i in range(2)]
    with pytest.raises(ConfigError, match="use workers=1"):
        list(collect_workers.record_batches(lambda *_: numbered([1], 1), None, None, batches, workers=2))
    with pytest.raises(ConfigError, match="at least 1"):
        list(collect_workers.record_batches(dies, None, None, batches, workers=0))


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"schema": 7}')
    with pytest.raises(StoreError, match="schema 7"):
        collect(TOY, tmp_path, quiet=True)
    (tmp_path / "dataset.json").unlink()
    (tmp_path / "shard-00000.npz").write_bytes(b"somebody's")
    with pytest.raises(ConfigError, match=r"holds shard-00000\.npz but no dataset\.json"):
        collect(TOY, tmp_path, quiet=True)
    assert (tmp_path / "shard-00000.npz").read_bytes() == b"somebody's"
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        collect(TOY, tmp_path / "file" / "data", quiet=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"walks": 1.5}, "walks must be in 0..1"),
        ({"split": "training"}, "split must be one of"),
        ({"env_args": {"size": [8, 8]}}, "--size"),
        ({"size": (720, 1280)}, r"a shard of 32 episodes holds 8\.0 GiB.*at most 8 into one"),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        replace(CollectConfig(), **change)


def test_settings_that_are_no_plain_values(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="plain values"):
        collect(replace(TOY, env_args={"objects": np.int64(3)}), tmp_path / "a", quiet=True)
    with pytest.raises(ConfigError, match="--walks 1"):
        collect(CollectConfig(env_args={"preset": "open"}, scenarios=("quick",)), tmp_path / "a", quiet=True)
    assert not (tmp_path / "a").exists()


# ----------------------------------------------------------------------------------------------------- command line


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--env", "blokcs", "--out", "d"], 2, "Did you mean 'blocks'"),
        (["--scenarios", "cor", "--out", "d"], 2, "Did you mean 'core'"),
        (["--env-args", "preset", "--out", "d"], 2, "--env-args takes name=value"),
        (["--env-args", "preset=arna", "--out", "d"], 2, "arena"),
        (["--size", "big", "--out", "d"], 2, "height x width"),
        (["--workers", "0", "--episodes", "1", "--out", "d"], 2, "workers must be at least 1"),
    ],
)
def test_mistakes_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, args: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["collect", *args]) == code
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir()), "a mistake leaves nothing behind"


def test_collecting_and_checking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    options = [*OPTIONS[:-1], "--env", f"{TOYS}:ToyEnv", "--env-args", "actions=discrete", "--split", "test"]
    assert main(["collect", *options, "--out", "d"]) == 0
    told = capsys.readouterr()
    assert "7 episodes, 42 steps, 4 shards" in told.out
    assert "test worlds are what results are reported on" in told.err
    assert main(["check", "dataset", "d"]) == 0
    assert "7 episodes in 4 shards, 0 faults" in capsys.readouterr().out
    Path("d/shard-00002.npz").write_bytes(b"")
    assert main(["check", "dataset", "d"]) == 1
    assert "shard-00002.npz: is not what was written" in capsys.readouterr().out
    assert main(["check", "dataset", "nothing"]) == 1
    assert "is not a dataset" in capsys.readouterr().err


def test_defaults_follow_the_environment() -> None:
    out = Path("d")
    assert to_config(CollectArgs(out=out)) == CollectConfig()
    mine = to_config(CollectArgs(out=out, env="mine.py:Make"))
    assert mine.env_args == {} and mine.scenarios == () and mine.controller == "explore"
    gym = to_config(CollectArgs(out=out, env="gym:CartPole-v1"))
    assert gym.controller == "random"  # nobody knows what its actions mean
    assert to_config(CollectArgs(out=out, env="gym:CartPole-v1", controller="noop")).controller == "noop"


def test_the_help_page_ends_in_examples_that_can_be_read(capsys: Any) -> None:
    with pytest.raises(SystemExit) as end:
        main(["collect", "--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert "worldsim collect --env blocks" in told.split("examples:")[-1]
    import tyro

    for line in EXAMPLES.strip().splitlines():
        words = line.partition("#")[0].split()
        if words[1] == "collect":
            to_config(tyro.cli(CollectArgs, args=words[2:]))


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/data.md: its Python blocks in order, and what it says of a dataset is true of one."""
    page = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    arena = replace(TOY, env="blocks", env_args={"preset": "arena"}, controller="explore")
    collect(arena, Path("data/arena"), quiet=True)
    scope: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL):
        exec(compile(code, "docs/data.md", "exec"), scope)
    assert validate("data/mine") == []
    for key in json.loads(Path("data/arena/dataset.json").read_text()):
        assert f"`{key}`" in page, key
    with np.load("data/arena/shard-00000.npz") as file:
        for name in file.files:
            assert f"`{name.partition('/')[0]}" in page, name
