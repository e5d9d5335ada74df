"""What lies in a folder of clips: videos, archives of frames or folders of pictures, and arrays beside them.

A clip is known by its stem. Its frames are `STEM.mp4` (.webm, .mkv, .mov, .avi, .gif), `STEM.npz` with a key `frames`,
or a folder `STEM/` of .png files; what is known beside them lies in `STEM.npz`, `STEM.<name>.npy` and `STEM.txt`
(`FIELDS`).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim.arrays import INDEX, ChunkedSource
from worldsim.errors import StoreError, nearest
from worldsim.types import Frames, FrameSource
from worldsim.video import open_lossless

VIDEOS = (".mp4", ".webm", ".mkv", ".mov", ".m4v", ".avi", ".gif")
#: Fields that may lie beside the frames of a true clip, and what they must be.
FIELDS: Mapping[str, str] = {
    "world_from_camera": "(T, 4, 4) camera poses in metres, camera axes x right, y down, z forward",
    "intrinsics": "(3, 3) or (T, 3, 3) in pixels of the frames",
    "depth": "(T, H, W) float32, metres along the camera's z, inf where there is no surface",
    "segmentation": "(T, H, W) integers, instance ids, 0 = the static world",
    "actions": "(T - 1, ...), what was done between two frames",
    "prompts": "the prompt as text, in a file STEM.txt",
}
_ALIASES = {"poses": "world_from_camera", "ids": "segmentation"}
_CHUNK, _CHUNK_BYTES = 16, 4 << 20  # most frames and bytes that a video source decodes at a time

#: Where an array lies: the file, and its key where that is an archive.
Place: TypeAlias = tuple[Path, str | None]


@dataclass(frozen=True, kw_only=True)
class Found:
    """One clip of a folder, not yet opened.

    Attributes:
        name: Its stem.
        frames: The video, archive, or folder of pictures.
        fields: Where each field lies; "fps" among them.
    """

    name: str
    frames: Path
    fields: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The clips of a folder by stem, what is wrong with some, and the names of files that are no part of a clip."""

    clips: Mapping[str, Found]
    problems: Mapping[str, str]
    notes: tuple[str, ...]


def list_clips(folder: Path) -> Listing:
    """Looks through a folder; opens archives to read their keys, but no video.

    Raises:
        StoreError: If there is no such folder, or no clip in it.
    """
    if not folder.is_dir():
        raise StoreError(f"{folder} is not a folder")
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    keys: dict[Path, tuple[str, ...]] = {}
    problems: dict[str, str] = {}
    for path in (entry for entry in entries if entry.suffix.lower() == ".npz" and entry.is_file()):
        try:
            keys[path] = _keys(path)
        except StoreError as error:
            problems[path.stem] = str(error)
    homes: dict[str, list[Path]] = {}
    for entry in entries:
        video = entry.is_file() and entry.suffix.lower() in VIDEOS
        if video or "frames" in keys.get(entry, ()):
            homes.setdefault(entry.stem, []).append(entry)
        elif entry.is_dir() and any(_pictures(entry)):
            homes.setdefault(entry.name, []).append(entry)
    used = {path for paths in homes.values() for path in paths}
    clips: dict[str, Found] = {}
    notes: list[str] = []
    for name, paths in homes.items():
        if len(paths) > 1:
            problems[name] = f"more than one video: {', '.join(p.name for p in paths)}"
            continue
        fields, files, said = _beside(folder, name, keys)
        used |= files
        notes += said
        twice = [known for known, places in fields.items() if len(places) > 1]
        if twice:
            problems[name] = f"{twice[0]} lies in {' and in '.join(p.name for p, _ in fields[twice[0]])}"
        clips[name] = Found(name=name, frames=paths[0], fields={known: places[0] for known, places in fields.items()})
    if not clips and not problems:
        raise StoreError(
            f"no clip in {folder}: expected {', '.join(VIDEOS)} files, .npz files with a key `frames`, or folders of "
            ".png files"
        )
    ignored = [entry.name for entry in entries if entry not in used and entry.stem not in problems]
    if ignored:
        notes.append(f"{folder}: not part of any clip: {', '.join(ignored[:5])}{' ...' if len(ignored) > 5 else ''}")
    return Listing(clips=clips, problems=problems, notes=tuple(notes))


def _beside(
    folder: Path, name: str, keys: Mapping[Path, tuple[str, ...]]
) -> tuple[dict[str, list[Place]], set[Path], list[str]]:
    """The fields of a clip, the files that hold them, and keys that mean nothing."""
    fields: dict[str, list[Place]] = {}
    files: set[Path] = set()
    notes = []
    words = (*(known for known in FIELDS if known != "prompts"), *_ALIASES)
    for path in (folder / f"{name}{part}.npz" for part in ("", *(f".{word}" for word in words))):
        for key in keys.get(path, ()):
            files.add(path)
            known = _ALIASES.get(key, key)
            if known in words or known == "fps":
                fields.setdefault(known, []).append((path, key))
            elif key != "frames":
                notes.append(f"{path}: the key {key!r} means nothing.{nearest(key, words)}")
    for word in words:
        path = folder / f"{name}.{word}.npy"
        if path.is_file():
            files.add(path)
            fields.setdefault(_ALIASES.get(word, word), []).append((path, None))
    text = folder / f"{name}.txt"
    if text.is_file():
        files.add(text)
        fields["prompts"] = [(text, None)]
    return fields, files, notes


def _keys(path: Path) -> tuple[str, ...]:
    """The arrays of an archive; ("frames",) for frames that worldsim wrote chunk by chunk."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if INDEX in names:
        return ("frames",) if any(name.startswith("frames_") for name in names) else ()
    return tuple(name.removesuffix(".npy") for name in names)


def _pictures(folder: Path) -> Iterator[Path]:
    return (entry for entry in folder.iterdir() if entry.suffix.lower() == ".png" and not entry.name.startswith("."))


# ---------------------------------------------------------------------------------------------------------- frames


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found by going through a clip once: frames, (H, W), frames a second if the file says, the coding."""

    count: int
    size: tuple[int, int]
    fps: float | None = None
    lossy: bool = False


def inspect(path: Path) -> Facts:
    """Goes through a clip once: videos are decoded to the end, for their headers do not count reliably.

    Raises:
        StoreError: If it cannot be read, holds no frame, or frames of several sizes.
    """
    if path.is_file() and path.suffix.lower() != ".npz":
        return _inspect_video(path)
    source = open_frames(path, None)
    if path.is_dir():
        for t in range(len(source)):  # raises for a picture that cannot be read, or is of another size
            source[t]
    return Facts(count=len(source), size=(source.shape[1], source.shape[2]))


def open_frames(path: Path, facts: Facts | None) -> FrameSource:
    """The frames of a clip, decoded when asked for.

    Args:
        path: As `list_clips` found it.
        facts: As `inspect` found them; needed for videos only.

    Raises:
        StoreError: If it cannot be read.
    """
    if path.is_dir():
        return PictureFrames(path)
    if path.suffix.lower() == ".npz":
        with zipfile.ZipFile(path) as archive:
            chunked = INDEX in archive.namelist()
        return open_lossless(path) if chunked else ArchiveFrames(path)
    known = facts or _inspect_video(path)
    return VideoFrames(path, known.count, known.size)


def _decode(path: Path) -> Iterator[Frames]:
    """The frames of a video as (H, W, 3) uint8 RGB, in the order in which they are shown."""
    import av

    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (OSError, ValueError, IndexError) as error:  # PyAV's own errors are one of these
        raise StoreError(f"{path} cannot be decoded: {error}") from error


def _inspect_video(path: Path) -> Facts:
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate: Fraction | None = stream.average_rate
            codec = stream.codec_context.name
    except (OSError, ValueError, IndexError) as error:
        raise StoreError(f"{path} is not a video that can be read: {error}") from error
    sizes: set[tuple[int, int]] = set()
    count = 0
    for frame in _decode(path):
        sizes.add((frame.shape[0], frame.shape[1]))
        count += 1
    if len(sizes) != 1:
        what = f"frames of several sizes: {sorted(sizes)}" if sizes else "no frame"
        raise StoreError(f"{path} holds {what}")
    lossless = codec in ("ffv1", "png", "rawvideo", "huffyuv", "ffvhuff", "utvideo")
    return Facts(count=count, size=sizes.pop(), fps=float(rate) if rate else None, lossy=not lossless)


class VideoFrames(ChunkedSource):
    """Frames of any video. Decoding goes on from where it stopped; going back begins anew, for seeks are not exact."""

    def __init__(self, path: Path, count: int, size: tuple[int, int]) -> None:
        """Takes what `inspect` found: `count` frames of (H, W)."""
        chunk = max(1, min(_CHUNK, _CHUNK_BYTES // (3 * size[0] * size[1])))
        super().__init__(path, (count, *size, 3), np.dtype(np.uint8), chunk)
        self._stream: Iterator[Frames] | None = None
        self._next = 0

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_stream": None, "_next": 0}

    def _read(self, start: int, stop: int) -> Frames:
        if self._stream is None or start < self._next:
            self._stream, self._next = _decode(self.path), 0
        out = np.empty((stop - start, *self.shape[1:]), np.uint8)
        while self._next < stop:
            frame = next(self._stream, None)
            if frame is None or frame.shape != self.shape[1:]:
                self._stream = None
                raise StoreError(f"{self.path} changed while it was read: frame {self._next} is not what it was")
            if self._next >= start:
                out[self._next - start] = frame
            self._next += 1
        return out


class PictureFrames(ChunkedSource):
    """A folder of .png files in the order of the numbers in their names (frame_2 before frame_10)."""

    def __init__(self, path: Path) -> None:
        """Lists the folder."""
        self._files = sorted(_pictures(path), key=_natural)
        first = _picture(self._files[0])
        super().__init__(path, (len(self._files), *first.shape), np.dtype(np.uint8), 1)

    def _read(self, start: int, stop: int) -> Frames:
        frames = [_picture(path) for path in self._files[start:stop]]
        for path, frame in zip(self._files[start:stop], frames, strict=True):
            if frame.shape != self.shape[1:]:
                raise StoreError(
                    f"{path} is {frame.shape[0]}x{frame.shape[1]}, the first is {self.shape[1]}x{self.shape[2]}"
                )
        return np.stack(frames)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.stem)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _picture(path: Path) -> Frames:
    import cv2

    found = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if found is None:
        raise StoreError(f"{path} is not a picture that can be read")
    frame: Frames = cv2.cvtColor(found, cv2.COLOR_BGR2RGB)
    return frame


class ArchiveFrames(ChunkedSource):
    """The array `frames` (T, H, W, 3) uint8 of an .npz, read whole when the first frame is asked for."""

    def __init__(self, path: Path) -> None:
        """Reads the array's header."""
        shape, dtype = header((path, "frames"))
        if dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3 or shape[0] == 0:
            raise StoreError(f"{path}: frames must be (T, H, W, 3) uint8 RGB, T >= 1, got {shape} {dtype.name}")
        super().__init__(path, shape, dtype, shape[0])

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        return read_array((self.path, "frames"))[start:stop]


# ---------------------------------------------------------------------------------------------------------- arrays


def header(place: Place) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an array, without reading it. Raises StoreError if it cannot be read."""
    path, key = place
    if key is None:
        array = read_array(place)  # mapped, not read
        return array.shape, array.dtype
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path}: {key} cannot be read: {error}") from error
    return tuple(int(n) for n in shape), dtype


def read_array(place: Place) -> NDArray[Any]:
    """An array beside a clip; an .npy is mapped, an .npz read. Never a pickle. Raises StoreError."""
    path, key = place
    try:
        if key is None:
            mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return mapped
        with np.load(path, allow_pickle=False) as archive:
            array: NDArray[Any] = archive[key]
            return array
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def read_text(place: Place) -> str:
    """A text beside a clip. Raises StoreError."""
    try:
        return place[0].read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{place[0]} is not a text that can be read: {error}") from error
