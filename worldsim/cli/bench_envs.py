"""`worldsim doctor --bench`: every environment that can start here, what it can do, and its frames a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldsim import registry
from worldsim.cli.output import print_table
from worldsim.errors import ConfigError
from worldsim.fingerprint import fingerprint
from worldsim.progress import Progress

#: One of each family that `gym:` knows.
GYM = (
    "gym:ALE/Pong-v5",
    "gym:Ant-v5",
    "gym:MiniWorld-Hallway-v0",
    "gym:MiniGrid-DoorKey-8x8-v0",
    "gym:CarRacing-v3",
    "gym:CartPole-v1",
)
MARKS = ("<!-- bench: made by worldsim doctor --bench -->", "<!-- bench: end -->")
PATIENCE = 300.0  # seconds for one environment
HEADER = ("environment", "actions", "frames/s", "with its truth", "exact", "goes back by", "edits", "any view", "tells")
SHORT = {"world_from_camera": "pose", "intrinsics": "", "segmentation": "ids"}


def bench_envs(names: Sequence[str] = (), size: tuple[int, int] = (64, 64), docs: Path | None = None) -> int:
    """Measures environments one after another, prints the table, and writes it into a page.

    Args:
        names: Which; none = all that are registered, and one of each family of `gym:`.
        size: (H, W) of the frames.
        docs: A page whose table between `MARKS` is replaced.

    Raises:
        ConfigError: If the page has no such marks.
    """
    if docs is not None:
        check_page(docs)
    wanted = tuple(names) or (*registered(), *GYM)
    found: dict[str, Mapping[str, Any]] = {}
    with Progress("bench", len(wanted), unit="environments") as progress:
        for name in wanted:
            found[name] = measure_apart(name, size)
            progress.advance()
    there = [(name, f) for name, f in found.items() if "error" not in f]
    print_table(HEADER, [row(name, f) for name, f in there], widest=8)
    for name, f in found.items():
        if "error" in f:
            print(f"{name} cannot start here: {f['error']}")
    if docs is not None:
        write_page(docs, page(found, size))
        print(f"written: {docs}")
    return 0


def registered() -> list[str]:
    """The registered environments, each once: the longest of the names of one thing."""
    by_target: dict[str, str] = {}
    for name in registry.ENVS.names():
        target = registry.ENVS.target(name)
        by_target[target] = max(by_target.get(target, ""), name, key=len)
    return sorted(by_target.values())


def measure_apart(name: str, size: tuple[int, int]) -> Mapping[str, Any]:
    """One environment in a process of its own, so that what hangs or crashes costs one line of the table."""
    command = [sys.executable, "-m", "worldsim.checks.speed", name, str(size[0]), str(size[1])]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=dict(os.environ)
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it was not measured within {PATIENCE:g} s"}
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            out: Mapping[str, Any] = json.loads(line)
            return out
    last = (done.stderr.strip().splitlines() or ["nothing was printed"])[-1]
    return {"error": f"its process ended with {done.returncode}: {last}"}


def row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of the table, in the order of `HEADER`."""
    back = "no"
    if found["restore"] is not None:
        back = f"{found['way'] or 'snapshot'}, {_number(1e3 * found['restore'])} ms"
    tells = [SHORT.get(field, field) for field in found["fields"]]
    return (
        name,
        found["actions"],
        _number(found["frames"]),
        _number(found["truth"]),
        "yes" if found["deterministic"] else "no",
        back + (", other futures" if found["open_future"] else ""),
        str(len(found["edit"])) if found["edit"] else "no",
        "yes" if found["render_from"] else "no",
        ", ".join(sorted(filter(None, tells))) or "frames only",
    )


def page(found: Mapping[str, Mapping[str, Any]], size: tuple[int, int]) -> str:
    """The table as Markdown, with what it was measured on."""
    facts = fingerprint()
    rows = [row(name, f) for name, f in found.items() if "error" not in f]
    lines = [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
    lines += [f"| {' | '.join((f'`{r[0]}`', *r[1:]))} |" for r in rows]
    lines += [
        "",
        f"{size[0]}x{size[1]} pixels; frames a second of processor time (its own and that of its child processes), so "
        "that other work does not count: a step and its frame, the faster of two stretches; "
        f"{facts['cpu']}, {facts['cores']} cores, {busy()}. "
        '"Exact": the same seed and actions give the same bytes. "Goes back by": how `restore` works, and its time '
        "after 12 steps.",
    ]
    absent = [f"- `{name}`: {_reason(f['error'])}" for name, f in found.items() if "error" in f]
    return "\n".join([*lines, *(["", "Not measured here:", "", *absent] if absent else [])])


def busy() -> str:
    """How much else the machine did, in words: processor time does not count it, but shared caches are smaller."""
    return f"load {os.getloadavg()[1]:.1f} over the last 5 minutes" if hasattr(os, "getloadavg") else "load unknown"


def check_page(path: Path) -> None:
    """Raises ConfigError unless a page has both marks, in order."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not 0 <= text.find(MARKS[0]) < text.find(MARKS[1]):
        raise ConfigError(f"{path} needs the two lines {MARKS[0]!r} and {MARKS[1]!r}, between which the table goes")


def write_page(path: Path, table: str) -> None:
    """Puts the table between the marks."""
    text = path.read_text(encoding="utf-8")
    head, rest = text.split(MARKS[0], 1)
    _, tail = rest.split(MARKS[1], 1)
    path.write_text(f"{head}{MARKS[0]}\n\n{table}\n\n{MARKS[1]}{tail}", encoding="utf-8")


def _reason(error: str) -> str:
    """The first sentence of an error, without the name of a home folder: the page is for others."""
    first = error.splitlines()[0].split(". ")[0].rstrip(".")
    return first.replace(str(Path.home()), "~") + "."


def _number(value: float) -> str:
    """Two significant digits are all that a shared machine gives."""
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"
