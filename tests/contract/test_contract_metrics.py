"""Every registered metric keeps the contract of `Metric`, on episodes that have what it asks about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.contract.recorded import SEED, WORLDS, all_groups
from tests.metrics import tiny_weights as tiny
from tests.metrics.solid import PATHS, episode, walk
from tests.metrics.test_distribution_metrics import episode as clip
from tests.toys import ToyEnv
from worldsim.checks import check_metric
from worldsim.envs.scenarios import load_set
from worldsim.metrics.sets import MIN_WORLDS
from worldsim.plan import probed
from worldsim.protocols import EpisodeGroup
from worldsim.registry import METRICS

#: Metrics and families that a random walk cannot feed -> the recorded scenarios that do.
RECORDED: dict[str, tuple[str, ...]] = {
    "permanence.identity": ("look_away",),
    "permanence.gap": ("look_away", "watch"),
    "permanence.evolution": ("process",),
    "interaction": ("place",),
    "text": ("told",),
    "coherence.place": ("there_and_back",),
    "coherence": ("explore",),
    "control.motion": ("explore",),
    "control.idm": ("explore",),
    "control": ("counterfactual",),
    "policy": ("policy_panel",),
}
#: Clauses that a metric is known not to keep: no picture is the text itself, so that 2.5 is never reached.
BROKEN = {"learned.clipscore": {"the truth is best"}}


@dataclass(frozen=True, kw_only=True)
class Material:
    """What metrics are checked on."""

    recorded: dict[str, list[EpisodeGroup]]
    near: list[EpisodeGroup]  # short walks at 64x64
    walks: list[EpisodeGroup]  # 128x128, for what needs many matches
    clips: list[EpisodeGroup]  # as many as a set needs
    learned: dict[str, Any]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    paths = [walk(seed, PATHS[way], 6, size=128) for seed, way in ((0, "turn"), (1, "curve"))]
    near = [walk(seed, PATHS["arc"], 8) for seed in range(2)]
    return Material(
        recorded=all_groups(tmp_path_factory.mktemp),
        near=[(episode(f, states, f, seed=k, context=2),) for k, (f, states) in enumerate(near)],
        walks=[(episode(f, states, f, seed=k, context=2),) for k, (f, states) in enumerate(paths)],
        clips=[(clip(w),) for w in range(MIN_WORLDS + 1)],
        learned=tiny.tiny_metrics(tmp_path_factory.mktemp("weights")),
    )


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.forget_variables(monkeypatch)


def fed_with(name: str, material: Material) -> Sequence[EpisodeGroup] | None:
    """The groups that a metric is checked on; None = random walks."""
    family = name.split(".")[0]
    if name in ("geometry.tsed", "geometry.self_pose"):
        return material.walks
    if family == "distribution":
        return material.clips
    if name in ("geometry.reprojection", "learned.met3r"):
        return material.near
    if name == "learned.clipscore":
        return material.recorded["told"]
    names = RECORDED.get(name, RECORDED.get(family))
    return None if names is None else [g for n in names for g in material.recorded[n]]


@pytest.mark.parametrize("name", METRICS.names())
def test_every_registered_metric_keeps_the_contract(name: str, material: Material) -> None:
    metric = material.learned.get(name) or METRICS.get(name)
    report = check_metric(metric, env=lambda: ToyEnv(size=(32, 32)), episodes=fed_with(name, material))
    assert {c.name for c in report.failures} == BROKEN.get(name, set()), str(report)
    if name not in BROKEN:  # no clause was passed over: the truth is best, and the floor was below it
        assert [c.name for c in report.clauses if c.status != "pass"] == [], str(report)


@pytest.mark.parametrize("name", sorted({n for names in RECORDED.values() for n in names}))
def test_what_a_metric_is_fed_with_is_made_for_it(name: str, material: Material) -> None:
    scenario = next(s for s in load_set("certify").scenarios if s.name == name)
    assert len(material.recorded[name]) == WORLDS[name]
    assert all(len(group) == len(scenario.variant_names) for group in material.recorded[name])
    for metric, names in RECORDED.items():
        if name in names:
            known = [METRICS.get(n).spec for n in METRICS.names() if n == metric or n.split(".")[0] == metric]
            assert known and all(probed(scenario, spec) for spec in known), metric


def test_rewards_are_told_where_the_truth_is_shown(material: Material) -> None:
    """A policy metric without the truth's rewards would call the truth itself blind."""
    groups = material.recorded["policy_panel"]
    assert all(e.truth.rewards is not None and e.generated[0].trajectory.rewards is not None for g in groups for e in g)
    blind = check_metric(METRICS.get("policy.spearman"), episodes=[_without(g) for g in groups])
    assert not blind.ok


def _without(group: EpisodeGroup) -> EpisodeGroup:
    return tuple(replace(e, truth=replace(e.truth, rewards=None)) for e in group)


def test_the_recorded_worlds_hold_every_label(material: Material) -> None:
    """Else a clause would pass because nothing was asked."""
    for scenario in ("look_away", "watch"):
        labels = {e.label for g in material.recorded[scenario] for e in g}
        assert labels == {"present", "absent", "moved", "altered"}, (scenario, SEED)
    assert {e.label for g in material.recorded["process"] for e in g} == {"advanced", "stopped"}
    told = [{e.label for e in g} for g in material.recorded["told"]]
    assert all(len(pair) == 2 for pair in told) and set().union(*told) == {"red", "yellow", "green", "blue"}
