"""`check_metric`: the contract of `worldsim.protocols.Metric`, clause by clause, on short episodes of a real truth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from worldsim import trees
from worldsim.checks.report import Broken, Clauses, Report, Skip
from worldsim.errors import UnsupportedError, WorldsimError
from worldsim.nulls import NULLS, NullFrames
from worldsim.protocols import EpisodeGroup, Guessing, TruthEnv
from worldsim.seeding import generator
from worldsim.starts import action_batch
from worldsim.types import Episode, Frames, MetricSpec, Observation, Rollout, Score, Trajectory

CONTEXT, STEPS, WORLDS = 4, 16, 3
_OF_EPISODES = frozenset({"branches", "pairs", "variants", "marks", "rewards", "rerun", "samples", "prompts", "worlds"})


def check_metric(
    metric: Any, *, env: Callable[[], TruthEnv] | None = None, episodes: Sequence[EpisodeGroup] | None = None
) -> Report:
    """Checks a metric against its contract.

    Args:
        metric: A metric, or its class.
        env: Factory of the truth whose short random walks are scored; default: the built-in world.
        episodes: Groups to score instead, for metrics that require branches, twins or marks; what they show as
            generated is replaced by the truth's own frames and by the nulls.

    Returns:
        A report; `report.ok`, `print(report)`, `report.raise_for_status()`.
    """
    instance = metric() if isinstance(metric, type) else metric
    spec = getattr(instance, "spec", None)
    title = f"metric {spec.name if isinstance(spec, MetricSpec) else type(instance).__name__}"
    return CLAUSES.check(Scale(instance, env, episodes), title)


class Scale:
    """A metric under test, and episodes whose right answer is known."""

    def __init__(
        self, metric: Any, env: Callable[[], TruthEnv] | None, episodes: Sequence[EpisodeGroup] | None
    ) -> None:
        self.metric, self._env, self._given = metric, env, episodes
        self._groups: list[EpisodeGroup] | None = None

    @property
    def spec(self) -> MetricSpec:
        """The metric's spec."""
        spec: MetricSpec = self.metric.spec
        return spec

    def groups(self) -> list[EpisodeGroup]:
        """Episodes without generated frames. Skips where the metric asks for what a random walk does not have."""
        if self._groups is None:
            if self._given is not None:
                self._groups = [tuple(replace(e, generated=()) for e in g) for g in self._given]
            elif special := sorted(self.spec.requires & _OF_EPISODES):
                raise Skip(f"it requires {', '.join(special)}: pass episodes=... that have them")
            else:
                self._groups = [(e,) for e in record_episodes(self._make())]
        return self._groups

    def _make(self) -> TruthEnv:
        if self._env is not None:
            return self._env()
        from worldsim.registry import ENVS

        env: TruthEnv = ENVS.get("blocks")()
        return env

    def shown(self, what: str) -> list[EpisodeGroup]:
        """The episodes with the truth ("perfect") or a null as what was generated."""
        groups = self.groups()
        others = [e.truth.frames for g in groups for e in g]
        out, k = [], 0
        for group in groups:
            episodes = []
            for e in group:
                k += 1
                if what == "perfect":
                    episodes.append(show(e, e.truth.frames, e.truth.rewards))
                else:
                    episodes.append(show(e, _null(what, e, others[k % len(others)])))
            out.append(tuple(episodes))
        return out

    def rows(self, groups: Sequence[EpisodeGroup]) -> list[Observation]:
        """All rows of these groups."""
        return [row for group in groups for row in self.metric.observe(group)]

    def score(self, what: str) -> Score:
        """The score of the truth or of a null."""
        score: Score = self.metric.reduce(self.rows(self.shown(what)))
        return score


CLAUSES: Clauses[Scale] = Clauses()
_clause = CLAUSES.clause


@_clause(
    "spec",
    expected="`spec` is a complete MetricSpec: family.metric, version, unit, ordered range, a null as floor, one "
    "sentence, source, undefined cases",
    remedy="fill in what is missing; see worldsim.types.MetricSpec",
)
def _spec(s: Scale) -> str:
    spec = getattr(s.metric, "spec", None)
    if not isinstance(spec, MetricSpec):
        raise Broken(f"spec is {type(spec).__name__}")
    wrong = [
        text
        for bad, text in (
            (spec.name.count(".") != 1, f"name {spec.name!r} is not family.metric"),
            (spec.version < 1, "version below 1"),
            (not spec.unit, 'no unit ("1" for a plain number)'),
            (not spec.range[0] < spec.range[1], f"range {spec.range}"),
            (spec.floor not in NULLS, f"floor {spec.floor!r} is not one of {', '.join(NULLS)}"),
            (not spec.summary, "no summary"),
            (not spec.source, "no source"),
            (not spec.undefined, "no undefined cases"),
            (bool(spec.sensitive & spec.invariant), "faults that are both sensitive and invariant"),
        )
        if bad
    ]
    if wrong:
        raise Broken("; ".join(wrong))
    return f"{spec.name} v{spec.version}, {'higher' if spec.higher_is_better else 'lower'} is better"


@_clause(
    "observe",
    expected="observe(group) gives rows that name metric, episode, scenario, world, arm and sample of what they saw",
    remedy="copy these fields from the episode and its rollout into every Observation",
    needs=("spec",),
)
def _observe(s: Scale) -> str:
    groups = s.shown("perfect")
    for group in groups:
        rows = s.metric.observe(group)
        if not isinstance(rows, list) or not rows or not all(isinstance(r, Observation) for r in rows):
            raise Broken(f"observe returned {type(rows).__name__}, empty or not of Observations")
        known = {(e.id, e.scenario, e.world_seed, r.arm, r.sample) for e in group for r in e.generated}
        for r in rows:
            if r.metric != s.spec.name or (r.episode, r.scenario, r.world, r.arm, r.sample) not in known:
                raise Broken(f"a row names {(r.metric, r.episode, r.scenario, r.world, r.arm, r.sample)}")
    marked = s.metric.observe(groups[0], source="floor:frozen")
    if any(r.source != "floor:frozen" for r in marked):
        raise Broken("rows do not carry the `source` that was passed", "pass source=source into every Observation")
    return f"{len(s.rows(groups))} rows of {len(groups)} worlds"


@_clause(
    "plain rows",
    expected="outcomes are finite floats, or None with a reason; details are plain values that JSON can hold",
    remedy="turn NaN and infinity into outcome=None, reason='why'; turn numpy values into float, int, str",
    needs=("observe",),
)
def _plain(s: Scale) -> None:
    for what in ("perfect", "frozen", "noise"):
        for r in s.rows(s.shown(what)):
            if r.outcome is None:
                if not r.reason:
                    raise Broken(f"{what}: a row without outcome has no reason")
            elif not isinstance(r.outcome, float) or not math.isfinite(r.outcome):
                raise Broken(f"{what}: outcome {r.outcome!r} of type {type(r.outcome).__name__}")
            json.dumps(dict(r.details), allow_nan=False)


@_clause(
    "the truth is best",
    expected="the truth's own frames score the best end of the range (where it is finite); of a difference that is "
    "better when lower, 0",
    remedy="check direction and range in the spec, and that frame t is compared with frame t",
    needs=("observe",),
)
def _best(s: Scale) -> str:
    score = s.score("perfect")
    if score.value is None:
        raise Broken(f"the truth's own frames are undefined: {score.reason}")
    low, high = s.spec.range
    # A range such as -1..1 whose lower end is better holds differences: the truth has none, and below 0 is luck.
    best = high if s.spec.higher_is_better else 0.0 if low < 0 < high and math.isfinite(low) else low
    if math.isfinite(best) and abs(score.value - best) > 1e-6 * max(1.0, abs(best)):
        raise Broken(f"{score.value:g} {s.spec.unit}, expected {best:g}")
    return f"{score.value:g} {s.spec.unit}"


@_clause(
    "the floor is worse",
    expected="the floor null, and the best constant answer where a metric tells it, score worse than the truth, so "
    "that skill has a scale",
    remedy="name as floor a null that the metric can tell from the truth; check the direction",
    needs=("the truth is best",),
)
def _floor(s: Scale) -> str:
    top, floor = s.score("perfect").value, s.score(s.spec.floor)
    chance = s.metric.chance(s.rows(s.shown("perfect"))) if isinstance(s.metric, Guessing) else None
    found = {name: v for name, v in ((s.spec.floor, floor.value), ("a constant answer", chance)) if v is not None}
    if not found or top is None:
        raise Skip(f"the floor is undefined here: {floor.reason}")
    for name, value in found.items():
        if (value >= top) if s.spec.higher_is_better else (value <= top):
            raise Broken(f"{name} scores {value:g}, the truth {top:g}")
    return ", ".join(f"{name}: {value:g} {s.spec.unit}" for name, value in found.items())


@_clause(
    "range",
    expected="every score, of the truth and of all nulls, lies in the declared range, or is None with a reason",
    remedy="widen the range, or bound the value",
    needs=("observe",),
)
def _range(s: Scale) -> None:
    for what in ("perfect", *NULLS):
        score = s.score(what)
        if not isinstance(score, Score):
            raise Broken(f"reduce returned {type(score).__name__}", "return worldsim.Score(value=..., unit=spec.unit)")
        if score.unit != s.spec.unit:
            raise Broken(f"{what}: the score's unit is {score.unit!r}, the spec's {s.spec.unit!r}")
        if score.value is None:
            if not score.reason:
                raise Broken(f"{what}: no value and no reason")
        elif not s.spec.range[0] <= score.value <= s.spec.range[1]:  # NaN fails too
            raise Broken(f"{what}: {score.value:g} lies outside {s.spec.range}")


@_clause(
    "nothing to score",
    expected="no rows, or a clip without a predicted frame, give value None with a reason, never 0",
    remedy="return Score(value=None, unit=spec.unit, reason='...') when no row has an outcome",
    needs=("observe",),
)
def _nothing(s: Scale) -> None:
    empty = s.metric.reduce([])
    if empty.value is not None or not empty.reason:
        raise Broken(f"reduce([]) gave value {empty.value}, reason {empty.reason!r}")
    short = [tuple(_cut(e) for e in g) for g in s.shown("perfect")]
    rows = s.rows(short)
    if any(r.outcome is not None for r in rows):
        raise Broken("a clip of context frames only got an outcome", "score frames C and later only")
    score = s.metric.reduce(rows)
    if score.value is not None or not score.reason:
        raise Broken(f"a clip of context frames only gave value {score.value}, reason {score.reason!r}")


@_clause(
    "missing truth",
    expected="without the truth's states the rows are undefined with a reason, or the metric does not need them",
    remedy="catch what is missing and give a row with outcome=None and the reason",
    needs=("observe",),
)
def _missing(s: Scale) -> str:
    blind = [tuple(replace(e, truth=replace(e.truth, states=None)) for e in g) for g in s.shown("perfect")]
    try:
        rows = s.rows(blind)
    except UnsupportedError:
        return "refused with UnsupportedError"
    if any(r.outcome is None and not r.reason for r in rows):
        raise Broken("rows without outcome have no reason")
    return f"{sum(r.outcome is not None for r in rows)} of {len(rows)} rows defined"


@_clause(
    "tiny frames",
    expected="frames of 4x4 pixels give undefined rows with a reason, a score, or an error that explains itself",
    remedy="declare the smallest size in `undefined`, and give rows with outcome=None below it",
    needs=("observe",),
)
def _tiny(s: Scale) -> None:
    try:
        rows = s.rows([tuple(_shrink(e) for e in g) for g in s.shown("perfect")])
    except WorldsimError:
        return
    if any(r.outcome is None and not r.reason for r in rows):
        raise Broken("rows without outcome have no reason")
    s.metric.reduce(rows)


@_clause(
    "reduce is free of order",
    expected="the order of the rows does not change the score",
    remedy="reduce over sets of rows grouped by world; sort before anything that depends on order",
    needs=("observe",),
)
def _order(s: Scale) -> None:
    rows = s.rows(s.shown(s.spec.floor))
    first = s.metric.reduce(rows).value
    rng = generator("check/order")
    for _ in range(3):
        value = s.metric.reduce([rows[i] for i in rng.permutation(len(rows))]).value
        if (value is None) != (first is None) or (value is not None and abs(value - first) > 1e-9 * max(1, abs(first))):
            raise Broken(f"{first} in one order, {value} in another")


@_clause(
    "repeatable",
    expected="observe twice gives equal rows and leaves the frames as they were",
    remedy="keep no state between calls, draw from seeds only, copy before writing",
    needs=("observe",),
)
def _repeatable(s: Scale) -> None:
    groups = s.shown("noise")
    kept = [np.array(e.truth.frames[:]) for g in groups for e in g]
    if s.rows(groups) != s.rows(groups):
        raise Broken("two calls gave different rows")
    if any(not np.array_equal(k, e.truth.frames[:]) for k, e in zip(kept, (e for g in groups for e in g), strict=True)):
        raise Broken("the truth's frames were written to")


def record_episodes(env: TruthEnv, worlds: int = WORLDS) -> list[Episode]:
    """Short random walks with states and nothing generated: CONTEXT frames, then STEPS steps."""
    out = []
    total = CONTEXT - 1 + STEPS
    for world in range(worlds):
        frames, states = [env.reset(seed=world)[0].copy()], [env.truth()]
        actions = action_batch(env.action_space, world, total)
        ended, reason = None, ""
        for t in range(total):
            if ended is None:
                frame, _, terminated, truncated, _ = env.step(trees.index(actions, t))
                if terminated or truncated:
                    ended, reason = t, "terminated" if terminated else "truncated"
                frames.append(frame.copy())
                states.append(env.truth())
            else:  # after its end a world is masked
                frames.append(frames[-1])
                states.append(states[-1])
        truth = Trajectory(
            frames=np.stack(frames),
            actions=actions,
            states=states,
            fps=float(env.metadata.get("render_fps", 20.0)),
            ended=ended,
            end_reason=reason,  # type: ignore[arg-type]
        )
        out.append(
            Episode(id=f"check-{world}", scenario="check", world_seed=world, context_length=CONTEXT, truth=truth)
        )
    env.close()
    return out


def show(episode: Episode, frames: Any, rewards: Any = None) -> Episode:
    """The episode with `frames`, and `rewards` if the simulator tells any, as its one rollout."""
    trajectory = Trajectory(frames=frames, actions=episode.truth.actions, rewards=rewards, fps=episode.truth.fps)
    return replace(episode, generated=(Rollout(trajectory=trajectory),))


def _null(name: str, e: Episode, other: Any) -> Frames:
    context = np.asarray(e.truth.frames[: max(e.context_length, 1)])
    return NullFrames(name, context, len(e.truth.frames), e.world_seed, other=other)[:]


def _cut(e: Episode) -> Episode:
    """The episode with its context frames only."""
    c = max(e.context_length, 1)

    def cut(t: Trajectory) -> Trajectory:
        return Trajectory(
            frames=t.frames[:c],
            actions=trees.index(t.actions, slice(0, c - 1)),
            states=None if t.states is None else list(t.states[:c]),
            fps=t.fps,
        )

    generated = tuple(replace(r, trajectory=cut(r.trajectory)) for r in e.generated)
    return replace(e, truth=cut(e.truth), generated=generated, branches=(), marks=(), rerun=None)


def _shrink(e: Episode) -> Episode:
    """The episode at 4x4 pixels, without states."""

    def shrink(t: Trajectory) -> Trajectory:
        return replace(t, frames=np.ascontiguousarray(t.frames[:][:, :4, :4]), states=None)

    generated = tuple(replace(r, trajectory=shrink(r.trajectory)) for r in e.generated)
    return replace(e, truth=shrink(e.truth), generated=generated, branches=(), rerun=None)
