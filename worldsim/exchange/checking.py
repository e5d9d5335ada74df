"""Datasets of any known format looked through: a sentence for each thing that is wrong, with file, line and field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import dataset, trees
from worldsim.errors import ConfigError, StoreError
from worldsim.exchange import lerobot_layout, minerl, vpt
from worldsim.exchange.folder import OURS
from worldsim.exchange.folder_read import FolderSource, pairs, read_track
from worldsim.exchange.importing import Source
from worldsim.exchange.lerobot_check import check_lerobot
from worldsim.exchange.lerobot_read import LeRobotSource
from worldsim.exchange.minari_check import check_minari
from worldsim.exchange.minari_read import MinariSource
from worldsim.exchange.videos import SUFFIXES, count_frames, decode
from worldsim.progress import Progress

_STEPS = 64  # read at a time


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found.

    Attributes:
        format: Of the dataset.
        episodes: How many it has.
        faults: `file: field: what is wrong`.
        notes: What is allowed but lost, or unknown.
    """

    format: str
    episodes: int
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()


def detect(path: Path) -> str:
    """The format by what lies there: "worldsim", "lerobot", "minari", "minerl", "vpt" or "folder".

    Raises:
        StoreError: If it looks like none of them.
    """
    if (path / dataset.INDEX).is_file():
        return "worldsim"
    if (path / lerobot_layout.INFO).is_file():
        return "lerobot"
    if (path / "data" / "metadata.json").is_file() or _is_minari(path / "metadata.json"):
        return "minari"
    if (path / OURS).is_file():
        return "folder"
    if path.is_dir():
        if any(path.glob("**/rendered.npz")) or any(path.glob("**/recording.mp4")):
            return "minerl"
        lines = sorted(path.glob("*.jsonl"))
        if lines and any(_is_vpt(file) for file in lines[:3]):
            return "vpt"
        if any(file.suffix.lower() in (*SUFFIXES, ".npz") for file in path.iterdir()):
            return "folder"
    raise StoreError(
        f"{path} is no dataset that is known here: expected {dataset.INDEX} (ours), {lerobot_layout.INFO} (LeRobot), "
        "data/metadata.json (Minari), NAME/recording.mp4 (MineRL), or videos with .jsonl or .csv beside them"
    )


def _is_minari(path: Path) -> bool:
    try:
        return "total_episodes" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _is_vpt(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and {"keyboard", "mouse"} <= set(first)


def check(path: Path, *, quiet: bool = True) -> Checked:
    """Looks a foreign dataset through, with bounded memory.

    Args:
        path: Its folder.
        quiet: No progress.

    Raises:
        StoreError: If it looks like no known format.
        PrerequisiteError: If a library that reads it is missing.
    """
    kind = detect(path)
    checks: dict[str, Callable[[Path], tuple[list[str], Callable[[], Source]]]] = {
        "minari": lambda p: (check_minari(p), lambda: _any_pictures(MinariSource, p)),
        "lerobot": lambda p: (check_lerobot(p), lambda: _any_pictures(LeRobotSource, p)),
        "folder": lambda p: (list(_check_folder(p)), lambda: FolderSource(p)),
        "vpt": lambda p: (list(_check_vpt(p)), lambda: vpt.VptSource(p)),
        "minerl": lambda p: (list(_check_minerl(p)), lambda: minerl.MineRLSource(p)),
    }
    faults, make = checks[kind](path)
    try:
        source = make()
    except StoreError as error:
        return Checked(format=kind, episodes=0, faults=tuple(dict.fromkeys([*faults, _short(error, path)])))
    with Progress("check", len(source.lengths), quiet=quiet, unit="episodes") as progress:
        said = [_short(sentence, path) for sentence in [*faults, *_episodes(source, progress.advance)]]
    return Checked(
        format=kind, episodes=len(source.lengths), faults=tuple(dict.fromkeys(said)), notes=tuple(source.notes)
    )


def _any_pictures(make: Callable[..., Source], path: Path) -> Source:
    """With the first pictures, where there are several: one at a time is what a dataset of ours holds."""
    try:
        return make(path)
    except ConfigError as error:
        _, _, rest = str(error).partition("several pictures (")
        if not rest:
            raise StoreError(str(error)) from error
        return make(path, frames=rest.partition(")")[0].split(", ")[0])


def _short(sentence: object, path: Path) -> str:
    """File names as they are called inside the dataset."""
    return str(sentence).replace(f"{path}/", "")


def _episodes(source: Source, advance: Callable[[int], None]) -> Iterator[str]:
    """What reading every step finds."""
    from worldsim.spaces import misfits

    for i, total in enumerate(source.lengths):
        for start in range(0, total, _STEPS):
            steps = min(_STEPS, total - start)
            try:
                episode = source.read(i, start, steps)
            except StoreError as error:
                yield str(error)
                break
            where = f"{source.name(i)}: from step {start} on"
            yield from (f"{where}: {said}" for said in misfits(source.action_space, episode.actions, lead=1))
            if not np.isfinite(episode.rewards).all():
                yield f"{where}: rewards: must be finite"
        advance(1)


# ------------------------------------------------------------------------------------------------ the simple formats


def _check_folder(path: Path) -> Iterator[str]:
    found, alone = pairs(path)
    yield from alone
    forms: dict[str, Any] = {}
    for pair in found:
        try:
            track = read_track(pair.actions)
            frames = count_frames(pair.frames)
        except StoreError as error:
            yield str(error)
            continue
        if len(track) not in (frames - 1, *(() if track.closed else (frames,))):
            yield f"{pair.actions.name}: {len(track)} actions for {frames} frames: expected {frames - 1}"
        form = {key: leaf.shape[1:] for key, leaf in trees.flatten(track.actions).items()}
        if form != forms.setdefault("form", form):
            yield f"{pair.actions.name}: action: {form}, but {found[0].actions.name} has {forms['form']}"


def _check_vpt(path: Path) -> Iterator[str]:
    stems, alone = vpt.pairs(path)
    yield from alone
    for stem in stems:
        video, lines = path / f"{stem}.mp4", path / f"{stem}.jsonl"
        try:
            actions = vpt.read_actions(lines)
            count = sum(1 for _ in decode(video))
        except StoreError as error:
            yield str(error)
            continue
        if len(actions["camera"]) != count:
            yield f"{lines.name}: {len(actions['camera'])} lines for {count} frames of {video.name}: expected as many"


def _check_minerl(path: Path) -> Iterator[str]:
    whole, broken = minerl.recordings(path)
    yield from broken
    for folder in whole:
        try:
            _, rewards = minerl.read_table(folder / "rendered.npz")
            minerl.first_frame(folder, len(rewards))
        except StoreError as error:
            yield str(error)
