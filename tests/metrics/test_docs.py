"""The code of docs/metrics.md runs, and what the page says about each metric is what its spec says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from worldsim.registry import METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


def test_the_example_runs_and_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METRICS, "_table", dict(METRICS._table))  # what the example registers is forgotten again
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    scope: dict[str, Any] = {"__name__": "docs_metrics"}
    exec(compile(code, "docs/metrics.md", "exec"), scope)
    assert scope["report"].ok, str(scope["report"])
    assert METRICS.get("mine.brightness") is scope["Brightness"]


@pytest.mark.parametrize("name", [n for n in METRICS.names() if n.startswith("fidelity.")])
def test_the_table_agrees_with_the_spec(name: str) -> None:
    spec = METRICS.get(name).spec
    row = re.search(rf"^\| `{re.escape(name)}` \|(.*)\|$", PAGE, re.MULTILINE)
    assert row is not None, f"docs/metrics.md has no row for {name}"
    *_, unit, _, better, floor, power = (cell.strip() for cell in row[1].replace(r"\|", "").split("|"))
    assert unit == spec.unit and floor == spec.floor
    assert better == ("higher" if spec.higher_is_better else "lower")
    assert float(power.split()[0]) == spec.power
