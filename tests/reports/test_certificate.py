"""The page of a certification: complete, escaped, and loud about what does not hold."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.reports.fake_matrix import FAILED, FAULTS, NULLS, SIGNS, fake_matrix, write_fake_matrix
from tests.reports.test_page import read
from worldsim.errors import StoreError, WorldsimError
from worldsim.reports.certificate import build_certificate, counts, failures, untried, verdict
from worldsim.reports.matrix_data import read_matrix
from worldsim.reports.matrix_picture import layout, said
from worldsim.reports.severity_curves import lowest, severity_chart

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_fake_matrix(tmp_path_factory.mktemp("runs") / "certificate")
    build_certificate(folder)
    return folder


def bend(tmp_path: Path, **changes: Any) -> Path:
    return write_fake_matrix(tmp_path / "bent", fake_matrix() | changes)


def text_of(folder: Path) -> str:
    return read(build_certificate(folder))[1]


# ---------------------------------------------------------------------------------------------------------- the page


def test_the_sections_and_figures_of_the_page(folder: Path) -> None:
    reader, text = read(folder / "report" / "index.html")
    lines = text.splitlines()
    heads = ["The response matrix", "What does not hold", "Metrics", "Cheats", "Faults", "Skill against severity"]
    heads += ["How it is judged"]
    assert [line.strip() for line in lines if line.strip() in heads] == heads
    data = read_matrix(folder)
    judged = [c for c in data.cells.values() if c.expected != "~"]
    good = sum(c.verdict == "pass" for c in judged)
    assert f"{good} of {len(judged)} expectations hold and 1 cheat beats a floor." in text
    assert "1 of 2 cheats caught" in text and "no nulls above a floor" in text and "2 of 4 metrics certified" in text
    assert "preset ci seed 7 12 worlds a scenario 2026-11-24" in text
    assert "worldsim certify --preset ci --seed 7 --metrics fidelity.psnr" in text and "certify v1 0dba40eebea0" in text
    anchors = {link[1:] for link in reader.links if link.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]+)"', (folder / "report" / "index.html").read_text()))
    assert all(link.startswith("#") for link in reader.links)  # nothing is fetched


def test_every_metric_fault_null_and_cheat_has_its_line(folder: Path) -> None:
    _, text = read(folder / "report" / "index.html")
    metrics = text.split("Floor and ceiling set skill 0 and 1.")[1]
    for name in NULLS:
        assert name in metrics.splitlines()[1]
    assert re.search(
        r"identity uncertified version 2 1 / 1 2 / 3 0.250 chance declared frozen 1.000 12 0.00 −0.33", metrics
    )
    assert re.search(r"psnr certified version 1, dB 1 / 1 1 / 1", metrics)
    assert re.search(r"gap uncertified version 3, diagnostic .* no skill: no floor: no null was scored", metrics)
    for name, (plants, unit, levels, _) in FAULTS.items():
        assert re.search(rf"{name}( cheat)? {plants} {', '.join(f'{s:g}' for s in levels)} {unit}", metrics)
    assert "always-the-edit always shows the edit interaction. persistence 0.90 [0.80, 0.10] beats the floor" in metrics


def test_a_failing_cell_is_seen_in_the_table_and_in_the_picture(folder: Path) -> None:
    fault, metric = FAILED
    html, text = (folder / "report" / "index.html").read_text(), read(folder / "report" / "index.html")[1]
    reason = "equivalence p 0.97, 90% interval -0.310 to -0.290"
    assert f"{fault} on permanence. identity a blurred picture must not move (0) 0.300 12 {reason}" in text
    (drawn,) = re.findall(rf'<g class="cell fail"><title>{fault} at [^<]*{metric}.*?</g>', html, flags=re.S)
    assert "failedge" in drawn and "failcross" in drawn and reason in drawn
    assert "vanish on permanence. gap" in text and "– 12 no floor: no null was scored" in text


def test_all_that_holds_is_said_in_one_sentence(tmp_path: Path) -> None:
    document = fake_matrix()
    for row in document["rows"]:
        row["verdict"] = "measured" if row["expected"] == "~" else "pass"
    document["cheats"] = document["cheats"][:1]
    folder = write_fake_matrix(tmp_path, document)
    data = read_matrix(folder)
    total = sum(r["expected"] != "~" for r in document["rows"])
    assert verdict(data) == f"All {total} expectations hold, every cheat is caught, and no null lies above a floor."
    assert failures(data) == () and "What does not hold" not in text_of(folder)
    assert counts(data)[-1] == "4 of 4 metrics certified"


def test_what_could_not_be_tried_is_said_with_its_reason_and_counts_neither_way(tmp_path: Path) -> None:
    document = fake_matrix()
    document["cheats"] = document["cheats"][:1]
    for row in document["rows"]:
        if row["fault"] == "vanish" or row["metric"] == "permanence.gap":
            why = "no scenario asks" if row["metric"] == "permanence.gap" else "the truth gives no RemoveObject"
            row |= {"verdict": "n/a", "reason": why, "effect": None, "skills": []}
        elif row["verdict"] == "fail":
            row["verdict"] = "pass"
    folder = write_fake_matrix(tmp_path, document)
    data = read_matrix(folder)
    rows = {line["why"]: line for line in untried(data)}
    assert rows["no scenario asks"] == {"what": "permanence.gap", "cells": "4", "why": "no scenario asks"}
    assert rows["the truth gives no RemoveObject"]["what"] == "vanish" and len(rows) == 2
    judged = [r for r in document["rows"] if r["expected"] != "~" and r["verdict"] != "n/a"]
    assert verdict(data).startswith(f"All {len(judged)} expectations hold") and failures(data) == ()
    assert "permanence.identity" not in data.certified  # its only + cell could not be tried
    text = text_of(folder)
    assert "What could not be tried" in text and "the truth gives no RemoveObject" in text
    assert "must lose skill: not applicable" in said(data.cells["vanish", "permanence.identity"])
    assert "What could not be tried" not in text_of(write_fake_matrix(tmp_path / "whole"))


def test_a_null_above_the_floor_is_a_failure(tmp_path: Path) -> None:
    document = fake_matrix()
    document["metrics"]["fidelity.psnr"]["nulls"]["noise"]["skill"] = 0.07
    folder = write_fake_matrix(tmp_path, document)
    text = text_of(folder)
    assert "1 null above a floor" in text and "1 null lies above a floor." in text
    assert "noise on fidelity. psnr a simulator that knows nothing must not lie above the floor (null)" in text
    assert "0.07 above" in text


def test_nothing_expected(tmp_path: Path) -> None:
    document = fake_matrix()
    for row in document["rows"]:
        row |= {"expected": "~", "verdict": "measured"}
    data = read_matrix(write_fake_matrix(tmp_path, document | {"cheats": []}))
    assert verdict(data).startswith("Nothing was expected")
    assert "Skill against severity" not in text_of(tmp_path)


def test_everything_of_the_file_is_escaped(tmp_path: Path) -> None:
    evil = "</title><script>alert('x')</script>"
    document = fake_matrix()
    document["faults"][evil] = document["faults"].pop("vanish") | {"plants": evil, "unit": evil}
    document["metrics"][evil] = document["metrics"].pop("fidelity.psnr") | {"unit": evil, "floor_name": evil}
    for row in document["rows"]:
        row["fault"] = evil if row["fault"] == "vanish" else row["fault"]
        row["metric"] = evil if row["metric"] == "fidelity.psnr" else row["metric"]
        row |= {"reason": evil, "family": evil}
    document |= {"preset": evil, "created": evil, "suite": {"name": evil}}
    folder = write_fake_matrix(tmp_path, document)
    reader, text = read(build_certificate(folder))
    plain, _ = read(build_certificate(write_fake_matrix(tmp_path / "plain")))
    assert reader.tags.count("script") == plain.tags.count("script")
    assert evil in text
    ElementTree.parse(folder / "matrix.svg")


# ------------------------------------------------------------------------------------------------------ the picture


def test_the_picture_stands_alone(folder: Path) -> None:
    root = ElementTree.parse(folder / "matrix.svg").getroot()
    text = (folder / "matrix.svg").read_text()
    assert "var(--" not in text and "prefers-color-scheme: dark" in text
    cells = [
        g
        for g in root.iter(f"{SVG}g")
        if "cell" in (g.get("class") or "").split() and g.find(f"{SVG}title") is not None
    ]
    assert len(cells) == len(SIGNS) * len(FAULTS)
    words = {t.text for t in root.iter(f"{SVG}text")}
    assert {
        "Response of 4 metrics under 4 planted faults",
        "preset ci · seed 7 · 12 worlds a scenario · 2026-11-24",
    } <= words
    assert set(FAULTS) <= {
        "".join(t.itertext()).removeprefix(FAULTS.get(n, ("",))[0]) for t in root.iter(f"{SVG}text") for n in FAULTS
    }
    assert {"must lose skill: passed", "must not move: passed", "failed", "measured only"} <= words
    title = f"{FAILED[0]} at 2 px on {FAILED[1]}"
    assert any((g.findtext(f"{SVG}title") or "").startswith(title) for g in cells)


def test_cells_lie_in_their_row_and_column(folder: Path) -> None:
    data = read_matrix(folder)
    at = layout(data)
    assert list(at.columns) == ["fidelity.psnr", "permanence.identity", "permanence.gap", "interaction.persistence"]
    xs = list(at.columns.values())
    assert xs == sorted(xs) and xs[-1] < at.width
    assert [name for name, _, _ in at.blocks] == ["fidelity", "permanence", "interaction"]
    for (_, left, wide), (_, right, _) in zip(at.blocks, at.blocks[1:], strict=False):
        assert left + wide <= right  # families do not overlap


def test_a_tooltip_tells_all(folder: Path) -> None:
    data = read_matrix(folder)
    words = said(data.cells["vanish", "permanence.identity"], data.faults[0]).splitlines()
    assert words[0] == "vanish at 1 probability on permanence.identity"
    assert words[1:] == ["must lose skill: pass", "skill lost 1.100", "p of the trend 0.001, tau 1.00", "12 worlds"]
    words = said(data.cells["vanish", "permanence.gap"]).splitlines()
    assert "no skill was measured" in words and words[-1] == "no floor: no null was scored"


def test_curves_start_at_the_truth_and_undefined_severities_are_gaps(folder: Path) -> None:
    data = read_matrix(folder)
    cell = data.cells["vanish", "permanence.identity"]
    low = lowest(data.of("+"))
    assert low == pytest.approx(-0.16)
    svg = severity_chart(cell, low, "words")
    points = re.findall(r'points="([^"]+)"', svg)[0].split()
    ys = [float(p.split(",")[1]) for p in points]
    assert len(points) == 4 and ys == sorted(ys)  # down the page as skill is lost
    broken = replace(cell, skills=(1.0, None, 0.4, 0.2))
    assert len(re.findall("<polyline", severity_chart(broken, low, "words"))) == 2
    assert "no skill" in severity_chart(replace(cell, skills=()), low, "words")


# ------------------------------------------------------------------------------------------------------- what is bad


def test_no_file_torn_file_newer_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"matrix\.json, and has none.*worldsim certify"):
        build_certificate(tmp_path)
    folder = write_fake_matrix(tmp_path)
    whole = (folder / "matrix.json").read_text()
    (folder / "matrix.json").write_text(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="should be JSON"):
        build_certificate(folder)
    with pytest.raises(StoreError, match="schema 2"):
        build_certificate(bend(tmp_path, schema=2))
    assert not (folder / "report").exists()


@pytest.mark.parametrize("key", ["schema", "preset", "seed", "worlds", "metrics", "cheats", "faults", "rows"])
def test_a_missing_key_is_named(key: str, tmp_path: Path) -> None:
    document = fake_matrix()
    del document[key]
    with pytest.raises(WorldsimError, match=f"lacks '{key}'"):
        build_certificate(write_fake_matrix(tmp_path, document))


@pytest.mark.parametrize("key", ["fault", "metric", "expected", "verdict", "severities", "skills", "n_worlds"])
def test_a_missing_key_of_a_row_is_named_with_its_place(key: str, tmp_path: Path) -> None:
    document = fake_matrix()
    del document["rows"][3][key]
    with pytest.raises(WorldsimError, match=rf"rows\[3\] lacks '{key}'"):
        build_certificate(write_fake_matrix(tmp_path, document))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("verdict", "fine", "pass, fail, measured"),
        ("expected", "-", r"\+, 0, ~"),
        ("effect", "much", "a number as 'effect', got 'much'"),
        ("skills", 3, "a list of numbers as 'skills'"),
        ("fault", "unheard-of", "the fault 'unheard-of', which the file does not describe"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(key: str, value: Any, words: str, tmp_path: Path) -> None:
    document = fake_matrix()
    document["rows"][0][key] = value
    with pytest.raises(StoreError, match=words):
        build_certificate(write_fake_matrix(tmp_path, document))


def test_twice_the_same_bytes(folder: Path) -> None:
    before = [(folder / name).read_bytes() for name in ("report/index.html", "matrix.svg")]
    build_certificate(folder)
    assert before == [(folder / name).read_bytes() for name in ("report/index.html", "matrix.svg")]
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "index.html",
        "matrix.json",
        "matrix.svg",
    ]


def test_imports_neither_torch_nor_gymnasium() -> None:
    code = "import sys, worldsim.reports.certificate; print({'torch', 'gymnasium', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
