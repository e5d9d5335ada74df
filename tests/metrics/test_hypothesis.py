"""Known answers, invariances and refusals of the counterfactual hypothesis test, and its calibration."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.envs.blocks.camera import camera_pose
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.errors import ConfigError, ShapeError
from worldsim.metrics.functional.alignment import align, expected_error, low_pass
from worldsim.metrics.functional.calibration import DEGRADATIONS, SHARE, calibrate, softmax_scale
from worldsim.metrics.functional.hypothesis import Evidence, Thresholds, judge, measure, posterior, region
from worldsim.seeding import generator
from worldsim.truth import RecolourObject, RemoveObject
from worldsim.types import Frames

SIDE, MARGIN = 48, 4
PRESENT, ABSENT, MOVED, ALTERED = range(4)
STRICT = Thresholds(residual=0.2, lead=0.4, fit=0.6, excess=2.0, stray=2.0, scale=0.3)


def ground(seed: int) -> Frames:
    """A textured wall with a margin, so that it can be seen from a shifted place. Values stay in 60..190."""
    side = SIDE + 2 * MARGIN
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60, 190, (side // 4, side // 4, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).clip(60, 190), np.uint8)


def wide(seed: int) -> Frames:
    """(4, H + 8, W + 8, 3): an 8x8 thing present, absent, moved by 12 px, of another colour."""
    wall = ground(seed)
    scenes = np.stack([wall] * 4)
    for which, x, colour in ((PRESENT, 18, (190, 60, 70)), (MOVED, 30, (190, 60, 70)), (ALTERED, 18, (70, 80, 190))):
        scenes[which, 22:30, x : x + 8] = colour
        scenes[which, 24:26, x + 2 : x + 6] = 150
    return scenes


def seen(scenes: Frames, dx: int = 0, dy: int = 0) -> Frames:
    """What a camera sees whose picture lies (dx, dy) px to the right and below."""
    y, x = MARGIN - dy, MARGIN - dx
    return np.ascontiguousarray(scenes[..., y : y + SIDE, x : x + SIDE, :])


@pytest.fixture(scope="module")
def renders() -> Frames:
    return seen(wide(0))


# -------------------------------------------------------------------------------------------------------- known answers


def test_the_region_is_where_alternatives_differ() -> None:
    a = np.zeros((3, 30, 40, 3), np.uint8)
    a[1, 12:16, 20:24] = 9
    a[2, 12:16, 20:23] = 200
    a[:, 8, 8] = [[0, 0, 0], [8, 8, 8], [0, 8, 0]]  # 8 is not more than TAU
    found = region(a)
    assert np.argwhere(found.core).tolist() == [[y, x] for y in range(12, 16) for x in range(20, 24)]
    assert found.pair == 12  # alternatives 0 and 2; 0 and 1 differ in 16, 1 and 2 in 16
    assert found.context.sum() == 30 * 40 - 10 * 10  # 4x4, grown by 3 px on each side
    assert region(a, [0, 1, 1]).pair == 12 and region(a, [0, 1, 0]).pair == 16
    a[1, 2:28, :6] = 200  # the border counts as different, but nothing can be decided there
    assert region(a).core.sum() == 16 + 26 * 6 and region(a).pair == 12


@pytest.mark.parametrize("true", range(4))
def test_the_render_itself_is_recognised_without_any_doubt(renders: Frames, true: int) -> None:
    e = measure(renders[true], renders)
    assert e.reason is None and e.nearest == e.second == true
    assert e.lead == pytest.approx(np.where(np.arange(4) == true, 1.0, -1.0), abs=1e-6)
    assert [e.distance[true], e.residual, e.fit, e.excess] == pytest.approx([0.0] * 4, abs=1e-3)
    assert e.shift == (0.0, 0.0) and (np.delete(e.distance, true) > 0.02).all()
    verdict = judge(e, STRICT)
    assert (verdict.outcome, verdict.label) == ("decided", true)
    assert verdict.posterior[true] == pytest.approx(1 / (1 + 3 * math.exp(-2 / 0.3)))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_the_lead_is_linear_in_what_is_mixed(renders: Frames, share: float) -> None:
    """A ghost of strength 1 - share leads by 1 - 2 share; half-way it is nobody's."""
    pair = renders[[PRESENT, ABSENT]]
    mixed = np.rint((1 - share) * pair[0] + share * pair[1]).astype(np.uint8)
    e = measure(mixed, pair)
    assert e.lead == pytest.approx([1 - 2 * share, 2 * share - 1], abs=0.02)
    assert e.fit == pytest.approx(min(share, 1 - share), abs=0.02)
    assert judge(e, STRICT).outcome == ("something else" if share == 0.5 else "decided")


def test_fewer_than_twelve_pixels_are_undefined() -> None:
    wall = seen(ground(1))
    for pixels, outcome in ((11, "undefined"), (12, "decided")):
        other = wall.copy()
        other[20, 10 : 10 + pixels] = 255 - other[20, 10 : 10 + pixels] // 2
        verdict = judge(measure(wall, np.stack([wall, other])), STRICT)
        assert verdict.outcome == outcome and verdict.evidence.pair == pixels
        if outcome == "undefined":
            assert verdict.label is None and np.isnan(verdict.posterior).all()
            assert "fewer than 12 px" in str(verdict.evidence.reason)


def test_the_frame_has_no_say_in_what_is_undefined(renders: Frames) -> None:
    same = np.stack([renders[0], renders[0]])
    for frame in (renders[1], np.zeros_like(renders[0])):
        assert judge(measure(frame, same), STRICT).outcome == "undefined"
    flat = np.full((2, SIDE, SIDE, 3), 90, np.uint8)
    flat[1, 10:20, 10:20] = 200
    assert "nothing to hold on to" in str(measure(renders[0], flat).reason)
    assert "agree in less than 10%" in str(measure(renders[0], np.stack([renders[0], 255 - renders[0]])).reason)


def test_alternatives_that_mean_the_same_do_not_compete(renders: Frames) -> None:
    many = np.concatenate([renders, renders[[ALTERED]], renders[[MOVED]]])
    names = (0, 1, 2, 3, 3, 2)
    for true in range(4):
        e = measure(renders[true], many, labels=names)
        assert e.nearest == true and e.lead[true] == pytest.approx(1.0) and len(e.lead) == 4


def test_the_camera_pose_is_the_one_whose_context_fits() -> None:
    """Eight pixels of drift are beyond the search of shifts, and within that of poses."""
    rolled = [np.roll(wide(2), d, axis=2) for d in (0, 8, -8)]
    lattice = np.stack([seen(r) for r in rolled])
    e = measure(lattice[1, MOVED], lattice)
    assert e.pose == 1 and e.nearest == MOVED and e.residual == 0.0
    assert measure(lattice[1, MOVED], lattice[0]).residual > 0.2


def test_a_thing_that_a_candidate_pose_does_not_show_is_undefined(renders: Frames) -> None:
    lost = np.roll(renders, 1, axis=2)
    lost[PRESENT] = lost[ABSENT]
    assert measure(renders[PRESENT], renders).nearest == PRESENT
    assert "fewer than 12 px" in str(measure(renders[PRESENT], np.stack([renders, lost])).reason)


def test_the_expected_error_of_noise_is_its_variance(renders: Frames) -> None:
    rng = np.random.default_rng(0)
    drawn = low_pass(renders[0])
    error = np.square(rng.normal(0, 0.05, (*drawn.shape[:2], 400))).mean(-1).astype(np.float32)
    everywhere = np.ones(error.shape, bool)
    assert expected_error(error, drawn, everywhere) == pytest.approx(0.05**2, rel=0.1)
    steep = sum(np.square(np.gradient(drawn, axis=axis)).mean(-1) for axis in (0, 1))
    assert expected_error(0.01 + 3 * steep, drawn, everywhere) == pytest.approx(0.01 + 3 * steep, rel=1e-3)


# ---------------------------------------------------------------------------------------------------------- invariances


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    true=st.integers(0, 3),
    gain=st.tuples(*[st.floats(0.6, 1.25)] * 3),
    offset=st.tuples(*[st.floats(-15, 15)] * 3),
)
def test_brightness_contrast_and_tint_say_nothing(
    seed: int, true: int, gain: tuple[float, ...], offset: tuple[float, ...]
) -> None:
    renders = seen(wide(seed))
    frame = np.clip(np.rint(renders[true] * np.array(gain) + np.array(offset)), 0, 255).astype(np.uint8)
    e = measure(frame, renders)
    assert e.nearest == true and e.lead[true] > 0.95 and e.residual < 0.01
    assert judge(e, STRICT).label == true


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), true=st.integers(0, 3), dx=st.integers(-3, 3), dy=st.integers(-3, 3))
def test_a_common_shift_is_found_and_says_nothing(seed: int, true: int, dx: int, dy: int) -> None:
    scenes = wide(seed)
    renders, frame = seen(scenes), seen(scenes[true], dx, dy)
    e = measure(frame, renders)
    assert e.shift == (float(dx), float(dy)) and e.nearest == true and e.lead[true] > 0.99
    assert align(frame, renders[ABSENT], region(renders).context)[1:] == (
        float(dx),
        float(dy),
    )  # whichever alternative is laid on
    assert judge(e, STRICT).label == true


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), order=st.permutations(range(4)), noise=st.floats(0, 60), mix=st.floats(0, 1))
def test_the_order_of_alternatives_says_nothing(seed: int, order: list[int], noise: float, mix: float) -> None:
    renders = seen(wide(seed))
    rng = np.random.default_rng(seed)
    frame = mix * renders[PRESENT] + (1 - mix) * renders[ALTERED] + rng.normal(0, noise, renders[0].shape)
    frame = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
    a, b = measure(frame, renders), measure(frame, renders[order])
    assert b.lead == pytest.approx(a.lead[order], abs=0.02)  # gain and offset are fitted on the first render
    assert b.distance == pytest.approx(a.distance[order], abs=2e-3)
    assert b.residual == pytest.approx(a.residual, abs=0.01) and b.pair == a.pair
    if np.diff(np.sort(a.lead))[-1] > 0.1:
        assert order[b.nearest] == a.nearest


# ------------------------------------------------------------------------------------------------------------- refusals


def test_frames_of_nowhere_have_lost_the_place(renders: Frames) -> None:
    rng = np.random.default_rng(3)
    nowhere = {
        "noise": rng.integers(0, 256, renders[0].shape, dtype=np.uint8),
        "grey": np.full_like(renders[0], 128),
        "negative": 255 - renders[0],
        "another place": seen(wide(77))[0],
        "upside down": renders[0, ::-1].copy(),
        "turned too far": seen(np.roll(wide(0)[0], 9, axis=1)),
    }
    for name, frame in nowhere.items():
        verdict = judge(measure(frame, renders), STRICT)
        assert (verdict.outcome, verdict.label) == ("lost the place", None), name


@pytest.mark.parametrize("quality", ["clean", "blur 1", "noise 12", "jpeg 50", "all"])
def test_a_right_frame_with_a_wrong_thing_shows_something_else(renders: Frames, quality: str) -> None:
    rng = generator("test-hypothesis", quality)
    place = (slice(18, 26), slice(14, 22))
    wrong = {
        "patch": seen(wide(50))[0][30:38, 30:38],
        "blob": np.array([120, 120, 30]),
        "green": np.array([60, 190, 60]),
    }
    for name, content in wrong.items():
        frame = renders[PRESENT].copy()
        frame[place] = content
        verdict = judge(measure(DEGRADATIONS[quality](frame, rng), renders), STRICT)
        assert verdict.outcome == "something else", name
        assert verdict.evidence.excess > 1.5, name


def test_a_thing_where_no_alternative_has_one_is_stray(renders: Frames) -> None:
    frame = renders[ABSENT].copy()
    frame[4:12, 36:44] = renders[PRESENT][18:26, 14:22]
    e = measure(frame, renders)
    clean = measure(renders[ABSENT], renders)
    assert e.nearest == ABSENT and judge(e, STRICT).elsewhere and not judge(clean, STRICT).elsewhere


@pytest.mark.parametrize(
    ("frame", "lattice", "labels", "match"),
    [
        ((48, 48, 3), (1, 48, 48, 3), None, "each at least once"),
        ((48, 48, 3), (2, 48, 40, 3), None, "renders must be"),
        ((48, 48, 3), (0, 2, 48, 48, 3), None, "renders must be"),
        ((48, 48), (2, 48, 48, 3), None, "the frame must be"),
        ((48, 48, 3), (2, 3, 48, 48), None, "channels first"),
        ((48, 48, 3), (2, 48, 48, 3), (0, 0), "one label"),
        ((48, 48, 3), (2, 48, 48, 3), (0, 2), "each at least once"),
        ((48, 48, 3), (2, 48, 48, 3), (0, 1, 2), "each at least once"),
    ],
)
def test_mistakes_are_explained(
    frame: tuple[int, ...], lattice: tuple[int, ...], labels: tuple[int, ...] | None, match: str
) -> None:
    with pytest.raises(ShapeError, match=match):
        measure(np.zeros(frame, np.uint8), np.zeros(lattice, np.uint8), labels=labels)


def test_floats_are_refused_not_guessed(renders: Frames) -> None:
    bad = np.full(renders[0].shape, np.nan, np.float32)
    with pytest.raises(ShapeError, match="floats"):
        measure(bad, renders)


# ---------------------------------------------------------------------------------------------------------- calibration


def test_the_posterior_is_a_softmax() -> None:
    p = posterior(np.array([[1.0, -1.0], [0.0, 0.0]]), 0.5)
    assert p == pytest.approx(np.array([[1 / (1 + math.exp(-4)), 1 / (1 + math.exp(4))], [0.5, 0.5]]))


def test_the_scale_lets_just_enough_frames_be_sure() -> None:
    """Two labels, leads +-x: p > 0.9 needs a scale below 2 x / ln 9."""
    leads = [np.array([x, -x]) for x in np.linspace(0.05, 1.0, 20)]
    scale = softmax_scale(leads, [0] * 20)
    assert scale == pytest.approx(2 * 0.10 / math.log(9), rel=1e-6)  # the weakest of twenty may stay unsure
    sure = np.mean([posterior(lead, scale * 0.999)[0] > 0.9 for lead in leads])
    assert sure == SHARE
    with pytest.raises(ConfigError, match=r"90\.0% of the truth's frames are right"):
        softmax_scale(leads, [0] * 18 + [1, -1])


def truths(seeds: range) -> tuple[list[Evidence], list[int]]:
    evidence, labels = [], []
    for seed in seeds:
        renders, true = seen(wide(seed)), seed % 4
        for name, degrade in DEGRADATIONS.items():
            evidence.append(measure(degrade(renders[true], generator("test-truths", seed, name)), renders))
            labels.append(true)
    return evidence, labels


@pytest.fixture(scope="module")
def known() -> tuple[list[Evidence], list[int]]:
    return truths(range(100, 124))


def test_calibrated_thresholds_hold_on_other_worlds(known: tuple[list[Evidence], list[int]]) -> None:
    thresholds = calibrate(*known)
    assert 0 < thresholds.residual < 0.2 and thresholds.lead > 0.3 and thresholds.excess < 2
    evidence, labels = truths(range(200, 212))
    verdicts = [judge(e, thresholds) for e in evidence]
    wrong = [v for v, t in zip(verdicts, labels, strict=True) if v.label not in (t, None)]
    sure = [v.label == t and v.posterior[t] > 0.9 for v, t in zip(verdicts, labels, strict=True)]
    assert not wrong and np.mean(sure) >= 0.9


def test_a_gate_lies_at_the_degradation_that_moves_it_most(known: tuple[list[Evidence], list[int]]) -> None:
    evidence, labels = known
    groups = list(DEGRADATIONS) * 24
    by_group = calibrate(evidence, labels, groups)
    values = {g: [e.residual for e, own in zip(evidence, groups, strict=True) if own == g] for g in DEGRADATIONS}
    assert by_group.residual == pytest.approx(max(np.quantile(v, 0.99) for v in values.values()))
    assert by_group.residual >= calibrate(evidence, labels).residual
    with pytest.raises(ConfigError, match="one group"):
        calibrate(evidence, labels, groups[1:])


def test_calibration_refuses_what_it_cannot_stand_on() -> None:
    evidence, labels = truths(range(3))
    with pytest.raises(ConfigError, match="one true label and one group for each of 24"):
        calibrate(evidence, labels[:-1])
    with pytest.raises(ConfigError, match="at least 20"):
        calibrate(evidence[:19], labels[:19])
    with pytest.raises(ConfigError, match="at least 20"):
        calibrate([replace(e, reason="too few") for e in evidence], labels)
    with pytest.raises(ConfigError, match="95% are needed"):
        calibrate(evidence, [(t + 1) % 4 for t in labels])


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradations_keep_shape_and_are_drawn_from_their_generator(name: str, renders: Frames) -> None:
    a, b = (DEGRADATIONS[name](renders[0], generator("test-degrade", name)) for _ in range(2))
    assert a.shape == renders[0].shape and a.dtype == np.uint8 and np.array_equal(a, b)
    assert np.array_equal(a, renders[0]) == (name == "clean")


# --------------------------------------------------------------------------------------------------------- real renders


def test_a_chest_of_blocks_is_told_from_its_absence_and_from_another_colour() -> None:
    env = BlocksEnv(preset="arena", size=(64, 64))
    decided = 0
    for seed in range(4):
        env.reset(seed=seed)
        state = env.snapshot()
        thing = next(o for o in env.truth().objects if "chest" in o.kind)
        x, y, z = thing.position
        pose = camera_pose((x, y + 1.2, z - 4.0), 0.0, 12.0)
        drawn = []
        colour = "blue" if "blue" not in thing.kind else "red"
        for change in (None, RemoveObject(object_id=thing.id), RecolourObject(object_id=thing.id, colour=colour)):
            env.restore(state)
            if change is not None:
                env.edit(change)
            drawn.append(env.render_from(pose)[0])
        renders = np.stack(drawn)
        for true in range(3):
            for name, degrade in DEGRADATIONS.items():
                e = measure(degrade(renders[true], generator("test-chest", seed, true, name)), renders)
                assert e.reason is not None or e.nearest == true, (seed, true, name)
                decided += e.reason is None
    assert decided >= 48  # of 96: at least two of the four chests are in the open
