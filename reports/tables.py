"""The tables behind the headline: by scenario, what was ruled out, the null battery, the methods. Cells are text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from worldsim.reports import numbers
from worldsim.reports.data import RunData, SummaryRow
from worldsim.reports.headline import family_sections, headline_row, places_of


def scenario_table(data: RunData, metrics: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    """A line a scenario: what it is, its episodes, and a cell for each metric."""
    by_place = {(row.scenario, row.metric): row for row in reversed(data.rows) if row.arm == "free"}
    for row in data.rows:
        by_place.setdefault((row.scenario, row.metric), row)
    done = Counter(row.scenario for row in data.episodes if row.status == "done")
    described = {str(s.get("name")): s for s in data.run.get("scenarios") or ()}
    names = list(dict.fromkeys([*described, *(r.scenario for r in data.rows if r.scenario != "*"), *done]))
    out = []
    for name in names:
        about = described.get(name, {})
        cells = []
        for metric in metrics:
            found = by_place.get((name, metric))
            shown = headline_row(found) if found else None
            cells.append({"row": shown, "reason": shown.reason if shown else NOT_ASKED})
        out.append(
            {
                "name": name,
                "summary": about.get("summary", ""),
                "episodes": done[name],
                "context": about.get("context"),
                "horizon": about.get("horizon"),
                "cells": cells,
            }
        )
    return tuple(out)


def scenario_gaps(table: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> tuple[Mapping[str, str], ...]:
    """Why cells of the scenario table have no skill, gathered by reason."""
    gathered: dict[str, list[str]] = {}
    for line in table:
        for metric, cell in zip(metrics, line["cells"], strict=True):
            if cell["reason"]:
                gathered.setdefault(cell["reason"], []).append(f"{metric} on {line['name']}")
    return tuple({"reason": reason, "cells": ", ".join(cells)} for reason, cells in gathered.items())


ONE_TABLE = 8  # up to so many metrics one table of scenarios is readable; beyond, there is one for each family
NOT_ASKED = "not scored on this scenario"


def scenario_groups(
    data: RunData, rows: Sequence[SummaryRow]
) -> tuple[tuple[Mapping[str, Any], ...], tuple[Mapping[str, str], ...]]:
    """The scenario tables, each {"title", "metrics", "lines"}, and why cells in them have no skill.

    Args:
        data: The run.
        rows: The headline rows over all scenarios. Beyond `ONE_TABLE` of them there is a table for each family, with
            the scenarios that it was asked on.
    """
    metrics = tuple(row.metric for row in rows)
    table = scenario_table(data, metrics)
    if not table:
        return (), ()
    if len(metrics) <= ONE_TABLE:
        return ({"title": "", "metrics": metrics, "lines": table},), scenario_gaps(table, metrics)
    groups, gaps = [], []
    for family in family_sections(rows):
        own = tuple(row.metric for row in family.rows)
        at = [metrics.index(metric) for metric in own]
        lines = [{**line, "cells": [line["cells"][k] for k in at]} for line in table]
        lines = [line for line in lines if any(cell["row"] for cell in line["cells"])]
        if lines:
            groups.append({"title": family.title, "metrics": own, "lines": tuple(lines)})
            gaps += [gap for gap in scenario_gaps(lines, own) if gap["reason"] != NOT_ASKED]
    gathered: dict[str, list[str]] = {}
    for gap in gaps:
        gathered.setdefault(gap["reason"], []).append(gap["cells"])
    return tuple(groups), tuple({"reason": k, "cells": ", ".join(v)} for k, v in gathered.items())


def not_scored(data: RunData) -> tuple[Mapping[str, Any], ...]:
    """What was ruled out before the run, gathered by metric and reason."""
    gathered: dict[tuple[str, str], list[str]] = {}
    for row in data.scored:
        if not row.scored:
            gathered.setdefault((row.metric, row.reason or "no reason was recorded"), []).append(row.scenario)
    return tuple(
        {"metric": metric, "reason": reason, "scenarios": ", ".join(names)}
        for (metric, reason), names in gathered.items()
    )


def coverage_table(rows: Sequence[SummaryRow]) -> tuple[Mapping[str, Any], ...]:
    """How much of each metric could be measured, and the value if all the rest had been at the floor."""
    return tuple(
        {
            "metric": row.metric,
            "n": row.n,
            "undefined": row.undefined,
            "coverage": numbers.percent(row.coverage),
            "value": numbers.with_interval(row.value, row.low, row.high)[0],
            "pessimistic": numbers.number(row.pessimistic, places_of(row)),
            "unit": numbers.unit(row.unit),
            "reason": row.reason,
        }
        for row in rows
    )


def null_table(rows: Sequence[SummaryRow]) -> tuple[tuple[str, ...], tuple[Mapping[str, Any], ...]]:
    """What each null scores at each metric, and the names of the nulls."""
    names = tuple(dict.fromkeys(name for row in rows for name in row.nulls))
    lines = []
    for row in rows:
        if not row.nulls:
            continue
        cells = []
        for name in names:
            null = row.nulls.get(name) or {}
            cells.append(
                {
                    "value": numbers.number(null.get("value")),
                    "skill": numbers.skill(null.get("skill")) if null else "",
                    "floor": name == row.floor_name,
                }
            )
        lines.append({"metric": row.metric, "unit": numbers.unit(row.unit), "cells": cells})
    return names, tuple(lines)


def methods(rows: Sequence[SummaryRow]) -> tuple[Mapping[str, str], ...]:
    """One line a metric: the question, unit, range, direction, version, smallest effect that could be seen."""
    out = []
    for row in rows:
        low, high = (*row.range, None, None)[:2]
        out.append(
            {
                "metric": row.metric,
                "summary": row.summary,
                "unit": row.unit or "1",
                "range": f"{numbers.bound(low, numbers.MINUS + '∞')} … {numbers.bound(high, '∞')}",
                "direction": "higher is better" if row.higher_is_better else "lower is better",
                "version": str(row.version),
                "interval": row.interval,
                "mde": numbers.skill(row.mde),
            }
        )
    return tuple(out)
