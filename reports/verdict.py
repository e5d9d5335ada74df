"""Where a score stands between its floor and its ceiling, and the one sentence that opens the page. No composite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

from worldsim.reports.data import SummaryRow

Standing: TypeAlias = Literal["ceiling", "between", "floor", "undecided", "unscored", "no scale"]

# An interval that ends within a hundredth of an anchor reaches it: smaller differences are below any printed digit.
SLACK = 0.01


def standing(row: SummaryRow) -> Standing:
    """Compares the skill's interval with 0 and 1; one that holds both says nothing ("undecided")."""
    if row.value is None:
        return "unscored"
    if row.skill is None:
        return "no scale"
    low = row.skill if row.skill_low is None else row.skill_low
    high = row.skill if row.skill_high is None else row.skill_high
    at_ceiling, at_floor = high >= 1 - SLACK, low <= SLACK
    if at_ceiling and at_floor:
        return "undecided"
    return "ceiling" if at_ceiling else "floor" if at_floor else "between"


def _count(n: int, words: str, words_one: str) -> str:
    return f"{n} {words_one if n == 1 else words}"


def verdict(rows: Sequence[SummaryRow]) -> str:
    """One sentence in plain words over the headline rows of all scenarios."""
    if not rows:
        return "Nothing has been scored yet."
    tally = Counter(standing(row) for row in rows)
    scored = len(rows) - tally["unscored"]
    if not scored:
        return f"None of the {len(rows)} headline scores could be measured."
    parts = [
        f"{tally['ceiling'] or 'None'} of {_count(scored, 'headline scores', 'headline score')} "
        f"{'reaches' if tally['ceiling'] <= 1 else 'reach'} the ceiling"
    ]
    if tally["between"]:
        parts.append(_count(tally["between"], "lie between floor and ceiling", "lies between floor and ceiling"))
    parts.append(
        f"{tally['floor'] or 'none'} {'is' if tally['floor'] <= 1 else 'are'} no better than the floor",
    )
    if tally["undecided"]:
        parts.append(f"{tally['undecided']} too uncertain to tell")
    if tally["no scale"]:
        parts.append(_count(tally["no scale"], "have no scale", "has no scale"))
    sentence = ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else parts[0]
    if tally["unscored"]:
        sentence += f"; {tally['unscored']} could not be measured"
    return sentence + "."
