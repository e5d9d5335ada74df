"""The view model: all that the templates show, already decided and already written as text; they only place it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from worldsim.reports import numbers
from worldsim.reports.charts import skill_bar
from worldsim.reports.curves import CurveFigure, overall_figures
from worldsim.reports.data import RunData, SummaryRow
from worldsim.reports.episodes import Choice, Player, choices, players
from worldsim.reports.verdict import Standing, primary, standing, verdict

#: Family -> (title, the question it answers). A family that is not here is shown under its own name.
FAMILIES: Mapping[str, tuple[str, str]] = {
    "fidelity": ("Fidelity", "How far is the picture right?"),
    "geometry": ("3D consistency", "Does the picture move as a solid world must?"),
    "permanence": ("Object permanence", "Does what is out of sight still exist, and is it the same?"),
    "interaction": ("Interaction persistence", "Do my changes to the world happen, and do they stay?"),
    "coherence": ("Long-range coherence", "Is it still the same world after a long walk?"),
    "control": ("Action control", "Does it do what is pressed, when it is pressed?"),
    "distribution": ("Distribution", "Does it look and move as the world does?"),
    "text": ("Text", "Does it follow the words?"),
    "policy": ("Policy evaluation", "Can a policy be chosen or trained in it?"),
}


@dataclass(frozen=True, kw_only=True)
class HeadlineRow:
    """One row of a score table. `bar` is "" and `reason` says why when there is no skill to draw."""

    name: str
    metric: str
    arm: str
    summary: str
    standing: Standing
    value: str
    interval: str
    unit: str
    skill: str
    floor: str
    ceiling: str
    worlds: int
    coverage: str
    undefined: int
    bar: Markup
    reason: str
    certified: bool
    lower_is_better: bool


@dataclass(frozen=True, kw_only=True)
class Family:
    """The scores of one family: those of the headline and the diagnostics."""

    name: str
    title: str
    question: str
    rows: tuple[HeadlineRow, ...]
    diagnostics: tuple[HeadlineRow, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """The whole page."""

    title: str
    verdict: str
    banner: str
    facts: tuple[str, ...]
    notes: tuple[str, ...]
    privileged: bool
    families: tuple[Family, ...]
    curves: tuple[CurveFigure, ...]
    diagnostic_curves: tuple[CurveFigure, ...]
    choices: tuple[Choice, ...]
    players: tuple[Player, ...]
    scenario_metrics: tuple[str, ...]
    scenarios: tuple[Mapping[str, Any], ...]
    coverage: tuple[Mapping[str, Any], ...]
    not_scored: tuple[Mapping[str, Any], ...]
    failures: tuple[Mapping[str, str], ...]
    null_names: tuple[str, ...]
    nulls: tuple[Mapping[str, Any], ...]
    methods: tuple[Mapping[str, str], ...]
    command: str
    provenance: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    config: str


def why_no_skill(row: SummaryRow) -> str:
    """Why a measured score has no place between floor and ceiling."""
    if row.skill_reason or row.reason:
        return row.skill_reason or row.reason
    missing = [name for name, value in (("floor", row.floor), ("ceiling", row.anchor)) if value is None]
    return f"no {' and no '.join(missing)} could be measured" if missing else "floor and ceiling do not differ"


def places_of(row: SummaryRow) -> int | None:
    """The decimals that a row's value is written with: its anchors and bounds get the same."""
    return None if row.value is None else numbers.decimals(row.value, row.low, row.high)


def headline_row(row: SummaryRow) -> HeadlineRow:
    """A row of summary.json as it is shown; anchors get the decimals of the value."""
    value, interval = numbers.with_interval(row.value, row.low, row.high)
    places = places_of(row)
    floor = f"{row.floor_name} {numbers.number(row.floor, places)}"
    ceiling = f"{row.ceiling_name} {numbers.number(row.anchor, places)}"
    bar, reason = Markup(""), ""
    if row.value is None:
        reason = row.reason or "no reason was recorded"
    elif row.skill is None:
        reason = why_no_skill(row)
    else:
        others = [
            (name, float(at))
            for name, null in row.nulls.items()
            if (at := null.get("skill")) is not None and name != row.floor_name
        ]
        bar = skill_bar(
            skill=row.skill, low=row.skill_low, high=row.skill_high, floor=floor, ceiling=ceiling, nulls=others
        )
    return HeadlineRow(
        name=row.metric.partition(".")[2] or row.metric,
        metric=row.metric,
        arm="" if row.arm == "free" else row.arm,
        summary=row.summary,
        standing=standing(row),
        value=value,
        interval=interval,
        unit=numbers.unit(row.unit),
        skill=numbers.skill(row.skill),
        floor=floor,
        ceiling=ceiling,
        worlds=row.n_worlds,
        coverage=numbers.percent(row.coverage),
        undefined=row.undefined,
        bar=bar,
        reason=reason,
        certified=row.certified,
        lower_is_better=not row.higher_is_better,
    )


def family_sections(rows: Sequence[SummaryRow]) -> tuple[Family, ...]:
    """The rows over all scenarios, by family: known families first, in the order of the ruler."""
    present = list(dict.fromkeys(row.family or row.metric.split(".")[0] for row in rows))
    order = [name for name in FAMILIES if name in present] + [name for name in present if name not in FAMILIES]
    out = []
    for name in order:
        title, question = FAMILIES.get(name, (name.replace("_", " ").capitalize(), ""))
        mine = [row for row in rows if (row.family or row.metric.split(".")[0]) == name]
        out.append(
            Family(
                name=name,
                title=title,
                question=question,
                rows=tuple(headline_row(row) for row in mine if row.headline),
                diagnostics=tuple(headline_row(row) for row in mine if not row.headline),
            )
        )
    return tuple(out)


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
            cells.append({"row": shown, "reason": shown.reason if shown else "not scored on this scenario"})
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
                    "skill": numbers.skill(null.get("skill")),
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


def progress(data: RunData) -> tuple[int, int | str]:
    """Episodes done, counted from their own table (a killed run never updated its counts), and episodes planned."""
    planned = (data.run.get("counts") or {}).get("planned")
    return sum(row.status == "done" for row in data.episodes), "?" if planned is None else planned


def banner(data: RunData) -> str:
    """What a reader must know before any number: a run that is not whole. "" for a whole one."""
    done, planned = progress(data)
    status = data.run.get("status", "started")
    if not data.rows:
        return f"This run has not been scored: {done} of {planned} episodes are on disk. Score it and build again."
    if status != "success":
        words = {"interrupted": "was interrupted", "error": "ended with an error", "started": "has not finished"}
        return (
            f"This run {words.get(status, status)}: the numbers are those of {done} of {planned} episodes. "
            "Continue it with --resume."
        )
    return ""


def suite_name(suite: Mapping[str, Any], digits: int | None = None) -> str:
    """Name, version and hash of the scenario set; two runs with the same hash can be compared."""
    parts = (suite.get("name"), suite.get("version") and f"v{suite['version']}", str(suite.get("hash") or "")[:digits])
    return " ".join(str(part) for part in parts if part)


def plain_value(value: Any) -> str:
    """A setting as a reader writes it: yes and no, 64 x 64, a, b."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        sizes = len(value) == 2 and all(isinstance(v, int) for v in value)
        return (" × " if sizes else ", ").join(plain_value(v) for v in value)
    return str(value)


def provenance(run: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The fingerprint as label and text; what is not known is left out."""
    mark, suite, model = run.get("fingerprint") or {}, run.get("suite") or {}, run.get("model") or {}
    spent = run.get("seconds") or {}
    spec = " · ".join(
        f"{key.replace('_', ' ')} {plain_value(value)}"
        for key, value in (model.get("spec") or {}).items()
        if value is not None and key != "name"
    )
    lines = (
        ("suite", suite_name(suite)),
        ("model", str(model.get("reference") or model.get("name") or "")),
        ("model spec", spec),
        ("environment", str((run.get("env") or {}).get("id") or "")),
        ("seed", str(run.get("seed", ""))),
        ("config sha256", str(run.get("config_sha256") or "")),
        ("worldsim", str(run.get("worldsim") or "")),
        ("python", str(mark.get("python") or "")),
        ("platform", str(mark.get("platform") or "")),
        (
            "processor",
            " · ".join(str(mark[k]) + (" cores" if k == "cores" else "") for k in ("cpu", "cores") if mark.get(k)),
        ),
        ("started", str(run.get("created") or "")),
        ("finished", str(run.get("finished") or "")),
        ("time", " · ".join(f"{stage} {numbers.seconds(s)}" for stage, s in spent.items() if s is not None)),
    )
    return tuple((label, text) for label, text in lines if text)


def facts(data: RunData) -> tuple[str, ...]:
    """The line under the title."""
    run, suite = data.run, data.run.get("suite") or {}
    done, planned = progress(data)
    worlds = len({row.world_seed for row in data.episodes if row.status == "done"})
    return tuple(
        text
        for text in (
            f"{done} of {planned} episodes",
            f"{worlds} world{'' if worlds == 1 else 's'}",
            f"seed {run['seed']}" if run.get("seed") is not None else "",
            suite_name(suite, digits=12),
            str(run.get("created") or "")[:10],
        )
        if text
    )


def page_of(data: RunData) -> Page:
    """Decides everything that the page shows."""
    overall = [row for row in data.rows if row.scenario == "*"]
    main = [row for row in primary(overall) if row.headline]
    run = data.run
    model, env = run.get("model") or {}, run.get("env") or {}
    chosen = choices(data, main)
    names, nulls = null_table(main)
    metrics = tuple(row.metric for row in main)
    return Page(
        title=f"{model.get('name') or 'A model'} in {env.get('id') or 'a world'}, "
        f"scenarios {run.get('scenario_set', '?')}",
        verdict=verdict(main),
        banner=banner(data),
        facts=facts(data),
        notes=tuple(str(note) for note in run.get("notes") or ()),
        privileged=bool(model.get("privileged")),
        families=family_sections(overall),
        curves=overall_figures(data, main),
        diagnostic_curves=overall_figures(data, [row for row in primary(overall) if not row.headline]),
        choices=chosen,
        players=players(data, chosen, main),
        scenario_metrics=metrics,
        scenarios=scenario_table(data, metrics),
        coverage=tuple(
            {
                "metric": row.metric,
                "n": row.n,
                "worlds": row.n_worlds,
                "undefined": row.undefined,
                "coverage": numbers.percent(row.coverage),
                "value": numbers.with_interval(row.value, row.low, row.high)[0],
                "pessimistic": numbers.number(row.pessimistic, places_of(row)),
                "unit": numbers.unit(row.unit),
                "reason": row.reason,
            }
            for row in main
        ),
        not_scored=not_scored(data),
        failures=tuple(
            {"episode": row.episode, "scenario": row.scenario, "status": row.status, "reason": row.reason}
            for row in data.episodes
            if row.status != "done"
        ),
        null_names=names,
        nulls=nulls,
        methods=methods(primary(overall)),
        command=shlex.join(str(word) for word in run.get("command") or ()),
        provenance=provenance(run),
        packages=tuple(
            sorted((str(k), str(v)) for k, v in ((run.get("fingerprint") or {}).get("packages") or {}).items())
        ),
        config=data.config,
    )
