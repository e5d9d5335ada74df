"""`worldsim generate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from worldsim.arrays import storing
from worldsim.cli.arguments import parse
from worldsim.errors import ConfigError

if TYPE_CHECKING:
    from worldsim.generate import GenerateConfig, GeneratedClip
    from worldsim.reports.gallery import GalleryItem

EXAMPLES = """
worldsim generate --mode text --prompt "a red chest ahead" --actions "forward*20 turn_left*6" --out clips
worldsim generate --mode image --image start.png --size 64x64 --frames 32 --out clips
worldsim generate --mode extend --clip clips/text-0.npz --best-of 4 --out longer
worldsim generate --mode join --clip a.npz --clip2 b.npz --gap 8 --out joined
worldsim generate --mode storyboard --storyboard walk.yaml --format mp4 gif --out story
worldsim generate --gallery --checkpoint tiny --out gallery
"""
#: What the page calls a mode.
NAMES: Final = {
    "text": "text to video",
    "image": "image to video",
    "extend": "extend forward",
    "backward": "extend backward",
    "loop": "loop",
    "join": "join",
    "storyboard": "storyboard",
}
#: Formats that a browser shows, the best first.
_SHOWN: Final = (".mp4", ".webm", ".gif", ".png")


@dataclass(frozen=True, kw_only=True)
class GenerateArgs:
    """Makes clips from words, pictures and other clips, each with the record of how it was made inside.

    The same settings give the same frames on the same machine.
    """

    out: Path
    """Folder for the clips and their page."""
    checkpoint: str = "tiny"
    """Name of a bundled checkpoint, or a folder."""
    mode: Literal["text", "image", "extend", "backward", "loop", "join", "storyboard"] = "text"
    """What is given and what is made."""
    prompt: str = ""
    """Words; for storyboard, a story that is split into scenes."""
    image: Path | None = None
    """A picture to begin with (image, loop, storyboard)."""
    clip: Path | None = None
    """A clip (extend, backward, loop, join)."""
    clip2: Path | None = None
    """The clip that is joined to it."""
    storyboard: Path | None = None
    """YAML file of scenes."""
    frames: int = 64
    """Frames that the model makes; join and loop of a clip make --gap, a storyboard says it itself."""
    gap: int = 8
    """Frames between two ends."""
    size: str | None = None
    """Height x width in multiples of 16; none = that of what is given, else the checkpoint's own."""
    actions: str = ""
    """What is done while frames are made: "forward*20 turn_left*6", or FILE.npz; none = nothing, in a gap a search."""
    search: int = 32
    """Action sequences that are tried in a gap."""
    steps: int | None = None
    """Denoising steps, 1, 2, 4 or 8; none = the checkpoint's own."""
    guidance: float = 2.0
    """How much more the prompt is followed; 1 = off."""
    seed: int = 0
    """Everything random follows from it."""
    samples: int = 4
    """Clips."""
    best_of: int = 1
    """Makes so many for each clip and keeps the one of which the model is surest."""
    expand: str = "grammar"
    """How a prompt becomes a caption: grammar, none, or a command that reads it and prints one."""
    format: tuple[str, ...] = ("mp4",)
    """Files of each clip: mp4, webm, gif, png, npz, mkv."""
    scale: int = 1
    """Each pixel is drawn scale x scale, but in npz and mkv."""
    gallery: bool = False
    """One clip of every mode, from worlds that no training has met."""
    device: str = "cpu"
    """Where the model runs."""
    threads: int = 1
    """Of torch on a CPU."""
    quiet: bool = False
    """No progress."""


def generate_command(args: Sequence[str]) -> int:
    """Makes clips and their page, and prints where they are."""
    given = parse(GenerateArgs, args, "generate", EXAMPLES)
    from worldsim.generate.files import check_formats

    suffixes = check_formats(given.format)
    config = to_config(given)
    if given.scale < 1:
        raise ConfigError(f"--scale must be a whole number from 1, got {given.scale}")
    with storing(given.out):  # before an hour of work
        given.out.mkdir(parents=True, exist_ok=True)
    if given.gallery and not set(suffixes) & set(_SHOWN):
        raise ConfigError(f"a page shows {', '.join(s[1:] for s in _SHOWN)}: give one of them as --format")
    items = list(_showcase(config, given) if given.gallery else _clips(config, given))
    if items:
        from worldsim.reports.gallery import build_gallery

        title = f"What {given.checkpoint} makes" if given.gallery else f"{NAMES[config.mode].capitalize()}"
        print(build_gallery(given.out, items, title))
    return 0


def to_config(given: GenerateArgs) -> GenerateConfig:
    """The settings behind the options."""
    from worldsim.cli.run import parse_size
    from worldsim.generate import GenerateConfig

    names = {f.name for f in fields(GenerateConfig)}
    values = {f.name: getattr(given, f.name) for f in fields(given) if f.name in names}
    if given.gallery:
        values |= {"mode": "text"}  # all modes are made, from clips of our own
    return GenerateConfig(**{**values, "size": parse_size(given.size)})


def _clips(config: GenerateConfig, given: GenerateArgs) -> Iterator[GalleryItem]:
    from worldsim.generate import generate, write
    from worldsim.progress import Progress

    with Progress("generate", config.samples, quiet=given.quiet, unit="clips") as progress:
        clips = generate(config, advance=progress.advance)
    if lost := max(clip.record["clauses_dropped"] for clip in clips):
        print(f"note: the last {lost} clauses of a caption did not fit, and were not read", file=sys.stderr)
    for clip, paths in zip(clips, write(clips, given.out, given.format, scale=given.scale), strict=True):
        print(*paths, sep="\n")
        yield from _item(clip, paths, f"Sample {clip.record['sample']}", None)


def _showcase(config: GenerateConfig, given: GenerateArgs) -> Iterator[GalleryItem]:
    from worldsim.generate import make_model, write
    from worldsim.generate.showcase import showcase
    from worldsim.media import write_clip

    for shown in showcase(config, make_model(config), given.out / "starts"):
        (paths,) = write([shown.clip], given.out, given.format, scale=given.scale)
        print(*paths, sep="\n")
        truth = None
        if shown.truth is not None:
            media = next(path for path in paths if path.suffix in _SHOWN)
            truth = media.with_name(f"{media.stem}-truth{media.suffix}")
            write_clip(truth, shown.truth, shown.clip.fps, {}, scale=given.scale)
        yield from _item(shown.clip, paths, shown.title, truth)


def _item(clip: GeneratedClip, paths: Sequence[Path], title: str, truth: Path | None) -> Iterator[GalleryItem]:
    """The clip on the page, in the best format that a browser shows; nothing if there is none."""
    from worldsim.reports.gallery import GalleryItem

    media = min((p for p in paths if p.suffix in _SHOWN), key=lambda p: _SHOWN.index(p.suffix), default=None)
    if media is not None:
        prompt = "\n".join(text for _, text in clip.record["scenes"]) if "scenes" in clip.record else None
        yield GalleryItem(media=media, title=title, mode=NAMES[clip.record["mode"]], prompt=prompt, truth=truth)  # type: ignore[arg-type]
