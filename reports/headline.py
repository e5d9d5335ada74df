"""The rows of the score tables: value, interval, skill and bar as they are shown, gathered by family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from worldsim.reports import numbers
from worldsim.reports.charts import skill_bar
from worldsim.reports.data import SummaryRow
from worldsim.reports.verdict import Standing, standing

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
    certified_in: str
    lower_is_better: bool


@dataclass(frozen=True, kw_only=True)
class Family:
    """The scores of one family: those of the headline and the diagnostics."""

    name: str
    title: str
    question: str
    rows: tuple[HeadlineRow, ...]
    diagnostics: tuple[HeadlineRow, ...]


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
        certified_in=row.certified_in.capitalize(),
        lower_is_better=not row.higher_is_better,
    )


def family_place(row: SummaryRow) -> tuple[int, str]:
    """Where a metric's family stands in the order of the ruler; unknown ones come last, by name."""
    name = row.family or row.metric.split(".")[0]
    return (list(FAMILIES).index(name), "") if name in FAMILIES else (len(FAMILIES), name)


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
