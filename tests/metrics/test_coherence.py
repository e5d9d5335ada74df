"""Long-range coherence on a walk through Blocks: the oracle, the nulls, planted drift, what is undefined and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from tests.metrics.solid import place
from tests.toys import ToyEnv
from worldsim.checks import check_metric
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.errors import ShapeError
from worldsim.faults.table import FAULTS
from worldsim.faults.views import yawed
from worldsim.metrics.coherence import Horizon, Revisit, spread
from worldsim.metrics.drift import Drift
from worldsim.metrics.functional import coherence as functional
from worldsim.nulls import NULLS, NullFrames
from worldsim.protocols import Metric
from worldsim.truth import TruthState
from worldsim.types import Episode, Frames, Rollout, Trajectory

ALL: list[Any] = [Revisit, Drift, Horizon]
IDS = [m.spec.name for m in ALL]
BEST = {"coherence.revisit": 1.0, "coherence.drift": 0.0, "coherence.horizon": 1.0}
CONTEXT = 4
#: Degrees to the right at each frame: out by 120, a look there, back, and a rest at home.
TURNS = [0, 0, 0, 0, *range(15, 121, 15), 120, 120, *range(105, -1, -15), 0, 0, 0, 0, 0, 0]


@lru_cache(maxsize=16)
def tour(seed: int, drift: float = 0.0, size: int = 64) -> tuple[Frames, tuple[TruthState, ...]]:
    """Looks away and back; from the end of the context on, the view turns `drift` degrees a step by itself."""
    env = BlocksEnv(size=(size, size), preset="arena")
    env.reset(seed=seed)
    start = env.truth().world_from_camera
    assert start is not None
    frames, states = [], []
    for t, turn in enumerate(TURNS):
        frame, state = env.render_from(yawed(start @ place(turn, 0, 0, 1.0), drift * max(t - CONTEXT + 1, 0)))
        frames.append(frame)
        states.append(state)
    env.close()
    return np.stack(frames), tuple(states)


def episode(seed: int, shown: Frames | None = None, *, context: int = CONTEXT, **kwargs: Any) -> Episode:
    frames, states = tour(seed)
    actions = np.zeros(len(frames) - 1)
    model = Rollout(trajectory=Trajectory(frames=frames if shown is None else shown, actions=actions))
    made = Episode(
        id=f"tour-{seed:04d}",
        scenario="tour",
        world_seed=seed,
        context_length=context,
        truth=Trajectory(frames=frames, actions=actions, states=states),
        generated=(model,),
        other=tour(seed + 100)[0],
    )
    return replace(made, **kwargs)


def changed(seed: int, change: Callable[[Frames, int], Frames]) -> Episode:
    """What is shown is the truth, each predicted frame changed."""
    frames = tour(seed)[0].copy()
    for t in range(CONTEXT, len(frames)):
        frames[t] = change(frames[t], t - CONTEXT + 1)
    return episode(seed, frames)


def score(cls: Any, *episodes: Episode) -> float:
    metric = cls()
    value = metric.reduce([r for e in episodes for r in metric.observe((e,))]).value
    assert value is not None
    return float(value)


def reasons(cls: Any, e: Episode) -> set[str | None]:
    return {r.reason for r in cls().observe((e,))}


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_contract_holds(cls: Any) -> None:
    assert isinstance(cls(), Metric)
    report = check_metric(cls, episodes=[(episode(s),) for s in (0, 1)])
    assert report.ok, str(report)
    if cls is not Revisit:  # a random walk sees no place again
        report = check_metric(cls, env=ToyEnv)
        assert report.ok, str(report)
    assert cls.spec.sensitive | cls.spec.invariant <= set(FAULTS)


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_oracle_is_at_the_ceiling_exactly_and_no_null_is_near(cls: Any) -> None:
    oracle = [episode(s) for s in (0, 1, 2)]
    assert score(cls, *oracle) == BEST[cls.spec.name]
    for name in NULLS:
        shown = [
            episode(s, NullFrames(name, e.truth.frames[:CONTEXT], len(TURNS), s, e.other)[:])
            for s, e in enumerate(oracle)
        ]
        value = score(cls, *shown)
        assert abs(value - BEST[cls.spec.name]) > 0.4, (name, value)


@pytest.mark.parametrize("cls", [Revisit, Horizon])
def test_what_never_leaves_gets_nothing(cls: Any) -> None:
    for seed in (0, 1, 2):
        frames = tour(seed)[0]
        for still in (frames[0], np.full_like(frames[0], 90), frames.mean(axis=0).astype(np.uint8)):
            assert score(cls, episode(seed, np.repeat(still[None], len(frames), 0))) == 0.0


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_the_more_the_view_drifts_the_worse_the_score(cls: Any) -> None:
    values = [score(cls, *(episode(s, tour(s, d)[0]) for s in (0, 1, 2))) for d in (0.0, 0.1, 0.3, 1.0)]
    sign = 1 if cls.spec.higher_is_better else -1
    assert all(sign * (a - b) >= 0 for a, b in pairwise(values)), values
    assert sign * (values[0] - values[-1]) > 0.2


def test_a_home_that_is_another_world_is_no_home() -> None:
    """Right until the return, then what another world shows there."""
    made = []
    for seed in (0, 1, 2):
        frames = tour(seed)[0].copy()
        frames[-7:] = tour(seed + 50)[0][-7:]
        made.append(episode(seed, frames))
    assert score(Revisit, *made) < 0.5
    assert score(Drift, *made) > 0.5


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_a_worse_picture_of_the_right_world_is_no_drift(cls: Any) -> None:
    rng = np.random.default_rng(0)
    mild: dict[str, Callable[[Frames, int], Frames]] = {
        "tint": lambda f, h: np.clip(f * np.array([0.9, 0.8, 0.6]) + 10, 0, 255).astype(np.uint8),
        "blur": lambda f, h: np.asarray(cv2.GaussianBlur(f, (0, 0), 1.0)),
        "noise": lambda f, h: np.clip(f + rng.normal(0, 8, f.shape), 0, 255).astype(np.uint8),
        "jpeg": lambda f, h: cv2.imdecode(cv2.imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 1),
    }
    for name, change in mild.items():
        value = score(cls, *(changed(s, change) for s in (0, 1, 2)))
        assert value == pytest.approx(BEST[cls.spec.name], abs=0.06), name


def test_fading_colours_are_drift_and_the_worst_segment_counts() -> None:
    def fade(left: Callable[[int], float]) -> float:
        def change(frame: Frames, h: int) -> Frames:
            grey = frame.mean(-1, keepdims=True)
            return np.rint(grey + left(h) * (frame - grey)).astype(np.uint8)

        return score(Drift, *(changed(s, change) for s in (0, 1)))

    values = [fade(lambda h, r=r: r**h) for r in (1.0, 0.99, 0.96, 0.9)]
    assert values[0] == 0.0 and all(a < b for a, b in pairwise(values)), values
    collapse = fade(lambda h: 0.0 if 9 <= h <= 16 else 1.0)
    assert collapse > 0.25, "a collapse in the middle that recovers is seen"
    greyed = [changed(s, lambda f, h: np.repeat(f.mean(-1, keepdims=True), 3, -1).astype(np.uint8)) for s in (0, 1)]
    assert score(Revisit, *greyed) > 0.95


def test_the_horizon_ends_where_the_view_is_lost() -> None:
    metric = Horizon()
    cut = 10
    made = []
    for seed in (0, 1, 2):
        frames = tour(seed)[0].copy()
        frames[CONTEXT - 1 + cut :] = tour(seed)[0][0]
        made.append(episode(seed, frames))
    result = metric.reduce([r for e in made for r in metric.observe((e,))])
    assert result.curve is not None
    assert result.details["until"] == max(h for h in result.curve if h < cut)
    assert all(v == (h < cut) for h, v in result.curve.items())


def test_visits_are_what_the_path_says() -> None:
    path = functional.path_of(tour(0)[1])
    found = functional.visits(path, CONTEXT - 1, len(TURNS) - 1, 12, 6)
    assert found and len(found) <= 6
    for v in found:
        degrees, metres = path.apart(v.first)
        assert v.again - v.first >= 12 and degrees[v.again] <= 5 and metres[v.again] <= 0.25
        assert v.first < v.far < v.again and degrees[v.far] == degrees[v.first : v.again].max()
    assert not functional.visits(path, CONTEXT - 1, CONTEXT + 9, 4, 6), "on the way out nothing is seen again"
    degrees, _ = path.apart(0)
    np.testing.assert_allclose(degrees, TURNS, atol=1e-4)
    np.testing.assert_allclose(path.pitch, path.pitch[0], atol=1e-9)
    assert all(degrees[u] > 45 for u in functional.comparable_places(path, 0))


def test_views_are_compared_up_to_tone_and_two_pixels() -> None:
    frame, other = tour(0)[0][[0, 12]]
    own = functional.views([functional.thumbnail(frame)])
    toned = np.clip(frame * 0.5 + 40, 0, 255).astype(np.uint8)
    moved = np.roll(frame, 2, axis=1)
    assert functional.unlike(functional.thumbnail(frame), own)[0] == pytest.approx(0.0, abs=1e-12)
    assert functional.unlike(functional.thumbnail(toned), own)[0] < 1e-3
    assert functional.unlike(functional.thumbnail(moved), own)[0] < 0.02
    assert functional.unlike(functional.thumbnail(np.full_like(frame, 7)), own)[0] == 1.0
    assert functional.unlike(functional.thumbnail(other), own)[0] > functional.ALIKE
    with pytest.raises(ShapeError, match="like the thumbnail"):
        functional.unlike(functional.thumbnail(frame[:40]), own)


def test_the_error_of_a_place_is_the_textbooks_without_the_worst_tenth() -> None:
    a, b = tour(0)[0][[0, 12]]
    everywhere = np.zeros((64, 64), np.bool_)
    everywhere[8:-8, 8:-8] = True
    assert functional.place_error(a, a, everywhere) == pytest.approx(0.0, abs=1e-12)
    moved = np.roll(a, 2, axis=0)
    assert functional.place_error(a, moved, everywhere) == pytest.approx(0.0, abs=1e-6)
    covered = a.copy()
    covered[20:32, 20:32] = 255 - covered[20:32, 20:32]
    assert functional.place_error(a, covered, everywhere) < 0.4 * functional.place_error(a, b, everywhere)
    assert functional.place_error(a, np.full_like(a, 3), everywhere) == 0.5
    assert functional.place_error(a, a, np.zeros_like(everywhere)) == 0.5


@pytest.mark.parametrize("cls", ALL, ids=IDS)
def test_bad_input_has_a_reason(cls: Any) -> None:
    e = episode(0)
    few = {"coherence.drift": "fewer than two segments"}
    one = episode(0, context=len(TURNS))
    assert reasons(cls, one) == {few.get(cls.spec.name, "no predicted frame")}
    stateless = replace(e, truth=replace(e.truth, states=None))
    blind = [replace(s, world_from_camera=None) for s in tour(0)[1]]
    poseless = replace(e, truth=replace(e.truth, states=blind))
    if cls is not Drift:
        assert reasons(cls, stateless) == {"no states"}
        assert reasons(cls, poseless) == {"no camera pose"}
    else:
        assert reasons(cls, stateless) == {None}
    gave_up = replace(e.generated[0], trajectory=replace(e.generated[0].trajectory, ended=12, end_reason="terminated"))
    assert "the simulator ended the episode" in reasons(cls, replace(e, generated=(gave_up,)))
    small = replace(e.generated[0], trajectory=Trajectory(frames=tour(0)[0][:, :32], actions=np.zeros(len(TURNS) - 1)))
    object.__setattr__(broken := replace(e), "generated", (small,))
    with pytest.raises(ShapeError, match="like the truth's"):
        cls().observe((broken,))


def test_what_the_truth_cannot_ask() -> None:
    frames, states = tour(0)
    e = episode(0)
    depthless = [replace(s, depth=None) for s in states]
    assert reasons(Revisit, replace(e, truth=replace(e.truth, states=depthless))) == {"no depth"}
    still = replace(e.truth, frames=np.repeat(frames[:1], len(frames), 0), states=[states[0]] * len(frames))
    constant = replace(e, truth=still, generated=(Rollout(trajectory=still),), other=None)
    assert reasons(Revisit, constant) == {"no place is left and seen again"}
    assert reasons(Drift, constant) == {"the true clips do not differ in any feature"}
    assert reasons(Horizon, constant) == {"the view is still one of the context's"}
    for cls in ALL:
        result = cls().reduce(cls().observe((constant,)))
        assert result.value is None and result.reason
    short = replace(e.truth, ended=CONTEXT + 4, end_reason="terminated")
    assert reasons(Revisit, replace(e, truth=short)) == {"no place is left and seen again"}
    lonely = replace(e, other=None)
    assert reasons(Horizon, lonely) <= {None, *Horizon.spec.undefined}


def test_spread_keeps_the_ends() -> None:
    assert spread([], 3) == [] and spread([5], 3) == [5]
    assert spread(range(10), 4) == [0, 3, 6, 9]
