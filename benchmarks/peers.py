"""Our simulator and two published ones, one script, in turn, one thread, decoding included. All weights are random.

    git clone https://github.com/eloialonso/diamond ; git clone https://github.com/etched-ai/open-oasis
    pip install einops        # open-oasis needs it
    python benchmarks/peers.py --diamond diamond --oasis open-oasis --docs docs/performance.md

"2 + 1" are two denoising steps and a commit pass; "2 fused" commits together with the first step of the next frame.
The code of the others is loaded from where it lies; nothing of it is here. DIAMOND runs as in its Atari configuration
(64x64, 4 frames of context, 3 Euler steps). Open-Oasis's network is made as small as ours (4M parameters, our latents),
and runs in its own loop: all frames of the window at each of 10 DDIM steps; its frames go through our decoder.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import dataclasses
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.errors import WorldsimError
from worldsim.model.backends import make_backend
from worldsim.model.bench.run import BenchConfig, batch_gain, run_bench
from worldsim.model.bench.subjects import Play, Subject, load_subject
from worldsim.model.bench.timing import interleaved
from worldsim.model.codec.network import to_uint8
from worldsim.model.codec.stream import DecoderState
from worldsim.model.engine.sampler import SamplerConfig

MARKS = ("<!-- peers: made by benchmarks/peers.py -->", "<!-- peers: end -->")
OURS = ("eager", "compile", "bf16", "int8", "onnx", "openvino", "openvino-bf16")
TORCH, EXPORTED = ("eager", "compile", "bf16", "int8"), ("onnx", "openvino", "openvino-bf16")


def stub(name: str, **values: Any) -> None:
    """A module that a peer imports and does not need to draw a frame."""
    module = types.ModuleType(name)
    module.__dict__.update(values)
    sys.modules[name] = module


def diamond(checkout: Path, autocast: bool) -> Callable[[], object]:
    """One frame of DIAMOND's sampler in its Atari configuration, as uint8."""
    source = checkout / "src"
    if "models" not in sys.modules:
        stub("data", Batch=object)
        stub("utils", LossAndLogs=tuple)
        stub("models", __path__=[str(source / "models")])
    from models.diffusion.denoiser import Denoiser, DenoiserConfig
    from models.diffusion.diffusion_sampler import DiffusionSampler, DiffusionSamplerConfig
    from models.diffusion.inner_model import InnerModelConfig

    inner = InnerModelConfig(3, 4, 256, [2, 2, 2, 2], [64, 64, 64, 64], [0, 0, 0, 0], num_actions=6)
    denoiser = Denoiser(DenoiserConfig(inner, 0.5, 0.3)).eval()
    sampler = DiffusionSampler(denoiser, DiffusionSamplerConfig(3))
    frames, actions = torch.rand(1, 4, 3, 64, 64) * 2 - 1, torch.randint(0, 6, (1, 4))

    def step() -> object:
        nonlocal frames
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            drawn, _ = sampler.sample(frames, actions)
        frames = torch.cat([frames[:, 1:], drawn.float()[:, None]], dim=1)
        return to_uint8((drawn + 1) / 2).numpy()

    return step


class Mlp(nn.Module):
    """What open-oasis takes from the package timm."""

    def __init__(self, in_features: int, hidden_features: int, act_layer: Callable[[], nn.Module], drop: float) -> None:
        super().__init__()
        self.fc1, self.act = nn.Linear(in_features, hidden_features), act_layer()
        self.fc2 = nn.Linear(hidden_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


def oasis(checkout: Path, subject: Subject, window: int, steps: int = 10) -> Callable[[], object]:
    """One frame of open-oasis's loop: the whole window through its network at each DDIM step."""
    stub("timm")
    stub("timm.models")
    stub("timm.models.vision_transformer", Mlp=Mlp)
    stub("timm.layers")
    stub("timm.layers.helpers", to_2tuple=lambda x: (x, x))
    if str(checkout) not in sys.path:
        sys.path.append(str(checkout))
    from dit import DiT

    channels = subject.codec.config.channels
    network = DiT(8, 8, 2, channels, 192, 3, 6, 4.0, 25, max_frames=window).eval()
    # Its schedule: sigmoid betas over 1,000 levels; the context is held at level 15 of them.
    t = torch.linspace(-3, 3, 1001, dtype=torch.float64).sigmoid()
    bars = 1 - (t - t[0]) / (t[-1] - t[0])
    bars = (bars[1:] * 0.999 + 1e-4).float()[:, None, None, None]
    levels = torch.linspace(-1, 999, steps + 1).long()
    x, actions = torch.randn(1, window, channels, 8, 8), torch.zeros(1, window, 25)
    state = DecoderState(started=True)

    @torch.no_grad()
    def step() -> object:
        nonlocal x, state
        x = torch.cat([x[:, 1:], torch.randn(1, 1, channels, 8, 8)], dim=1)
        for i in reversed(range(1, steps + 1)):
            now = torch.full((1, window), 14, dtype=torch.long)
            after = now.clone()
            now[:, -1] = levels[i]
            after[:, -1] = levels[i - 1] if levels[i - 1] >= 0 else levels[i]
            v = network(x, now, actions)
            a, b = bars[now], bars[after]
            start = a.sqrt() * x - (1 - a).sqrt() * v
            noise = ((1 / a).sqrt() * x - start) / (1 / a - 1).sqrt()
            if i == 1:
                b = torch.ones_like(b)
            x[:, -1:] = (b.sqrt() * start + noise * (1 - b).clamp_min(0).sqrt())[:, -1:]
        frame, state = subject.codec.decode_chunk(x[:, -1:], state)
        return to_uint8(frame).numpy()

    return step


def ours(subject: Subject, name: str, steps: int, fused: bool = False) -> Callable[[], object] | None:
    """One frame of ours; None where the back end is not installed."""
    sampler = SamplerConfig(steps=steps, fused=fused)
    try:
        backend = make_backend(name, subject.codec, subject.dit, sampler)
        backend.prepare(1, (8, 8))
    except WorldsimError as error:
        print(f"left out: {name}: {error}", file=sys.stderr)
        return None
    return Play(subject, backend, sampler, 1, (8, 8)).step


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of all, in turn."""
    subject = load_subject(arguments.checkpoint)
    calls: dict[str, Callable[[], object]] = {}
    for name in arguments.backends:
        for steps in (2, 1):
            for fused in (False, True):
                if step := ours(subject, name, steps, fused):
                    calls[f"{name}, {steps} {'fused' if fused else '+ 1'}"] = step
    if arguments.diamond:
        calls["DIAMOND"] = diamond(arguments.diamond, autocast=False)
        calls["DIAMOND, bf16"] = diamond(arguments.diamond, autocast=True)
    if arguments.oasis:
        for window in (16, 32):
            calls[f"Open-Oasis, window {window}"] = oasis(arguments.oasis, subject, window)
    seconds = interleaved(calls, rounds=arguments.rounds, block=8)
    return {name: {"min": min(s), "median": float(np.median(s))} for name, s in seconds.items()}


def best(times: dict[str, Any], names: tuple[str, ...], steps: tuple[int, ...], over: str) -> tuple[str, float, float]:
    """The fastest of ours against a peer: its name, and the ratios of minima and medians."""
    mine = [n for n in times if n.partition(",")[0] in names and any(f" {k}" in n for k in steps)]
    name = min(mine, key=lambda n: float(times[n]["median"]))
    return name, times[over]["min"] / times[name]["min"], times[over]["median"] / times[name]["median"]


def goals(times: dict[str, Any], bench: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Every goal for a CPU: what, the goal, measured, reached."""
    rows: list[tuple[str, str, str, str]] = []

    def against(over: str, goal: float, label: str, names: tuple[str, ...], steps: tuple[int, ...]) -> None:
        mine = [n for n in times if n.partition(",")[0] in names]
        if over not in times or not mine:
            return
        name, least, median = best(times, names, steps, over)
        reached = "yes" if min(least, median) >= goal else "no"
        rows.append((f"{over}: {label}", f">= {goal:g}x", f"{least:.1f} / {median:.1f}x ({name})", reached))

    against("DIAMOND", 20, "torch", TORCH, (2,))
    against("DIAMOND", 35, "exported", EXPORTED, (2,))
    against("DIAMOND", 45, "few steps", OURS, (1,))
    against("DIAMOND, bf16", 15, "any", OURS, (2,))
    against("DIAMOND, bf16", 25, "few steps", OURS, (1,))
    against("Open-Oasis, window 16", 35, "any", OURS, (2,))
    against("Open-Oasis, window 32", 60, "any", OURS, (2,))
    for row, goal in zip(bench["recompute"], (6, 9, 15), strict=True):
        r, d = row["ratio"], row["largest_difference"]
        reached = "yes" if min(r.values()) >= goal and d < 1e-4 else "no"
        text = f"{r['min']:.1f} / {r['median']:.1f}x, equal to {d:.0e}"
        rows.append((f"computing the past again, window {row['window']}", f">= {goal}x", text, reached))
    flat = bench["flatness"]
    late, growth = flat["ratio"], flat["memory_growth_mb"]
    reached = "yes" if late["median"] <= 1.05 and growth <= 0.5 else "no"
    text = f"{late['min']:.2f} / {late['median']:.2f}, {growth} MB"
    rows.append(("frames 900-1000 over 50-150, memory growth", "<= 1.05, 0", text, reached))
    single = [r for r in bench["play"] if r["batch"] == 1 and r["steps"] == 2 and "over_floor" in r]
    for label, names, goal in (("torch", TORCH, 3.5), ("exported", EXPORTED, 2.0)):
        # In float32: the floor is one of float32.
        of = [r for r in single if r["backend"] in names and r["backend"] not in ("bf16", "int8", "openvino-bf16")]
        if of:
            row = min(of, key=lambda r: float(r["over_floor"]["p50"]))
            over = row["over_floor"]
            text = f"{over['min']:.1f} / {over['p50']:.1f}x ({row['backend']})"
            rows.append((f"floor in operations, {label}", f"<= {goal}x", text, "yes" if over["p50"] <= goal else "no"))
    gains = [g for g in batch_gain(bench["play"]) if g["steps"] == 2]
    if gains:
        top = max(gains, key=lambda g: float(g["gain"]))
        reached = "yes" if top["gain"] >= 2.2 else "no"
        rows.append(("16 worlds over one, frames/s", ">= 2.2x", f"{top['gain']:.2f}x ({top['backend']})", reached))
    return rows


def markdown(times: dict[str, Any], bench: dict[str, Any]) -> str:
    """The tables for the documentation."""
    lines = ["| goal | wanted | measured (min / median) | reached |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in goals(times, bench)]
    lines += ["", "| one frame, one world, one thread | min, ms | median, ms |", "|---|---|---|"]
    lines += [f"| {n} | {1e3 * t['min']:.1f} | {1e3 * t['median']:.1f} |" for n, t in times.items()]
    rates = ", ".join(f"{k} {v:.0f}" for k, v in bench["floor"]["gflops"].items())
    machine = bench["machine"]
    lines += [
        "",
        f"{machine['processor']}, torch {machine['torch']}, load {machine['load']} at the start. GFLOP/s in float32 on "
        f"one thread: {rates}; {bench['model']['gflop']['pass']} GFLOP a pass, "
        f"{bench['model']['gflop']['decoder']} to decode.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diamond", type=Path, help="a checkout of DIAMOND")
    parser.add_argument("--oasis", type=Path, help="a checkout of open-oasis")
    parser.add_argument("--checkpoint", default="random")
    parser.add_argument("--backends", nargs="+", default=list(OURS))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--docs", type=Path, help="the file whose tables are to be replaced")
    parser.add_argument("--json", type=Path, help="where all figures go")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = BenchConfig(
        checkpoint=arguments.checkpoint,
        backends=tuple(b for b in arguments.backends if b != "compile"),  # minutes for each shape
        steps=(2,),
        fused=True,
        frames=arguments.frames,
        sections=("play", "recompute", "flatness"),
    )
    times = measure(arguments)
    bench = run_bench(config, lambda text: print(text, file=sys.stderr))
    text = markdown(times, bench)
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps({"times": times, "bench": bench, "config": dataclasses.asdict(config)}))
    if arguments.docs:
        page = arguments.docs.read_text(encoding="utf-8")
        before, _, rest = page.partition(MARKS[0])
        arguments.docs.write_text(
            f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{rest.partition(MARKS[1])[2]}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
