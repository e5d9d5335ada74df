"""Recordings of other people's tools, made up: the lines of a VPT recording, a folder of MineRL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.exchange.videos import decode
from worldsim.types import Frames
from worldsim.video import Mp4Writer


def video(path: Path, count: int, size: tuple[int, int] = (32, 48), fps: float = 20) -> Frames:
    """An .mp4 whose frames get lighter; returned as they are decoded, for its coding loses some."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Mp4Writer(path, size, fps) as writer:
        writer.append(np.stack([np.full((*size, 3), 5 * t % 256, np.uint8) for t in range(count)]))
    return np.stack(list(decode(path)))


def line(keys: Sequence[str] = (), *, dx: float = 0, dy: float = 0, buttons: Sequence[int] = (), **more: Any) -> Any:
    """One line of a recording, with the fields that its recorder writes."""
    mouse = {"x": 640.0, "y": 360.0, "dx": dx, "dy": dy, "scaledX": 0.0, "scaledY": 0.0, "dwheel": 0.0}
    new = more.pop("new", [])
    return {
        "mouse": {**mouse, "buttons": list(buttons), "newButtons": new},
        "keyboard": {"keys": [f"key.keyboard.{key}" for key in keys], "newKeys": [], "chars": ""},
        "isGuiOpen": False,
        "isGuiInventory": False,
        "hotbar": 0,
        "yaw": 0.0,
        "pitch": 0.0,
        "tick": 1,
        "milli": 0,
        **more,
    }


def write_lines(path: Path, lines: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(plain) + "\n" for plain in lines))


def minerl(folder: Path, steps: int, before: int, **changes: Any) -> Frames:
    """A recording of MineRL 0.4 with `before` frames from before the episode; the frames of the whole video."""
    frames = video(folder / "recording.mp4", steps + 1 + before)
    t = np.arange(steps)
    table: dict[str, Any] = {
        "reward": t.astype(np.float32),
        "action$forward": t % 2,
        "action$camera": np.stack([t, -t], -1).astype(np.float32),
        "action$craft": np.array(["none", "planks", "none", "torch"])[t % 4],
        "observation$inventory$coal": np.zeros(steps + 1, np.int64),
        **changes,
    }
    np.savez_compressed(folder / "rendered.npz", **{key: value for key, value in table.items() if value is not None})
    (folder / "metadata.json").write_text(json.dumps({"true_video_frame_count": steps + 1 + before, "success": True}))
    return frames
