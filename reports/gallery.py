"""A page of generated clips: one folder of static HTML beside its media, that opens from disk without a network.

`folder/index.html` is the page, `folder/media/` holds the clips, each with a still picture of its first frame. What a
card says of a clip (model, prompt, seed) is what the record inside its file says.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import quote

from worldsim.comments import png_size
from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.media import clip_info, read_clip, write_clip
from worldsim.provenance import read_provenance
from worldsim.reports import numbers
from worldsim.reports.page import asset, environment, write_page

Mode: TypeAlias = Literal[
    "text to video", "image to video", "extend forward", "extend backward", "loop", "join", "storyboard"
]
#: What was given to the model and what it made, for readers who do not know the mode; in the page's order.
MODES: Final[Mapping[Mode, str]] = {
    "text to video": "The model was given words and no picture.",
    "image to video": "The model was given one picture, and made what comes after it.",
    "extend forward": "The model was given the beginning of a clip, and made what comes after it.",
    "extend backward": "The model was given the end of a clip, and made what came before it.",
    "loop": "The last frame leads back to the first, so the clip has no end.",
    "join": "The model was given two clips, and made what lies between them.",
    "storyboard": "The words change while the clip goes on.",
}
NO_BREAK: Final = "\N{NO-BREAK SPACE}"
#: What every browser shows, and whether it is played (True) or looked at.
SHOWN: Final[Mapping[str, Literal["video", "gif", "picture"]]] = {
    ".mp4": "video",
    ".webm": "video",
    ".gif": "gif",
    ".png": "picture",
}


@dataclass(frozen=True, kw_only=True)
class GalleryItem:
    """A clip to be shown.

    Attributes:
        media: An .mp4, .webm, .gif or .png, as `worldsim.media.write_clip` makes them. A file that already lies in the
            gallery's folder is linked, any other is copied into it.
        title: One line.
        mode: How the clip was made; one of `MODES`.
        prompt: The words; None = those in the file's record. A line a scene, for a storyboard.
        truth: What really happened, to be shown beside it; of the same kinds.
    """

    media: Path
    title: str
    mode: Mode
    prompt: str | None = None
    truth: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One picture of a card: links relative to the page, pixels, words for those who do not see it."""

    side: str
    kind: str
    link: str
    still: str
    height: int
    width: int
    alt: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """All that the template places for one clip, as text."""

    key: str
    mode: Mode
    title: str
    prompt: str
    stages: tuple[Stage, ...]
    wide: bool
    facts: tuple[tuple[str, str], ...]
    record: tuple[tuple[str, str], ...]


def build_gallery(folder: Path, items: Sequence[GalleryItem], title: str) -> Path:
    """Builds the page.

    Args:
        folder: Of the page; made if it is not there. What else lies in it stays.
        items: What is shown, grouped by mode, within a mode in this order.
        title: Heading of the page.

    Returns:
        The path of `folder/index.html`.

    Raises:
        ConfigError: If there is nothing to show, or a browser cannot show it.
        UnknownNameError: If a mode is none of `MODES`.
        StoreError: If a file is missing, cut or damaged.
    """
    if not items:
        raise ConfigError("a gallery needs at least one item, got none")
    for item in items:
        check_item(item)
    home = Path(folder)
    (home / "media").mkdir(parents=True, exist_ok=True)
    ordered = sorted(items, key=lambda item: list(MODES).index(item.mode))  # stable
    records = [read_provenance(item.media) for item in ordered]
    cards = [
        card_of(home, item, record or {}, f"clip-{number}")
        for number, (item, record) in enumerate(zip(ordered, records, strict=True), start=1)
    ]
    first = {card.mode: card.key for card in reversed(cards)}
    modes = [{"name": mode, "about": about, "key": first[mode]} for mode, about in MODES.items() if mode in first]
    html = (
        environment()
        .get_template("gallery.html")
        .render(
            title=title,
            verdict=verdict(items),
            facts=facts_of(records),
            cards=cards,
            modes=modes,
            css=asset("page.css") + asset("gallery.css"),
            js=asset("page.js") + asset("gallery.js"),
        )
    )
    return write_page(home / "index.html", html)


def check_item(item: GalleryItem) -> None:
    """Raises ConfigError or UnknownNameError for what no page can show."""
    if item.mode not in MODES:
        known = get_args(Mode)
        raise UnknownNameError(f"{item.mode!r} is no mode: known are {', '.join(known)}.{nearest(item.mode, known)}")
    for path in (item.media, item.truth):
        if path is not None and path.suffix not in SHOWN:
            raise ConfigError(
                f"a browser does not show {path.name}: give a {', '.join(SHOWN)}; worldsim.media.write_clip makes one"
            )


def card_of(home: Path, item: GalleryItem, record: Mapping[str, Any], key: str) -> Card:
    """Puts a clip into place and decides what its card says."""
    prompt = item.prompt if item.prompt is not None else str(record.get("prompt") or "")
    info = clip_info(item.media)
    said = f"{item.mode}, {item.title}" + (f": {prompt}" if prompt else "")
    stages = [stage_of(home, item.media, "generated", f"Generated, {said}")]
    if item.truth is not None:
        stages.append(stage_of(home, item.truth, "truth", f"The truth beside it, {item.title}"))
    size = f"{info.size[1]} × {info.size[0]} px".replace(" ", NO_BREAK)
    return Card(
        key=key,
        mode=item.mode,
        title=item.title,
        prompt=prompt,
        stages=tuple(stages),
        wide=len(stages) > 1 or stages[0].width > 2.5 * stages[0].height,  # a pair, or a film strip
        facts=(
            ("model", text_of(record.get("model"))),
            ("hash", text_of(record.get("model_hash"))),
            ("seed", text_of(record.get("seed"))),
            ("size", ", ".join((size, *length_of(info.count, info.fps)))),
        ),
        record=tuple((str(key), text_of(value)) for key, value in record.items()),
    )


def stage_of(home: Path, source: Path, side: str, alt: str) -> Stage:
    """Puts one file into the gallery, with a still of its first frame if it moves."""
    kind = SHOWN[source.suffix]
    place = place_of(home, source)
    still = place
    if kind == "picture":
        pixels = png_size(source.read_bytes())  # a film strip is one picture
    else:
        first = read_clip(source, limit=1)
        pixels = (first.frames.shape[1], first.frames.shape[2])
        still = home / "media" / f"{stem_of(source)}.still.png"
        write_clip(still, first.frames, first.fps or 1, first.provenance)
    links = [quote(path.relative_to(home).as_posix()) for path in (place, still)]
    return Stage(side=side, kind=kind, link=links[0], still=links[1], height=pixels[0], width=pixels[1], alt=alt)


def place_of(home: Path, source: Path) -> Path:
    """Where the file lies in the gallery; copied there if it lies elsewhere, under a name that no other content has."""
    if source.resolve().is_relative_to(home.resolve()):
        return home / source.resolve().relative_to(home.resolve())
    target = home / "media" / f"{stem_of(source)}{source.suffix}"
    fresh = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, fresh)
    fresh.replace(target)
    return target


def stem_of(source: Path) -> str:
    """A plain name with the beginning of the content's SHA-256, so that two clips of one name do not meet."""
    with source.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", source.stem).strip("-")[:40]
    return f"{plain}-{digest[:12]}" if plain else digest[:12]


def text_of(value: Any) -> str:
    """A value of a record as it is read: text as it is, nothing as a dash, all else as JSON."""
    if value is None or value == "":
        return numbers.MISSING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def length_of(count: int, fps: float | None) -> tuple[str, ...]:
    """How long a clip is, in words; nothing for a single frame."""
    if count == 1:
        return ()
    frames = f"{count}{NO_BREAK}frames"
    return (frames,) if fps is None else (frames, f"{numbers.number(count / fps, 1)}{NO_BREAK}s")


def verdict(items: Sequence[GalleryItem]) -> str:
    """The sentence that opens the page."""
    count, pairs = len(items), sum(item.truth is not None for item in items)
    said = f"{count} generated clip{'s' * (count != 1)}"
    if pairs:
        said += f", {'each' if pairs == count else pairs} beside the truth" if count > 1 else " beside the truth"
    return f"{said}."


def facts_of(records: Sequence[Mapping[str, Any] | None]) -> tuple[str, ...]:
    """Which models made them, and how many files do not say."""
    models = dict.fromkeys(str(record["model"]) for record in records if record and record.get("model"))
    silent = sum(record is None for record in records)
    words = [f"made by {model}" for model in models]
    return (*words, f"{silent} without a record") if silent else tuple(words)
