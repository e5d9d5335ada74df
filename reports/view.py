"""The view model: all that the templates show, already decided and already written as text; they only place it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worldsim.reports import numbers
from worldsim.reports.curves import CurveFigure, overall_figures
from worldsim.reports.data import RunData
from worldsim.reports.details import Details, details_of_all
from worldsim.reports.episodes import Choice, Player, choices, players
from worldsim.reports.headline import Family, family_place, family_sections
from worldsim.reports.tables import coverage_table, methods, not_scored, null_table, scenario_groups
from worldsim.reports.verdict import primary, verdict


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
    answers: tuple[Details, ...]
    behind: tuple[Details, ...]
    curves: tuple[CurveFigure, ...]
    diagnostic_curves: tuple[CurveFigure, ...]
    choices: tuple[Choice, ...]
    players: tuple[Player, ...]
    scenarios: tuple[Mapping[str, Any], ...]
    scenario_gaps: tuple[Mapping[str, str], ...]
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


def fingerprint_lines(mark: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The machine, as label and text ("" where it is not known)."""
    processor = (str(mark[k]) + (" cores" if k == "cores" else "") for k in ("cpu", "cores") if mark.get(k))
    return (
        ("python", str(mark.get("python") or "")),
        ("platform", str(mark.get("platform") or "")),
        ("processor", " · ".join(processor)),
    )


def provenance(run: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The fingerprint as label and text; what is not known is left out."""
    suite, model = run.get("suite") or {}, run.get("model") or {}
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
        *fingerprint_lines(run.get("fingerprint") or {}),
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
    scenarios, gaps = scenario_groups(data, main)
    # Headline scores first within a family, so that what diagnostics repeat is shown there.
    found = details_of_all(sorted(primary(overall), key=lambda row: (family_place(row), not row.headline)))
    asked = tuple(d for d in found if d.confusion and d.metric in {row.metric for row in main})
    return Page(
        title=f"{model.get('name') or 'A model'} in {env.get('id') or 'a world'}, "
        f"scenarios {run.get('scenario_set', '?')}",
        verdict=verdict(main),
        banner=banner(data),
        facts=facts(data),
        notes=tuple(str(note) for note in run.get("notes") or ()),
        privileged=bool(model.get("privileged")),
        families=family_sections(overall),
        answers=asked,
        behind=tuple(d for d in found if d not in asked),
        curves=overall_figures(data, main),
        diagnostic_curves=overall_figures(data, [row for row in primary(overall) if not row.headline]),
        choices=chosen,
        players=players(data, chosen, main),
        scenarios=scenarios,
        scenario_gaps=gaps,
        coverage=coverage_table(main),
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
