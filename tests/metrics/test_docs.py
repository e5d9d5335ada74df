"""The code of docs/metrics.md runs; every registered metric has a page, and what it says is what the spec says."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import cv2
import pytest

from worldsim.registry import METRICS

DOCS = Path(__file__).parents[2] / "docs"
INDEX = (DOCS / "metrics.md").read_text(encoding="utf-8")
PAGES = {page.name: page.read_text(encoding="utf-8") for page in sorted((DOCS / "metrics").glob("*.md"))}
#: Families without pictures, and why.
NO_PICTURE = {"learned": "no weights come with worldsim, and what stand-ins say of a frame means nothing"}
NAMES = [n for n in METRICS.names() if not n.startswith(("test.", "mine."))]


def rows(text: str) -> dict[str, dict[str, str]]:
    """Metric -> column -> cell, of the first table of a page that names it in its first column."""
    found: dict[str, dict[str, str]] = {}
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        head, _, *body = ([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines())
        for line in body:
            name = re.match(r"\[?`(\w+\.\w+)`", line[0])
            if name:
                found.setdefault(name[1], dict(zip(head, line, strict=True)))
    return found


ROWS = {page: rows(text) for page, text in PAGES.items()}
COLUMNS = {"unit", "range", "better", "floor", "power"}


def page_of(name: str) -> tuple[str, dict[str, str]]:
    found = {page: table[name] for page, table in ROWS.items() if table.get(name, {}).keys() >= COLUMNS}
    assert len(found) == 1, f"one page of docs/metrics/ should have a row with {COLUMNS} for {name}, found {[*found]}"
    return next(iter(found.items()))


def limits(text: str) -> tuple[float, float]:
    """The numbers of "0 to 58.92", "-inf to inf", "0 up", "0 to the horizon" (whatever it is)."""
    low, _, high = re.fullmatch(r"(\S+) (to|up)(.*)", text).groups()  # type: ignore[union-attr]
    return float(low), float(high) if re.fullmatch(r" -?(inf|[\d.]+)", high) else math.inf


def test_the_example_runs_and_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METRICS, "_table", dict(METRICS._table))  # what the example registers is forgotten again
    (code,) = re.findall(r"```python\n(.*?)```", INDEX, re.DOTALL)
    scope: dict[str, Any] = {"__name__": "docs_metrics"}
    exec(compile(code, "docs/metrics.md", "exec"), scope)
    assert scope["report"].ok, str(scope["report"])
    assert METRICS.get("mine.brightness") is scope["Brightness"]


@pytest.mark.parametrize("name", NAMES)
def test_the_index_agrees_with_the_spec(name: str) -> None:
    spec = METRICS.get(name).spec
    row = rows(INDEX).get(name)
    assert row is not None, f"docs/metrics.md has no row for {name}"
    better = "higher" if spec.higher_is_better else "lower"
    assert [*row.values()][1:] == [spec.summary, spec.unit, better, spec.floor, "yes" if spec.headline else ""]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_agrees_with_the_spec(name: str) -> None:
    spec = METRICS.get(name).spec
    page, row = page_of(name)
    assert (row["unit"], row["floor"]) == (spec.unit, spec.floor)
    assert limits(row["range"]) == pytest.approx(spec.range, abs=0.005)
    assert row["better"] == ("higher" if spec.higher_is_better else "lower")
    assert float(row["power"].split()[0]) == spec.power
    assert "ndefined" in PAGES[page] and "imits" in PAGES[page]


@pytest.mark.parametrize("name", [n for n in NAMES if n.split(".")[0] not in NO_PICTURE])
def test_the_page_shows_a_good_and_a_bad_case(name: str) -> None:
    page, _ = page_of(name)
    assert f"](../images/metrics/{name}.png)" in PAGES[page], f"docs/metrics/{page} shows no picture of {name}"
    file = DOCS / "images" / "metrics" / f"{name}.png"
    assert file.stat().st_size <= 60_000
    picture = cv2.imread(str(file))
    assert picture is not None and 600 <= picture.shape[1] <= 1000


def test_nothing_is_left_over() -> None:
    """Pictures of metrics that are gone, links between pages that lead nowhere."""
    for file in (DOCS / "images" / "metrics").glob("*.png"):
        assert file.stem in NAMES, f"{file.name} is no metric's"
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert (DOCS / "metrics" / target).exists(), f"{page}: {target}"
