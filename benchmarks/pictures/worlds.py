"""Recorded worlds, and simulators that are wrong in one way in them: the material of the pictures."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from worldsim import evaluate, registry
from worldsim.certify.replay import Recorded, play_groups
from worldsim.config import EvalConfig
from worldsim.envs.scenarios import load_set
from worldsim.faults import make_fault
from worldsim.plan import env_factory
from worldsim.protocols import EpisodeGroup
from worldsim.store import RunStore
from worldsim.types import Observation, Score

#: Worlds that are recorded of a scenario, 8 unless it says so here; "@128" is the side of its frames, 64 unless said.
WORLDS = {
    **{"explore": 16, "explore@128": 3, "policy_panel": 6},
    **{"strafe@128": 2, "counterfactual": 2, "there_and_back": 4},
}


@dataclass(frozen=True)
class Case:
    """What one simulator showed in some worlds, and what a metric says about it."""

    groups: tuple[EpisodeGroup, ...]
    rows: tuple[Observation, ...]
    score: Score

    def rows_of(self, group: EpisodeGroup) -> list[Observation]:
        """The rows about the episodes of one group."""
        own = {e.id for e in group}
        return [r for r in self.rows if r.episode in own]


def named(scenario: str) -> tuple[str, int]:
    """From "explore@128" to ("explore", 128), from "explore" to ("explore", 64)."""
    name, _, side = scenario.partition("@")
    return name, int(side or 64)


class Library:
    """Recordings of the oracle, one folder a scenario, and what faults make of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.groups = cache(self._groups)
        self.play = cache(self._play)

    def store(self, scenario: str) -> RunStore:
        """The recording of "scenario" or "scenario@side"; made where there is none."""
        name, side = named(scenario)
        path = self.folder / scenario
        if (path / "complete").exists():
            return RunStore.open(path)
        shutil.rmtree(path, ignore_errors=True)
        config = EvalConfig(
            model="worldsim/Oracle",
            scenarios="certify",
            episodes=WORLDS.get(scenario, 8),
            seed=self.seed,
            size=(side, side),
            out=path,
            quiet=True,
        )
        prepared = evaluate.prepare(config, only=lambda one: one.name == name)
        store = evaluate.open_run(prepared, ["metric_pictures"])
        evaluate.rollout(prepared, store, keep_start=True)
        evaluate.render(prepared, store)
        (path / "complete").touch()
        return store

    def _groups(self, scenario: str) -> tuple[tuple[Recorded, ...], ...]:
        store = self.store(scenario)
        done = store.done()
        pairs: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in done:
            pairs[row["pair_id"]].append(row)
        first = done[0]["variant"]
        out = []
        for rows in pairs.values():
            others = (o for o in done if o["world_seed"] != rows[0]["world_seed"] and o["variant"] == first)
            other = next(others, None)
            ordered = sorted(rows, key=lambda r: r["variant"] != "main")
            out.append(tuple(Recorded(store, row, other) for row in ordered))
        return tuple(out)

    def _play(self, scenario: str, fault: str, severity: float) -> tuple[EpisodeGroup, ...]:
        groups = self.groups(scenario)
        if not fault:
            return tuple(tuple(r.episode for r in group) for group in groups)
        store = self.store(scenario)
        name, side = named(scenario)
        chosen = next(s for s in load_set("certify", env="blocks").scenarios if s.name == name)
        model = make_fault(fault, severity)
        try:
            return tuple(play_groups(groups, model, env_factory(store.config, chosen, (side, side))))
        finally:
            model.close()

    def case(self, metric: str, scenarios: str | Sequence[str], fault: str = "", severity: float = 0.0) -> Case:
        """Every world of the scenarios under a fault ("" = the truth itself), scored by one metric."""
        names = (scenarios,) if isinstance(scenarios, str) else tuple(scenarios)
        groups = tuple(g for name in names for g in self.play(name, fault, severity))
        return score(metric, groups)


def score(metric: str, groups: Sequence[EpisodeGroup]) -> Case:
    """Groups of episodes with what was shown in them, scored by one metric."""
    judge = registry.METRICS.get(metric)()
    rows = tuple(row for group in groups for row in judge.observe(group))
    return Case(tuple(groups), rows, judge.reduce(rows))


def with_frames(group: EpisodeGroup, frames: Sequence[Any]) -> EpisodeGroup:
    """The group in which other frames were shown, one array for each episode."""
    out = []
    for episode, own in zip(group, frames, strict=True):
        rollout = episode.generated[0]
        shown = replace(rollout.trajectory, frames=own)
        out.append(replace(episode, generated=(replace(rollout, trajectory=shown),)))
    return tuple(out)
