"""Progress of long work: a bar with time left on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

_LINE_EVERY = 10.0  # seconds between plain lines: a log of a night stays readable


class Progress:
    """`with Progress("rollout", total) as p: p.advance(8)`; `total` counts steps, episodes, ..."""

    def __init__(self, stage: str, total: int, *, quiet: bool = False, unit: str = "steps") -> None:
        """`total` may be 0: then nothing is shown."""
        self.stage, self.total, self.unit = stage, total, unit
        self.done = 0
        self._started = self._last = time.monotonic()
        self._quiet = quiet or total == 0
        self._bar: Any = None
        self._update: Callable[[int], None] = lambda done: None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True))
            self._bar.start()
            task = self._bar.add_task(self.stage, total=self.total)
            self._update = lambda done: self._bar.update(task, completed=done)
        return self

    def advance(self, count: int = 1) -> None:
        """`count` more are done."""
        self.done += count
        if self._quiet:
            return
        self._update(self.done)
        now = time.monotonic()
        if self._bar is None and now - self._last >= _LINE_EVERY:
            self._last = now
            rate = self.done / (now - self._started)
            left = (self.total - self.done) / rate if rate else float("inf")
            print(
                f"{self.stage}: {self.done}/{self.total} {self.unit}, {rate:.0f}/s, about {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
