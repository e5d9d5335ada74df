"""The fidelity metrics on episodes: rows, undefined cases, the oracle at the ceiling, invariances."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.worlds import toy_episode, with_frames
from worldsim.errors import ShapeError
from worldsim.metrics.base import FrameMetric, horizon_grid
from worldsim.metrics.fidelity import L1, PSNR, SSIM, GradientZNCC, L1Object, L1Revealed, L1Static, UsefulHorizon
from worldsim.protocols import Averaging, Metric
from worldsim.registry import METRICS
from worldsim.types import Episode, Frames

ALL = [METRICS.get(name) for name in METRICS.names() if name.startswith("fidelity.")]
IDS = [m.spec.name for m in ALL]
BEST = {"fidelity.psnr": 10 * math.log10(1 + 12 * 255**2), "fidelity.ssim": 1.0, "fidelity.gradient_zncc": 1.0}


def dim(frames: Frames) -> Frames:
    return np.asarray(frames // 2)


@pytest.fixture(scope="module")
def oracle() -> list[Episode]:
    return [toy_episode(seed, horizon=24) for seed in range(4)]


@pytest.mark.parametrize(
    ("horizon", "grid"),
    [
        (0, ()),
        (1, (1,)),
        (5, (1, 2, 3, 4, 5)),
        (24, (1, 2, 3, 4, 6, 8, 12, 16, 24)),
        (100, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 100)),
    ],
)
def test_the_grid_is_dense_early_and_always_ends_at_the_horizon(horizon: int, grid: tuple[int, ...]) -> None:
    assert horizon_grid(horizon) == grid
    assert len(horizon_grid(2000)) < 25


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_oracle_is_at_the_ceiling(cls: type[FrameMetric], oracle: list[Episode]) -> None:
    metric = cls()
    assert isinstance(metric, Metric) and isinstance(metric, Averaging)
    rows = [row for episode in oracle for row in metric.observe((episode,))]
    best = 24.0 if cls is UsefulHorizon else BEST.get(metric.spec.name, 0.0)
    assert metric.reduce(rows).value == pytest.approx(best, abs=1e-6)
    low, high = metric.spec.range
    assert low <= best <= high
    for row in rows:
        assert (row.outcome is None) == bool(row.reason), "undefined rows have a reason, defined ones none"


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_one_row_for_each_horizon_and_rollout(cls: type[FrameMetric]) -> None:
    episode = toy_episode(1, horizon=12, fault=dim)
    second = replace(episode.generated[0], sample=1, arm="reanchored")
    rows = cls().observe((replace(episode, generated=(episode.generated[0], second)),), source="x")
    assert [(r.arm, r.sample, r.delay) for r in rows] == [
        (arm, sample, h) for arm, sample in (("free", 0), ("reanchored", 1)) for h in (1, 2, 3, 4, 6, 8, 12)
    ]
    assert {(r.metric, r.episode, r.world, r.source) for r in rows} == {(cls.spec.name, episode.id, 1, "x")}


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_chunk_size_and_the_order_of_episodes_change_no_number(
    cls: type[FrameMetric], monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = tuple(toy_episode(seed, horizon=24, fault=dim) for seed in range(3))
    rows = cls().observe(episodes)
    backwards = cls().observe(episodes[::-1])
    assert sorted(rows, key=lambda r: (r.episode, r.delay)) == sorted(backwards, key=lambda r: (r.episode, r.delay))
    assert cls().reduce(rows[::-1]) == cls().reduce(rows)
    monkeypatch.setattr(cls, "chunk", 1)
    assert cls().observe(episodes) == rows


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_context_frames_are_never_scored(cls: type[FrameMetric]) -> None:
    episode = toy_episode(2, fault=dim)
    frames = np.array(episode.generated[0].trajectory.frames)
    frames[: episode.context_length] = 0
    assert cls().observe((with_frames(episode, frames),)) == cls().observe((episode,))


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_a_clip_without_a_predicted_frame_is_undefined(cls: type[FrameMetric]) -> None:
    rows = cls().observe((toy_episode(1, context=4, horizon=0),))
    assert [r.reason for r in rows] == ["no predicted frame"]
    score = cls().reduce(rows)
    assert score.value is None and score.reason == "no predicted frame"
    assert cls().reduce([]).value is None


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_truths_end_leaves_no_rows_and_the_models_end_is_undefined(cls: type[FrameMetric]) -> None:
    episode = toy_episode(1, context=4, horizon=12)
    ended = replace(episode, truth=replace(episode.truth, ended=8, end_reason="terminated"))  # last frame 9: h = 6
    assert [r.delay for r in cls().observe((ended,))] == [1, 2, 3, 4, 6]
    rollout = episode.generated[0]
    gave_up = replace(rollout, trajectory=replace(rollout.trajectory, ended=8, end_reason="terminated"))
    rows = cls().observe((replace(episode, generated=(gave_up,)),))
    assert [r.delay for r in rows if r.reason == "the simulator ended the episode"] == [8, 12]


def test_rollouts_of_another_shape_are_refused() -> None:
    episode = toy_episode(1)
    short = replace(episode.generated[0], trajectory=toy_episode(1, horizon=5).truth)
    object.__setattr__(episode, "generated", (short,))  # what Episode itself would have refused
    with pytest.raises(ShapeError, match="like the truth's"):
        L1().observe((episode,))


def test_psnr_averages_squared_errors_before_it_converts() -> None:
    episode = toy_episode(1, context=4, horizon=2)
    frames = np.array(episode.truth.frames)
    frames[4] = np.where(frames[4] > 127, frames[4] - 10, frames[4] + 10)  # MSE 100 at h = 1, 0 at h = 2
    value = PSNR().reduce(PSNR().observe((with_frames(episode, frames),))).value
    assert value == pytest.approx(10 * math.log10((255**2 + 1 / 12) / (50 + 1 / 12)))


def test_worlds_count_equally_however_many_rows_they_have() -> None:
    good, bad = toy_episode(1, context=4, horizon=1), toy_episode(2, context=4, horizon=1)
    frames = np.array(bad.truth.frames)
    frames[4] = np.where(frames[4] > 127, frames[4] - 51, frames[4] + 51)  # L1 0.2
    bad = with_frames(bad, frames)
    twice = replace(good, generated=(good.generated[0], replace(good.generated[0], sample=1)))
    score = L1().reduce(L1().observe((twice, bad)))
    assert score.value == pytest.approx(0.1) and score.curve == {1: pytest.approx(0.1)}


def test_l1_over_regions_needs_the_truth_and_enough_pixels() -> None:
    bare = toy_episode(1, states=False)
    for cls in (L1Static, L1Object, L1Revealed):
        assert {r.reason for r in cls().observe((bare,))} == {"no states"}
    episode = toy_episode(1, fault=dim)
    assert episode.truth.states is not None
    flat = [replace(s, depth=None) for s in episode.truth.states]
    no_depth = replace(episode, truth=replace(episode.truth, states=flat))
    assert {r.reason for r in L1Static().observe((no_depth,))} == {"no depth"}
    assert any(r.outcome is not None for r in L1Object().observe((no_depth,))), "ids alone are enough for objects"
    nothing = [replace(s, segmentation=np.zeros_like(s.segmentation)) for s in episode.truth.states]
    no_objects = replace(episode, truth=replace(episode.truth, states=nothing))
    assert {r.reason for r in L1Object().observe((no_objects,))} == {"fewer than 24 px of the region"}


def test_regions_tell_where_the_error_is() -> None:
    episode = toy_episode(3, horizon=16)
    assert episode.truth.states is not None
    frames = np.array(episode.truth.frames)
    for t in range(episode.context_length, len(frames)):
        ids = episode.truth.states[t].segmentation
        assert ids is not None
        frames[t][ids > 0] = 128
    broken = with_frames(episode, frames)
    assert L1Object().reduce(L1Object().observe((broken,))).value > 0.1  # type: ignore[operator]
    assert L1Static().reduce(L1Static().observe((broken,))).value == 0.0
    assert L1Revealed().reduce(L1Revealed().observe((broken,))).value == 0.0


def test_small_and_edgeless_frames_are_undefined_not_zero() -> None:
    assert {r.reason for r in SSIM().observe((toy_episode(1, size=(10, 16)),))} == {"frames below 11x11 px"}
    episode = toy_episode(1)
    grey = np.full_like(np.array(episode.truth.frames), 90)
    flat_truth = replace(episode, truth=replace(episode.truth, frames=grey))
    assert {r.reason for r in GradientZNCC().observe((flat_truth,))} == {"the truth has no edges"}
    assert {r.outcome for r in GradientZNCC().observe((with_frames(episode, grey),))} == {0.0}


def test_the_useful_horizon_ends_where_the_prediction_turns_to_noise() -> None:
    rows = []
    for seed in range(6):
        episode = toy_episode(seed, context=4, horizon=24)
        frames = np.array(episode.truth.frames)
        frames[4 + 8 :] = np.random.default_rng(seed).integers(0, 256, frames[12:].shape)  # from h = 9 on
        rows += UsefulHorizon().observe((with_frames(episode, frames),))
    score = UsefulHorizon().reduce(rows)
    assert score.value == 8.0
    assert score.curve is not None and score.curve[8] == 1.0 and score.curve[12] < 0  # type: ignore[operator]


def test_another_world_that_looks_alike_is_a_null_of_the_useful_horizon() -> None:
    """Where every world looks the same, showing another one is no skill."""
    dimmer = [toy_episode(seed, horizon=8, fault=lambda frames: frames - frames // 16) for seed in range(4)]
    alone = UsefulHorizon().observe(tuple(dimmer))
    alike = UsefulHorizon().observe(tuple(replace(e, other=e.generated[0].trajectory.frames) for e in dimmer))
    assert UsefulHorizon().reduce(alone).value == 8.0
    assert UsefulHorizon().reduce(alike).value == 0.0


def test_two_thousand_steps_are_read_frame_by_frame() -> None:
    class Far:
        """2,000 frames of which at most one is in memory; counts what is read."""

        def __init__(self) -> None:
            self.read = 0

        shape = (2001, 24, 32, 3)

        def __len__(self) -> int:
            return 2001

        def __getitem__(self, key: object) -> Frames:
            assert isinstance(key, int), "a slice of a long rollout would not be bounded"
            self.read += 1
            return np.full((24, 32, 3), key % 251, np.uint8)

    episode = toy_episode(1, context=1, horizon=1)
    long = replace(episode.truth, frames=Far(), actions=np.zeros(2000, np.int64), states=None)
    rollout = replace(episode.generated[0], trajectory=long)
    whole = replace(episode, truth=long, generated=(rollout,))
    assert len(PSNR().observe((whole,))) == len(horizon_grid(2000))
    assert long.frames.read == 2 * len(horizon_grid(2000))  # type: ignore[attr-defined]
