"""Clips on disk: each in every format that is wanted, and beside it how sure the model was of each frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.arrays import part, storing
from worldsim.errors import ConfigError
from worldsim.generate.making import GeneratedClip
from worldsim.media import known_suffix, write_clip


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """The suffixes of formats such as "mp4", each once. Raises UnknownNameError or ConfigError."""
    suffixes = tuple(dict.fromkeys(f".{name.lower().lstrip('.')}" for name in formats))
    if not suffixes:
        raise ConfigError("give at least one --format, for example mp4")
    for suffix in suffixes:
        known_suffix(Path(f"clip{suffix}"))
    return suffixes


def write(clips: Sequence[GeneratedClip], folder: Path, formats: Sequence[str], *, scale: int = 1) -> list[list[Path]]:
    """Writes the clips as `folder/MODE-NUMBER.FORMAT`, and `MODE-NUMBER.json` with what each frame's uncertainty is.

    Args:
        clips: To be written.
        folder: Made if it is not there; files of the same name are replaced.
        formats: "mp4", "webm", "gif", "png", "npz", "mkv".
        scale: Each pixel is drawn scale x scale; 1 in .npz and .mkv, whose frames are exact.

    Returns:
        The files of each clip, in the order of the formats, the .json last.
    """
    suffixes = check_formats(formats)
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    out = []
    for number, clip in enumerate(clips):
        stem = f"{clip.record['mode']}-{number}"
        paths = []
        for suffix in suffixes:
            own = 1 if suffix in (".npz", ".mkv") else scale
            paths.append(write_clip(folder / f"{stem}{suffix}", clip.frames, clip.fps, clip.record, scale=own))
        out.append([*paths, _write_facts(folder / f"{stem}.json", clip)])
    return out


def _write_facts(path: Path, clip: GeneratedClip) -> Path:
    facts = {
        "record": dict(clip.record),
        "drawn": clip.drawn.astype(int).tolist(),
        "uncertainty": {name: _plain(values) for name, values in clip.uncertainty.items()},
    }
    with storing(path):
        part(path).write_text(json.dumps(facts, allow_nan=False) + "\n", encoding="utf-8")
        part(path).replace(path)
    return path


def _plain(values: Any) -> list[float | None]:
    """Numbers for JSON: what is not known is null."""
    return [round(float(v), 6) if np.isfinite(v) else None for v in values]
