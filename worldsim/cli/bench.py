"""`worldsim bench`: how fast the simulator is on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worldsim.cli.arguments import parse

EXAMPLES = """
worldsim bench
worldsim bench --checkpoint random --recipe nano --backends eager --frames 50 --sections play
worldsim bench --backends eager bf16 onnx --batches 1 16 --steps 1 2 4 --out bench
worldsim bench --device cuda --backends eager bf16 --size 128x128 --batches 1 64 --sections play
"""


@dataclass(frozen=True, kw_only=True)
class BenchArgs:
    """Times the simulator: frames/s of every back end, its parts, its distance from the least possible, cold start.

    Back ends are measured in turn within one run, so that another program slows all of them alike: trust the ratios.
    """

    checkpoint: str = "random"
    """A checkpoint's name or folder, or "random" for random weights: they are as fast as trained ones."""
    recipe: str = "tiny"
    """Whose size random weights have."""
    backends: tuple[str, ...] = ("eager", "bf16", "int8", "onnx")
    """Of eager, compile, bf16, int8, onnx, openvino, openvino-bf16; those that are not installed are left out."""
    size: str = "64x64"
    """Height x width of the frames."""
    batches: tuple[int, ...] = (1, 16)
    """Worlds at once."""
    steps: tuple[int, ...] = (1, 2, 4)
    """Denoising steps: 1, 2, 4 or 8."""
    fused: bool = False
    """Commit each frame together with the first step of the next: one pass less."""
    frames: int = 200
    """Frames timed of each."""
    device: str = "cpu"
    """Where eager, compile and bf16 run."""
    threads: int = 1
    """Of a CPU. One is fastest where cores are shared."""
    windows: tuple[int, ...] = (16, 32, 64)
    """Windows at which the cache is compared with computing the past again."""
    sections: tuple[str, ...] = ("play", "recompute", "flatness", "start")
    """What is measured."""
    out: Path | None = None
    """Folder for bench.json and index.html."""
    quiet: bool = False
    """No progress."""


def bench_command(args: Sequence[str]) -> int:
    """Measures, prints the tables and keeps them if asked to."""
    given = parse(BenchArgs, args, "bench", EXAMPLES)
    from worldsim.arrays import storing
    from worldsim.cli.output import print_table
    from worldsim.cli.run import parse_size
    from worldsim.errors import ConfigError, nearest
    from worldsim.model.backends import NAMES
    from worldsim.model.bench.run import SECTIONS, BenchConfig, run_bench
    from worldsim.reports.bench_page import build_bench_page, tables

    for what, names, known in (("back end", given.backends, NAMES), ("section", given.sections, SECTIONS)):
        for name in names:
            if name not in known:
                raise ConfigError(f"no {what} {name!r}.{nearest(name, known)} Known: {', '.join(known)}.")
    config = BenchConfig(
        checkpoint=given.checkpoint,
        recipe=given.recipe,
        backends=given.backends,
        size=parse_size(given.size) or (64, 64),
        batches=given.batches,
        steps=given.steps,
        fused=given.fused,
        frames=given.frames,
        device=given.device,
        threads=given.threads,
        windows=given.windows,
        sections=given.sections,
    )
    result = run_bench(config, (lambda text: None) if given.quiet else (lambda text: print(text, file=sys.stderr)))
    for table in tables(result):
        print(f"\n{table.title}")
        print_table(table.headers, table.rows)
    if given.out is not None:
        path = given.out / "bench.json"
        with storing(path):
            given.out.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"\n{build_bench_page(path, given.out / 'index.html')}")
    return 0
