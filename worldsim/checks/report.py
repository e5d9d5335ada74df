"""Clauses, reports, and how clauses are run: each on its own, so that one failure does not hide the next."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from worldsim.errors import ContractError, UnsupportedError

S = TypeVar("S")
Status: TypeAlias = Literal["pass", "fail", "skip"]
_SIGN = {"pass": "✓", "fail": "✗", "skip": "-"}


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One promise and what came of it.

    Attributes:
        name: Short and stable, for example "inputs not mutated".
        status: "pass", "fail" or "skip".
        expected: The promise in words.
        got: What came, or why it was skipped; a figure where there is one.
        remedy: What to do; empty unless it failed.
    """

    name: str
    status: Status
    expected: str
    got: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{_SIGN[self.status]} {self.name}"
        if self.status != "fail":
            return f"{line}{f': {self.got}' if self.got else ''}"
        return f"{line}\n    expected: {self.expected}\n    got:      {self.got}\n    remedy:   {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """All clauses of one check; prints as lines with ✓ (kept), ✗ (broken) and - (does not apply)."""

    subject: str
    clauses: tuple[Clause, ...]

    @property
    def failures(self) -> tuple[Clause, ...]:
        """The broken clauses."""
        return tuple(c for c in self.clauses if c.status == "fail")

    @property
    def ok(self) -> bool:
        """Whether nothing is broken."""
        return not self.failures

    def __str__(self) -> str:
        count = {s: sum(c.status == s for c in self.clauses) for s in _SIGN}
        tail = f"{count['pass']} kept, {count['fail']} broken, {count['skip']} do not apply"
        return "\n".join([self.subject, *map(str, self.clauses), tail])

    def __getitem__(self, name: str) -> Clause:
        """The clause of that name; KeyError if there is none."""
        for clause in self.clauses:
            if clause.name == name:
                return clause
        raise KeyError(name)

    def raise_for_status(self) -> None:
        """Raises ContractError with the broken clauses, if there are any."""
        if not self.ok:
            broken = "\n".join(map(str, self.failures))
            raise ContractError(f"{self.subject} breaks {len(self.failures)} of its clauses:\n{broken}")


class Broken(Exception):
    """Raised by a clause: what came instead, and a remedy if it is more exact than the clause's own."""

    def __init__(self, got: str, remedy: str = "") -> None:
        super().__init__(got)
        self.remedy = remedy


class Skip(Exception):
    """Raised by a clause that does not apply, with the reason."""


@dataclass(frozen=True, kw_only=True)
class _Entry(Generic[S]):
    name: str
    expected: str
    remedy: str
    needs: tuple[str, ...]
    run: Callable[[S], str | None]


class Clauses(Generic[S]):
    """An ordered table of clauses over one kind of subject; a clause may return a note for its line."""

    def __init__(self) -> None:
        self._entries: list[_Entry[S]] = []

    def clause(
        self, name: str, *, expected: str, remedy: str, needs: tuple[str, ...] = ()
    ) -> Callable[[Callable[[S], str | None]], Callable[[S], str | None]]:
        """Adds the decorated function: it raises `Broken`, `Skip` or anything else, or returns a note or None.

        Args:
            name: Shown and asked for.
            expected: The promise.
            remedy: What to do if it is broken.
            needs: Clauses without which this one says nothing; it is skipped if one of them did not pass.
        """

        def add(run: Callable[[S], str | None]) -> Callable[[S], str | None]:
            self._entries.append(_Entry(name=name, expected=expected, remedy=remedy, needs=needs, run=run))
            return run

        return add

    def extend(self, other: Clauses[S]) -> None:
        """Adds all clauses of another table; their `needs` may name clauses of this one."""
        self._entries += other._entries

    @property
    def names(self) -> list[str]:
        """The names, in order."""
        return [e.name for e in self._entries]

    def check(self, subject: S, title: str) -> Report:
        """Runs every clause whose needs are met."""
        done: dict[str, Clause] = {}
        for e in self._entries:
            unmet = next((n for n in e.needs if done[n].status != "pass"), None)
            status: Status = "pass"
            got, remedy = "", ""
            if unmet is not None:
                status, got = "skip", f"needs the clause {unmet!r}"
            else:
                try:
                    got = e.run(subject) or ""
                except Skip as skip:
                    status, got = "skip", str(skip)
                except Broken as broken:
                    status, got, remedy = "fail", str(broken), broken.remedy or e.remedy
                except Exception as error:  # a plug-in may raise anything; the clause is named, the check goes on
                    status, got, remedy = "fail", _describe(error), e.remedy
            done[e.name] = Clause(name=e.name, status=status, expected=e.expected, got=got, remedy=remedy)
        return Report(subject=title, clauses=tuple(done.values()))


def _describe(error: Exception) -> str:
    kind = "declared UnsupportedError" if isinstance(error, UnsupportedError) else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"it raised {kind}: {error}{place}"


def same(a: Any, b: Any) -> bool:
    """Whether two arrays have equal shape, dtype and bytes."""
    return bool(a.shape == b.shape and a.dtype == b.dtype and (a == b).all())
