"""The page in the system's chromium, from file://: the video plays, the cursors move together, nothing overflows."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reports.fake_matrix import FAILED, write_fake_matrix
from tests.reports.fake_metrics import MANY
from tests.reports.fake_run import CONTEXT, HORIZON, write_fake_run
from worldsim.reports import build_report
from worldsim.reports.certificate import build_certificate

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="no chromium was found")]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_report(write_fake_run(tmp_path_factory.mktemp("runs") / "fake"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api")
    driver = importlib.import_module("playwright._impl._driver").compute_driver_executable()[0]
    started = subprocess.run([driver, "--version"], capture_output=True, text=True)
    if started.returncode:  # on a minimal Debian it lacks libatomic1
        pytest.skip(f"playwright's driver does not start: {started.stderr.strip()}")
    with sync.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, index: Path) -> Iterator[Any]:
    """A desktop page; a script error or a request that leaves the disk fails the test."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else wrong.append(request.url))
    tab.goto(index.as_uri())
    yield tab
    tab.close()
    assert wrong == []


def cursor(player: Any) -> str | None:
    return player.locator(".plot .cursor").first.get_attribute("x1")  # type: ignore[no-any-return]


def test_video_plays_and_the_cursor_follows(page: Any) -> None:
    player = page.locator(".player:not([hidden])").first
    player.locator(".play").click()
    page.wait_for_function(
        "() => { const p = document.querySelector('.player:not([hidden])');"
        f" return p.querySelector('video').currentTime > 0.5 && Number(p.dataset.frame) > {CONTEXT}; }}",
        timeout=20_000,
    )
    assert player.locator(".plot .cursor").first.get_attribute("visibility") == "visible"
    player.locator(".play").click()
    assert player.locator("video").evaluate("v => v.paused && v.videoWidth > 0")


def test_scrubbing_moves_video_cursor_and_words(page: Any) -> None:
    player = page.locator(".player:not([hidden])").first
    slider = player.locator("input[type=range]")

    def to(frame: int) -> None:
        slider.evaluate("(s, v) => { s.value = v; s.dispatchEvent(new Event('input', {bubbles: true})); }", frame)

    def shown(frame: int) -> bytes:
        """The picture once the video stands at the frame; it must have been decoded, not only asked for."""
        page.wait_for_function(
            "() => { const v = document.querySelector('.player:not([hidden]) video');"
            f" return v.readyState >= 2 && !v.seeking && Math.floor(v.currentTime * 20) === {frame}; }}"
        )
        return player.locator("video").screenshot()  # type: ignore[no-any-return]

    poster = player.locator("video").screenshot()
    to(CONTEXT)  # the first predicted frame is horizon 1
    assert player.locator(".where").inner_text().startswith("step 1 ")
    first, picture = cursor(player), shown(CONTEXT)
    assert picture != poster
    to(CONTEXT + 20)
    assert player.locator(".where").inner_text().startswith("step 21 ")
    assert float(cursor(player) or 0) > float(first or 0)
    assert shown(CONTEXT + 20) != picture
    assert "model" in player.locator(".readout").first.inner_text()
    to(2)
    assert player.locator(".where").inner_text() == f"context 3 of {CONTEXT}"
    assert player.locator(".plot .cursor").first.get_attribute("visibility") == "hidden"


def test_keys_step_one_frame(page: Any) -> None:
    player = page.locator(".player:not([hidden])").first
    player.locator("video").focus()
    last = CONTEXT + HORIZON - 1
    for key, frame in (("End", last), ("ArrowLeft", last - 1), ("Home", 0), ("ArrowRight", 1)):
        page.keyboard.press(key)
        assert player.get_attribute("data-frame") == str(frame)


def test_pointing_at_a_curve_reads_the_numbers(page: Any) -> None:
    figure = page.locator("#curves figure.curve").first
    figure.scroll_into_view_if_needed()
    box = figure.locator("svg.plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    words = figure.locator(".readout").inner_text()
    assert "model" in words and "floor" in words and "ceiling" in words
    page.mouse.move(0, 0)
    assert figure.locator(".readout").inner_text() == ""


def test_another_metric_shows_other_episodes(page: Any) -> None:
    episodes, ranks = page.locator(".player:not([hidden]) .episode"), page.locator(".player:not([hidden]) .rank")
    before = episodes.all_inner_texts()
    page.select_option("#by", "fidelity.l1")
    after = episodes.all_inner_texts()
    assert len(after) == 3 and after != before
    said = [rank.split(", ") for rank in ranks.all_inner_texts()]
    assert [name for name, _ in said] == ["worst", "median", "best"]
    values = [float(value) for _, value in said]
    assert values == sorted(values, reverse=True)  # lower is better


def test_theme_button_switches(page: Any) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(paper)
    page.click("#theme")
    assert page.evaluate(paper) != before


CONTRAST = """(selectors) => {
  const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map((v) => {
      v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const of = (s) => { const e = document.querySelector(s), c = getComputedStyle(e);
    const ink = light(e.closest("svg") ? c.fill : c.color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05); };
  return selectors.map((s) => [s, of(s)]);
}"""
REPORT = [".verdict", ".note", ".about", ".interval", ".skill", ".unscored .key", ".plot .label.model"]
REPORT += [".plot .label.floor", ".plot .axis", ".bar .ticktext", ".badge", ".badge.good", ".said"]
CERTIFICATE = [".verdict", ".facts", ".failed", ".badge.good", ".badge.faint", ".mx .row", ".mx .col", ".mx .family"]
CERTIFICATE += [".mx .pass:not(.deep) .sign", ".mx .tilde:not(.deep) .sign", ".mxlegend", ".sev text", ".unscored .key"]


def look(browser: Any, index: Path, width: int, scheme: str, selectors: list[str]) -> None:
    """The page is no wider than the screen, its words can be read, nothing complains and nothing is fetched."""
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else wrong.append(request.url))
    tab.goto(index.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert [(name, ratio) for name, ratio in tab.evaluate(CONTRAST, selectors) if ratio < 4.5] == []  # WCAG 2 AA
    tab.close()
    assert wrong == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_and_text_has_contrast(browser: Any, index: Path, width: int, scheme: str) -> None:
    look(browser, index, width, scheme, REPORT)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_whole_evaluation_does_not_overflow(browser: Any, tmp_path: Path, width: int) -> None:
    look(browser, build_report(write_fake_run(tmp_path, videos=False, metrics=MANY)), width, "light", REPORT)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_certificate(write_fake_matrix(tmp_path_factory.mktemp("runs") / "certificate"))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_certificate_does_not_overflow(browser: Any, certificate: Path, width: int, scheme: str) -> None:
    look(browser, certificate, width, scheme, CERTIFICATE)


def test_a_failed_cell_is_visible(browser: Any, certificate: Path) -> None:
    tab = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    tab.goto(certificate.as_uri())
    cell = tab.locator(".cells .cell.fail", has_text=f"{FAILED[0]} at 2 px on {FAILED[1]}")
    edge = cell.locator(".failedge")
    width, colour = edge.evaluate("e => [getComputedStyle(e).strokeWidth, getComputedStyle(e).stroke]")
    assert float(width.removesuffix("px")) > 2 and colour == "rgb(192, 52, 29)"
    assert cell.bounding_box()["width"] >= 20  # large enough to be pointed at
    rows = tab.locator(".names .row").evaluate_all("all => all.map((e) => e.getBoundingClientRect().top)")
    tops = tab.locator(".cells .cell .box").evaluate_all("all => all.map((e) => e.getBoundingClientRect().top)")
    assert [sum(abs(top - row) < 15 for top in tops) for row in rows] == [4, 4, 4, 4]  # names stand beside their cells
    tab.close()
