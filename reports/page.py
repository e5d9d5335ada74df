"""Writes the page: one folder of static HTML that opens from disk, without a network."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from worldsim.reports.data import read_run
from worldsim.reports.episodes import Player
from worldsim.reports.view import page_of

MIME = {".mp4": "video/mp4", ".png": "image/png"}


@cache
def environment() -> Environment:
    """Jinja with escaping on for every template and undefined names refused."""
    env = Environment(
        loader=PackageLoader("worldsim.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["breakable"] = breakable
    env.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False, "separators": (",", ":")}
    return env


def breakable(name: str) -> Markup:
    """A dotted name that may be broken after dots and underscores, where a column is narrow."""
    return Markup(str(escape(name)).replace(".", ".<wbr>").replace("_", "_<wbr>"))


def asset(name: str) -> Markup:
    """A stylesheet or script of this package, to be written into the page as it is."""
    return Markup((resources.files("worldsim.reports") / "static" / name).read_text(encoding="utf-8"))


def data_uri(path: Path) -> str:
    """A file as text, for the page that is one file."""
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def place_media(players: tuple[Player, ...], media: Path, *, single_file: bool) -> dict[str, Mapping[str, str]]:
    """Copies (or inlines) the shown episodes' files: player key -> {"video": link, "poster": link}, "" if missing."""
    links: dict[str, Mapping[str, str]] = {}
    for player in players:
        found: dict[str, str] = {}
        for kind, path in (("video", player.video), ("poster", player.poster)):
            if path is None:
                found[kind] = ""
            elif single_file:
                found[kind] = data_uri(path)
            else:
                media.mkdir(parents=True, exist_ok=True)
                target = media / f"{player.key}{path.suffix}"
                shutil.copyfile(path, target)
                found[kind] = f"media/{target.name}"
        links[player.key] = found
    return links


def build_report(run: Path, out: Path | None = None, *, single_file: bool = False) -> Path:
    """Builds the page of a run.

    Args:
        run: The run's folder; it may be unfinished, unscored, or without videos: the page says so.
        out: Folder of the page; default `run/report`.
        single_file: Put videos and pictures into the HTML itself, to send it as one file.

    Returns:
        The path of index.html.

    Raises:
        StoreError: If `run` is no run, or one that a newer version wrote.
    """
    data = read_run(Path(run))
    page = page_of(data)
    folder = Path(out) if out is not None else data.path / "report"
    folder.mkdir(parents=True, exist_ok=True)
    links = place_media(page.players, folder / "media", single_file=single_file)
    template = environment().get_template("page.html")
    html = template.render(page=page, links=links, css=asset("page.css"), js=asset("page.js"))
    return write_page(folder / "index.html", html)


def write_page(path: Path, text: str) -> Path:
    """Puts a file into place in one step, so that a reader never sees half of it; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
    return path
