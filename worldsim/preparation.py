"""Before anything runs: names resolved, parts checked against each other, the run's folder opened."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsim import __version__, registry, suite
from worldsim.config import EvalConfig, digest, to_plain
from worldsim.errors import ConfigError, StoreError
from worldsim.fingerprint import fingerprint, utc_now
from worldsim.lane import PlannedEpisode, guard
from worldsim.plan import (
    Verdict,
    action_map,
    build_plan,
    check_split,
    choose_size,
    env_factory,
    fit_scenario,
    make_model,
    resolve_metrics,
    verdicts,
)
from worldsim.protocols import TruthEnv, WorldModel
from worldsim.store import RunStore, check_same
from worldsim.truth import Abilities
from worldsim.types import Scenario


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run whose names are resolved and whose parts fit together, before anything was rolled out.

    Attributes:
        config: The settings.
        model: The model under test.
        suite: Name, version and hash of the scenario set, and the frozen suite that the run is one of (or None).
        scenarios: With contexts long enough for the model.
        sizes: (H, W) of each scenario's frames.
        metrics: Metric classes.
        verdicts: What will be scored, and what will not.
        plan: Every intended episode.
        notes: Warnings in words.
        truth_seconds: Measured time of one step of each scenario's truth.
        abilities: Of each scenario's truth.
    """

    config: EvalConfig
    model: WorldModel
    suite: Mapping[str, Any]
    scenarios: tuple[Scenario, ...]
    sizes: tuple[tuple[int, int], ...]
    metrics: tuple[type[Any], ...]
    verdicts: tuple[Verdict, ...]
    plan: tuple[PlannedEpisode, ...]
    notes: tuple[str, ...]
    truth_seconds: tuple[float, ...]
    abilities: tuple[Abilities, ...]

    @property
    def truth_estimate(self) -> float:
        """Seconds that the truths alone will take; the model's own time comes on top."""
        episodes: dict[str, int] = defaultdict(int)
        for planned in self.plan:
            episodes[planned.scenario] += 1
        parts = zip(self.scenarios, self.truth_seconds, strict=True)
        return float(sum(episodes[s.name] * (s.context + s.horizon) * seconds for s, seconds in parts))


def prepare(config: EvalConfig, only: Callable[[Scenario], bool] | None = None) -> Prepared:
    """Resolves every name and checks that model, truth, scenarios and metrics fit.

    Args:
        config: The settings.
        only: Which scenarios of the set; None = all.

    Raises:
        WorldsimError: With what does not fit and what to do.
    """
    from worldsim.envs.scenarios import load_set

    if config.env not in registry.ENVS and ".py:" not in config.env:
        registry.ENVS.get(config.env)  # raises with the nearest name
    chosen = load_set(config.scenarios, env=config.env)
    metrics = resolve_metrics(config.metrics)
    model = make_model(config)
    scenarios = tuple(fit_scenario(s, model.spec) for s in chosen.scenarios if only is None or only(s))
    sizes = tuple(choose_size(config, s, model.spec) for s in scenarios)
    abilities, seconds, notes = [], [], []
    for scenario, size in zip(scenarios, sizes, strict=True):
        env = env_factory(config, scenario, size, isolate=config.isolate_envs)()
        try:
            abilities.append(env.abilities)
            seconds.append(_time_truth(env))
            action_map(env.action_space, model.spec)  # raises where the spaces do not fit
            fps = float(env.metadata.get("render_fps", 20))
            if model.spec.fps is not None and abs(model.spec.fps - fps) > 1e-6:
                notes.append(f"{scenario.name}: the model runs at {model.spec.fps:g} fps, the truth at {fps:g}")
        finally:
            env.close()
        wanted = tuple(scenario.env_kwargs.get("size", size))
        if wanted != size:
            notes.append(f"{scenario.name}: frames of {size[0]}x{size[1]} instead of {wanted[0]}x{wanted[1]}")
    plan = build_plan(config, scenarios)
    check_split(config, plan)
    frozen, note = suite.of_run(config, (chosen.name, chosen.hash), scenarios, sizes)
    notes += [note] if note else []
    return Prepared(
        config=config,
        model=model,
        suite={"name": chosen.name, "version": chosen.version, "hash": chosen.hash, "frozen": frozen},
        scenarios=scenarios,
        sizes=sizes,
        metrics=tuple(metrics),
        verdicts=tuple(verdicts(scenarios, [m.spec for m in metrics], abilities)),
        plan=tuple(plan),
        notes=tuple(dict.fromkeys(notes)),
        truth_seconds=tuple(seconds),
        abilities=tuple(abilities),
    )


def _time_truth(env: TruthEnv) -> float:
    """Seconds of one step, best of three: compilation and first touches must not count."""
    from worldsim.envs.actions import noop

    guard("truth", env.reset, seed=0)
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        guard("truth", env.step, noop(env.action_space))
        guard("truth", env.truth)
        best = min(best, time.perf_counter() - started)
    return best


def open_run(prepared: Prepared, command: Sequence[str]) -> RunStore:
    """The run's folder: a new one, or with `resume` the one that is there."""
    config = prepared.config
    path = config.out or Path("runs") / _run_name(prepared)
    exists = (path / "run.json").exists()
    if exists and (config.resume or config.shard != "1/1"):
        store = RunStore.open(path)
        check_same(store.config, config)
        if store.run["suite"]["hash"] != prepared.suite["hash"]:
            raise ConfigError(
                f"{path} was started with another version of the scenario set {prepared.suite['name']!r}; "
                "start a new run, or go back to the version of worldsim that started it"
            )
        return store
    if config.resume and not exists and not (path / "config.yaml").exists():  # with it, the start itself was killed
        raise StoreError(f"nothing to resume: {path} is not a run")
    spec = prepared.model.spec
    return RunStore.create(
        path,
        config,
        prepared.plan,
        {
            "worldsim": __version__,
            "command": list(command),
            "created": utc_now(),
            "finished": None,
            "seconds": {},
            "config_sha256": digest(to_plain(config)),
            "suite": dict(prepared.suite),
            "model": {
                "name": spec.name,
                "reference": config.model,
                "privileged": spec.privileged,
                "spec": {f.name: _plain(getattr(spec, f.name)) for f in dataclasses.fields(spec)},
            },
            "env": {"id": config.env, "args": dict(config.env_args)},
            "scenario_set": prepared.suite["name"],
            "scenarios": [
                {
                    "name": s.name,
                    "summary": s.summary,
                    "env": s.env,
                    "env_kwargs": dict(s.env_kwargs),
                    "controller": s.controller,
                    "context": s.context,
                    "horizon": s.horizon,
                    "size": list(size),
                    "probes": sorted(s.probes),
                }
                for s, size in zip(prepared.scenarios, prepared.sizes, strict=True)
            ],
            "seed": config.seed,
            "episodes": config.episodes,
            "fingerprint": fingerprint(),
            "notes": list(prepared.notes),
            "scored": [dataclasses.asdict(v) for v in prepared.verdicts],
            "counts": {"planned": len(prepared.plan), "done": 0, "failed": 0, "aborted": 0},
        },
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else str(value)


def _run_name(prepared: Prepared) -> str:
    stamp = utc_now().replace("-", "").replace(":", "").replace("T", "-")[:15]
    model = "".join(c if c.isalnum() or c in "-." else "-" for c in prepared.model.spec.name.split("/")[-1])
    return f"{stamp}_{prepared.suite['name']}_{model}_{digest(to_plain(prepared.config))[:4]}"
