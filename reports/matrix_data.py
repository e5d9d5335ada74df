"""Reads what a certification wrote (`matrix.json`, schema 1) into frozen rows. Plain JSON only.

The file is written whole or not at all, so whatever is missing in it is an error that is named, not a gap to be shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldsim.certified import certified_in
from worldsim.errors import StoreError

SCHEMA = 1
SIGNS = ("+", "0", "~")
VERDICTS = ("pass", "fail", "measured", "n/a")  # "n/a": it could not be tried in that truth; `reason` says why
AGAIN = "Run `worldsim certify` again with the same --out: it keeps what is done."
ABOVE = 1e-9  # a null's skill above this lies above the floor


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A fault and a metric. `skills` are at severity 0 and at each of `severities`; None = undefined."""

    fault: str
    metric: str
    expected: str
    verdict: str
    severities: tuple[float, ...] = ()
    skills: tuple[float | None, ...] = ()
    effect: float | None = None
    tau: float | None = None
    trend_p: float | None = None
    tost_low: float | None = None
    tost_high: float | None = None
    n_worlds: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class MetricAnchors:
    """A metric's own scale on these worlds; `nulls` is name -> {"value", "skill"}."""

    name: str
    family: str
    version: int
    unit: str = ""
    headline: bool = True
    floor: float | None = None
    floor_name: str = ""
    floor_in_spec: str = ""
    ceiling: float | None = None
    nulls: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    worlds: int = 0
    reason: str = ""

    def above(self) -> tuple[str, ...]:
        """The nulls whose skill lies above the floor."""
        return tuple(name for name, null in self.nulls.items() if (null.get("skill") or 0.0) > ABOVE)


@dataclass(frozen=True, kw_only=True)
class Cheat:
    """What a simulator that games a metric reaches; `caught`: no skill above the floor."""

    fault: str
    metric: str
    caught: bool
    skill: float | None = None
    skill_low: float | None = None
    skill_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class PlantedFault:
    """What is wrong in a planted fault, and how much of it was tried; `mild`: where "does not move" is tested."""

    name: str
    plants: str = ""
    unit: str = ""
    severities: tuple[float, ...] = ()
    mild: float | None = None


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A certification. `cells` is (fault, metric) -> cell; `document` the file as it stands."""

    path: Path
    preset: str
    seed: int
    worlds: int
    metrics: tuple[MetricAnchors, ...]
    faults: tuple[PlantedFault, ...]
    cells: Mapping[tuple[str, str], Cell]
    cheats: tuple[Cheat, ...]
    certified: Mapping[str, int]
    document: Mapping[str, Any]

    def of(self, sign: str, *, metric: str | None = None, fault: str | None = None) -> tuple[Cell, ...]:
        """The cells of a sign, of one metric or fault if asked."""
        return tuple(
            c
            for c in self.cells.values()
            if c.expected == sign and metric in (None, c.metric) and fault in (None, c.fault)
        )

    def untried(self) -> tuple[Cell, ...]:
        """The cells that could not be tried in this truth; `reason` says why."""
        return tuple(c for c in self.cells.values() if c.verdict == "n/a")

    def families(self) -> tuple[tuple[str, tuple[MetricAnchors, ...]], ...]:
        """The metrics by family, in the order of the file."""
        names = dict.fromkeys(m.family for m in self.metrics)
        return tuple((name, tuple(m for m in self.metrics if m.family == name)) for name in names)


def read_matrix(folder: Path) -> Matrix:
    """Reads `folder/matrix.json`.

    Raises:
        StoreError: If it is missing, torn, of a newer schema, or lacks what the page is made of.
    """
    path = Path(folder) / "matrix.json"
    if not path.is_file():
        raise StoreError(f"{folder} should be the folder of a certification with a matrix.json, and has none. {AGAIN}")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} should be JSON, but: {error}. {AGAIN}") from error
    given = _Place(path=path, where="", raw=raw).mapping()
    schema = given.whole("schema")
    if not 1 <= schema <= SCHEMA:
        raise StoreError(f"{path} has schema {schema}, this worldsim reads up to {SCHEMA}. Update worldsim.")
    faults = tuple(_fault(name, place) for name, place in given.table("faults"))
    cells = [_cell(place) for place in given.rows("rows")]
    family = {place.text("metric"): place.text("family", None) for place in given.rows("rows")}
    metrics = tuple(_metric(name, place, family.get(name, "")) for name, place in given.table("metrics"))
    known_faults, known_metrics = {f.name for f in faults}, {m.name for m in metrics}
    for at, cell in enumerate(cells):
        for what, name, known in (("fault", cell.fault, known_faults), ("metric", cell.metric, known_metrics)):
            if name not in known:
                raise StoreError(f"{path}: rows[{at}] is about the {what} {name!r}, which the file does not describe.")
    return Matrix(
        path=path,
        preset=given.text("preset"),
        seed=given.whole("seed"),
        worlds=given.whole("worlds"),
        metrics=metrics,
        faults=faults,
        cells={(c.fault, c.metric): c for c in cells},
        cheats=tuple(_cheat(place) for place in given.rows("cheats")),
        certified=certified_in(raw),
        document=raw,
    )


def _cell(at: _Place) -> Cell:
    return Cell(
        fault=at.text("fault"),
        metric=at.text("metric"),
        expected=at.one_of("expected", SIGNS),
        verdict=at.one_of("verdict", VERDICTS),
        severities=tuple(s for s in at.numbers("severities") if s is not None),
        skills=at.numbers("skills"),
        effect=at.number("effect"),
        tau=at.number("tau"),
        trend_p=at.number("trend_p"),
        tost_low=at.number("tost_low"),
        tost_high=at.number("tost_high"),
        n_worlds=at.whole("n_worlds"),
        reason=at.text("reason", ""),
    )


def _metric(name: str, at: _Place, family: str) -> MetricAnchors:
    nulls = {
        null: {"value": place.number("value"), "skill": place.number("skill")} for null, place in at.table("nulls")
    }
    return MetricAnchors(
        name=name,
        family=family or name.partition(".")[0],
        version=at.whole("version"),
        unit=at.text("unit", ""),
        headline=bool(at.raw.get("headline", True)),
        floor=at.number("floor"),
        floor_name=at.text("floor_name", ""),
        floor_in_spec=at.text("floor_in_spec", ""),
        ceiling=at.number("ceiling"),
        nulls=nulls,
        worlds=at.whole("worlds"),
        reason=at.text("reason", ""),
    )


def _cheat(at: _Place) -> Cheat:
    return Cheat(
        fault=at.text("fault"),
        metric=at.text("metric"),
        caught=bool(at.need("caught")),
        skill=at.number("skill"),
        skill_low=at.number("skill_low"),
        skill_high=at.number("skill_high"),
    )


def _fault(name: str, at: _Place) -> PlantedFault:
    return PlantedFault(
        name=name,
        plants=at.text("plants", ""),
        unit=at.text("unit", ""),
        severities=tuple(s for s in at.numbers("severities") if s is not None),
        mild=at.number("mild"),
    )


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A value in the file and where it stands, so that every complaint can say where."""

    path: Path
    where: str
    raw: Any

    def bad(self, what: str) -> StoreError:
        return StoreError(f"{self.path}: {self.where or 'the file'} {what}. {AGAIN}")

    def mapping(self) -> _Place:
        if not isinstance(self.raw, Mapping):
            raise self.bad(f"should be a JSON object, got {type(self.raw).__name__}")
        return self

    def need(self, key: str) -> Any:
        if key not in self.raw:
            raise self.bad(f"lacks {key!r}")
        return self.raw[key]

    def inside(self, key: str, raw: Any) -> _Place:
        return _Place(path=self.path, where=f"{self.where}.{key}".lstrip("."), raw=raw)

    def table(self, key: str) -> Sequence[tuple[str, _Place]]:
        place = self.inside(key, self.need(key)).mapping()
        return [(str(name), place.inside(str(name), raw).mapping()) for name, raw in place.raw.items()]

    def rows(self, key: str) -> Sequence[_Place]:
        raw = self.need(key)
        if not isinstance(raw, list):
            raise self.bad(f"should have a list of {key}, got {type(raw).__name__}")
        return [self.inside(f"{key}[{i}]", row).mapping() for i, row in enumerate(raw)]

    def text(self, key: str, default: str | None = None) -> str:
        raw = self.need(key) if default is None else self.raw.get(key)
        if raw is None and default is not None:
            return default
        if not isinstance(raw, str):
            raise self.bad(f"should have text as {key!r}, got {raw!r}")
        return raw

    def one_of(self, key: str, allowed: Sequence[str]) -> str:
        raw = self.text(key)
        if raw not in allowed:
            raise self.bad(f"should have one of {', '.join(allowed)} as {key!r}, got {raw!r}")
        return raw

    def number(self, key: str) -> float | None:
        raw = self.raw.get(key)
        if raw is None:
            return None
        if isinstance(raw, bool) or not isinstance(raw, (int, float)):
            raise self.bad(f"should have a number as {key!r}, got {raw!r}")
        return float(raw)

    def whole(self, key: str) -> int:
        raw = self.need(key)
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise self.bad(f"should have a whole number as {key!r}, got {raw!r}")
        return raw

    def numbers(self, key: str) -> tuple[float | None, ...]:
        raw = self.need(key)
        if not isinstance(raw, list):
            raise self.bad(f"should have a list of numbers as {key!r}, got {raw!r}")
        at = self.inside(key, {str(i): v for i, v in enumerate(raw)})
        return tuple(at.number(str(i)) for i in range(len(raw)))
