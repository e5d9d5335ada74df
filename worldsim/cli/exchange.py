"""`worldsim export` and `worldsim import`: datasets to and from the formats of other tools."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from worldsim.cli.arguments import parse

if TYPE_CHECKING:
    from worldsim.exchange.exporting import Target
    from worldsim.exchange.importing import Source

EXPORT_EXAMPLES = """
worldsim export data/arena --to minari --out datasets --id worldsim/arena-v0     # MINARI_DATASETS_PATH=datasets
worldsim export data/arena --to minari --out datasets --storage hdf5
worldsim export data/arena --to lerobot --out lerobot/arena                      # PNG inside the tables
worldsim export data/arena --to lerobot --pictures video --out lerobot/arena     # H.264 without loss
worldsim export data/arena --to folder --out clips/arena                         # FFV1 and jsonl
worldsim export data/arena --to folder --video mp4 --actions csv --out clips/arena
"""

IMPORT_EXAMPLES = """
worldsim import datasets/worldsim/arena-v0 --from minari --out data/arena
worldsim import D4RL/door/human-v2 --from minari --frames image --fps 30 --out data/door
worldsim import lerobot/pusht --from lerobot --size 64x64 --out data/pusht
worldsim import clips --from folder --steps 96 --out data/clips
worldsim import contractors --from vpt --steps 128 --size 64x64 --skip-bad --out data/vpt
worldsim import MineRLTreechop-v0 --from minerl --out data/treechop
"""


@dataclass(frozen=True, kw_only=True)
class ExportArgs:
    """Writes a dataset in the format of another tool; what that has no words for lies beside it, for `worldsim import`.

    After an interruption the same command makes only what is missing.
    """

    dataset: Positional[Path]
    """A dataset of ours."""
    to: Literal["minari", "lerobot", "folder"]
    """The format."""
    out: Path | None = None
    """Its folder; for minari the root of all datasets (none = MINARI_DATASETS_PATH)."""
    id: str | None = None
    """Minari: the dataset's name; none = worldsim/NAME-v0."""
    storage: Literal["arrow", "parquet", "hdf5"] = "arrow"
    """Minari: how it lies on disk. Never JPEG."""
    pictures: Literal["image", "video"] = "image"
    """LeRobot: PNG inside the tables, or lossless video."""
    video: Literal["mkv", "npz", "mp4"] = "mkv"
    """Folder: FFV1, arrays, or H.264 for eyes (it loses some)."""
    actions: Literal["jsonl", "csv"] = "jsonl"
    """Folder: how the actions are written."""
    quiet: bool = False
    """No progress."""


def export_command(args: Sequence[str]) -> int:
    """Writes a dataset, or what is missing of it."""
    given = parse(ExportArgs, args, "export", EXPORT_EXAMPLES)
    from worldsim.exchange.exporting import export_dataset

    try:
        done = export_dataset(given.dataset, _target(given), quiet=given.quiet)
    except KeyboardInterrupt:
        return _interrupted()
    print(f"{done.episodes} episodes, {done.size / 1e6:,.1f} MB: {done.out}")
    for note in done.notes:
        print(f"note: {note}")
    if given.to == "minari":
        name = done.out.relative_to(_root(given))
        print(f"read it: MINARI_DATASETS_PATH={_root(given).resolve()}, then minari.load_dataset({str(name)!r})")
    print(f"next: worldsim check dataset {done.out}")
    return 0


def _root(given: ExportArgs) -> Path:
    from worldsim.exchange.minari import default_root

    return given.out or default_root()


def _target(given: ExportArgs) -> Target:
    from worldsim.errors import ConfigError
    from worldsim.exchange import sidecar

    kept = sidecar.of_dataset(given.dataset)
    if given.to == "minari":
        from worldsim.exchange.minari import MinariTarget

        stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in given.dataset.resolve().name)
        return MinariTarget(_root(given), kept, id=given.id or f"worldsim/{stem}-v0", storage=given.storage)
    if given.out is None:
        raise ConfigError(f"--out is missing: the folder of the {given.to} dataset")
    if given.to == "lerobot":
        from worldsim.exchange.lerobot import LeRobotTarget

        return LeRobotTarget(given.out, kept, pictures=given.pictures)
    from worldsim.exchange.folder import FolderTarget

    return FolderTarget(given.out, kept, frames=given.video, actions=given.actions)


@dataclass(frozen=True, kw_only=True)
class ImportArgs:
    """Reads a dataset of another tool into ours. After an interruption the same command makes only what is missing.

    What was exported from ours comes back with the same bytes.
    """

    path: Positional[Path]
    """The dataset: its folder; for minari also its id under MINARI_DATASETS_PATH."""
    from_: Annotated[Literal["minari", "lerobot", "folder", "vpt", "minerl"], arg(name="from")]
    """The format."""
    out: Path
    """Folder of the dataset of ours."""
    steps: int | None = None
    """Longer episodes are cut into pieces of so many steps; none = as exported, else at most 256."""
    size: str | None = None
    """Height x width to which frames are scaled; none = as they are."""
    fps: float | None = None
    """Frames a second, where the format does not say or says wrong."""
    frames: str | None = None
    """Which pictures, where there are several: an observation, or a feature."""
    split: Literal["train", "validation", "test"] = "train"
    """What the data is for."""
    shard: int | None = None
    """Episodes in one file; none = as exported, else up to 32, or 256 MiB."""
    skip_bad: bool = False
    """Leave out what cannot be read; it is listed in import.json, and the exit code is 1."""
    quiet: bool = False
    """No progress."""


def import_command(args: Sequence[str]) -> int:
    """Writes a dataset, or what is missing of it."""
    given = parse(ImportArgs, args, "import", IMPORT_EXAMPLES)
    from worldsim.cli.run import parse_size
    from worldsim.exchange.importing import ImportConfig, import_dataset

    config = ImportConfig(
        steps=given.steps,
        size=parse_size(given.size),
        shard=given.shard,
        fps=given.fps,
        split=given.split,
        skip_bad=given.skip_bad,
    )
    try:
        done = import_dataset(_source(given), given.out, config, quiet=given.quiet)
    except KeyboardInterrupt:
        return _interrupted()
    size = sum((given.out / name).stat().st_size for name, _, _ in done.info.shards)
    print(f"{done.info.episodes} episodes, {len(done.info.shards)} shards, {size / 1e6:,.1f} MB: {given.out}")
    for note in done.notes:
        print(f"note: {note}")
    for name, said in done.skipped.items():
        print(f"left out: {name}: {said}")
    print(f"next: worldsim check dataset {given.out}")
    return 1 if done.skipped else 0


def _source(given: ImportArgs) -> Source:
    from worldsim.errors import ConfigError

    if given.from_ == "minari":
        from worldsim.exchange.minari_read import MinariSource

        return MinariSource(given.path, frames=given.frames)
    if given.from_ == "lerobot":
        from worldsim.exchange.lerobot_read import LeRobotSource

        return LeRobotSource(given.path, frames=given.frames)
    if given.frames is not None:
        raise ConfigError(f"--frames chooses among the pictures of minari and lerobot; {given.from_} has one video")
    if given.from_ == "folder":
        from worldsim.exchange.folder_read import FolderSource

        return FolderSource(given.path)
    if given.from_ == "vpt":
        from worldsim.exchange.vpt import VptSource

        return VptSource(given.path)
    from worldsim.exchange.minerl import MineRLSource

    return MineRLSource(given.path)


def _interrupted() -> int:
    print("interrupted; what was finished is safe, the same command goes on", file=sys.stderr)
    return 130
