"""Schedule, mean of the weights, Muon, states on disk, clips, latents, settings: known answers and mistakes."""

from __future__ import annotations

import importlib.util
import json
import math
import resource
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.model.pushed import SPACE, STAGE, After, dit_task, episodes, make, small_codec
from worldsim import train_data
from worldsim.clips_dataset import Clips
from worldsim.errors import ConfigError, DivergedError, PrerequisiteError, StoreError
from worldsim.model.training import state
from worldsim.model.training.config import RunConfig, StageConfig
from worldsim.model.training.data import MemoryClips
from worldsim.model.training.ema import Ema, applied
from worldsim.model.training.latent_store import latents_folder, open_latents, write_latents
from worldsim.model.training.latents import encode
from worldsim.model.training.loop import check_finite, run_stage
from worldsim.model.training.optim import MuonAdamW, orthogonalise, split_parameters
from worldsim.model.training.stop import OutOfTime, Stop
from worldsim.model.training.transfer import moved_words, take_over
from worldsim.train_data import DataSets, codec_clips, codec_validation, load

RUN = RunConfig(quiet=True, log_every=4)


# ----------------------------------------------------------------------------------------------------------- optimizer


def test_the_rate_goes_up_stays_and_goes_down() -> None:
    stage = StageConfig(steps=100, batch=1, frames=1, lr=2.0, warmup=10, decay=0.4)
    assert [stage.rate(s) for s in (0, 4, 9, 50, 60)] == [0.2, 1.0, 2.0, 2.0, 2.0]
    assert stage.rate(80) == pytest.approx(1.0) and stage.rate(99) == pytest.approx(0.05)


@given(st.integers(1, 500), st.integers(0, 50), st.floats(0, 1))
def test_the_rate_is_never_zero_before_the_end(steps: int, warmup: int, decay: float) -> None:
    stage = StageConfig(steps=steps, batch=1, frames=1, lr=1.0, warmup=warmup, decay=decay)
    rates = [stage.rate(s) for s in range(steps)]
    assert all(0 < r <= 1 for r in rates)


def test_a_stage_refuses_what_makes_no_sense() -> None:
    for change in ({"steps": -1}, {"accumulate": 0}, {"lr": 0.0}, {"ema": 1.0}, {"decay": 2.0}):
        with pytest.raises(ConfigError):
            replace(STAGE, **change)


def test_the_mean_of_the_weights_is_exponential() -> None:
    module = nn.Linear(1, 1, bias=False)
    ema, expected = Ema(module, 0.5), float(module.weight.detach())
    for step in range(30):
        module.weight.data.fill_(float(step))
        ema.update(module, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(ema.values["weight"]) == pytest.approx(expected, rel=1e-6)
    with applied(ema.values, module):
        assert torch.equal(module.weight, ema.values["weight"])
    assert float(module.weight.detach()) == 29.0


@pytest.mark.parametrize("shape", [(24, 24), (64, 16), (16, 64)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=generator)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    matrix = u @ torch.diag(torch.linspace(0.2, 1, len(s))) @ v
    found = orthogonalise(matrix)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6 and values.max() < 1.3  # the coefficients trade exactness for speed
    assert torch.nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), dim=0) > 0.97


def test_first_steps_have_the_size_that_they_should() -> None:
    module = nn.Sequential(nn.Linear(32, 64))
    before = module[0].weight.detach().clone(), module[0].bias.detach().clone()
    optimizer = MuonAdamW(split_parameters(module), 0.1, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    for p in module.parameters():
        p.grad = torch.randn(p.shape, generator=generator)
    grad = module[0].bias.grad
    optimizer.step()
    # AdamW's first step is lr times the sign; Muon's has the RMS 0.2 lr (arXiv:2502.16982, equation 4).
    torch.testing.assert_close(module[0].bias, before[1] - 0.1 * grad.sign(), rtol=1e-4, atol=1e-5)
    rms = float((module[0].weight - before[0]).square().mean().sqrt())
    assert rms == pytest.approx(0.2 * 0.1, rel=0.2)


def test_adamw_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    a = MuonAdamW([{"params": list(ours.parameters()), "muon": False}], 1e-2, weight_decay=0.1)
    b = torch.optim.AdamW(theirs.parameters(), 1e-2, betas=(0.9, 0.95), weight_decay=0.1)
    for step in range(5):
        x = torch.full((1, 3), float(step))
        for module, optimizer in ((ours, a), (theirs, b)):
            optimizer.zero_grad()
            module(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-4, atol=1e-6)


# --------------------------------------------------------------------------------------------------------------- states


def test_a_stage_that_is_left_goes_on_bit_by_bit(tmp_path: Path) -> None:
    stage = replace(STAGE, steps=10)
    whole, cut = dit_task(stage), dit_task(stage)
    run_stage(whole, stage, RUN, tmp_path / "whole")
    for steps in (3, 4, 100):
        cut = dit_task(stage, seed=0)
        run_stage(cut, stage, RUN, tmp_path / "cut", stop=After(steps))
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, cut.module.state_dict()[name]), name
    assert lines(tmp_path / "whole") == lines(tmp_path / "cut")


def lines(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "dit.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "cpu_seconds"} for row in rows]


def test_a_broken_state_is_a_clear_error(tmp_path: Path) -> None:
    run_stage(dit_task(), STAGE, RUN, tmp_path, stop=After(2), settings={"stage": {"lr": 1.0, "validate_every": 3}})
    place = tmp_path / "state"
    with pytest.raises(StoreError, match=r"other settings: stage\.lr was 1\.0, now 2\.0"):
        run_stage(dit_task(), STAGE, RUN, tmp_path, settings={"stage": {"lr": 2.0, "validate_every": 3}})
    run_stage(dit_task(), STAGE, RUN, tmp_path, stop=After(0), settings={"stage": {"lr": 1.0, "validate_every": 9}})
    other = dit_task()
    other.module.extra = nn.Linear(1, 1)
    with pytest.raises(StoreError, match=r"other parameters, such as extra.*delete it"):
        run_stage(other, STAGE, RUN, tmp_path)
    whole = (place / "optimizer.safetensors").read_bytes()
    (place / "optimizer.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="does not hold the state"):
        run_stage(dit_task(), STAGE, RUN, tmp_path)
    (place / "state.json").write_text('{"step":')
    with pytest.raises(StoreError, match="does not hold the state"):
        run_stage(dit_task(), STAGE, RUN, tmp_path)


def test_a_kill_between_the_renames_costs_nothing(tmp_path: Path) -> None:
    run_stage(dit_task(), STAGE, RUN, tmp_path, stop=After(2))
    (tmp_path / "state").rename(tmp_path / "state.old")
    (tmp_path / "state.new").mkdir()
    assert run_stage(dit_task(), STAGE, RUN, tmp_path, stop=After(1)).step == 3


def test_a_full_disk_leaves_the_old_state(tmp_path: Path) -> None:
    run_stage(dit_task(), STAGE, RUN, tmp_path, stop=After(2))
    before = {p.name: p.read_bytes() for p in (tmp_path / "state").iterdir()}
    task = dit_task()
    optimizer = MuonAdamW(split_parameters(task.module), 1e-3)
    parts = state.gather(task.module, Ema(task.module, 0.9), optimizer)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(StoreError, match=r"full.*goes on from the last saved state"):
            state.save(tmp_path / "state", parts, {"step": 3})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p.name: p.read_bytes() for p in (tmp_path / "state").iterdir()} == before
    assert not (tmp_path / "state.new").exists()


def test_a_training_that_diverges_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"step 7.*dit_training\.lr"):
        check_finite(torch.tensor(math.nan), torch.tensor(1.0), "dit", 7)
    task = dit_task()
    task.module.dit.embed.weight.data.fill_(math.inf)
    with pytest.raises(DivergedError):
        run_stage(task, STAGE, RUN, tmp_path)


def test_the_clock_and_signals_stop() -> None:
    assert not Stop().over() and Stop(0.0).over()
    with Stop(0.05) as stop, pytest.raises(OutOfTime), stop.interrupting():
        for _ in range(200):
            time.sleep(0.05)
    assert stop.over() and not stop.asked
    with Stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.over() and stop.asked


# ---------------------------------------------------------------------------------------------------- clips and latents


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSets:
    train = make(tmp_path_factory.mktemp("data") / "pushed")
    return DataSets(train=(train,), validation=(train.with_name("pushed-validation"),), shares=(1.0,))


def test_clips_come_from_disk_where_memory_is_short(data: DataSets, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(codec_clips(data, episodes=8, frames=3, seed=0), MemoryClips)
    monkeypatch.setattr(train_data, "MAX_MEMORY", 100_000)
    clips = codec_clips(data, episodes=8, frames=3, seed=0)
    assert isinstance(clips, Clips)
    assert clips.batch(5, 2, 0, 1).frames.shape == (2, 3, 32, 32, 3)


def test_validation_frames_are_those_of_the_whole(data: DataSets) -> None:
    whole = load(data.train[0]).frames[::3, ::16]
    assert np.array_equal(codec_validation(data.train[0]), whole)


def test_latents_on_disk_are_those_in_memory(data: DataSets, tmp_path: Path) -> None:
    codec = small_codec()
    expected = encode(codec, load(data.train[0]), SPACE, 2)
    calls = After(1)
    assert not write_latents(codec, data.train[0], SPACE, 2, tmp_path, stop=calls)  # one shard, then the time is over
    place = latents_folder(codec, data.train[0], 2, tmp_path)
    with pytest.raises(StoreError, match="delete it"):
        open_latents(place)
    with (place / "tokens.npy").open("ab") as file:
        file.write(b"cut off")  # a kill in the middle of a write
    told: list[int] = []
    assert write_latents(codec, data.train[0], SPACE, 2, tmp_path, progress=told.append)
    assert sum(told) == 8
    found = open_latents(place)
    # A convolution over another number of frames may sum up in another order.
    torch.testing.assert_close(found.tokens.float(), expected.tokens.float(), rtol=0, atol=2e-3)
    for name in ("actions", "rewards", "terminated", "lengths", "captions"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert found.table == expected.table and found.size == expected.size


def test_another_codec_is_another_folder(data: DataSets, tmp_path: Path) -> None:
    for seed in range(2):
        write_latents(small_codec(seed), data.train[0], SPACE, 2, tmp_path)
    left = list(tmp_path.iterdir())
    assert left == [latents_folder(small_codec(1), data.train[0], 2, tmp_path)]


def test_no_episode_is_long_enough() -> None:
    with pytest.raises(ConfigError, match="the longest has 5"):
        MemoryClips(episodes(2, 4, seed=0), frames=9, seed=0)


def test_weights_that_fit_are_taken_over() -> None:
    old = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    new = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5), nn.Linear(5, 1))
    found = take_over("dit", new, old.state_dict())
    assert torch.equal(new[0].weight, old[0].weight) and found.taken == ("0.weight", "0.bias")
    assert dict(found.fresh)["1.weight"] == "(5, 3) here, (4, 3) there"
    assert "2.bias" in "\n".join(found.lines()) and found.share == pytest.approx(9 / 35)


def test_words_keep_their_embedding_in_another_vocabulary() -> None:
    def encoder(words: tuple[str, ...]) -> Any:
        return nn.ModuleDict({"text": nn.ModuleDict({"words": nn.Embedding(len(words) + 2, 5)})})

    words, other = ("a", "chest", "pig"), ("pig", "court", "a")
    old, new = encoder(words), encoder(other)
    there, own = old["text"]["words"].weight, new["text"]["words"].weight.detach().clone()
    found = take_over("dit", new, *moved_words(new, old.state_dict(), other, words))
    assert torch.equal(new["text"]["words"].weight, torch.stack([*there[:2], there[4], own[3], there[2]]))
    assert found.share == pytest.approx(4 / 5) and "1 rows fresh" in found.lines()[-1]
    source = old.state_dict()
    assert moved_words(old, source, words, words) == (source, 0)
    assert moved_words(nn.Linear(1, 1), source, (), words) == (source, 0)  # it reads no text
    assert len(take_over("dit", old, source).lines()) == 1


def test_batches_depend_on_step_and_part_only() -> None:
    task: Any = dit_task()
    first, again = task.batch(3, 1, 2), task.batch(3, 1, 2)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["noise"], task.batch(3, 0, 2)["noise"])


def test_tensorboard_is_optional(tmp_path: Path) -> None:
    run = RunConfig(quiet=True, tensorboard=True)
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(PrerequisiteError, match=r"pip install 'worldsim\[tracking\]'"):
            run_stage(dit_task(), STAGE, run, tmp_path)
        return
    run_stage(dit_task(), STAGE, run, tmp_path)
    assert list((tmp_path / "tensorboard").glob("events.*"))
