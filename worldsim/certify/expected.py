"""What each fault is expected to do to each metric, written down before the first run."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worldsim.errors import ConfigError
from worldsim.faults.table import FAULTS

FILE = Path(__file__).parent / "expected.csv"
SIGNS = ("+", "0", "~")
#: "+" must fall with the severity; "0" must not move; "~" is measured and published.
Sign = Literal["+", "0", "~"]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The table.

    Attributes:
        metrics: Its columns.
        faults: Its rows.
        signs: (fault, metric) -> sign.
    """

    metrics: tuple[str, ...]
    faults: tuple[str, ...]
    signs: Mapping[tuple[str, str], str]

    def count(self, sign: str) -> int:
        """How many cells have a sign."""
        return sum(s == sign for s in self.signs.values())


def read_expected(path: Path = FILE) -> Expected:
    """Reads a table of faults by metrics.

    Raises:
        ConfigError: If a fault is not known, a sign is none of + 0 ~, or a row has another length than the first.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows or rows[0][:1] != ["fault"]:
        raise ConfigError(f"{path}: the first line must be 'fault,<metric>,...'")
    metrics = tuple(rows[0][1:])
    signs: dict[tuple[str, str], str] = {}
    for row in rows[1:]:
        if row[0] not in FAULTS:
            raise ConfigError(f"{path}: there is no fault {row[0]!r}; known: {', '.join(FAULTS)}")
        if len(row) != len(metrics) + 1 or any(sign not in SIGNS for sign in row[1:]):
            raise ConfigError(
                f"{path}: the row of {row[0]!r} must hold {len(metrics)} signs among + 0 ~, got {row[1:]}"
            )
        signs |= {(row[0], metric): sign for metric, sign in zip(metrics, row[1:], strict=True)}
    return Expected(metrics=metrics, faults=tuple(row[0] for row in rows[1:]), signs=signs)
