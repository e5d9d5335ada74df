"""The data set of MineRL 0.4: NAME/recording.mp4, NAME/rendered.npz and NAME/metadata.json (read only).

`rendered.npz` holds `action$<name>` (T, ...), `reward` (T,) and `observation$<name>` (T+1, ...). The video may begin
with frames from before the task: the last T+1 of its `true_video_frame_count` frames are those of the episode. MineRL's
own loader replaces the very last frame by the one before; here it is what was recorded.

Keys and camera are put into the action space of MineRL 1.0, keys that 0.4 lacks are 0. What is chosen from a list
(craft, equip, place, ...) stays, as a Discrete with the names that occur, "none" first. The last step terminates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.errors import StoreError
from worldsim.exchange import keys
from worldsim.exchange.episodes import Episode
from worldsim.exchange.importing import Source, files_fingerprint
from worldsim.exchange.videos import FrameStream, count_frames, describe
from worldsim.trees import ArrayTree

FPS = 20.0
FILES = ("recording.mp4", "rendered.npz", "metadata.json")
ACTION, REWARD = "action$", "reward"


def recordings(folder: Path) -> tuple[list[Path], list[str]]:
    """The folders of the recordings, and a sentence for each that lacks a file. Raises StoreError."""
    if not folder.is_dir():
        raise StoreError(f"{folder} is not a folder")
    whole, broken = [], []
    for path in sorted({file.parent for name in FILES for file in folder.glob(f"**/{name}")}):
        if missing := [name for name in FILES if not (path / name).is_file()]:
            broken.append(f"{path.relative_to(folder)}: {missing[0]}: is missing")
        else:
            whole.append(path)
    return whole, broken


class MineRLSource(Source):
    """A folder of recordings, at any depth."""

    format = "minerl"

    def __init__(self, path: Path) -> None:
        """Reads all tables once, for the names of what was chosen, and counts the frames."""
        self.path = path
        self._folders, broken = recordings(path)
        if not self._folders:
            raise StoreError(f"{path}: {'; '.join(broken[:5]) or 'no folder with ' + ', '.join(FILES)}")
        self.env = f"minerl:{path.resolve().name}"
        self._table = lru_cache(maxsize=1)(lambda i: read_table(self._folders[i] / "rendered.npz"))
        self.size, fps, _, _ = describe(self._folders[0] / "recording.mp4")
        self.fps = fps or FPS
        self.notes = ["the videos are YUV: what their coding lost is lost", *broken]
        names: dict[str, set[str]] = {}
        self._offsets: list[int] = []
        self.lengths = []
        for i, folder in enumerate(self._folders):
            actions, rewards = self._table(i)
            self._offsets.append(first_frame(folder, len(rewards)))
            self.lengths.append(len(rewards))
            for name, values in actions.items():
                if values.dtype.kind == "U":
                    names.setdefault(name, set()).update(values.tolist())
        self._names = {n: ("none", *sorted(found - {"none"})) for n, found in sorted(names.items())}
        chosen = {n: {"type": "discrete", "n": len(v), "start": 0, "names": list(v)} for n, v in self._names.items()}
        spaces = {**keys.space()["spaces"], **chosen}
        self.action_space = {"type": "dict", "spaces": {name: spaces[name] for name in sorted(spaces)}}
        self._stream: tuple[int, FrameStream] | None = None

    def name(self, episode: int) -> str:
        """As the base class says."""
        return str(self._folders[episode])

    def read(self, episode: int, start: int, steps: int) -> Episode:
        """As the base class says."""
        actions, rewards = self._table(episode)
        if self._stream is None or self._stream[0] != episode:
            self._stream = episode, FrameStream(self._folders[episode] / "recording.mp4")
        first = self._offsets[episode] + start
        frames = self._stream[1].take(first, first + steps + 1)
        if frames.shape[1:3] != self.size:
            raise StoreError(f"{self.name(episode)}: frames are {frames.shape[1:3]}, those of the first {self.size}")
        return Episode(
            frames=frames,
            actions=trees.index(self._mapped(actions, len(rewards)), slice(start, start + steps)),
            rewards=rewards[start : start + steps],
            terminated=start + steps == len(rewards),
            captions=("",) * (steps + 1),
        )

    def fingerprint(self) -> str:
        """As the base class says."""
        return files_fingerprint([folder / name for folder in self._folders for name in FILES], self.path)

    def _mapped(self, actions: Mapping[str, NDArray[Any]], steps: int) -> ArrayTree:
        out = {**keys.nothing(steps), **{name: np.zeros(steps, np.int64) for name in self._names}}
        for name, values in actions.items():
            if name in self._names:
                number = {text: i for i, text in enumerate(self._names[name])}
                out[name] = np.array([number[text] for text in values.tolist()], np.int64)
            elif name == "camera":
                out[name] = np.clip(values, -keys.LIMIT, keys.LIMIT).astype(np.float32)
            else:
                out[name] = values.astype(np.int64)
        return {name: out[name] for name in sorted(out)}


def read_table(path: Path) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """({action: (T, ...)}, rewards (T,) float32) of a `rendered.npz`. Raises StoreError with the field."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [name for name in file.files if name.startswith(ACTION) or name == REWARD]
            found = dict(_members(file, names, path))
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if REWARD not in found or len(found) < 2:
        raise StoreError(f"{path}: needs {REWARD} and {ACTION}<name>, got {sorted(found)}")
    rewards = found.pop(REWARD)
    if rewards.ndim != 1 or not len(rewards) or rewards.dtype.kind not in "biuf" or not np.isfinite(rewards).all():
        raise StoreError(f"{path}: {REWARD}: must be (T,) finite numbers, got {rewards.shape} {rewards.dtype}")
    known = set(keys.nothing(0))
    actions = {}
    for name, values in found.items():
        short = name.removeprefix(ACTION)
        expected = (len(rewards), 2) if short == "camera" else (len(rewards),)
        if values.shape != expected:
            raise StoreError(f"{path}: {name}: must be {expected}, as many as {REWARD}, got {values.shape}")
        if values.dtype.kind == "U" and short not in known:
            actions[short] = values
        elif values.dtype.kind not in "biuf" or short not in known:
            raise StoreError(f"{path}: {name}: {values.dtype} is no key of MineRL and no list of names")
        elif not np.isfinite(values).all() or (short != "camera" and not np.isin(values, (0, 1)).all()):
            raise StoreError(f"{path}: {name}: must be {'degrees' if short == 'camera' else '0 or 1'} everywhere")
        else:
            actions[short] = values
    return actions, rewards.astype(np.float32)


def _members(file: Any, names: list[str], path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in names:
        try:
            yield name, file[name]
        except ValueError as error:  # an object array, which only unpickling would read
            raise StoreError(f"{path}: {name}: holds Python objects, which are not read from outside") from error


def first_frame(folder: Path, steps: int) -> int:
    """Where in the video the episode begins. Raises StoreError if the video is too short."""
    path = folder / "metadata.json"
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        total = int(plain["true_video_frame_count"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: true_video_frame_count: cannot be read ({error!r})") from error
    there = count_frames(folder / "recording.mp4")
    if not steps + 1 <= total <= there:
        raise StoreError(
            f"{path}: true_video_frame_count: must be from {steps + 1} (one more than rewards) to {there} (the frames "
            f"of recording.mp4), got {total}"
        )
    return total - steps - 1


__all__ = ["FPS", "MineRLSource", "first_frame", "read_table", "recordings"]
