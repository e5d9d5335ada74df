"""The page as a file: complete, escaped, without a network, and honest about what is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.reports.fake_metrics import METRICS
from tests.reports.fake_run import write_fake_run
from worldsim.errors import StoreError
from worldsim.reports import build_report
from worldsim.reports.data import read_run
from worldsim.reports.view import page_of

GOLDEN = Path(__file__).parent.parent / "golden" / "report.txt"


class Reader(HTMLParser):
    """Collects what a reader sees, the targets of links, and whether every element is closed."""

    VOID = frozenset({"meta", "input", "br", "wbr", "img", "link"})
    BLOCK = frozenset({"tr", "p", "h1", "h2", "h3", "li", "dt", "figcaption", "summary", "thead", "svg", "article"})

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "poster") and value]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in self.BLOCK:
            self.text.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open and data.strip():
            self.text.append(" ".join(data.split()) + " ")


def read(index: Path) -> tuple[Reader, str]:
    html = index.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    lines = (line.rstrip() for line in "".join(reader.text).splitlines())
    return reader, "\n".join(line for line in lines if line) + "\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_run(tmp_path_factory.mktemp("runs") / "fake")


def test_golden(run: Path) -> None:
    """All words and numbers of the page. Set UPDATE_GOLDEN=1 to write it anew, and read the difference."""
    _, text = read(build_report(run))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_opens_from_disk_without_network(run: Path, tmp_path: Path) -> None:
    index = build_report(run, tmp_path / "elsewhere")
    reader, _ = read(index)
    media = [link for link in reader.links if not link.startswith("#")]
    assert media
    for link in media:
        assert not re.match(r"[a-z]+:|/", link), link
        assert (index.parent / link).is_file(), link
    html = index.read_text(encoding="utf-8")
    assert not re.search(r"""(https?:)?//(?!\s)[a-z0-9.-]+\.[a-z]{2,}/""", html.split("<main>")[0])
    assert "@import" not in html and "url(" not in html
    anchors = {link[1:] for link in reader.links if link.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]+)"', html))


def test_single_file_holds_its_media(run: Path, tmp_path: Path) -> None:
    index = build_report(run, tmp_path / "one", single_file=True)
    assert [path.name for path in index.parent.iterdir()] == ["index.html"]
    reader, _ = read(index)
    media = [link for link in reader.links if not link.startswith("#")]
    assert media
    assert all(link.startswith(("data:video/mp4;base64,", "data:image/png;base64,")) for link in media)


def test_everything_of_a_user_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>"
    run = write_fake_run(tmp_path / "run", scenarios=(evil, "b\"'&"), model="</script><img src=x>", videos=False)
    index = build_report(run)
    reader, text = read(index)
    assert "img" not in reader.tags
    html = index.read_text(encoding="utf-8")
    assert evil not in html and "<img src=x>" not in html
    assert evil in text  # shown, as text
    plain, _ = read(build_report(write_fake_run(tmp_path / "plain", videos=False)))
    assert reader.tags.count("script") == plain.tags.count("script")


def test_unscored_shows_its_reason_and_never_zero(run: Path) -> None:
    page = page_of(read_run(run))
    (row,) = [row for family in page.families for row in family.rows if row.standing == "unscored"]
    assert (row.value, row.skill, row.bar) == ("–", "–", "")
    assert row.reason == "no episode placed a block that left the view"
    assert "unscored:</span> no episode placed a block" in build_report(run).read_text(encoding="utf-8")


def test_worst_median_and_best(run: Path) -> None:
    data = read_run(run)
    page = page_of(data)
    for choice in page.choices:
        higher = next(row.higher_is_better for row in data.rows if row.metric == choice.metric)
        values = {s.episode: s.value for s in data.scores if s.metric == choice.metric and s.value is not None}
        order = sorted(values, key=lambda k: values[k] if higher else -values[k])
        picks = {rank: episode for rank, episode, _ in choice.picks}
        assert values[picks["worst"]] == values[order[0]]
        assert values[picks["best"]] == values[order[-1]]
        assert values[picks["median"]] == values[order[(len(order) - 1) // 2]]
    assert {episode for choice in page.choices for _, episode, _ in choice.picks} == {p.episode for p in page.players}


def test_failures_and_what_was_ruled_out_are_listed(run: Path) -> None:
    _, text = read(build_report(run))
    assert "failed the model raised ValueError: NaN in frame 12" in text
    assert "aborted the walk met water and could not return" in text
    assert "needs rewards, and the model predicts none" in text


@pytest.mark.parametrize("missing", ["curves.jsonl", "scores.jsonl", "summary.json", "episodes.jsonl", "config.yaml"])
def test_a_run_without(missing: str, tmp_path: Path) -> None:
    run = write_fake_run(tmp_path / "run", videos=False)
    (run / missing).unlink()
    _, text = read(build_report(run))
    assert "worldsim/DiT-tiny" in text
    if missing == "summary.json":
        assert "has not been scored" in text and "Nothing has been scored yet." in text


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    run = write_fake_run(tmp_path / "run", status="interrupted", videos=False)
    with (run / "episodes.jsonl").open("a") as lines:
        lines.write('{"episode": "torn')
    _, text = read(build_report(run))
    assert "This run was interrupted: the numbers are those of 6 of 8 episodes." in text
    assert "torn" not in text


def test_a_damaged_table_is_refused_by_line(tmp_path: Path) -> None:
    run = write_fake_run(tmp_path / "run", videos=False)
    lines = (run / "scores.jsonl").read_text().splitlines()
    (run / "scores.jsonl").write_text("\n".join([lines[0], "{oops", *lines[1:]]))
    with pytest.raises(StoreError, match=r"scores\.jsonl, line 2"):
        build_report(run)


def test_not_a_run_and_a_newer_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"run\.json"):
        build_report(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"schema": 2}))
    with pytest.raises(StoreError, match="newer version"):
        build_report(tmp_path)


def test_an_episode_id_cannot_lead_out_of_the_run(tmp_path: Path) -> None:
    run = write_fake_run(tmp_path / "run", videos=False)
    (tmp_path / "pair.mp4").write_bytes(b"secret")
    for name in ("episodes.jsonl", "scores.jsonl", "curves.jsonl"):
        path = run / name
        path.write_text(path.read_text().replace("walk-and-return-00000", "../.."))
    index = build_report(run)
    assert not (index.parent / "media").exists()


def test_twice_the_same_bytes(run: Path, tmp_path: Path) -> None:
    first = build_report(run, tmp_path / "a").read_bytes()
    assert first == build_report(run, tmp_path / "b").read_bytes()


def test_every_headline_metric_is_on_the_page_once(run: Path) -> None:
    html = build_report(run).read_text(encoding="utf-8")
    for spec in METRICS:
        assert html.count('<tr class="score') >= len(METRICS)
        assert len(re.findall(rf'<tr class="score [a-z-]+" data-metric="{re.escape(spec["metric"])}"', html)) == 1


def test_imports_neither_torch_nor_gymnasium() -> None:
    code = "import sys, worldsim.reports, worldsim.reports.terminal; print({'torch', 'gymnasium'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_script_and_style_stay_small() -> None:
    static = Path(__file__).parents[2] / "reports" / "static"
    assert len((static / "page.js").read_text().splitlines()) < 250
