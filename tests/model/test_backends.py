"""Back ends against the transformer as it is, pass by pass: frames, cache, state and the files they leave."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model.small import small_codec, small_dit
from worldsim.errors import ConfigError, PrerequisiteError
from worldsim.model.backends import NAMES, agreement, make_backend
from worldsim.model.backends.cachedir import cache_folder
from worldsim.model.backends.export import frame_file
from worldsim.model.backends.frame import FrameNet
from worldsim.model.backends.packed import PackedConv2d, available, packed
from worldsim.model.backends.player import arguments, fits
from worldsim.model.codec import VideoCodec
from worldsim.model.codec.stream import DecoderState
from worldsim.model.dit import DiT
from worldsim.model.dit.patches import grid
from worldsim.model.engine.sampler import SamplerConfig, commit, draw
from worldsim.model.engine.worlds import Worlds

SIZE = (4, 6)


def deep_dit(**settings: Any) -> DiT:
    return small_dit(**{"depth": 3, "time_every": 2, "registers": 2, **settings}).requires_grad_(False)


@pytest.fixture(scope="module")
def dit() -> DiT:
    return deep_dit()


@pytest.fixture(scope="module")
def codec() -> VideoCodec:
    return small_codec().requires_grad_(False)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def begun(dit: DiT, sampler: SamplerConfig, context: int = 3, b: int = 2) -> Worlds:
    generator = torch.Generator().manual_seed(7)
    worlds = Worlds(dit, sampler, b, SIZE)
    latents = torch.randn(b, context, worlds.tokens, dit.config.token, generator=generator)
    led = torch.randn(b, max(context - 1, 0), dit.action_features, generator=generator)
    words = torch.randint(1, 20, (b, dit.config.text_length), generator=generator) if dit.config.text_length else None
    worlds.start(range(b), latents, led, list(range(b)), words, backward=False)
    return worlds


@pytest.mark.parametrize("settings", [{}, {"text_length": 0}, {"previous": False}, {"registers": 1, "window": 2}])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_whole_frame_is_what_single_passes_give(settings: dict[str, Any], steps: int) -> None:
    """Frame, instability, reward, end and what is committed; from no context at all to a ring that has turned."""
    dit, sampler = deep_dit(**settings), SamplerConfig(steps=steps)
    for context in (0, 3):
        worlds = begun(dit, sampler, context)
        net = FrameNet(dit, sampler, worlds.grid.places).eval()
        for t in range(6):
            frame = worlds._input(torch.randn(2, dit.action_features, generator=torch.Generator().manual_seed(t)), None)
            with torch.no_grad():
                got = net(arguments(frame, worlds.cache))
                drawn = draw(dit, frame, worlds.grid, worlds.cache, sampler)
                told = commit(dit, drawn.clean, frame, worlds.grid, worlds.cache, sampler)
            kept = [x[:, worlds.cache.next - 1] for x in (*worlds.cache.keys, *worlds.cache.values)]
            expected = [drawn.clean, drawn.instability, torch.cat([told.reward, told.end], dim=1), *kept]
            for a, b in zip((*got[:3], *got.commits), expected, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
            worlds._advance(drawn.clean)


def test_the_agreement_sees_a_difference(codec: VideoCodec, dit: DiT) -> None:
    sampler = SamplerConfig(steps=2)
    other = deep_dit()
    other.final.weight += 0.05 * torch.randn(other.final.weight.shape, generator=torch.Generator().manual_seed(0))
    got = agreement(make_backend("eager", codec, other, sampler), codec, dit, sampler, size=SIZE, horizon=4)
    assert got.relative > 1e-3
    assert got.later < 60


# Measured: eager 1e-6, bf16 1e-2, int8 3e-2, ONNX Runtime and OpenVINO 1e-6.
@pytest.mark.parametrize(
    ("name", "bound"), [("eager", 1e-5), ("bf16", 3e-2), ("int8", 0.15), ("onnx", 1e-4), ("openvino", 1e-4)]
)
def test_back_ends_agree(name: str, bound: float, codec: VideoCodec, dit: DiT) -> None:
    if name in ("onnx", "openvino"):
        pytest.importorskip("onnx")
        pytest.importorskip({"onnx": "onnxruntime"}.get(name, name))
    sampler = SamplerConfig(steps=2)
    backend = make_backend(name, codec, dit, sampler)
    backend.prepare(2, SIZE)
    got = agreement(backend, codec, dit, sampler, size=SIZE, horizon=8)
    assert got.relative < bound
    assert got.first > (60 if bound < 1e-3 else 25)


def test_onnx_files_are_made_once_and_keyed_by_weights_and_settings(dit: DiT, own_cache: Path) -> None:
    pytest.importorskip("onnx")
    dit = deep_dit(depth=2, time_every=2, text_length=0)
    places = grid(SIZE, dit.config.patch).places
    first = frame_file(dit, SamplerConfig(steps=1), 2, places)
    made = first.stat().st_mtime_ns
    assert frame_file(dit, SamplerConfig(steps=1), 2, places) == first
    assert first.stat().st_mtime_ns == made
    other = deep_dit(depth=2, time_every=2, text_length=0)
    other.flags += 1
    assert frame_file(other, SamplerConfig(steps=1), 2, places) != first
    assert frame_file(dit, SamplerConfig(steps=1, context_noise=0.2), 2, places) != first
    assert len(list(own_cache.rglob("*.onnx"))) == 3
    assert len(list(own_cache.rglob("*.*"))) == 3  # nothing half-written stays


def test_bfloat16_keeps_its_cache_in_bfloat16_and_leaves_the_weights_alone(codec: VideoCodec, dit: DiT) -> None:
    backend = make_backend("bf16", codec, dit, SamplerConfig())
    worlds = Worlds(dit, SamplerConfig(), 1, SIZE, network=backend.network, dtype=backend.dtype)
    worlds.step(torch.zeros(1, dit.action_features))
    assert {k.dtype for k in worlds.cache.keys} == {torch.bfloat16}
    assert {p.dtype for p in (*dit.parameters(), *codec.parameters())} == {torch.float32}


@pytest.mark.parametrize("settings", [{}, {"text_length": 0, "previous": False}, {"window": 2}, {"depth": 4}])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_fused_frame_is_what_single_passes_give(settings: dict[str, Any], steps: int) -> None:
    """Also where a world has just begun while another goes on, and when the ring has turned."""
    dit, sampler = deep_dit(**settings), SamplerConfig(steps=steps, fused=True)
    player = make_backend("eager", small_codec(), dit, sampler).network
    slow, fast = begun(dit, sampler), begun(dit, sampler)
    fast.network = player
    for t in range(7):
        if t == 4:
            for worlds in (slow, fast):
                latents = torch.randn(1, 2, worlds.tokens, dit.config.token, generator=torch.Generator().manual_seed(t))
                worlds.start([1], latents, torch.zeros(1, 1, dit.action_features), [9])
        actions = torch.randn(2, dit.action_features, generator=torch.Generator().manual_seed(t))
        a, b = slow.step(actions), fast.step(actions)
        for name in ("clean", "instability", "reward", "end"):
            torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=1e-3, atol=1e-4)
        for row in range(2):
            expected, got = slow.read(row), fast.read(row)
            for name in expected:
                torch.testing.assert_close(got[name], expected[name], rtol=1e-3, atol=1e-4)
    assert player._runner is not None  # not pass by pass


@pytest.mark.parametrize("name", ["onnx", "openvino", "int8", "bf16"])
def test_back_ends_agree_in_the_fused_form(name: str, codec: VideoCodec, dit: DiT) -> None:
    if name in ("onnx", "openvino"):
        pytest.importorskip("onnx")
        pytest.importorskip({"onnx": "onnxruntime"}.get(name, name))
    sampler = SamplerConfig(steps=2, fused=True)
    got = agreement(make_backend(name, codec, dit, sampler), codec, dit, sampler, size=SIZE, horizon=8)
    assert got.relative < {"int8": 0.15, "bf16": 3e-2}.get(name, 1e-4)


@pytest.mark.parametrize("name", ["eager", "bf16", "int8"])
def test_what_is_no_single_call_goes_pass_by_pass(name: str, codec: VideoCodec, dit: DiT) -> None:
    sampler = SamplerConfig(text_guidance=2.0)
    assert not fits(dit.config, sampler)
    got = agreement(make_backend(name, codec, dit, sampler), codec, dit, sampler, size=SIZE, horizon=4)
    assert got.relative < {"eager": 1e-5, "bf16": 5e-2, "int8": 0.2}[name]


def test_what_cannot_be_exported_is_said_at_once(codec: VideoCodec, dit: DiT) -> None:
    for sampler in (SamplerConfig(text_guidance=2.0), SamplerConfig(history_guidance=1.5)):
        with pytest.raises(ConfigError, match="no guidance"):
            make_backend("onnx", codec, dit, sampler)
    with pytest.raises(ConfigError, match="full time attention"):
        make_backend("openvino", codec, deep_dit(time_attention="axial"), SamplerConfig())
    with pytest.raises(ConfigError, match="onnx"):
        make_backend("onx", codec, dit, SamplerConfig())


def test_a_missing_package_names_the_extra(codec: VideoCodec, dit: DiT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PrerequisiteError, match=r"worldsim\[export\]"):
        make_backend("onnx", codec, dit, SamplerConfig())


def test_without_a_compiler_the_network_runs_uncompiled(
    codec: VideoCodec, dit: DiT, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no compiler found")

    monkeypatch.setattr(torch, "compile", broken)
    sampler = SamplerConfig()
    backend = make_backend("compile", codec, dit, sampler)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        backend.prepare(2, SIZE)
    assert sum("g++" in str(w.message) for w in caught) == 2
    assert agreement(backend, codec, dit, sampler, size=SIZE, horizon=2).relative < 1e-5


@pytest.mark.parametrize("settings", [{}, {"temporal": 2}, {"time_kernel": 1}, {"time_kernel": 3}])
def test_the_fast_decoder_streams_as_the_codec_does(settings: dict[str, Any], dit: DiT) -> None:
    codec = small_codec(**settings).requires_grad_(False)
    backend = make_backend("eager", codec, dit, SamplerConfig())
    generator = torch.Generator().manual_seed(0)
    a, b = DecoderState(started=True), DecoderState(started=True)
    for _ in range(3):
        latents = torch.randn(2, 1, 4, 3, 5, generator=generator)
        (x, a), (y, b) = codec.decode_chunk(latents, a), backend.decode(latents, b)
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5)


def test_packing_shares_weights_and_takes_any_number_of_rows() -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1), torch.nn.Flatten(2), torch.nn.Linear(16, 5)
    )
    if not available(net[0].weight):
        pytest.skip("no packed operators in this build of torch")
    fast = packed(net)
    assert isinstance(fast[0], PackedConv2d)
    assert isinstance(net[0], torch.nn.Conv2d)
    with torch.no_grad():
        for rows in (1, 5, 2):
            x = torch.randn(rows, 3, 8, 8, generator=torch.Generator().manual_seed(rows))
            torch.testing.assert_close(fast(x), net(x), rtol=1e-5, atol=1e-6)


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    assert cache_folder() == own_cache
    monkeypatch.delenv("WORLDSIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder().name == "worldsim"
    assert len(set(NAMES)) == len(NAMES)
