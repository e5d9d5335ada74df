"""Encoders for eyes beside H.264 (`worldsim.video.Mp4Writer`): VP9 in WebM, and GIF.

`worldsim.media` is what others use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldsim.arrays import part
from worldsim.comments import with_gif_comment
from worldsim.errors import PrerequisiteError
from worldsim.ffv1 import FFV1_MAX_FPS, VideoWriter
from worldsim.types import Frames
from worldsim.video import PIXELS, Chroma

#: x264's and libvpx's quality. At 12 a walk through the built-in world comes back at 39 to 41 dB
#: (benchmarks/media_formats.py): single pixels are seen at 64x64, so this is finer than the usual 18 to 23.
CRF = 12
#: Browsers show a GIF whose frames are closer than this much slower.
GIF_MAX_FPS = 50


class WebmWriter(VideoWriter):
    """VP9 in WebM, BT.709, one pass at constant quality."""

    def __init__(
        self, path: Path, size: tuple[int, int], fps: float, metadata: Mapping[str, Any], chroma: Chroma
    ) -> None:
        import av

        if "libvpx-vp9" not in av.codecs_available:
            raise PrerequisiteError("this PyAV has no VP9 encoder: `pip install --force-reinstall av` brings one")
        super().__init__(path, "webm", min(fps, FFV1_MAX_FPS), {}, metadata)
        # one thread: the same bytes on every machine; cpu-used 4 is three times as fast as 1 at nearly the same size
        options = {"crf": str(CRF), "deadline": "good", "cpu-used": "4", "threads": "1"}
        self._stream = self._container.add_stream("libvpx-vp9", rate=self._fps, options=options)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = PIXELS[chroma]
        self._convert = av.video.reformatter.VideoReformatter()
        context = self._stream.codec_context
        context.bit_rate = 0  # older PyAVs set one, and crf would be a mere lower bound
        context.time_base = 1 / self._fps
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709 in ISO/IEC 23091-4
        context.color_range = 1  # 16..235

    def append(self, frames: Frames) -> None:
        """Adds (n, H, W, 3) uint8 frames."""
        import av

        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            self._encode(
                self._convert.reformat(
                    picture, format=self._stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG"
                )
            )


class GifWriter(VideoWriter):
    """A GIF that loops, with the best 256 colours of each frame and no dither.

    One palette for all frames would save 20 to 40 % of the bytes and cost 4 dB (8 where a clip is colourful); dither
    costs up to 4 dB and flickers.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, metadata: Mapping[str, Any]) -> None:
        import av

        super().__init__(path, "gif", min(fps, GIF_MAX_FPS), {"loop": "0"}, {})
        self._comment = json.dumps(dict(metadata), sort_keys=True) if metadata else ""
        self._stream = self._container.add_stream("gif", rate=self._fps)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "pal8"
        self._stream.codec_context.time_base = 1 / self._fps
        graph = av.filter.Graph()
        self._in = graph.add_buffer(
            width=size[1], height=size[0], format=av.VideoFormat("rgb24"), time_base=1 / self._fps
        )
        split = graph.add("split")
        palette = graph.add("palettegen", "stats_mode=single")
        use = graph.add("paletteuse", "new=1:dither=none")
        self._out = graph.add("buffersink")
        for before, after, outlet, inlet in (
            (self._in, split, 0, 0),
            (split, palette, 0, 0),
            (split, use, 1, 0),
            (palette, use, 0, 1),
            (use, self._out, 0, 0),
        ):
            before.link_to(after, outlet, inlet)
        graph.configure()
        self._graph = graph  # kept alive: the contexts point into it
        self._fed = 0

    def append(self, frames: Frames) -> None:
        """Adds (n, H, W, 3) uint8 frames."""
        import av

        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = self._fed, 1 / self._fps
            self._in.push(picture)
            self._fed += 1
            self._pull()

    def close(self) -> Path:
        """Finishes the file, gives it its final name, and returns it; may be called twice."""
        if self._open:
            self._in.push(None)
            self._pull()
        return super().close()

    def _pull(self) -> None:
        import av

        while True:
            try:
                frame = self._out.pull()
            except (av.error.BlockingIOError, av.error.EOFError):  # it waits for more, or has given all
                return
            self._encode(frame)

    def _complete(self) -> None:
        if self._comment:  # FFmpeg's muxer writes none
            unfinished = part(self.path)
            unfinished.write_bytes(with_gif_comment(unfinished.read_bytes(), self._comment))
