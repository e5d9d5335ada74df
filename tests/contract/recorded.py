"""A few worlds of the certification set, recorded with the oracle, for metrics that a random walk cannot feed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from worldsim import evaluate
from worldsim.config import EvalConfig
from worldsim.protocols import EpisodeGroup
from worldsim.types import Scenario

#: Scenario of `envs/scenarios/blocks/certify.yaml` -> how many worlds of it. Seed 1 has all four labels of `identity`.
WORLDS = {
    "look_away": 4,
    "watch": 4,
    "process": 4,
    "place": 4,
    "there_and_back": 4,
    "told": 4,
    "explore": 2,
    "counterfactual": 2,
    "policy_panel": 2,
}
SEED = 1


def record(
    folder: Path, names: Sequence[str], worlds: int, seed: int = SEED, scenarios: str = "certify"
) -> dict[str, list[EpisodeGroup]]:
    """Groups of twins by scenario; the truth's snapshots, alternatives and rewards are what a run keeps."""

    def wanted(scenario: Scenario) -> bool:
        return scenario.name in names

    config = EvalConfig(
        model="worldsim/Oracle",
        scenarios=scenarios,
        episodes=worlds,
        seed=seed,
        metrics=("fidelity.l1",),
        out=folder,
        quiet=True,
    )
    prepared = evaluate.prepare(config, only=wanted)
    store = evaluate.open_run(prepared, ["test"])
    assert evaluate.rollout(prepared, store)
    evaluate.render(prepared, store)
    groups: dict[tuple[str, str], list[dict[str, object]]] = {}
    for row in store.done():
        groups.setdefault((row["scenario"], row["pair_id"]), []).append(row)
    out: dict[str, list[EpisodeGroup]] = {name: [] for name in names}
    for (scenario, _), rows in groups.items():
        ordered = sorted(rows, key=lambda r: r["variant"] != "main")
        out[scenario].append(tuple(store.episode(row) for row in ordered))
    return out


def all_groups(new_folder: Callable[[str], Path]) -> dict[str, list[EpisodeGroup]]:
    """Every scenario of `WORLDS`, one run for each number of worlds."""
    out: dict[str, list[EpisodeGroup]] = {}
    for count in sorted(set(WORLDS.values())):
        names = [name for name, n in WORLDS.items() if n == count]
        out |= record(new_folder(f"recorded-{count}") / "run", names, count)
    return out
