"""Which episodes are looked at: the worst, the median and the best at each headline metric, with what they scored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsim.reports import numbers
from worldsim.reports.curves import CurveFigure, episode_figures
from worldsim.reports.data import EpisodeRow, RunData, SummaryRow


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The episodes shown for one metric: (rank, episode id, value as text), worst first."""

    metric: str
    picks: tuple[tuple[str, str, str], ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class EpisodeScore:
    """One line of an episode's own table."""

    metric: str
    value: str
    unit: str
    floor: str
    ceiling: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Player:
    """An episode to look at. `video` and `poster` are files of the run, or None.

    Attributes:
        frames: T + 1; frame index f is horizon f - (context - 1), context counted as at least 1.
        marks: (name, frame, percent along the slider).
        context_percent: Where along the slider the context ends.
    """

    key: str
    episode: str
    scenario: str
    world_seed: int
    prompt: str
    video: Path | None
    poster: Path | None
    frames: int
    context: int
    fps: float
    size: tuple[int, ...]
    marks: tuple[tuple[str, int, float], ...]
    context_percent: float
    ended: str
    scores: tuple[EpisodeScore, ...]
    curves: tuple[CurveFigure, ...]


def episode_values(data: RunData, row: SummaryRow, source: str = "model") -> dict[str, float]:
    """Each episode's value of a metric, the mean over samples; unscored episodes are left out, not counted as 0."""
    gathered: dict[str, list[float]] = {}
    for score in data.scores:
        same_arm = source != "model" or score.arm == row.arm
        if score.metric == row.metric and score.source == source and same_arm and score.value is not None:
            gathered.setdefault(score.episode, []).append(score.value)
    return {episode: sum(values) / len(values) for episode, values in gathered.items()}


def choices(data: RunData, rows: Sequence[SummaryRow]) -> tuple[Choice, ...]:
    """Worst, median (the lower of two) and best episode at each metric that scored any."""
    out = []
    known = {row.episode for row in data.episodes if row.status == "done"}
    for row in rows:
        values = {k: v for k, v in episode_values(data, row).items() if k in known}
        order = sorted(values, key=lambda k: (values[k] if row.higher_is_better else -values[k], k))
        if not order:
            continue
        at = {"worst": 0, "median": (len(order) - 1) // 2, "best": len(order) - 1}
        names = list(at) if len(order) > 2 else ["worst", "best"] if len(order) == 2 else ["best"]
        same = len(order) > 1 and values[order[0]] == values[order[-1]]
        note = f"All {len(order)} episodes score the same; three of them are shown." if same else ""
        word = "equal" if same else "only" if len(order) == 1 else ""
        picks = tuple((word or name, order[at[name]], numbers.number(values[order[at[name]]])) for name in names)
        out.append(Choice(metric=row.metric, picks=picks, note=note))
    return tuple(out)


def episode_scores(data: RunData, rows: Sequence[SummaryRow], episode: str) -> tuple[EpisodeScore, ...]:
    """What one episode scored at each metric, with its own floor and ceiling where they were kept."""
    mine = data.scores_of.get(episode, ())
    out = []
    for row in rows:
        found: dict[str, list[Any]] = {}
        for score in mine:
            if score.metric == row.metric and (score.source != "model" or score.arm == row.arm):
                found.setdefault(score.source, []).append(score)
        if "model" not in found:
            continue
        ceiling = "ceiling_codec" if row.ceiling_name == "codec" else "ceiling"
        means: dict[str, float | None] = {}
        for source, scores in found.items():
            values = [s.value for s in scores if s.value is not None]
            means[source] = sum(values) / len(values) if values else None
        value = means["model"]
        out.append(
            EpisodeScore(
                metric=row.metric,
                value=numbers.number(value),
                unit=numbers.unit(row.unit),
                floor=numbers.number(means.get(f"null:{row.floor_name}")),
                ceiling=numbers.number(means.get(ceiling)),
                reason="" if value is not None else (found["model"][0].reason or "no reason was recorded"),
            )
        )
    return tuple(out)


def inside(run: Path, episode: str, name: str) -> Path | None:
    """The episode's file, or None if it is missing or its name would lead out of the run's folder."""
    root = (run / "episodes").resolve()
    path = (root / episode / name).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None


def player(data: RunData, row: EpisodeRow, key: int, metrics: Sequence[SummaryRow]) -> Player:
    """Everything shown of one episode."""
    frames = row.steps + 1
    last = max(frames - 1, 1)
    marks: list[tuple[str, int, float]] = []
    for mark in row.marks:
        frame = int(mark.get("frame", 0))
        marks.append((str(mark.get("name", "")), frame, 100 * frame / last))
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", row.episode).strip("-.")[:60]
    return Player(
        key=f"{key:03d}-{slug}",
        episode=row.episode,
        scenario=row.scenario,
        world_seed=row.world_seed,
        prompt=row.prompt,
        video=inside(data.path, row.episode, "pair.mp4"),
        poster=inside(data.path, row.episode, "poster.png"),
        frames=frames,
        context=row.context,
        fps=row.fps,
        size=row.size,
        marks=tuple(marks),
        context_percent=100 * min(max(row.context - 1, 0), last) / last,
        ended=f"{row.end_reason or 'ended'} at step {row.ended}" if row.ended is not None else "",
        scores=episode_scores(data, metrics, row.episode),
        curves=episode_figures(data, metrics, row.scenario, row.episode),
    )


def players(data: RunData, chosen: Sequence[Choice], metrics: Sequence[SummaryRow]) -> tuple[Player, ...]:
    """A player for each episode that some choice shows; those of the first choice come first, in its order."""
    rows: Mapping[str, EpisodeRow] = {row.episode: row for row in data.episodes}
    wanted = dict.fromkeys(episode for choice in chosen for _, episode, _ in choice.picks)
    return tuple(player(data, rows[episode], k, metrics) for k, episode in enumerate(wanted))
