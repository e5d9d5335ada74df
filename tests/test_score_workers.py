"""Scoring over processes: the same bytes as one process, and a process that dies costs one metric one group."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml

from tests.metrics.worlds import toy_episode
from worldsim import evaluate
from worldsim.config import EvalConfig
from worldsim.errors import ConfigError, StoreError, WorldFailure
from worldsim.metrics.fidelity import L1, PSNR, SSIM, L1Static
from worldsim.plan import resolve_metrics
from worldsim.protocols import EpisodeGroup
from worldsim.score_workers import Task, observe_tasks
from worldsim.scoring import observe_all
from worldsim.store import RunStore
from worldsim.types import Frames, Observation

HERE = Path(__file__).parent
TABLES = ("observations.jsonl", "scores.jsonl", "curves.jsonl", "summary.json")


def load(seed: int) -> EpisodeGroup:
    """A group of one, made from its seed; seeds from 100 on cannot be read."""
    if seed >= 100:
        raise StoreError(f"no episode {seed}")
    return (toy_episode(seed, horizon=4, size=(12, 16)),)


def tasks(seeds: Sequence[int]) -> list[Task]:
    names = [f"hall-{seed:04d}" for seed in seeds]
    return [
        Task(rows=({"episode": n, "scenario": "hall", "world_seed": s, "variant": "main", "pair_id": ""},), data=s)
        for n, s in zip(names, seeds, strict=True)
    ]


class Deadly(L1):
    """Kills its process at one world."""

    at: ClassVar[int] = 1

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        if group[0].world_seed == self.at and source == "null:noise":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().observe(group, source)


class AlwaysDeadly(SSIM):
    """Ends its process wherever it is."""

    def compare(self, truth: Frames, shown: Frames) -> np.ndarray:
        os._exit(3)


class Unborn(L1):
    """Cannot be made in another process."""

    def __init__(self) -> None:
        if os.environ.get("WORLDSIM_TEST_PARENT") != str(os.getpid()):
            os._exit(5)


# ------------------------------------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """Twelve episodes of the toy hall, twins among them, rolled out once; the metric lies in a file of its own."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "mine.py").write_text(
        "from worldsim.metrics.fidelity import GradientZNCC\n\n\nclass Mine(GradientZNCC):\n    pass\n"
    )
    common = {"env": f"{HERE}/toys.py:ToyEnv", "env_kwargs": {"size": [24, 32]}, "context": 4, "horizon": 6}
    walk = {"name": "walk", "controller": f"{HERE}/harness/parts.py:Walk", **common}
    again = {**walk, "name": "again", "sham": True}
    (folder / "suite.yaml").write_text(yaml.safe_dump({"name": "toy", "version": 1, "scenarios": [walk, again]}))
    config = EvalConfig(
        model="worldsim/Noise",
        scenarios=str(folder / "suite.yaml"),
        metrics=(
            "fidelity.l1",
            "fidelity.ssim",
            "fidelity.l1_static",
            "fidelity.useful_horizon",
            f"{folder}/mine.py:Mine",
        ),
        episodes=4,
        min_worlds=2,
        resamples=100,
        quiet=True,
        out=folder / "run",
    )
    return evaluate.evaluate(config)


def scored(store: RunStore, workers: int) -> dict[str, bytes]:
    evaluate.score(store, resolve_metrics(store.config.metrics), replace(store.config, quiet=True), workers=workers)
    return {name: (store.path / name).read_bytes() for name in TABLES}


def test_any_number_of_processes_gives_the_same_bytes(run: RunStore) -> None:
    one = scored(run, 1)
    assert one["observations.jsonl"].count(b"other-episode") > 0
    assert scored(run, 3) == one


# --------------------------------------------------------------------------------------------------------- failures


def test_the_rows_are_those_of_one_process_in_its_order() -> None:
    given = tasks([5, 3, 4, 1])
    done: list[int] = []
    metrics = [L1, PSNR, L1Static]
    one = observe_tasks(load, given, metrics)
    assert observe_tasks(load, given, metrics, workers=2, advance=done.append) == one
    assert [r.episode for r in one[:: len(one) // 4]] == ["hall-0005", "hall-0003", "hall-0004", "hall-0001"]
    assert sum(done) == 4


def test_a_death_costs_the_guilty_metric_its_group(caplog: pytest.LogCaptureFixture) -> None:
    given = tasks([0, 1, 2])
    found = observe_tasks(load, given, [Deadly, PSNR], workers=2)
    healthy = observe_tasks(load, given, [L1, PSNR])
    lost = [r for r in found if r.episode == "hall-0001" and r.metric == "fidelity.l1"]
    assert {r.reason for r in lost} == {"the metric failed: its process was killed by SIGKILL"}
    assert {r.source for r in lost} >= {"model", "null:frozen", "ceiling"} and all(r.outcome is None for r in lost)
    rest = [r for r in found if r not in lost]
    assert rest == [r for r in healthy if (r.episode, r.metric) != ("hall-0001", "fidelity.l1")]
    assert "tried one by one" in caplog.text and "SIGKILL" in caplog.text


def test_processes_that_keep_dying_end_in_an_error() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worldsim.score_workers._MOST_DEATHS", 2)
        with pytest.raises(WorldFailure, match=r"2 scoring processes died; .* exit code 3 at hall"):
            observe_tasks(load, tasks(range(6)), [AlwaysDeadly], workers=2)


def test_a_process_that_cannot_begin_is_an_error_and_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDSIM_TEST_PARENT", str(os.getpid()))
    with pytest.raises(WorldFailure, match=r"exit code 5 before it could begin.*__main__"):
        observe_tasks(load, tasks([0, 1]), [Unborn], workers=2)


def test_an_unreadable_episode_is_the_same_error_in_any_process() -> None:
    for workers in (1, 2):
        with pytest.raises(StoreError, match="no episode 100"):
            observe_tasks(load, tasks([0, 100]), [L1], workers=workers)


def test_mistakes_are_answered() -> None:
    class Local(L1):
        pass

    with pytest.raises(ConfigError, match="at least 1, got 0"):
        observe_tasks(load, tasks([0, 1]), [L1], workers=0)
    with pytest.raises(ConfigError, match=r"fidelity.l1 cannot be sent.*workers=1"):
        observe_tasks(load, tasks([0, 1]), [Local], workers=2)
    assert observe_tasks(load, [], [L1], workers=4) == []


def test_rows_survive_the_pipe() -> None:
    rows: list[Any] = observe_tasks(load, tasks([0]), [L1Static])
    assert pickle.loads(pickle.dumps(rows)) == rows


def test_a_state_is_read_once_for_all_metrics_and_sources() -> None:
    """What a metric derives from a state can be kept while that state is the same object."""
    (episode,) = load(0)
    asked: list[int] = []

    class Stored(list[Any]):
        def __getitem__(self, key: Any) -> Any:
            asked.append(key)
            return replace(super().__getitem__(key))  # another object each time, as from disk

    stored = replace(episode, truth=replace(episode.truth, states=Stored(episode.truth.states or ())))
    rows = list(observe_all([L1Static(), L1Static()], [(stored,)]))
    assert len(asked) == len(set(asked)) and rows == list(observe_all([L1Static(), L1Static()], [(episode,)]))
