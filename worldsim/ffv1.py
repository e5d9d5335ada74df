"""Encoding frames as a video, one at a time; and FFV1, the lossless one.

The only module that knows PyAV's low level. `worldsim.video` is what others use.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.arrays import ChunkedSource, Writer, missing, part, storing
from worldsim.errors import ShapeError, StoreError
from worldsim.types import Frames

#: Most frames and bytes that an FFV1 source decodes at a time. Each frame is a keyframe and costs 1 to 40 ms, so few of
#: them keep random access cheap, while opening the file (1 ms) stays a small part.
FFV1_CHUNK = 16
FFV1_CHUNK_BYTES = 2 << 20
#: Matroska counts in milliseconds, so frames closer than this many a second would share a time stamp.
FFV1_MAX_FPS = 250


class VideoWriter(Writer):
    """An encoder that streams frames into `path` + ".part" and renames it on close."""

    def __init__(
        self, path: Path, container: str, fps: float, options: dict[str, str], metadata: Mapping[str, Any]
    ) -> None:
        import av

        self.path = path
        self.count = 0
        with storing(path):
            self._container = av.open(str(part(path)), "w", format=container, options=options)
        self._container.flags |= av.container.Flags.bitexact.value  # no random ids: equal content, equal bytes
        if metadata:  # the one tag that both containers keep as it is
            self._container.metadata["comment"] = json.dumps(dict(metadata), sort_keys=True)
        self._fps = rational(fps)
        self._stream: Any = None
        self._open = True

    def _encode(self, frame: Any) -> None:
        if not self._open:
            raise StoreError(f"{self.path} is closed: open another writer to write more")
        frame.pts = self.count
        frame.time_base = 1 / self._fps
        with storing(self.path):
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        self.count += 1

    def close(self) -> Path:
        """Finishes the file, gives it its final name, and returns it; may be called twice."""
        if self._open:
            with storing(self.path):
                for packet in self._stream.encode(None):
                    self._container.mux(packet)
                self._container.close()
                self._complete()
                self._open = False
                part(self.path).replace(self.path)
        return self.path

    def _complete(self) -> None:
        """What is still to be done to the file before it gets its final name."""

    def abort(self) -> None:
        """Removes the unfinished file; nothing after `close`."""
        if self._open:
            self._open = False
            with contextlib.suppress(OSError, ValueError):
                self._container.close()
            part(self.path).unlink(missing_ok=True)


class Ffv1Writer(VideoWriter):
    """RGB without loss: FFV1 version 3 on bgr0 (a mere shuffle of bytes), each frame a keyframe with a checksum."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float, metadata: Mapping[str, Any]) -> None:
        if min(size) < 2:
            raise ShapeError(f"FFV1 cuts a frame into 2x2 slices, so it needs at least 2x2 pixels, got {size}")
        super().__init__(path, "matroska", min(fps, FFV1_MAX_FPS), {}, metadata)
        options = {"level": "3", "coder": "range_def", "context": "0", "g": "1", "slices": "4", "slicecrc": "1"}
        self._stream = self._container.add_stream("ffv1", rate=self._fps, options=options)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "bgr0"
        self._stream.codec_context.time_base = 1 / self._fps
        self._stream.codec_context.thread_count = 1

    def append(self, frames: Frames) -> None:
        """Adds (n, H, W, 3) uint8 frames."""
        import av

        for frame in frames:
            self._encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="bgr0"))


class Ffv1Source(ChunkedSource):
    """Frames of a lossless .mkv; every frame is a keyframe, so a seek is exact.

    A cut file is noticed here. FFmpeg conceals a slice whose checksum is wrong, so a flipped bit is not: the hashes in
    `episodes.jsonl` are what proves a file whole.
    """

    def __init__(self, path: Path) -> None:
        import av

        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                self.fps: Fraction = stream.average_rate
                size = (stream.height, stream.width)
                count = round(Fraction(container.duration, av.time_base) * self.fps)
        except FileNotFoundError as error:
            raise missing(path) from error
        except (OSError, ValueError, IndexError, TypeError) as error:
            raise StoreError(f"{path} is not a complete lossless video ({error}); record the episode again") from error
        chunk = max(1, min(FFV1_CHUNK, FFV1_CHUNK_BYTES // (3 * size[0] * size[1])))
        super().__init__(path, (count, *size, 3), np.dtype(np.uint8), chunk)

    def _read(self, start: int, stop: int) -> Frames:
        import av

        out = np.empty((stop - start, *self.shape[1:]), np.uint8)
        done = np.zeros(stop - start, bool)
        try:
            with av.open(str(self.path)) as container:
                stream = container.streams.video[0]
                if start:
                    # half a frame late, then backwards: time stamps are rounded to milliseconds
                    container.seek(round((start + 0.5) / self.fps / stream.time_base), stream=stream)
                for frame in container.decode(stream):
                    i = round(frame.pts * stream.time_base * self.fps) - start
                    if i >= stop - start:
                        break
                    if i >= 0:
                        out[i] = frame.to_ndarray(format="rgb24")
                        done[i] = True
                    if done.all():
                        break
        except (OSError, ValueError) as error:  # PyAV's own errors are one or the other
            raise StoreError(f"{self.path} cannot be decoded ({error}); record the episode again") from error
        if not done.all():
            raise StoreError(f"{self.path} lacks frame {start + int(np.argmin(done))}; record the episode again")
        return out


def rational(fps: float) -> Fraction:
    """Frames per second as a fraction that every container can hold."""
    if not 0 < fps < 10_000:
        raise ShapeError(f"fps must be above 0 and below 10000, got {fps}")
    return Fraction(fps).limit_denominator(1001)  # 30000/1001 is the oddest rate in use
