"""The counterfactual hypothesis test: which of several rendered alternatives does a frame show?

A truth that can be restored, edited and drawn again gives one picture for each alternative ("the chest is there", "is
gone", "stands one metre on"). A frame is compared with all of them where they differ, and it is first laid on them
where they agree, so that neither a brighter picture nor a slightly wrong camera speaks for one of them.

1. `region`: core = pixels where any two alternatives differ by more than `TAU`; context = what lies further than
   `GROW` px from it. The gate: every pair of alternatives must differ in at least `MIN_PAIR` px, else `undefined`. The
   alternatives alone decide this, never the frame.
2. Shift and camera pose are the ones with the least difference on the context: common to all alternatives.
3. Frame and alternatives are low-passed (Gaussian, sigma 1 px); gain and offset of each channel of the frame are those
   with which its mean and spread on the context are the render's.
4. With d_i the RMS difference to alternative i and D_ij that between alternatives i and j, all where these two differ:
   lead_ij = (d_j^2 - d_i^2) / D_ij^2. It is linear in the frame (the matched filter): 1 = exactly i, -1 = exactly j,
   0 = half-way between. The lead of i is its least lead over any rival, that of a label the best of its members. Thus
   an alternative that changes many pixels elsewhere does not water down the others.
5. The label with the largest lead is the nearest. It is believed unless the frame is rejected: "lost the place" (the
   context does not fit) or "something else" (the region fits no alternative: see `Evidence`). Both are failures of
   whoever drew the frame, not undefined events.

Source: the design of violation-of-expectation tests (IntPhys, Riochet et al. 2018) with rendered alternatives. Measured
on this module: `benchmarks/cht_error.py`. Known limits: those of `alignment`; a pair that differs in few pixels is
decided by few pixels; a thing near the border is undefined where a candidate pose or a shift loses it; what a frame
shows outside the core, an object in a place that no alternative knows, is not looked at by the labels, only by `stray`;
several changed facts at once need their own alternatives. Measured in 32 arenas at 64x64: no true frame, clean or
degraded, gets a wrong label, 6 % are refused at 2 to 4 degrees of yaw; in a frame that is right elsewhere a ghost, a
smear, a blob, a patch or a kind that is no alternative is refused every time when clean (blurred: 9 % of wrong kinds
are called absent), but a thing moved by 3 m to a place that is no alternative is called absent in 19 % (blurred 31 %),
and `stray` flags few of these. A frame that is off by less than the poses and shifts allow (7 degrees) keeps the place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.metrics.functional.alignment import (
    REACH,
    SHIFT,
    STEP,
    Mask,
    Picture,
    align,
    expected_error,
    grey,
    in_view,
    local_zncc,
    low_pass,
    match,
    shifted,
)
from worldsim.types import Frames, check_frames

Float = NDArray[np.float64]
Outcome = Literal["decided", "lost the place", "something else", "undefined"]

TAU = 8  # of 255: a smaller difference of two renders is not counted as one
GROW = REACH  # px around the core that belong to neither side: the low-pass brings it there
MIN_PAIR = 12  # px in which every pair of alternatives must differ; below it one of ten is decided wrongly at 64x64
BORDER = SHIFT + REACH  # px at the edge of the frame that a shift can lose
SLIGHT = 0.3  # a smaller `fit` is no other thing, however exact the rest: wrong things of Blocks have 0.4 and more
MIN_CONTEXT = 0.1  # share of the frame in which all alternatives must agree
MIN_SPREAD = 2.0 / 255  # of the context's luminance: a flatter one can be laid anywhere


@dataclass(frozen=True, kw_only=True)
class Region:
    """Where alternatives differ.

    Attributes:
        core: (H, W) bool, where any two differ.
        context: (H, W) bool, further than `GROW` px from the core: where all agree.
        pair: Fewest pixels in which two alternatives of different labels differ, not counting the border that a shift
            can lose (`SHIFT` + `REACH` px).
    """

    core: Mask
    context: Mask
    pair: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a frame says about the alternatives, before anything is believed.

    Attributes:
        reason: Why the event is undefined, or None; then nothing else means anything.
        pair: As in `Region`, the least over the candidate poses.
        lead: (L,) float64, of each label, -1..1: 1 = exactly this one, 0 = half-way to the nearest rival.
        distance: (L,) float64, RMS difference in 0..1 over the whole core, of each label's best member.
        nearest: The label with the largest lead.
        second: The label that 7x7 ZNCC finds nearest: the second opinion.
        residual: Of the context, 0 = equal up to gain and offset, 2 = unrelated, 4 = its negative.
        fit: d_i / D_ij of the nearest and its worst rival: 0 = equal, 0.5 = as far as a ghost of half its strength.
        excess: RMS difference to the nearest on the core over the error expected there from what the context shows (see
            `alignment.expected_error`); 1 = as good as everywhere else in this frame.
        stray: The largest `excess` of any window of the core's size in the context: something where no alternative has
            anything.
        shift: (dx, dy) px by which the frame lies off; pose: index of the candidate pose.
    """

    reason: str | None = None
    pair: int = 0
    lead: Float
    distance: Float
    nearest: int = -1
    second: int = -1
    residual: float = np.nan
    fit: float = np.nan
    excess: float = np.nan
    stray: float = np.nan
    shift: tuple[float, float] = (0.0, 0.0)
    pose: int = 0


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What is believed; `worldsim.metrics.functional.calibration` measures it on the truth.

    Attributes:
        residual: Above it, "lost the place".
        lead: Below it, "something else": half-way between two alternatives.
        fit: Above it, "something else".
        excess: Above it, "something else", unless `fit` is below `SLIGHT`.
        stray: Above it, something is wrong outside the region.
        scale: Of the softmax over leads.
    """

    residual: float
    lead: float
    fit: float
    excess: float
    stray: float
    scale: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is believed of a frame.

    Attributes:
        outcome: "decided" or why not; "lost the place" and "something else" are failures, "undefined" is none.
        label: The label shown, or None unless decided.
        posterior: (L,) float64, sums to 1; NaN where undefined.
        elsewhere: Something is wrong outside the region, too. It changes no label, for a simulator may be wrong there
            about something else; with the label "absent" it says that "gone" could be "somewhere else".
        evidence: What it rests on.
    """

    outcome: Outcome
    label: int | None
    posterior: Float
    elsewhere: bool = False
    evidence: Evidence


def region(renders: Frames, labels: Sequence[int] | None = None, ignore: Mask | None = None) -> Region:
    """Where (m, H, W, 3) alternatives differ; pairs that share a label count for the core but not for the gate.

    `ignore` (H, W) bool belongs to neither side.
    """
    check_frames(renders, ndim=4, what="the renders")
    names = _labels(renders, labels)
    core = _core(renders)
    context = ~_grow(core)
    if ignore is not None:
        core, context = core & ~ignore, context & ~ignore
    inner = np.zeros_like(core)
    inner[BORDER:-BORDER, BORDER:-BORDER] = True
    pixels = _differ(renders[:, core & inner]).sum(axis=-1)
    return Region(core=core, context=context, pair=int(pixels[names[:, None] != names].min()))


def measure(
    frame: Frames,
    lattice: Frames,
    *,
    labels: Sequence[int] | None = None,
    shift: int = SHIFT,
    ignore: Mask | None = None,
) -> Evidence:
    """Compares a frame with its alternatives.

    Args:
        frame: (H, W, 3) uint8.
        lattice: (m, H, W, 3) uint8 renders of m alternatives, or (P, m, H, W, 3): the same for P candidate camera
            poses, the first of them the one that is meant. The gate holds at every pose: a thing that one of them
            does not show could not be decided by a frame that drifted there.
        labels: m whole numbers 0..L-1: which alternatives mean the same ("another kind", drawn as several). None = each
            its own.
        shift: Largest drift in px that is searched.
        ignore: (H, W) bool, pixels that say nothing, as of things that the question is not about; None = none.

    Raises:
        ShapeError: If shapes or dtypes do not agree, or there are fewer than two labels.
    """
    check_frames(frame, ndim=3, what="the frame")
    poses = lattice[None] if np.ndim(lattice) == 4 else lattice
    check_frames(poses, ndim=5, what="the lattice of renders")
    if poses.shape[2:] != frame.shape or len(poses) == 0:
        raise ShapeError(f"renders must be (m, {frame.shape}) or (P, m, {frame.shape}), got {np.shape(lattice)}")
    names = _labels(poses[0], labels)
    count = int(names.max()) + 1
    blank = np.full(count, np.nan)
    regions = [region(renders, labels, ignore) for renders in poses]
    pair = min(own.pair for own in regions)
    reason = _undefined(poses[0, 0], pair, regions[0].context)
    if reason is not None:
        return Evidence(reason=reason, pair=pair, lead=blank, distance=blank)

    laid = [
        (*align(frame, renders[0], own.context, shift), index)
        for index, (renders, own) in enumerate(zip(poses, regions, strict=True))
        if _undefined(renders[0], pair, own.context) is None
    ]
    residual, dx, dy, pose = min(laid)
    valid = in_view(frame.shape, dx, dy)
    context, core = regions[pose].context & valid, regions[pose].core & valid
    drawn = np.stack([low_pass(render) for render in poses[pose]])
    shown = match(shifted(low_pass(frame), dx, dy), drawn[0], context)

    errors = np.square(shown - drawn).mean(axis=-1)  # (m, H, W)
    rivals = _differ(poses[pose][:, core]) & (names[:, None] != names)[..., None]  # (m, m, K) pixels that count
    leads, ratios = _tournament(errors[:, core], drawn[:, core], rivals)
    best = [int(np.flatnonzero(names == n)[leads[names == n].argmax()]) for n in range(count)]
    lead = leads[best]
    nearest = int(lead.argmax())
    winner = best[nearest]
    errors = np.square(shown - drawn).mean(axis=-1)  # (m, H, W)
    expected = expected_error(errors[winner], drawn[winner], context)
    return Evidence(
        pair=pair,
        lead=lead,
        distance=np.sqrt(errors[best][:, core].mean(axis=-1, dtype=np.float64)),
        nearest=nearest,
        second=int(names[_second_opinion(shown, drawn, core, rivals)]),
        residual=residual,
        fit=float(ratios[winner]),
        excess=float(np.sqrt(errors[winner][core].mean() / expected[core].mean())),
        stray=_stray(errors[winner], expected, context, int(core.sum())),
        shift=(dx, dy),
        pose=pose,
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Verdict:
    """What is believed of the evidence. The gates come in order: undefined, the place, the thing."""
    if evidence.reason is not None:
        return Verdict(outcome="undefined", label=None, posterior=evidence.lead, evidence=evidence)
    p = posterior(evidence.lead, thresholds.scale)
    outcome: Outcome = "decided"
    if evidence.residual > thresholds.residual:
        outcome = "lost the place"
    elif (
        evidence.lead.max() < thresholds.lead
        or evidence.fit > thresholds.fit
        or (evidence.fit > SLIGHT and evidence.excess > thresholds.excess)
    ):
        outcome = "something else"
    label = evidence.nearest if outcome == "decided" else None
    elsewhere = evidence.stray > thresholds.stray
    return Verdict(outcome=outcome, label=label, posterior=p, elsewhere=elsewhere, evidence=evidence)


def posterior(lead: Float, scale: float) -> Float:
    """Softmax of (..., L) leads over the labels, at a scale in units of the lead."""
    z = lead / scale
    weight = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


# ----------------------------------------------------------------------------------------------------------- private


def _labels(renders: Frames, labels: Sequence[int] | None) -> NDArray[np.int64]:
    names = np.arange(len(renders)) if labels is None else np.asarray(labels, np.int64)
    if names.shape != (len(renders),) or len(names) < 2 or set(names.tolist()) != set(range(int(names.max()) + 1)):
        raise ShapeError(f"expected labels 0..L-1 for {len(renders)} renders, each at least once, got {labels}")
    if names.max() < 1:
        raise ShapeError("at least two different alternatives are needed, got one label")
    return names


def _grow(mask: Mask) -> Mask:
    side = 2 * GROW + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def _core(renders: Frames) -> Mask:
    return np.asarray((renders.max(axis=0) - renders.min(axis=0)).max(axis=-1) > TAU)


def _differ(pixels: Frames) -> Mask:
    """(m, K, 3) pixels of m renders -> (m, m, K): where each pair differs."""
    wide = pixels.astype(np.int16)
    return np.stack([np.abs(wide - one).max(axis=-1) > TAU for one in wide])


def _undefined(render: Frames, pair: int, context: Mask) -> str | None:
    if pair < MIN_PAIR:
        return f"two alternatives differ in fewer than {MIN_PAIR} px"
    if context.mean() < MIN_CONTEXT:
        return f"the alternatives agree in less than {MIN_CONTEXT:.0%} of the frame"
    if grey(low_pass(render))[context].std() < MIN_SPREAD:
        return "nothing to hold on to where the alternatives agree"
    return None


def _tournament(errors: Picture, drawn: Picture, rivals: Mask) -> tuple[Float, Float]:
    """Least lead and largest fit ratio (m,) of each alternative over its rivals.

    Args:
        errors: (m, K) squared error to each at the pixels of the core.
        drawn: (m, K, 3) the renders there.
        rivals: (m, m, K) where a pair counts.
    """
    m = len(drawn)
    leads, ratios = np.ones(m), np.zeros(m)
    for i in range(m):
        for j in np.flatnonzero(rivals[i].any(axis=-1)):
            where = rivals[i, j]
            gap = max(float(np.square(drawn[i, where] - drawn[j, where]).mean(dtype=np.float64)), STEP**2)
            own, other = (float(errors[k, where].mean(dtype=np.float64)) for k in (i, j))
            leads[i] = min(leads[i], float(np.clip((other - own) / gap, -1.0, 1.0)))
            ratios[i] = max(ratios[i], (own / gap) ** 0.5)
    return leads, ratios


def _second_opinion(shown: Picture, drawn: Picture, core: Mask, rivals: Mask) -> int:
    """The alternative whose 7x7 ZNCC of luminance with the frame beats every rival's where the two differ."""
    scores = np.stack([local_zncc(grey(shown), grey(x))[core] for x in drawn])  # (m, K)
    count = rivals.sum(axis=-1)
    gap = np.einsum("ijk,ijk->ij", scores[:, None] - scores, rivals) / np.maximum(count, 1)
    return int(np.where(count > 0, gap, np.inf).min(axis=1).argmax())


def _stray(error: Picture, expected: Picture, context: Mask, pixels: int) -> float:
    """The largest excess in any square window of about `pixels` px that lies mostly in the context."""
    side = int(np.clip(round(pixels**0.5), 3, min(context.shape) // 2))
    where = context.astype(np.float32)
    share = cv2.blur(where, (side, side), borderType=cv2.BORDER_CONSTANT)
    ratio = cv2.blur(error * where, (side, side), borderType=cv2.BORDER_CONSTANT) / np.maximum(
        cv2.blur(expected * where, (side, side), borderType=cv2.BORDER_CONSTANT), STEP**2 * 1e-3
    )
    return float(np.sqrt(np.where(share > 0.5, ratio, 0.0).max()))
