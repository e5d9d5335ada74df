"""Action control by counterfactuals: one world, several actions, the same noise. Is each future that of its action?

A group is the variants of one world, one for each action, with the marks "departure" (the last shared frame) and
"return" (the frame after the held action). They are judged half-way and at the return; see `control_panels`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from worldsim.metrics.base import row_of
from worldsim.metrics.control_panels import COMMON, Panel, panels
from worldsim.metrics.functional import branching
from worldsim.protocols import EpisodeGroup
from worldsim.types import MetricSpec, Observation, Score

_SENSITIVE = frozenset({"lag", "drop", "gain", "freeze", "ignore-camera", "pan-by-itself", "replay-context"})
_INVARIANT = frozenset(
    {"tint", "vanish", "teleport", "swap", "edit-ignored", "edit-reverts", "edit-wrong-cell", "standstill"}
)

_NEEDS = frozenset({"world_from_camera", "intrinsics", "marks", "variants"})


class _Branching:
    """Base: one world's panels to rows, rows to the worst kind of each world. Subclasses give `spec` and `_judge`."""

    spec: ClassVar[MetricSpec]

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """Rows of one world, its variants together; what is left out is a row with its reason.

        Raises:
            ShapeError: If a rollout's frames differ in shape from the truth's.
        """
        found, left = panels(group)
        rows = [row_of(self.spec.name, *member, source, reason=reason) for member, reason in left]
        for own in found:
            rows += self._judge(own, source)
        return rows

    def _judge(self, own: Sequence[Panel], source: str) -> Iterator[Observation]:
        raise NotImplementedError(f"{type(self).__name__} needs a method _judge(panels, source) that yields rows")

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """Weighted means of each kind of action within a world, the worst kind of each world, then over worlds.

        Who shows the same whatever is pressed has at most one action right, so that one kind of it is wrong.
        """
        cells: dict[int, dict[str, list[float]]] = {}
        for r in sorted(rows, key=lambda r: (r.world, r.episode, r.arm, r.sample, r.event)):  # sums depend on order
            if r.outcome is not None:
                at = cells.setdefault(r.world, {}).setdefault(str(r.details["kind"]), [0.0, 0.0])
                at[0], at[1] = at[0] + r.outcome * r.weight, at[1] + r.weight
        if not cells:
            reasons = sorted({r.reason for r in rows if r.reason})
            return Score(value=None, unit=self.spec.unit, reason="; ".join(reasons) or "no observations")
        means = [{kind: a / b for kind, (a, b) in own.items()} for own in cells.values()]
        worst = min if self.spec.higher_is_better else max
        value = float(np.mean([worst(own.values()) for own in means]))
        kinds = {
            k: float(np.mean([own[k] for own in means if k in own])) for k in sorted({k for m in means for k in m})
        }
        return Score(value=value, unit=self.spec.unit, details={"kinds": kinds})


class Identification(_Branching):
    """Is the true future that is nearest to a generated one that of the same action?"""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="control.branch",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=True,
        floor="frozen",
        requires=_NEEDS,
        undefined=(*COMMON, "all actions have the same effect"),
        sensitive=_SENSITIVE | {"flip"},
        invariant=_INVARIANT,
        source="top-1 identification among the true futures of K actions; chance 1/K in each kind of action",
        summary="Does each action lead to its own future?",
        power=0.05,
    )

    def _judge(self, own: Sequence[Panel], source: str) -> Iterator[Observation]:
        """One row a variant: the share of judged frames in which it is identified; equal weight to classes."""
        judged = [panel for panel in own if panel.groups.max() > 0]
        last = own[-1]
        right = np.zeros(len(last.members))
        taken: list[list[str]] = [[] for _ in last.members]
        for panel in judged:
            rms, _ = branching.distances(panel.shown, panel.truth)
            found = branching.nearest(rms, panel.groups)
            right += found == panel.groups[panel.index]
            for names, c in zip(taken, found, strict=True):
                names.append("/".join(n for n, g in zip(panel.names, panel.groups, strict=True) if g == c))
        sizes = np.bincount(last.groups)
        for i, (member, k) in enumerate(zip(last.members, last.index, strict=True)):
            if not judged:
                yield row_of(self.spec.name, *member, source, reason="all actions have the same effect")
                continue
            yield row_of(
                self.spec.name,
                *member,
                source,
                outcome=float(right[i] / len(judged)),
                weight=1.0 / float(sizes[last.groups[k]]),
                details={
                    "kind": last.kinds[k],
                    "taken_for": taken[i],
                    "actions": len(last.names),
                    "classes": len(sizes),
                },
            )


class _Difference(_Branching):
    """Base of what compares differences of two futures at the return, low-passed by 2 px."""

    def _judge(self, own: Sequence[Panel], source: str) -> Iterator[Observation]:
        """One row a pair of actions of one kind whose true futures differ; instances are left out."""
        panel = own[-1]
        pairs = branching.pairs(panel.groups[panel.index], [panel.kinds[k] for k in panel.index])
        if not pairs:
            yield row_of(self.spec.name, *panel.members[0], source, reason="all actions have the same effect")
            return
        truth = branching.low_passed(panel.truth[panel.index], branching.SIGMA["difference"])
        shown = branching.toned(branching.low_passed(panel.shown, branching.SIGMA["difference"]), truth)
        static = branching.off_instances(panel.things[panel.index])
        for i, j, kind in pairs:
            kept = branching.kept(static[i], static[j])
            yield row_of(
                self.spec.name,
                *panel.members[i],
                source,
                event=f"{panel.members[i][0].variant}|{panel.members[j][0].variant}",
                outcome=self.compare(
                    branching.difference(shown[i], shown[j], kept), branching.difference(truth[i], truth[j], kept)
                ),
                details={"kind": kind},
            )

    def compare(self, shown: branching.Float, true: branching.Float) -> float:
        """From the shown and the true difference (n,) to a number."""
        raise NotImplementedError(f"{type(self).__name__} needs a method compare(shown, true) -> float")


class Direction(_Difference):
    """Do two actions make the difference that they make in the truth?"""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="control.direction",
        version=1,
        unit="1",
        range=(-1.0, 1.0),
        higher_is_better=True,
        floor="frozen",
        requires=_NEEDS,
        undefined=(*COMMON, "all actions have the same effect"),
        sensitive=_SENSITIVE | {"flip"},
        invariant=_INVARIANT,
        source="cosine of gen_a - gen_b and truth_a - truth_b, low-passed by 2 px",
        summary="Do two actions make the difference that they should?",
        headline=False,
        power=0.05,
    )

    def compare(self, shown: branching.Float, true: branching.Float) -> float:
        """See `functional.branching.direction`."""
        return branching.direction(shown, true)


class Gain(_Difference):
    """Do two actions make as large a difference as in the truth?"""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="control.gain",
        version=1,
        unit="log2",
        range=(0.0, 4.0),
        higher_is_better=False,
        floor="frozen",
        requires=_NEEDS,
        undefined=(*COMMON, "all actions have the same effect"),
        sensitive=frozenset({"gain", "drop", "freeze", "ignore-camera", "pan-by-itself", "replay-context"}),
        invariant=_INVARIANT,
        source="|log2(||gen_a - gen_b|| / ||truth_a - truth_b||)|, low-passed by 2 px, at most 4",
        summary="Do two actions make as large a difference as they should?",
        headline=False,
        power=0.1,
    )

    def compare(self, shown: branching.Float, true: branching.Float) -> float:
        """See `functional.branching.gain`."""
        return branching.gain(shown, true)


class Leak(_Branching):
    """How much of what the actions change has no cause?"""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="control.leak",
        version=1,
        unit="1",
        range=(0.0, 1.0),
        higher_is_better=False,
        floor="frozen",
        requires=_NEEDS,
        undefined=(*COMMON, "all actions have the same effect", "no two actions with the same future"),
        sensitive=frozenset({"freeze", "pan-by-itself", "replay-context"}),
        invariant=_INVARIANT,
        source="||gen_a - gen_a'|| where truth_a = truth_a', over the mean ||gen_a - gen_b|| where they differ",
        summary="How much of what actions change is changed by actions without effect, too?",
        headline=False,
        power=0.05,
    )

    def _judge(self, own: Sequence[Panel], source: str) -> Iterator[Observation]:
        """One row a pair of actions whose true futures are the same."""
        panel = own[-1]
        truth = branching.low_passed(panel.truth[panel.index], branching.SIGMA["difference"])
        shown = branching.low_passed(panel.shown, branching.SIGMA["difference"])
        groups = panel.groups[panel.index]
        pairs = [(j, i) for i in range(len(truth)) for j in range(i)]
        same = [(i, j) for i, j in pairs if branching.rms(branching.difference(truth[i], truth[j])) <= branching.SAME]
        caused = [branching.rms(branching.difference(shown[i], shown[j])) for i, j in pairs if groups[i] != groups[j]]
        if not same or not caused:
            reason = "no two actions with the same future" if caused else "all actions have the same effect"
            yield row_of(self.spec.name, *panel.members[0], source, reason=reason)
            return
        for i, j in same:
            yield row_of(
                self.spec.name,
                *panel.members[i],
                source,
                event=f"{panel.members[i][0].variant}|{panel.members[j][0].variant}",
                outcome=branching.leak(branching.rms(branching.difference(shown[i], shown[j])), float(np.mean(caused))),
                details={"kind": panel.kinds[panel.index[i]]},
            )
