"""Arrays or FFV1? Size, speed and seek of both lossless stores, on frames of the built-in world, one thread.

    OMP_NUM_THREADS=1 python benchmarks/storage.py [--frames 256] [--markdown]

The frames are those of a random walk, which is hard: the whole picture moves. Where the built-in world cannot be
imported, drifting gradients with noise stand in, and the table says so.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from worldsim import video

SIZES = ((64, 64), (128, 128), (160, 160), (256, 256), (360, 640))


def blocks(size: tuple[int, int], count: int) -> np.ndarray:
    """A seeded walk through the arena: (count, H, W, 3) uint8."""
    from worldsim import registry

    env = registry.ENVS.get("blocks")(size=size)
    controller = registry.CONTROLLERS.get("explore")()
    frame, _ = env.reset(seed=5)
    controller.reset(seed=1, action_space=env.action_space, truth=env.truth())
    frames = [frame]
    for t in range(count - 1):
        frame, _, ended, cut, _ = env.step(controller.act(frame, env.truth(), t))
        if ended or cut:
            frame, _ = env.reset(seed=6 + t)
        frames.append(frame)
    env.close()
    return np.stack(frames)


def synthetic(size: tuple[int, int], count: int) -> np.ndarray:
    """Drifting gradients with a little noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    ramps = [128 + 100 * np.sin((x * (c + 1) + y + 4 * t) / 40)[..., None] for t in range(count) for c in range(3)]
    stack = np.concatenate(ramps, -1).reshape(*size, count, 3).transpose(2, 0, 1, 3)
    return np.clip(stack + rng.normal(0, 2, stack.shape), 0, 255).astype(np.uint8)


def measure(frames: np.ndarray, kind: str, folder: Path) -> dict[str, float]:
    """Share of the raw size, frames/s written and read in order, milliseconds for one frame anywhere; best of three."""
    count, size = len(frames), frames.shape[1:3]
    write = read = seek = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        with video.LosslessWriter(folder / "x", size, 20, kind=kind) as writer:
            for frame in frames:  # as the engine hands them over
                writer.append(frame[None])
        write = min(write, time.perf_counter() - started)
        started = time.perf_counter()
        assert np.array_equal(video.open_lossless(writer.path)[:], frames)
        read = min(read, time.perf_counter() - started)
        picks = np.random.default_rng(0).integers(0, count, 20)
        started = time.perf_counter()
        for i in picks:
            video.open_lossless(writer.path)[i]
        seek = min(seek, (time.perf_counter() - started) / len(picks))
    share = writer.path.stat().st_size / frames.nbytes
    return {
        "size %": 100 * share,
        "write frames/s": count / write,
        "read frames/s": count / read,
        "seek ms": 1e3 * seek,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    bar = "|" if args.markdown else ""
    header = ("frames", "store", "size %", "write frames/s", "read frames/s", "seek ms")
    print(bar + bar.join(f" {text:<15}" for text in header) + bar)
    if args.markdown:
        print(bar + "---|" * len(header))
    for size in SIZES:
        count = args.frames if size[0] * size[1] < 200_000 else max(16, args.frames // 4)
        try:
            frames, what = blocks(size, count), "blocks"
        except Exception as error:
            frames, what = synthetic(size, count), f"synthetic ({type(error).__name__})"
        for kind in ("arrays", "ffv1"):
            with tempfile.TemporaryDirectory() as folder:
                found = measure(frames, kind, Path(folder))
            cells = [f"{size[0]}x{size[1]} {what}", kind, *(f"{found[key]:.1f}" for key in header[2:])]
            print(bar + bar.join(f" {text:<15}" for text in cells) + bar, flush=True)


if __name__ == "__main__":
    main()
