"""Reading folders of videos and actions: ours (`worldsim.exchange.folder`) and those of others.

Of others are needed, for each video STEM.mp4 (.mkv, .webm, .mov, .avi) or STEM.npz with `frames`: STEM.jsonl, STEM.csv
or STEM.actions.npy with one action a step. As many actions as frames is fine too: the last one is left out. The action
space is what `action_space.json` says (a description of `worldsim.spaces`), else what the values look like.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim import folders, trees
from worldsim.errors import ConfigError, StoreError
from worldsim.exchange import sidecar, tables
from worldsim.exchange.episodes import Episode
from worldsim.exchange.exporting import STATE
from worldsim.exchange.folder import OURS
from worldsim.exchange.importing import Source, files_fingerprint
from worldsim.exchange.vectors import layout
from worldsim.exchange.videos import SUFFIXES, FrameStream, count_frames, describe
from worldsim.trees import ArrayTree
from worldsim.types import Frames, FrameSource

SPACE = "action_space.json"


@dataclass(frozen=True, kw_only=True)
class Track:
    """What is written beside a video.

    Attributes:
        actions: Leaves (n, ...).
        rewards: (n,) float32.
        terminated: Whether the last step ended the episode.
        captions: A text for each frame that has one; may be short.
        closed: Whether a last line without an action follows, for the last frame.
    """

    actions: ArrayTree
    rewards: NDArray[np.float32]
    terminated: bool
    captions: tuple[str, ...]
    closed: bool

    def __len__(self) -> int:
        return len(self.rewards)


def read_track(path: Path, *, vector: bool = False) -> Track:
    """The actions of one episode from .jsonl, .csv or .npy; with `vector` those of a .csv stay (n, k) numbers.

    Raises:
        StoreError: With file, line and field.
    """
    if path.suffix == ".npy":
        values = np.array(folders.read_array((path, None)))
        if values.ndim < 1 or values.dtype.kind not in "biuf" or not len(values) or not np.isfinite(values).all():
            raise StoreError(f"{path}: must be (n, ...) finite numbers, got {values.shape} {values.dtype}")
        return Track(
            actions=values, rewards=np.zeros(len(values), np.float32), terminated=False, captions=(), closed=False
        )
    actions, lines, rewards, captions, ended, closed = [], [], [], [], False, False
    for line, plain in tables.read_csv(path, vector=vector) if path.suffix == ".csv" else tables.read_jsonl(path):
        if closed:
            raise StoreError(f"{path}:{line}: a line follows the last one, which is that without an action")
        where = f"{path}:{line}"
        captions.append(_text(plain.get("caption", ""), f"{where}: caption"))
        action = plain.get("action", {k: v for k, v in plain.items() if k not in tables.WORDS})
        if isinstance(action, dict) and not action:
            closed = True
            continue
        if ended:
            raise StoreError(f"{where}: action: the step before it terminated the episode")
        actions.append(tables.numbers(action, f"{where}: action"))
        lines.append(line)
        rewards.append(_reward(plain.get("reward", 0.0), f"{where}: reward"))
        ended = _flag(plain.get("terminated", False), f"{where}: terminated")
    if not actions:
        raise StoreError(f"{path}: holds no action")
    return Track(
        actions=tables.stacked(actions, lines, path),
        rewards=np.array(rewards, np.float32),
        terminated=ended,
        captions=tuple(captions),
        closed=closed,
    )


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise StoreError(f"{where}: must be a text, got {value!r}")
    return value


def _flag(value: Any, where: str) -> bool:
    if value not in (0, 1):
        raise StoreError(f"{where}: must be true or false, got {value!r}")
    return bool(value)


def _reward(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise StoreError(f"{where}: must be a finite number, got {value!r}")
    return float(value)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A video and its actions."""

    stem: str
    frames: Path
    actions: Path


def pairs(folder: Path) -> tuple[list[Pair], list[str]]:
    """The pairs in a folder, and a sentence for each video or table that has no partner. Raises StoreError."""
    if not folder.is_dir():
        raise StoreError(f"{folder} is not a folder")
    found, alone = [], []
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    videos = [path for path in files if path.suffix.lower() in (*SUFFIXES, ".npz")]
    for path in videos:
        beside = [path.with_name(path.stem + end) for end in (".jsonl", ".csv", ".actions.npy")]
        there = next((file for file in beside if file.is_file()), None)
        if there is None:
            alone.append(f"{path.name}: has no actions: expected {', '.join(file.name for file in beside)}")
        else:
            found.append(Pair(stem=path.stem, frames=path, actions=there))
    stems = {path.stem for path in videos}
    alone += [
        f"{p.name}: has no video beside it" for p in files if p.suffix in (".jsonl", ".csv") and p.stem not in stems
    ]
    if len({pair.stem for pair in found}) < len(found):
        alone.append("two videos have the same stem")
    return found, alone


class FolderSource(Source):
    """A folder of videos and actions."""

    format = "folder"

    def __init__(self, path: Path) -> None:
        """Reads all actions once, for their bounds, and counts the frames of each video without decoding them."""
        self.path = path
        self._pairs, alone = pairs(path)
        if not self._pairs or alone:
            raise StoreError(f"{path}: {'; '.join(alone[:5]) or 'no video with actions beside it'}")
        self.env = f"folder:{path.resolve().name}"
        self.sidecar = sidecar.read(path / OURS)
        if self.sidecar is None and (path / STATE).is_file():
            raise StoreError(f"{path} is an export that was not finished: run the same `worldsim export` again")
        self.notes = []
        self._track = lru_cache(maxsize=1)(
            lambda i: read_track(self._pairs[i].actions, vector=self.sidecar is not None)
        )
        self._frames: tuple[int, Any] = (-1, None)
        self._shape(self._pairs[0].frames)
        self.lengths, space = self._survey()
        if self.sidecar:
            self.size, self.action_space = self.sidecar.info.size, self.sidecar.info.action_space
            self._layout = layout(self.action_space, self.sidecar.dtypes)
            return
        self.action_space = space
        if (path / SPACE).is_file():
            self.action_space = _given(path / SPACE)
        else:
            self.notes = [f"the action space is what the values look like: {SPACE} can say what it is"]

    def name(self, episode: int) -> str:
        """As the base class says."""
        return str(self._pairs[episode].frames)

    def read(self, episode: int, start: int, steps: int) -> Episode:
        """As the base class says."""
        track, stop = self._track(episode), start + steps
        actions = trees.index(track.actions, slice(start, stop))
        seed = -1
        if self.sidecar:
            seed = _seed(self.path / f"{self._pairs[episode].stem}.json")
            if self._pairs[episode].actions.suffix != ".jsonl":
                actions = self._layout.actions(actions)
        captions = track.captions[start : stop + 1]
        return Episode(
            frames=self._take(episode, start, stop + 1),
            actions=actions,
            rewards=track.rewards[start:stop],
            terminated=track.terminated and stop == len(track),
            captions=captions + ("",) * (steps + 1 - len(captions)),
            world_seed=seed,
        )

    def fingerprint(self) -> str:
        """As the base class says."""
        return files_fingerprint([f for pair in self._pairs for f in (pair.frames, pair.actions)], self.path)

    def _shape(self, path: Path) -> None:
        if path.suffix == ".npz":
            source = folders.open_frames(path, None)
            self.size, self.fps = (source.shape[1], source.shape[2]), None
        else:
            self.size, self.fps, pixels, _ = describe(path)
            if not pixels.startswith(("gbr", "rgb", "bgr")):
                self.notes = [*self.notes, "the videos are YUV: what their coding lost is lost"]
        if self.sidecar:
            self.fps = self.sidecar.info.fps

    def _survey(self) -> tuple[list[int], dict[str, Any]]:
        """Steps of each episode, and the space that all actions lie in."""
        lengths = []
        low: dict[str, Any] = {}
        high: dict[str, Any] = {}
        whole: dict[str, bool] = {}
        for i, pair in enumerate(self._pairs):
            track, frames = self._track(i), count_frames(pair.frames)
            if len(track) not in (frames - 1, *(() if track.closed else (frames,))):
                raise StoreError(
                    f"{pair.actions}: {len(track)} actions, but {pair.frames.name} has {frames} frames: expected "
                    f"{frames - 1}"
                )
            lengths.append(frames - 1)
            for path, values in trees.flatten(track.actions).items():
                leaf = values[: frames - 1]
                if i and (path not in low or np.shape(low[path]) != leaf.shape[1:]):
                    raise StoreError(
                        f"{pair.actions}: action/{path}: has not the form of {self._pairs[0].actions.name}"
                    )
                low[path] = np.minimum(low.get(path, leaf[0]), leaf.min(0))
                high[path] = np.maximum(high.get(path, leaf[0]), leaf.max(0))
                whole[path] = whole.get(path, True) and leaf.dtype.kind in "biu"
        return lengths, tables.space_of(low, high, whole)

    def _take(self, episode: int, start: int, stop: int) -> Frames:
        path = self._pairs[episode].frames
        if self._frames[0] != episode:
            npz = path.suffix == ".npz"
            self._frames = episode, folders.open_frames(path, None) if npz else FrameStream(path)
        kept: FrameSource | FrameStream = self._frames[1]
        frames = kept.take(start, stop) if isinstance(kept, FrameStream) else np.asarray(kept[start:stop])
        frames = frames[:, : self.size[0], : self.size[1]]  # an .mp4 of ours has even sizes
        if frames.shape[1:3] != self.size:
            raise StoreError(
                f"{path}: frames are {frames.shape[1:3]}, those of {self._pairs[0].frames.name} {self.size}"
            )
        return frames


def _seed(path: Path) -> int:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["world_seed"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: world_seed: cannot be read ({error!r}); export the dataset again") from error


def _given(path: Path) -> dict[str, Any]:
    from worldsim.spaces import build, describe

    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return describe(build(plain))
    except (OSError, ValueError, ConfigError) as error:
        raise StoreError(f"{path}: {error}") from error


__all__ = ["FolderSource", "Pair", "Track", "pairs", "read_track"]
