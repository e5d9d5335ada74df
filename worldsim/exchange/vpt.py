"""Recordings as OpenAI published them for VPT: NAME.mp4 and NAME.jsonl, one line a frame (read only).

A line holds the keys and buttons that are down, how far the mouse went, and which slot of the hotbar is in hand. They
become actions with MineRL's names:

- `camera` = (dy, dx) x 0.15 degrees, pitch first, cut at +-180. OpenAI's published loader writes it into an array of
  whole numbers, which drops the fraction; here it is kept.
- The wheel is not recorded; where the slot in hand differs from that of the line before, `hotbar.N` is pressed.
- In some recordings the left button counts as down from the first line on, until it is really pressed: taken out.
- `null` for the mouse or the keyboard, which early recorders wrote at times, is nothing pressed; they did not write the
  slot in hand either.
- Keys without a name in MineRL (F3, Tab, ...) are left out.

While the inventory is open (`isGuiOpen`) the mouse moves a cursor that the video does not show. Rewards are 0; whether
an episode ended in its world is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.errors import StoreError
from worldsim.exchange import keys
from worldsim.exchange.episodes import Episode
from worldsim.exchange.importing import Source, files_fingerprint
from worldsim.exchange.tables import read_jsonl
from worldsim.exchange.videos import FrameStream, count_frames, describe
from worldsim.trees import ArrayTree

FPS = 20.0  # of the recorder: one frame a tick of the game


class VptSource(Source):
    """A folder of recordings."""

    format = "vpt"

    def __init__(self, path: Path) -> None:
        """Counts the frames of each video, and the lines beside it."""
        self.path = path
        self._stems, problems = pairs(path)
        if not self._stems:
            raise StoreError(f"{path}: {'; '.join(problems[:5]) or 'no NAME.mp4 with NAME.jsonl beside it'}")
        self.env = "minerl:vpt"
        self.action_space = keys.space()
        self.size, fps, _, _ = describe(self._video(0))
        self.fps = fps or FPS
        self.notes = ["the videos are YUV: what their coding lost is lost", *problems]
        self._counts = [(count_frames(self._video(i)), _lines(self._lines(i))) for i in range(len(self._stems))]
        self.lengths = [max(min(counts) - 1, 0) for counts in self._counts]
        for stem, (frames, lines) in zip(self._stems, self._counts, strict=True):
            if frames != lines:
                self.notes.append(f"{stem}.jsonl: {lines} lines for {frames} frames: what is beyond both is left out")
        self._actions: tuple[int, Any] = (-1, None)
        self._stream: FrameStream | None = None

    def name(self, episode: int) -> str:
        """As the base class says."""
        return str(self._video(episode))

    def read(self, episode: int, start: int, steps: int) -> Episode:
        """As the base class says."""
        if self._actions[0] != episode:
            self._actions = episode, read_actions(self._lines(episode))
            self._stream = FrameStream(self._video(episode))
        stream = self._stream or FrameStream(self._video(episode))
        frames = stream.take(start, start + steps + 1)
        if frames.shape[1:3] != self.size:
            raise StoreError(f"{self.name(episode)}: frames are {frames.shape[1:3]}, those of the first {self.size}")
        return Episode(
            frames=frames,
            actions=trees.index(self._actions[1], slice(start, start + steps)),
            rewards=np.zeros(steps, np.float32),
            captions=("",) * (steps + 1),
        )

    def fingerprint(self) -> str:
        """As the base class says."""
        files = [p for i in range(len(self._stems)) for p in (self._video(i), self._lines(i))]
        return files_fingerprint(files, self.path)

    def _video(self, episode: int) -> Path:
        return self.path / f"{self._stems[episode]}.mp4"

    def _lines(self, episode: int) -> Path:
        return self.path / f"{self._stems[episode]}.jsonl"


def pairs(folder: Path) -> tuple[list[str], list[str]]:
    """The stems of the recordings, and a sentence for each file without its other half. Raises StoreError."""
    if not folder.is_dir():
        raise StoreError(f"{folder} is not a folder")
    videos = {p.name.removesuffix(".mp4") for p in folder.glob("*.mp4")}
    lines = {p.name.removesuffix(".jsonl") for p in folder.glob("*.jsonl")}
    alone = [f"{stem}.mp4: has no {stem}.jsonl beside it" for stem in sorted(videos - lines)]
    alone += [f"{stem}.jsonl: has no {stem}.mp4 beside it" for stem in sorted(lines - videos)]
    return sorted(videos & lines), alone


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def read_actions(path: Path) -> ArrayTree:
    """The actions of a recording: keys (n,) int64 and camera (n, 2) float32, n = lines.

    Raises:
        StoreError: With file, line and field, if a line is not of a recording.
    """
    lines = list(read_jsonl(path))
    out = keys.nothing(len(lines))
    stuck, held, slot = False, 0, 0
    for i, (number, line) in enumerate(lines):
        where = f"{path}:{number}"
        mouse, pressed = _mouse(line, where), _keys(line, where)
        fresh = mouse.get("newButtons", [])
        stuck = fresh == [0] if i == 0 else stuck and 0 not in fresh
        for key in pressed:
            if key in keys.KEYBOARD:
                out[keys.KEYBOARD[key]][i] = 1
        for button in mouse["buttons"]:
            if button in keys.BUTTONS and not (stuck and button == 0):
                out[keys.BUTTONS[button]][i] = 1
        turn = np.array([mouse["dy"], mouse["dx"]], np.float64) * keys.DEGREES
        out["camera"][i] = np.clip(turn, -keys.LIMIT, keys.LIMIT)
        slot = _slot(line, where, slot)
        if slot != held:
            out[f"hotbar.{slot + 1}"][i] = 1
        held = slot
    return out


def _mouse(line: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    mouse = line.get("mouse", "nothing")
    if mouse is None:  # early recorders wrote null at times
        return {"dx": 0, "dy": 0, "buttons": []}
    if not isinstance(mouse, Mapping):
        raise StoreError(f"{where}: mouse: must be an object with dx, dy and buttons, got {mouse!r}")
    for field in ("dx", "dy"):
        value = mouse.get(field)
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise StoreError(f"{where}: mouse/{field}: must be a number of pixels, got {value!r}")
    for field in ("buttons", "newButtons"):
        value = mouse.get(field, [] if field == "newButtons" else None)
        if not isinstance(value, list) or not all(isinstance(button, int) for button in value):
            raise StoreError(f"{where}: mouse/{field}: must be a list of the numbers of buttons, got {value!r}")
    return mouse


def _keys(line: Mapping[str, Any], where: str) -> list[str]:
    keyboard = line.get("keyboard", "nothing")
    if keyboard is None:
        return []
    pressed = keyboard.get("keys") if isinstance(keyboard, Mapping) else None
    if not isinstance(pressed, list) or not all(isinstance(key, str) for key in pressed):
        raise StoreError(f'{where}: keyboard/keys: must be a list like ["key.keyboard.w"], got {pressed!r}')
    return pressed


def _slot(line: Mapping[str, Any], where: str, before: int) -> int:
    """The slot in hand, 0..8; where a line does not say, that of the line before."""
    slot = line.get("hotbar", before)
    if isinstance(slot, bool) or not isinstance(slot, int) or not 0 <= slot <= 8:
        raise StoreError(f"{where}: hotbar: must be a slot from 0 to 8, got {slot!r}")
    return slot
