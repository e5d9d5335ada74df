"""Clips as files, in and out: one call that picks the format by suffix and puts the record of what made them inside.

| suffix | format | frames |
|---|---|---|
| `.npz` | chunked arrays (`worldsim.arrays`) | exact |
| `.mkv` | FFV1 in Matroska | exact |
| `.png` | one frame, or a film strip of several | exact |
| `.mp4` | H.264, crf 12, colour for every pixel | for eyes |
| `.webm` | VP9, crf 12, colour for every pixel | for eyes |
| `.gif` | a palette of 256 colours for every frame | for eyes |

Nothing should be trained or scored from a file for eyes. Each file appears whole or not at all, and `read_clip` reads
each of them back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from worldsim.arrays import ArrayWriter, missing, open_arrays, part, reading, storing
from worldsim.comments import PNG_COMMENT, png_size, png_texts, read_comment, with_png_texts
from worldsim.errors import ConfigError, ShapeError, StoreError, UnknownNameError, nearest
from worldsim.ffv1 import Ffv1Source, Ffv1Writer, rational
from worldsim.types import Frames, FrameSource, check_frames
from worldsim.video import PIXELS, Chroma, Mp4Writer, read_metadata
from worldsim.watchable import CRF, GifWriter, WebmWriter

SUFFIXES = (".gif", ".mkv", ".mp4", ".npz", ".png", ".webm")
#: Frames side by side in a film strip; further ones begin a new row.
STRIP_COLUMNS = 8
_STRIP = "worldsim-strip"  # PNG keyword: how the strip is cut
_FPS = "fps"  # member of the .npz
_AT_A_TIME = 16  # frames that are read from a source and enlarged at a time

_Writer: TypeAlias = ArrayWriter | Ffv1Writer | GifWriter | Mp4Writer | WebmWriter


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """What `read_clip` found.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        fps: Frames per second; None where the file does not say.
        provenance: The record inside; {} without one.
    """

    frames: Frames
    fps: float | None
    provenance: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """What a file says of itself before a frame is decoded.

    Attributes:
        count: T.
        size: (H, W).
        fps: Frames per second; None where the file does not say.
    """

    count: int
    size: tuple[int, int]
    fps: float | None


def write_clip(
    path: str | os.PathLike[str],
    frames: FrameSource,
    fps: float,
    provenance: Mapping[str, Any],
    *,
    scale: int = 1,
    chroma: Chroma = "4:4:4",
) -> Path:
    """Writes a clip in the format that its suffix names.

    Args:
        path: Ends in one of `SUFFIXES`. What lies there already is replaced.
        frames: (T, H, W, 3) uint8 RGB with T >= 1, in memory or on disk (read 16 frames at a time; a film strip is
            held whole).
        fps: Frames per second. A GIF counts in 1/100 s and goes up to 50, .mkv and .webm up to 250: beyond, the clip
            plays slower.
        provenance: Plain JSON values, as from `worldsim.provenance.provenance`; kept inside the file.
        scale: Each pixel is drawn scale x scale.
        chroma: Of .mp4 and .webm. "4:2:0" plays on every device, and costs small frames 6 to 10 dB; an .mp4 then has
            even sizes: the last row or column is repeated.

    Returns:
        The path.

    Raises:
        UnknownNameError: If the suffix is none of these.
        ShapeError: If the frames, `fps`, `scale` or `chroma` cannot be.
        ConfigError: If the record is not plain JSON.
        StoreError: If the disk refuses.
    """
    target, record = Path(path), plain(provenance)
    known_suffix(target)
    rational(fps)  # before a file is begun
    if scale < 1:
        raise ShapeError(f"scale must be a whole number >= 1, got {scale}")
    if chroma not in PIXELS:
        raise ShapeError(f"chroma must be one of {', '.join(PIXELS)}, got {chroma!r}")
    if len(frames.shape) != 4 or 0 in frames.shape:
        raise ShapeError(f"a clip is (T, H, W, 3) uint8 with at least one frame, got {tuple(frames.shape)}")
    if target.suffix == ".png":
        strip = film_strip(np.concatenate(list(_pieces(frames, scale))))
        layout = {"columns": min(len(frames), STRIP_COLUMNS), "count": len(frames), "fps": fps}
        return _write_png(target, strip, layout, record)
    size = (frames.shape[1] * scale, frames.shape[2] * scale)
    pieces = _pieces(frames, scale)
    first = next(pieces)  # a wrong dtype or axis is told before a file is begun
    writer = _writer(target, size, fps, record, chroma)
    try:
        writer.append(first)
        for piece in pieces:
            writer.append(piece)
        return writer.close()
    except BaseException:
        writer.abort()
        raise


def read_clip(path: str | os.PathLike[str], *, limit: int | None = None) -> Clip:
    """Reads what `write_clip` wrote; most other files of these kinds can be read, too.

    Args:
        path: Ends in one of `SUFFIXES`.
        limit: Only the first frames, at most this many; the rest of a video is then not checked.

    Raises:
        UnknownNameError: If the suffix is none of these.
        StoreError: If there is no such file, or it is cut, damaged, or something else.
    """
    target = Path(path)
    info, record = clip_info(target), read_metadata(target)
    count = info.count if limit is None else min(limit, info.count)
    if target.suffix == ".npz":
        frames = open_arrays(target)[:count]
    elif target.suffix == ".mkv":
        frames = Ffv1Source(target)[:count]
    elif target.suffix == ".png":
        frames = _cut_strip(target, info)[:count]
    else:
        frames = _decode(target, count, whole=limit is None)
    return Clip(frames=frames, fps=info.fps, provenance=record)


def clip_info(path: str | os.PathLike[str]) -> ClipInfo:
    """Length, size and rate of a clip, without decoding it. Raises as `read_clip` does."""
    target = Path(path)
    known_suffix(target)
    if target.suffix == ".npz":
        return _npz_info(target)
    if target.suffix == ".mkv":
        video = Ffv1Source(target)
        return ClipInfo(count=video.shape[0], size=(video.shape[1], video.shape[2]), fps=float(video.fps))
    if target.suffix == ".png":
        read_comment(target)  # the checksums, and the errors in words
        return _strip_info(target)
    return _video_info(target)


def known_suffix(path: Path) -> None:
    """Raises UnknownNameError unless clips can have this suffix."""
    if path.suffix not in SUFFIXES:
        raise UnknownNameError(
            f"{path.name} does not end in a format of clips: known are {', '.join(SUFFIXES)}."
            + nearest(path.suffix, SUFFIXES)
        )


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record, if it is JSON and comes back as it is."""
    try:
        found = json.loads(json.dumps(dict(record), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a provenance record holds plain JSON values only: {error}") from error
    return dict(found)


def film_strip(frames: Frames, columns: int = STRIP_COLUMNS) -> Frames:
    """(T, H, W, 3) side by side in rows of `columns`, as one (H', W', 3); what the last row lacks is white."""
    count, height, width = frames.shape[:3]
    columns = min(count, columns)
    rows = -(-count // columns)
    cells = np.full((rows * columns, height, width, 3), 255, np.uint8)
    cells[:count] = frames
    grid = cells.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    return np.ascontiguousarray(grid).reshape(rows * height, columns * width, 3)


def _writer(target: Path, size: tuple[int, int], fps: float, record: dict[str, Any], chroma: Chroma) -> _Writer:
    if target.suffix == ".npz":
        return ArrayWriter(target, name="frames", metadata=record, extra={_FPS: np.array(fps, np.float64)})
    if target.suffix == ".mkv":
        return Ffv1Writer(target, size, fps, record)
    if target.suffix == ".webm":
        return WebmWriter(target, size, fps, record, chroma)
    if target.suffix == ".gif":
        return GifWriter(target, size, fps, record)
    return Mp4Writer(target, size, fps, metadata=record, crf=CRF, chroma=chroma)


def _pieces(frames: FrameSource, scale: int) -> Iterator[Frames]:
    """The frames, checked and enlarged, a few at a time."""
    for start in range(0, len(frames), _AT_A_TIME):
        piece = frames[start : start + _AT_A_TIME]
        check_frames(piece, ndim=4, what="a clip's frames")
        yield np.ascontiguousarray(piece.repeat(scale, axis=1).repeat(scale, axis=2) if scale > 1 else piece)


def _write_png(target: Path, strip: Frames, layout: Mapping[str, Any], record: Mapping[str, Any]) -> Path:
    import cv2

    _, encoded = cv2.imencode(".png", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR))
    texts = {_STRIP: json.dumps(layout, sort_keys=True)}
    if record:
        texts = {PNG_COMMENT: json.dumps(record, sort_keys=True), **texts}
    try:
        with storing(target):
            part(target).write_bytes(with_png_texts(encoded.tobytes(), texts))
            part(target).replace(target)
    except BaseException:
        part(target).unlink(missing_ok=True)
        raise
    return target


def _strip_info(target: Path) -> ClipInfo:
    data = target.read_bytes()
    height, width = png_size(data)
    text = png_texts(data).get(_STRIP)
    if text is None:  # somebody else's picture
        return ClipInfo(count=1, size=(height, width), fps=None)
    try:
        layout = json.loads(text)
        count, columns, fps = int(layout["count"]), int(layout["columns"]), float(layout["fps"])
        rows = -(-count // columns)
        if min(count, columns) < 1 or height % rows or width % columns:
            raise ValueError(f"{count} frames in rows of {columns}")
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise StoreError(f"{target} is no film strip of {width}x{height} pixels: {error}; write it again") from error
    return ClipInfo(count=count, size=(height // rows, width // columns), fps=fps)


def _cut_strip(target: Path, info: ClipInfo) -> Frames:
    import cv2

    picture = cv2.imdecode(np.fromfile(target, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise StoreError(f"{target} cannot be decoded; write it again")
    height, width = info.size
    rows, columns = picture.shape[0] // height, picture.shape[1] // width
    cells = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).reshape(rows, height, columns, width, 3).swapaxes(1, 2)
    frames: Frames = np.ascontiguousarray(cells.reshape(rows * columns, height, width, 3)[: info.count])
    return frames


def _npz_info(target: Path) -> ClipInfo:
    source = open_arrays(target)
    if source.name != "frames" or len(source.shape) != 4 or source.dtype != np.uint8:
        raise StoreError(
            f"{target} holds {source.name} {source.shape} {source.dtype}, and no frames (T, H, W, 3) uint8"
        )
    fps = None  # the frames of a run have theirs in episodes.jsonl
    with reading(target) as archive:
        if f"{_FPS}.npy" in archive.namelist():
            with archive.open(f"{_FPS}.npy") as stream:
                fps = float(np.lib.format.read_array(stream, allow_pickle=False))
    return ClipInfo(count=source.shape[0], size=(source.shape[1], source.shape[2]), fps=fps)


def _video_info(target: Path) -> ClipInfo:
    import av

    if target.suffix == ".gif":
        read_comment(target)  # FFmpeg does not notice that a GIF is cut
    try:
        with av.open(str(target)) as container:
            stream = container.streams.video[0]
            duration = Fraction(container.duration, av.time_base)  # s
            count = stream.frames or round(duration * stream.average_rate)  # WebM does not count
            fps = count / duration if target.suffix == ".gif" else stream.average_rate  # a GIF's delays are rounded
            return ClipInfo(count=count, size=(stream.height, stream.width), fps=float(fps))
    except FileNotFoundError as error:
        raise missing(target) from error
    except (OSError, ValueError, IndexError, TypeError, ZeroDivisionError) as error:
        raise StoreError(f"{target} is not a complete {target.suffix} file ({error}); write it again") from error


def _decode(target: Path, count: int, *, whole: bool) -> Frames:
    """The first `count` frames; where these are all, that they are as many as the file says."""
    import av

    try:
        with av.open(str(target)) as container:
            stream = container.streams.video[0]
            frames = [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(stream), count)]
    except (OSError, ValueError) as error:  # PyAV's own errors are one or the other
        raise StoreError(f"{target} cannot be decoded, it is cut or damaged ({error}); write it again") from error
    if len(frames) < count:
        raise StoreError(f"{target} is cut: it says {count} frames and holds {len(frames)}; write it again")
    return np.stack(frames)
