"""The whole benchmark: every figure as a plain value, ratios from one run and taken in turn."""

from __future__ import annotations

import dataclasses
import gc
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldsim.errors import ConfigError, WorldsimError
from worldsim.model.backends import agreement, make_backend
from worldsim.model.backends.packed import packed
from worldsim.model.bench.floor import decoder_flops, pass_flops, peak
from worldsim.model.bench.subjects import Play, Subject, load_subject
from worldsim.model.bench.timing import interleaved, percentile, ratios, summary
from worldsim.model.dit.network import DiT
from worldsim.model.engine.recompute import RecomputedWorlds
from worldsim.model.engine.sampler import SamplerConfig
from worldsim.model.engine.worlds import Worlds

SCHEMA = 1
SECTIONS = ("play", "recompute", "flatness", "start")


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What is measured.

    Attributes:
        checkpoint: A name, a folder, or "random".
        recipe: Whose size random weights have.
        backends: Names of `worldsim.model.backends`.
        size: (H, W) pixels.
        batches: Worlds at once.
        steps: Denoising steps.
        fused: Whether a frame is committed together with the first step of the next; not in the last two sections.
        frames: Frames timed of each, at least.
        device: Of eager, compile and bf16.
        threads: Of torch and the exported back ends.
        windows: At which the cache is compared with computing the past again.
        sections: Which of `SECTIONS`.
    """

    checkpoint: str = "random"
    recipe: str = "tiny"
    backends: tuple[str, ...] = ("eager", "bf16", "int8", "onnx")
    size: tuple[int, int] = (64, 64)
    batches: tuple[int, ...] = (1, 16)
    steps: tuple[int, ...] = (1, 2, 4)
    fused: bool = False
    frames: int = 200
    device: str = "cpu"
    threads: int = 1
    windows: tuple[int, ...] = (16, 32, 64)
    sections: tuple[str, ...] = SECTIONS


def run_bench(config: BenchConfig, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Measures. Returns plain values, ready for JSON; see docs/performance.md for what they mean."""
    if config.threads < 1 or config.frames < 10:
        raise ConfigError(f"threads must be at least 1 and frames 10, got {config.threads} and {config.frames}")
    torch.set_num_threads(config.threads)
    subject = load_subject(config.checkpoint, config.recipe)
    unit = 8 * subject.dit.config.patch
    if config.size[0] % unit or config.size[1] % unit or min(config.size) < unit:
        raise ConfigError(f"size must be multiples of {unit}, got {config.size[0]}x{config.size[1]}")
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "machine": machine(config),
        "settings": dataclasses.asdict(config),
        "model": _model(subject, config),
    }
    if "play" in config.sections:
        result["floor"], result["play"] = _play(subject, config, say)
    if "recompute" in config.sections:
        result["recompute"] = [_recompute(subject, config, w, say) for w in config.windows]
    if "flatness" in config.sections:
        result["flatness"] = _flatness(subject, config, say)
    if "start" in config.sections:
        result["start"] = _start(config, say)
    return result


def machine(config: BenchConfig) -> dict[str, Any]:
    """What it ran on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": config.threads,
        "device": torch.cuda.get_device_name() if config.device.startswith("cuda") else "cpu",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def memory_mb() -> float:
    """Resident memory of this process in MB; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _cells(config: BenchConfig) -> tuple[int, int]:
    return config.size[0] // 8, config.size[1] // 8


def _model(subject: Subject, config: BenchConfig) -> dict[str, Any]:
    dit, (h, w) = subject.dit.config, _cells(config)
    tokens = h * w // dit.patch**2
    return {
        "name": subject.name,
        "parameters": {
            "transformer": sum(p.numel() for p in subject.dit.parameters()),
            "decoder": sum(p.numel() for p in subject.codec.decoder.parameters()),
        },
        "tokens": tokens,
        "window": dit.window,
        "gflop": {
            "pass": round(pass_flops(dit, tokens) / 1e9, 4),
            "decoder": round(decoder_flops(subject.codec, (h, w)) / 1e9, 4),
        },
    }


def _play(
    subject: Subject, config: BenchConfig, say: Callable[[str], None]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """All back ends, batch sizes and step counts, in turn."""
    on = subject
    if config.device != "cpu":
        on = dataclasses.replace(subject, codec=subject.codec.to(config.device), dit=subject.dit.to(config.device))
    floor: dict[str, Any] = {"gflops": peak()} if config.device == "cpu" else {}
    flops = _model(subject, config)["gflop"]
    rows: list[dict[str, Any]] = []
    for steps in config.steps:
        for batch in config.batches:
            plays: dict[str, Play] = {}
            facts: dict[str, dict[str, Any]] = {}
            for name in config.backends:
                say(f"{name}: {steps} steps, {batch} worlds")
                try:
                    plays[name], facts[name] = _first(on, config, name, steps, batch)
                except WorldsimError as error:
                    facts[name] = {"missing": str(error)}
            rounds = max(3, config.frames // 9 // (4 if batch > 1 else 1))
            seconds = interleaved({n: p.step for n, p in plays.items()}, rounds=rounds, block=10 if batch == 1 else 3)
            for name in config.backends:
                row = {"backend": name, "steps": steps, "batch": batch, **facts[name]}
                if name in plays:
                    row |= summary(seconds[name])
                    row |= {f"{part}_ms": percentile(s[2:], 50) for part, s in plays[name].parts.items()}
                    row["frames_per_s"] = round(1e3 * batch / row["p50_ms"], 1)
                    row["cache_mb"] = round(plays[name].worlds.cache.nbytes / 1e6, 2)
                    if floor:
                        row["floor_ms"] = round(batch * _floor_ms(flops, floor["gflops"], steps), 3)
                        row["over_floor"] = {k: round(row[f"{k}_ms"] / row["floor_ms"], 2) for k in ("min", "p50")}
                rows.append(row)
            del plays
            gc.collect()
    return floor, rows


def _floor_ms(gflop: dict[str, float], gflops: dict[str, float], steps: int) -> float:
    """K denoising passes and one commit pass at the fastest linear rate, the decoder at the fastest of convolutions.

    The fused form does a little less: its commit skips most of the last layer. Its floor is the same all the same.
    """
    linear, conv = max(gflops["linear"], gflops["linear packed"]), max(gflops["conv"], gflops["conv packed"])
    return 1e3 * ((steps + 1) * gflop["pass"] / linear + gflop["decoder"] / conv)


def _first(subject: Subject, config: BenchConfig, name: str, steps: int, batch: int) -> tuple[Play, dict[str, Any]]:
    """A back end from nothing to its first frame, with what that took and how well it agrees."""
    sampler, size = SamplerConfig(steps=steps, fused=config.fused), _cells(config)
    start = time.perf_counter()
    backend = make_backend(name, subject.codec, subject.dit, sampler)
    backend.prepare(batch, size)
    prepared = time.perf_counter() - start
    play = Play(subject, backend, sampler, batch, size)
    start = time.perf_counter()
    play.step()
    facts: dict[str, Any] = {
        "prepare_s": round(prepared, 3),
        "first_frame_ms": round(1e3 * (time.perf_counter() - start), 2),
        "rss_mb": memory_mb(),
    }
    if batch == min(config.batches) and config.device == "cpu":
        own = make_backend(name, subject.codec, subject.dit, sampler) if batch > 2 else backend
        measured = agreement(own, subject.codec, subject.dit, sampler, size=size, batch=min(batch, 2))
        facts["agreement"] = {k: float(f"{v:.4g}") for k, v in dataclasses.asdict(measured).items()}
    return play, facts


def _recompute(subject: Subject, config: BenchConfig, window: int, say: Callable[[str], None]) -> dict[str, Any]:
    """One frame with the cache, and with the whole window run again at every step; packed weights on both sides."""
    say(f"cache against computing the past again, window {window}")
    dit = DiT(dataclasses.replace(subject.dit.config, window=window), subject.dit.action_features)
    dit.load_state_dict(subject.dit.state_dict())
    dit = dit.eval().requires_grad_(False)
    sampler, size = SamplerConfig(steps=2, fused=config.fused), _cells(config)
    backend = make_backend("eager", subject.codec, dit, sampler)
    worlds = Worlds(dit, sampler, 1, size, network=backend.network)
    again = RecomputedWorlds(packed(dit), sampler, 1, size, reach=window)
    generator = torch.Generator().manual_seed(0)
    context = torch.randn(1, window, worlds.tokens, dit.config.token, generator=generator)
    led = torch.zeros(1, window - 1, dit.action_features)
    actions = torch.zeros(1, dit.action_features)
    for each in (worlds, again):
        each.start([0], context, led, [0])
    # The first frame after a context of one window is the same function on both sides.
    difference = float((worlds.step(actions).clean - again.step(actions).clean).abs().max())
    seconds = interleaved(
        {"cached": lambda: worlds.step(actions), "recomputed": lambda: again.step(actions)}, rounds=6, block=3
    )
    return {
        "window": window,
        "cached_ms": percentile(seconds["cached"], 50),
        "recomputed_ms": percentile(seconds["recomputed"], 50),
        "ratio": ratios(seconds, "recomputed", "cached"),
        "largest_difference": float(f"{difference:.3g}"),
    }


def _flatness(subject: Subject, config: BenchConfig, say: Callable[[str], None]) -> dict[str, Any]:
    """Frames 900 to 1000 of one session over frames 50 to 150, and the growth of memory between."""
    name = config.backends[0]
    say(f"{name}: a thousand frames")
    sampler, size = SamplerConfig(steps=2), _cells(config)
    backend = make_backend(name, subject.codec, subject.dit, sampler)
    backend.prepare(1, size)
    play = Play(subject, backend, sampler, 1, size)
    seconds, memory = [], {}
    for t in range(1000):
        start = time.perf_counter()
        play.step()
        seconds.append(time.perf_counter() - start)
        if t + 1 in (150, 1000):
            gc.collect()
            memory[t + 1] = memory_mb()
    early, late = seconds[50:150], seconds[900:1000]
    return {
        "backend": name,
        "early_ms": percentile(early, 50),
        "late_ms": percentile(late, 50),
        "ratio": {
            "median": round(float(np.median(late) / np.median(early)), 3),
            "min": round(min(late) / min(early), 3),
        },
        "memory_growth_mb": round(memory[1000] - memory[150], 2),
    }


_COLD = """
import time; start = time.perf_counter()
from worldsim.model.bench.subjects import Play, load_subject
from worldsim.model.backends import make_backend
from worldsim.model.engine.sampler import SamplerConfig
import torch
torch.set_num_threads({threads})
subject = load_subject({checkpoint!r}, {recipe!r})
sampler = SamplerConfig(steps=2)
backend = make_backend("eager", subject.codec, subject.dit, sampler)
backend.prepare(1, {cells})
Play(subject, backend, sampler, 1, {cells}).step()
print(time.perf_counter() - start)
"""


def _start(config: BenchConfig, say: Callable[[str], None], repeats: int = 3) -> dict[str, Any]:
    """From a new Python to the first frame of the first back end, against a bare `import torch`; in turn."""
    say("cold start")
    code = {
        "import_torch": "import time; s = time.perf_counter(); import torch; print(time.perf_counter() - s)",
        "first_frame": _COLD.format(
            threads=config.threads, checkpoint=config.checkpoint, recipe=config.recipe, cells=_cells(config)
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in code}
    for _ in range(repeats):
        for name, text in code.items():
            run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
            if run.returncode:
                return {"missing": run.stderr.strip().splitlines()[-1] if run.stderr.strip() else "no output"}
            seconds[name].append(float(run.stdout.split()[-1]))
    return {
        **{f"{name}_s": round(float(np.median(s)), 3) for name, s in seconds.items()},
        "ratio": ratios(seconds, "first_frame", "import_torch"),
    }


def batch_gain(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Frames/s of the largest batch over that of one world, for each back end and step count."""
    most = max((r["batch"] for r in rows), default=1)
    of = {(r["backend"], r["steps"], r["batch"]): r["frames_per_s"] for r in rows if "frames_per_s" in r}
    return [
        {"backend": b, "steps": k, "batch": most, "gain": round(v / of[b, k, 1], 2)}
        for (b, k, n), v in of.items()
        if n == most > 1 and (b, k, 1) in of
    ]
