"""The SVG charts: well-formed, escaped, in proportion, with gaps where nothing was scored."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldsim.reports.charts import Line, curve_chart, readout, skill_bar, skill_x, spread, thin, ticks, value_range
from worldsim.reports.curves import figure
from worldsim.reports.data import CurvePoint, SummaryRow


def line(kind: str, values: tuple[float | None, ...], **more: object) -> Line:
    return Line(name=f"<{kind}>", kind=kind, h=tuple(range(1, len(values) + 1)), values=values, label=kind, **more)  # type: ignore[arg-type]


def test_bar_is_well_formed_and_escaped() -> None:
    svg = skill_bar(skill=0.5, low=0.4, high=0.6, floor="<b>floor", ceiling="re-run & more", nulls=[("<i>", -0.1)])
    root = ET.fromstring(svg)
    assert "<b>" not in svg and "<i>" not in svg
    assert "skill 0.50, interval 0.40 to 0.60" in root.attrib["aria-label"]


def test_bar_places_the_point_in_proportion() -> None:
    root = ET.fromstring(skill_bar(skill=0.25, low=None, high=None, floor="f", ceiling="c"))
    point = root.find("circle[@class='point']")
    assert point is not None
    assert float(point.attrib["cx"]) == pytest.approx(skill_x(0) + 0.25 * (skill_x(1) - skill_x(0)), abs=0.06)
    assert root.find("line[@class='whisker']") is None


@pytest.mark.parametrize("skill", [-3.0, 7.5])
def test_bar_points_out_of_the_axis_with_an_arrow(skill: float) -> None:
    root = ET.fromstring(skill_bar(skill=skill, low=None, high=None, floor="f", ceiling="c"))
    assert root.find("circle") is None
    assert root.find("path[@class='point']") is not None


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_inside_and_even(low: float, width: float) -> None:
    marks = ticks(low, low + width)
    assert 1 <= len(marks) <= 9
    slack = 1e-6 * max(abs(low), width)
    assert all(low - slack <= mark <= low + width + slack for mark in marks)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=4))
def test_labels_never_overlap(at: list[float]) -> None:
    placed = sorted(spread(at, 13.0, 0.0, 100.0))
    assert all(b - a >= 13.0 - 1e-9 for a, b in itertools.pairwise(placed))


def test_curve_breaks_where_nothing_was_scored() -> None:
    root = ET.fromstring(curve_chart([line("model", (3.0, 2.0, None, 1.0, 0.5))], title="<t>", unit="<dB>"))
    lines = root.findall(".//polyline[@class='line model']")
    assert [len(one.attrib["points"].split()) for one in lines] == [2, 2]
    assert root.attrib["data-h0"] == "1" and root.attrib["data-h1"] == "5"


def test_curve_without_a_single_value_is_no_chart() -> None:
    assert curve_chart([line("model", (None, None))], title="t", unit="") == ""
    assert curve_chart([], title="t", unit="") == ""


def test_constant_curve_is_drawn() -> None:
    svg = curve_chart([line("model", (1.0, 1.0, 1.0)), line("ceiling", (1.0, 1.0, 1.0))], title="t", unit="1")
    assert not re.search(r"nan|inf", svg)


def test_far_null_does_not_flatten_the_model() -> None:
    span = value_range([line("model", (1.0, 0.5)), line("floor", (0.0, 0.0)), line("null", (-1000.0, -1000.0))])
    assert span is not None
    assert span[0] > -1.0 and span[1] < 1.5


def test_thin_keeps_both_ends() -> None:
    long = line("model", tuple(float(i) for i in range(5000)))
    short = thin(long, 240)
    assert len(short.h) == 240
    assert (short.h[0], short.h[-1]) == (1, 5000)


def test_readout_writes_missing_values_as_a_dash() -> None:
    (out,) = readout([line("model", (1.0, None), low=(0.9, None), high=(1.1, None))])
    assert out["text"] == ["1.00 [0.900, 1.10]", "–"]
    assert readout([line("null", (None, None))]) == []


def test_a_curve_of_gaps_alone_is_no_figure() -> None:
    """A metric with a value may have none at any single horizon: the page's script expects a line in every figure."""
    row = SummaryRow(metric="fidelity.useful_horizon", value=1.0, floor=0.0, ceiling=2.0)
    few = tuple(CurvePoint(h=h, value=None, low=0.4, high=0.6) for h in range(1, 5))  # an interval, too few worlds
    gaps = {"model": few, "ceiling": tuple(CurvePoint(h=h, value=None) for h in range(1, 5))}
    assert figure(gaps, row, "t") is None
    drawn = figure(gaps | {"model": tuple(CurvePoint(h=h, value=0.5) for h in range(1, 5))}, row, "t")
    assert drawn is not None and [line["kind"] for line in drawn.data] == ["model"]
