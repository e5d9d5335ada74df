"""Matched measures of 3D consistency on the corruption ladder of SysCON3D, rebuilt from our own renders.

Reference: github.com/mvp18/3DConsistency-metrics (Paul et al. 2026, arXiv 2605.18754). Its design, not its pictures: a
set of views of one scene, then views of other scenes mixed in, patches of other scenes, and Gaussian noise, at growing
severity; and three sets that are no scene at all: noise, unrelated views, one view repeated. It shows that measures on
learned backbones call the latter consistent, and that matching points does not.

Here: four Blocks worlds at 128 px, a camera that walks and turns, pairs three steps apart. Expected of TSED and
self-pose: Kendall's tau between severity and the mean score at most -0.9, clean sets near 1, sets that are no scene at
most 0.05.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy.stats import kendalltau

from tests.metrics.solid import walk
from worldsim.metrics.functional import epipolar, geometry
from worldsim.truth import TruthState
from worldsim.types import Frames

SIZE, GAP, STEPS = 128, 3, 7
PATH = (0.08, 0.3, 4.0)  # metres to the right and ahead, degrees to the right, a step
WORLDS, OTHERS = (0, 1, 2, 3), tuple(range(20, 30))
Fault = Callable[[Frames, np.random.Generator, float], Frames]
Points = tuple[np.ndarray, np.ndarray]


@cache
def world(seed: int) -> tuple[Frames, list[TruthState]]:
    return walk(seed, PATH, STEPS, size=SIZE)


@cache
def true_matches(seed: int, at: int) -> Points:
    frames = world(seed)[0]
    return epipolar.sift_matches(frames[at], frames[at + GAP])


def mixed(frames: Frames, rng: np.random.Generator, share: float) -> Frames:
    """`share` of the views are of other scenes, each of another one."""
    out = frames.copy()
    for i, t in enumerate(rng.permutation(len(frames))[: round(share * len(frames))]):
        out[t] = world(OTHERS[i])[0][t]
    return out


def patched(frames: Frames, rng: np.random.Generator, share: float) -> Frames:
    """`share` of the 8x8 tiles of each view are of other scenes."""
    out, side = frames.copy(), SIZE // 8
    for t in range(len(frames)):
        for tile in rng.permutation(64)[: round(share * 64)]:
            y, x = side * (tile // 8), side * (tile % 8)
            other = world(int(rng.choice(OTHERS)))[0][t]
            out[t, y : y + side, x : x + side] = other[y : y + side, x : x + side]
    return out


def noisy(frames: Frames, rng: np.random.Generator, spread: float) -> Frames:
    return np.clip(frames + rng.normal(0.0, spread, frames.shape), 0, 255).astype(np.uint8)


LADDERS: dict[str, tuple[Fault, tuple[float, ...]]] = {
    "mixed": (mixed, (0.0, 0.125, 0.25, 0.5, 0.75)),
    "patched": (patched, (0.0, 0.08, 0.16, 0.24, 0.4)),
    "noisy": (noisy, (0.0, 16.0, 28.0, 40.0, 64.0)),
}
NO_SCENE: dict[str, Fault] = {
    "noise": lambda frames, rng, _: rng.integers(0, 256, frames.shape, dtype=np.uint8),
    "unrelated": lambda frames, rng, _: mixed(frames, rng, 1.0),
    "repeated": lambda frames, rng, _: np.repeat(frames[:1], len(frames), axis=0),
}


def scores(fault: Fault, level: float) -> tuple[float, float]:
    """Mean TSED and self-pose over all decided pairs of all worlds."""
    tsed, pose = [], []
    for seed in WORLDS:
        frames, states = world(seed)
        shown = fault(frames, np.random.default_rng(seed), level)
        for i in range(len(frames) - GAP):
            lens, size = states[i].intrinsics, (SIZE, SIZE)
            assert lens is not None
            matches = epipolar.sift_matches(shown[i], shown[i + GAP])
            move = geometry.relative_pose(states[i], states[i + GAP])
            verdict = epipolar.tsed_pair(matches, move, (lens, lens), size)
            if verdict.powerful:
                tsed.append(float(verdict.consistent))
            own = epipolar.self_pose(true_matches(seed, i), matches, lens, size)
            if not isinstance(own, str):
                pose.append(own.score)
    assert len(tsed) >= 10 and len(pose) >= 8  # the truth decides enough pairs
    return float(np.mean(tsed)), float(np.mean(pose))


@pytest.mark.parametrize("name", LADDERS)
def test_the_ladder_is_ranked(name: str) -> None:
    fault, levels = LADDERS[name]
    for measure in np.array([scores(fault, level) for level in levels]).T:
        assert measure[0] > 0.95
        assert kendalltau(levels, measure).statistic <= -0.9, measure


@pytest.mark.parametrize("name", NO_SCENE)
def test_what_is_no_scene_is_called_inconsistent(name: str) -> None:
    assert max(scores(NO_SCENE[name], 0.0)) <= 0.05
