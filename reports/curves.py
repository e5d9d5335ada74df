"""Which curves are shown together: the model with its interval, its floor and its ceiling, and the other nulls thin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from worldsim.reports import numbers
from worldsim.reports.charts import Line, curve_chart, readout
from worldsim.reports.data import CurvePoint, RunData, SummaryRow

#: Metrics whose curve is in another unit than their value.
CURVE_UNITS = {"fidelity.useful_horizon": "skill"}


@dataclass(frozen=True, kw_only=True)
class CurveFigure:
    """One chart and the numbers behind it, for the script's read-out."""

    metric: str
    unit: str
    summary: str
    svg: Markup
    data: tuple[dict[str, object], ...]


def line_of(source: str, points: Sequence[CurvePoint], row: SummaryRow) -> Line:
    """Names and styles a source's curve: "model", "null:<name>", "ceiling", "ceiling_codec"."""
    name, kind, label = source, "null", ""
    null = source.removeprefix("null:")
    if source == "model":
        name, kind, label = "model", "model", "model"
    elif source.startswith("ceiling"):
        codec = source == "ceiling_codec"
        used = codec == (row.ceiling_name == "codec")
        name = f"ceiling ({'codec' if codec else 're-run'})"
        kind, label = ("ceiling", "ceiling") if used else ("null", "")
    elif null != source:
        name = f"floor ({null})" if null == row.floor_name else null
        kind, label = ("floor", "floor") if null == row.floor_name else ("null", "")
    return Line(
        name=name,
        kind=kind,
        label=label,
        h=tuple(p.h for p in points),
        values=tuple(p.value for p in points),
        low=tuple(p.low for p in points) if kind == "model" else (),
        high=tuple(p.high for p in points) if kind == "model" else (),
    )


# The order of the read-out: the model, what it is measured against, then the rest.
_ORDER = {"model": 0, "floor": 1, "ceiling": 2, "null": 3}


def figure(found: dict[str, tuple[CurvePoint, ...]], row: SummaryRow, title: str) -> CurveFigure | None:
    """A chart of the sources found, or None when nothing can be drawn."""
    lines = sorted((line_of(source, points, row) for source, points in found.items()), key=lambda x: _ORDER[x.kind])
    unit = CURVE_UNITS.get(row.metric, numbers.unit(row.unit))
    svg = curve_chart(lines, title=title, unit=unit)
    data = tuple(readout(lines))
    if not svg or not data:  # an axis without a line says nothing, and the script would look for one
        return None
    return CurveFigure(metric=row.metric, unit=unit, summary=row.summary, svg=svg, data=data)


def _find(data: RunData, row: SummaryRow, scenario: str, episode: str) -> dict[str, tuple[CurvePoint, ...]]:
    """Curves by source: the model's in the row's arm, the anchors in whatever arm they were written."""
    found: dict[str, tuple[CurvePoint, ...]] = {}
    for key, points in data.curves_at.get((row.metric, scenario, episode), {}).items():
        if key.arm == row.arm or (key.source != "model" and key.source not in found):
            found[key.source] = points
    return found


def overall_figures(data: RunData, rows: Sequence[SummaryRow]) -> tuple[CurveFigure, ...]:
    """One chart a metric that has a curve over all scenarios."""
    out = []
    for row in rows:
        found = _find(data, row, "*", "*")
        if "model" in found:
            made = figure(found, row, f"{row.metric} over the horizon: model, floor, ceiling and other nulls")
            out += [made] if made else []
    return tuple(out)


def episode_figures(data: RunData, rows: Sequence[SummaryRow], scenario: str, episode: str) -> tuple[CurveFigure, ...]:
    """One episode's own curves; its floor and ceiling are the episode's where they were kept, else those over all."""
    out = []
    for row in rows:
        found = _find(data, row, scenario, episode)
        if "model" not in found:
            continue
        span = {p.h for p in found["model"]}
        anchors = (f"null:{row.floor_name}", "ceiling_codec" if row.ceiling_name == "codec" else "ceiling")
        for source, points in _find(data, row, "*", "*").items():
            if source in anchors and source not in found:
                found[source] = tuple(CurvePoint(h=p.h, value=p.value) for p in points if p.h in span)
        made = figure(found, row, f"{row.metric} over the horizon in episode {episode}")
        out += [made] if made else []
    return tuple(out)
