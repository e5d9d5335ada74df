"""Numbers as they are printed: digits, minus signs, and that nothing missing ever looks like 0."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldsim.reports import numbers

FINITE = st.floats(min_value=-1e9, max_value=1e9)


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (None, None, "–"),
        (math.nan, None, "–"),
        (math.inf, None, "∞"),
        (-math.inf, 1, "−∞"),
        (26.34, None, "26.3"),
        (0.0, 2, "0.00"),
        (-0.0, 2, "0.00"),
        (-0.001, 2, "0.00"),
        (-0.13, 2, "−0.13"),
        (12345.6, 0, "12\u202f346"),
    ],
)
def test_number(value: float | None, places: int | None, text: str) -> None:
    assert numbers.number(value, places) == text


@given(FINITE)
def test_three_significant_digits_read_back(value: float) -> None:
    text = numbers.number(value).replace("\u202f", "").replace("−", "-")
    assert float(text) == pytest.approx(value, rel=5e-3, abs=5e-5)
    assert text not in ("-0", "-0.0", "-0.00")


@given(FINITE, st.floats(min_value=1e-3, max_value=1e6), st.floats(min_value=1e-3, max_value=1e6))
def test_value_and_interval_share_their_decimals(value: float, below: float, above: float) -> None:
    shown, interval = numbers.with_interval(value, value - below, value + above)
    places = {len(part.partition(".")[2]) for part in (shown, *re.findall(r"[^\[\], ]+", interval))}
    assert len(places) == 1


def test_interval_is_empty_without_one() -> None:
    assert numbers.with_interval(1.5, None, None) == ("1.50", "")
    assert numbers.with_interval(None, 1.0, 2.0) == ("–", "")


def test_interval_width_decides_the_digits() -> None:
    assert numbers.with_interval(26.3412, 24.7, 27.6) == ("26.3", "[24.7, 27.6]")
    assert numbers.with_interval(0.47119, 0.4709, 0.4715) == ("0.4712", "[0.4709, 0.4715]")


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "–"), (0.0, "0 %"), (1.0, "100 %"), (0.999, "> 99 %"), (0.004, "< 1 %"), (0.84, "84 %")],
)
def test_percent_never_rounds_to_all_or_nothing(share: float | None, text: str) -> None:
    assert numbers.percent(share) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.42, "0.42 s"), (12.3, "12 s"), (185, "3 min 05 s")])
def test_seconds(value: float | None, text: str) -> None:
    assert numbers.seconds(value) == text
