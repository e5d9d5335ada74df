from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.model.small import actions_of, frames, small_checkpoint
from worldsim import trees
from worldsim.checks import check_world_model
from worldsim.errors import ConfigError, ContractError, ShapeError, UnsupportedError
from worldsim.model.codec.network import to_float, to_uint8
from worldsim.model.codec.stream import EncoderState
from worldsim.model.dit.patches import unpatchify
from worldsim.model.door import Canvas
from worldsim.model.simulator import LatentSimulator
from worldsim.types import Context

VILLAGE = "in the village at day; a red chest close by straight ahead"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder for some settings; the same for the same."""
    made: dict[str, Path] = {}

    def make(**settings: Any) -> Path:
        key = repr(settings)
        if key not in made:
            made[key] = small_checkpoint(tmp_path_factory.mktemp("small") / "c", **settings)
        return made[key]

    return make


def context(seed: int, b: int = 2, c: int = 3, size: tuple[int, int] = (32, 48), prompt: str = "") -> Context:
    return Context(frames=frames(seed, b, c, *size), actions=actions_of(seed, b, max(c - 1, 0)), prompts=(prompt,) * b)


def play(model: LatentSimulator, steps: int, b: int = 2) -> np.ndarray[Any, Any]:
    n = model.spec.frames_per_step
    return np.concatenate([model.step(actions_of(900 + t, b, n)).frames for t in range(steps)], axis=1)


# ------------------------------------------------------------------------------------------------------- contract


@pytest.mark.parametrize(
    ("made", "settings", "applies"),
    [
        ({}, {"uncertainty": ("flow", "codec", "seeds"), "redraws": 1}, True),
        ({}, {"fused": True, "steps": 1}, True),
        ({"codec": {"temporal": 2}, "dit": {"time_attention": "axial"}}, {"text_guidance": 2.0}, True),
        ({"dit": {"text_length": 0, "registers": 0}}, {}, False),
    ],
    ids=["signals", "fused", "two frames", "no text"],
)
def test_the_contract_of_a_world_model_is_kept(
    checkpoint: Callable[..., Path], made: dict[str, Any], settings: dict[str, Any], applies: bool
) -> None:
    report = check_world_model(lambda: LatentSimulator(checkpoint(**made), **settings))
    assert report.ok, str(report)
    ran = {c.name for c in report.clauses if c.status == "pass"}
    assert {"snapshot and restore", "round_trip", "sizes", "reset of some worlds", "close", "longer context"} <= ran
    assert ({"set_prompt", "text alone"} <= ran) == applies


# ---------------------------------------------------------------------------------------------------------- starts


@pytest.mark.parametrize("c", [0, 1, 2, 11])
def test_any_length_of_context_is_a_start(checkpoint: Callable[..., Path], c: int) -> None:
    model = LatentSimulator(checkpoint())
    model.reset(context(0, c=c, prompt=VILLAGE), seeds=[1, 2])
    first = play(model, 6)
    assert first.shape == (2, 6, 32, 48, 3) and first.std() > 5
    model.reset(context(0, c=c, prompt=VILLAGE), seeds=[1, 2])
    assert np.array_equal(play(model, 6), first)
    model.reset(context(0, c=c), seeds=[1, 2])
    assert not np.array_equal(play(model, 6), first)


def test_what_lies_before_the_window_does_not_matter(checkpoint: Callable[..., Path]) -> None:
    """W + 1 = 5 frames count: the window, and the latent before it. The first of them is frame 0."""
    model, c = LatentSimulator(checkpoint()), context(0, c=20)
    model.reset(c, seeds=[1, 2])
    long = play(model, 4)
    short = Context(
        frames=c.frames[:, 15:], actions=trees.map_leaves(lambda x: x[:, 15:], c.actions), prompts=c.prompts
    )
    model.reset(short, seeds=[1, 2])
    assert np.array_equal(play(model, 4), long)


@pytest.mark.parametrize(("temporal", "latents"), [(1, 5), (2, 6)])
def test_no_more_of_a_context_is_encoded_than_is_remembered(
    checkpoint: Callable[..., Path], temporal: int, latents: int
) -> None:
    """The window of 4, the latent before it, and one more where the first of them would not be whole."""
    model = LatentSimulator(checkpoint(codec={"temporal": temporal}))
    for c, expected in ((1, 1), (1 + 2 * temporal, 3), (2 + 2 * temporal, 3 + (temporal == 1)), (30, latents)):
        tokens, features = model._door.context(context(0, c=c), Canvas(height=32, width=48, patch=2))
        assert tokens.shape == (2, expected, 6, 16) and features.shape == (2, expected - 1, 5)
    model.reset(context(0, c=30), seeds=[1, 2])
    assert bool(model._running()[0].cache.filled.all()) and bool(model._running()[0].has_previous.all())


@pytest.mark.parametrize("size", [(16, 16), (24, 40), (17, 33), (48, 16)])
def test_frames_of_any_size_are_painted_on_whole_tokens(checkpoint: Callable[..., Path], size: tuple[int, int]) -> None:
    model = LatentSimulator(checkpoint())
    model.reset(context(0, size=size), seeds=[1, 2])
    assert play(model, 2).shape == (2, 2, *size, 3)
    assert model.round_trip(frames(1, 3, *size)).shape == (3, *size, 3)


def test_a_canvas_repeats_edges_and_gives_the_frames_back() -> None:
    x, canvas = frames(0, 2, 17, 33), Canvas(height=17, width=33, patch=2)
    put = canvas.put(x)
    assert put.shape == (2, 32, 48, 3) and canvas.cells == (4, 6)
    assert np.array_equal(canvas.cut(put), x)
    assert (put[:, :7] == put[:, 7:8]).all() and (put[:, :, -8:] == put[:, :, -9:-8]).all()
    exact = Canvas(height=32, width=48, patch=2)
    assert np.array_equal(exact.put(put), put)


# ------------------------------------------------------------------------------------------- temporal compression


@pytest.mark.parametrize("kernel", [1, 2, 4])
@pytest.mark.parametrize("temporal", [1, 2, 4])
@pytest.mark.parametrize("c", [1, 5, 9])
def test_frames_are_those_of_the_whole_video(
    checkpoint: Callable[..., Path], temporal: int, kernel: int, c: int
) -> None:
    """Context and steps one by one are decoded as all the latents at once."""
    model = LatentSimulator(checkpoint(codec={"temporal": temporal, "time_kernel": kernel}))
    assert model.spec.frames_per_step == temporal
    start = context(0, c=c)
    model.reset(start, seeds=[1, 2])
    worlds, drawn, shown = model._running()[0], [], []
    for t in range(3):
        shown.append(model.step(actions_of(t, 2, temporal)).frames)
        drawn.append(unpatchify(worlds.previous, worlds.size, 2))
    with torch.no_grad():
        known = model.codec.encode(to_float(torch.from_numpy(start.frames)))
        whole = to_uint8(model.codec.decode(torch.cat([known, torch.stack(drawn, dim=1)], dim=1))).numpy()
    got = np.concatenate(shown, axis=1)
    assert got.shape[1] == 3 * temporal
    assert np.abs(whole[:, c:].astype(int) - got).max() <= 1


def test_actions_of_a_step_are_averaged_over_its_frames(checkpoint: Callable[..., Path]) -> None:
    model = LatentSimulator(checkpoint(codec={"temporal": 2}))
    swapped = {}
    for order in (slice(None), slice(None, None, -1)):
        model.reset(context(0), seeds=[1, 2])
        swapped[str(order)] = model.step(trees.map_leaves(lambda x: x[:, order], actions_of(5, 2, 2))).frames  # noqa: B023
    first, second = swapped.values()
    assert np.abs(first.astype(int) - second).max() <= 1
    model.reset(context(0), seeds=[1, 2])
    assert not np.array_equal(model.step(actions_of(6, 2, 2)).frames, first)


@pytest.mark.parametrize("temporal", [1, 2, 4])
@pytest.mark.parametrize("t", [1, 2, 33, 70])
def test_the_round_trip_is_that_of_the_whole_video(checkpoint: Callable[..., Path], temporal: int, t: int) -> None:
    model, x = LatentSimulator(checkpoint(codec={"temporal": temporal})), frames(t, t, 16, 16)
    given = x.copy()
    got = model.round_trip(x)
    filled = np.concatenate([x, x[-1:].repeat(-(t - 1) % temporal, axis=0)])
    with torch.no_grad():
        y = to_float(torch.from_numpy(filled))[None]
        whole = to_uint8(model.codec.decode(model.codec.encode(y))[0]).numpy()[:t]
    assert got.shape == x.shape and np.array_equal(x, given)
    assert np.abs(whole.astype(int) - got).max() <= 1


def test_the_round_trip_of_nothing_is_nothing(checkpoint: Callable[..., Path]) -> None:
    assert LatentSimulator(checkpoint()).round_trip(frames(0, 0, 16, 16)).shape == (0, 16, 16, 3)


# ------------------------------------------------------------------------------------------------------------ signals


@pytest.mark.parametrize("temporal", [1, 2])
def test_uncertainty_is_given_as_asked(checkpoint: Callable[..., Path], temporal: int) -> None:
    folder = checkpoint(codec={"temporal": temporal})
    every = LatentSimulator(folder, uncertainty=("flow", "codec", "seeds"), redraws=2)
    every.reset(context(0), seeds=[1, 2])
    out = every.step(actions_of(0, 2, temporal))
    assert set(out.extras) == {"uncertainty_flow", "uncertainty_codec", "uncertainty_seeds"}
    for value in out.extras.values():
        assert value.shape == (2, temporal) and value.dtype == np.float32 and (value > 0).all()
    none = LatentSimulator(folder, uncertainty=())
    none.reset(context(0), seeds=[1, 2])
    bare = none.step(actions_of(0, 2, temporal))
    assert not bare.extras and np.array_equal(bare.frames, out.frames)
    one = LatentSimulator(folder, uncertainty="flow", steps=1)
    one.reset(context(0), seeds=[1, 2])
    assert not one.step(actions_of(0, 2, temporal)).extras  # one step cannot change its mind


def test_the_codec_signal_is_the_distance_of_the_frame_encoded_again(checkpoint: Callable[..., Path]) -> None:
    model = LatentSimulator(checkpoint(), uncertainty=("codec",))
    model.reset(context(0), seeds=[1, 2])
    out, (worlds, _, _) = model.step(actions_of(0, 2, 1)), model._running()
    latents = unpatchify(worlds.previous, worlds.size, 2)[:, None]
    with torch.no_grad():
        again = model.codec.encode_chunk(to_float(torch.from_numpy(out.frames)), EncoderState(started=True))[0]
    distance = (again - latents).square().mean(dim=(1, 2, 3, 4)).sqrt().numpy()
    np.testing.assert_allclose(out.extras["uncertainty_codec"][:, 0], distance, rtol=0.02)  # frames are rounded


def test_rewards_and_ends_are_those_of_the_heads(checkpoint: Callable[..., Path]) -> None:
    model = LatentSimulator(checkpoint(codec={"temporal": 2}))
    with torch.no_grad():  # both heads are constant
        model.dit.heads.weight.zero_()
        model.dit.heads.bias.copy_(torch.tensor([np.log(7.0), 1.0]))  # symlog(6), and an end
    model.reset(context(0), seeds=[1, 2])
    out = model.step(actions_of(0, 2, 2))
    assert out.rewards is not None and out.terminated is not None
    np.testing.assert_allclose(out.rewards, 3.0, rtol=1e-5)  # 6 over the two frames of a step
    assert out.terminated.tolist() == [[False, True]] * 2


# ---------------------------------------------------------------------------------------------------------- bad input


def test_what_the_checkpoint_cannot_play_is_said(checkpoint: Callable[..., Path]) -> None:
    model = LatentSimulator(checkpoint())
    with pytest.raises(ContractError, match="call reset"):
        model.step(actions_of(0, 2, 1))
    model.reset(context(0), seeds=[1, 2])
    before, fine = model.snapshot(0), actions_of(0, 2, 1)
    cases: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (ShapeError, "at least 16x16", lambda: model.reset(context(0, size=(8, 48)), seeds=[1, 2])),
        (ShapeError, "one seed for each of the 2 rows, got 1", lambda: model.reset(context(0), seeds=[1])),
        (ConfigError, "word 'dragon'", lambda: model.reset(context(0, prompt="a dragon"), seeds=[1, 2])),
        (ConfigError, "word 'dragon'", lambda: model.set_prompt(["a dragon"], [0])),
        (ShapeError, "here 32x48, got 48x48", lambda: model.reset(context(0, 1, 3, (48, 48)), seeds=[1], indices=[0])),
        (ContractError, r"0\.\.1, got \[2\]", lambda: model.reset(context(0, 1), seeds=[1], indices=[2])),
        (ContractError, r"got \[0, 0\]", lambda: model.reset(context(0), seeds=[1, 2], indices=[0, 0])),
        (ContractError, "2 different worlds", lambda: model.set_prompt(["", ""], [0])),
        (ShapeError, r"\(2, 1, \.\.\.\), got \(2, 2", lambda: model.step(actions_of(0, 2, 2))),
        (ShapeError, "a part 'camera', these have not", lambda: model.step({"keys": np.zeros((2, 1), int)})),
        (ShapeError, "single array", lambda: model.step(np.zeros((2, 1), int))),
        (ShapeError, r"keys must be 0\.\.2, got 3", lambda: model.step({**fine, "keys": np.full((2, 1), 3)})),
        (ShapeError, "camera must be finite", lambda: model.step({**fine, "camera": fine["camera"] * np.nan})),
        (ShapeError, r"must end in \(2,\)", lambda: model.step({**fine, "camera": np.zeros((2, 1, 3))})),
    ]  # fmt: skip
    for kind, message, call in cases:
        with pytest.raises(kind, match=message):
            call()
    assert trees.equal(model.snapshot(0), before)  # the worlds live on as they were


def test_a_checkpoint_without_text_says_so(checkpoint: Callable[..., Path]) -> None:
    model = LatentSimulator(checkpoint(dit={"text_length": 0}))
    with pytest.raises(ShapeError, match="at least one frame of context"):
        model.reset(context(0, c=0), seeds=[1, 2])
    model.reset(context(0), seeds=[1, 2])
    with pytest.raises(UnsupportedError, match="trained without text"):
        model.set_prompt([VILLAGE, ""])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"steps": 3}, "1, 2, 4 or 8 steps, got 3"),
        ({"uncertainty": ("flow", "mood")}, "mood"),
        ({"backend": "egaer"}, "eager"),
        ({"device": "abacus"}, "abacus"),
        ({"context_noise": 2.0}, r"0\.\.1, got 2"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    checkpoint: Callable[..., Path], setting: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        LatentSimulator(checkpoint(), **setting)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["device", "numpy", "cpu"],
)
def test_running_out_of_memory_is_explained(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    model = LatentSimulator(checkpoint())
    model.reset(context(0), seeds=[1, 2])
    first = play(model, 1)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("worldsim.model.simulator.Worlds", fail)
        with pytest.raises(ConfigError, match="memory on cpu for 2 worlds of 32x48: use a smaller batch"):
            model.reset(context(0), seeds=[1, 2])
    assert first.shape == play(model, 1).shape  # the worlds that there were live on


def test_other_errors_are_not_taken_for_want_of_memory(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LatentSimulator(checkpoint())

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr("worldsim.model.simulator.Worlds", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        model.reset(context(0), seeds=[1, 2])


# -------------------------------------------------------------------------------------------------------- for ever


@pytest.mark.parametrize("fused", [False, True])
def test_memory_does_not_grow_with_the_length_of_a_world(checkpoint: Callable[..., Path], fused: bool) -> None:
    """Live tensors and their bytes are the same after 60, 160 and 360 steps."""
    model = LatentSimulator(checkpoint(), steps=1, fused=fused, threads=1)
    model.reset(context(0, b=1, size=(16, 16)), seeds=[1])

    def alive() -> tuple[int, int]:
        gc.collect()
        tensors = [x for x in gc.get_objects() if type(x) in (torch.Tensor, torch.nn.Parameter)]
        return len(tensors), sum(x.numel() * x.element_size() for x in tensors)

    seen, blocks = [], []
    for steps in (60, 100, 200):
        for t in range(steps):
            model.step(actions_of(t % 7, 1, 1))
        seen.append(alive())
        blocks.append(sys.getallocatedblocks())  # of Python and numpy
    assert seen[0] == seen[1] == seen[2]
    assert blocks[2] - blocks[1] < 100  # one block a step would be 200
