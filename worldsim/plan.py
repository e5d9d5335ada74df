"""From settings to a plan: names resolved, sizes chosen, and what will be scored and why not, before anything runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worldsim import registry, seeding
from worldsim.config import EvalConfig, parse_shard
from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.lane import PlannedEpisode
from worldsim.protocols import TruthEnv, WorldModel
from worldsim.truth import Abilities
from worldsim.types import MetricSpec, ModelSpec, Scenario
from worldsim.worker_env import in_worker

#: The families of worldsim's own metrics: a scenario names those it is made for. Others are scored everywhere.
FAMILIES = frozenset(
    {
        *("fidelity", "geometry", "permanence", "interaction", "coherence", "control"),
        *("distribution", "text", "policy"),
    }
)
NOT_MADE_FOR = "the scenario is not made for"
_STATE_FIELDS = frozenset({"world_from_camera", "intrinsics", "depth", "segmentation", "objects", "cells", "events"})


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a metric can be scored on a scenario; `reason` says why not."""

    metric: str
    scenario: str
    scored: bool
    reason: str | None = None


def resolve_metrics(names: Sequence[str]) -> list[type[Any]]:
    """Metric classes by name or family; none given = all registered but those that need a file of weights."""
    known = registry.METRICS.names()
    families = {name.split(".")[0] for name in known}
    chosen: list[str] = []
    for name in names or [k for k in known if not k.startswith("learned.")]:
        matches = [k for k in known if k == name or k.split(".")[0] == name]
        if not matches and ".py:" in name:
            matches = [name]
        if not matches:
            raise UnknownNameError(
                f"no metric or family is called {name!r}.{nearest(name, [*known, *families])} "
                "`worldsim ls metrics` lists them."
            )
        chosen += [m for m in matches if m not in chosen]
    return [registry.METRICS.get(name) for name in chosen]


def make_model(config: EvalConfig) -> WorldModel:
    """Builds the model of a run.

    Raises:
        ConfigError: If its arguments do not fit, or it lacks the methods of a WorldModel.
    """
    if not config.model:
        raise ConfigError("no model was named: --model worldsim/Oracle, or --model path/to/file.py:Name")
    factory = registry.MODELS.get(config.model)
    model = _construct(factory, config.model_args, f"model {config.model}")
    missing = [name for name in ("spec", "reset", "step") if not hasattr(model, name)]
    if missing or not isinstance(getattr(model, "spec", None), ModelSpec):
        what = f"lacks {', '.join(missing)}" if missing else "has a `spec` that is not a worldsim.ModelSpec"
        raise ConfigError(f"model {config.model} {what}; `worldsim check model {config.model}` names every clause")
    return model  # type: ignore[no-any-return]


def env_factory(
    config: EvalConfig, scenario: Scenario, size: tuple[int, int], *, isolate: bool = False
) -> Callable[[], TruthEnv]:
    """Builds truths of a scenario at a size; with `isolate` each in a process of its own."""
    maker = registry.ENVS.get(scenario.env)
    kwargs = {**scenario.env_kwargs, **config.env_args, "size": size}

    def build() -> TruthEnv:
        if isolate:
            return in_worker(scenario.env, kwargs, config.step_timeout)
        env: TruthEnv = _construct(maker, kwargs, f"environment {scenario.env}")
        return env

    return build


def choose_size(config: EvalConfig, scenario: Scenario, spec: ModelSpec) -> tuple[int, int]:
    """(H, W) of a scenario's frames: what was asked, else the scenario's, else the model's first.

    Raises:
        ConfigError: If what was asked does not fit the model.
    """
    wanted = config.size or tuple(scenario.env_kwargs.get("size", (64, 64)))
    size = (int(wanted[0]), int(wanted[1]))
    if spec.sizes is None or size in spec.sizes:
        return size
    if config.size is not None:
        known = ", ".join(f"{h}x{w}" for h, w in spec.sizes)
        raise ConfigError(f"{spec.name} does not support {size[0]}x{size[1]}; it supports {known}")
    return spec.sizes[0]


def fit_scenario(scenario: Scenario, spec: ModelSpec) -> Scenario:
    """The scenario with a context that is long enough for the model."""
    if scenario.context == 0 and not spec.accepts_text:
        raise ConfigError(f"scenario {scenario.name} starts from text alone, and {spec.name} does not accept text")
    return replace(scenario, context=max(scenario.context, spec.context_length))


def action_map(env_space: Any, spec: ModelSpec) -> Callable[[Any], Any]:
    """From the truth's actions to the model's; the identity when the model takes any action or the same ones."""
    if spec.action_space is None or spec.action_space == env_space:
        return lambda actions: actions
    from worldsim.envs.actions import find_map

    return find_map(env_space, spec.action_space)


def probed(scenario: Scenario, spec: MetricSpec) -> bool:
    """Whether a scenario is made for a metric: its family is among the probes, or is none of worldsim's own."""
    return not scenario.probes or spec.family not in FAMILIES or spec.family in scenario.probes


def verdicts(
    scenarios: Sequence[Scenario], specs: Sequence[MetricSpec], abilities: Sequence[Abilities]
) -> list[Verdict]:
    """One verdict a metric and scenario, from what the truth can tell; `abilities` one a scenario."""
    out = []
    for scenario, able in zip(scenarios, abilities, strict=True):
        for spec in specs:
            lacking = sorted((spec.requires & _STATE_FIELDS) - able.truth)
            reason = f"the truth gives no {', '.join(lacking)}" if lacking else None
            asked = {r.removeprefix("event:") for r in spec.requires if r.startswith("event:")}
            drawn = {p.name for p in scenario.branches} | {v.name for v in scenario.views}
            if "branches" in spec.requires and not drawn:
                reason = "the scenario has no branches"
            elif asked and not asked & drawn:
                reason = f"the scenario does not ask about {' or '.join(sorted(asked))}"
            if "pairs" in spec.requires and not scenario.sham:
                reason = "the scenario has no sham twin"
            if "variants" in spec.requires and not scenario.variants:
                reason = "the scenario has no variants"
            if not probed(scenario, spec):
                reason = f"{NOT_MADE_FOR} {spec.family}"
            out.append(Verdict(metric=spec.name, scenario=scenario.name, scored=reason is None, reason=reason))
    return out


def reasons_of(verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    """Why one metric is not scored -> in which scenarios; that a scenario was made for something else is no news."""
    out: dict[str, list[str]] = defaultdict(list)
    for v in verdicts:
        if not v.scored and not (v.reason or "").startswith(NOT_MADE_FOR):
            out[v.reason or ""].append(v.scenario)
    return out


def build_plan(config: EvalConfig, scenarios: Sequence[Scenario]) -> list[PlannedEpisode]:
    """Every intended episode, in order; batches ("groups") depend on the plan alone, so that resuming repeats them."""
    plan: list[PlannedEpisode] = []
    group = -1
    for scenario in scenarios:
        names = scenario.variant_names
        point = scenario.balanced
        labels = point.balance if point else ("",)
        entries = [(i, k) for i in range(config.episodes) for k in range(len(names))]
        for position, (i, k) in enumerate(entries):
            variant = names[k]
            group += position % config.batch == 0
            seeds = seeding.episode_seeds(config.seed, scenario.env, scenario.name, i, config.split)
            pair = f"{scenario.name}-{i:04d}"
            plan.append(
                PlannedEpisode(
                    episode=pair if variant == "main" else f"{pair}-{variant}",
                    scenario=scenario.name,
                    index=i,
                    variant=variant,
                    pair_id=pair,
                    group=group,
                    world_seed=seeds.world,
                    dynamics_seed=seeds.dynamics,
                    controller_seed=seeds.controller,
                    model_seed=seeds.model,
                    label=labels[(i + k) % len(labels)],
                )
            )
    return plan


def groups_of(plan: Sequence[PlannedEpisode], shard: str) -> list[list[PlannedEpisode]]:
    """The batches of a shard's part of the plan: whole groups, dealt in turn."""
    part, total = parse_shard(shard)
    groups: dict[int, list[PlannedEpisode]] = {}
    for planned in plan:
        if planned.group % total == part - 1:
            groups.setdefault(planned.group, []).append(planned)
    return list(groups.values())


def check_split(config: EvalConfig, plan: Sequence[PlannedEpisode]) -> None:
    """Raises ConfigError if any world of the plan belongs to another split: no leak from training to results."""
    strangers = [p.episode for p in plan if seeding.split_of(p.world_seed) != config.split]
    if strangers:
        raise ConfigError(
            f"worlds of other splits than {config.split!r} in the plan: {', '.join(strangers[:3])}"
            f"{' ...' if len(strangers) > 3 else ''}"
        )


def _construct(factory: Callable[..., Any], kwargs: Any, what: str) -> Any:
    import inspect

    try:
        inspect.signature(factory).bind(**kwargs)
    except TypeError as error:
        try:
            known = ", ".join(inspect.signature(factory).parameters)
        except (TypeError, ValueError):
            known = "unknown"
        raise ConfigError(f"{what}: {error}. It takes: {known or 'no arguments'}") from error
    except ValueError:
        pass  # some built-in callables have no signature
    return factory(**kwargs)
