"""One evaluation, stage by stage: rollout -> render -> score. Each stage reads what the one before left on disk.

`evaluate` runs them all; the stages can be called alone, again, and after a kill. Scoring never steps a world.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from worldsim import registry, scoring
from worldsim.background import HungError, TimedCaller
from worldsim.branches import render_run
from worldsim.config import EvalConfig
from worldsim.errors import StoreError, WorldFailure, WorldsimError
from worldsim.fingerprint import utc_now
from worldsim.lane import PlannedEpisode, TruthLane
from worldsim.plan import (
    action_map,
    env_factory,
    groups_of,
)
from worldsim.preparation import Prepared as Prepared
from worldsim.preparation import open_run as open_run
from worldsim.preparation import prepare as prepare
from worldsim.progress import Progress
from worldsim.protocols import Closeable, EpisodeGroup, TruthEnv
from worldsim.provenance import provenance
from worldsim.rollout import episode_row, roll_group
from worldsim.score_workers import Task, observe_tasks
from worldsim.store import RunStore
from worldsim.truth_side import Settings
from worldsim.types import Observation, Scenario

log = logging.getLogger("worldsim")


# ------------------------------------------------------------------------------------------------------ stage 1


def rollout(prepared: Prepared, store: RunStore, *, keep_start: bool = False) -> bool:
    """Rolls out and commits every episode of this shard that is not committed yet.

    Args:
        prepared: The run.
        store: Where it lies.
        keep_start: The truth's snapshots at the end of the context are kept, so that other models can start there.

    Returns:
        False if a world hung: its thread is lost and the rest of the plan was not tried; `--resume` goes on.
    """
    config = prepared.config
    store.clean()
    settled = {"done", "aborted", "failed"} if config.skip_failed else {"done", "aborted"}
    committed = {e for e, row in store.committed().items() if row["status"] in settled}
    groups = [g for g in groups_of(prepared.plan, config.shard) if not {p.episode for p in g} <= committed]
    by_name = {s.name: (s, size) for s, size in zip(prepared.scenarios, prepared.sizes, strict=True)}
    call = TimedCaller("model" if config.drive_from == "truth" else "model or truth", config.step_timeout)
    envs = _EnvPool(config, keep_start)
    steps = sum(by_name[g[0].scenario][0].horizon * len(g) for g in groups)
    try:
        with Progress("rollout", steps, quiet=config.quiet) as progress:
            for group in groups:
                scenario, size = by_name[group[0].scenario]
                if not _roll(prepared, store, scenario, size, group, committed, envs, call, progress.advance):
                    return False
    finally:
        call.close()
        envs.close()
    return True


def _roll(
    prepared: Prepared,
    store: RunStore,
    scenario: Scenario,
    size: tuple[int, int],
    group: Sequence[PlannedEpisode],
    committed: set[str],
    envs: _EnvPool,
    call: TimedCaller,
    progress: Callable[[int], None],
) -> bool:
    """One group; where it fails as a batch, its episodes are tried one by one, so that only the guilty one is lost."""
    lanes = [envs.lane(scenario, size, planned, i) for i, planned in enumerate(group)]
    settings = _settings(prepared, size, lanes[0].env)
    try:
        roll_group(
            lanes,
            prepared.model,
            scenario,
            store,
            settings,
            make_env=envs.make_env,
            prompts=lambda lane: _prompts(scenario, lane),
            call=call,
            progress=progress,
            committed=committed,
        )
    except StoreError:
        raise
    except HungError as error:
        _fail(store, lanes, committed, str(error))
        return False
    except WorldsimError as error:
        if len(group) == 1:
            _fail(store, lanes, committed, str(error))
            return True
        log.warning("a batch of %s failed (%s); its episodes are tried one by one", scenario.name, error)
        envs.renew()
        return all(
            _roll(prepared, store, scenario, size, [planned], committed, envs, call, progress) for planned in group
        )
    return True


def _fail(store: RunStore, lanes: Sequence[TruthLane], committed: set[str], reason: str) -> None:
    for lane in lanes:
        if lane.planned.episode not in committed:
            log.warning("episode %s failed: %s", lane.planned.episode, reason)
            store.commit(episode_row(lane, "failed", reason), None)


def _settings(prepared: Prepared, size: tuple[int, int], env: TruthEnv) -> Settings:
    from worldsim.envs.actions import noop

    config = prepared.config
    return Settings(
        size=size,
        fps=float(env.metadata.get("render_fps", 20)),
        samples=config.samples,
        reanchor_every=config.reanchor_every,
        drive_from_model=config.drive_from == "generated",
        step_timeout=config.step_timeout,
        threads=config.env_threads,
        noop=noop(env.action_space),
        to_model=action_map(env.action_space, prepared.model.spec),
        provenance=provenance(
            model=prepared.model.spec.name, model_hash=getattr(prepared.model, "model_hash", None), created=utc_now()
        ),
    )


def _prompts(scenario: Scenario, lane: TruthLane) -> tuple[tuple[int, str], ...]:
    """The scenario's timeline; an empty text is replaced by the caption of the first frame.

    Where the truth is balanced and told, the prompt says which alternative it is.
    """
    point = scenario.balanced
    if point is not None and point.tell and lane.planned.label:
        return ((0, str(point.alternatives[lane.planned.label].get("say", lane.planned.label))),)
    if not any(not text for _, text in scenario.prompts):
        return scenario.prompts
    from worldsim.captions import caption

    place = str(scenario.env_kwargs.get("preset", ""))
    about = {"place": place, **({"hour": lane.info["hour"]} if "hour" in lane.info else {})}
    written = caption(lane.env.truth(), about, seed=lane.planned.controller_seed)
    return tuple((t, text or written) for t, text in scenario.prompts)


class _EnvPool:
    """Environments of the current scenario, kept from group to group: building one costs more than a step."""

    def __init__(self, config: EvalConfig, keep_start: bool) -> None:
        self._config, self._keep_start = config, keep_start
        self._key: tuple[str, tuple[int, int]] | None = None
        self._make_env: Callable[[], TruthEnv] | None = None
        self._envs: list[tuple[TruthEnv, TruthEnv | None]] = []

    def lane(self, scenario: Scenario, size: tuple[int, int], planned: PlannedEpisode, position: int) -> TruthLane:
        """A lane on the environment at this position of the batch."""
        if self._key != (scenario.name, size):
            self.close()
            self._key = (scenario.name, size)
            self._make_env = env_factory(self._config, scenario, size)
        build = env_factory(self._config, scenario, size, isolate=self._config.isolate_envs)
        while len(self._envs) <= position:
            env = build()
            open_future = env.abilities.open_future and env.abilities.snapshot
            self._envs.append((env, build() if open_future else None))
        env, rerun = self._envs[position]
        make_controller = registry.CONTROLLERS.get(scenario.controller)
        controller = make_controller(**scenario.controller_kwargs, **scenario.variants.get(planned.variant, {}))
        return TruthLane(
            env=env,
            rerun_env=rerun,
            controller=controller,
            planned=planned,
            scenario=scenario,
            keep_start=self._keep_start,
        )

    @property
    def make_env(self) -> Callable[[], TruthEnv]:
        """Makes further truths of the current scenario: one function from group to group, another for each scenario.

        A model that plays in copies of its own, as the oracle does, keeps them while it is given the same function.
        """
        if self._make_env is None:
            raise RuntimeError("a lane of the scenario is asked for before further copies of its truth")
        return self._make_env

    def renew(self) -> None:
        """Throws the environments away: after a failure their state is not to be trusted."""
        self.close()

    def close(self) -> None:
        for pair in self._envs:
            for env in pair:
                if env is not None:
                    env.close()
        self._envs, self._key = [], None


# ------------------------------------------------------------------------------------------------------ stage 2


def render(prepared: Prepared, store: RunStore) -> None:
    """Draws the alternatives of every finished episode that has none yet."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in store.done():
        rows[row["scenario"]].append(row)
    total = sum(len(rows[s.name]) for s in prepared.scenarios if s.branches or s.views)
    with Progress("render", total, quiet=prepared.config.quiet, unit="episodes") as progress:
        for scenario, size in zip(prepared.scenarios, prepared.sizes, strict=True):
            if not (scenario.branches or scenario.views) or not rows[scenario.name]:
                continue
            env = env_factory(prepared.config, scenario, size)()
            try:
                if env.abilities.snapshot:
                    for row in rows[scenario.name]:
                        render_run(store, [row], scenario, env)
                        progress.advance()
            finally:
                env.close()


# ------------------------------------------------------------------------------------------------------ stage 3


def score(store: RunStore, metrics: Sequence[type[Any]], config: EvalConfig, *, workers: int = 1) -> None:
    """Scores every committed episode and writes the tables and the summary. Needs neither the truth nor the model.

    Args:
        store: The run.
        metrics: Classes.
        config: Resamples, least number of worlds, progress.
        workers: Processes; the result is the same for any number.

    Raises:
        WorldsimError: If an episode cannot be read, or the processes cannot start.
    """
    rows = store.done()
    left_out = {(v["metric"], v["scenario"]) for v in store.run["scored"] if not v["scored"]}
    with Progress("score", len(rows), quiet=config.quiet, unit="episodes") as progress:
        load = partial(_load_group, store.path)
        tasks = [
            replace(task, skip=frozenset(name for name, scenario in left_out if scenario == task.rows[0]["scenario"]))
            for task in _tasks(rows)
        ]
        found = observe_tasks(load, tasks, metrics, workers=workers, advance=progress.advance)
    write_scores(store, metrics, found, config)


def groups_of_run(store: RunStore, scenario: str) -> Iterator[EpisodeGroup]:
    """The finished episodes of one scenario, twins together; their frames are read when asked for."""
    for task in _tasks([row for row in store.done() if row["scenario"] == scenario]):
        yield _load_group(store.path, task.data)


def write_scores(
    store: RunStore, metrics: Sequence[type[Any]], observations: Sequence[Observation], config: EvalConfig
) -> None:
    """Writes the tables, the summary, and how the run ended."""
    # vars, not asdict: tens of thousands of rows, and nothing in them needs a deep copy
    store.write_table("observations", ({**vars(row), "details": dict(row.details)} for row in observations))
    summary: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for metric in (m() for m in metrics):
        mine = [row for row in observations if row.metric == metric.spec.name]
        a, b = scoring.summarise(metric, mine, resamples=config.resamples, min_worlds=config.min_worlds, env=config.env)
        summary += a
        curves += b
        scores += scoring.scores(metric, mine)
    store.write_table("curves", curves)
    store.write_table("scores", scores)
    committed = store.committed()
    complete = len(committed) == len(store.plan)
    failed = sum(row["status"] == "failed" for row in committed.values())
    status = "success" if complete and not failed else "error" if complete else "interrupted"
    store.write_summary(status, summary)
    counts = {name: sum(r["status"] == name for r in committed.values()) for name in ("done", "failed", "aborted")}
    store.update_run(status=status, finished=utc_now(), counts={"planned": len(store.plan), **counts})


def _tasks(rows: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Twins together, in the order of the plan, each with the next world of its scenario for the null that shows it."""
    pairs: dict[str, list[Mapping[str, Any]]] = {}
    by_scenario: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    place: dict[str, int] = {}
    for row in rows:
        pairs.setdefault(row["pair_id"], []).append(row)
        place[row["episode"]] = len(by_scenario[row["scenario"]])
        by_scenario[row["scenario"]].append(row)

    out = []
    for pair in pairs.values():
        group = tuple(sorted(pair, key=lambda r: r["variant"] != "main"))
        data = [(row, other_episode(by_scenario[row["scenario"]], place[row["episode"]])) for row in group]
        out.append(Task(rows=group, data=data))
    return out


def other_episode(rows: Sequence[Mapping[str, Any]], place: int) -> Mapping[str, Any] | None:
    """What the null "other-episode" shows beside `rows[place]`: the next world of the same scenario, or None.

    In one and the same variant for all of a world's: what it shows must not tell which of them was played.
    """
    world, first = rows[place]["world_seed"], rows[0]["variant"]
    around = (rows[(place + k) % len(rows)] for k in range(1, len(rows)))
    return next((o for o in around if o["world_seed"] != world and o["variant"] == first), None)


def _load_group(path: Path, data: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]) -> EpisodeGroup:
    """The episodes of one task; their frames are read when asked for."""
    store = RunStore(path)
    return tuple(
        replace(store.episode(row), other=None if other is None else store.episode(other).truth.frames)
        for row, other in data
    )


# ------------------------------------------------------------------------------------------------------ all stages


def evaluate(config: EvalConfig, *, command: Sequence[str] = (), prepared: Prepared | None = None) -> RunStore:
    """Rolls out, renders and scores; the run on disk is the result.

    Raises:
        WorldsimError: For anything a user can mend. What was committed stays; `resume=True` goes on.
    """
    ready = prepared or prepare(config)
    store = open_run(ready, command)
    seconds: dict[str, float] = dict(store.run["seconds"])
    try:
        for stage in ("rollout", "render", "score"):
            started = time.perf_counter()
            if stage == "rollout":
                if not rollout(ready, store):
                    raise WorldFailure(
                        "a world hung and its thread is lost; what was committed is safe. Go on with --resume: "
                        f"worldsim eval --resume --out {store.path}"
                    )
            elif stage == "render":
                render(ready, store)
            elif len(store.committed()) == len(ready.plan):
                score(store, ready.metrics, ready.config, workers=ready.config.workers)
            seconds[stage] = round(seconds.get(stage, 0.0) + time.perf_counter() - started, 2)
            store.update_run(seconds=seconds)
    except (KeyboardInterrupt, WorldsimError):
        with contextlib.suppress(StoreError):  # the disk may be what failed
            store.update_run(status="interrupted")
        raise
    finally:
        if isinstance(ready.model, Closeable):
            ready.model.close()
    return store
