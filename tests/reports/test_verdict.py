"""The first sentence of the page, and where a score is said to stand."""

from __future__ import annotations

import pytest

from worldsim.reports.data import SummaryRow
from worldsim.reports.verdict import Standing, primary, standing, verdict


def row(skill: float | None, low: float | None = None, high: float | None = None, **more: object) -> SummaryRow:
    return SummaryRow(metric="fidelity.psnr", value=1.0, skill=skill, skill_low=low, skill_high=high, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("skill", "low", "high", "where"),
    [
        (1.0, 1.0, 1.0, "ceiling"),
        (0.93, 0.85, 1.02, "ceiling"),
        (0.5, 0.4, 0.6, "between"),
        (0.0, 0.0, 0.0, "floor"),
        (-0.4, -0.5, -0.3, "floor"),
        (0.4, -0.3, 1.2, "undecided"),
        (0.4, None, None, "between"),
        (0.5, 0.38, 1.0, "between"),  # few worlds, not a good score
        (None, None, None, "no scale"),
    ],
)
def test_standing(skill: float | None, low: float | None, high: float | None, where: Standing) -> None:
    assert standing(row(skill, low, high)) == where


def test_unscored_is_neither_floor_nor_zero() -> None:
    unscored = SummaryRow(metric="m", value=None, reason="no events")
    assert standing(unscored) == "unscored"
    assert verdict([unscored, unscored]) == "None of the 2 headline scores could be measured."


def test_sentences() -> None:
    top, middle, bottom = row(1.0), row(0.5), row(0.0)
    assert verdict([]) == "Nothing has been scored yet."
    assert verdict([top, top]) == "All 2 headline scores reach the ceiling."
    assert verdict([bottom, bottom]) == "All 2 headline scores are no better than the floor."
    assert verdict([top]) == "1 of 1 headline score reaches the ceiling and none is at the floor."
    assert verdict([top, top, middle, bottom, SummaryRow(metric="m")]) == (
        "2 of 5 headline scores reach the ceiling, 1 lies between floor and ceiling, 1 is no better than the floor "
        "and 1 could not be measured."
    )


def test_primary_prefers_the_free_arm() -> None:
    free, other = SummaryRow(metric="m", arm="free"), SummaryRow(metric="m", arm="reanchored")
    only = SummaryRow(metric="n", arm="reanchored")
    assert primary([other, free, only]) == [free, only]
