"""How a number is written: one place, so that a figure looks the same in the table, the chart and the terminal.

What is missing is a dash and never 0; the digits shown are those that the interval supports.
"""

from __future__ import annotations

import math

MISSING = "–"
MINUS = "−"  # U+2212 has the width of the digits in tabular figures; the hyphen has not

# Units whose name adds nothing after a number.
SILENT_UNITS = frozenset({"", "1"})


def decimals(value: float, low: float | None = None, high: float | None = None) -> int:
    """Digits after the point: two significant ones of the interval's width, or three of the value without one.

    At least 0 and at most 4; an exact interval (width 0) counts as none.
    """
    width = abs(high - low) if low is not None and high is not None else 0.0
    scale, digits = (width, 2) if 0 < width < math.inf else (abs(value), 3)
    if scale == 0 or not math.isfinite(scale):
        return 2
    return max(0, min(4, digits - 1 - math.floor(math.log10(scale))))


def number(value: float | None, places: int | None = None) -> str:
    """Writes a number with `places` decimals (None = three significant digits); None is "–", and -0 is 0."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:,.{decimals(value) if places is None else places}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if text.startswith("-"):
        text = text[1:] if not text.strip("-0.\N{NARROW NO-BREAK SPACE}") else MINUS + text[1:]
    return text


def with_interval(value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    """Value and interval with the same decimals: ("24.1", "[23.0, 25.2]"); the interval is "" when there is none."""
    if value is None:
        return MISSING, ""
    places = decimals(value, low, high)
    if low is None or high is None:
        return number(value, places), ""
    return number(value, places), f"[{number(low, places)}, {number(high, places)}]"


def skill(value: float | None) -> str:
    """A skill, always with two decimals so that a column of them lines up."""
    return number(value, 2)


def percent(share: float | None) -> str:
    """A share 0..1 as a whole percentage; never rounded up to 100 % or down to 0 % when it is not."""
    if share is None:
        return MISSING
    if 0 < share < 0.01:
        return "< 1 %"
    if 0.99 < share < 1:
        return "> 99 %"
    return f"{number(100 * share, 0)} %"


def bound(value: float | None, infinite: str) -> str:
    """An end of a metric's range: as short as it can be written, or `infinite` where there is none."""
    return infinite if value is None else f"{value:.3g}".replace("-", MINUS)


def unit(name: str) -> str:
    """The unit as printed after a number; "" for a bare number."""
    return "" if name in SILENT_UNITS else name


def seconds(value: float | None) -> str:
    """A duration: "0.42 s", "12 s", "3 min 05 s", "2 h 10 min"."""
    if value is None:
        return MISSING
    if value < 10:
        return f"{number(value, 2)} s"
    if value < 120:
        return f"{number(value, 0)} s"
    if value < 7200:
        return f"{int(value // 60)} min {int(value % 60):02d} s"
    return f"{int(value // 3600)} h {int(value % 3600 // 60):02d} min"
