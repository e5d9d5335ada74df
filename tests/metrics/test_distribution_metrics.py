"""The distribution metrics on sets of clips whose right answer is known, and the mathematics across worlds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
import pytest

from worldsim.checks import check_metric
from worldsim.errors import ShapeError
from worldsim.estimators import estimator, horizons_of
from worldsim.metrics import clip_features as clips
from worldsim.metrics import distribution as dist
from worldsim.metrics.functional import crossworld, features
from worldsim.metrics.functional import distribution as functional
from worldsim.metrics.functional.frechet import frechet, frechet_pairs
from worldsim.metrics.sets import MIN_WORLDS, SetMetric
from worldsim.nulls import NULLS
from worldsim.scoring import observe_all
from worldsim.summary import summarise
from worldsim.types import Episode, Frames, Observation, Rollout, Trajectory

ALL = [dist.MMDAppearance, dist.MMDMotion, dist.MMDJoint, dist.Frechet, dist.Coverage, dist.Precision, dist.Diversity]
IDS = [m.spec.name for m in ALL]
BEST = {"distribution.coverage": 1.0, "distribution.precision": 1.0, "distribution.diversity": 1.0}
Change = Callable[[Frames, int], Frames]
CONTEXT, HORIZON, SIDE, WORLDS = 8, 16, 32, 14
COLOURS = np.array([[230, 30, 30], [30, 200, 40], [40, 60, 230], [235, 235, 235], [20, 20, 20]], np.uint8)


def walk(world: int, way: int | None = None) -> Frames:
    """(24, 32, 32, 3): a tiled plane, zoomed into and panned over as world `way` does; worlds mix five colours."""
    rng = np.random.default_rng(world)
    tiles = rng.choice(5, (24, 24), p=rng.dirichlet(np.full(5, 0.8)))
    plane = cv2.resize(COLOURS[tiles], (192, 192), interpolation=cv2.INTER_NEAREST)
    turn = np.random.default_rng(1000 + (world if way is None else way)).normal(0, 2.5, 2)
    out = []
    for t in range(CONTEXT + HORIZON):
        half = 60 - 1.4 * t
        x, y = 96 + turn * t
        grid = np.linspace(-half, half, SIDE, dtype=np.float32)
        mx, my = np.meshgrid(grid + np.float32(x), grid + np.float32(y))
        out.append(cv2.remap(plane, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    return np.stack(out)


def same(frames: Frames, world: int) -> Frames:
    return frames


def collapsed(frames: Frames, world: int) -> Frames:
    return walk(999, way=world)  # one world, the right way


def shuffled(frames: Frames, world: int) -> Frames:
    """Out of order within each clip, so that its frames stay the same set."""
    out = frames.copy()
    for a, b in clips.spans(CONTEXT, len(frames) - 1):
        for part in (0, 1):  # the look is of every second frame
            own = np.arange(a + part, b, clips.EVERY)
            out[own] = frames[np.random.default_rng(world + part).permutation(own)]
    return out


def blurred(frames: Frames, world: int) -> Frames:
    return np.stack([cv2.GaussianBlur(f, (0, 0), 1.2) for f in frames])


def still(frames: Frames, world: int) -> Frames:
    return np.repeat(frames[CONTEXT - 1 : CONTEXT], len(frames), axis=0)


def episode(world: int, change: Change = same, truth: Frames | None = None, fps: float = 20.0) -> Episode:
    video = walk(world) if truth is None else truth
    actions = np.zeros(len(video) - 1)
    shown = np.array(change(video, world))
    shown[:CONTEXT] = video[:CONTEXT]
    own = Trajectory(frames=shown, actions=actions, fps=fps)
    return Episode(
        id=f"walk-{world:03d}",
        scenario="walk",
        world_seed=100 + 7 * world,
        context_length=min(CONTEXT, len(video)),
        truth=Trajectory(frames=video, actions=actions),
        generated=(Rollout(trajectory=own),),
    )


def rows_of(metric: SetMetric, change: Change = same, worlds: int = WORLDS) -> list[Observation]:
    return metric.observe(tuple(episode(w, change) for w in range(worlds)))


def value(metric: SetMetric, change: Change = same) -> float:
    found = metric.reduce(rows_of(metric, change)).value
    assert found is not None
    return found


# ---------------------------------------------------------------------------------------------------- known answers


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_oracle_is_exactly_at_the_ceiling(cls: type[SetMetric]) -> None:
    assert value(cls()) == BEST.get(cls.spec.name, 0.0)


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_contract_is_kept(cls: type[SetMetric]) -> None:
    report = check_metric(cls, episodes=[(episode(w),) for w in range(MIN_WORLDS + 1)])
    assert report.ok, str(report)


def test_a_collapsed_simulator_is_caught_by_coverage_and_not_by_precision() -> None:
    score = dist.Coverage().reduce(rows_of(dist.Coverage(), collapsed))
    assert score.value is not None and score.value < 0.6
    assert value(dist.Precision(), collapsed) > 0.9
    assert value(dist.Diversity(), collapsed) < 0.1
    assert value(dist.MMDAppearance(), collapsed) > 0.1
    assert abs(value(dist.MMDMotion(), collapsed)) < 0.2 * value(dist.MMDMotion(), still)


def test_one_of_the_true_worlds_shown_everywhere_is_plausible_and_covers_little() -> None:
    def third(frames: Frames, world: int) -> Frames:
        return walk(3)

    score = dist.Coverage().reduce(rows_of(dist.Coverage(), third))
    assert score.details["duplicates"] == 1.0
    assert score.details["precision"] >= 0.99 and score.details["coverage"] < 0.6
    assert dist.Coverage().reduce(rows_of(dist.Coverage())).details["duplicates"] == 0.0


def test_the_order_of_frames_moves_motion_and_not_appearance() -> None:
    assert value(dist.MMDAppearance(), shuffled) == 0.0
    assert value(dist.Coverage(), shuffled) == 1.0
    for cls in (dist.MMDMotion, dist.MMDJoint, dist.Frechet):
        assert value(cls(), shuffled) > 0.05


def test_blur_moves_appearance_and_not_motion() -> None:
    assert value(dist.MMDAppearance(), blurred) > 0.05
    assert abs(value(dist.MMDMotion(), blurred)) < 0.1 * value(dist.MMDMotion(), still)
    assert value(dist.MMDJoint(), blurred) > 0.02
    assert value(dist.Coverage(), blurred) < 0.9


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_nulls_lie_below_the_ceiling_or_are_told_to_be_no_floor(cls: type[SetMetric]) -> None:
    truths = [episode(w) for w in range(WORLDS)]
    groups = [(replace(e, other=truths[(i + 1) % WORLDS].truth.frames),) for i, e in enumerate(truths)]
    rows = list(observe_all([cls()], groups))
    summary = summarise(cls(), rows, resamples=20)[0][0]
    top = BEST.get(cls.spec.name, 0.0)
    assert summary["value"] == summary["ceiling"] == top
    for name in NULLS:
        mine = [r for r in rows if r.source == f"null:{name}"]
        if f"null:{name}" in cls.no_floor:
            assert {r.reason for r in mine} == {cls.no_floor[f"null:{name}"]}
            assert summary["nulls"][name]["value"] is None  # type: ignore[index]
        elif cls is not dist.Precision:  # a vague picture may be as typical as a true one
            found = summary["nulls"][name]["value"]  # type: ignore[index]
            assert found < top if cls.spec.higher_is_better else found > top
    assert f"null:{cls.spec.floor}" not in cls.no_floor


# ------------------------------------------------------------------------------------------------- rows and resamples


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_order_of_episodes_and_rows_and_what_was_scored_before_change_nothing(cls: type[SetMetric]) -> None:
    metric = cls()
    rows = rows_of(metric, blurred)
    first = metric.reduce(rows)
    rng = np.random.default_rng(0)
    mixed = [rows[i] for i in rng.permutation(len(rows))]
    assert cls().reduce(mixed) == first
    assert metric.reduce(rows[: 2 * MIN_WORLDS]) == cls().reduce(rows[: 2 * MIN_WORLDS])
    grown = cls()
    grown.reduce(rows[: 2 * MIN_WORLDS])  # a part first: the tables grow
    assert grown.reduce(rows) == first
    assert metric.reduce(rows_of(metric, collapsed)) == cls().reduce(rows_of(cls(), collapsed))
    again = [replace(r, details=json.loads(json.dumps(r.details))) for r in rows]
    assert cls().reduce(again) == first  # what is read back from disk


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_a_world_that_is_drawn_twice_never_meets_itself(cls: type[SetMetric]) -> None:
    """Through the bootstrap's own renaming: with copies taken for new worlds, each would meet its own original."""
    metric = cls()
    rows = rows_of(metric, blurred)
    worlds = sorted({r.world for r in rows})
    value = estimator(metric, rows, worlds, horizons_of(rows)).value
    once, twice = (float(value(np.full((1, WORLDS), k, np.float64))[0]) for k in (1, 2))
    assert math.isfinite(once)
    if cls is dist.Frechet:  # n - 1 is another share of n
        assert twice == pytest.approx(once, rel=0.1)
    else:
        assert twice == pytest.approx(once, rel=1e-12)


def test_copies_count_and_identity_is_kept_where_the_world_is_renamed() -> None:
    metric = dist.MMDAppearance()
    rows = rows_of(metric, blurred)
    copies = [replace(r, world=r.world + 10**6, episode=r.episode + "#1") for r in rows if r.world == 100]
    weighted = metric.reduce([*rows, *copies]).value
    lost = [replace(r, details=dict(r.details) | {"world": r.world}) for r in copies]
    naive = dist.MMDAppearance().reduce([*rows, *lost]).value
    gram = metric._held["model"].sets.tables["gram"]
    counts = np.ones(WORLDS)
    counts[0] = 2.0
    assert weighted == pytest.approx(crossworld.pair_mean(gram, counts), abs=1e-12)
    assert naive is not None and weighted is not None and abs(naive - weighted) > 1e-4


def test_the_interval_of_a_fault_holds_its_value() -> None:
    for cls in (dist.MMDAppearance, dist.Frechet):
        rows = rows_of(cls(), blurred)
        rows += [replace(r, source="ceiling") for r in rows_of(cls())]
        rows += [replace(r, source=f"null:{cls.spec.floor}") for r in rows_of(cls(), still)]
        summary = summarise(cls(), rows, resamples=60)[0][0]
        assert summary["low"] <= summary["value"] <= summary["high"]  # type: ignore[operator]


def test_samples_do_not_outnumber_the_truth() -> None:
    def twice(cls: type[SetMetric]) -> float | None:
        group = []
        for w in range(WORLDS):
            e = episode(w, blurred)
            group.append(replace(e, generated=(e.generated[0], replace(e.generated[0], sample=1))))
        return cls().reduce(cls().observe(tuple(group))).value

    for cls in ALL:
        assert twice(cls) == pytest.approx(value(cls(), blurred), abs=1e-12)


def test_rows_are_small_and_plain() -> None:
    size = sum(len(json.dumps(rows_of(cls(), blurred, 1)[0].details)) for cls in ALL)
    assert size < 5000


# ------------------------------------------------------------------------------------------------------ undefined


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_what_cannot_be_scored_is_undefined_with_a_reason(cls: type[SetMetric]) -> None:
    def reasons(*episodes: Episode) -> set[str | None]:
        rows = cls().observe(episodes)
        assert rows and all(r.outcome is None and not r.details for r in rows)
        score = cls().reduce(rows)
        assert score.value is None and score.reason
        return {r.reason for r in rows}

    video = walk(0)
    assert reasons(episode(0, truth=video[:1])) == {"no predicted frame"}
    assert reasons(episode(0, truth=video[:CONTEXT])) == {"no predicted frame"}
    assert reasons(episode(0, truth=video[: CONTEXT + 7])) == {"fewer than 8 predicted frames"}
    assert reasons(episode(0, truth=video[:, :12])) == {"frames below 16x16 px"}
    assert reasons(episode(0, fps=10.0)) == {"the simulator's frame rate differs from the truth's"}
    gone = episode(0)
    ended = replace(gone.generated[0].trajectory, ended=9, end_reason="terminated")
    assert reasons(replace(gone, generated=(Rollout(trajectory=ended),))) == {"the simulator ended the episode"}
    assert cls().reduce([]).reason == "no observations"


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_few_worlds_constant_worlds_and_mixed_sizes_give_no_score(cls: type[SetMetric]) -> None:
    few = cls().reduce(rows_of(cls(), worlds=MIN_WORLDS - 1))
    assert few.value is None and few.reason == "too few worlds: 7 < 8"
    grey = np.full_like(walk(0), 90)
    flat = cls().reduce(cls().observe(tuple(episode(w, blurred, truth=grey) for w in range(WORLDS))))
    assert flat.value is None and flat.reason == "the true clips of all worlds are alike"
    rows = rows_of(cls())
    odd = episode(3, truth=np.stack([cv2.resize(f, (48, 48)) for f in walk(3)]))
    mixed = cls().reduce([*rows, *cls().observe((replace(odd, world_seed=5),))])
    assert mixed.value is None and str(mixed.reason).startswith("clips of different sizes or frame rates: 32x32")


def test_a_constant_picture_of_a_living_world_is_a_failure_and_not_undefined() -> None:
    def grey(frames: Frames, world: int) -> Frames:
        return np.full_like(frames, 90)

    assert value(dist.Coverage(), grey) < 0.3 and value(dist.Diversity(), grey) == 0.0
    assert value(dist.MMDAppearance(), grey) > 0.3 and value(dist.Frechet(), grey) > 1.0


def test_rollouts_of_another_shape_are_refused() -> None:
    broken = episode(0)
    short = Rollout(trajectory=episode(0, truth=walk(0)[:20]).truth)
    object.__setattr__(broken, "generated", (short,))  # what Episode itself would have refused
    with pytest.raises(ShapeError, match="like the truth's"):
        dist.Coverage().observe((broken,))


def test_one_clip_a_world_has_no_variance_within() -> None:
    rows = dist.Diversity().observe(tuple(episode(w, truth=walk(w)[: CONTEXT + 8]) for w in range(WORLDS)))
    assert len(rows) == WORLDS
    assert dist.Diversity().reduce(rows).reason == "one clip a world"


# ---------------------------------------------------------------------------------------------------- across worlds


def test_all_splits_into_halves_average_to_the_mean_over_different_worlds() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6, 3))
    split = []
    for half in combinations(range(6), 3):
        a, b = list(half), [i for i in range(6) if i not in half]
        split.append(functional.mmd(x[a], y[b]).value)
    k = functional.polynomial_kernel
    gram = crossworld.differences(k(x, x), k(x, y), k(y, y))
    assert crossworld.pair_mean(gram, np.ones(6)) == pytest.approx(np.mean(split), rel=1e-12)


def test_paired_sets_are_unbiased_across_worlds_and_negative_otherwise() -> None:
    across, naive = [], []
    for s in range(300):
        rng = np.random.default_rng(s)
        common = rng.normal(size=(12, 4))
        x, y = (common + 0.3 * rng.normal(size=(12, 4)) for _ in range(2))
        kernels = [functional.rbf_kernel(a, b, 2.0) for a, b in ((x, x), (x, y), (y, y))]
        across.append(crossworld.pair_mean(crossworld.differences(*kernels), np.ones(12)))
        naive.append(functional.mmd2_unbiased(*kernels))
    error = np.std(across) / math.sqrt(len(across))
    assert abs(np.mean(across)) < 4 * error
    assert np.mean(naive) < -20 * error


def test_the_swap_test_keeps_its_level_and_finds_a_difference() -> None:
    def p(shift: float, seed: int, n: int) -> float:
        rng = np.random.default_rng(seed)
        common = rng.normal(size=(n, 3))
        x, y = (common + 0.5 * rng.normal(size=(n, 3)) for _ in range(2))
        kernels = [functional.rbf_kernel(a, b, 2.0) for a, b in ((x, x), (x, y + shift), (y + shift, y + shift))]
        if shift:
            kernels[1] = functional.rbf_kernel(x, y + shift, 2.0)
        return crossworld.swap_test(crossworld.differences(*kernels), seed=seed, permutations=199)

    for n in (10, 16):  # all exchanges, and some of them
        found = np.array([p(0.0, s, n) for s in range(200)])
        for level in (0.05, 0.2):
            assert (found <= level).mean() < level + 4 * math.sqrt(level * (1 - level) / 200)
        assert p(1.0, 0, n) < 0.02
    assert crossworld.swap_test(np.zeros((9, 9)), seed=0) == 1.0


def test_coverage_of_an_independent_sample_is_the_published_expectation() -> None:
    found = []
    for s in range(60):
        x, y = np.random.default_rng(s).normal(size=(2, 30, 2))
        d = np.linalg.norm(x[:, None] - x[None], axis=-1), np.linalg.norm(x[:, None] - y[None], axis=-1)
        found.append(crossworld.coverage(*d, np.arange(30), np.ones(30), 3)[0])
    assert np.mean(found) == pytest.approx(functional.expected_coverage(30, 29, 3), abs=0.02)
    with pytest.raises(ShapeError, match="k = 3 items in other worlds"):
        crossworld.coverage(d[0][:4, :4], d[1][:4, :4], np.array([0, 0, 1, 1]), np.ones(2), 3)


def test_variance_between_worlds_is_unbiased_whatever_varies_within() -> None:
    found = []
    for s in range(200):
        rng = np.random.default_rng(s)
        items = np.repeat(rng.normal(0, 2.0, (10, 1)), 3, axis=0) + rng.normal(0, 3.0, (30, 1))
        found.append(crossworld.between_variance(np.square(items - items.T), np.repeat(np.arange(10), 3), np.ones(10)))
    assert np.mean(found) == pytest.approx(4.0, abs=4 * float(np.std(found)) / math.sqrt(200))
    assert math.isnan(crossworld.between_variance(np.ones((4, 4)), np.arange(4), np.ones(4)))


def test_halves_share_no_world_and_are_equally_long_however_worlds_are_drawn() -> None:
    seeds = np.arange(40, 60)
    splits = set()
    for draw in range(50):
        counts = np.random.default_rng(draw).multinomial(20, np.full(20, 1 / 20)).astype(np.float64)
        a, b = crossworld.halves(seeds, counts, draw % 5)
        assert len(a) == len(b) >= 8 and not set(a) & set(b)
        assert all((np.concatenate([a, b]) == i).sum() <= counts[i] for i in range(20))
    for split in range(5):
        splits.add(tuple(sorted(crossworld.halves(seeds, np.ones(20), split)[0])))
    assert len(splits) == 5
    assert splits == {tuple(sorted(crossworld.halves(seeds, np.ones(20), s)[0])) for s in range(5)}


@pytest.mark.parametrize(("n", "d"), [(20, 8), (6, 8)])
def test_frechet_of_many_pairs_equals_one_by_one(n: int, d: int) -> None:
    sets = np.random.default_rng(0).normal(size=(4, n, d)) * np.arange(1, 5)[:, None, None]
    pairs = [(0, 1), (2, 3), (1, 1), (3, 0)]
    expected = [frechet(sets[i], sets[j], least=2) for i, j in pairs]
    assert frechet_pairs(sets, pairs) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert frechet_pairs(sets, pairs)[2] == 0.0
    with pytest.raises(ShapeError, match="finite sets"):
        frechet_pairs(sets[:, :1], pairs)


# ------------------------------------------------------------------------------------------------------------ clips


def test_clips_end_equal_parts() -> None:
    assert clips.spans(8, 14) == []
    assert clips.spans(8, 15) == [(8, 16)]
    assert clips.spans(8, 23) == [(8, 16), (16, 24)]
    assert clips.spans(8, 39) == [(16, 24), (32, 40)]
    assert clips.spans(8, 8 + 127) == [(32, 40), (64, 72), (96, 104), (128, 136)]
    assert clips.spans(5, 4) == []


def test_vectors_follow_the_frames_and_not_the_array_that_held_them() -> None:
    clip = np.array(walk(1)[:8])
    first = clips.look(clip), clips.move(clip)
    assert first[0].shape == (clips.LOOK,) and first[1].shape == (clips.MOVE,)
    clip[:] = walk(2)[:8]
    second = clips.look(clip), clips.move(clip)
    assert np.abs(second[0] - first[0]).max() > 0.1 and np.abs(second[1] - first[1]).max() > 0.01
    assert (clips.look(np.array(walk(1)[:8])) == first[0]).all()
    assert (clips.look(np.repeat(clip[:1], 8, axis=0)) == clips.look(np.repeat(clip[:1], 2, axis=0))).all()


def test_playing_backwards_turns_the_heading_and_leaves_the_histogram() -> None:
    clip = walk(4)[8:16]
    (motion, heading), (back, turned) = features.movement(clip), features.movement(clip[::-1].copy())
    assert (features.motion(clip) == motion).all()
    assert heading[0] > 0.3 and turned[0] < -0.3  # zooming in: away from the middle
    assert np.abs(back - motion).max() < 0.6 * np.abs(turned - heading).max()
    still_motion, nowhere = features.movement(np.repeat(clip[:1], 8, axis=0))
    assert still_motion[0] == 1.0 and not nowhere.any()


def test_the_palette_is_a_distribution_over_boxes_of_colour() -> None:
    clip = np.zeros((2, 64, 64, 3), np.uint8)
    clip[0, :, :, 0] = 255  # red, and black
    shares = np.square(features.palette(clip))
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] == pytest.approx(0.5) and shares[3 << 4] == pytest.approx(0.5)
    order = np.random.default_rng(0).permutation(8)
    assert (features.palette(walk(1)[:8]) == features.palette(walk(1)[:8][order])).all()
