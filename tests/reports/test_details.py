"""What stands behind a score: answers as a table, memory in a sentence, parts as small tables; and the wide page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.reports.fake_metrics import MANY, METRICS, SCENARIOS
from tests.reports.fake_run import write_fake_run
from tests.reports.test_page import read
from worldsim.reports import build_report
from worldsim.reports.data import SummaryRow, read_run
from worldsim.reports.details import Details, confusion_of, details_of, details_of_all, half_life
from worldsim.reports.headline import FAMILIES
from worldsim.reports.view import page_of


def shown(**details: Any) -> Details:
    found = details_of(SummaryRow(metric="a.b", details=details))
    assert found is not None
    return found


def test_answers_stand_in_the_order_of_the_truths_with_no_answer_last() -> None:
    table = confusion_of({"moved": {"never left": 1, "here": 2}, "here": {"elsewhere": 3, "here": 1}})
    assert table is not None
    assert table.answers == ("moved", "here", "elsewhere", "never left")
    assert [(true, [c.count for c in cells]) for true, cells in table.rows] == [
        ("moved", [0, 2, 0, 1]),
        ("here", [0, 1, 3, 0]),
    ]
    assert [[c.right for c in cells] for _, cells in table.rows] == [
        [True, False, False, False],
        [False, True, False, False],
    ]
    for _, cells in table.rows:
        assert sum(c.share for c in cells) == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [None, {}, "x", 3, {"a": 1}, {"a": {"b": 0.5}}, {"a": {"b": True}}])
def test_what_is_no_confusion_is_not_shown_as_one(bad: Any) -> None:
    assert confusion_of(bad) is None


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ("12.5", "about 12.5 steps out of view; by then right answers have fallen half-way to chance."),
        ("shorter than 4", "shorter than 4 steps out of view; by then"),
        ("longer than 64", "longer than 64 steps out of view, the longest that was tried."),
        ("undefined", "undefined."),
        ("", "Half-life of memory"),
    ],
)
def test_half_life_in_a_sentence(span: str, words: str) -> None:
    assert words in half_life(span)


def test_known_details_are_sentences_and_what_is_undefined_is_not_said() -> None:
    assert shown(place_kept=0.5, right_where_kept=None).sentences == (
        "The view was left and the place kept in 50 % of the answers.",
    )
    assert shown(false_marks=0.25).sentences == (
        "Marks that nobody made are seen in 25 % of the twins without the deed.",
    )
    assert details_of(SummaryRow(metric="a.b", details={"false_marks": None, "until": None, "half_life": None})) is None
    assert details_of(SummaryRow(metric="a.b")) is None


def test_parts_are_a_line_or_a_table() -> None:
    found = shown(kinds={"turns": 0.5, "moves": None}, slope=-0.25, note="as it is", whole=3)
    assert found.sentences == ("Kinds: turns 0.500, moves –.", "Slope: −0.250.", "Note: as it is.", "Whole: 3.")
    (table,) = shown(components={"yaw": {"skill": 0.5, "lag": 1}, "x": {"skill": 0.25}}).tables
    assert (table.title, table.columns) == ("components", ("skill", "lag"))
    assert table.rows == (("yaw", ("0.500", "1")), ("x", ("0.250", "–")))
    deep = shown(policies={"s": {"p_0": {"truth": 1.0}}, "t": {"p0": {"truth": 2.0}}}).tables
    assert [t.title for t in deep] == ["policies, s", "policies, t"] and deep[0].rows == (("p 0", ("1.00",)),)


def test_a_table_that_several_scores_share_is_shown_once() -> None:
    panel = {"policies": {"s": {"p0": {"truth": 1.0}}}}
    rows = [SummaryRow(metric=f"policy.{k}", details=panel | ({"slope": 1.0} if k else {})) for k in range(3)]
    rows.append(SummaryRow(metric="policy.none", details=panel))
    found = details_of_all(rows)
    assert [(d.metric, len(d.tables)) for d in found] == [("policy.0", 1), ("policy.1", 0), ("policy.2", 0)]


def test_details_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>"
    spec = METRICS[5] | {"details": {"answers": {evil: {evil: 1}}, evil: {evil: {evil: evil}}, "half_life": evil}}
    index = build_report(write_fake_run(tmp_path, videos=False, metrics=(spec,)))
    reader, text = read(index)
    assert evil in text and evil not in index.read_text()
    assert "td" in reader.tags


def test_a_whole_evaluation_is_read_by_family(tmp_path: Path) -> None:
    page = page_of(read_run(write_fake_run(tmp_path, videos=False, metrics=MANY)))
    assert [family.name for family in page.families] == list(FAMILIES)
    assert sum(len(family.rows) for family in page.families) == len(MANY) == 20
    assert [group["title"] for group in page.scenarios] == [title for title, _ in FAMILIES.values()]
    for group in page.scenarios:
        assert 1 <= len(group["metrics"]) <= 4
        for line in group["lines"]:
            assert len(line["cells"]) == len(group["metrics"]) and any(c["row"] for c in line["cells"])
    text = next(g for g in page.scenarios if g["title"] == "Text")
    assert [line["name"] for line in text["lines"]] == [SCENARIOS[10 % 2]]  # asked on one scenario only
    assert not any("not scored on this scenario" in gap["reason"] for gap in page.scenario_gaps)
    assert [d.metric for d in page.answers] == ["permanence.identity"]
    assert len(page.behind) == 13 and [len(d.tables) for d in page.behind].count(1) == 1  # they all share one
    _, words = read(build_report(tmp_path))
    assert "Behind 13 other scores" in words and "Kinds: turns 0.400, moves 0.300." in words


def test_marks_say_who_is_certified(tmp_path: Path) -> None:
    html = build_report(write_fake_run(tmp_path, videos=False)).read_text()
    rows = dict(
        re.findall(r'<tr class="score [^"]+" data-metric="([^"]+)">.*?class="badge[^"]*"[^>]*>(\w+)<', html, flags=re.S)
    )
    assert rows == {m["metric"]: "certified" if m.get("certified") else "uncertified" for m in METRICS}


def test_marks_say_where_a_metric_is_certified(tmp_path: Path) -> None:
    folder = write_fake_run(tmp_path, videos=False)
    summary = json.loads((folder / "summary.json").read_text())
    for row in summary["rows"]:
        row |= {"certified": False, "certified_in": "blocks"}
    (folder / "summary.json").write_text(json.dumps(summary))
    html = build_report(folder).read_text()
    assert (
        ">certified in Blocks</span>" in html and ">certified</span>" not in html and ">uncertified</span>" not in html
    )
    assert "in these worlds it has not done so" in html
