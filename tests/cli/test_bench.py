"""`worldsim bench` on the smallest network: every figure is there, the page holds them, mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from worldsim.cli.main import main
from worldsim.errors import StoreError
from worldsim.model.bench.floor import decoder_flops, pass_flops
from worldsim.model.bench.subjects import load_subject
from worldsim.model.bench.timing import interleaved, ratios
from worldsim.reports.bench_page import build_bench_page


def test_every_section_lands_in_the_json_and_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench"
    options = "--recipe nano --backends eager bf16 --batches 1 2 --steps 1 --frames 10 --windows 4 --quiet"
    sections = ["--sections", "play", "recompute"]
    assert main(["bench", *options.split(), *sections, "--size", "32x32", "--out", str(out)]) == 0
    result = json.loads((out / "bench.json").read_text())
    assert [(r["backend"], r["batch"]) for r in result["play"]] == [
        ("eager", 1),
        ("bf16", 1),
        ("eager", 2),
        ("bf16", 2),
    ]
    for row in result["play"]:
        assert 0 < row["min_ms"] <= row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["transformer_ms"] + row["codec_ms"] <= 1.5 * row["p99_ms"]
        assert row["over_floor"]["min"] > 0.5  # nothing is faster than the floor, but for noise
    assert result["recompute"][0]["largest_difference"] < 1e-4
    page = (out / "index.html").read_text()
    assert "Frames a second" in page
    assert f"{result['play'][0]['frames_per_s']:.1f}" in page
    assert "bf16" in capsys.readouterr().out


def test_mistakes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--backends", "eagr"]) == 2
    assert "Did you mean 'eager'?" in capsys.readouterr().err
    assert main(["bench", "--recipe", "nano", "--size", "60x64", "--quiet"]) == 2
    assert "multiples of 16" in capsys.readouterr().err


def test_a_page_needs_results(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        build_bench_page(tmp_path / "bench.json", tmp_path / "index.html")
    (tmp_path / "bench.json").write_text('{"schema": 99}')
    with pytest.raises(StoreError, match="schema"):
        build_bench_page(tmp_path / "bench.json", tmp_path / "index.html")


def test_operations_are_those_that_torch_counts() -> None:
    """The formula against torch's own counter, which does not see attention in fused kernels on every device."""
    from torch.utils.flop_counter import FlopCounterMode

    from worldsim.model.backends.compiled import example
    from worldsim.model.backends.frame import FrameNet
    from worldsim.model.dit.patches import grid
    from worldsim.model.engine.sampler import SamplerConfig

    subject = load_subject("random", "tiny")
    config = subject.dit.config
    net = FrameNet(subject.dit, SamplerConfig(steps=1), grid((8, 8), config.patch).places).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(*example(net, 1))
    counted = counter.get_total_flops()
    assert 0.8 < counted / (2 * pass_flops(config, 16)) < 1.02  # the last layer runs on fewer tokens
    assert decoder_flops(subject.codec, (8, 16)) == pytest.approx(2 * decoder_flops(subject.codec, (8, 8)), rel=1e-6)


def test_calls_are_taken_in_turn() -> None:
    seen: list[str] = []
    seconds = interleaved({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, rounds=2, block=3, warmup=1)
    assert "".join(seen) == "ab" + "aaabbb" * 2
    assert len(seconds["a"]) == len(seconds["b"]) == 4
    assert ratios({"a": [2.0, 4.0], "b": [1.0, 1.0]}, "a", "b") == {"min": 2.0, "median": 3.0}
