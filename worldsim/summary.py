"""Rows of evidence -> rows of `summary.json` and `curves.jsonl`: value, floor, ceiling, skill, interval, coverage."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worldsim.certified import HOME, marks
from worldsim.estimators import Estimator, estimator, horizons_of, table, world_means
from worldsim.nulls import NULLS
from worldsim.protocols import Averaging, Guessing, Metric
from worldsim.seeding import hash_seed
from worldsim.stats import Interval, cluster_bootstrap, minimum_detectable_effect
from worldsim.types import MetricSpec, Observation

Float = NDArray[np.float64]
Rows = list[dict[str, object]]

ALL = "*"
CHANCE = "chance"  # the floor of a constant answer, beside the null battery
RESAMPLES_REDUCED = 200  # for metrics that must be reduced again on each resample: each costs milliseconds


def plain(value: float | None) -> float | None:
    """A float for JSON: None for NaN and infinities; ten digits, below which only the order of summation speaks."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.10g}") + 0.0  # + 0.0 turns -0.0 into 0.0


def summarise(
    metric: Metric, rows: Sequence[Observation], *, resamples: int = 2000, min_worlds: int = 10, env: str = HOME
) -> tuple[Rows, Rows]:
    """Summary rows and curve rows of one metric, per scenario and over all ("*"), per arm.

    Args:
        metric: Whose rows they are.
        rows: All sources; their order does not matter.
        resamples: Of the bootstrap over worlds, which floor, ceiling and skill share.
        min_worlds: With fewer worlds no point estimate is given, but a reason.
        env: Whose truth it was: a metric is certified in an environment.
    """
    ordered = sorted(rows, key=lambda r: (r.scenario, r.episode, r.source, r.arm, r.sample, r.event, r.delay or 0))
    summary: Rows = []
    curves: Rows = []
    for scenario in (ALL, *sorted({r.scenario for r in ordered})):
        own = [r for r in ordered if scenario in (ALL, r.scenario)]
        anchors = {
            source: [r for r in own if r.source == source]
            for source in sorted({r.source for r in own})
            if source != "model"
        }
        for index, arm in enumerate(sorted({r.arm for r in own if r.source == "model"})):
            sources = {"model": [r for r in own if r.source == "model" and r.arm == arm], **anchors}
            part = _Part(metric, scenario, arm, sources, resamples, min_worlds, env)
            summary.append(part.summary())
            curves += part.curves(anchors_too=index == 0)
            if scenario != ALL:
                curves += _episode_curves(metric, scenario, arm, sources["model"])
    return summary, curves


class _Part:
    """One scenario (or all) and one arm: every source on the same worlds, resampled together."""

    def __init__(
        self,
        metric: Metric,
        scenario: str,
        arm: str,
        sources: dict[str, list[Observation]],
        resamples: int,
        min_worlds: int,
        env: str,
    ) -> None:
        self.env = env
        self.metric, self.spec, self.scenario, self.arm = metric, metric.spec, scenario, arm
        self.rows, self.min_worlds = sources, min_worlds
        self.worlds = sorted({r.world for r in sources["model"]})
        self.horizons = horizons_of([r for rows in sources.values() for r in rows])
        self.names = list(sources)
        self.estimators = {name: estimator(metric, rows, self.worlds, self.horizons) for name, rows in sources.items()}
        self.model = self.estimators["model"]
        self._add_chance()
        codec = self.estimators.get("ceiling_codec")
        self.uses_codec = self.spec.pixel and codec is not None and codec.defined > 0
        self.ceiling_source = "ceiling_codec" if self.uses_codec else "ceiling"
        self.averaging = isinstance(metric, Averaging)
        self.floor_name = self._floor_name()
        self.floor_source = f"null:{self.floor_name}"
        self.point = self._statistic(np.ones((1, len(self.worlds))))[0]
        self.interval: Interval = cluster_bootstrap(
            self._statistic,
            len(self.worlds),
            seed=hash_seed("summary", self.spec.name, self.spec.version, scenario),
            resamples=resamples if self.averaging else min(resamples, RESAMPLES_REDUCED),
        )

    def _add_chance(self) -> None:
        """The best constant answer stands among the nulls: it knows as little, and may do better than they."""
        chance = self.metric.chance(self.rows["model"]) if isinstance(self.metric, Guessing) else None
        if chance is None:
            return
        self.names.append(f"null:{CHANCE}")
        self.rows = {**self.rows, self.names[-1]: []}
        self.estimators[self.names[-1]] = replace(
            self.model,
            value=lambda counts: np.full(len(counts), chance),
            curve=lambda counts: np.full((len(counts), len(self.horizons)), chance),
        )

    def _floor_name(self) -> str:
        """The null that did best on these worlds: the one that the spec names, unless another lies above it.

        So no null ever has skill above 0. The nulls do not depend on the model: on the same worlds every model has the
        same floor.
        """
        ones = np.ones((1, len(self.worlds)))
        sign = 1.0 if self.spec.higher_is_better else -1.0
        found = {
            name: sign * float(self.estimators[f"null:{name}"].value(ones)[0])
            for name in (self.spec.floor, *NULLS, CHANCE)  # the named one first: it wins ties
            if f"null:{name}" in self.names
        }
        known = {name: value for name, value in found.items() if math.isfinite(value)}
        return max(known, key=lambda name: plain(known[name]) or 0.0) if known else self.spec.floor

    # The statistic is one vector: [value of each source | skill of each source | curve of each source (H each)].
    def _statistic(self, counts: Float) -> Float:
        values = np.stack([self.estimators[name].value(counts) for name in self.names], axis=1)
        return np.concatenate([values, self._skills(values), *self._curve_columns(counts)], axis=1)

    def _skills(self, values: Float) -> Float:
        """(value - floor) / (ceiling - floor) of each source; NaN without both anchors."""
        if self.floor_source not in self.names or self.ceiling_source not in self.names:
            return np.full_like(values, np.nan)
        floor = values[:, [self.names.index(self.floor_source)]]
        gap = values[:, [self.names.index(self.ceiling_source)]] - floor
        enough = np.abs(gap) > 1e-12
        return np.asarray(np.where(enough, (values - floor) / np.where(enough, gap, 1.0), np.nan))

    def _curve_columns(self, counts: Float) -> list[Float]:
        if not self.averaging and len(counts) > 1:  # a curve for each resample would cost as much again
            return [np.full((len(counts), len(self.horizons)), np.nan) for _ in self.names]
        return [self.estimators[name].curve(counts) for name in self.names]

    def _value(self, name: str, skill: bool = False) -> float | None:
        if name not in self.names:
            return None
        return plain(float(self.point[self.names.index(name) + (len(self.names) if skill else 0)]))

    def summary(self) -> dict[str, object]:
        spec, model = self.spec, self.model
        value = self._value("model")
        reason: str | None = None
        if value is None:
            reason = _reasons(self.rows["model"])
        elif model.worlds < self.min_worlds:
            reason = f"too few worlds: {model.worlds} < {self.min_worlds}"
        shown = reason is None
        floor, ceiling = self._value(self.floor_source), self._value(self.ceiling_source)
        skill_reason = self._skill_reason(floor, ceiling)
        skilled = shown and skill_reason is None
        i = self.names.index("model")
        j = i + len(self.names)  # its skill
        low, high, error = self.interval.low, self.interval.high, self.interval.error
        return {
            "metric": spec.name,
            "version": spec.version,
            "family": spec.family,
            "scenario": self.scenario,
            "arm": self.arm,
            "value": value if shown else None,
            "low": plain(float(low[i])) if shown else None,
            "high": plain(float(high[i])) if shown else None,
            "n": model.defined,
            "n_worlds": model.worlds,
            "undefined": model.undefined,
            "coverage": plain(model.coverage),
            "pessimistic": self._pessimistic(floor) if shown else None,
            "floor": floor,
            "ceiling": self._value("ceiling"),
            "ceiling_codec": self._value("ceiling_codec"),
            "skill": self._value("model", skill=True) if skilled else None,
            "skill_low": plain(float(low[j])) if skilled else None,
            "skill_high": plain(float(high[j])) if skilled else None,
            "unit": spec.unit,
            "higher_is_better": spec.higher_is_better,
            **marks(spec.name, spec.version, self.env),
            "floor_name": self.floor_name,
            "ceiling_name": "codec" if self.uses_codec else "re-run",
            "nulls": {
                name: {
                    "value": self._value(f"null:{name}"),
                    "skill": self._value(f"null:{name}", skill=True) if skill_reason is None else None,
                }
                for name in (*NULLS, CHANCE)
                if f"null:{name}" in self.names
            },
            "range": [plain(spec.range[0]), plain(spec.range[1])],
            "headline": spec.headline,
            "pixel": spec.pixel,
            "reason": reason,
            "skill_reason": reason if not shown else skill_reason,
            "interval": self.interval.method,
            "mde": plain(minimum_detectable_effect(float(error[j]))) if skilled else None,
            "summary": spec.summary,
            "details": self._details() if shown else {},
        }

    def _details(self) -> dict[str, object]:
        """What the metric says beside its number: plain values only."""
        found = self.metric.reduce([r for r in self.rows["model"] if r.world in set(self.worlds)]).details
        return {name: plain(value) if isinstance(value, float) else value for name, value in found.items()}

    def _skill_reason(self, floor: float | None, ceiling: float | None) -> str | None:
        if floor is None:
            return "no floor: no null was scored"
        if ceiling is None:
            return "no ceiling was scored"
        if abs(ceiling - floor) < self.spec.power:
            return f"no power: floor and ceiling differ by less than {self.spec.power:g} {self.spec.unit}"
        return None

    def _pessimistic(self, floor: float | None) -> float | None:
        """The value if every undefined row had been at the floor."""
        value = self._value("model")
        if self.model.undefined == 0 or floor is None or value is None:
            return value if self.model.undefined == 0 else None
        if not isinstance(self.metric, Averaging):
            return plain(self.model.coverage * value + (1.0 - self.model.coverage) * floor)
        ones = np.ones((1, len(self.worlds)))
        cells = table(self.metric, self.rows[self.floor_source], self.worlds, self.horizons)
        fill = world_means(cells, ones)[0]
        filled = estimator(self.metric, self.rows["model"], self.worlds, self.horizons, fill)
        return plain(float(filled.value(ones)[0]))

    def curves(self, *, anchors_too: bool) -> Rows:
        out: Rows = []
        start, size = 2 * len(self.names), len(self.horizons)
        for k, name in enumerate(self.names):
            if name != "model" and not anchors_too:
                continue
            one: Estimator = self.estimators[name]
            for j, h in enumerate(self.horizons):
                at = start + k * size + j
                n = int(one.worlds_at[j])
                enough = n >= self.min_worlds
                out.append(
                    _curve_row(self.spec, self.scenario, name, self.arm if name == "model" else "free", ALL, int(h), n)
                    | {
                        "value": plain(float(self.point[at])) if enough else None,
                        "low": plain(float(self.interval.low[at])) if enough else None,
                        "high": plain(float(self.interval.high[at])) if enough else None,
                    }
                )
        return out


def _episode_curves(metric: Metric, scenario: str, arm: str, rows: Sequence[Observation]) -> Rows:
    """Each episode's own curve (the mean over its samples), without intervals."""
    own: dict[str, list[Observation]] = {}
    for r in rows:
        own.setdefault(r.episode, []).append(r)
    return [
        _curve_row(metric.spec, scenario, "model", arm, episode, h, 1) | {"value": plain(value)}
        for episode, mine in own.items()
        for h, value in sorted((metric.reduce(mine).curve or {}).items())
    ]


def _curve_row(
    spec: MetricSpec, scenario: str, source: str, arm: str, episode: str, h: int, n: int
) -> dict[str, object]:
    return {
        "metric": spec.name,
        "scenario": scenario,
        "source": source,
        "arm": arm,
        "episode": episode,
        "h": h,
        "value": None,
        "low": None,
        "high": None,
        "n": n,
    }


def _reasons(rows: Sequence[Observation]) -> str:
    counted = Counter(r.reason for r in rows if r.outcome is None and r.reason)
    named = [f"{reason} ({n})" for reason, n in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:3]]
    return "; ".join(named) or "no horizon decides it"
