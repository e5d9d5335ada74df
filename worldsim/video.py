"""Frames on disk: lossless for scoring, H.264 for eyes.

Small frames lie as deflated array chunks (`worldsim.arrays`), which read many times faster than video; large ones as
FFV1 in Matroska, which is smaller (figures: `docs/run-format.md`). Both give back every byte. H.264 with 4:2:0 chroma
loses more than a good model does, so nothing is ever scored from an .mp4.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from worldsim.arrays import CHUNK, PROVENANCE, ArraySource, ArrayWriter, Writer, open_arrays, part, reading, storing
from worldsim.comments import read_comment
from worldsim.errors import PrerequisiteError, ShapeError, StoreError
from worldsim.ffv1 import Ffv1Source, Ffv1Writer, VideoWriter
from worldsim.types import Frames, FrameSource, check_frames

__all__ = [
    "ArraySource",
    "ArrayWriter",
    "LosslessWriter",
    "Mp4Writer",
    "difference",
    "open_arrays",
    "open_lossless",
    "read_metadata",
    "watchable_scale",
    "write_mp4",
    "write_png",
]

Kind: TypeAlias = Literal["auto", "arrays", "ffv1"]
#: How finely colour is stored: for every pixel, or for every two by two.
Chroma: TypeAlias = Literal["4:4:4", "4:2:0"]
PIXELS: Mapping[Chroma, str] = {"4:4:4": "yuv444p", "4:2:0": "yuv420p"}
#: Frames with more pixels than this are stored as FFV1, smaller ones as arrays.
ARRAYS_UP_TO = 160 * 160


class LosslessWriter(Writer):
    """Streams (n, H, W, 3) uint8 frames to disk without loss and in bounded memory.

    Attributes:
        path: The file's final name: `stem` + ".npz" or ".mkv".
        kind: "arrays" or "ffv1", as chosen.
        count: Frames so far.
    """

    def __init__(
        self,
        stem: str | os.PathLike[str],
        size: tuple[int, int],
        fps: float,
        *,
        kind: Kind = "auto",
        chunk: int = CHUNK,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Opens the file under a temporary name.

        Args:
            stem: Path without suffix.
            size: (H, W).
            fps: Frames per second of simulated time.
            kind: "auto" takes arrays up to 160x160 pixels and FFV1 above.
            chunk: Frames in one member of the arrays.
            metadata: Plain values kept in the file, for `read_metadata`.
        """
        if kind not in ("auto", "arrays", "ffv1"):
            raise ShapeError(f"LosslessWriter.kind must be 'auto', 'arrays' or 'ffv1', got {kind!r}")
        self.size = (int(size[0]), int(size[1]))
        self.count = 0
        self.kind = kind if kind != "auto" else ("arrays" if size[0] * size[1] <= ARRAYS_UP_TO else "ffv1")
        base = Path(stem)
        self._writer: ArrayWriter | Ffv1Writer
        if self.kind == "arrays":
            path = base.with_name(base.name + ".npz")
            self._writer = ArrayWriter(path, name="frames", chunk=chunk, metadata=metadata)
        else:
            self._writer = Ffv1Writer(base.with_name(base.name + ".mkv"), self.size, fps, metadata or {})
        self.path = self._writer.path

    def append(self, frames: Frames) -> None:
        """Adds (n, H, W, 3) uint8 frames, n >= 0."""
        check_frames(frames, ndim=4, what="frames")
        if frames.shape[1:3] != self.size:
            raise ShapeError(f"{self.path.name} takes frames of {self.size} (H, W), got {frames.shape[1:3]}")
        self.count += len(frames)
        self._writer.append(np.ascontiguousarray(frames))

    def close(self) -> Path:
        """Finishes the file, gives it its final name, and returns it. Without a frame there is no file."""
        if self.count == 0:
            self.abort()
            return self.path
        return self._writer.close()

    def abort(self) -> None:
        """Removes the unfinished file."""
        self._writer.abort()


def open_lossless(path: str | os.PathLike[str]) -> FrameSource:
    """What `LosslessWriter` wrote, as a (T, H, W, 3) stack that reads only what is asked for.

    Args:
        path: With its suffix, or without one: then .npz or .mkv, whichever is there.
    """
    target = Path(path)
    if target.suffix not in (".npz", ".mkv"):
        both = [target.with_name(target.name + suffix) for suffix in (".npz", ".mkv")]
        target = next((candidate for candidate in both if candidate.exists()), both[0])
    if target.suffix == ".mkv":
        return Ffv1Source(target)
    return open_arrays(target)


class Mp4Writer(VideoWriter):
    """Streams frames into an .mp4 that every browser plays and seeks: H.264, 4:2:0, BT.709, index in front.

    A keyframe every 12 frames and no B-frames make a seek take 1-2 ms; crf 18 is visually lossless.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        fps: float,
        *,
        metadata: Mapping[str, Any] | None = None,
        scale: int = 1,
        crf: int = 18,
        keyframe_every: int = 12,
        chroma: Chroma = "4:2:0",
    ) -> None:
        """Opens the file under a temporary name.

        Args:
            path: The final name.
            size: (H, W) of the frames that will be appended.
            fps: Frames per second.
            metadata: Plain values kept in the file, for `read_metadata` (see `worldsim.provenance`).
            scale: Each pixel is drawn scale x scale, so that 64x64 can be watched.
            crf: x264's quality; lower is better.
            keyframe_every: Frames from one keyframe to the next.
            chroma: "4:2:0" plays everywhere, in even sizes; "4:4:4" keeps the colours of small frames, but is a profile
                that browsers with a software decoder play, and most hardware does not.
        """
        import av

        if scale < 1:
            raise ShapeError(f"scale must be a whole number >= 1, got {scale}")
        if "libx264" not in av.codecs_available:
            raise PrerequisiteError("this PyAV has no H.264 encoder: `pip install --force-reinstall av` brings one")
        super().__init__(Path(path), "mp4", fps, {"movflags": "+faststart"}, dict(metadata or {}))
        self.size, self.scale = (int(size[0]), int(size[1])), scale
        # one thread: the same bytes on every machine, and the simulation keeps the other cores
        options = {"crf": str(crf), "preset": "ultrafast", "g": str(keyframe_every), "bf": "0", "threads": "1"}
        self._stream = self._container.add_stream("libx264", rate=self._fps, options=options)
        self._pad = tuple(n * scale % 2 if chroma == "4:2:0" else 0 for n in self.size)  # 4:2:0 needs even
        self._stream.height, self._stream.width = (n * scale + p for n, p in zip(self.size, self._pad, strict=True))
        self._stream.pix_fmt = PIXELS[chroma]
        self._convert = av.video.reformatter.VideoReformatter()  # one for all frames: half the time of one each
        context = self._stream.codec_context
        context.time_base = 1 / self._fps
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709 in ISO/IEC 23091-4
        context.color_range = 1  # 16..235

    def append(self, frames: Frames) -> None:
        """Adds (n, H, W, 3) or one (H, W, 3) uint8 frames."""
        import av
        import cv2

        stack = frames[None] if frames.ndim == 3 else frames
        check_frames(stack, ndim=4, what="frames")
        if stack.shape[1:3] != self.size:
            raise ShapeError(f"{self.path.name} takes frames of {self.size} (H, W), got {stack.shape[1:3]}")
        for frame in stack:
            big = frame
            if self.scale > 1:  # each pixel scale x scale; OpenCV leaves the interpreter lock free meanwhile
                big = cv2.resize(frame, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_NEAREST)
            if any(self._pad):  # repeat the last row or column: a black edge would bleed into the picture
                big = np.pad(big, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(big), format="rgb24")
            converted = self._convert.reformat(
                picture, format=self._stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            self._encode(converted)

    def close(self) -> Path:
        """Finishes the file, gives it its final name, and returns it. Without a frame there is no file."""
        if self.count == 0:
            self.abort()
            return self.path
        return super().close()


def write_mp4(
    path: str | os.PathLike[str],
    frames: Iterable[Frames],
    fps: float,
    metadata: Mapping[str, Any] | None = None,
    *,
    scale: int = 1,
) -> Path:
    """Writes an iterable of (H, W, 3) frames as an .mp4 for eyes, one frame at a time in memory."""
    writer: Mp4Writer | None = None
    try:
        for frame in frames:
            writer = writer or Mp4Writer(path, (frame.shape[0], frame.shape[1]), fps, metadata=metadata, scale=scale)
            writer.append(frame)
    except BaseException:
        if writer is not None:
            writer.abort()
        raise
    if writer is None:
        raise StoreError(f"{path} would hold no frame: the iterable was empty")
    return writer.close()


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The plain values that were given as `metadata`; {} if none were."""
    target = Path(path)
    if target.suffix == ".npz":
        with reading(target) as archive:
            text = archive.read(PROVENANCE) if PROVENANCE in archive.namelist() else b"{}"
    elif target.suffix in (".gif", ".png"):
        text = read_comment(target).encode()
    else:
        import av

        try:
            with av.open(str(target)) as container:  # Matroska spells its tags in capitals
                tags = {name.lower(): value for name, value in container.metadata.items()}
        except (OSError, ValueError) as error:
            raise StoreError(f"{target} is not a video: {error}") from error
        text = tags.get("comment", "{}").encode()
    try:
        found = json.loads(text)
    except ValueError:
        return {}  # a comment that somebody else wrote
    return found if isinstance(found, dict) else {}


def write_png(path: str | os.PathLike[str], frame: Frames) -> Path:
    """Writes one (H, W, 3) uint8 frame as a PNG."""
    import cv2

    check_frames(frame, ndim=3, what="frame")
    target = Path(path)
    _, data = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    with storing(target):
        part(target).write_bytes(data.tobytes())
        part(target).replace(target)
    return target


def difference(a: Frames, b: Frames) -> Frames:
    """|a - b| for eyes: black where equal, doubled so that small errors show, clipped at 255. Any equal shapes."""
    if a.shape != b.shape:
        raise ShapeError(f"difference needs equal shapes, got {a.shape} and {b.shape}")
    apart = np.abs(a.astype(np.int16) - b.astype(np.int16))
    doubled: Frames = np.minimum(apart * 2, 255).astype(np.uint8)
    return doubled


def watchable_scale(size: tuple[int, int], target: int = 256) -> int:
    """The whole factor that brings the smaller side of (H, W) up to about `target` pixels."""
    return max(1, round(target / min(size)))
