"""The page of a certification: what was expected of every metric under every planted fault, and what was measured.

`matrix.json` in, `report/index.html` and `matrix.svg` out; nothing is judged here that the file has not judged.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from worldsim.reports import numbers
from worldsim.reports.headline import FAMILIES
from worldsim.reports.matrix_data import ABOVE, Cell, Matrix, MetricAnchors, PlantedFault, read_matrix
from worldsim.reports.matrix_picture import alone, cells_picture, legend, legend_svg, names_picture, short
from worldsim.reports.page import asset, environment, write_page
from worldsim.reports.severity_curves import lowest, severity_chart, spoken
from worldsim.reports.view import fingerprint_lines, suite_name


@dataclass(frozen=True, kw_only=True)
class CertificatePage:
    """All that the template places, as text and pictures."""

    title: str
    verdict: str
    counts: tuple[str, ...]
    facts: tuple[str, ...]
    names: Markup
    cells: Markup
    legend: tuple[tuple[Markup, str], ...]
    failures: tuple[Mapping[str, Any], ...]
    untried: tuple[Mapping[str, str], ...]
    null_names: tuple[str, ...]
    families: tuple[Mapping[str, Any], ...]
    cheats: tuple[Mapping[str, Any], ...]
    faults: tuple[Mapping[str, Any], ...]
    curves: tuple[Mapping[str, Any], ...]
    curve_low: str
    command: str
    provenance: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]


def passed(cells: tuple[Cell, ...]) -> tuple[int, int]:
    """How many pass, and of how many; what could not be tried is not counted."""
    return sum(c.verdict == "pass" for c in cells), sum(c.verdict != "n/a" for c in cells)


def nulls_above(matrix: Matrix) -> list[tuple[str, str]]:
    """(metric, null) of every null that lies above the floor."""
    return [(m.name, null) for m in matrix.metrics for null in m.above()]


def counts(matrix: Matrix) -> tuple[str, ...]:
    """The figures that open the page, one phrase each."""
    (moved, must), (still, not_move) = passed(matrix.of("+")), passed(matrix.of("0"))
    caught, above = sum(c.caught for c in matrix.cheats), len(nulls_above(matrix))
    return (
        f"{moved} of {must} that must lose skill do",
        f"{still} of {not_move} that must not move do not",
        f"{caught} of {len(matrix.cheats)} cheats caught",
        f"{above or 'no'} null{'s' if above != 1 else ''} above a floor",
        f"{len(matrix.certified)} of {len(matrix.metrics)} metrics certified",
    )


def verdict(matrix: Matrix) -> str:
    """One sentence: whether everything that was expected holds."""
    good, total = passed(matrix.of("+") + matrix.of("0"))
    missed, above = sum(not c.caught for c in matrix.cheats), len(nulls_above(matrix))
    if total == 0:
        return "Nothing was expected of these metrics: every cell is measured only."
    if good == total and not missed and not above:
        return f"All {total} expectations hold, every cheat is caught, and no null lies above a floor."
    parts = [f"{good} of {total} expectations hold"]
    if missed:
        parts.append(f"{missed} cheat{' beats' if missed == 1 else 's beat'} a floor")
    if above:
        parts.append(f"{above} null{' lies' if above == 1 else 's lie'} above a floor")
    return (f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]) + "."


def shape(matrix: Matrix) -> str:
    """What was tried on what."""
    metrics, faults = len(matrix.metrics), len(matrix.faults)
    return f"{metrics} metric{'s' * (metrics != 1)} under {faults} planted fault{'s' * (faults != 1)}"


def facts(matrix: Matrix) -> tuple[str, ...]:
    """The circumstances, one phrase each."""
    created = str(matrix.document.get("created") or "")[:10]
    words = (f"preset {matrix.preset}", f"seed {matrix.seed}", f"{matrix.worlds} worlds a scenario", created)
    return tuple(word for word in words if word)


def failures(matrix: Matrix) -> tuple[Mapping[str, Any], ...]:
    """Everything that does not hold: cells, cheats that beat a floor, nulls above one."""
    plants = {f.name: f.plants for f in matrix.faults}
    out: list[Mapping[str, Any]] = [
        {
            "what": f"{c.fault} on {c.metric}",
            "about": plants[c.fault],
            "expected": "must lose skill (+)" if c.expected == "+" else "must not move (0)",
            "effect": numbers.number(c.effect, 3),
            "worlds": str(c.n_worlds),
            "why": c.reason or "no reason was recorded",
        }
        for sign in ("+", "0")
        for c in matrix.of(sign)
        if c.verdict == "fail"
    ]
    for cheat in matrix.cheats:
        if not cheat.caught:
            _, span = numbers.with_interval(cheat.skill, cheat.skill_low, cheat.skill_high)
            out.append(
                _other(
                    f"{cheat.fault} on {cheat.metric}",
                    plants.get(cheat.fault, ""),
                    "must beat no floor (cheat)",
                    f"skill {numbers.skill(cheat.skill)} {span}".rstrip(),
                )
            )
    for metric in matrix.metrics:
        for null in metric.above():
            at = numbers.number(metric.nulls[null].get("skill"), 3)
            out.append(
                _other(
                    f"{null} on {metric.name}",
                    "a simulator that knows nothing",
                    "must not lie above the floor (null)",
                    f"skill {at} above the floor {metric.floor_name}",
                )
            )
    return tuple(out)


def _other(what: str, about: str, expected: str, why: str) -> Mapping[str, Any]:
    return {"what": what, "about": about, "expected": expected, "effect": numbers.MISSING, "worlds": "", "why": why}


def untried(matrix: Matrix) -> tuple[Mapping[str, str], ...]:
    """What could not be tried in this truth, by reason: whole metrics and faults by their names, else single cells."""
    out, reasons = [], dict.fromkeys(c.reason for c in matrix.untried())
    for reason in reasons:
        cells = [c for c in matrix.untried() if c.reason == reason]
        metrics, faults = dict.fromkeys(c.metric for c in cells), dict.fromkeys(c.fault for c in cells)
        of_one_fault = len(faults) < len(metrics)
        what, of = (faults, metrics) if of_one_fault else (metrics, faults)
        words = ", ".join(what)
        whole = all(
            c.verdict == "n/a" for c in matrix.cells.values() if (c.fault if of_one_fault else c.metric) in what
        )
        out.append({"what": words if whole else f"{words} on {', '.join(of)}", "cells": str(len(cells)), "why": reason})
    return tuple(out)


def metric_line(matrix: Matrix, metric: MetricAnchors, null_names: tuple[str, ...]) -> Mapping[str, Any]:
    """A metric's scale: floor, ceiling, what each null reaches, how many of its expectations hold."""
    places = None if metric.floor is None or metric.ceiling is None else numbers.decimals(metric.ceiling - metric.floor)
    moved, still = passed(matrix.of("+", metric=metric.name)), passed(matrix.of("0", metric=metric.name))
    nulls = []
    for name in null_names:
        skill = (metric.nulls.get(name) or {}).get("skill")
        nulls.append(
            {
                "skill": numbers.skill(skill),
                "floor": name == metric.floor_name,
                "above": skill is not None and skill > ABOVE,
            }
        )
    return {
        "name": metric.name,
        "short": short(metric.name),
        "version": str(metric.version),
        "diagnostic": not metric.headline,
        "certified": metric.name in matrix.certified,
        "floor": numbers.number(metric.floor, places),
        "floor_name": metric.floor_name,
        "declared": metric.floor_in_spec if metric.floor_in_spec not in ("", metric.floor_name) else "",
        "ceiling": numbers.number(metric.ceiling, places),
        "unit": numbers.unit(metric.unit),
        "worlds": str(metric.worlds),
        "shares": tuple({"text": _share(found), "fails": found[0] < found[1]} for found in (moved, still)),
        "nulls": tuple(nulls),
        "reason": metric.reason,
    }


def _share(found: tuple[int, int]) -> str:
    return f"{found[0]} / {found[1]}" if found[1] else numbers.MISSING


def fault_line(matrix: Matrix, fault: PlantedFault) -> Mapping[str, Any]:
    """A fault: what it plants, how much of it, where metrics must be blind to it, what holds."""
    bounded = fault.severities and fault.mild is not None and fault.mild < fault.severities[-1]
    return {
        "name": fault.name,
        "plants": fault.plants,
        "unit": fault.unit,
        "severities": ", ".join(f"{s:g}" for s in fault.severities),
        "mild": f"{fault.mild:g}" if bounded else "",
        "moved": _share(passed(matrix.of("+", fault=fault.name))),
        "still": _share(passed(matrix.of("0", fault=fault.name))),
        "cheat": any(c.fault == fault.name for c in matrix.cheats),
    }


def cheat_lines(matrix: Matrix) -> tuple[Mapping[str, Any], ...]:
    """What each cheat reaches at the metrics that must see through it; those that were not caught come first."""
    plants = {f.name: f.plants for f in matrix.faults}
    return tuple(
        {
            "fault": cheat.fault,
            "plants": plants.get(cheat.fault, ""),
            "metric": cheat.metric,
            "skill": numbers.skill(cheat.skill),
            "interval": ""
            if cheat.skill_low is None or cheat.skill_high is None
            else f"[{numbers.skill(cheat.skill_low)}, {numbers.skill(cheat.skill_high)}]",
            "caught": cheat.caught,
        }
        for cheat in sorted(matrix.cheats, key=lambda c: c.caught)
    )


def curve_groups(matrix: Matrix, low: float) -> tuple[Mapping[str, Any], ...]:
    """The + cells by metric, a small curve each."""
    units = {f.name: f.unit for f in matrix.faults}
    out = []
    for metric in matrix.metrics:
        cells = tuple(c for c in matrix.of("+", metric=metric.name) if c.verdict != "n/a")
        if cells:
            charts = tuple(
                {
                    "svg": severity_chart(c, low, spoken(c)),
                    "fault": c.fault,
                    "unit": units[c.fault],
                    "failed": c.verdict == "fail",
                }
                for c in cells
            )
            out.append({"metric": metric.name, "charts": charts})
    return tuple(out)


def command(matrix: Matrix) -> str:
    """The words that repeat it: those that were recorded, or what follows from the file."""
    recorded = matrix.document.get("command")
    if isinstance(recorded, list) and recorded:
        return shlex.join(str(word) for word in recorded)
    words = ["worldsim", "certify", "--preset", matrix.preset, "--seed", str(matrix.seed)]
    suite = (matrix.document.get("suite") or {}).get("name")
    if suite and suite != "certify":
        words += ["--scenarios", str(suite)]
    words += ["--metrics", *(m.name for m in matrix.metrics)]  # the file does not say whether these are all
    return shlex.join([*words, "--episodes", str(matrix.worlds), "--out", "certificate"])


def provenance(matrix: Matrix) -> tuple[tuple[str, str], ...]:
    """What it was measured with, as label and text."""
    document = matrix.document
    lines = (
        ("suite", suite_name(document.get("suite") or {})),
        ("preset", matrix.preset),
        ("seed", str(matrix.seed)),
        ("worlds", f"{matrix.worlds} a scenario"),
        *fingerprint_lines(document.get("fingerprint") or {}),
        ("finished", str(document.get("created") or "")),
        ("time", numbers.seconds(document.get("seconds")) if document.get("seconds") is not None else ""),
    )
    return tuple((label, text) for label, text in lines if text)


def page_of(matrix: Matrix) -> CertificatePage:
    """Decides everything that the page shows."""
    null_names = tuple(dict.fromkeys(name for m in matrix.metrics for name in m.nulls))
    families = tuple(
        {
            "title": FAMILIES.get(name, (name.replace("_", " ").capitalize(), ""))[0],
            "metrics": tuple(metric_line(matrix, m, null_names) for m in metrics),
        }
        for name, metrics in matrix.families()
    )
    low = lowest(matrix.of("+"))
    packages = (matrix.document.get("fingerprint") or {}).get("packages") or {}
    return CertificatePage(
        title=f"Certification: {shape(matrix)}",
        verdict=verdict(matrix),
        counts=counts(matrix),
        facts=facts(matrix),
        names=names_picture(matrix),
        cells=cells_picture(matrix, f"Response matrix: {shape(matrix)}. {verdict(matrix)}"),
        legend=tuple((legend_svg(cells), words) for cells, words in legend(matrix)),
        failures=failures(matrix),
        untried=untried(matrix),
        null_names=null_names,
        families=families,
        cheats=cheat_lines(matrix),
        faults=tuple(fault_line(matrix, fault) for fault in matrix.faults),
        curves=curve_groups(matrix, low),
        curve_low=numbers.number(low, 1),
        command=command(matrix),
        provenance=provenance(matrix),
        packages=tuple(sorted((str(k), str(v)) for k, v in packages.items())),
    )


def build_certificate(folder: Path) -> Path:
    """Builds the page and the picture of a certification.

    Args:
        folder: Holds `matrix.json`.

    Returns:
        The path of `report/index.html`; `matrix.svg` lies in `folder`.

    Raises:
        StoreError: If `matrix.json` is missing, torn, newer, or lacks something.
    """
    matrix = read_matrix(Path(folder))
    rules = asset("matrix.css")
    lines = (" · ".join(facts(matrix)), " · ".join(counts(matrix)))
    picture = alone(matrix, rules, f"Response of {shape(matrix)}", lines)
    write_page(Path(folder) / "matrix.svg", picture)
    html = (
        environment()
        .get_template("certificate.html")
        .render(page=page_of(matrix), css=asset("page.css") + rules + asset("certificate.css"), js=asset("page.js"))
    )
    return write_page(Path(folder) / "report" / "index.html", html)
