"""Learned metrics with weights made here: what is refused, and what comes out against references written otherwise."""

from __future__ import annotations

import gzip
import pickle
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from torch import nn

from tests.metrics import tiny_weights as tiny
from tests.metrics.solid import PATHS, episode, walk
from tests.metrics.worlds import toy_episode, with_frames
from tests.toys import ToyEnv
from worldsim.checks import check_metric
from worldsim.errors import PrerequisiteError
from worldsim.metrics.learned import clipscore, dense, dino, fvd, lpips
from worldsim.metrics.learned.base import cosines, resized
from worldsim.metrics.learned.weights import WeightsError
from worldsim.protocols import Metric
from worldsim.seeding import generator
from worldsim.types import Episode, Frames

CLASSES: dict[str, Any] = {
    cls.spec.name: cls for cls in (lpips.LPIPS, fvd.FVD, dino.Dino, dino.Met3rLike, clipscore.CLIPScore)
}


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tiny.tiny_metrics(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.forget_variables(monkeypatch)


def noisy(frames: Frames, seed: int, spread: float = 30.0) -> Frames:
    noise = generator("noisy", seed).normal(0.0, spread, frames.shape)
    return np.clip(frames + noise, 0, 255).round().astype(np.uint8)


def pictures(n: int, height: int, width: int, seed: int = 0) -> Frames:
    return generator("pictures", seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


# ------------------------------------------------------------------------------------------------- the contract


@pytest.mark.parametrize("name", [n for n in CLASSES if n != "learned.clipscore"])
def test_the_contract_holds(name: str, metrics: dict[str, Any]) -> None:
    episodes = None
    if name == "learned.met3r":
        frames, states = walk(0, PATHS["arc"], 8)
        episodes = [(episode(frames, states, frames, context=2),)]
    report = check_metric(metrics[name], env=lambda: ToyEnv(size=(32, 32)), episodes=episodes)
    assert report.ok, str(report)
    assert isinstance(metrics[name], Metric) and not metrics[name].spec.headline


def test_the_contract_of_clipscore(metrics: dict[str, Any]) -> None:
    told = [(replace(toy_episode(seed), prompt="a red room"),) for seed in range(3)]
    report = check_metric(metrics["learned.clipscore"], episodes=told)
    assert [c.name for c in report.failures] == [
        "the truth is best"
    ]  # no picture is the text itself: 2.5 is never reached


@pytest.mark.parametrize("name", CLASSES)
def test_without_weights_there_is_a_reason_and_no_exception(name: str) -> None:
    metric = CLASSES[name]()
    frames, states = walk(0, PATHS["arc"], 18)
    rows = metric.observe((replace(episode(frames, states, frames), prompt="red"),))
    assert rows and all(r.outcome is None for r in rows)
    reason = f"no weights: no file was named for {metric.needs.file}"
    assert {r.reason for r in rows} <= {reason, "no power: a frozen frame would fit as well"} and reason in {
        r.reason for r in rows
    }
    assert reason in str(metric.reduce(rows).reason)
    with pytest.raises(WeightsError, match=metric.needs.variable) as caught:
        metric.load()
    assert isinstance(caught.value, PrerequisiteError) and metric.needs.holds in str(caught.value)
    assert "no weights" in metric.spec.undefined


def test_the_recipes_of_the_page_make_files_that_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for what has to be downloaded: AlexNet's file, a DINOv2 backbone, a CLIP model."""
    page = (Path(__file__).parents[2] / "docs" / "metrics" / "learned.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    state = tiny.lpips_state()
    features = {k: v for k, v in state.items() if k.startswith("features")}
    torch.save(features | {"classifier.1.bias": torch.ones(3)}, "alexnet-owt-7be5be79.pth")
    scope: dict[str, Any] = {"backbone": tiny.TinyBackbone(), "model": tiny.PlainClip()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for block in blocks:
            exec(compile(block, "docs/metrics/learned.md", "exec"), scope)
    merges = tmp_path / "clip_bpe.txt.gz"
    merges.write_bytes(gzip.compress(tiny.MERGES.encode()))
    monkeypatch.setenv("WORLDSIM_WEIGHTS", str(tmp_path))
    for source in (lpips.WEIGHTS, dino.GLOBAL, dino.DENSE, clipscore.WEIGHTS, clipscore.VOCABULARY):
        monkeypatch.setenv(source.hash_variable, tiny.sha256(tmp_path / source.file))
    for cls in (lpips.LPIPS, dino.Dino, dino.Met3rLike, clipscore.CLIPScore):
        cls().load()  # by environment variables alone
    for name, cls in CLASSES.items():
        assert f"`{name}`" in page and cls.needs.variable in page and f"## {cls.needs.recipe}" in page


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from worldsim.metrics.learned import bpe, clipscore, dino, fvd, lpips\n"
        "for c in (clipscore.CLIPScore, dino.Dino, dino.Met3rLike, fvd.FVD, lpips.LPIPS): c()\n"
        "print([m for m in ('torch', 'safetensors') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_what_only_some_frames_break_is_a_reason_too(tmp_path: Path) -> None:
    path = tiny.save_script(tiny.TinyLog(), tmp_path / "dino.pt")
    metric = dino.Dino(path, tiny.sha256(path), size=16)
    e = toy_episode(0, context=2, horizon=3)
    rows = metric.observe((with_frames(e, np.zeros(e.truth.frames.shape, np.uint8)),))
    assert {r.reason for r in rows} == {"no weights: dino.pt gives numbers that are not finite floats"}


@pytest.mark.parametrize("name", CLASSES)
def test_a_loaded_metric_goes_to_another_process(name: str, metrics: dict[str, Any]) -> None:
    metrics[name].load()
    again = pickle.loads(pickle.dumps(metrics[name]))
    again.load()
    assert again.hashes == metrics[name].hashes


# ------------------------------------------------------------------------------------------------------- LPIPS


def conv(x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any], stride: int, pad: int) -> NDArray[Any]:
    """Convolution as a sum over windows, (n, C, H, W) float64."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True) + bias[:, None, None]


def pool(x: NDArray[Any]) -> NDArray[Any]:
    return sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max(axis=(-1, -2))


def lpips_by_hand(a: Frames, b: Frames, state: dict[str, torch.Tensor]) -> NDArray[Any]:
    """Zhang et al. 2018 in numpy, float64, layer by layer."""
    w = {k: v.double().numpy() for k, v in state.items()}
    sides = []
    for frames in (a, b):
        x = frames.transpose(0, 3, 1, 2) / 127.5 - 1.0
        x = np.stack(
            [(x[:, c] - m) / s for c, (m, s) in enumerate([(-0.03, 0.458), (-0.088, 0.448), (-0.188, 0.45)])], 1
        )
        layers = [np.maximum(conv(x, w["features.0.weight"], w["features.0.bias"], 4, 2), 0)]
        layers.append(np.maximum(conv(pool(layers[-1]), w["features.3.weight"], w["features.3.bias"], 1, 2), 0))
        layers.append(np.maximum(conv(pool(layers[-1]), w["features.6.weight"], w["features.6.bias"], 1, 1), 0))
        layers.append(np.maximum(conv(layers[-1], w["features.8.weight"], w["features.8.bias"], 1, 1), 0))
        layers.append(np.maximum(conv(layers[-1], w["features.10.weight"], w["features.10.bias"], 1, 1), 0))
        sides.append([f / np.sqrt((f**2).sum(1, keepdims=True) + 1e-20) for f in layers])
    total = np.zeros(len(a))
    for k, (f, g) in enumerate(zip(*sides, strict=True)):
        total += np.einsum("c,nchw->n", w[f"lin{k}.model.1.weight"].ravel(), (f - g) ** 2) / f[0, 0].size
    return total


def test_lpips_is_the_formula(metrics: dict[str, Any]) -> None:
    metric = metrics["learned.lpips"]
    for height, width in ((31, 31), (40, 57)):
        a, b = pictures(2, height, width), pictures(2, height, width, 1)
        got = metric.compare(a, b)
        assert got == pytest.approx(lpips_by_hand(a, b, tiny.lpips_state()), rel=2e-5)
        assert got == pytest.approx(metric.compare(b, a), rel=1e-6) and (got > 0.01).all()
        assert (metric.compare(a, a) == 0.0).all()
        slight = noisy(a, 0, 5.0)
        assert (metric.compare(a, slight) < metric.compare(a, noisy(a, 0, 60.0))).all()
    assert np.isnan(metric.compare(pictures(2, 30, 64), pictures(2, 30, 64))).all()


def test_lpips_agrees_with_torchmetrics(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its network with its published heads; AlexNet's layers, random, are handed to it for want of torchvision."""
    reference = pytest.importorskip("torchmetrics.functional.image.lpips")
    state = tiny.lpips_state(3)

    def layers(net: str, pretrained: bool = False) -> nn.Sequential:
        convs = {n: nn.Conv2d(c, o, k, s, p) for n, (o, c, k, s, p, _) in lpips.CONVOLUTIONS.items()}
        for n, layer in convs.items():
            layer.weight.data, layer.bias.data = state[f"features.{n}.weight"], state[f"features.{n}.bias"]
        pools = {2: nn.MaxPool2d(3, 2), 5: nn.MaxPool2d(3, 2), 12: nn.MaxPool2d(3, 2)}
        return nn.Sequential(*(convs.get(n) or pools.get(n) or nn.ReLU() for n in range(13)))

    monkeypatch.setattr(reference, "_get_tv_model_features", layers)
    network = reference._LPIPS(pretrained=True, net="alex")
    heads = {k: v.clone() for k, v in network.state_dict().items() if k.startswith("lin") and not k.startswith("lins")}
    assert sorted(heads) == sorted(k for k in state if k.startswith("lin"))  # the published heads load under our keys
    path = tiny.save_state(state | heads, tmp_path / "lpips.safetensors")
    a, b = pictures(3, 64, 48, 4), pictures(3, 64, 48, 5)
    tensors = (torch.from_numpy(z).movedim(-1, 1) / 127.5 - 1 for z in (a, b))
    with torch.inference_mode():
        expected = network(*tensors).flatten().numpy()
    assert lpips.LPIPS(path, tiny.sha256(path)).compare(a, b) == pytest.approx(expected, rel=1e-5)


# --------------------------------------------------------------------------------------------------------- FVD


def features_by_hand(frames: Frames) -> NDArray[Any]:
    """What TinyVideo sees in (T, H, W, 3), which has the size it takes."""
    x = frames / 127.5 - 1.0
    return np.concatenate([x.mean(axis=(0, 1, 2)), np.abs(np.diff(x, axis=0)).mean(axis=(0, 1, 2))])


def clips(n: int, spread: float) -> list[Episode]:
    out = []
    for seed in range(n):
        e = toy_episode(seed, context=2, horizon=8, size=(16, 16), states=False)
        shown = np.asarray(e.truth.frames).copy()
        shown[2:] = noisy(shown[2:], seed, spread) if spread else shown[2:]
        out.append(with_frames(e, shown))
    return out


def test_fvd_is_the_formula_with_a_matrix_root(metrics: dict[str, Any]) -> None:
    metric = metrics["learned.fvd"]
    episodes = clips(12, 40.0)
    rows = [r for e in episodes for r in metric.observe((e,))]
    assert len(rows) == 12 and all(r.outcome and len(r.details["truth"]) == 6 for r in rows)
    x, y = (
        np.array([features_by_hand(np.asarray(frames[2:8])) for frames in side])
        for side in (
            [e.truth.frames for e in episodes],
            [e.generated[0].trajectory.frames for e in episodes],
        )
    )
    root = np.real(sqrtm(np.cov(x.T) @ np.cov(y.T)))
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root)
    score = metric.reduce(rows)
    assert score.value == pytest.approx(expected, rel=1e-4) and score.value > 1e-3
    assert score.details == {"worlds": 12}


def test_fvd_of_the_truth_is_zero_and_few_worlds_give_none(metrics: dict[str, Any]) -> None:
    metric = metrics["learned.fvd"]
    rows = [r for e in clips(5, 0.0) for r in metric.observe((e,))]
    assert metric.reduce(rows).value == 0.0
    assert metric.reduce(rows[:2]).reason == "fewer than 3 worlds: 2"
    full = fvd.FVD(metric._weights, metric._sha256, size=16, frames=6)
    assert full.reduce(rows).reason == "fewer than 64 worlds: 5"
    twice = [*rows, *(replace(r, sample=1, details=r.details | {"shown": [9.0] * 6}) for r in rows)]
    assert metric.reduce(twice[::-1]).value == 0.0  # the first sample of each world
    mixed = [replace(rows[0], details=rows[0].details | {"weights": "other"}), *rows[1:]]
    assert str(metric.reduce(mixed).reason).startswith("rows of different weights")


def test_fvd_needs_whole_clips(metrics: dict[str, Any]) -> None:
    metric = metrics["learned.fvd"]
    (e,) = clips(1, 40.0)
    reasons = {
        "fewer than 6 predicted frames": replace(e, truth=replace(e.truth, ended=5, end_reason="terminated")),
        "the simulator ended the episode": replace(
            e, generated=(replace(e.generated[0], trajectory=replace(e.generated[0].trajectory, ended=5)),)
        ),
    }
    for reason, cut in reasons.items():
        assert [(r.outcome, r.reason) for r in metric.observe((cut,))] == [(None, reason)]


# -------------------------------------------------------------------------------------------- CLIPScore and text


def test_clipscore_known_answer(metrics: dict[str, Any]) -> None:
    metric = metrics["learned.clipscore"]
    e = replace(toy_episode(0, context=2, horizon=3, size=(20, 30)), prompt="RED, low")
    red = np.zeros(e.truth.frames.shape, np.uint8)
    red[..., 0] = 255
    mean, spread = (np.array(v) for v in clipscore.SCALE)
    seen = (np.array([1.0, 0.0, 0.0]) - mean) / spread
    rows = metric.observe((with_frames(e, red),))
    expected = 2.5 * seen[0] / np.linalg.norm(seen)
    assert [r.outcome for r in rows] == pytest.approx([expected] * 3, rel=1e-5)
    assert metric.reduce(rows).value == pytest.approx(expected, rel=1e-5)
    against = metric.observe((with_frames(replace(e, prompt="blue"), red),))
    assert [r.outcome for r in against] == [0.0] * 3  # a negative cosine
    silent = metric.observe((with_frames(replace(e, prompt=" "), red),))
    assert {r.reason for r in silent} == {"no prompt"}
    marks = {r.details["weights"] for r in rows}
    assert len(marks) == 1 and len(marks.pop().split("+")) == 2  # both files


def test_clipscore_puts_the_prefix_first_and_looks_at_the_square_in_the_middle(metrics: dict[str, Any]) -> None:
    made = metrics["learned.clipscore"]
    assert made.prefix == "A photo depicts "
    files = (made._weights, made._sha256)
    merges = {"vocabulary": made._vocabulary, "vocabulary_sha256": made._vocabulary_sha256}
    metric = clipscore.CLIPScore(*files, **merges, prefix="red ", size=20)
    e = replace(toy_episode(0, context=2, horizon=3, size=(20, 32)), prompt="house")
    flagged = np.zeros(e.truth.frames.shape, np.uint8)
    flagged[..., 0] = 255
    whole = metric.observe((with_frames(e, flagged),))
    flagged[:, :, :6] = flagged[:, :, 26:] = [0, 0, 255]  # outside the 20 px in the middle
    middle = metric.observe((with_frames(e, flagged),))
    assert [r.outcome for r in middle] == [r.outcome for r in whole] and min(float(r.outcome or 0) for r in whole) > 1


# ----------------------------------------------------------------------------------------------- DINO and MEt3R


def test_cosines_known_answers() -> None:
    x = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [3.0, 4.0]])
    y = np.array([[0.0, 2.0], [-1.0, -1.0], [1.0, 0.0], [0.0, 0.0]])
    assert cosines(x, y) == pytest.approx([0.0, -1.0, np.nan, 0.0], nan_ok=True)
    assert cosines(y[:2], y[:2]) == pytest.approx([1.0, 1.0], abs=1e-15)


def test_frames_are_resized_with_antialiasing() -> None:
    images = torch.from_numpy(generator("resize").random((1, 3, 16, 16)))
    got = resized(images, 8)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8  # a triangle of twice the width, halfway between
    window = images[..., 3:7, 5:9]
    assert got[..., 2, 3].numpy() == pytest.approx(torch.einsum("...ij,i,j->...", window, taps, taps).numpy())
    assert resized(images, 16) is images
    sharp = (images > 0.5).double()
    cubic = resized(sharp, (24, 40), "bicubic")
    assert cubic.shape == (1, 3, 24, 40) and float(cubic.min()) >= 0.0 and float(cubic.max()) <= 1.0  # no overshoot
    assert not torch.equal(cubic, resized(sharp, (24, 40)))


def test_dino_is_the_cosine(metrics: dict[str, Any]) -> None:
    metric = metrics["learned.dino"]
    a, b = pictures(3, 16, 16), pictures(3, 16, 16, 1)

    def seen(frames: Frames) -> NDArray[Any]:
        x = (frames / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        cells = x.reshape(len(x), 4, 4, 4, 4, 3).mean(axis=(2, 4))  # rows, columns of 4 px
        return np.concatenate([cells.transpose(0, 3, 1, 2).reshape(len(x), -1), np.ones((len(x), 1))], axis=1)

    f, g = seen(a), seen(b)
    expected = (f * g).sum(1) / np.sqrt((f * f).sum(1) * (g * g).sum(1))
    assert metric.compare(a, b) == pytest.approx(expected, abs=1e-5)
    assert metric.compare(a, a) == pytest.approx([1.0] * 3, abs=1e-12)


def test_samples_of_a_linear_map_are_exact() -> None:
    v, u = np.mgrid[0:8, 0:12].astype(np.float32)
    pixels = generator("samples").uniform([6.0, 4.0], [90.0, 60.0], (50, 2))  # between outermost cell centres
    got = dense.sample_features(np.stack([u, v, 2 * u - v]), pixels, (64, 96))
    x, y = pixels[:, 0] / 8 - 0.5, pixels[:, 1] / 8 - 0.5
    assert got == pytest.approx(np.stack([x, y, 2 * x - y], axis=1), abs=1e-5)
    corner = dense.sample_features(np.stack([u, v]), np.array([[0.0, 0.0], [96.0, 64.0]]), (64, 96))
    assert corner.tolist() == [[0.0, 0.0], [11.0, 7.0]]


def test_features_that_follow_the_warp_have_no_error() -> None:
    first = generator("dense").normal(size=(5, 16, 16)).astype(np.float32)
    by = 2  # cells that the scene moves to the right
    second = np.roll(first, by, axis=2)
    kept = np.zeros((32, 32), dtype=bool)
    kept[:, 1 : 32 - 2 * by - 2] = True
    at = dense.centres((32, 32)) + np.array([2.0 * by, 0.0])
    assert dense.feature_error(first, second, at, kept) == pytest.approx(0.0, abs=1e-9)
    assert dense.feature_error(first, first, at, kept) > 0.5
    assert dense.feature_error(first, -second, at, kept) == pytest.approx(2.0, abs=1e-9)
    assert dense.feature_error(first, 0 * second, at, kept) == 1.0
    assert dense.feature_error(0 * first, second, at, kept) == 1.0


def test_met3r_sees_jitter_and_a_frozen_picture(metrics: dict[str, Any]) -> None:
    metric = metrics["learned.met3r"]
    frames, states = walk(0, PATHS["arc"], 12)
    shaken, _ = walk(0, PATHS["arc"], 12, jitter=3.0)

    def score(shown: Frames) -> Any:
        return metric.reduce(metric.observe((episode(frames, states, shown),)))

    true = score(frames)
    assert true.value == 0.0 and true.details["shown"] == true.details["truth"] > 0.0
    assert score(shaken).value > 0.02
    assert score(np.repeat(frames[:1], 13, axis=0)).value > 0.02
    rows = metric.observe((episode(frames, None, frames),))
    assert {r.reason for r in rows} == {"no states"}
    still = metric.observe((episode(np.repeat(frames[:1], 13, 0), [states[0]] * 13, frames),))
    assert {r.reason for r in still} == {"no power: a frozen frame would fit as well"}
