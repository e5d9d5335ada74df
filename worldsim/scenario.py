"""A question put to a simulator, as data: where alternatives are drawn, what is balanced, which views are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worldsim.errors import ShapeError


@dataclass(frozen=True, kw_only=True)
class BranchPoint:
    """A place in a scenario where alternatives are drawn.

    Attributes:
        name: Unique in the scenario.
        at: Mark at which the fact is changed (the truth's snapshot is kept there).
        judge: Marks at which the alternatives are drawn and compared.
        alternatives: Name -> recipe of the change, as plain values: {"edit": "RemoveObject", "target": "focus", ...};
            an empty recipe is the truth itself.
        window: Frames drawn from each judged mark on.
        balance: Alternatives that take turns, from world to world, in being made the truth at the mark `at`, so that
            always answering the same is worth no more than chance. Empty = the truth stays as it is.
        tell: The prompt says in words which one (its `say`); needs `balance`.
        yaws: Degrees by which the camera of the candidate poses is turned, beside the meant one.
    """

    name: str
    at: str
    judge: tuple[str, ...]
    alternatives: Mapping[str, Mapping[str, Any]]
    window: int = 5
    balance: tuple[str, ...] = ()
    tell: bool = False
    yaws: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ViewPoint:
    """Views of other places that are drawn, so that it can be asked which place a frame shows.

    Attributes:
        name: Unique in the scenario, among branch points too.
        judge: Marks at which the question is asked.
        places: Marks at whose camera poses the views are drawn.
        turns: Views from each place, 360 / turns degrees apart, the pose itself first. A view within 10 degrees and
            0.5 m of one that was drawn already is left out.
    """

    name: str
    judge: tuple[str, ...]
    places: tuple[str, ...]
    turns: int = 8


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A question put to a simulator: an environment, a script, a horizon, and what it probes.

    Attributes:
        name: Unique in its set.
        env: Environment id; env_kwargs its arguments.
        controller: Name of the controller; controller_kwargs its arguments.
        context: C, frames shown before prediction.
        horizon: Frames to predict.
        prompts: (step, text) pairs; an empty text means "write the caption of the first frame".
        branches: Where alternatives are drawn.
        sham: A second episode with the same motion but without the edit is recorded as its twin.
        variants: Name -> controller arguments that differ: each world is recorded once for each of them, from the same
            start and with the same seeds. Empty = once ("main").
        views: Views of other places, for the question which place a frame shows.
        probes: Metric families it is made for.
        summary: One sentence.
    """

    name: str
    env: str
    controller: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    controller_kwargs: Mapping[str, Any] = field(default_factory=dict)
    context: int = 8
    horizon: int = 32
    prompts: tuple[tuple[int, str], ...] = ()
    branches: tuple[BranchPoint, ...] = ()
    sham: bool = False
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    views: tuple[ViewPoint, ...] = ()
    probes: frozenset[str] = frozenset()
    summary: str = ""

    @property
    def variant_names(self) -> tuple[str, ...]:
        """How often, and under which names, each world is recorded."""
        return ("main", "sham") if self.sham else tuple(self.variants) or ("main",)

    @property
    def balanced(self) -> BranchPoint | None:
        """The branch point whose alternatives take turns in being the truth, or None."""
        return next((point for point in self.branches if point.balance), None)

    @property
    def kept_marks(self) -> frozenset[str]:
        """Marks at which the truth's snapshot is kept."""
        return frozenset([p.at for p in self.branches] + [mark for v in self.views for mark in v.judge])

    def __post_init__(self) -> None:
        if self.sham and self.variants:
            raise ShapeError(f"scenario {self.name}: give either sham or variants, for a sham is a variant itself")
        if sum(bool(point.balance) for point in self.branches) > 1 or (self.sham and self.balanced):
            raise ShapeError(
                f"scenario {self.name}: one branch point at most can balance the truth, and none beside a sham twin, "
                "which balances it already"
            )
        for point in self.branches:
            if strangers := set(point.balance) - set(point.alternatives):
                raise ShapeError(
                    f"scenario {self.name}: branch point {point.name!r} balances {sorted(strangers)}, which are not "
                    f"among its alternatives {list(point.alternatives)}"
                )
        if any(point.tell and not point.balance for point in self.branches):
            raise ShapeError(f"scenario {self.name}: `tell` says which alternative is the truth, so it needs `balance`")
        if self.horizon < 1 or self.context < 0:
            raise ShapeError(
                f"scenario {self.name}: horizon must be >= 1 and context >= 0, got {self.horizon} and {self.context}"
            )
