"""Policy evaluation: does the simulator's account of a policy's return tell good policies from bad ones?

Thin classes over `worldsim.metrics.functional.policy`. The policies are the variants of a scenario: each plays from the
same starts, and the return of the model's account (the sum of the rewards that it told) is compared with the truth's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsim.metrics.base import row_of
from worldsim.metrics.functional import policy as functional
from worldsim.protocols import EpisodeGroup
from worldsim.types import Episode, MetricSpec, Observation, Rollout, Score, Trajectory

Float = NDArray[np.float64]

_UNDEFINED = (
    "one policy only: no panel",
    "no predicted frame",
    "the truth tells no rewards",
    "the anchor carries no rewards",
    "fewer than 8 policies",
    "fewer than 2 starts",
    "all policies are equally good in the truth",
)
_SENSITIVE = frozenset({"optimistic-reward", "drop"})
# What is only painted wrong does not change what is paid.
_PICTURE = frozenset(
    {"blur", "noise", "tint", "jpeg", "colour-fade", "flattened-parallax", "sliding-layer", "pose-jitter", "yaw-drift"}
    | {"reseed", "frame-shuffle", "freeze", "replay-context", "pan-by-itself", "fade-to-mean", "always-the-object"}
    | {"swap"}
)


def told_return(trajectory: Trajectory, first: int, last: int) -> float | None:
    """Sum of the rewards of the steps that led to frames first..last; None if there are no rewards at all.

    Rewards after the end that the trajectory itself tells do not count; one that is not finite pays nothing, for a
    simulator cannot get out of the comparison by telling NaN.
    """
    if trajectory.rewards is None:
        return None
    end = min(last, trajectory.last_valid_frame)
    told = np.asarray(trajectory.rewards[first - 1 : max(end, first - 1)], dtype=np.float64)
    return float(np.where(np.isfinite(told), told, 0.0).sum())


class PolicyMetric:
    """Base of the scores of a panel. Subclasses give `spec` and `score`."""

    spec: ClassVar[MetricSpec]

    def score(self, truth: Float, model: Float) -> float:
        """The score of (P,) mean returns; the truth's are not all equal."""
        raise NotImplementedError(f"{type(self).__name__} needs a method score(truth, model) -> float")

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """One row for each policy and rollout: the model's return, with the truth's in the details."""
        panel = len({episode.variant for episode in group}) > 1
        return [self._row(e, rollout, source, panel) for e in group for rollout in e.generated]

    def _row(self, episode: Episode, rollout: Rollout, source: str, panel: bool) -> Observation:
        first, last = max(episode.context_length, 1), episode.truth.last_valid_frame
        outcome: float | None = None
        reason: str | None = None
        true = told_return(episode.truth, first, last)
        if not panel:
            reason = "one policy only: no panel"
        elif first > last:
            reason = "no predicted frame"
        elif true is None:
            reason = "the truth tells no rewards"
        else:
            outcome = told_return(rollout.trajectory, first, last)
            if outcome is None and source.startswith("ceiling"):
                reason = "the anchor carries no rewards"  # a recording without them says nothing of the truth's
            elif outcome is None:
                outcome = 0.0  # a model that tells no rewards pays nothing for anything
        return row_of(
            self.spec.name,
            episode,
            rollout,
            source,
            outcome=outcome,
            reason=reason,
            details={"truth": true, "tells": rollout.trajectory.rewards is not None, "steps": max(last - first + 1, 0)},
        )

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """The score of each panel (scenario), then their mean; a panel that decides nothing leaves its reason."""
        panels: dict[str, list[Observation]] = defaultdict(list)
        for r in rows:
            if r.outcome is not None:
                panels[r.scenario].append(r)
        values, policies, reasons = {}, {}, {r.reason for r in rows if r.reason}
        for scenario in sorted(panels):
            found = _panel(panels[scenario])
            if isinstance(found, str):
                reasons.add(found)
                continue
            names, truth, model = found
            values[scenario] = self.score(truth, model)
            policies[scenario] = {
                name: {"truth": float(t), "model": float(m)} for name, t, m in zip(names, truth, model, strict=True)
            }
        if not values:
            return Score(value=None, unit=self.spec.unit, reason="; ".join(sorted(reasons)) or "no observations")
        value = float(np.mean(list(values.values())))
        return Score(value=value, unit=self.spec.unit, details={"panels": values, "policies": policies})


def _panel(rows: Sequence[Observation]) -> tuple[list[str], Float, Float] | str:
    """Names (P,), true and told mean returns (P,) over starts, or why the truth's side decides nothing."""
    cells: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for r in sorted(rows, key=lambda r: (r.world, r.episode, r.arm, r.sample)):  # sums depend on their order
        cells[r.variant][r.world].append((float(r.details["truth"]), float(r.outcome or 0.0)))
    if len(cells) < functional.MIN_POLICIES:
        return f"fewer than {functional.MIN_POLICIES} policies"
    if len({r.world for r in rows}) < functional.MIN_STARTS:
        return f"fewer than {functional.MIN_STARTS} starts"
    names = sorted(cells)
    # Samples within starts first, then starts. Means that are equal must be equal to the last bit, or ties would be
    # broken by the order of summation.
    means = np.array([np.mean([np.mean(own, axis=0) for own in cells[name].values()], axis=0) for name in names])
    truth, model = means.round(10).T
    if np.ptp(truth) == 0.0:
        return "all policies are equally good in the truth"
    return names, truth, model


def _of_correlation(value: NDArray[np.float64]) -> float:
    """A simulator that pays the same for every policy knows nothing of them: 0, not undefined."""
    return float(value) if np.isfinite(value) else 0.0


class Spearman(PolicyMetric):
    """Rank correlation of told and true returns over policies."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="policy.spearman",
        version=1,
        unit="1",
        range=(-1.0, 1.0),
        higher_is_better=True,
        floor="frozen",
        requires=frozenset({"variants", "rewards"}),
        undefined=_UNDEFINED,
        sensitive=_SENSITIVE,
        invariant=_PICTURE,
        source="Pearson's r of the ranks of mean returns, ties sharing their mean rank",
        summary="Does it rank policies as the truth does?",
        power=0.5,
    )

    def score(self, truth: Float, model: Float) -> float:
        """See `functional.policy.spearman`; 0 where the model pays all policies the same."""
        return _of_correlation(functional.spearman(truth, model))


class Pearson(PolicyMetric):
    """Linear correlation of told and true returns over policies."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="policy.pearson",
        version=1,
        unit="1",
        range=(-1.0, 1.0),
        higher_is_better=True,
        floor="frozen",
        requires=frozenset({"variants", "rewards"}),
        undefined=_UNDEFINED,
        sensitive=_SENSITIVE,
        invariant=_PICTURE,
        source="Pearson's r of mean returns",
        summary="Do the returns that it tells rise and fall with the true ones?",
        headline=False,
        power=0.5,
    )

    def score(self, truth: Float, model: Float) -> float:
        """See `functional.policy.pearson`; 0 where the model pays all policies the same."""
        return _of_correlation(functional.pearson(truth, model))


class Mmrv(PolicyMetric):
    """Mean maximum rank violation."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="policy.mmrv",
        version=1,
        unit="reward",
        range=(0.0, np.inf),
        higher_is_better=False,
        floor="frozen",
        requires=frozenset({"variants", "rewards"}),
        undefined=_UNDEFINED,
        sensitive=_SENSITIVE,
        invariant=_PICTURE,
        source="Li et al. 2024 (SIMPLER), section IV",
        summary="How much true return does a wrong order of policies cost?",
        headline=False,
        power=0.02,
    )

    def score(self, truth: Float, model: Float) -> float:
        """See `functional.policy.mmrv`."""
        return float(functional.mmrv(truth, model))


class Bias(PolicyMetric):
    """Size of the mean difference of told and true returns."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="policy.bias",
        version=1,
        unit="reward",
        range=(0.0, np.inf),
        higher_is_better=False,
        floor="frozen",
        requires=frozenset({"variants", "rewards"}),
        undefined=_UNDEFINED,
        sensitive=_SENSITIVE,
        invariant=_PICTURE,
        source="|mean over policies of told - true mean return|",
        summary="How far, on average, is the return that it tells from the true one?",
        headline=False,
        power=0.02,
    )

    def score(self, truth: Float, model: Float) -> float:
        """See `functional.policy.bias`; its size, for too kind is no better than too harsh."""
        return abs(float(functional.bias(truth, model)))

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """As for all; the details also tell the sign of each panel: above 0 = too kind."""
        score = super().reduce(rows)
        if score.value is None:
            return score
        signed = {
            scenario: float(np.mean([p["model"] - p["truth"] for p in panel.values()]))
            for scenario, panel in score.details["policies"].items()
        }
        return Score(value=score.value, unit=score.unit, details={**score.details, "signed": signed})


class Regret(PolicyMetric):
    """True return lost by taking the policy that the simulator pays best."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="policy.regret",
        version=1,
        unit="reward",
        range=(0.0, np.inf),
        higher_is_better=False,
        floor="frozen",
        requires=frozenset({"variants", "rewards"}),
        undefined=_UNDEFINED,
        sensitive=_SENSITIVE,
        invariant=_PICTURE,
        source="max over policies of true return - true return of the best in the model (mean over ties)",
        summary="What is lost by choosing a policy in it?",
        headline=False,
        power=0.02,
    )

    def score(self, truth: Float, model: Float) -> float:
        """See `functional.policy.regret`."""
        return float(functional.regret(truth, model))
