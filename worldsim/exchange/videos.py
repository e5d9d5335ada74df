"""Videos read once from front to back, and written without loss where players need H.264."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.errors import PrerequisiteError, ShapeError, StoreError
from worldsim.ffv1 import VideoWriter
from worldsim.folders import open_frames
from worldsim.types import Frames

SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi")


class FrameStream:
    """The frames of a video in order. Going on costs nothing, going back by more than a frame starts anew."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        self.path = path
        self._frames: Iterator[Frames] | None = None
        self._next = 0
        self._last: Frames | None = None

    def take(self, start: int, stop: int) -> Frames:
        """The frames start..stop-1 as (n, H, W, 3) uint8 RGB; memory holds these and one more.

        Raises:
            StoreError: If the video cannot be read, ends before, or changes its size.
        """
        if self._frames is None or start < self._next - 1:
            self._frames, self._next, self._last = decode(self.path), 0, None
        out: list[Frames] = []
        if start == self._next - 1 and self._last is not None:
            out.append(self._last)
        while self._next < stop:
            frame = next(self._frames, None)
            if frame is None:
                self._frames = None
                raise StoreError(f"{self.path} ends after {self._next} frames; frame {stop - 1} is needed")
            if self._last is not None and frame.shape != self._last.shape:
                raise StoreError(f"{self.path}: frame {self._next} is {frame.shape}, the one before {self._last.shape}")
            self._last = frame
            if self._next >= start:
                out.append(frame)
            self._next += 1
        return np.stack(out)


def decode(path: Path) -> Iterator[Frames]:
    """The frames of a video as (H, W, 3) uint8 RGB, in the order in which they are shown. Raises StoreError."""
    import av

    try:
        with av.open(str(path)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (OSError, ValueError, IndexError) as error:  # PyAV's own errors are one of these
        raise StoreError(f"{path} cannot be decoded: {error}") from error


def describe(path: Path) -> tuple[tuple[int, int], float | None, str, int]:
    """((H, W), frames a second, pixel format, frames by the header or 0) of a video. Raises StoreError."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = stream.average_rate
            size = (int(stream.height), int(stream.width))
            return size, float(rate) if rate else None, str(stream.pix_fmt), int(stream.frames)
    except (OSError, ValueError, IndexError) as error:
        raise StoreError(f"{path} is not a video that can be read: {error}") from error


def count_frames(path: Path) -> int:
    """Frames of a video or an .npz, without decoding them. Raises StoreError."""
    import av

    if path.suffix.lower() == ".npz":
        return len(open_frames(path, None))
    try:
        with av.open(str(path)) as container:
            return sum(1 for packet in container.demux(video=0) if packet.size)
    except (OSError, ValueError, IndexError) as error:
        raise StoreError(f"{path} is not a video that can be read: {error}") from error


class Rgb264Writer(VideoWriter):
    """RGB without loss as H.264 in .mp4: High 4:4:4 Predictive, quantiser 0, which FFmpeg plays and seeks."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float, *, keyframe_every: int = 12) -> None:
        """`size` is (H, W); a keyframe comes every `keyframe_every` frames."""
        import av

        if "libx264rgb" not in av.codecs_available:
            raise PrerequisiteError("this PyAV has no H.264 encoder: `pip install --force-reinstall av` brings one")
        super().__init__(path, "mp4", fps, {"movflags": "+faststart"}, {})
        self.size = size
        options = {"qp": "0", "preset": "fast", "g": str(keyframe_every), "bf": "0", "threads": "1"}
        self._stream: Any = self._container.add_stream("libx264rgb", rate=self._fps, options=options)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "rgb24"
        self._stream.codec_context.time_base = 1 / self._fps

    def append(self, frames: Frames) -> None:
        """Adds (n, H, W, 3) uint8 frames."""
        import av

        if frames.shape[1:] != (*self.size, 3):
            raise ShapeError(f"{self.path.name} takes frames of {self.size} (H, W), got {frames.shape[1:3]}")
        for frame in frames:
            self._encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))


def psnr(a: Frames, b: Frames) -> float:
    """Peak signal-to-noise ratio in dB over all values; inf where equal."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255.0**2 / error))
