"""What a metric says beside its number: which answers were given, for how long they stay right, parts of a score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worldsim.reports import numbers
from worldsim.reports.data import SummaryRow

#: Answers that are no alternative; they stand in the last columns.
NO_ANSWER = ("lost the place", "something else", "never left", "none of them")
#: Keys that `numbers` and tables below say better than their name does.
_SAID = ("answers", "half_life", "place_kept", "right_where_kept", "false_marks", "until")


@dataclass(frozen=True, kw_only=True)
class AnswerCell:
    """How often a truth was answered so; `share` of its row, 0..1; `right`: the answer is the truth."""

    count: int
    share: float
    right: bool


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """What was true (rows) and what was answered (columns)."""

    answers: tuple[str, ...]
    rows: tuple[tuple[str, tuple[AnswerCell, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class SmallTable:
    """Numbers by two names, as text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class Details:
    """One metric's part of the section."""

    metric: str
    summary: str
    confusion: Confusion | None
    sentences: tuple[str, ...]
    tables: tuple[SmallTable, ...]


def details_of(row: SummaryRow) -> Details | None:
    """A row's details as they are shown, or None where there are none."""
    found = row.details
    confusion = confusion_of(found.get("answers"))
    said = sentences(found)
    tables = [] if confusion else _tables("answers", found.get("answers"))
    for key, value in found.items():
        if key not in _SAID:
            line = _line(key, value)
            said += [line] if line else []
            tables += _tables(words(key), value)
    if not (confusion or said or tables):
        return None
    return Details(
        metric=row.metric, summary=row.summary, confusion=confusion, sentences=tuple(said), tables=tuple(tables)
    )


def details_of_all(rows: Sequence[SummaryRow]) -> tuple[Details, ...]:
    """The details of all rows that have any; a table that a row before showed already is not shown again."""
    seen: set[SmallTable] = set()
    out = []
    for row in rows:
        found = details_of(row)
        if found is None:
            continue
        fresh = tuple(t for t in found.tables if t not in seen)
        seen |= set(fresh)
        if found.confusion or found.sentences or fresh:
            out.append(replace(found, tables=fresh))
    return tuple(out)


def confusion_of(answers: Any) -> Confusion | None:
    """{true: {answer: n}} as a table: the truths first, in one order for rows and columns, then the other answers."""
    if not isinstance(answers, Mapping) or not answers:
        return None
    if not all(isinstance(r, Mapping) and all(_whole(n) for n in r.values()) for r in answers.values()):
        return None
    truths = [str(true) for true in answers]
    given = dict.fromkeys(str(answer) for found in answers.values() for answer in found)
    others = [a for a in given if a not in truths and a not in NO_ANSWER]
    columns = (*truths, *others, *(a for a in NO_ANSWER if a in given))
    rows = []
    for true, found in answers.items():
        total = sum(found.values())
        cells = tuple(
            AnswerCell(count=found.get(a, 0), share=found.get(a, 0) / total if total else 0.0, right=a == str(true))
            for a in columns
        )
        rows.append((words(str(true)), cells))
    return Confusion(answers=tuple(words(a) for a in columns), rows=tuple(rows))


def sentences(found: Mapping[str, Any]) -> list[str]:
    """The known details in words; what is undefined is not said."""
    out = []
    if isinstance(span := found.get("half_life"), str):
        out.append(half_life(span))
    kept, right = _number(found.get("place_kept")), _number(found.get("right_where_kept"))
    if kept is not None:
        line = f"The view was left and the place kept in {numbers.percent(kept)} of the answers"
        out.append(
            line + (f"; {numbers.number(right, 2)} of those are right (balanced)." if right is not None else ".")
        )
    if (marks := _number(found.get("false_marks"))) is not None:
        out.append(f"Marks that nobody made are seen in {numbers.percent(marks)} of the twins without the deed.")
    if (until := _number(found.get("until"))) is not None:
        out.append(f"The rate stays at one half or above until step {until:g}.")
    return out


def half_life(span: str) -> str:
    """How long memory lasts, from "12.5", "longer than 64", "shorter than 4" or "undefined"."""
    if not span[-1:].isdigit():
        return f"Half-life of memory: {span}."
    exact = span[0].isdigit()
    return (
        f"Half-life of memory: {'about ' if exact else ''}{span} steps out of view; "
        "by then right answers have fallen half-way to chance."
        if exact or span.startswith("shorter")
        else f"Half-life of memory: {span} steps out of view, the longest that was tried."
    )


def words(key: str) -> str:
    """A key as it is read."""
    return key.replace("_", " ")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if plain else None


def _text(value: Any) -> str | None:
    """A plain value as text; None for what holds others."""
    if value is None:
        return numbers.MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _whole(value):
        return numbers.number(float(value), 0)
    if isinstance(value, float):
        return numbers.number(value)
    return value if isinstance(value, str) else None


def _flat(value: Any, test: Callable[[Any], bool]) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(test(v) for v in value.values())


def _line(key: str, value: Any) -> str | None:
    """A value, or names with values, in one line."""
    if isinstance(value, Mapping):
        if not _flat(value, lambda v: _text(v) is not None):
            return None
        return f"{words(key).capitalize()}: {', '.join(f'{words(str(k))} {_text(v)}' for k, v in value.items())}."
    text = _text(value)
    return None if text is None else f"{words(key).capitalize()}: {text}."


def _tables(title: str, value: Any) -> list[SmallTable]:
    """Names of names as one table; one level deeper, as a table for each name."""
    if not isinstance(value, Mapping):
        return []
    if _flat(value, lambda v: _flat(v, lambda w: _text(w) is not None)):
        columns = tuple(dict.fromkeys(str(c) for found in value.values() for c in found))
        rows: Sequence[tuple[str, tuple[str, ...]]] = [
            (words(str(name)), tuple(_text(found.get(c)) or numbers.MISSING for c in columns))
            for name, found in value.items()
        ]
        return [SmallTable(title=title, columns=tuple(words(c) for c in columns), rows=tuple(rows))]
    return [t for name, found in value.items() for t in _tables(f"{title}, {words(str(name))}", found)]
