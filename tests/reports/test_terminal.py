"""The headline in the terminal: the page's numbers, within the width."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.reports.fake_run import write_fake_run
from worldsim.reports.terminal import bar, headline_table, rows_of


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    run = write_fake_run(tmp_path_factory.mktemp("runs") / "fake", videos=False)
    return json.loads((run / "summary.json").read_text())  # type: ignore[no-any-return]


def printed(summary: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(headline_table(summary, width=width))  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [80, 120])
def test_fits_and_cuts_nothing(summary: dict[str, object], width: int) -> None:
    text = printed(summary, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "fidelity.psnr" in text and "26.3 dB [24.7, 27.6]" in text and "0.45" in text


def test_unscored_has_its_reason_and_no_zero(summary: dict[str, object]) -> None:
    text = printed(summary, 120)
    (line,) = [line for line in text.splitlines() if line.startswith("interaction.persistence  ")]
    assert "unscored" in line and "0.0" not in line
    assert "interaction.persistence unscored: no episode placed a block that left the view" in text


def test_brackets_in_names_are_not_markup() -> None:
    row = {"metric": "fidelity.[bold]x", "value": 1.0, "headline": True, "scenario": "*"}
    assert "fidelity.[bold]x" in printed({"rows": [row]}, 120)


@pytest.mark.parametrize(
    ("skill", "text"),
    [
        (0.0, "●" + "─" * 15 + "┤"),
        (1.0, "├" + "─" * 15 + "●"),
        (-1.0, "◂" + "─" * 15 + "┤"),
        (2.0, "├" + "─" * 15 + "▸"),
    ],
)
def test_bar(skill: float, text: str) -> None:
    assert bar(skill) == text


def test_an_empty_summary(tmp_path: Path) -> None:
    assert "Nothing has been scored yet." in printed({"rows": []}, 80)


def test_rows_stand_by_family() -> None:
    names = ["text.attribute", "fidelity.psnr", "policy.regret", "own.metric", "fidelity.ssim", "permanence.gap"]
    rows = rows_of([{"metric": name, "family": name.split(".")[0], "headline": True} for name in names])
    wanted = ["fidelity.psnr", "fidelity.ssim", "permanence.gap", "text.attribute", "policy.regret", "own.metric"]
    assert [row.metric for row in rows] == wanted
