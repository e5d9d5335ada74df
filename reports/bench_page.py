"""The page of a benchmark: bench.json as tables that say what they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsim.errors import StoreError
from worldsim.reports.page import asset, environment, write_page

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table as text.

    Attributes:
        key: Its anchor.
        title: Its heading.
        note: What the figures are.
        headers: Names of the columns.
        rows: As many cells as headers.
    """

    key: str
    title: str
    note: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def build_bench_page(results: Path, page: Path) -> Path:
    """Builds the page.

    Args:
        results: A bench.json of `worldsim bench --out`.
        page: The file to write.

    Raises:
        StoreError: If the results cannot be read or are of another version.
    """
    try:
        result = json.loads(results.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{results} cannot be read ({error}): `worldsim bench --out` writes it") from error
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        raise StoreError(f"{results} is no benchmark of schema {SCHEMA}: run `worldsim bench` again")
    html = (
        environment()
        .get_template("bench.html")
        .render(
            title=f"How fast: {result['model']['name']}",
            verdict=verdict(result),
            facts=facts(result),
            tables=tables(result),
            css=asset("page.css"),
            js=asset("page.js"),
        )
    )
    return write_page(page, html)


def verdict(result: Mapping[str, Any]) -> str:
    """One sentence: the fastest of the back ends that were measured with one world."""
    rows = [r for r in result.get("play", ()) if "frames_per_s" in r and r["batch"] == 1]
    if not rows:
        return "No back end was timed with one world."
    best = max(rows, key=lambda r: float(r["frames_per_s"]))
    return (
        f"The fastest is {best['backend']} with {_count(best['steps'], 'denoising step')}: "
        f"{best['frames_per_s']:.0f} frames a second of one world, decoding included."
    )


def facts(result: Mapping[str, Any]) -> list[str]:
    """What it ran on and how large the model is."""
    machine, model = result["machine"], result["model"]
    return [
        machine["device"] if machine["device"] != "cpu" else machine["processor"],
        _count(machine["threads"], "thread"),
        f"torch {machine['torch']}",
        f"load {machine['load']} at the start, {machine['cores']} cores",
        f"transformer {model['parameters']['transformer'] / 1e6:.1f}M, decoder "
        f"{model['parameters']['decoder'] / 1e6:.2f}M parameters",
        f"{model['gflop']['pass']} GFLOP a pass, {model['gflop']['decoder']} to decode",
    ]


def tables(result: Mapping[str, Any]) -> list[Table]:
    """All tables of a result, those without figures left out."""
    made = [_play(result), _agreement(result), _batches(result), _recompute(result), _session(result)]
    return [table for table in made if table.rows]


def _play(result: Mapping[str, Any]) -> Table:
    rows = []
    for r in result.get("play", ()):
        head = (r["backend"], str(r["steps"]), str(r["batch"]))
        if "missing" in r:
            rows.append((*head, r["missing"], *[""] * 9))
            continue
        over = r.get("over_floor")
        rows.append(
            (
                *head,
                f"{r['frames_per_s']:.1f}",
                *(f"{r[k]:.2f}" for k in ("p50_ms", "p95_ms", "p99_ms")),
                *(f"{r[k]:.2f}" for k in ("transformer_ms", "codec_ms", "transfer_ms")),
                f"{over['min']:.1f} / {over['p50']:.1f}" if over else "",
                f"{r['prepare_s']:.2f} + {r['first_frame_ms'] / 1e3:.3f}",
                f"{r['rss_mb']:.0f} / {r['cache_mb']:.1f}",
            )
        )
    gflops = result.get("floor", {}).get("gflops", {})
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in gflops.items())
    note = "Milliseconds for one frame of every world, drawn, decoded and handed over as numpy."
    if rates:
        note += (
            f" The floor is the frame's operations at the fastest rate of this machine (GFLOP/s in float32: {rates})."
        )
    return Table(
        key="play",
        title="Frames a second",
        note=note,
        headers=(
            *("back end", "steps", "worlds", "frames/s", "p50", "p95", "p99", "transformer", "codec", "transfer"),
            *("times the floor (min / p50)", "first frame after load, s", "process / cache, MB"),
        ),
        rows=tuple(rows),
    )


def _agreement(result: Mapping[str, Any]) -> Table:
    rows = [
        (
            r["backend"],
            str(r["steps"]),
            f"{r['agreement']['relative']:.1e}",
            f"{r['agreement']['first']:.1f}",
            f"{r['agreement']['later']:.1f}",
        )
        for r in result.get("play", ())
        if "agreement" in r
    ]
    return Table(
        key="agreement",
        title="Agreement",
        note="Against the transformer pass by pass in float32: relative error of the first latent, PSNR in dB of the "
        "first frame and of the 16th, each rollout on its own. 100 dB means equal.",
        headers=("back end", "steps", "relative error", "first frame, dB", "frame 16, dB"),
        rows=tuple(rows),
    )


def _batches(result: Mapping[str, Any]) -> Table:
    of = {
        (r["backend"], r["steps"], r["batch"]): r["frames_per_s"] for r in result.get("play", ()) if "frames_per_s" in r
    }
    rows = [
        (backend, str(steps), str(batch), f"{rate / of[backend, steps, 1]:.2f}")
        for (backend, steps, batch), rate in of.items()
        if batch > 1 and (backend, steps, 1) in of
    ]
    return Table(
        key="batches",
        title="Many worlds against one",
        note="Frames a second of all worlds together over those of one world.",
        headers=("back end", "steps", "worlds", "times the frames/s"),
        rows=tuple(rows),
    )


def _recompute(result: Mapping[str, Any]) -> Table:
    rows = [
        (
            str(r["window"]),
            f"{r['cached_ms']:.2f}",
            f"{r['recomputed_ms']:.2f}",
            f"{r['ratio']['min']:.1f} / {r['ratio']['median']:.1f}",
            f"{r['largest_difference']:.1e}",
        )
        for r in result.get("recompute", ())
    ]
    return Table(
        key="recompute",
        title="Cache against computing the past again",
        note="Two denoising steps; both with packed weights. The difference is that of the first frame.",
        headers=("window", "cached, ms", "recomputed, ms", "ratio (min / median)", "largest difference"),
        rows=tuple(rows),
    )


def _session(result: Mapping[str, Any]) -> Table:
    rows = []
    if flat := result.get("flatness"):
        ratio, growth = flat["ratio"], flat["memory_growth_mb"]
        rows.append(("frames 900-1000 over frames 50-150, time (min / median)", f"{ratio['min']} / {ratio['median']}"))
        rows.append(("growth of memory from frame 150 to 1000, MB", f"{growth}"))
    if (start := result.get("start")) and "ratio" in start:
        ratio = start["ratio"]
        rows.append(("a bare import torch, s", f"{start['import_torch_s']}"))
        rows.append(("new process to first frame, s", f"{start['first_frame_s']}"))
        rows.append(("the one over the other (min / median)", f"{ratio['min']} / {ratio['median']}"))
    return Table(
        key="session",
        title="Long sessions and cold starts",
        note="Medians; a session of a thousand frames, three new processes each.",
        headers=("what", "figure"),
        rows=tuple(rows),
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


__all__: Sequence[str] = ["Table", "build_bench_page", "facts", "tables", "verdict"]
