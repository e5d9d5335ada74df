"""Distribution: does the set of what a simulator shows look and move like the set of what is true?

A score compares the set of shown clips with the set of true ones, across different worlds only
(`functional.crossworld`). It asks whether a clip could have come from the truth, not whether it is the right one. What
each number means: docs/metrics/distribution.md.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from worldsim.metrics import clip_features as clips
from worldsim.metrics.functional import crossworld, frechet
from worldsim.metrics.sets import OTHER, UNDEFINED, Details, SetMetric, Sets
from worldsim.seeding import generator
from worldsim.types import Frames, MetricSpec

Float = NDArray[np.float64]

NEIGHBOURS = 5
FRECHET_SIZE = 8  # numbers: as many clips in a half give a covariance
SPLITS = 2  # of the worlds into halves, each used both ways

# Nulls that a question cannot tell from the truth are no floor of it.
_TRUE_LOOK = OTHER | {
    "null:frozen": "true pictures look true: no floor",
    "null:copy-context": "true pictures look true: no floor",
}
_DIVERSE = _TRUE_LOOK | {"null:context-mean": "the contexts of different worlds differ: no floor"}
_INVARIANT = frozenset({"vanish", "teleport", "swap", "optimistic-reward"})
_PICTURE = frozenset({"blur", "noise", "tint", "jpeg"})


def look_kernel(x: Float, y: Float) -> Float:
    """(n, 32), (m, 32) -> (n, m): mean of two Gaussian kernels of width 1, of appearance and of palette."""
    return _gaussians(x, y, clips.SIZE)


def move_kernel(x: Float, y: Float) -> Float:
    """(n, 28), (m, 28) -> (n, m): mean of two Gaussian kernels of width 1, of motion and of its heading."""
    return _gaussians(x, y, clips.SIZE)


def joint_kernel(x: Float, y: Float) -> Float:
    """(n, 60), (m, 60) -> (n, m): the product of both, which sees which look goes with which motion."""
    n = clips.LOOK
    return look_kernel(x[:, :n], y[:, :n]) * move_kernel(x[:, n:], y[:, n:])


def _gaussians(x: Float, y: Float, at: int) -> Float:
    parts = (slice(0, at), slice(at, None))
    return np.asarray(np.mean([np.exp(-0.5 * cdist(x[:, p], y[:, p], "sqeuclidean")) for p in parts], axis=0))


class _MMD(SetMetric):
    """Unbiased squared maximum mean discrepancy over pairs of different worlds."""

    all_samples = True

    def kernel(self, x: Float, y: Float) -> Float:
        """(n, d), (m, d) -> (n, m)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method kernel(x, y) -> (n, m)")

    def tables(self, x: Float, y: Float, worlds: NDArray[np.intp]) -> dict[str, Float]:
        """`crossworld.differences`, averaged over the clips of each world."""
        k_xx, k_xy, k_yy = self.kernel(x, x), self.kernel(x, y), self.kernel(y, y)
        return {"gram": crossworld.world_means(crossworld.differences(k_xx, k_xy, k_yy), worlds)}

    def score(self, sets: Sets, counts: Float) -> tuple[float | str, Details]:
        """MMD^2; in the details, p of the exchange of truth and prediction, unless the worlds were resampled."""
        gram = sets.tables["gram"]
        value = crossworld.pair_mean(gram, counts)
        resampled = bool((counts != 1).any())
        return value, {} if resampled else {"p": crossworld.swap_test(gram, seed=0)}


class MMDAppearance(_MMD):
    """MMD^2 of how clips look."""

    no_floor = _TRUE_LOOK
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="distribution.mmd_appearance",
        version=1,
        unit="1",
        range=(-math.inf, math.inf),
        higher_is_better=False,
        floor="context-mean",
        requires=frozenset({"worlds"}),
        undefined=(*UNDEFINED, "the null shows true pictures"),
        sensitive=_PICTURE | {"mode-collapse", "colour-fade", "fade-to-mean"},
        invariant=_INVARIANT | {"frame-shuffle"},
        source="Gretton et al. 2012, lemma 6 (pairs of different worlds), Gaussian kernels of weight-free features",
        summary="Do the pictures look like those of the truth?",
        power=0.02,
    )

    def describe(self, clip: Frames) -> Float:
        """See `clip_features.look`."""
        return clips.look(clip)

    def kernel(self, x: Float, y: Float) -> Float:
        """See `look_kernel`."""
        return look_kernel(x, y)


class MMDMotion(_MMD):
    """MMD^2 of how clips move."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="distribution.mmd_motion",
        version=1,
        unit="1",
        range=(-math.inf, math.inf),
        higher_is_better=False,
        floor="copy-context",
        requires=frozenset({"worlds"}),
        undefined=(*UNDEFINED, "the null shows another world's truth"),
        sensitive=frozenset({"frame-shuffle", "freeze", "pose-jitter", "gain", "pan-by-itself"}),
        invariant=_INVARIANT,
        source="Gretton et al. 2012, lemma 6 (pairs of different worlds), Gaussian kernels of optical flow statistics",
        summary="Do the pictures move like those of the truth?",
        power=0.02,
    )

    def describe(self, clip: Frames) -> Float:
        """See `clip_features.move`."""
        return clips.move(clip)

    def kernel(self, x: Float, y: Float) -> Float:
        """See `move_kernel`."""
        return move_kernel(x, y)


class MMDJoint(_MMD):
    """MMD^2 of how clips look and move at once."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="distribution.mmd_joint",
        version=1,
        unit="1",
        range=(-math.inf, math.inf),
        higher_is_better=False,
        floor="copy-context",
        requires=frozenset({"worlds"}),
        undefined=(*UNDEFINED, "the null shows another world's truth"),
        sensitive=_PICTURE | {"mode-collapse", "frame-shuffle", "freeze", "pose-jitter", "gain", "pan-by-itself"},
        invariant=_INVARIANT,
        source="Gretton et al. 2012, lemma 6 (pairs of different worlds), product of the kernels of look and motion",
        summary="Do look and motion go together as in the truth?",
        headline=False,
        power=0.02,
    )

    def describe(self, clip: Frames) -> Float:
        """`clip_features.look` and `clip_features.move` in a row."""
        return np.concatenate([clips.look(clip), clips.move(clip)])

    def kernel(self, x: Float, y: Float) -> Float:
        """See `joint_kernel`."""
        return joint_kernel(x, y)


class Frechet(SetMetric):
    """Frechet distance of look and motion between disjoint halves of the worlds, less what halves of one kind give."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="distribution.frechet",
        version=1,
        unit="1",
        range=(-math.inf, math.inf),
        higher_is_better=False,
        floor="copy-context",
        requires=frozenset({"worlds"}),
        undefined=(*UNDEFINED, f"fewer than {FRECHET_SIZE} clips in a half", "the null shows another world's truth"),
        sensitive=_PICTURE | {"frame-shuffle", "freeze", "pose-jitter", "gain", "pan-by-itself"},
        invariant=_INVARIANT,
        source="Dowson and Landau 1982, eq. 4, trace as a nuclear norm; F(x, y') - F(x, x') / 2 - F(y, y') / 2",
        summary="Do mean and covariance of look and motion agree with the truth's?",
        headline=False,
        power=0.2,
    )

    def describe(self, clip: Frames) -> Float:
        """Look and motion, projected to 8 numbers by a fixed random matrix."""
        return np.asarray(np.round(np.concatenate([clips.look(clip), clips.move(clip)]) @ _PROJECT, clips.DIGITS) + 0.0)

    def tables(self, x: Float, y: Float, worlds: NDArray[np.intp]) -> dict[str, Float]:
        """None: moments of a half are as quick as a lookup."""
        return {}

    def score(self, sets: Sets, counts: Float) -> tuple[float | str, Details]:
        """Between truth and prediction, less within the truth and within the prediction; mean over splits.

        All three have the same n, so that the bias of the distance, of order 1/n, cancels; in a resample too, where
        worlds that were drawn twice make it larger.
        """
        of_world = [np.flatnonzero(sets.worlds == w) for w in range(len(counts))]
        values = []
        for split in range(SPLITS):
            a, b = (
                np.concatenate([of_world[w] for w in half]) for half in crossworld.halves(sets.seeds, counts, split)
            )
            n = min(len(a), len(b))
            if n < FRECHET_SIZE:
                return f"fewer than {FRECHET_SIZE} clips in a half", {}
            stack = np.stack([sets.x[a[:n]], sets.x[b[:n]], sets.y[a[:n]], sets.y[b[:n]]])
            values.append(frechet.frechet_pairs(stack, ((0, 3), (1, 2), (0, 1), (2, 3))))
        forth, back, truth, shown = (float(v) for v in np.mean(values, axis=0))
        between = 0.5 * (forth + back)
        value = between - 0.5 * (truth + shown)
        known = abs(value) > 1e-9 * (between + truth + shown)  # below it only the order of summation speaks
        return value if known else 0.0, {"between": between, "truth": truth, "shown": shown}


_PROJECT = generator("clips", "frechet").normal(size=(clips.LOOK + clips.MOVE, FRECHET_SIZE)) / np.sqrt(FRECHET_SIZE)


class Coverage(SetMetric):
    """Share of true clips that have a shown clip of another world among their nearest, by palette."""

    no_floor = _TRUE_LOOK
    which: ClassVar[str] = "coverage"
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="distribution.coverage",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="context-mean",
        requires=frozenset({"worlds"}),
        undefined=(*UNDEFINED, f"fewer than {NEIGHBOURS} clips in other worlds", "the null shows true pictures"),
        sensitive=_PICTURE | {"mode-collapse", "colour-fade", "fade-to-mean"},
        invariant=_INVARIANT | {"frame-shuffle"},
        source="Naeem et al. 2020, eq. 4, k = 5, palettes, neighbours of other worlds only",
        summary="Is everything shown that there is to see?",
        power=0.1,
    )

    def describe(self, clip: Frames) -> Float:
        """See `clip_features.palette`: it tells worlds apart best, and hardly sees when in a walk a clip was taken."""
        return clips.palette(clip)

    def tables(self, x: Float, y: Float, worlds: NDArray[np.intp]) -> dict[str, Float]:
        """Distances."""
        return {"xx": cdist(x, x), "xy": cdist(x, y), "yy": cdist(y, y)}

    def score(self, sets: Sets, counts: Float) -> tuple[float | str, Details]:
        """Coverage, or precision; both in the details, with the share of clips that another world shows as well."""
        apart = sets.worlds[:, None] != sets.worlds[None, :]
        if int(apart.sum(axis=1).min()) < NEIGHBOURS:
            return f"fewer than {NEIGHBOURS} clips in other worlds", {}
        xx, xy, yy = (sets.tables[name] for name in ("xx", "xy", "yy"))
        coverage, precision = crossworld.coverage(xx, xy, sets.worlds, counts, NEIGHBOURS)
        typical = crossworld.coverage(xx, xx, sets.worlds, counts, NEIGHBOURS)[1]  # the truth's precision by itself
        if not typical > 0:
            return "no true clip is among the nearest of another", {}
        twice = float(((yy == 0) & apart).any(axis=1).mean())
        details = {"coverage": coverage, "precision": precision / typical, "duplicates": twice}
        # Nothing is better than true: to be more typical than the truth, as the mean of a context is, is no merit.
        return min(details[self.which], 1.0), details


class Precision(Coverage):
    """Share of shown clips that lie among the nearest of a true clip of another world, against that of true clips."""

    which = "precision"
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="distribution.precision",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="context-mean",
        requires=frozenset({"worlds"}),
        undefined=(*UNDEFINED, f"fewer than {NEIGHBOURS} clips in other worlds", "the null shows true pictures"),
        invariant=_INVARIANT,
        source="Kynkaanniemi et al. 2019, eq. 2, k = 5, palettes of other worlds only; over that of the truth",
        summary="Could what is shown be true?",
        headline=False,
        power=0.1,
    )


class Diversity(SetMetric):
    """How much the palettes of worlds differ, against how much those of the truth differ."""

    no_floor = _DIVERSE
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="distribution.diversity",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="noise",
        requires=frozenset({"worlds"}),
        undefined=(*UNDEFINED, "one clip a world", "the true worlds do not differ", "the null shows true contexts"),
        sensitive=frozenset({"mode-collapse", "colour-fade", "noise"}),
        invariant=frozenset({"optimistic-reward"}),
        source="min(r, 1/r), r = ratio of the variances between worlds, each less the variance within worlds",
        summary="Do different worlds look as different as they should?",
        headline=False,
        power=0.2,
    )

    def describe(self, clip: Frames) -> Float:
        """See `clip_features.palette`."""
        return clips.palette(clip)

    def tables(self, x: Float, y: Float, worlds: NDArray[np.intp]) -> dict[str, Float]:
        """Squared distances."""
        return {"xx": cdist(x, x, "sqeuclidean"), "yy": cdist(y, y, "sqeuclidean")}

    def score(self, sets: Sets, counts: Float) -> tuple[float | str, Details]:
        """The smaller of the ratio and its inverse: too little and too much are both wrong."""
        true, shown = (crossworld.between_variance(sets.tables[n], sets.worlds, counts) for n in ("xx", "yy"))
        if math.isnan(true) or math.isnan(shown):
            return "one clip a world", {}
        if not true > 0:
            return "the true worlds do not differ", {}
        ratio = max(shown, 0.0) / true
        return min(ratio, 1.0 / ratio) if ratio > 0 else 0.0, {"ratio": ratio}
