"""Where a score stands between its floor and its ceiling, and the one sentence that opens the page. No composite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from worldsim.reports.data import SummaryRow

Standing: TypeAlias = Literal["ceiling", "between", "floor", "undecided", "unscored", "no scale"]

# An interval that ends within a hundredth of an anchor reaches it: smaller differences are below any printed digit.
SLACK = 0.01
# A wide interval alone does not make a score good: the skill itself must be that near to the ceiling.
NEAR = 0.1


def standing(row: SummaryRow) -> Standing:
    """Compares the skill's interval with 0 and 1; one that holds both says nothing ("undecided").

    "ceiling" also takes a skill of at least 1 - `NEAR`: one of 0.5 in 0.4..1.0 lies between.
    """
    if row.value is None:
        return "unscored"
    if row.skill is None:
        return "no scale"
    low = row.skill if row.skill_low is None else row.skill_low
    high = row.skill if row.skill_high is None else row.skill_high
    at_ceiling, at_floor = high >= 1 - SLACK, low <= SLACK
    if at_ceiling and at_floor:
        return "undecided"
    if at_floor:
        return "floor"
    return "ceiling" if at_ceiling and row.skill >= 1 - NEAR else "between"


def primary(rows: Iterable[SummaryRow]) -> list[SummaryRow]:
    """One row a metric: that of the arm "free" where there is one, else the first."""
    chosen: dict[str, SummaryRow] = {}
    for row in rows:
        if row.metric not in chosen or (row.arm == "free" and chosen[row.metric].arm != "free"):
            chosen[row.metric] = row
    return list(chosen.values())


def verdict(rows: Sequence[SummaryRow]) -> str:
    """One sentence in plain words over the headline rows of all scenarios."""
    if not rows:
        return "Nothing has been scored yet."
    tally = Counter(standing(row) for row in rows)
    if tally["unscored"] == len(rows):
        return f"None of the {len(rows)} headline scores could be measured."

    total = f"{len(rows)} headline score{'' if len(rows) == 1 else 's'}"
    if tally["ceiling"] == len(rows) > 1:
        return f"All {total} reach the ceiling."
    if tally["floor"] == len(rows) > 1:
        return f"All {total} are no better than the floor."

    def said(of: Standing, one: str, many: str) -> list[str]:
        n = tally[of]
        return [f"{n} {one if n == 1 else many}"] if n else []

    parts = [
        f"{tally['ceiling'] or 'None'} of {total} {'reaches' if tally['ceiling'] <= 1 else 'reach'} the ceiling",
        *said("between", "lies between floor and ceiling", "lie between floor and ceiling"),
        *(said("floor", "is no better than the floor", "are no better than the floor") or ["none is at the floor"]),
        *said("undecided", "is too uncertain to tell", "are too uncertain to tell"),
        *said("no scale", "has no scale", "have no scale"),
        *said("unscored", "could not be measured", "could not be measured"),
    ]
    return f"{', '.join(parts[:-1])} and {parts[-1]}."
