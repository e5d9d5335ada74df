"""One cell of the response matrix: what a fault does to a metric, and whether that is what was expected.

A "+" cell needs a score that falls with the severity (permutation of severities within worlds on the isotonic fit, p
below 0.01) and loses at least 0.2 skill at the top. A "0" cell passes an equivalence test: the 90 % interval of the
difference in skill to the oracle, worlds resampled, lies within 0.05. "~" cells are measured. Skill is counted on the
metric's own anchors: 0 = the null that does best on these worlds (or the best constant answer), 1 = the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.equivalence import tost_from_bootstrap
from worldsim.estimators import estimator, horizons_of, table, world_means
from worldsim.protocols import Averaging, Metric
from worldsim.seeding import generator, hash_seed
from worldsim.summary import plain, summarise
from worldsim.trend import permuted_trend
from worldsim.types import Observation

Float = NDArray[np.float64]
Rows = Sequence[Observation]

NOT_APPLICABLE = "n/a"  # a verdict: it could not be tried in this truth
P_TREND, EFFECT, MARGIN, P_EQUAL = 0.01, 0.2, 0.05, 0.05
RESAMPLES, RESAMPLES_REDUCED = 2000, 300
PERMUTATIONS, PERMUTATIONS_REDUCED = 999, 149


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """Where skill 0 and 1 lie on these worlds.

    Attributes:
        floor, ceiling: Values, or None where they are not defined.
        floor_name: The null that does best.
        nulls: Name -> {"value", "skill"} of each null.
        reason: Why there is no skill, or None.
        worlds: Worlds behind the ceiling.
    """

    floor: float | None
    ceiling: float | None
    floor_name: str
    nulls: Mapping[str, Mapping[str, float | None]]
    reason: str | None
    worlds: int

    @property
    def gap(self) -> float:
        """Ceiling minus floor; NaN without both."""
        if self.floor is None or self.ceiling is None or self.reason is not None:
            return float("nan")
        return self.ceiling - self.floor


def anchors_of(metric: Metric, rows: Rows) -> Anchors:
    """Floor and ceiling from the rows of the nulls and of the truth ("ceiling")."""
    from dataclasses import replace

    oracle = [replace(r, source="model") for r in rows if r.source == "ceiling"]
    summary, _ = summarise(metric, [*oracle, *rows], resamples=20)
    row = next((r for r in summary if r["scenario"] == "*"), None)
    if row is None:
        return Anchors(floor=None, ceiling=None, floor_name=metric.spec.floor, nulls={}, reason="no rows", worlds=0)
    return Anchors(
        floor=row["floor"],  # type: ignore[arg-type]
        ceiling=row["ceiling"],  # type: ignore[arg-type]
        floor_name=str(row["floor_name"]),
        nulls=row["nulls"],  # type: ignore[arg-type]
        reason=row["reason"] or row["skill_reason"],  # type: ignore[arg-type]
        worlds=int(row["n_worlds"]),  # type: ignore[call-overload]
    )


class Levels:
    """One metric's rows at several severities of one fault, the oracle's first, on the same worlds."""

    def __init__(self, metric: Metric, levels: Sequence[Rows]) -> None:
        """Takes the rows of each level; worlds that any level does not decide are left out of all."""
        self.metric = metric
        decided = [{r.world for r in rows if r.outcome is not None} for rows in levels]
        shared = set.intersection(*decided) if decided else set()
        self.worlds = sorted(shared)
        self.rows = [[r for r in rows if r.world in shared] for rows in levels]
        self.horizons = horizons_of([r for rows in self.rows for r in rows])
        self.averaging = isinstance(metric, Averaging)

    def values(self, level: int, counts: Float) -> Float:
        """The score of one level for how often each world is counted: (R, W) -> (R,); NaN = undefined."""
        return estimator(self.metric, self.rows[level], self.worlds, self.horizons).value(counts)

    def same(self, level: int) -> bool:
        """Whether a level's evidence is the oracle's, number for number."""
        return _evidence(self.rows[level]) == _evidence(self.rows[0])

    def point(self, level: int) -> float:
        """The score of one level."""
        return float(self.values(level, np.ones((1, len(self.worlds))))[0]) if self.worlds else float("nan")

    def statistic(self, assignment: NDArray[np.int64]) -> Float:
        """The score of each level when world w gives it the rows of severity `assignment[level, w]`."""
        if isinstance(self.metric, Averaging):
            if not hasattr(self, "_tables"):
                self._tables = np.stack(
                    [table(self.metric, rows, self.worlds, self.horizons) for rows in self.rows]
                )  # (L, W, H, K)
            ones, index = np.ones((1, len(self.worlds))), np.arange(len(self.worlds))
            cells = [self._tables[assignment[k], index] for k in range(len(assignment))]
            return np.array([self.metric.finish(world_means(c, ones), self.horizons)[0] for c in cells])
        if not hasattr(self, "_by_world"):
            at = {w: i for i, w in enumerate(self.worlds)}
            self._by_world: list[list[list[Observation]]] = [[[] for _ in self.worlds] for _ in self.rows]
            for level, rows in enumerate(self.rows):
                for r in rows:
                    self._by_world[level][at[r.world]].append(r)
        out = []
        for picked in assignment:
            rows = [r for w, level in enumerate(picked) for r in self._by_world[level][w]]
            value = self.metric.reduce(rows).value
            out.append(np.nan if value is None else value)
        return np.array(out)


def _evidence(rows: Rows) -> list[tuple[object, ...]]:
    return sorted(
        (r.episode, r.event, r.delay or 0, repr(r.outcome), repr(sorted(r.details.items(), key=lambda i: i[0])))
        for r in rows
    )


def judge_cell(
    metric: Metric,
    anchors: Anchors,
    fault: str,
    expected: str,
    severities: Sequence[float],
    levels: Sequence[Rows],
    lacking: str | None = None,
) -> dict[str, object]:
    """A row of `matrix.json`.

    Args:
        metric: An instance.
        anchors: Of the metric.
        fault: Its name.
        expected: "+", "0" or "~".
        severities: Of `levels[1:]`, ascending.
        levels: Rows at severity 0 (the oracle's), then at each of `severities`.
        lacking: Why the cell cannot be tried in this truth (see `worldsim.certify.lacking`), or None.
    """
    out: dict[str, object] = {
        "fault": fault,
        "metric": metric.spec.name,
        "family": metric.spec.family,
        "expected": expected,
        "tau": None,
        "trend_p": None,
        "effect": None,
        "tost_low": None,
        "tost_high": None,
        "n_worlds": 0,
        "verdict": "measured" if expected == "~" else "fail",
        "reason": None,
        "severities": [float(s) for s in severities],
        "skills": [],
    }
    if lacking is not None:
        return out | {"verdict": NOT_APPLICABLE, "reason": lacking}
    data = Levels(metric, levels)
    out["n_worlds"] = len(data.worlds)
    gap = anchors.gap
    if not np.isfinite(gap) or not data.worlds:
        out["reason"] = anchors.reason or "no world was scored at every severity"
        return out
    points = [data.point(k) for k in range(len(levels))]
    skills = [(v - (anchors.floor or 0.0)) / gap for v in points]
    out["skills"] = [plain(s) for s in skills]
    if not np.isfinite(points).all():
        out["reason"] = "undefined at a severity"
        return out
    out["effect"] = plain(skills[0] - skills[-1])
    seed = hash_seed("certify", metric.spec.name, fault)
    if expected == "+":
        trend = permuted_trend(
            data.statistic,
            len(levels),
            len(data.worlds),
            seed=seed,
            permutations=PERMUTATIONS if data.averaging else PERMUTATIONS_REDUCED,
            rising=gap < 0,
        )
        out |= {"tau": None if trend.tau is None else plain(trend.tau), "trend_p": plain(trend.p)}
        passed = trend.p is not None and trend.p < P_TREND and skills[0] - skills[-1] >= EFFECT
        out["verdict"] = "pass" if passed else "fail"
        if not passed:
            out["reason"] = f"p {trend.p:.3g}, effect {skills[0] - skills[-1]:.3f}" if trend.p is not None else "no p"
        return out
    low, high, p = _difference(data, gap, seed)
    out |= {"tost_low": plain(low), "tost_high": plain(high)}
    if expected == "0":
        out["verdict"] = "pass" if p < P_EQUAL else "fail"
        out["reason"] = None if p < P_EQUAL else f"equivalence p {p:.3g}, 90% interval {low:.3f} to {high:.3f}"
    return out


def _difference(data: Levels, gap: float, seed: int) -> tuple[float, float, float]:
    """90 % interval of the difference in skill between the last level and the oracle, and p of equivalence."""
    last, n = len(data.rows) - 1, len(data.worlds)
    if data.same(last):
        return 0.0, 0.0, 0.0
    size = RESAMPLES if data.averaging else RESAMPLES_REDUCED
    counts = generator("certify/bootstrap", seed).multinomial(n, np.full(n, 1.0 / n), size=size).astype(np.float64)
    draws = (data.values(last, counts) - data.values(0, counts)) / gap
    known = draws[np.isfinite(draws)]
    if not len(known):
        return float("nan"), float("nan"), 1.0
    low, high = (float(q) for q in np.quantile(known, [0.05, 0.95]))
    return low, high, tost_from_bootstrap(draws, MARGIN, worlds=n)
