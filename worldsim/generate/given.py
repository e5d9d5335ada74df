"""What a user gives: pictures and clips, in the sizes that a model makes, and what is known of their actions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim import trees
from worldsim.arrays import missing
from worldsim.dataset import file_digest
from worldsim.errors import ConfigError, ShapeError, StoreError
from worldsim.generate.scripts import parse_script
from worldsim.media import read_clip
from worldsim.trees import ArrayTree
from worldsim.types import Frames

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


@dataclass(frozen=True, kw_only=True)
class Given:
    """Frames that a user gave.

    Attributes:
        frames: (T, H, W, 3) uint8.
        actions: Leaves (n, ...), those that lead on from frame `since`; None = nobody knows.
        since: Of `actions`.
        source: File name and SHA-256, for the record.
    """

    frames: Frames
    actions: ArrayTree | None
    since: int
    source: dict[str, str]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return int(self.frames.shape[1]), int(self.frames.shape[2])

    def between(self, start: int, stop: int) -> ArrayTree | None:
        """The actions between the frames start..stop-1, leaves (stop - start - 1, ...); None if not all are known."""
        steps = stop - start - 1
        if self.actions is None or start < self.since or start - self.since + steps > trees.length(self.actions):
            return None
        return trees.index(self.actions, slice(start - self.since, start - self.since + steps))


def read_moving(path: Path, space: gym.Space[Any], size: tuple[int, int] | None, unit: int) -> Given:
    """A clip of any format of `worldsim.media`; its record may say which actions it was made with.

    Raises:
        UnknownNameError: For another format.
        StoreError: If it is missing, cut or damaged.
        ShapeError: If its size is not the one that is asked for, or none that the model makes.
    """
    clip = read_clip(path)
    h, w = clip.frames.shape[1:3]
    if size is not None and (h, w) != size:
        raise ShapeError(
            f"{path.name} has frames of {h}x{w}, asked for are {size[0]}x{size[1]}: clips are not scaled; leave out "
            "--size, or give clips of one size"
        )
    if h % unit or w % unit:
        raise ShapeError(
            f"{path.name} has frames of {h}x{w}; the model makes sides in multiples of {unit}: cut it first"
        )
    actions, since = None, 0
    record = clip.provenance
    if isinstance(record.get("actions"), str) and isinstance(record.get("actions_since"), int):
        try:
            actions, since = parse_script(record["actions"], space), record["actions_since"]
        except (ConfigError, ShapeError):  # made with the actions of another model: they are guessed
            actions = None
    source = {"name": path.name, "sha256": file_digest(path)}
    return Given(frames=clip.frames, actions=actions, since=since, source=source)


def read_image(path: Path, size: tuple[int, int] | None, unit: int) -> Given:
    """A picture as one frame; with a size, it is cut to that shape around its middle and scaled.

    Raises:
        StoreError: If it is missing or no picture.
        ShapeError: If no size is given, and its own is none that the model makes.
    """
    import cv2

    if not path.is_file():
        raise missing(path)
    if path.suffix.lower() not in PICTURES:
        raise StoreError(f"{path.name} is no picture: expected {', '.join(PICTURES)}; a clip is given with --clip")
    found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if found is None:
        raise StoreError(f"{path} cannot be decoded as a picture; save it again as PNG")
    picture = cv2.cvtColor(found, cv2.COLOR_BGR2RGB)
    if size is not None and picture.shape[:2] != size:
        picture = _fitted(picture, size)
    h, w = picture.shape[:2]
    if h % unit or w % unit:
        raise ShapeError(
            f"{path.name} has {h}x{w} pixels; the model makes sides in multiples of {unit}: give --size, for example "
            f"--size {max(unit, h // unit * unit)}x{max(unit, w // unit * unit)}"
        )
    source = {"name": path.name, "sha256": file_digest(path)}
    return Given(frames=np.ascontiguousarray(picture[None]), actions=None, since=0, source=source)


def _fitted(picture: Frames, size: tuple[int, int]) -> Frames:
    """(H, W, 3), cut around its middle to the aspect of `size` and scaled to it."""
    import cv2

    h, w = picture.shape[:2]
    share = min(h / size[0], w / size[1])
    rows, columns = max(1, round(size[0] * share)), max(1, round(size[1] * share))
    top, left = (h - rows) // 2, (w - columns) // 2
    part = np.ascontiguousarray(picture[top : top + rows, left : left + columns])
    way = cv2.INTER_AREA if share > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (size[1], size[0]), interpolation=way), np.uint8)
