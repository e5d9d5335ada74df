"""The formats of clips: kilobytes, and PSNR where frames do not come back exactly, on a walk in the built-in world.

    OMP_NUM_THREADS=1 python benchmarks/media_formats.py [--frames 64]

Deterministic: it measures no time. The table is that of docs/media.md.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from storage import blocks

from worldsim.media import read_clip, write_clip

#: Suffix and what differs from the default.
WAYS = (
    (".npz", {}),
    (".mkv", {}),
    (".png", {}),
    (".mp4", {}),
    (".webm", {}),
    (".gif", {}),
    (".mp4", {"chroma": "4:2:0"}),
    (".webm", {"chroma": "4:2:0"}),
    (".mp4", {"chroma": "4:2:0", "scale": 4}),
    (".webm", {"chroma": "4:2:0", "scale": 4}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=64)
    count = parser.parse_args().frames
    clips = [blocks((size, size), count) for size in (64, 128)]
    print("| format | 64x64 | 128x128 |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for suffix, changes in WAYS:
            cells = []
            for frames in clips:
                path = write_clip(Path(folder) / f"x{suffix}", frames, 20, {}, **changes)
                scale = changes.get("scale", 1)
                wanted = frames.repeat(scale, 1).repeat(scale, 2)
                error = float(np.mean((read_clip(path).frames.astype(np.float32) - wanted) ** 2))
                quality = f", {10 * np.log10(255**2 / error):.1f} dB" if error else ""
                cells.append(f"{path.stat().st_size / 1000:.0f} kB{quality}")
            name = " ".join([f"`{suffix}`", *(f"{key}={value}" for key, value in changes.items())])
            print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
