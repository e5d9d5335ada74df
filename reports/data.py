"""Reads a run folder (schema 1) into frozen rows. Plain JSON only: a report needs neither the engine nor its store.

A run may have been killed at any moment: files may be missing and the last line of a table torn. What is there is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

from worldsim.errors import StoreError

SCHEMA = 1
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One metric over one scenario ("*" = all). None means: could not be measured."""

    metric: str = ""
    version: str | int = ""
    family: str = ""
    scenario: str = "*"
    arm: str = "free"
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    n_worlds: int = 0
    undefined: int = 0
    coverage: float | None = None
    pessimistic: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    ceiling_codec: float | None = None
    skill: float | None = None
    skill_low: float | None = None
    skill_high: float | None = None
    unit: str = ""
    higher_is_better: bool = True
    certified: bool = False
    certified_in: str = ""  # the run's own environment, or Blocks
    floor_name: str = "floor"
    ceiling_name: str = "re-run"
    nulls: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    range: tuple[float | None, ...] = (None, None)
    headline: bool = True
    pixel: bool = False
    reason: str = ""
    skill_reason: str = ""
    interval: str = ""
    mde: float | None = None
    summary: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def anchor(self) -> float | None:
        """The ceiling that the skill is measured against: the codec's where it is the one named."""
        return self.ceiling_codec if self.ceiling_name == "codec" else self.ceiling


@dataclass(frozen=True, kw_only=True)
class EpisodeRow:
    """One committed episode. `size` is (H, W) px; frames 0..context-1 are the context."""

    episode: str = ""
    scenario: str = ""
    variant: str = "main"
    pair_id: str = ""
    world_seed: int = 0
    status: str = "done"
    reason: str = ""
    steps: int = 0
    context: int = 1
    horizon: int = 0
    fps: float = 20.0
    size: tuple[int, ...] = ()
    marks: tuple[Mapping[str, Any], ...] = ()
    ended: int | None = None
    end_reason: str = ""
    prompt: str = ""


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One episode's value of one metric, for the model or an anchor."""

    episode: str = ""
    scenario: str = ""
    metric: str = ""
    source: str = "model"
    arm: str = "free"
    sample: int = 0
    value: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class CurveKey:
    """Whose curve it is; `scenario` "*" is over all, `episode` "*" is aggregated."""

    metric: str
    scenario: str
    source: str
    arm: str
    episode: str


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A curve at horizon h >= 1."""

    h: int
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class ScoredRow:
    """What was decided before the run: whether a metric can be scored on a scenario, and why not."""

    metric: str = ""
    scenario: str = ""
    scored: bool = True
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class RunData:
    """Everything the page is made of. `run` is run.json as it stands; `config` the text of config.yaml."""

    path: Path
    run: Mapping[str, Any]
    rows: tuple[SummaryRow, ...] = ()
    episodes: tuple[EpisodeRow, ...] = ()
    scores: tuple[ScoreRow, ...] = ()
    curves: Mapping[CurveKey, tuple[CurvePoint, ...]] = field(default_factory=dict)
    scored: tuple[ScoredRow, ...] = ()
    config: str = ""

    @cached_property
    def curves_at(self) -> Mapping[tuple[str, str, str], Mapping[CurveKey, tuple[CurvePoint, ...]]]:
        """The curves of each (metric, scenario, episode), by whose they are."""
        out: dict[tuple[str, str, str], dict[CurveKey, tuple[CurvePoint, ...]]] = {}
        for key, points in self.curves.items():
            out.setdefault((key.metric, key.scenario, key.episode), {})[key] = points
        return out

    @cached_property
    def scores_of(self) -> Mapping[str, tuple[ScoreRow, ...]]:
        """The scores of each episode."""
        out: dict[str, list[ScoreRow]] = {}
        for row in self.scores:
            out.setdefault(row.episode, []).append(row)
        return {episode: tuple(rows) for episode, rows in out.items()}


@cache
def names_of(cls: type[Any]) -> tuple[str, ...]:
    """The fields of a row; kept, because tables have many rows."""
    return tuple(f.name for f in fields(cls))


def make(cls: type[T], raw: Mapping[str, Any]) -> T:
    """Fills a row from JSON: unknown keys are ignored, absent or null ones take the default, lists become tuples."""
    known: dict[str, Any] = {}
    for name in names_of(cls):  # type: ignore[arg-type]  # mypy does not see that a class is hashable
        value = raw.get(name)
        if value is not None:
            known[name] = tuple(value) if isinstance(value, list) else value
    return cls(**known)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or {} when the file is not there.

    Raises:
        StoreError: If it is there but is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} should be JSON, but: {error}. Score the run again to rewrite it.") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path} should hold a JSON object, got {type(value).__name__}. Score the run again.")
    return value


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL table; none when it is missing. A torn last line (a killed run) is left out.

    Raises:
        StoreError: If a line before the last is not JSON: then the file was damaged, not merely cut short.
    """
    if not path.is_file():
        return
    torn: tuple[int, Exception] | None = None
    with path.open(encoding="utf-8", errors="replace") as lines:
        for at, line in enumerate(lines, start=1):
            if torn is not None:
                raise StoreError(f"{path}, line {torn[0]}, should be JSON, but: {torn[1]}. Resume or score again.")
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                torn = (at, error)
                continue
            yield row


def read_curves(path: Path) -> dict[CurveKey, tuple[CurvePoint, ...]]:
    """The rows of curves.jsonl, gathered into curves ordered by h."""
    gathered: dict[tuple[str, str, str, str, str], list[CurvePoint]] = {}
    for row in read_lines(path):
        key = (
            row["metric"],
            row.get("scenario") or "*",
            row.get("source") or "model",
            row.get("arm") or "free",
            row.get("episode") or "*",
        )
        point = CurvePoint(h=int(row["h"]), value=row.get("value"), low=row.get("low"), high=row.get("high"))
        gathered.setdefault(key, []).append(point)
    return {
        CurveKey(metric=metric, scenario=scenario, source=source, arm=arm, episode=episode): tuple(
            sorted(points, key=lambda p: p.h)
        )
        for (metric, scenario, source, arm, episode), points in gathered.items()
    }


def read_run(path: Path) -> RunData:
    """Reads a run folder.

    Raises:
        StoreError: If it is no run, or one of a newer schema.
    """
    path = Path(path)
    run = read_json(path / "run.json")
    if not run:
        raise StoreError(f"{path} should be a run folder with a run.json, and has none. List runs with: worldsim ls")
    schema = run.get("schema", SCHEMA)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise StoreError(
            f"{path} has schema {schema}, this worldsim reads up to {SCHEMA}: it was written by a newer version. "
            "Upgrade with: pip install --upgrade worldsim"
        )
    config = path / "config.yaml"
    # An episode that was run again after a failure is written twice: its last line counts.
    episodes = {row.episode: row for row in (make(EpisodeRow, raw) for raw in read_lines(path / "episodes.jsonl"))}
    return RunData(
        path=path,
        run=run,
        rows=tuple(make(SummaryRow, row) for row in read_json(path / "summary.json").get("rows", ())),
        episodes=tuple(episodes.values()),
        scores=tuple(make(ScoreRow, row) for row in read_lines(path / "scores.jsonl")),
        curves=read_curves(path / "curves.jsonl"),
        scored=tuple(make(ScoredRow, row) for row in run.get("scored") or ()),
        config=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
    )
